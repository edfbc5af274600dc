// y = clamp(gain · leaky_relu(x · scale + noise + b)) · out_scale, a row of pixels at a time.
#include <algorithm>
#include <numeric>
#include <tuple>

#include "activation.h"
#include "image.h"

namespace sg {

namespace {

// The small tensors, filled in where absent: per channel (in whole blocks), per sample and channel, per pixel.
template <class T>
struct Factors {
  int64_t channels;                         // of whole blocks
  std::vector<T> b, scale, out_scale, noise;  // [channels], [n][channels], [n][channels], [n or 1][h][w] or empty
  int64_t noise_step = 0;                   // from sample to sample

  Factors(const Image& x, const OptionalTensor& b_, const OptionalTensor& scale_, const OptionalTensor& noise_,
          const OptionalTensor& out_scale_)
      : channels(x.blocks() * kLanes) {
    if (b_) b = read_vector<T>(*b_, channels);
    b.resize(channels);
    scale = scale_ ? read_per_sample<T>(*scale_, x) : std::vector<T>(x.n * channels, T(1));
    out_scale = out_scale_ ? read_per_sample<T>(*out_scale_, x) : std::vector<T>(x.n * channels, T(1));
    if (noise_) {
      noise = read_vector<T>(*noise_, noise_->numel());
      noise_step = noise_->size(0) == 1 ? 0 : x.h * x.w;
    }
  }

