// y = clamp(gain · leaky_relu(x · scale + noise + b)) · out_scale and its derivative, each in one pass over memory.
//
// A sample is a matrix of channels and pixels, whose faster dimension in memory is `fast` here and whose other is `slow`.
// Threads lie side by side along `fast`, 16 bytes each, and step along `slow`; so what belongs to a thread's channels (or
// pixels) stays in its registers. The derivative sums over pixels for the channels' factors and over channels for the
// noise: along `slow` in registers, along `fast` across the lanes of a warp. Blocks leave shares of the sums, and one
// more, small kernel adds these up, always in the same order.
#include <algorithm>
#include <optional>
#include <tuple>

#include "activation.cuh"
#include "device.cuh"
#include "format.h"
#include "launch.cuh"

namespace sg::cuda {

namespace {

constexpr int kThreads = 256, kWarp = 32;
constexpr int kSums = 3;  // of a channel: the gradients of b, scale and out_scale

// The work of all blocks. Factors and sums are in T = Compute<S>; absent factors are null.
template <class T>
struct Modulated {
  const void *x, *dy;  // S[n, channels, pixels], or [n, pixels, channels] where channels are last
  const T *b, *scale, *noise, *out_scale;
  void* to;
  int64_t n, channels, pixels;
  int64_t noise_step;  // from sample to sample
  Shape<T> shape;

  T *channel_sums, *noise_sums;  // [shares, kSums, n, channels], [shares, n, pixels]; the latter may be null

  // How a sample is cut: `width` threads side by side, and `steps` along `slow` for each.
  int64_t fast, slow, fast_tiles, slow_tiles, steps;
  int width;

  __host__ __device__ int rows() const { return kThreads / width; }
  __host__ __device__ int64_t tiles() const { return n * fast_tiles * slow_tiles; }
};

// What a thread works on: `kSize` neighbours along `fast`, beginning with `at`, and every so many of `slow`.
struct Place {
  int64_t n, fast_tile, slow_tile, at, begin, end;

  template <class T>
  __device__ Place(const Modulated<T>& p, int64_t tile, int size) {
    const int64_t run = divide(tile, p.fast_tiles);
    fast_tile = tile - run * p.fast_tiles;
    n = divide(run, p.slow_tiles);
    slow_tile = run - n * p.slow_tiles;
    at = (fast_tile * p.width + threadIdx.x % p.width) * size;
    const int64_t length = p.rows() * p.steps, stop = (slow_tile + 1) * length;
    begin = slow_tile * length + threadIdx.x / p.width;
    end = stop < p.slow ? stop : p.slow;
  }
};

// The factors of `kSize` neighbours.
template <class T, int kSize>
struct Factors {
  T b[kSize], scale[kSize], out_scale[kSize], noise[kSize];

  // Those of channels from `c`: one each, or (kStep 0) the same channel for all.
  template <int kStep>
  __device__ void load_channels(const Modulated<T>& p, int64_t n, int64_t c) {
#pragma unroll
    for (int l = 0; l < kSize; l++) {
      const int64_t channel = c + l * kStep;
      b[l] = p.b ? p.b[channel] : T(0);
      scale[l] = p.scale ? p.scale[n * p.channels + channel] : T(1);
      out_scale[l] = p.out_scale ? p.out_scale[n * p.channels + channel] : T(1);
    }
  }
  template <int kStep>
  __device__ void load_pixels(const Modulated<T>& p, int64_t n, int64_t pixel) {
#pragma unroll
    for (int l = 0; l < kSize; l++) noise[l] = p.noise ? p.noise[n * p.noise_step + pixel + l * kStep] : T(0);
  }

  template <bool kChannelsLast>
  __device__ void load_fast(const Modulated<T>& p, const Place& place) {
    if constexpr (kChannelsLast) {
      load_channels<1>(p, place.n, place.at);
    } else {
      load_pixels<1>(p, place.n, place.at);
    }
  }
  template <bool kChannelsLast>
  __device__ void load_slow(const Modulated<T>& p, const Place& place, int64_t i) {
    if constexpr (kChannelsLast) {
      load_pixels<0>(p, place.n, i);
    } else {
      load_channels<0>(p, place.n, i);
    }
  }

