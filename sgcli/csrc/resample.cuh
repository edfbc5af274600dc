// What upfirdn2d and filtered_lrelu share on a GPU: upsample, activate, downsample, a tile of outputs per block.
//
// Coordinates along an axis are those of axis.h: input, fine, output. A tile is a rectangle of outputs together with
// the fine samples that they read and the input pixels which those read; neighbours overlap in both.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "axis.h"
#include "device.cuh"
#include "format.h"

namespace sg::cuda {

using Ints = std::vector<int64_t>;

// A dense batch of images in memory order, [images, h, w, lanes]: in channels-last format the lanes are the channels;
// in the other one every channel is an image with one lane.
struct Image {
  void* data;
  int64_t images;
  int h, w, lanes;
};

// A filter in device memory as correlation taps: [taps] (separable), [h, w], or absent.
struct Filter {
  const void* taps = nullptr;
  bool wide = false;  // float64, else float32
  int h = 1, w = 1;
  bool separable = true, reversed = false;
  double gain = 1;

  template <class T>
  __device__ T x(int t) const {
    return taps ? read<T>(reversed ? w - 1 - t : t) : T(1);
  }
  template <class T>
  __device__ T y(int t) const {
    return x<T>(t) * static_cast<T>(gain);
  }
  template <class T>
  __device__ T xy(int ty, int tx) const {
    const int t = ty * w + tx;
    return read<T>(reversed ? h * w - 1 - t : t) * static_cast<T>(gain);
  }

 private:
  template <class T>
  __device__ T read(int i) const {
    if (wide) return static_cast<T>(static_cast<const double*>(taps)[i]);
    return static_cast<T>(static_cast<const float*>(taps)[i]);
  }
};

// What the activation did to each fine sample, for its derivative (spec stylegan3 §4.2). Sixteen neighbours along x
// share a word: its lower half tells which were below zero, its upper half which were clamped, the first sample in the
// highest bit. [planes, words, h], since neighbouring threads work on rows.
constexpr int kWord = 16;

struct Codes {
  uint32_t* data = nullptr;
  int words = 0, h = 0;
  int64_t offset_y = 0, offset_x = 0;  // fine sample (Y, X) has its code at (Y + offset_y, X + offset_x)

  __host__ __device__ static constexpr uint32_t below(int sample) { return 1u << (kWord - 1 - sample); }
  __host__ __device__ static constexpr uint32_t clamped(int sample) { return below(sample) << kWord; }

  // Codes of the samples x .. x+15 of row y; zero outside.
  __device__ uint32_t read(int64_t plane, int y, int x) const {
    const int64_t row = y + offset_y, first = x + offset_x, word = first >> 4;
    if (row < 0 || row >= h) return 0;
    const uint32_t* from = data + plane * words * h + row;
    const uint32_t left = word >= 0 && word < words ? from[word * h] : 0;
    const uint32_t right = word >= -1 && word < words - 1 ? from[(word + 1) * h] : 0;
    const int shift = kWord - static_cast<int>(first & 15);
    const uint32_t below = (left << 16 | (right & 0xffff)) >> shift;
    const uint32_t clamped = ((left & 0xffff0000) | right >> 16) >> shift;
    return clamped << 16 | (below & 0xffff);
  }
  __device__ void write(int64_t plane, int y, int word, uint32_t codes) const {
    data[(plane * words + word) * h + y] = codes;
  }
};

enum class Activation {
  kNone,
  kLeakyRelu,
  kRecord,  // leaky ReLU whose codes are kept
  kReplay,  // multiply by the derivative that the codes tell
};

template <class T>
struct Activate {
  T slope, limit;

  __device__ Activate(double slope, double limit) : slope(static_cast<T>(slope)), limit(static_cast<T>(limit)) {}

