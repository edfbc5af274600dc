// Memory formats of tensors and the arguments that go with them, for every device.
#pragma once

#include <optional>

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

namespace sg {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;

// True for a 4-D tensor whose channels are innermost. A tensor that is both counts as contiguous.
bool is_channels_last(const Tensor& x);

// x itself where its memory is dense in one of the two formats, else a contiguous copy. Refuses other than floating
// point.
Tensor dense(const Tensor& x);

// v in the memory format of y, whose shape and dtype it must have.
Tensor like(const Tensor& v, const Tensor& y);

// Bias or scales, if any, contiguous and in the dtype of x, on whose device they must be.
OptionalTensor numbers_like(const OptionalTensor& b, const Tensor& x);

// An uninitialised [n, c, h, w] tensor of x's dtype and memory format.
Tensor empty_image(const Tensor& x, int64_t c, int64_t h, int64_t w);

// A dense tensor as runs of `inner` neighbouring elements that share a channel.
struct Runs {
  int64_t total, channels, inner;
};

Runs make_runs(const Tensor& x, int64_t dim);

}  // namespace sg
