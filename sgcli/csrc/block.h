// Sixteen channels of one pixel in vector registers, the unit of work of every CPU kernel.
//
// Written with the vector extensions of GCC and Clang: the same code becomes AVX-512, AVX2 or NEON instructions.
// float16 and bfloat16 are storage types; arithmetic is done in float (Block<float>) or double (Block<double>).
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace sg {

#if defined(__AVX512F__)
constexpr int kRegisterBytes = 64;
#elif defined(__AVX__)
constexpr int kRegisterBytes = 32;
#else
constexpr int kRegisterBytes = 16;
#endif

constexpr int kLanes = 16;

// The type that values stored as S are computed in.
template <class S>
using Compute = std::conditional_t<std::is_same_v<S, double>, double, float>;

template <class T>
struct Register {
  typedef T type __attribute__((vector_size(kRegisterBytes)));
};

template <class T>
struct Block {
  using Part = typename Register<T>::type;
  using Bits = typename Register<std::conditional_t<sizeof(T) == 8, int64_t, int32_t>>::type;
  static constexpr int kPartLanes = kRegisterBytes / sizeof(T);
  static constexpr int kParts = kLanes / kPartLanes;
  Part part[kParts];
};

template <class T>
inline Block<T> splat(T value) {
  Block<T> block;
  for (auto& part : block.part) part = typename Block<T>::Part{} + value;
  return block;
}

template <class T>
inline Block<T> operator+(Block<T> a, const Block<T>& b) {
  for (int i = 0; i < Block<T>::kParts; i++) a.part[i] += b.part[i];
  return a;
}

template <class T>
inline Block<T> operator*(Block<T> a, const Block<T>& b) {
  for (int i = 0; i < Block<T>::kParts; i++) a.part[i] *= b.part[i];
  return a;
}

template <class T>
inline void multiply_add(Block<T>& sum, T factor, const Block<T>& a) {
  for (int i = 0; i < Block<T>::kParts; i++) sum.part[i] += factor * a.part[i];
}

// v < 0 ? v * slope : v
template <class T>
inline Block<T> leaky_relu(Block<T> v, T slope) {
  for (auto& part : v.part) part = part < T(0) ? part * slope : part;
  return v;
}

// Keeps NaN, as torch.clamp does.
template <class T>
inline Block<T> clamp(Block<T> v, T limit) {
  for (auto& part : v.part) {
    const auto high = typename Block<T>::Part{} + limit;
    part = part > high ? high : part;
    part = part < -high ? -high : part;
  }
  return v;
}

// Where bit l of `bits` is set, lane l of a, else of b.
template <class T>
inline Block<T> select(uint16_t bits, const Block<T>& a, const Block<T>& b) {
  using Bits = typename Block<T>::Bits;
  Block<T> result;
  for (int i = 0; i < Block<T>::kParts; i++) {
    Bits lane;
    for (int l = 0; l < Block<T>::kPartLanes; l++) lane[l] = 1 << (i * Block<T>::kPartLanes + l);
    const Bits set = ((Bits{} + bits) & lane) != 0;
    result.part[i] = set ? a.part[i] : b.part[i];
  }
  return result;
}

// One bit per lane: v < limit.
template <class T>
inline uint16_t below(const Block<T>& v, T limit) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) {
    return _mm512_cmp_ps_mask((__m512)v.part[0], _mm512_set1_ps(limit), _CMP_LT_OQ);
  } else {
    return _mm512_cmp_pd_mask((__m512d)v.part[0], _mm512_set1_pd(limit), _CMP_LT_OQ) |
           _mm512_cmp_pd_mask((__m512d)v.part[1], _mm512_set1_pd(limit), _CMP_LT_OQ) << 8;
  }
#else
  uint16_t bits = 0;
  for (int i = 0; i < Block<T>::kParts; i++) {
    const auto set = v.part[i] < limit;
#if defined(__AVX__)
    const int part = sizeof(T) == 8 ? _mm256_movemask_pd((__m256d)set) : _mm256_movemask_ps((__m256)set);
#else
    int part = 0;
    for (int l = 0; l < Block<T>::kPartLanes; l++) part |= (set[l] & 1) << l;
#endif
    bits |= part << (i * Block<T>::kPartLanes);
  }
  return bits;