  __device__ T leaky_relu(T v) const { return v < 0 ? v * slope : v; }
  __device__ bool clamps(T y) const { return std::abs(y) > limit; }
  __device__ T clamp(T y) const { return clamps(y) ? std::copysign(limit, y) : y; }  // keeps NaN
  __device__ T replay(T v, bool below, bool clamped) const { return clamped ? T(0) : below ? v * slope : v; }
};

// Sizes of a tile: outputs, and lanes of an image, a power of two.
struct Tiling {
  int rows, columns, lanes;
};

struct Resampling {
  Image in, out;
  ScalarType dtype;
  Axis y, x;
  Filter up, down;
  int64_t channels;
  const void* scale = nullptr;  // of the input, [samples][channels], in the dtype of the images
  const void* bias = nullptr;   // added to it, [channels]
  Activation activation = Activation::kNone;
  double slope = 1, limit = std::numeric_limits<double>::infinity();
  Codes codes;  // written by kRecord, read by kReplay
  Tiling tiling{};

  __host__ __device__ int64_t jobs() const {
    const int64_t tiles = ceil_div(out.h, tiling.rows) * ceil_div(out.w, tiling.columns);
    return tiles * ceil_div(out.lanes, tiling.lanes) * out.images;
  }
};

// The outputs [y, y + rows) x [x, x + columns) of the lanes [lane, lane + lanes) of one image.
struct Tile {
  int64_t image, plane, channel;  // of the first lane: plane counts those of all images, channel those of one
  int64_t input;                  // the first lane's pixel (0, 0) among the values of the input
  int lane, lanes, y, rows, x, columns;

  __device__ Tile(const Resampling& r, int64_t job) {
    const auto take = [&job](int size, int step, int& first, int& count) {
      const int64_t pieces = ceil_div(size, step), rest = divide(job, pieces);
      first = static_cast<int>(job - rest * pieces) * step;
      count = size - first < step ? size - first : step;
      job = rest;
    };
    take(r.out.w, r.tiling.columns, x, columns);
    take(r.out.h, r.tiling.rows, y, rows);
    take(r.out.lanes, r.tiling.lanes, lane, lanes);
    image = job;
    plane = image * r.out.lanes + lane;
    channel = plane - divide(plane, r.channels) * r.channels;
    input = image * r.in.h * r.in.w * r.in.lanes + lane;
  }

  // Whether fine sample (Y, X) is this tile's to report, since overlapping tiles compute it too.
  __device__ bool owns(const Resampling& r, int Y, int X) const {
    const bool owns_row = y + rows == r.out.h || Y < (y + rows) * r.y.down;
    return owns_row && (x + columns == r.out.w || X < (x + columns) * r.x.down);
  }
};

// One axis of a tile: its fine samples and the input pixels that they read.
struct Extent {
  int fine0, fine, in0, in;

  // For outputs first .. first + count - 1, the fine samples filled up to a multiple of `unit`.
  __host__ __device__ static Extent of(const Axis& axis, int first, int count, int unit) {
    const int begin = first * axis.down, size = (count - 1) * axis.down + axis.down_taps;
    const int fine = (size + unit - 1) / unit * unit, in0 = input(axis, begin);
    return {begin, fine, in0, input(axis, begin + fine - 1) - in0 + taps(axis)};
  }
  // The largest extent of `count` outputs, wherever they begin.
  static Extent largest(const Axis& axis, int count, int unit) {
    Extent extent = of(axis, 0, count, unit);
    extent.in = (extent.fine + axis.up - 2) / axis.up + taps(axis);
    return extent;
  }

  // The first input pixel that fine sample X reads, its first tap, and how many it reads, `up` taps apart.
  __host__ __device__ static int input(const Axis& axis, int64_t X) {
    const int64_t ahead = X - axis.pad, up = axis.up;
    return static_cast<int>(ahead >= 0 ? (ahead + up - 1) / up : -(-ahead / up));
  }
  __host__ __device__ static int tap(const Axis& axis, int64_t X) {
    return static_cast<int>(input(axis, X) * static_cast<int64_t>(axis.up) + axis.pad - X);
  }
  __host__ __device__ static int taps(const Axis& axis) { return (axis.up_taps + axis.up - 1) / axis.up; }
};

// Calls f(k) for those k < kCount with 0 <= first + k < size; unrolled, and without tests where all of them are.
template <int kCount, class F>
__device__ void for_inside(int first, int size, const F& f) {
  if (first >= 0 && first + kCount <= size) {
#pragma unroll
    for (int k = 0; k < kCount; k++) f(k);
  } else {
#pragma unroll
    for (int k = 0; k < kCount; k++) {
      if (first + k >= 0 && first + k < size) f(k);
    }
  }
}

// Number i of an array, or `otherwise` where there is none.
template <class S>
__device__ Compute<S> number(const void* data, int64_t i, int otherwise) {
  return data ? static_cast<Compute<S>>(static_cast<const S*>(data)[i]) : Compute<S>(otherwise);
}

// One column of a tile's input: pixels times scale plus bias, zero outside the image.
template <class S>
struct Column {
  using T = Compute<S>;
  const S* data;  // the pixel in row 0
  int pitch, h;   // h: 0 where the column is outside
  T scale, bias;

