// Correlation with 3x3 kernels and stride 1, and the gradient of its kernels, by a quarter of the multiplications.
//
// Images are cut into tiles of 4x4 outputs (winograd.h). Each of the 36 products of a tile is a sum over channels: that
// makes 36 matrix products, of [tiles, in] and [in, out] for the output, of [in, tiles] and [tiles, out] for the gradient.
// Images are channels-last. Arithmetic is in float (double for float64), whatever the storage.
#include <algorithm>

#include "image.h"
#include "matrices.h"
#include "winograd.h"

namespace sg {

namespace {

constexpr int kProducts = kPatch * kPatch;

// Inputs whose products are summed before the next ones are read: their panel of kernels stays in the nearest cache.
constexpr int kChunk = 128;

// The output of a correlation, in tiles. Those of all samples are counted through.
struct Tiling {
  int64_t high, wide, count;

  explicit Tiling(const Image& output)
      : high(divide_up(output.h, kTile)), wide(divide_up(output.w, kTile)), count(output.n * high * wide) {}
};

struct Corner {
  int64_t n, y, x;  // of a tile in the output

  Corner(const Tiling& tiling, int64_t tile)
      : n(tile / (tiling.high * tiling.wide)),
        y(tile / tiling.wide % tiling.high * kTile),
        x(tile % tiling.wide * kTile) {}
};

// Tiles that are worked on together. What they make of wide layers is to outweigh the kernels, which are read once for
// all of them; of narrow ones it is to stay in the second cache.
template <class T>
int64_t tiles_of_strip(const Tiling& tiling, int64_t in, int64_t out) {
  const int64_t balanced = std::clamp<int64_t>(in * out / (in + out), 48, 208);
  return round_up(std::min(balanced, tiling.count), kSumRows<T>);
}

// At most so many tiles, such that all threads get as many strips of them, and none waits for another.
template <class T>
int64_t even_strip(const Tiling& tiling, int64_t most) {
  const int64_t threads = torch::stable::get_num_threads();
  const int64_t strips = round_up(divide_up(tiling.count, most), threads);
  return round_up(divide_up(tiling.count, strips), kSumRows<T>);
}

int lanes_at(int64_t channel, int64_t channels) {
  return static_cast<int>(std::min<int64_t>(kLanes, channels - channel));
}

// kSize x kSize pixels of an image from (y, x) on, zeros outside of it.
template <class S, int kSize>
struct Window {
  const S* pixel[kSize][kSize];

  Window(const Image& image, int64_t n, int64_t y0, int64_t x0) {
    const S* first = static_cast<const S*>(image.data) + n * image.h * image.w * image.c;
    for (int64_t y = y0; y < y0 + kSize; y++) {
      for (int64_t x = x0; x < x0 + kSize; x++) {
        const bool is_inside = y >= 0 && y < image.h && x >= 0 && x < image.w;
        pixel[y - y0][x - x0] = is_inside ? first + (y * image.w + x) * image.c : nullptr;
      }
    }
  }

  // Ask for what the window of the tile to the left has not read.
  void prefetch(int64_t channel) const {
    for (int y = 0; y < kSize; y++) {
      for (int x = kSize - kTile; x < kSize; x++) {
        if (pixel[y][x]) __builtin_prefetch(pixel[y][x] + channel);
      }
    }
  }

  template <class T>
  void read(int64_t channel, int lanes, Block<T> values[kSize][kSize]) const {
    for (int y = 0; y < kSize; y++) {
      for (int x = 0; x < kSize; x++) {
        values[y][x] = pixel[y][x] ? load<T>(pixel[y][x] + channel, lanes) : Block<T>{};
      }
    }
  }
};

// What Map makes of tiles first + begin .. first + end of an image, as rows begin .. end of 36 matrices. The window of a
// tile begins `shift` pixels off its corner.
template <class Map, class S, class M>
void map_tiles(const Image& image, const Tiling& tiling, int64_t shift, int64_t first, int64_t begin, int64_t end,
               const M& to) {
  using T = Compute<S>;
  const auto window_of = [&](int64_t tile) {
    const Corner at(tiling, std::min(tile, tiling.count - 1));
    return Window<S, Map::kIn>(image, at.n, at.y + shift, at.x + shift);
  };
  auto next = window_of(first + begin);
  for (int64_t t = begin; t < end; t++) {
    const auto window = next;
    next = window_of(first + t + 1);
    for (int64_t c = 0; c < image.c; c += kLanes) {
      Block<T> in[Map::kIn][Map::kIn], out[kPatch][kPatch];
      next.prefetch(c);
      window.read(c, lanes_at(c, image.c), in);
      map_square<Map>(in, out);
      T* at = to.at(0, t, c);
      for (int p = 0; p < kProducts; p++) store(at + p * to.step(), out[p / kPatch][p % kPatch]);
    }
  }
}

// Kernels [out, in, 3, 3] one of whose channels is innermost in memory.
struct Kernels {
  const void* data;
  int64_t out, in, out_step, in_step, y_step, x_step;
  bool flip;

