#include "format.h"

namespace sg {

bool is_channels_last(const Tensor& x) {
  if (x.dim() != 4 || x.is_contiguous()) return false;
  int64_t expected = 1;
  for (int d : {1, 3, 2, 0}) {
    if (x.size(d) == 1) continue;
    if (x.stride(d) != expected) return false;
    expected *= x.size(d);
  }
  return true;
}

Tensor dense(const Tensor& x) {
  const auto type = x.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double || type == ScalarType::BFloat16 ||
                      type == ScalarType::Half,
                  "x: float32, float64, bfloat16 or float16 wanted");
  return x.is_contiguous() || is_channels_last(x) ? x : torch::stable::contiguous(x);
}

Tensor like(const Tensor& v, const Tensor& y) {
  STD_TORCH_CHECK(v.scalar_type() == y.scalar_type() && v.numel() == y.numel(), "v: shape and dtype of y wanted");
  if (is_channels_last(y)) return is_channels_last(v) ? v : torch::stable::contiguous(v, MemoryFormat::ChannelsLast);
  return torch::stable::contiguous(v);
}

OptionalTensor numbers_like(const OptionalTensor& b, const Tensor& x) {
  if (!b) return b;
  STD_TORCH_CHECK(b->device() == x.device(), "b, scale: on another device than x");
  return torch::stable::contiguous(b->scalar_type() == x.scalar_type() ? *b : torch::stable::to(*b, x.scalar_type()));
}

Tensor empty_image(const Tensor& x, int64_t c, int64_t h, int64_t w) {
  const auto format = is_channels_last(x) ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous;
  return torch::stable::empty({x.size(0), c, h, w}, x.scalar_type(), std::nullopt, x.device(), std::nullopt, format);
}

Runs make_runs(const Tensor& x, int64_t dim) {
  STD_TORCH_CHECK(dim >= 0 && dim < x.dim(), "dim: ", dim, " given, x has rank ", x.dim());
  int64_t inner = 1;
  for (int64_t d = dim + 1; d < x.dim(); d++) inner *= x.size(d);
  if (is_channels_last(x)) {  // in memory, dimension 1 comes after the others
    inner = dim == 1 ? 1 : dim == 0 ? inner : inner * x.size(1);
  }
  return {x.numel(), x.size(dim), inner};
}

}  // namespace sg
