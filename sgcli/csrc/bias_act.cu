// y = clamp(gain · leaky_relu(x + b, slope), ±limit) and its derivative, told from y; slope 1 is linear, 0 is ReLU.
//
// Both read and write memory in order, 16 bytes per thread and step. The bias gradient is summed in the same pass: a
// block sums its share of some channels, and one more, small kernel adds up the shares, always in the same order.
#include <algorithm>
#include <optional>
#include <tuple>

#include "activation.cuh"
#include "device.cuh"
#include "format.h"
#include "launch.cuh"

namespace sg::cuda {

namespace {

constexpr int kThreads = 256;

// A dense tensor in memory order: [outer, channels, inner].
struct BiasAct {
  const void* x;  // forward: the input; derivative: the gradient v
  const void* y;  // derivative: the output of the forward pass
  const void* b;  // [channels], added to x; or none
  void* to;
  int64_t outer, channels, inner;
  Shape<double> shape;

  // Sums of the result per channel, as [shares, channels] in Compute<S>.
  void* sums;
  int64_t shares;
  int slots;  // vectors of channels that a block sums side by side

  __host__ __device__ int64_t total() const { return outer * channels * inner; }
};

// `count` neighbouring elements, beginning with element `at`; their values also go to `result`.
template <class S, int kSize, bool kDerivative>
__device__ void apply(const BiasAct& p, int64_t at, int count, Compute<S> (&result)[kSize]) {
  using T = Compute<S>;
  using Elements = Vector<S, kSize>;
  const Shape<T> shape{static_cast<T>(p.shape.slope), static_cast<T>(p.shape.gain), static_cast<T>(p.shape.limit)};
  const Elements x = Elements::load(static_cast<const S*>(p.x) + at, count);
  const Elements y = kDerivative ? Elements::load(static_cast<const S*>(p.y) + at, count) : Elements{};

  const int64_t run = divide(at, p.inner);
  int64_t channel = run - divide(run, p.channels) * p.channels, left = (run + 1) * p.inner - at;
  const S* b = static_cast<const S*>(p.b);
  T bias = b ? static_cast<T>(b[channel]) : T(0);
  Elements to;
#pragma unroll
  for (int l = 0; l < kSize; l++) {
    if (left-- == 0) {  // the next channel begins
      left = p.inner - 1;
      channel = channel + 1 == p.channels ? 0 : channel + 1;
      bias = b ? static_cast<T>(b[channel]) : T(0);
    }
    const T v = static_cast<T>(x.lane[l]) + bias;
    result[l] = kDerivative ? v * shape.derivative(static_cast<T>(y.lane[l])) : shape.value(v);
    to.lane[l] = static_cast<S>(result[l]);
  }
  to.store(static_cast<S*>(p.to) + at, count);
}

template <class S, int kSize, bool kDerivative>
__global__ void __launch_bounds__(kThreads) apply_kernel(BiasAct p) {
  const int64_t total = p.total(), step = static_cast<int64_t>(gridDim.x) * blockDim.x * kSize;
  for (int64_t at = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kSize; at < total; at += step) {
    Compute<S> result[kSize];
    apply<S, kSize, kDerivative>(p, at, total - at < kSize ? static_cast<int>(total - at) : kSize, result);
  }
}

// How the sums are shared out among blocks. A block takes one channel, whose elements lie in runs of `inner` (kApart
// false); or, where `inner` is 1, slots · kSize channels, and each lane of a vector has its own (kApart true).
template <int kSize, bool kApart>
struct Shares {
  static constexpr int64_t kBlocks = 1024, kStepsPerThread = 8;  // enough blocks for any GPU, enough work for each
  int64_t groups, steps;  // blocks side by side; vectors that the sum of a channel has

  __host__ __device__ explicit Shares(const BiasAct& p)
      : groups(kApart ? ceil_div(p.channels, p.slots * kSize) : p.channels),
        steps(p.outer * p.inner / (kApart ? 1 : kSize)) {}

