// FIR filters as the CPU kernels want them: correlation taps, separable wherever the filter is.
#pragma once

#include <optional>
#include <vector>

#include <torch/csrc/stable/tensor.h>

#include "axis.h"

namespace sg {

struct Filter {
  int h = 1, w = 1;
  bool separable = true;
  std::vector<double> y = {1}, x = {1};  // separable: f = y xᵀ
  std::vector<double> full;              // otherwise [h][w]

  // Whether a 2-D filter's rows are the same from below as from above, and can be added up in pairs first.
  bool mirrored() const;
  bool identity() const { return separable && h == 1 && w == 1 && y[0] * x[0] == 1; }
};

// f: [taps] (separable), [h, w] or absent. The taps are reversed unless `flip`, since operators convolve by default,
// and scaled by `gain` in total. A 2-D filter of rank one, up to `tolerance` of its largest tap, is taken apart.
Filter make_filter(const std::optional<torch::stable::Tensor>& f, bool flip, double gain, double tolerance);

}  // namespace sg