  __device__ Column(const Resampling& r, const Tile& tile, int x, int lane)
      : data(static_cast<const S*>(r.in.data) + tile.input + static_cast<int64_t>(x) * r.in.lanes + lane),
        pitch(r.in.w * r.in.lanes), h(x >= 0 && x < r.in.w ? r.in.h : 0),
        scale(number<S>(r.scale, tile.plane + lane, 1)),
        bias(number<S>(r.bias, tile.channel + lane, 0)) {}

  // The pixels in the rows from `first` on.
  template <int kCount>
  __device__ void load(int first, T (&pixels)[kCount]) const {
#pragma unroll
    for (int k = 0; k < kCount; k++) pixels[k] = 0;
    const S* from = data + static_cast<int64_t>(first) * pitch;
    for_inside<kCount>(first, h, [&](int64_t k) { pixels[k] = static_cast<T>(from[k * pitch]) * scale + bias; });
  }
  __device__ T at(int y) const {
    T pixel[1];
    load(y, pixel);
    return pixel[0];
  }
};

template <class S>
__device__ S* output_pixel(const Resampling& r, const Tile& tile, int y, int x, int lane) {
  const int64_t row = tile.image * r.out.h + tile.y + y;
  return static_cast<S*>(r.out.data) + (row * r.out.w + tile.x + x) * r.out.lanes + tile.lane + lane;
}

// The largest tiles within `most` that keep to `budget` bytes of shared memory, of about equal size. Their rows are a
// multiple of `unit`, if they can.
template <class Bytes>
Tiling choose_tiling(const Resampling& r, const Tiling& most, int unit, int64_t budget, const Bytes& bytes) {
  // Where codes are written, a tile begins with a whole word of them.
  const int whole = r.activation == Activation::kRecord ? kWord / std::gcd(kWord, r.x.down) : 1;
  const auto share = [](int size, int step, int unit) {
    const int even = static_cast<int>(ceil_div(size, ceil_div(size, step)));
    return static_cast<int>(ceil_div(even, unit)) * unit;
  };
  Tiling t{share(r.out.h, most.rows, unit), share(r.out.w, most.columns, whole), 1};
  while (t.lanes < most.lanes && t.lanes < r.out.lanes) t.lanes *= 2;
  while (bytes(t) > budget) {
    if (t.rows > 1 && (t.rows * 2 >= t.columns || t.columns <= whole)) {
      t.rows = (t.rows + 1) / 2;
    } else if (t.columns > whole) {
      t.columns = share(t.columns, (t.columns + 1) / 2, whole);
    } else if (t.lanes > 1) {
      t.lanes /= 2;
    } else {
      break;
    }
  }
  return t;
}

// f: [taps] (separable), [h, w] or absent. Operators convolve unless `flip`.
Filter as_filter(const OptionalTensor& f, const Tensor& x, bool flip, double gain);

// A resampling of x, which must be dense, without an output. Factors and padding as operators take them: (x, y) and
// (x0, x1, y0, y1).
Resampling make_resampling(const Tensor& x, const Filter& up, const Filter& down, const Ints& factors_up,
                           const Ints& factors_down, const Ints& padding);

// The output, in x's memory format.
Tensor make_output(const Tensor& x, Resampling& r);

// The kernel for any factors and filters. `most_shared`: bytes of shared memory that the GPU gives to a block.
Launch<Resampling> launch_resample(Resampling r, int64_t most_shared);

}  // namespace sg::cuda