  __device__ T before(int l, T x) const { return x * scale[l] + (b[l] + noise[l]); }
};

template <class S, int kSize, bool kChannelsLast>
__global__ void __launch_bounds__(kThreads) forward_kernel(Modulated<Compute<S>> p) {
  using T = Compute<S>;
  using Elements = Vector<S, kSize>;
  for (int64_t tile = blockIdx.x; tile < p.tiles(); tile += gridDim.x) {
    const Place place(p, tile, kSize);
    if (place.at >= p.fast) continue;
    Factors<T, kSize> factors;
    factors.template load_fast<kChannelsLast>(p, place);
    for (int64_t i = place.begin; i < place.end; i += p.rows()) {
      const int64_t at = (place.n * p.slow + i) * p.fast + place.at;
      Elements v = Elements::load(static_cast<const S*>(p.x) + at);
      factors.template load_slow<kChannelsLast>(p, place, i);
#pragma unroll
      for (int l = 0; l < kSize; l++) {
        const T y = p.shape.value(factors.before(l, static_cast<T>(v.lane[l])));
        v.lane[l] = static_cast<S>(y * factors.out_scale[l]);
      }
      v.store(static_cast<S*>(p.to) + at);
    }
  }
}

// What one element adds to the sums.
template <class T>
struct Parts {
  T sums[kSums], noise;
};

// dx of one element.
template <class T, int kSize>
__device__ T differentiate(const Shape<T>& shape, const Factors<T, kSize>& factors, int l, T dy, T x, Parts<T>& parts) {
  const T y = shape.value(factors.before(l, x));
  const T dv = dy * factors.out_scale[l] * shape.derivative(y);
  parts = {{dv, dv * x, dy * y}, dv};
  return dv * factors.scale[l];
}

// Adds up what the rows of a block have: the threads of the first row get the sums.
template <class T, int kCount>
__device__ void add_rows(T (&sum)[kCount], int width) {
  T* partial = shared_memory<T>() + threadIdx.x;  // [kCount][kThreads]
  for (int k = 0; k < kCount; k++) partial[k * kThreads] = sum[k];
  for (int half = kThreads / 2; half >= width; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) >= half) continue;
    for (int k = 0; k < kCount; k++) partial[k * kThreads] += partial[k * kThreads + half];
  }
  for (int k = 0; k < kCount; k++) sum[k] = partial[k * kThreads];
  __syncthreads();
}

template <class S, int kSize, bool kChannelsLast>
__global__ void __launch_bounds__(kThreads) backward_kernel(Modulated<Compute<S>> p) {
  using T = Compute<S>;
  using Elements = Vector<S, kSize>;
  constexpr int kFastSums = kChannelsLast ? kSums : 1, kSlowSums = kChannelsLast ? 1 : kSums;
  for (int64_t tile = blockIdx.x; tile < p.tiles(); tile += gridDim.x) {
    const Place place(p, tile, kSize);
    const bool inside = place.at < p.fast;
    Factors<T, kSize> factors{};
    if (inside) factors.template load_fast<kChannelsLast>(p, place);
    T fast_sums[kFastSums * kSize] = {};
    for (int64_t step = 0, i = place.begin; step < p.steps; step++, i += p.rows()) {  // all threads of a warp together
      T slow_sums[kSlowSums] = {};
      if (inside && i < place.end) {
        const int64_t at = (place.n * p.slow + i) * p.fast + place.at;
        const Elements x = Elements::load(static_cast<const S*>(p.x) + at);
        Elements v = Elements::load(static_cast<const S*>(p.dy) + at);
        factors.template load_slow<kChannelsLast>(p, place, i);
#pragma unroll
        for (int l = 0; l < kSize; l++) {
          Parts<T> parts;
          const T dy = static_cast<T>(v.lane[l]);
          v.lane[l] = static_cast<S>(differentiate(p.shape, factors, l, dy, static_cast<T>(x.lane[l]), parts));
#pragma unroll
          for (int k = 0; k < kFastSums; k++) fast_sums[k * kSize + l] += kChannelsLast ? parts.sums[k] : parts.noise;
#pragma unroll
          for (int k = 0; k < kSlowSums; k++) slow_sums[k] += kChannelsLast ? parts.noise : parts.sums[k];
        }
        v.store(static_cast<S*>(p.to) + at);
      }
      if (kChannelsLast && !p.noise_sums) continue;
      for (int k = 0; k < kSlowSums; k++) {
        const T sum = sum_of_lanes(slow_sums[k], p.width);
        if (threadIdx.x % p.width || i >= place.end) continue;
        const int64_t row = (place.fast_tile * kSlowSums + k) * p.n + place.n;
        (kChannelsLast ? p.noise_sums : p.channel_sums)[row * p.slow + i] = sum;
      }
    }
    if (!kChannelsLast && !p.noise_sums) continue;
    add_rows(fast_sums, p.width);
    if (static_cast<int>(threadIdx.x) >= p.width || !inside) continue;
    for (int k = 0; k < kFastSums; k++) {
      const int64_t row = (place.slow_tile * kFastSums + k) * p.n + place.n;
      T* to = (kChannelsLast ? p.channel_sums : p.noise_sums) + row * p.fast + place.at;
      for (int l = 0; l < kSize; l++) to[l] = fast_sums[k * kSize + l];
    }
  }
}