  Kernels(const Tensor& w, bool flip)
      : data(w.const_data_ptr()), out(w.size(0)), in(w.size(1)), out_step(w.stride(0)), in_step(w.stride(1)),
        y_step(w.stride(2)), x_step(w.stride(3)), flip(flip) {}
};

// One tap of a block of outputs (the lanes) by a block of inputs.
template <class T, class S>
void read_tap(const Kernels& w, int64_t o, int64_t i, int tap, Block<T> values[kLanes]) {
  const int place = w.flip ? kTaps * kTaps - 1 - tap : tap;
  const S* from = static_cast<const S*>(w.data) + o * w.out_step + i * w.in_step + place / kTaps * w.y_step +
                  place % kTaps * w.x_step;
  const int outs = lanes_at(o, w.out), ins = lanes_at(i, w.in);
  if (w.out_step == 1) {
    for (int l = 0; l < ins; l++) values[l] = load<T>(from + l * w.in_step, outs);
    return;
  }
  for (int l = 0; l < kLanes; l++) values[l] = l < outs ? load<T>(from + l * w.out_step, ins) : Block<T>{};
  transpose(values);
}

// G w Gᵀ, as matrices [in, out].
template <class S, class T = Compute<S>>
Panels<T> map_kernels(const Kernels& w) {
  Panels<T> to(kProducts, w.in, w.out);
  const bool streams = kProducts * to.step() * int64_t(sizeof(T)) > kCacheBytes;
  torch::stable::parallel_for(0, divide_up(w.out, kLanes), 1, [&](int64_t begin, int64_t end) {
    Block<T> taps[kTaps * kTaps][kLanes];
    for (int64_t o = begin * kLanes; o < std::min(end * kLanes, w.out); o += kLanes) {
      for (int64_t i = 0; i < w.in; i += kLanes) {
        for (int tap = 0; tap < kTaps * kTaps; tap++) read_tap<T, S>(w, o, i, tap, taps[tap]);
        for (int l = 0; l < lanes_at(i, w.in); l++) {
          Block<T> in[kTaps][kTaps], out[kPatch][kPatch];
          for (int tap = 0; tap < kTaps * kTaps; tap++) in[tap / kTaps][tap % kTaps] = taps[tap][l];
          map_square<OfKernel>(in, out);
          T* at = to.at(0, i + l, o);
          for (int p = 0; p < kProducts; p++) {
            if (streams) {
              stream(at + p * to.step(), out[p / kPatch][p % kPatch]);
            } else {
              store(at + p * to.step(), out[p / kPatch][p % kPatch]);
            }
          }
        }
      }
    }
    if (streams) finish_streams();
  });
  return to;
}

// The 4x4 outputs of tiles first .. first + count from rows of 36 matrices.
template <class S, class T>
void write_tiles(const Panels<T>& from, const Tiling& tiling, int64_t first, int64_t count, const Image& image) {
  const bool streams = std::is_same_v<S, float> && image.c % kLanes == 0 &&
                       image.n * image.h * image.w * image.c * 4 > kCacheBytes;
  for (int64_t t = 0; t < count; t++) {
    const Corner at(tiling, first + t);
    const int64_t high = std::min<int64_t>(kTile, image.h - at.y), wide = std::min<int64_t>(kTile, image.w - at.x);
    S* corner = static_cast<S*>(image.data) + ((at.n * image.h + at.y) * image.w + at.x) * image.c;
    for (int64_t c = 0; c < image.c; c += kLanes) {
      Block<T> products[kPatch][kPatch], values[kTile][kTile];
      const T* row = from.at(0, t, c);
      for (int p = 0; p < kProducts; p++) products[p / kPatch][p % kPatch] = load<T>(row + p * from.step());
      map_square<ToOutput>(products, values);
      for (int64_t y = 0; y < high; y++) {
        for (int64_t x = 0; x < wide; x++) {
          S* pixel = corner + (y * image.w + x) * image.c + c;
          if (streams) {
            stream(pixel, values[y][x]);
          } else {
            store(pixel, values[y][x], lanes_at(c, image.c));
          }
        }
      }
    }
  }
  if (streams) finish_streams();
}

template <class S>
void correlate(const Image& in, const Kernels& w, const Image& out, int64_t pad) {
  using T = Compute<S>;
  constexpr int kRows = kSumRows<T>;
  const Panels<T> kernels = map_kernels<S>(w);
  const Tiling tiling(out);
  const int64_t strip = even_strip<T>(tiling, tiles_of_strip<T>(tiling, in.c, out.c));
  torch::stable::parallel_for(0, divide_up(tiling.count, strip), 1, [&](int64_t begin, int64_t end) {
    const Rows<T> patches(kProducts, strip, in.c);
    const Panels<T> products(kProducts, strip, out.c);
    for (int64_t first = begin * strip; first < std::min(end * strip, tiling.count); first += strip) {
      const int64_t count = std::min(strip, tiling.count - first);
      map_tiles<OfInput, S>(in, tiling, -pad, first, 0, count, patches);
      for (int p = 0; p < kProducts; p++) {
        for (int64_t c = 0; c < out.c; c += kPanel) {
          for (int64_t i = 0; i < in.c; i += kChunk) {
            const int64_t ins = std::min<int64_t>(kChunk, in.c - i);
            for (int64_t t = 0; t < count; t += kRows) {
              const T *patch = patches.at(p, t, i), *kernel = kernels.at(p, i, c);
              multiply_panel<AlongRows<T>>(patch, kRows * kLanes, patch + kRows * patches.width(), kernel,
                                           kernel + (t == 0 ? ins * kPanel : 0), ins, products.at(p, t, c), i > 0);
            }
          }
        }
      }
      write_tiles<S>(products, tiling, first, count, out);
    }
  });
}

// Gᵀ dU G of matrices dU [in, out] into [out, 3, 3, in].
template <class S, class T>
void write_kernels(const Panels<T>& from, int64_t ins, int64_t outs, S* to) {
  torch::stable::parallel_for(0, divide_up(outs, kLanes), 1, [&](int64_t begin, int64_t end) {
    Block<T> taps[kTaps * kTaps][kLanes];
    for (int64_t o = begin * kLanes; o < std::min(end * kLanes, outs); o += kLanes) {
      for (int64_t i = 0; i < ins; i += kLanes) {
        for (int l = 0; l < kLanes; l++) {
          Block<T> products[kPatch][kPatch], kernel[kTaps][kTaps];
          const T* row = from.at(0, i + l, o);
          for (int p = 0; p < kProducts; p++) products[p / kPatch][p % kPatch] = load<T>(row + p * from.step());
          map_square<ToKernelGradient>(products, kernel);
          for (int tap = 0; tap < kTaps * kTaps; tap++) taps[tap][l] = kernel[tap / kTaps][tap % kTaps];
        }
        for (int tap = 0; tap < kTaps * kTaps; tap++) {
          transpose(taps[tap]);
          for (int l = 0; l < lanes_at(o, outs); l++) {
            store(to + ((o + l) * kTaps * kTaps + tap) * ins + i, taps[tap][l], lanes_at(i, ins));
          }
        }
      }
    }
  });
}

// Gᵀ [Σ_tiles (Bᵀ x B) ⊙ (A dy Aᵀ)] G. Strips do not depend on the number of threads, and so the sum does not.
template <class S>
void sum_kernels(const Image& in, const Image& dy, int64_t pad, S* dw) {
  using T = Compute<S>;
  constexpr int kRows = AlongColumns<T>::kCount;
  const Tiling tiling(dy);
  const int64_t strip = tiles_of_strip<T>(tiling, in.c, dy.c);
  const Rows<T> patches(kProducts, strip, in.c);
  const Panels<T> gradients(kProducts, strip, dy.c), sums(kProducts, patches.width(), dy.c);
  for (int64_t first = 0; first < tiling.count; first += strip) {
    const int64_t count = std::min(strip, tiling.count - first);
    torch::stable::parallel_for(0, count, kRows, [&](int64_t begin, int64_t end) {
      map_tiles<OfInput, S>(in, tiling, -pad, first, begin, end, patches);
      map_tiles<OfOutputGradient, S>(dy, tiling, 0, first, begin, end, gradients);
    });
    torch::stable::parallel_for(0, kProducts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; p++) {
        for (int64_t o = 0; o < dy.c; o += kPanel) {
          for (int64_t i = 0; i < in.c; i += kRows) {
            const T *patch = patches.at(p, 0, i), *gradient = gradients.at(p, 0, o);
            multiply_panel<AlongColumns<T>>(patch, Rows<T>::kHeight * patches.width(), patch, gradient,
                                            gradient + (i == 0 ? count * kPanel : 0), count, sums.at(p, i, o), first > 0);
          }
        }
      }
    });
  }
  write_kernels<S>(sums, in.c, dy.c, dw);
}

