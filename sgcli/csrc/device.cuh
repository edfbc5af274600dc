// What the CUDA kernels share.
//
// Only launch.cuh needs the CUDA toolkit's headers: tests/ops/cuda_on_cpu.h takes its place to compile everything else
// for a CPU, and runs it without a GPU.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Exception.h>
#include <torch/headeronly/util/Half.h>

namespace sg::cuda {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;
using torch::headeronly::ScalarType;

// The type that values stored as S are computed in.
template <class S>
using Compute = std::conditional_t<std::is_same_v<S, double>, double, float>;

// A kernel with its argument and the blocks that it runs in; `shared` in bytes. Kernels take any number of blocks.
template <class Params>
struct Launch {
  void (*kernel)(Params);
  Params params;
  int64_t blocks;
  int threads;
  int64_t shared;
};

// Values that lie together, moved by one instruction where they fill up to 16 bytes.
template <class S, int kSize>
struct alignas(sizeof(S) * kSize) Vector {
  S lane[kSize];

  // The first `count` values from an address that is aligned to a whole vector.
  __device__ static Vector load(const S* from, int count = kSize) {
    if (count == kSize) return *reinterpret_cast<const Vector*>(from);
    Vector v{};
#pragma unroll
    for (int l = 0; l < kSize; l++) {
      if (l < count) v.lane[l] = from[l];
    }
    return v;
  }
  __device__ void store(S* to, int count = kSize) const {
    if (count == kSize) {
      *reinterpret_cast<Vector*>(to) = *this;
      return;
    }
#pragma unroll
    for (int l = 0; l < kSize; l++) {
      if (l < count) to[l] = lane[l];
    }
  }
};

template <class S>
constexpr int kVectorSize = 16 / sizeof(S);

// Calls f(S{}) with the type S of a dtype that is computed in float, on the side of f.
#pragma nv_exec_check_disable
template <class F>
__host__ __device__ void with_float_type(ScalarType dtype, const F& f) {
  switch (dtype) {
    case ScalarType::BFloat16: return f(BFloat16{});
    case ScalarType::Half: return f(Half{});
    default: return f(float{});
  }
}

// The same for any dtype that operators take.
template <class F>
void with_type(ScalarType dtype, const F& f) {
  return dtype == ScalarType::Double ? f(double{}) : with_float_type(dtype, f);
}

__host__ __device__ inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The quotient, in 32 bits where they suffice: 64-bit division takes many times longer.
__device__ inline int64_t divide(int64_t a, int64_t b) {
  const bool narrow = static_cast<uint64_t>(a | b) >> 32 == 0;
  return narrow ? static_cast<uint32_t>(a) / static_cast<uint32_t>(b) : a / b;
}

// Whether vectors may begin at p.
inline bool is_aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// The block's shared memory.
template <class T>
__device__ T* shared_memory() {
  extern __shared__ double shared_bytes[];  // aligned for any T
  return reinterpret_cast<T*>(shared_bytes);
}

}  // namespace sg::cuda