template <class T>
struct SharesOfSums {
  const T* from;  // [shares, count]
  T* to;          // [count]
  int64_t shares, count;
};

template <class T>
__global__ void __launch_bounds__(kThreads) add_shares_kernel(SharesOfSums<T> p) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < p.count; i += step) {
    T sum = 0;
    for (int64_t share = 0; share < p.shares; share++) sum += p.from[share * p.count + i];
    p.to[i] = sum;
  }
}

// Small tensors, kept alive in the dtype that they are computed in while kernels are started.
struct Inputs {
  Tensor x;
  OptionalTensor b, scale, noise, out_scale;

  Inputs(const Tensor& x_any, const OptionalTensor& b_, const OptionalTensor& scale_, const OptionalTensor& noise_,
         const OptionalTensor& out_scale_)
      : x(dense(x_any)), b(in_full(b_)), scale(in_full(scale_)), noise(in_full(noise_)), out_scale(in_full(out_scale_)) {
    STD_TORCH_CHECK(x.dim() == 4, "x: rank ", x.dim(), " given, 4 wanted");
    const int64_t n = x.size(0), c = x.size(1), pixels = x.size(2) * x.size(3);
    STD_TORCH_CHECK(!b || b->numel() == c, "b: one number per channel wanted");
    STD_TORCH_CHECK(!scale || scale->numel() == n * c, "scale: one number per sample and channel wanted");
    STD_TORCH_CHECK(!out_scale || out_scale->numel() == n * c, "out_scale: one number per sample and channel wanted");
    STD_TORCH_CHECK(!noise || noise->numel() == pixels || noise->numel() == n * pixels,
                    "noise: one number per pixel wanted");
  }

  ScalarType full_type() const {
    return x.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
  }
  OptionalTensor in_full(const OptionalTensor& t) const {
    if (!t) return t;
    STD_TORCH_CHECK(t->device() == x.device(), "b, scale, noise, out_scale: on another device than x");
    return torch::stable::contiguous(t->scalar_type() == full_type() ? *t : torch::stable::to(*t, full_type()));
  }
};

template <class S>
Modulated<Compute<S>> prepare(const Inputs& inputs, const Shape<Compute<S>>& shape) {
  using T = Compute<S>;
  const auto numbers = [](const OptionalTensor& t) { return t ? static_cast<const T*>(t->const_data_ptr()) : nullptr; };
  Modulated<T> p{};
  p.x = inputs.x.const_data_ptr();
  p.b = numbers(inputs.b);
  p.scale = numbers(inputs.scale);
  p.noise = numbers(inputs.noise);
  p.out_scale = numbers(inputs.out_scale);
  p.n = inputs.x.size(0);
  p.channels = inputs.x.size(1);
  p.pixels = inputs.x.size(2) * inputs.x.size(3);
  p.noise_step = inputs.noise && inputs.noise->numel() > p.pixels ? p.pixels : 0;
  p.shape = shape;
  return p;
}

// Cuts the samples into tiles for threads of `size` elements: enough tiles for any GPU, enough work in each.
template <class T>
void cut(Modulated<T>& p, int size, bool channels_last) {
  constexpr int64_t kBlocks = 2048, kLeastSteps = 4, kMostSteps = 64;
  p.fast = channels_last ? p.channels : p.pixels;
  p.slow = channels_last ? p.pixels : p.channels;
  p.width = 1;
  while (p.width < kWarp && p.width * size < p.fast) p.width *= 2;
  p.fast_tiles = ceil_div(p.fast, p.width * size);
  p.steps = ceil_div(p.n * p.fast_tiles * p.slow, kBlocks * p.rows());
  p.steps = std::min(std::max(p.steps, kLeastSteps), kMostSteps);
  p.slow_tiles = ceil_div(p.slow, p.rows() * p.steps);
}

// Calls f(size, channels_last) with the vector size that addresses and shape allow.
template <class S, class T, class F>
void with_layout(const Modulated<T>& p, const Tensor& x, const F& f) {
  const bool channels_last = is_channels_last(x);
  const bool vectors = (channels_last ? p.channels : p.pixels) % kVectorSize<S> == 0 && is_aligned(p.x) &&
                       is_aligned(p.dy) && is_aligned(p.to);
  const auto choose = [&](auto size) {
    if (channels_last) {
      f(size, std::true_type{});
    } else {
      f(size, std::false_type{});
    }
  };
  if (vectors) {
    choose(std::integral_constant<int, kVectorSize<S>>{});
  } else {
    choose(std::integral_constant<int, 1>{});
  }
}

