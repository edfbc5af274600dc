// Pictures looked up through affine maps, at twice the resolution between low-pass filters (spec stylegan2-ada §6.2).
//
// One tile of the output at a time, up to four channels as one vector per pixel:
//   source  what the tile sees of the picture, its border mirrored
//   fine    the source upsampled by 2: down the columns (tall), then along the rows
//   seen    fine, looked up bilinearly at the places where the map leads
//   tile    seen downsampled by 2: along the rows (narrow), then down the columns
// Every step is linear, and the transposed operator takes their transposes in opposite order.
#include <algorithm>
#include <cmath>
#include <vector>

#include "format.h"

namespace sg {

namespace {

constexpr int kTaps = 12;
constexpr int kPhase = kTaps / 2;     // taps that one fine sample, even or odd, has of the upsampling filter
constexpr int kReach = kPhase / 2;    // pixels beyond its own that a fine sample reads
constexpr int kEdge = kTaps - 1;      // zeros around fine samples, read by the transposed filter
constexpr int64_t kTile = 64;         // pixels of the output, each way: what is seen of them fits the second cache
constexpr int64_t kChannels = 4;      // of a group

template <class T>
struct Vector {
  typedef T type __attribute__((vector_size(kChannels * sizeof(T)), aligned(sizeof(T)), may_alias));
};

template <class T>
struct Grid {
  using Pixel = typename Vector<T>::type;
  int64_t h, w;
  std::vector<T> numbers;

  void resize(int64_t height, int64_t width) {
    h = height;
    w = width;
    if (numbers.size() < size_t(h * w * kChannels)) numbers.resize(h * w * kChannels);
  }
  void clear() { std::fill_n(numbers.begin(), h * w * kChannels, T(0)); }
  Pixel* row(int64_t y) { return reinterpret_cast<Pixel*>(numbers.data() + y * w * kChannels); }
};

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

// From seen samples, numbered from 0 for the first that output 0 reads, to fine samples, numbered from the picture's
// first: x · along + y · across + start.
struct Line {
  double along, across, start;

  Range reached(Range xs, Range ys) const {
    double low = start, high = start;
    for (auto [slope, range] : {std::pair(along, xs), std::pair(across, ys)}) {
      low += slope * (slope < 0 ? range.end - 1 : range.begin);
      high += slope * (slope < 0 ? range.begin : range.end - 1);
    }
    constexpr double far = 1 << 24;  // of what lies so far off there is nothing to be seen
    return {int64_t(std::floor(std::clamp(low, -far, far))), int64_t(std::floor(std::clamp(high, -far, far))) + 2};
  }
};

// One axis of a picture: its size, and how far it is mirrored before and after.
struct Side {
  int64_t size, before, after;

  // The pixel at k, -1 where there is none.
  int64_t mirrored(int64_t k) const {
    if (k < -before || k >= size + after) return -1;
    return k < 0 ? -k : k >= size ? 2 * (size - 1) - k : k;
  }
  // The pixels that fine samples come from, as far as there are any.
  Range pixels_of(Range fine) const {
    const int64_t begin = std::clamp(fine.begin >> 1, -before, size + after);
    return {begin, std::clamp((fine.end + 1) >> 1, begin, size + after)};
  }
};

// Up to four channels of a picture in memory.
template <class T>
struct Planes {
  T* data;
  int64_t channels, pitch, pixel, plane;  // elements from row to row, pixel to pixel, channel to channel
  T* at(int64_t y, int64_t x) const { return data + y * pitch + x * pixel; }
};

// out[2r + phase] = Σ_i weight[phase][i] · in[r + start[phase] + i]
template <class T>
struct Upsampling {
  T weight[2][kPhase];
  int start[2];
};

template <class T>
class Warp {
 public:
  using Pixel = typename Grid<T>::Pixel;

  Warp(const T* taps, Line x, Line y, Side width, Side height) : x_(x), y_(y), width_(width), height_(height) {
    for (int i = 0; i < kTaps; i++) {
      down_[i] = taps[i];
      transposed_up_[i] = 2 * taps[i];
    }
    for (int i = 0; i < kPhase; i++) {
      const T odd = taps[kTaps - 1 - 2 * i], even = taps[kTaps - 2 - 2 * i];
      up_.weight[0][i] = 2 * odd;
      up_.weight[1][i] = 2 * even;
      transposed_down_.weight[0][i] = even;
      transposed_down_.weight[1][i] = odd;
    }
    up_.start[1] = 1;
  }

