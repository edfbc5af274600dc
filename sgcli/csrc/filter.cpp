#include "filter.h"

#include <algorithm>
#include <cmath>

namespace sg {

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

std::vector<double> read_taps(const Tensor& f) {
  const int64_t n = f.numel();
  if (f.scalar_type() == ScalarType::Double) {
    const auto* data = static_cast<const double*>(f.const_data_ptr());
    return {data, data + n};
  }
  STD_TORCH_CHECK(f.scalar_type() == ScalarType::Float, "f: filters are float32 or float64");
  const auto* data = static_cast<const float*>(f.const_data_ptr());
  return {data, data + n};
}

// Take f = y xᵀ apart through its largest tap, if that is what f is.
void separate(Filter& filter, double tolerance) {
  const auto& f = filter.full;
  const auto smaller = [](double a, double b) { return std::abs(a) < std::abs(b); };
  const int largest = static_cast<int>(std::max_element(f.begin(), f.end(), smaller) - f.begin());
  const double pivot = f[largest];
  if (pivot == 0) return;
  const int row = largest / filter.w, column = largest % filter.w;
  for (int i = 0; i < filter.h; i++) {
    for (int j = 0; j < filter.w; j++) {
      const double product = f[i * filter.w + column] * f[row * filter.w + j] / pivot;
      if (std::abs(f[i * filter.w + j] - product) > tolerance * std::abs(pivot)) return;
    }
  }
  filter.separable = true;
  filter.y.resize(filter.h);
  for (int i = 0; i < filter.h; i++) filter.y[i] = f[i * filter.w + column] / pivot;
  filter.x.assign(f.begin() + row * filter.w, f.begin() + (row + 1) * filter.w);
  filter.full.clear();
}

}  // namespace

bool Filter::mirrored() const {
  if (separable || h % 2) return false;
  for (int k = 0; k < h / 2; k++) {
    if (!std::equal(full.begin() + k * w, full.begin() + (k + 1) * w, full.begin() + (h - 1 - k) * w)) return false;
  }
  return true;
}

Filter make_filter(const std::optional<Tensor>& f, bool flip, double gain, double tolerance) {
  Filter filter;
  if (f) {
    STD_TORCH_CHECK(f->dim() == 1 || f->dim() == 2, "f: a filter is 1-D or 2-D");
    STD_TORCH_CHECK(f->is_contiguous() && f->is_cpu() && f->numel() > 0,
                    "f: wanted on the CPU, contiguous and not empty");
    filter.h = static_cast<int>(f->size(0));
    filter.w = static_cast<int>(f->size(f->dim() - 1));
    STD_TORCH_CHECK(filter.h <= kMaxTaps && filter.w <= kMaxTaps, "f: a filter has at most ", kMaxTaps, " taps");
    std::vector<double> taps = read_taps(*f);
    if (!flip) std::reverse(taps.begin(), taps.end());
    if (f->dim() == 1) {
      filter.y = filter.x = taps;
    } else {
      filter.separable = false;
      filter.full = taps;
      separate(filter, tolerance);
    }
  }
  for (double& tap : filter.separable ? filter.y : filter.full) tap *= gain;
  return filter;
}

}  // namespace sg