Tensor modulated_bias_act(const Tensor& x, const OptionalTensor& b, const OptionalTensor& scale,
                          const OptionalTensor& noise, const OptionalTensor& out_scale, double slope, double gain,
                          std::optional<double> clamp) {
  const Inputs inputs(x, b, scale, noise, out_scale);
  const Tensor y = torch::stable::empty_like(inputs.x);
  with_type(inputs.x.scalar_type(), [&](auto zero) {
    using S = decltype(zero);
    auto p = prepare<S>(inputs, make_shape<S>(slope, gain, clamp));
    p.to = y.data_ptr();
    if (y.numel() == 0) return;
    with_layout<S>(p, inputs.x, [&](auto size, auto channels_last) {
      cut(p, size, channels_last);
      launch<decltype(p)>({forward_kernel<S, size, channels_last>, p, p.tiles(), kThreads, 0}, y);
    });
  });
  return y;
}

// Adds up the shares of sums; one share is its own sum.
template <class T>
void add_shares(const Tensor& shares, const Tensor& sums) {
  if (shares.data_ptr() == sums.data_ptr() || sums.numel() == 0) return;
  const int64_t count = sums.numel();
  const SharesOfSums<T> p{static_cast<const T*>(shares.data_ptr()), static_cast<T*>(sums.data_ptr()), shares.size(0),
                          count};
  launch<SharesOfSums<T>>({add_shares_kernel<T>, p, ceil_div(count, kThreads), kThreads, 0}, sums);
}

// dx; sums over the pixels [3, n, c] that make the gradients of b, scale and out_scale; and of noise, before any sum
// over the samples, [n, 1, h, w].
std::tuple<Tensor, Tensor, Tensor> modulated_bias_act_grad(const Tensor& dy_any, const Tensor& x,
                                                           const OptionalTensor& b, const OptionalTensor& scale,
                                                           const OptionalTensor& noise, const OptionalTensor& out_scale,
                                                           double slope, double gain, std::optional<double> clamp) {
  const Inputs inputs(x, b, scale, noise, out_scale);
  const Tensor dy = like(dy_any, inputs.x), dx = torch::stable::empty_like(inputs.x);
  const auto full = [&](std::initializer_list<int64_t> shape) {
    return torch::stable::empty(shape, inputs.full_type(), std::nullopt, dx.device());
  };
  const int64_t n = dx.size(0), c = dx.size(1), h = dx.size(2), w = dx.size(3);
  Tensor sums = full({kSums, n, c}), dnoise = full({noise ? n : 0, 1, h, w});
  if (dx.numel() == 0) return {dx, torch::stable::zero_(sums), torch::stable::zero_(dnoise)};
  with_type(dx.scalar_type(), [&](auto zero) {
    using S = decltype(zero);
    using T = Compute<S>;
    auto p = prepare<S>(inputs, make_shape<S>(slope, gain, clamp));
    p.dy = dy.const_data_ptr();
    p.to = dx.data_ptr();
    with_layout<S>(p, inputs.x, [&](auto size, auto channels_last) {
      cut(p, size, channels_last);
      const int64_t of_channels = channels_last ? p.slow_tiles : p.fast_tiles;
      const int64_t of_pixels = channels_last ? p.fast_tiles : p.slow_tiles;
      const Tensor channel_sums = of_channels == 1 ? sums : full({of_channels, kSums, n, c});
      const Tensor noise_sums = of_pixels == 1 || !noise ? dnoise : full({of_pixels, n, h, w});
      p.channel_sums = static_cast<T*>(channel_sums.data_ptr());
      p.noise_sums = noise ? static_cast<T*>(noise_sums.data_ptr()) : nullptr;
      const int64_t shared = kThreads * size * (channels_last ? kSums : 1) * sizeof(T);
      launch<decltype(p)>({backward_kernel<S, size, channels_last>, p, p.tiles(), kThreads, shared}, dx);
      add_shares<T>(channel_sums, sums);
      add_shares<T>(noise_sums, dnoise);
    });
  });
  return {dx, sums, dnoise};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(sg, CUDA, m) {
  m.impl("modulated_bias_act", TORCH_BOX(&modulated_bias_act));
  m.impl("modulated_bias_act_grad", TORCH_BOX(&modulated_bias_act_grad));
}

}  // namespace sg::cuda