  T noise_at(const Image& image, int64_t n, int64_t y, int64_t x) const {
    return noise.empty() ? T(0) : noise[n * noise_step + y * image.w + x];
  }
};

constexpr int64_t kTileBlocks = 128;
constexpr int64_t kTaskBlocks = 2048;  // what a thread does at least

int64_t pixels_of_tile(const Image& image) {
  return std::max<int64_t>(image.channels_last ? 1 : kLanes, kTileBlocks / image.blocks());
}

int64_t rows_of_task(const Image& image) {
  return std::clamp<int64_t>(kTaskBlocks / (image.w * image.blocks()), 1, image.h);
}

template <class S>
Tensor forward(const Tensor& x, const OptionalTensor& b, const OptionalTensor& scale, const OptionalTensor& noise,
               const OptionalTensor& out_scale, const Shape<Compute<S>>& shape) {
  using T = Compute<S>;
  Tensor y = torch::stable::empty_like(x);
  if (x.numel() == 0) return y;
  const Image in = as_image(x), out = as_image(y);
  const Factors<T> factors(in, b, scale, noise, out_scale);
  const auto load_row = row_loader<T>(in);
  const auto store_row = row_storer<T>(out);
  const int64_t blocks = in.blocks(), pixels = pixels_of_tile(in);
  torch::stable::parallel_for(0, in.n * in.h, rows_of_task(in), [&](int64_t begin, int64_t end) {
    std::vector<Block<T>> row(pixels * blocks);
    for (int64_t i = begin; i < end; i++) {
      const int64_t n = i / in.h, line = i % in.h;
      const T *scales = &factors.scale[n * factors.channels], *out_scales = &factors.out_scale[n * factors.channels];
      for (int64_t x0 = 0; x0 < in.w; x0 += pixels) {
        const Span span{n, 0, blocks, line, x0, std::min(x0 + pixels, in.w)};
        load_row(in, span, row.data(), {blocks, 1});
        for (int64_t p = 0; p < span.x1 - x0; p++) {
          const auto pixel_noise = splat(factors.noise_at(in, n, line, x0 + p));
          for (int64_t k = 0; k < blocks; k++) {
            Block<T>& v = row[p * blocks + k];
            v = v * load<T>(scales + k * kLanes) + (load<T>(&factors.b[k * kLanes]) + pixel_noise);
            v = shape.value(v) * load<T>(out_scales + k * kLanes);
          }
        }
        store_row(out, span, row.data(), {blocks, 1});
      }
    }
  });
  return y;
}

template <class T>
T sum_of_lanes(const Block<T>& block) {
  const T* lanes = reinterpret_cast<const T*>(&block);
  return std::accumulate(lanes, lanes + kLanes, T(0));
}

// The derivative: dx; sums over the pixels [3, n, c] that make the gradients of b, scale and out_scale; and of noise,
// before any sum over the samples, [n, 1, h, w].
template <class S>
std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dy, const Tensor& x, const OptionalTensor& b,
                                            const OptionalTensor& scale, const OptionalTensor& noise,
                                            const OptionalTensor& out_scale, const Shape<Compute<S>>& shape) {
  using T = Compute<S>;
  const Image in = as_image(x), grad_in = as_image(dy);
  const auto dtype = std::is_same_v<T, double> ? ScalarType::Double : ScalarType::Float;
  Tensor dx = torch::stable::empty_like(x);
  Tensor sums = torch::stable::empty({3, in.n, in.c}, dtype, std::nullopt, x.device());
  Tensor dnoise = torch::stable::empty({noise ? in.n : 0, 1, in.h, in.w}, dtype, std::nullopt, x.device());
  if (x.numel() == 0) return {dx, torch::stable::zero_(sums), torch::stable::zero_(dnoise)};
  const Image out = as_image(dx);
  const Factors<T> factors(in, b, scale, noise, out_scale);
  const auto load_row = row_loader<T>(in);
  const auto store_row = row_storer<T>(out);
  const int64_t blocks = in.blocks(), pixels = pixels_of_tile(in);
  T* noise_gradient = noise ? static_cast<T*>(dnoise.mutable_data_ptr()) : nullptr;

  // Each task sums for itself; tasks are added up in order, so that the result is the same on every run.
  const int64_t rows = rows_of_task(in), tasks = (in.h + rows - 1) / rows;  // per sample
  std::vector<Block<T>> partial(in.n * tasks * 3 * blocks);
  torch::stable::parallel_for(0, in.n * tasks, 1, [&](int64_t begin, int64_t end) {
    std::vector<Block<T>> row(pixels * blocks), gradient(pixels * blocks);
    for (int64_t task = begin; task < end; task++) {
      const int64_t n = task / tasks, first = task % tasks * rows;
      const T *scales = &factors.scale[n * factors.channels], *out_scales = &factors.out_scale[n * factors.channels];
      Block<T>* sum = &partial[task * 3 * blocks];
      for (int64_t line = first; line < std::min(first + rows, in.h); line++) {
        for (int64_t x0 = 0; x0 < in.w; x0 += pixels) {
          const Span span{n, 0, blocks, line, x0, std::min(x0 + pixels, in.w)};
          load_row(in, span, row.data(), {blocks, 1});
          load_row(grad_in, span, gradient.data(), {blocks, 1});
          for (int64_t p = 0; p < span.x1 - x0; p++) {
            const auto pixel_noise = splat(factors.noise_at(in, n, line, x0 + p));
            Block<T> total{};
            for (int64_t k = 0; k < blocks; k++) {
              const Block<T> v = row[p * blocks + k], s = load<T>(scales + k * kLanes);
              Block<T>& g = gradient[p * blocks + k];
              const auto y = shape.value(v * s + (load<T>(&factors.b[k * kLanes]) + pixel_noise));
              sum[2 * blocks + k] = sum[2 * blocks + k] + g * y;
              g = g * load<T>(out_scales + k * kLanes) * shape.derivative(y);
              sum[k] = sum[k] + g;
              sum[blocks + k] = sum[blocks + k] + g * v;
              total = total + g;
              g = g * s;
            }
            if (noise_gradient) noise_gradient[(n * in.h + line) * in.w + x0 + p] = sum_of_lanes(total);
          }
          store_row(out, span, gradient.data(), {blocks, 1});
        }
      }
    }
  });
  T* to = static_cast<T*>(sums.mutable_data_ptr());
  for (int64_t which = 0; which < 3; which++) {
    for (int64_t n = 0; n < in.n; n++) {
      for (int64_t c = 0; c < in.c; c++) {
        double channel = 0;
        for (int64_t t = 0; t < tasks; t++) {
          channel += reinterpret_cast<const T*>(&partial[((n * tasks + t) * 3 + which) * blocks])[c];
        }
        to[(which * in.n + n) * in.c + c] = static_cast<T>(channel);
      }
    }
  }
  return {dx, sums, dnoise};
}

Tensor modulated_bias_act(const Tensor& x_any, const OptionalTensor& b, const OptionalTensor& scale,
                          const OptionalTensor& noise, const OptionalTensor& out_scale, double slope, double gain,
                          std::optional<double> clamp) {
  const Tensor x = dense(x_any);
  const auto run = [&](auto zero) {
    using S = decltype(zero);
    return forward<S>(x, b, scale, noise, out_scale, make_shape<S>(slope, gain, clamp));
  };
  switch (x.scalar_type()) {
    case ScalarType::Double: return run(double());
    case ScalarType::BFloat16: return run(BFloat16());
    case ScalarType::Half: return run(Half());
    default: return run(float());
  }
}

std::tuple<Tensor, Tensor, Tensor> modulated_bias_act_grad(const Tensor& dy_any, const Tensor& x_any,
                                                           const OptionalTensor& b, const OptionalTensor& scale,
                                                           const OptionalTensor& noise, const OptionalTensor& out_scale,
                                                           double slope, double gain, std::optional<double> clamp) {
  const Tensor x = dense(x_any), dy = like(dy_any, x);
  const auto run = [&](auto zero) {
    using S = decltype(zero);
    return backward<S>(dy, x, b, scale, noise, out_scale, make_shape<S>(slope, gain, clamp));
  };
  switch (x.scalar_type()) {
    case ScalarType::Double: return run(double());
    case ScalarType::BFloat16: return run(BFloat16());
    case ScalarType::Half: return run(Half());
    default: return run(float());
  }
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(sg, CPU, m) {
  m.impl("modulated_bias_act", TORCH_BOX(&modulated_bias_act));
  m.impl("modulated_bias_act_grad", TORCH_BOX(&modulated_bias_act_grad));
}

}  // namespace sg
