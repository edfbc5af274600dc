#include <limits>
#include <tuple>

#include "resample.h"

namespace sg {

namespace {

using Ints = std::vector<int64_t>;

template <class T>
Resampling<T> prepare(const Tensor& x, const OptionalTensor& fu, const OptionalTensor& fd, int64_t up, int64_t down,
                      const Ints& padding, double gain, double slope, bool flip_filter) {
  STD_TORCH_CHECK(padding.size() == 4, "padding: (x0, x1, y0, y1) wanted");
  Resampling<T> r;
  const double tolerance = 4 * std::numeric_limits<T>::epsilon();
  r.up = make_filter(fu, flip_filter, gain * up * up, tolerance);  // leaky ReLU scales with its input
  r.down = make_filter(fd, flip_filter, 1, tolerance);
  r.y = make_axis(x.size(2), up, down, padding[2], padding[3], r.up.h, r.down.h);
  r.x = make_axis(x.size(3), up, down, padding[0], padding[1], r.up.w, r.down.w);
  r.slope = static_cast<T>(slope);
  r.in = as_image(x);
  return r;
}

template <class T>
Tensor run(Resampling<T>& r, const Tensor& x) {
  Tensor y = empty_image(x, r.in.c, r.y.out, r.x.out);
  r.out = as_image(y);
  resample(r);
  return y;
}

Codes as_codes(const Tensor& codes, const Image& image) {
  STD_TORCH_CHECK(codes.dim() == 4 && codes.scalar_type() == ScalarType::Int && codes.is_contiguous() &&
                      codes.size(0) == image.n && codes.size(1) == image.blocks(),
                  "codes: not those of this operator");
  return {static_cast<uint32_t*>(codes.data_ptr()), codes.size(2), codes.size(3)};
}

template <class T>
std::tuple<Tensor, Tensor> forward(const Tensor& x, const OptionalTensor& fu, const OptionalTensor& fd,
                                   const OptionalTensor& b, const OptionalTensor& scale, int64_t up, int64_t down,
                                   const Ints& padding, double gain, double slope, std::optional<double> limit,
                                   bool flip_filter, bool save) {
  Resampling<T> r = prepare<T>(x, fu, fd, up, down, padding, gain, slope, flip_filter);
  r.activation = Activation::kLeakyRelu;
  if (limit) r.limit = static_cast<T>(*limit);
  if (b) r.bias = read_vector<T>(*b, r.in.blocks() * kLanes);
  if (scale) r.scale = read_per_sample<T>(*scale, r.in);
  Tensor codes = torch::stable::empty({save ? r.in.n : 0, r.in.blocks(), r.y.fine(), r.x.fine()}, ScalarType::Int,
                                      std::nullopt, x.device());
  if (save) r.codes = as_codes(codes, r.in);
  Tensor y = run(r, x);
  return {y, codes};
}

template <class T>
Tensor replay(const Tensor& x, const Tensor& codes, const OptionalTensor& fu, const OptionalTensor& fd, int64_t up,
              int64_t down, const Ints& padding, const Ints& offset, double gain, double slope, bool flip_filter) {
  Resampling<T> r = prepare<T>(x, fu, fd, up, down, padding, gain, slope, flip_filter);
  r.activation = Activation::kReplay;
  r.codes = as_codes(codes, r.in);
  STD_TORCH_CHECK(offset.size() == 2, "offset: (x, y) wanted");
  r.codes.offset_x = offset[0];
  r.codes.offset_y = offset[1];
  return run(r, x);
}

std::tuple<Tensor, Tensor> filtered_lrelu(const Tensor& x, const OptionalTensor& fu, const OptionalTensor& fd,
                                          const OptionalTensor& b, const OptionalTensor& scale, int64_t up,
                                          int64_t down, const Ints& padding, double gain, double slope,
                                          std::optional<double> clamp, bool flip_filter, bool save) {
  STD_TORCH_CHECK(x.dim() == 4, "x: rank ", x.dim(), " given, [N, C, H, W] wanted");
  const bool wide = x.scalar_type() == ScalarType::Double;
  const auto run = wide ? forward<double> : forward<float>;
  return run(dense(x), fu, fd, b, scale, up, down, padding, gain, slope, clamp, flip_filter, save);
}

Tensor filtered_lrelu_replay(const Tensor& x, const Tensor& codes, const OptionalTensor& fu, const OptionalTensor& fd,
                             int64_t up, int64_t down, const Ints& padding, const Ints& offset, double gain,
                             double slope, bool flip_filter) {
  STD_TORCH_CHECK(x.dim() == 4, "x: rank ", x.dim(), " given, [N, C, H, W] wanted");
  const bool wide = x.scalar_type() == ScalarType::Double;
  const auto run = wide ? replay<double> : replay<float>;
  return run(dense(x), codes, fu, fd, up, down, padding, offset, gain, slope, flip_filter);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(sg, CPU, m) {
  m.impl("filtered_lrelu", TORCH_BOX(&filtered_lrelu));
  m.impl("filtered_lrelu_replay", TORCH_BOX(&filtered_lrelu_replay));
}

}  // namespace sg