  void run(Planes<const T> in, Planes<T> out, bool transposed) {
    for (int64_t y = 0; y < height_.size; y += kTile) {
      for (int64_t x = 0; x < width_.size; x += kTile) {
        place({x, std::min(x + kTile, width_.size)}, {y, std::min(y + kTile, height_.size)});
        transposed ? spread(in, out) : sample(in, out);
      }
    }
  }

 private:
  // Decide on a tile: what it sees, and the sizes of everything.
  void place(Range xs, Range ys) {
    tile_x_ = xs;
    tile_y_ = ys;
    const Range seen_x{2 * xs.begin, 2 * xs.end + kTaps - 2}, seen_y{2 * ys.begin, 2 * ys.end + kTaps - 2};
    pixels_x_ = width_.pixels_of(x_.reached(seen_x, seen_y));
    pixels_y_ = height_.pixels_of(y_.reached(seen_x, seen_y));
    source_.resize(pixels_y_.size() + 2 * kReach, pixels_x_.size() + 2 * kReach);
    tall_.resize(2 * pixels_y_.size() + 2 * kEdge, source_.w);
    fine_.resize(tall_.h, 2 * pixels_x_.size() + 2 * kEdge);
    seen_.resize(1, seen_x.size());
    at_.resize(seen_.w);
    part_x_.resize(seen_.w);
    part_y_.resize(seen_.w);
  }

  void sample(Planes<const T> in, Planes<T> out) {
    read(in);
    for (int64_t r = 0; r < pixels_y_.size(); r++) up_columns(source_, r, up_, tall_, kEdge + 2 * r);
    for (int64_t t = kEdge; t < tall_.h - kEdge; t++) {
      up_row(tall_.row(t), up_, fine_.row(t) + kEdge, pixels_x_.size());
    }
    clear_frame();
    narrow_.resize(2 * tile_y_.size() + kTaps - 2, tile_x_.size());
    for (int64_t s = 0; s < narrow_.h; s++) {
      find_places(s);
      look_up();
      down_row(seen_.row(0), down_, narrow_.row(s), narrow_.w);
    }
    tile_.resize(1, narrow_.w);
    for (int64_t o = 0; o < tile_y_.size(); o++) {
      down_columns(narrow_, 2 * o, down_, tile_.row(0));
      for (int64_t i = 0; i < tile_.w; i++) {
        T* to = out.at(tile_y_.begin + o, tile_x_.begin + i);
        for (int64_t c = 0; c < out.channels; c++) to[c * out.plane] = tile_.row(0)[i][c];
      }
    }
  }

  void spread(Planes<const T> in, Planes<T> out) {
    constexpr int64_t edge = kPhase - 1;
    tile_.resize(tile_y_.size() + 2 * edge, tile_x_.size() + 2 * edge);
    tile_.clear();
    for (int64_t o = 0; o < tile_y_.size(); o++) {
      for (int64_t i = 0; i < tile_x_.size(); i++) {
        const T* from = in.at(tile_y_.begin + o, tile_x_.begin + i);
        for (int64_t c = 0; c < in.channels; c++) tile_.row(edge + o)[edge + i][c] = from[c * in.plane];
      }
    }
    narrow_.resize(2 * (tile_.h - edge), tile_.w);
    for (int64_t r = 0; r < narrow_.h / 2; r++) up_columns(tile_, r, transposed_down_, narrow_, 2 * r);
    fine_.clear();
    for (int64_t s = 0; s < narrow_.h; s++) {
      up_row(narrow_.row(s), transposed_down_, seen_.row(0), seen_.w / 2);
      find_places(s);
      spread_seen();
    }
    clear_frame();
    tall_.clear();
    for (int64_t t = kEdge; t < tall_.h - kEdge; t++) down_row(fine_.row(t), transposed_up_, tall_.row(t), tall_.w);
    for (int64_t k = 0; k < source_.h; k++) down_columns(tall_, 2 * k, transposed_up_, source_.row(k));
    add_source(out);
  }

  void read(Planes<const T> in) {
    for (int64_t k = 0; k < source_.h; k++) {
      Pixel* row = source_.row(k);
      const int64_t y = height_.mirrored(pixels_y_.begin - kReach + k);
      for (int64_t i = 0; i < source_.w; i++) {
        const int64_t x = width_.mirrored(pixels_x_.begin - kReach + i);
        row[i] = Pixel{};
        if (x < 0 || y < 0) continue;
        for (int64_t c = 0; c < in.channels; c++) row[i][c] = in.at(y, x)[c * in.plane];
      }
    }
  }