Tensor empty_pixels(const Tensor& like, int64_t n, int64_t c, int64_t h, int64_t w) {
  return torch::stable::empty({n, c, h, w}, like.scalar_type(), std::nullopt, like.device(), std::nullopt,
                              MemoryFormat::ChannelsLast);
}

Tensor channels_last(const Tensor& x) {
  return is_channels_last(x) ? x : torch::stable::contiguous(dense(x), MemoryFormat::ChannelsLast);
}

template <class Run>
void for_type_of(const Tensor& x, const Run& run) {
  switch (x.scalar_type()) {
    case ScalarType::Double: return run(double());
    case ScalarType::BFloat16: return run(BFloat16());
    case ScalarType::Half: return run(Half());
    default: return run(float());
  }
}

Tensor conv3x3(const Tensor& x_any, const Tensor& w_any, int64_t padding, bool flip) {
  STD_TORCH_CHECK(w_any.dim() == 4 && w_any.size(2) == kTaps && w_any.size(3) == kTaps && w_any.size(1) == x_any.size(1) &&
                      w_any.scalar_type() == x_any.scalar_type(),
                  "w: [out, ", x_any.size(1), ", 3, 3] in the dtype of x wanted");
  const Tensor x = channels_last(x_any);
  const bool is_ready = w_any.stride(0) == 1 || w_any.stride(1) == 1;
  const Tensor w = is_ready ? w_any : torch::stable::contiguous(w_any, MemoryFormat::ChannelsLast);
  const int64_t grown = 2 * padding - (kTaps - 1);
  Tensor y = empty_pixels(x, x.size(0), w.size(0), x.size(2) + grown, x.size(3) + grown);
  if (y.numel() == 0) return y;
  for_type_of(x, [&](auto zero) {
    correlate<decltype(zero)>(as_image(x), Kernels(w, flip), as_image(y), padding);
  });
  return y;
}

Tensor conv3x3_weight_grad(const Tensor& x_any, const Tensor& dy_any, int64_t padding) {
  STD_TORCH_CHECK(dy_any.size(0) == x_any.size(0) && dy_any.scalar_type() == x_any.scalar_type(),
                  "dy: batch and dtype of x wanted");
  const Tensor x = channels_last(x_any), dy = channels_last(dy_any);
  Tensor dw = empty_pixels(x, dy.size(1), x.size(1), kTaps, kTaps);
  if (x.numel() == 0 || dy.numel() == 0) return torch::stable::zero_(dw);
  for_type_of(x, [&](auto zero) {
    using S = decltype(zero);
    sum_kernels<S>(as_image(x), as_image(dy), padding, static_cast<S*>(dw.mutable_data_ptr()));
  });
  return dw;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(sg, CPU, m) {
  m.impl("conv3x3", TORCH_BOX(&conv3x3));
  m.impl("conv3x3_weight_grad", TORCH_BOX(&conv3x3_weight_grad));
}

}  // namespace sg