  static Shares divide_up(BiasAct& p) {
    p.slots = 1;
    while (kApart && p.slots < 32 && p.slots * kSize < p.channels) p.slots *= 2;
    const Shares shares(p);
    const int64_t most = ceil_div(shares.steps, kStepsPerThread * kThreads / p.slots);
    p.shares = std::min(ceil_div(kBlocks, shares.groups), most);
    return shares;
  }
};

// Adds up what each thread has, over the threads of equal slot: the first row of threads gets the sums.
template <class T, int kSize>
__device__ void add_rows(T (&sum)[kSize], int slots) {
  T* partial = shared_memory<T>() + threadIdx.x * kSize;
  for (int l = 0; l < kSize; l++) partial[l] = sum[l];
  for (int half = blockDim.x / 2; half >= slots; half /= 2) {
    __syncthreads();
    for (int l = 0; l < kSize && static_cast<int>(threadIdx.x) < half; l++) partial[l] += partial[half * kSize + l];
  }
  for (int l = 0; l < kSize; l++) sum[l] = partial[l];
  __syncthreads();
}

// The derivative and, per share, its sums.
template <class S, int kSize, bool kApart>
__global__ void __launch_bounds__(kThreads) sum_kernel(BiasAct p) {
  using T = Compute<S>;
  const Shares<kSize, kApart> shares(p);
  const int slot = threadIdx.x % p.slots, row = threadIdx.x / p.slots, rows = blockDim.x / p.slots;
  const int64_t steps = ceil_div(shares.steps, p.shares);
  for (int64_t job = blockIdx.x; job < shares.groups * p.shares; job += gridDim.x) {
    const int64_t share = divide(job, shares.groups), group = job - share * shares.groups;
    const int64_t channel = kApart ? (group * p.slots + slot) * kSize : group;
    const int64_t end = (share + 1) * steps < shares.steps ? (share + 1) * steps : shares.steps;
    T sum[kSize] = {};
    for (int64_t i = share * steps + row; i < end && channel < p.channels; i += rows) {
      const int64_t outer = kApart ? i : divide(i * kSize, p.inner), rest = kApart ? 0 : i * kSize - outer * p.inner;
      T result[kSize];
      apply<S, kSize, true>(p, (outer * p.channels + channel) * p.inner + rest, kSize, result);
#pragma unroll
      for (int l = 0; l < kSize; l++) sum[l] += result[l];
    }
    add_rows(sum, p.slots);
    if (row > 0 || channel >= p.channels) continue;
    T* to = static_cast<T*>(p.sums) + share * p.channels + channel;
    for (int l = 1; l < kSize && !kApart; l++) sum[0] += sum[l];
    for (int l = 0; l < (kApart ? kSize : 1); l++) to[l] = sum[l];
  }
}

// db[channel] = sum over the shares.
template <class S>
__global__ void __launch_bounds__(kThreads) add_shares_kernel(BiasAct p) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; c < p.channels; c += step) {
    const Compute<S>* shares = static_cast<const Compute<S>*>(p.sums) + c;
    Compute<S> sum = 0;
    for (int64_t share = 0; share < p.shares; share++) sum += shares[share * p.channels];
    static_cast<S*>(p.to)[c] = static_cast<S>(sum);
  }
}

// Calls f(size) with the vector size that the addresses allow.
template <class S, class F>
void with_vectors(const BiasAct& p, bool possible, const F& f) {
  if (possible && is_aligned(p.x) && is_aligned(p.y) && is_aligned(p.to)) {
    f(std::integral_constant<int, kVectorSize<S>>{});
  } else {
    f(std::integral_constant<int, 1>{});
  }
}

template <class S, bool kDerivative>
void run(const BiasAct& p, const Tensor& x) {
  with_vectors<S>(p, true, [&](auto size) {
    constexpr int kSize = decltype(size)::value;
    launch<BiasAct>({apply_kernel<S, kSize, kDerivative>, p, ceil_div(p.total(), kThreads * kSize), kThreads, 0}, x);
  });
}