  void add_source(Planes<T> out) {
    for (int64_t k = 0; k < source_.h; k++) {
      const int64_t y = height_.mirrored(pixels_y_.begin - kReach + k);
      for (int64_t i = 0; i < source_.w && y >= 0; i++) {
        const int64_t x = width_.mirrored(pixels_x_.begin - kReach + i);
        if (x < 0) continue;
        for (int64_t c = 0; c < out.channels; c++) out.at(y, x)[c * out.plane] += source_.row(k)[i][c];
      }
    }
  }

  // A frame of zeros about the fine samples, one before and two after: what lies outside is seen, or counts, as zero.
  void clear_frame() {
    const int64_t top = kEdge - 1, bottom = fine_.h - kEdge, right = fine_.w - kEdge;
    for (int64_t t : {top, bottom, bottom + 1}) std::fill_n(fine_.row(t), fine_.w, Pixel{});
    for (int64_t t = kEdge; t < bottom; t++) {
      fine_.row(t)[kEdge - 1] = Pixel{};
      std::fill_n(fine_.row(t) + right, 2, Pixel{});
    }
  }

  // Where the samples of seen row s lie among the fine ones: the upper left of four, and how far on the way to the others.
  void find_places(int64_t s) {
    const double x = 2 * tile_x_.begin, y = 2 * tile_y_.begin + s;
    const T x0 = x_.along * x + x_.across * y + x_.start - 2 * pixels_x_.begin + 1;
    const T y0 = y_.along * x + y_.across * y + y_.start - 2 * pixels_y_.begin + 1;
    const T dx = x_.along, dy = y_.along;
    const T last_x = 2 * pixels_x_.size() + 1, last_y = 2 * pixels_y_.size() + 1;
    const int64_t pitch = fine_.w, first = (kEdge - 1) * (pitch + 1);
#pragma omp simd
    for (int64_t i = 0; i < seen_.w; i++) {
      const T px = std::min(last_x, std::max(T(0), x0 + dx * i)), py = std::min(last_y, std::max(T(0), y0 + dy * i));
      const int32_t ix = int32_t(px), iy = int32_t(py);
      at_[i] = first + iy * pitch + ix;
      part_x_[i] = px - ix;
      part_y_[i] = py - iy;
    }
  }

  void look_up() {
    Pixel* seen = seen_.row(0);
    const Pixel* fine = fine_.row(0);
    for (int64_t i = 0; i < seen_.w; i++) {
      const Pixel *upper = fine + at_[i], *lower = upper + fine_.w;
      const Pixel above = upper[0] + part_x_[i] * (upper[1] - upper[0]);
      const Pixel below = lower[0] + part_x_[i] * (lower[1] - lower[0]);
      seen[i] = above + part_y_[i] * (below - above);
    }
  }

  void spread_seen() {
    const Pixel* seen = seen_.row(0);
    Pixel* fine = fine_.row(0);
    for (int64_t i = 0; i < seen_.w; i++) {
      Pixel *upper = fine + at_[i], *lower = upper + fine_.w;
      const Pixel below = part_y_[i] * seen[i], above = seen[i] - below;
      const Pixel below_right = part_x_[i] * below, above_right = part_x_[i] * above;
      upper[0] += above - above_right;
      upper[1] += above_right;
      lower[0] += below - below_right;
      lower[1] += below_right;
    }
  }

  static void up_row(const Pixel* in, const Upsampling<T>& up, Pixel* out, int64_t count) {
    for (int64_t r = 0; r < count; r++) {
      for (int phase = 0; phase < 2; phase++) {
        Pixel sum{};
#pragma GCC unroll 8
        for (int i = 0; i < kPhase; i++) sum += up.weight[phase][i] * in[r + up.start[phase] + i];
        out[2 * r + phase] = sum;
      }
    }
  }

  static void down_row(const Pixel* in, const T* weight, Pixel* out, int64_t count) {
    for (int64_t o = 0; o < count; o++) {
      Pixel sum{};
#pragma GCC unroll 16
      for (int m = 0; m < kTaps; m++) sum += weight[m] * in[2 * o + m];
      out[o] = sum;
    }
  }

  static void up_columns(Grid<T>& in, int64_t r, const Upsampling<T>& up, Grid<T>& out, int64_t to) {
    for (int phase = 0; phase < 2; phase++) {
      combine<kPhase>(in, r + up.start[phase], up.weight[phase], out.row(to + phase));
    }
  }

  static void down_columns(Grid<T>& in, int64_t from, const T* weight, Pixel* out) {
    combine<kTaps>(in, from, weight, out);
  }

