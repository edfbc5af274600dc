// CUDA kernels on a CPU: csrc/*.cu compiled by a C++ compiler with this header before them, for machines without a GPU.
//
// It gives CUDA's words a meaning, takes the place of csrc/launch.cuh and registers the operators for tensors on the CPU,
// so that the operators' own tests run on them. What it shows is that indexing, arithmetic and barriers are right. It runs
// a block at a time and its threads as fibers, each up to its next barrier; odd blocks in descending order, so that a
// missing barrier gives wrong numbers in one order or the other. Shared memory is filled with NaN before each block.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#define SG_CUDA_LAUNCH
#define CUDA CPU
#define __global__
#define __device__
#define __host__
#define __shared__
#define __launch_bounds__(threads)
#define __syncthreads() sg::cuda::on_cpu::barrier()

struct Index {
  unsigned x;
};
inline Index threadIdx, blockIdx, blockDim, gridDim;

namespace sg::cuda {

constexpr int64_t kMostShared = 99 << 10;  // of a block on an RTX 30 to 50, the least of the GPUs in use
inline double shared_bytes[kMostShared / sizeof(double)];

template <class Params>
struct Launch;

namespace on_cpu {

constexpr int kMostThreads = 256, kMostBlocks = 32;
constexpr size_t kStack = 64 << 10;

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStack]};
  bool finished;
};
inline Fiber fibers[kMostThreads];
inline ucontext_t scheduler;
inline void (*call_kernel)();

inline void barrier() { swapcontext(&fibers[threadIdx.x].context, &scheduler); }

inline void run_fiber() {
  call_kernel();
  fibers[threadIdx.x].finished = true;
}

inline void run_block(int threads) {
  for (int t = 0; t < threads; t++) {
    getcontext(&fibers[t].context);
    fibers[t].context.uc_stack = {fibers[t].stack.get(), 0, kStack};
    fibers[t].context.uc_link = &scheduler;
    fibers[t].finished = false;
    makecontext(&fibers[t].context, run_fiber, 0);
  }
  for (int finished = 0; finished == 0;) {
    for (int i = 0; i < threads; i++) {
      threadIdx.x = blockIdx.x % 2 ? threads - 1 - i : i;
      swapcontext(&scheduler, &fibers[threadIdx.x].context);
      finished += fibers[threadIdx.x].finished;
    }
    STD_TORCH_CHECK(finished == 0 || finished == threads, "some threads wait at a barrier that others never reach");
  }
}

}  // namespace on_cpu

// In few blocks, each with many jobs: kernels take any number.
template <class Params>
void launch(const Launch<Params>& l, const torch::stable::Tensor&) {
  static std::mutex one_at_a_time;
  static Launch<Params> now;
  const std::lock_guard<std::mutex> guard(one_at_a_time);
  now = l;
  on_cpu::call_kernel = [] { now.kernel(now.params); };
  blockDim.x = l.threads;
  gridDim.x = static_cast<unsigned>(std::min<int64_t>(l.blocks, on_cpu::kMostBlocks));
  STD_TORCH_CHECK(l.threads <= on_cpu::kMostThreads && l.shared <= kMostShared, "too large a block");
  for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) {
    std::memset(shared_bytes, 0xff, kMostShared);
    on_cpu::run_block(l.threads);
    const char *begin = reinterpret_cast<const char*>(shared_bytes), *end = begin + kMostShared;
    STD_TORCH_CHECK(std::all_of(begin + l.shared, end, [](char c) { return c == '\xff'; }), "written past shared memory");
  }
}

// All threads of the block call it together here.
template <class T>
T sum_of_lanes(T value, int width) {
  static T values[on_cpu::kMostThreads];
  const unsigned thread = threadIdx.x;
  values[thread] = value;
  on_cpu::barrier();
  T sum = 0;
  for (unsigned i = thread; i < thread / width * width + width; i++) sum += values[i];
  on_cpu::barrier();
  return sum;
}

inline int64_t most_shared(const torch::stable::Tensor&) { return kMostShared; }

}  // namespace sg::cuda