#endif
}

// One bit per lane: |v| > limit.
template <class T>
inline uint16_t beyond(const Block<T>& v, T limit) {
  return below(v, -limit) | below(v * splat(T(-1)), -limit);
}

// The first `count` lanes from memory, zero in the others.
template <class T, class S>
inline Block<T> load(const S* from, int count = kLanes) {
  alignas(64) T lanes[kLanes];
  if (count == kLanes) {
    for (int l = 0; l < kLanes; l++) lanes[l] = static_cast<T>(from[l]);
  } else {
    std::memset(lanes, 0, sizeof(lanes));
    for (int l = 0; l < count; l++) lanes[l] = static_cast<T>(from[l]);
  }
  Block<T> block;
  std::memcpy(&block, lanes, sizeof(block));
  return block;
}

template <class T, class S>
inline void store(S* to, const Block<T>& block, int count = kLanes) {
  alignas(64) T lanes[kLanes];
  std::memcpy(lanes, &block, sizeof(block));
  if (count == kLanes) {
    for (int l = 0; l < kLanes; l++) to[l] = static_cast<S>(lanes[l]);
  } else {
    for (int l = 0; l < count; l++) to[l] = static_cast<S>(lanes[l]);
  }
}

// Store a whole block past the caches, to an address aligned to a register.
template <class T, class S>
inline void stream(S* to, const Block<T>& block) {
  for (int i = 0; i < Block<T>::kParts; i++) {
    char* at = reinterpret_cast<char*>(to) + i * kRegisterBytes;
#if defined(__AVX512F__)
    _mm512_stream_si512((__m512i*)at, (__m512i)block.part[i]);
#elif defined(__AVX__)
    _mm256_stream_si256((__m256i*)at, (__m256i)block.part[i]);
#else
    std::memcpy(at, &block.part[i], kRegisterBytes);
#endif
  }
}

template <class Part, int kSize, bool kHigh>
inline Part interleave(Part a, Part b) {
  // Lanes a0 b0 a1 b1 ... of the lower or the upper halves.
#if defined(__clang__)
  return [&]<int... l>(std::integer_sequence<int, l...>) {
    return __builtin_shufflevector(a, b, (l / 2 + (l % 2) * kSize + kHigh * kSize / 2)...);
  }(std::make_integer_sequence<int, kSize>());
#else
  decltype(a < a) order;
  for (int l = 0; l < kSize; l++) order[l] = l / 2 + (l % 2) * kSize + kHigh * kSize / 2;
  return __builtin_shuffle(a, b, order);
#endif
}

// Transpose 16 x 16 values: lane l of block i becomes lane i of block l.
template <class T>
inline void transpose(Block<T> blocks[kLanes]) {
  using Part = typename Block<T>::Part;
  constexpr int n = Block<T>::kPartLanes;
  for (int row = 0; row < Block<T>::kParts; row++) {
    for (int column = row; column < Block<T>::kParts; column++) {
      Part a[n], b[n];
      for (int i = 0; i < n; i++) {
        a[i] = blocks[row * n + i].part[column];
        b[i] = blocks[column * n + i].part[row];
      }
      for (Part* square : {a, b}) {  // log2(n) perfect shuffles of the rows transpose a square
        for (int step = 1; step < n; step *= 2) {
          Part shuffled[n];
          for (int i = 0; i < n / 2; i++) {
            shuffled[2 * i] = interleave<Part, n, false>(square[i], square[i + n / 2]);
            shuffled[2 * i + 1] = interleave<Part, n, true>(square[i], square[i + n / 2]);
          }
          for (int i = 0; i < n; i++) square[i] = shuffled[i];
        }
      }
      for (int i = 0; i < n; i++) {
        blocks[column * n + i].part[row] = a[i];
        blocks[row * n + i].part[column] = b[i];
      }
    }
  }
}

}  // namespace sg