  // out = Σ_i weight[i] · row from + i
  template <int kCount>
  static void combine(Grid<T>& in, int64_t from, const T* weight, Pixel* out) {
    const T* rows = in.numbers.data() + from * in.w * kChannels;
    T* to = reinterpret_cast<T*>(out);
    const int64_t size = in.w * kChannels;
#pragma omp simd
    for (int64_t i = 0; i < size; i++) {
      T sum = 0;
#pragma GCC unroll 16
      for (int k = 0; k < kCount; k++) sum += weight[k] * rows[k * size + i];
      to[i] = sum;
    }
  }

  const Line x_, y_;
  const Side width_, height_;
  T down_[kTaps], transposed_up_[kTaps];
  Upsampling<T> up_{}, transposed_down_{};
  Range tile_x_, tile_y_, pixels_x_, pixels_y_;
  Grid<T> source_, tall_, fine_, seen_, narrow_, tile_;
  std::vector<int64_t> at_;
  std::vector<T> part_x_, part_y_;
};

template <class T>
Tensor run(const Tensor& x, const double* map, const int64_t* margins, const Tensor& f, bool transposed) {
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3), groups = (c + kChannels - 1) / kChannels;
  Tensor y = torch::stable::empty_like(x);
  if (transposed) torch::stable::zero_(y);
  const bool last = is_channels_last(x);
  const int64_t pixel = last ? c : 1, plane = last ? 1 : h * w;
  const T *from = static_cast<const T*>(x.const_data_ptr()), *taps = static_cast<const T*>(f.const_data_ptr());
  T* to = static_cast<T*>(y.mutable_data_ptr());
  torch::stable::parallel_for(0, n * groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t channel = task % groups * kChannels, start = task / groups * c * h * w + channel * plane;
      const int64_t channels = std::min(c - channel, kChannels);
      const double* m = map + task / groups * 6;
      const int64_t* margin = margins + task / groups * 4;
      // Output pixel o is x = o - (w - 1) / 2 from the middle; seen sample s lies at s / 2 - w / 2 - 2, and what is at x
      // is fine sample 2x + w - 1. The last rows of the published chain of matrices, multiplied out.
      const auto line = [&](const double* row, int64_t size) {
        return Line{row[0], row[1], 2 * row[2] + size - 1 - row[0] * (w + 4) - row[1] * (h + 4)};
      };
      Warp<T> warp(taps, line(m, w), line(m + 3, h), {w, margin[0], margin[2]}, {h, margin[1], margin[3]});
      warp.run({from + start, channels, w * pixel, pixel, plane}, {to + start, channels, w * pixel, pixel, plane},
               transposed);
    }
  });
  return y;
}

void check_per_sample(const Tensor& t, const char* name, ScalarType type, int64_t n, int64_t numbers) {
  STD_TORCH_CHECK(t.scalar_type() == type && t.is_contiguous(), name, ": contiguous, and of its own type wanted");
  STD_TORCH_CHECK(t.numel() == n * numbers, name, ": ", numbers, " numbers for each of ", n, " pictures wanted");
}

Tensor warp2d(const Tensor& x_any, const Tensor& map, const Tensor& margins, const Tensor& f, bool transposed) {
  STD_TORCH_CHECK(x_any.dim() == 4, "x: rank ", x_any.dim(), " given, [N, C, H, W] wanted");
  const Tensor x = dense(x_any);
  const ScalarType type = x.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double, "x: float32 or float64 wanted");
  check_per_sample(map, "map", ScalarType::Double, x.size(0), 6);
  check_per_sample(margins, "margins", ScalarType::Long, x.size(0), 4);
  STD_TORCH_CHECK(f.numel() == kTaps && f.scalar_type() == type && f.is_contiguous(), "f: ", kTaps, " taps wanted");
  const double* maps = static_cast<const double*>(map.const_data_ptr());
  const int64_t* borders = static_cast<const int64_t*>(margins.const_data_ptr());
  for (int64_t i = 0; i < margins.numel(); i++) {
    const int64_t size = x.size(i % 2 ? 2 : 3);
    STD_TORCH_CHECK(borders[i] >= 0 && borders[i] < size, "margins: ", borders[i], " of a side of ", size, " pixels");
  }
  return (type == ScalarType::Double ? run<double> : run<float>)(x, maps, borders, f, transposed);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(sg, CPU, m) { m.impl("warp2d", TORCH_BOX(&warp2d)); }

}  // namespace sg
