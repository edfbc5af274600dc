// A tensor as a batch of images, read and written a row of sixteen channels at a time in either memory format.
#pragma once

#include <vector>

#include "block.h"
#include "format.h"

namespace sg {

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

// How the blocks of a row lie in scratch memory: from pixel to pixel, and from block to block.
struct Pitch {
  int64_t pixel, block;
};

// Those pixels converted to T into row[x · pitch.pixel + k · pitch.block] for x < x1 - x0, k < count, and back.
template <class T>
using LoadRow = void (*)(const Image& image, const Span& at, Block<T>* row, Pitch pitch);
template <class T>
using StoreRow = void (*)(const Image& image, const Span& at, const Block<T>* row, Pitch pitch);


template <class T>
LoadRow<T> row_loader(const Image& image);
template <class T>
StoreRow<T> row_storer(const Image& image);

// The numbers of a small tensor in order, followed by zeros up to `size` of them.
template <class T>
std::vector<T> read_vector(const Tensor& b, int64_t size);

// [N, C] numbers, one for each sample and channel of an image, each sample's filled up to whole blocks with zeros.
template <class T>
std::vector<T> read_per_sample(const Tensor& values, const Image& image);

Image as_image(const Tensor& x);

// Results of so many bytes and more go to memory past the caches, which would have to fetch what is overwritten.
constexpr int64_t kCacheBytes = 4 << 20;

}  // namespace sg