template <class S>
void run_with_sums(BiasAct p, const Tensor& db) {
  const auto sum = [&](auto size, auto apart) {
    constexpr int kSize = decltype(size)::value;
    constexpr bool kApart = decltype(apart)::value;
    const auto shares = Shares<kSize, kApart>::divide_up(p);
    const auto dtype = std::is_same_v<S, double> ? ScalarType::Double : ScalarType::Float;
    const Tensor sums = torch::stable::empty({p.shares, p.channels}, dtype, std::nullopt, db.device());
    p.sums = sums.data_ptr();
    const int64_t shared = kThreads * kSize * sizeof(Compute<S>);
    launch<BiasAct>({sum_kernel<S, kSize, kApart>, p, shares.groups * p.shares, kThreads, shared}, db);
    p.to = db.data_ptr();
    launch<BiasAct>({add_shares_kernel<S>, p, ceil_div(p.channels, kThreads), kThreads, 0}, db);
  };
  const bool apart = p.inner == 1;
  with_vectors<S>(p, (apart ? p.channels : p.inner) % kVectorSize<S> == 0, [&](auto size) {
    if (apart) {
      sum(size, std::true_type{});
    } else {
      sum(size, std::false_type{});
    }
  });
}

// What both directions share. The limit is that of the stored outputs, which tell the derivative.
BiasAct prepare(const Tensor& x, const OptionalTensor& b, int64_t dim, double slope, double gain,
                std::optional<double> clamp) {
  const Runs runs = make_runs(x, dim);
  STD_TORCH_CHECK(!b || b->numel() == runs.channels, "b: one number per channel wanted");
  BiasAct p{};
  p.x = x.const_data_ptr();
  p.b = b ? b->const_data_ptr() : nullptr;
  p.channels = runs.channels;
  p.inner = runs.inner;
  p.outer = runs.total == 0 ? 0 : runs.total / (runs.channels * runs.inner);
  with_type(x.scalar_type(), [&](auto zero) {
    const auto shape = make_shape<decltype(zero)>(slope, gain, clamp);
    p.shape = {shape.slope, shape.gain, shape.limit};
  });
  return p;
}

Tensor bias_act(const Tensor& x_any, const OptionalTensor& b_any, int64_t dim, double slope, double gain,
                std::optional<double> clamp) {
  const Tensor x = dense(x_any), y = torch::stable::empty_like(x);
  const OptionalTensor b = numbers_like(b_any, x);
  BiasAct p = prepare(x, b, dim, slope, gain, clamp);
  p.to = y.data_ptr();
  if (p.total() == 0) return y;
  with_type(x.scalar_type(), [&](auto zero) {
    using S = decltype(zero);
    run<S, false>(p, x);
  });
  return y;
}

// dx = (v + b) · f'(y) and, if asked for, its sum per channel.
std::tuple<Tensor, Tensor> bias_act_grad(const Tensor& v_any, const OptionalTensor& b_any, const Tensor& y, int64_t dim,
                                         double slope, double gain, std::optional<double> clamp, bool sum) {
  const Tensor v = like(v_any, y), dx = torch::stable::empty_like(y);
  const OptionalTensor b = numbers_like(b_any, y);
  BiasAct p = prepare(v, b, dim, slope, gain, clamp);
  p.y = y.const_data_ptr();
  p.to = dx.data_ptr();
  Tensor db = torch::stable::empty({sum ? p.channels : 0}, y.scalar_type(), std::nullopt, y.device());
  if (p.total() == 0) return {dx, torch::stable::zero_(db)};
  with_type(y.scalar_type(), [&](auto zero) {
    using S = decltype(zero);
    if (sum) {
      run_with_sums<S>(p, db);
    } else {
      run<S, true>(p, y);
    }
  });
  return {dx, db};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(sg, CUDA, m) {
  m.impl("bias_act", TORCH_BOX(&bias_act));
  m.impl("bias_act_grad", TORCH_BOX(&bias_act_grad));
}

}  // namespace sg::cuda
