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

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

namespace sg {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;

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

// The smaller and the larger of each lane; b where either is NaN.
template <class T>
inline typename Block<T>::Part smaller(typename Block<T>::Part a, typename Block<T>::Part b) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return (typename Block<T>::Part)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX__)
  if constexpr (std::is_same_v<T, float>) return (typename Block<T>::Part)_mm256_min_ps((__m256)a, (__m256)b);
#endif
  return a < b ? a : b;
}

template <class T>
inline typename Block<T>::Part larger(typename Block<T>::Part a, typename Block<T>::Part b) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return (typename Block<T>::Part)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__)
  if constexpr (std::is_same_v<T, float>) return (typename Block<T>::Part)_mm256_max_ps((__m256)a, (__m256)b);
#endif
  return a > b ? a : b;
}

// Keeps NaN, as torch.clamp does.
template <class T>
inline Block<T> clamp(Block<T> v, T limit) {
  const auto high = typename Block<T>::Part{} + limit;
  for (auto& part : v.part) part = larger<T>(-high, smaller<T>(high, part));
  return v;
}

// Where bit l of `bits` is set, lane l of a, else of b.
template <class T>
inline Block<T> select(uint32_t bits, const Block<T>& a, const Block<T>& b) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) {
    return {(typename Block<T>::Part)_mm512_mask_mov_ps((__m512)b.part[0], bits, (__m512)a.part[0])};
  }
#endif
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

// One bit per lane: a < b.
template <class T>
inline uint32_t less(const Block<T>& a, const Block<T>& b) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) {
    return _mm512_cmp_ps_mask((__m512)a.part[0], (__m512)b.part[0], _CMP_LT_OQ);
  } else {
    return _mm512_cmp_pd_mask((__m512d)a.part[0], (__m512d)b.part[0], _CMP_LT_OQ) |
           _mm512_cmp_pd_mask((__m512d)a.part[1], (__m512d)b.part[1], _CMP_LT_OQ) << 8;
  }
#else
  uint32_t bits = 0;
  for (int i = 0; i < Block<T>::kParts; i++) {
    const auto set = a.part[i] < b.part[i];
#if defined(__AVX__)
    const uint32_t part = sizeof(T) == 8 ? _mm256_movemask_pd((__m256d)set) : _mm256_movemask_ps((__m256)set);
#else
    uint32_t part = 0;
    for (int l = 0; l < Block<T>::kPartLanes; l++) part |= (set[l] & 1) << l;
#endif
    bits |= part << (i * Block<T>::kPartLanes);
  }
  return bits;
#endif
}

// Numbers from memory to registers and back, one register's lanes at a time.
template <class T>
inline typename Block<T>::Part convert(const T* from) {
  typename Block<T>::Part part;
  std::memcpy(&part, from, sizeof(part));
  return part;
}

template <class T>
inline void convert(T* to, typename Block<T>::Part part) {
  std::memcpy(to, &part, sizeof(part));
}

constexpr int kFloats = kRegisterBytes / 4;
typedef uint16_t Halves __attribute__((vector_size(kRegisterBytes / 2)));
typedef uint32_t Words __attribute__((vector_size(kRegisterBytes)));

inline Block<float>::Part convert(const BFloat16* from) {
  Halves halves;
  std::memcpy(&halves, from, sizeof(halves));
  return (Block<float>::Part)(__builtin_convertvector(halves, Words) << 16);
}

inline void convert(BFloat16* to, Block<float>::Part part) {
  const Words bits = (Words)part;
  const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;  // to nearest, ties to even
  const Words quiet = (bits >> 16) | 0x40;                           // NaN must not round to infinity
  const Halves halves = __builtin_convertvector(part == part ? rounded : quiet, Halves);
  std::memcpy(to, &halves, sizeof(halves));
}

inline Block<float>::Part convert(const Half* from) {
#if defined(__AVX512F__)
  return (Block<float>::Part)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)from));
#elif defined(__F16C__)
  return (Block<float>::Part)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)from));
#else
  Block<float>::Part part;
  for (int l = 0; l < kFloats; l++) part[l] = static_cast<float>(from[l]);
  return part;
#endif
}

inline void convert(Half* to, Block<float>::Part part) {
#if defined(__AVX512F__)
  _mm256_storeu_si256((__m256i*)to, _mm512_cvtps_ph((__m512)part, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
  _mm_storeu_si128((__m128i*)to, _mm256_cvtps_ph((__m256)part, _MM_FROUND_TO_NEAREST_INT));
#else
  for (int l = 0; l < kFloats; l++) to[l] = static_cast<Half>(part[l]);
#endif
}

template <class T, class S>
inline Block<T> load(const S* from) {
  Block<T> block;
  for (int i = 0; i < Block<T>::kParts; i++) block.part[i] = convert(from + i * Block<T>::kPartLanes);
  return block;
}

template <class T, class S>
inline void store(S* to, const Block<T>& block) {
  for (int i = 0; i < Block<T>::kParts; i++) convert(to + i * Block<T>::kPartLanes, block.part[i]);
}

// The first `count` lanes; the others are read as zero.
template <class T, class S>
inline Block<T> load(const S* from, int count) {
  if (count == kLanes) return load<T>(from);
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<S, float> && std::is_same_v<T, float>) {
    return {(typename Block<T>::Part)_mm512_maskz_loadu_ps((1 << count) - 1, from)};
  }
#endif
  alignas(64) S lanes[kLanes] = {};
  for (int l = 0; l < count; l++) lanes[l] = from[l];
  return load<T>(lanes);
}

template <class T, class S>
inline void store(S* to, const Block<T>& block, int count) {
  if (count == kLanes) return store(to, block);
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<S, float> && std::is_same_v<T, float>) {
    return _mm512_mask_storeu_ps(to, (1 << count) - 1, (__m512)block.part[0]);
  }
#endif
  alignas(64) S lanes[kLanes];
  store(lanes, block);
  for (int l = 0; l < count; l++) to[l] = lanes[l];
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

// Make streamed blocks visible to other threads.
inline void finish_streams() {
#if defined(__AVX__)
  _mm_sfence();
#endif
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
