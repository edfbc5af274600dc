// Kernels onto the GPU: the only file that calls the CUDA runtime. tests/ops/cuda_on_cpu.h takes its place where there
// is no GPU.
#ifndef SG_CUDA_LAUNCH
#define SG_CUDA_LAUNCH

#include <algorithm>
#include <limits>

#include <cuda_runtime.h>

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/tensor.h>

#include "device.cuh"

namespace sg::cuda {

inline void check(cudaError_t error, const torch::stable::Tensor& x) {
  STD_TORCH_CHECK(error == cudaSuccess, "a kernel could not be started on GPU ", x.get_device_index(), ": ",
                  cudaGetErrorString(error));
}

// Run on the current stream of x's device.
template <class Params>
void launch(const Launch<Params>& l, const torch::stable::Tensor& x) {
  constexpr int64_t kSharedWithoutAsking = 48 << 10, kMostBlocks = std::numeric_limits<int32_t>::max();
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
  if (l.shared > kSharedWithoutAsking) {
    const auto attribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(l.kernel), attribute, static_cast<int>(l.shared)), x);
  }
  const int blocks = static_cast<int>(std::min(l.blocks, kMostBlocks));
  l.kernel<<<blocks, l.threads, l.shared, static_cast<cudaStream_t>(stream)>>>(l.params);
  check(cudaGetLastError(), x);
}

// Bytes of shared memory that x's device gives to a block.
inline int64_t most_shared(const torch::stable::Tensor& x) {
  int bytes = 0;
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, x.get_device_index()), x);
  return bytes;
}

// The sum over `width` neighbouring threads of a warp, for the first of them; `width` is a power of two, and all threads
// of the warp call this together.
template <class T>
__device__ T sum_of_lanes(T value, int width) {
  for (int half = width / 2; half > 0; half /= 2) value += __shfl_down_sync(0xffffffff, value, half, width);
  return value;
}

}  // namespace sg::cuda

#endif  // SG_CUDA_LAUNCH
