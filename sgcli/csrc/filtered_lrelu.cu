#include <tuple>

#include "filtered_lrelu.cuh"
#include "launch.cuh"

namespace sg::cuda {

namespace {

Resampling prepare(const Tensor& x, const OptionalTensor& fu, const OptionalTensor& fd, int64_t up, int64_t down,
                   const Ints& padding, double gain, double slope, bool flip_filter) {
  STD_TORCH_CHECK(x.dim() == 4, "x: rank ", x.dim(), " given, [N, C, H, W] wanted");
  const double up_gain = gain * static_cast<double>(up * up);  // leaky ReLU scales with its input
  const Filter up_filter = as_filter(fu, x, flip_filter, up_gain), down_filter = as_filter(fd, x, flip_filter, 1);
  Resampling r = make_resampling(x, up_filter, down_filter, {up, up}, {down, down}, padding);
  r.slope = slope;
  return r;
}

Tensor run(Resampling& r, const Tensor& x) {
  const Tensor y = make_output(x, r);
  if (y.numel() > 0) launch(launch_filtered_lrelu(r, most_shared(x)), x);
  return y;
}

Codes as_codes(const Tensor& codes, const Tensor& x) {
  STD_TORCH_CHECK(codes.dim() == 4 && codes.scalar_type() == ScalarType::Int && codes.is_contiguous() &&
                      codes.size(0) == x.size(0) && codes.size(1) == x.size(1) && codes.device() == x.device(),
                  "codes: not those of this operator");
  return {static_cast<uint32_t*>(codes.data_ptr()), static_cast<int>(codes.size(2)), static_cast<int>(codes.size(3))};
}

std::tuple<Tensor, Tensor> filtered_lrelu(const Tensor& x_any, const OptionalTensor& fu, const OptionalTensor& fd,
                                          const OptionalTensor& b, const OptionalTensor& scale_any, int64_t up,
                                          int64_t down, const Ints& padding, double gain, double slope,
                                          std::optional<double> clamp, bool flip_filter, bool save) {
  const Tensor x = dense(x_any);
  const OptionalTensor bias = numbers_like(b, x), scale = numbers_like(scale_any, x);
  Resampling r = prepare(x, fu, fd, up, down, padding, gain, slope, flip_filter);
  STD_TORCH_CHECK(!bias || bias->numel() == x.size(1), "b: one number per channel wanted");
  STD_TORCH_CHECK(!scale || scale->numel() == x.size(0) * x.size(1), "scale: [N, C] wanted");
  r.activation = save ? Activation::kRecord : Activation::kLeakyRelu;
  r.bias = bias ? bias->const_data_ptr() : nullptr;
  r.scale = scale ? scale->const_data_ptr() : nullptr;
  if (clamp) r.limit = *clamp;
  const Tensor codes = torch::stable::empty({save ? x.size(0) : 0, x.size(1), ceil_div(r.x.fine(), kWord), r.y.fine()},
                                            ScalarType::Int, std::nullopt, x.device());
  if (save) r.codes = as_codes(codes, x);
  return {run(r, x), codes};
}

Tensor filtered_lrelu_replay(const Tensor& x_any, const Tensor& codes, const OptionalTensor& fu,
                             const OptionalTensor& fd, int64_t up, int64_t down, const Ints& padding,
                             const Ints& offset, double gain, double slope, bool flip_filter) {
  STD_TORCH_CHECK(offset.size() == 2, "offset: (x, y) wanted");
  const Tensor x = dense(x_any);
  Resampling r = prepare(x, fu, fd, up, down, padding, gain, slope, flip_filter);
  r.activation = Activation::kReplay;
  r.codes = as_codes(codes, x);
  r.codes.offset_x = offset[0];
  r.codes.offset_y = offset[1];
  return run(r, x);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(sg, CUDA, m) {
  m.impl("filtered_lrelu", TORCH_BOX(&filtered_lrelu));
  m.impl("filtered_lrelu_replay", TORCH_BOX(&filtered_lrelu_replay));
}

}  // namespace sg::cuda
