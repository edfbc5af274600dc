// A tensor as a batch of images, read and written a row of sixteen channels at a time in either memory format.
#pragma once

#include <vector>

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include "block.h"

namespace sg {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

struct Image {
  void* data;
  int64_t n, c, h, w;
  bool channels_last;
  ScalarType dtype;

  int64_t blocks() const { return (c + kLanes - 1) / kLanes; }
};

// Pixels (y, x0 .. x1) of sample n, of `count` blocks of channels from `block` on.
struct Span {
  int64_t n, block, count, y, x0, x1;
};

// Those pixels converted to T into row[x1 - x0][count], and back.
template <class T>
using LoadRow = void (*)(const Image& image, const Span& at, Block<T>* row);
template <class T>
using StoreRow = void (*)(const Image& image, const Span& at, const Block<T>* row);

template <class T>
LoadRow<T> row_loader(const Image& image);
template <class T>
StoreRow<T> row_storer(const Image& image);

// True for a 4-D tensor whose channels are innermost. A tensor that is both counts as contiguous.
bool is_channels_last(const Tensor& x);

// x itself where its memory is dense in one of the two formats, else a contiguous copy. Refuses other than floating
// point.
Tensor dense(const Tensor& x);

// v in the memory format of y, whose shape and dtype it must have.
Tensor like(const Tensor& v, const Tensor& y);

// The numbers of a small tensor in order, followed by zeros up to `size` of them.
template <class T>
std::vector<T> read_vector(const Tensor& b, int64_t size);

Image as_image(const Tensor& x);

// An uninitialised [n, c, h, w] tensor of x's dtype and memory format.
Tensor empty_image(const Tensor& x, int64_t c, int64_t h, int64_t w);

}  // namespace sg
