#include "image.h"

#include <algorithm>

namespace sg {

namespace {

// Large images go to memory past the caches: a block's lines are far apart, and fetching each before writing it would
// cost several times the write.
bool streams(const Image& image) {
  const int64_t size = image.dtype == ScalarType::Double ? 8 : 4;
  return image.c * size % kRegisterBytes == 0 && image.n * image.c * image.h * image.w * size > kCacheBytes;
}

// Where a block's pixels begin and how many of its lanes are channels of the image.
template <class S>
struct Line {
  S* start;
  int lanes;
  int64_t pitch, plane;  // elements from pixel to pixel and from channel to channel

  Line(const Image& image, const Span& at, int64_t index) {
    const int64_t c0 = (at.block + index) * kLanes;
    lanes = static_cast<int>(std::min<int64_t>(kLanes, image.c - c0));
    pitch = image.channels_last ? image.c : 1;
    plane = image.channels_last ? 1 : image.h * image.w;
    start = static_cast<S*>(image.data) + at.n * image.c * image.h * image.w;
    start += c0 * plane + (at.y * image.w + at.x0) * pitch;
  }
};

template <class T, class S>
void load_row(const Image& image, const Span& at, Block<T>* row, Pitch pitch) {
  const int64_t width = at.x1 - at.x0, count = at.count;
  if (image.channels_last) {
    const Line<const S> first(image, at, 0), last(image, at, count - 1);
    const int64_t channels = image.c, below = image.w * image.c;
    const S* from = first.start;
    for (int64_t x = 0; x < width; x++, from += channels, row += pitch.pixel) {
      for (int64_t k = 0; k < count; k++) __builtin_prefetch(from + below + k * kLanes, 0, 2);  // asked for next
      for (int64_t k = 0; k < count - 1; k++) row[k * pitch.block] = load<T>(from + k * kLanes);
      row[(count - 1) * pitch.block] = load<T>(from + (count - 1) * kLanes, last.lanes);
    }
    return;
  }
  for (int64_t k = 0; k < count; k++) {
    const Line<const S> line(image, at, k);
    for (int64_t x = 0; x < width; x += kLanes) {
      const int pixels = static_cast<int>(std::min<int64_t>(kLanes, width - x));
      Block<T> square[kLanes] = {};
      for (int l = 0; l < line.lanes; l++) square[l] = load<T>(line.start + l * line.plane + x, pixels);
      transpose(square);
      for (int i = 0; i < pixels; i++) row[(x + i) * pitch.pixel + k * pitch.block] = square[i];
    }
  }
}

template <class T, class S>
void store_row(const Image& image, const Span& at, const Block<T>* row, Pitch pitch) {
  const int64_t width = at.x1 - at.x0, count = at.count;
  if (image.channels_last) {
    const Line<S> first(image, at, 0), last(image, at, count - 1);
    const bool streaming = std::is_same_v<T, S> && streams(image);
    const int64_t channels = image.c, below = image.w * image.c, whole = last.lanes == kLanes ? count : count - 1;
    S* to = first.start;
    for (int64_t x = 0; x < width; x++, to += channels, row += pitch.pixel) {
      for (int64_t k = 0; k < count && !streaming; k++) __builtin_prefetch(to + below + k * kLanes, 1, 2);  // next
      for (int64_t k = 0; k < whole; k++) {
        if (streaming) {
          stream(to + k * kLanes, row[k * pitch.block]);
        } else {
          store(to + k * kLanes, row[k * pitch.block]);
        }
      }
      if (whole < count) store(to + whole * kLanes, row[whole * pitch.block], last.lanes);
    }
    return;
  }
  for (int64_t k = 0; k < count; k++) {
    const Line<S> line(image, at, k);
    for (int64_t x = 0; x < width; x += kLanes) {
      const int pixels = static_cast<int>(std::min<int64_t>(kLanes, width - x));
      Block<T> square[kLanes] = {};
      for (int i = 0; i < pixels; i++) square[i] = row[(x + i) * pitch.pixel + k * pitch.block];
      transpose(square);
      for (int l = 0; l < line.lanes; l++) store(line.start + l * line.plane + x, square[l], pixels);
    }
  }
}

}  // namespace

template <>
LoadRow<double> row_loader(const Image&) {
  return load_row<double, double>;
}

template <>
LoadRow<float> row_loader(const Image& image) {
  switch (image.dtype) {
    case ScalarType::BFloat16: return load_row<float, BFloat16>;
    case ScalarType::Half: return load_row<float, Half>;
    default: return load_row<float, float>;
  }
}

template <>
StoreRow<double> row_storer(const Image&) {
  return store_row<double, double>;
}

template <>
StoreRow<float> row_storer(const Image& image) {
  switch (image.dtype) {
    case ScalarType::BFloat16: return store_row<float, BFloat16>;
    case ScalarType::Half: return store_row<float, Half>;
    default: return store_row<float, float>;
  }
}

template <class T>
std::vector<T> read_vector(const Tensor& b, int64_t size) {
  STD_TORCH_CHECK(b.numel() <= size && b.is_cpu(), "too many numbers in a small tensor: ", b.numel(), " for ", size);
  const Tensor dense = torch::stable::contiguous(b);
  const auto copy = [&](const auto* data) {
    std::vector<T> values(size);
    std::copy(data, data + dense.numel(), values.begin());
    return values;
  };
  switch (dense.scalar_type()) {
    case ScalarType::Double: return copy(static_cast<const double*>(dense.const_data_ptr()));
    case ScalarType::BFloat16: return copy(static_cast<const BFloat16*>(dense.const_data_ptr()));
    case ScalarType::Half: return copy(static_cast<const Half*>(dense.const_data_ptr()));
    default: return copy(static_cast<const float*>(dense.const_data_ptr()));
  }
}

template std::vector<float> read_vector(const Tensor&, int64_t);
template std::vector<double> read_vector(const Tensor&, int64_t);

template <class T>
std::vector<T> read_per_sample(const Tensor& values, const Image& image) {
  STD_TORCH_CHECK(values.numel() == image.n * image.c, "scale: [N, C] wanted");
  const int64_t channels = image.blocks() * kLanes;
  const std::vector<T> given = read_vector<T>(values, image.n * image.c);
  std::vector<T> padded(image.n * channels);
  for (int64_t n = 0; n < image.n; n++) {
    std::copy_n(given.begin() + n * image.c, image.c, padded.begin() + n * channels);
  }
  return padded;
}

template std::vector<float> read_per_sample(const Tensor&, const Image&);
template std::vector<double> read_per_sample(const Tensor&, const Image&);

Image as_image(const Tensor& x) {
  return {x.data_ptr(), x.size(0), x.size(1), x.size(2), x.size(3), is_channels_last(x), x.scalar_type()};
}

}  // namespace sg
