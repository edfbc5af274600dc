// Upsample, activate, downsample with any factors and filters, a pass at a time. Faster kernels for common shapes are
// in upfirdn2d.cu and filtered_lrelu.cuh.
#include "resample.cuh"

namespace sg::cuda {

namespace {

constexpr int kThreads = 256;

// A block at work on a tile, whose samples are kept as [row][column][lane].
template <class S>
struct ResampleTile {
  using T = Compute<S>;
  const Resampling& r;
  const Tile tile;
  const Extent y, x;
  T *raised, *fine, *narrow;  // [fine rows][input columns], [fine rows][fine columns], [fine rows][output columns]

  __device__ ResampleTile(const Resampling& r, int64_t job)
      : r(r), tile(r, job), y(Extent::of(r.y, tile.y, tile.rows, 1)), x(Extent::of(r.x, tile.x, tile.columns, kWord)) {
    fine = shared_memory<T>();
    raised = narrow = fine + y.fine * x.fine * tile.lanes;
  }
  static int64_t shared_bytes(const Resampling& r, const Tiling& t) {
    const Extent y = Extent::largest(r.y, t.rows, 1), x = Extent::largest(r.x, t.columns, kWord);
    return static_cast<int64_t>(sizeof(T)) * y.fine * t.lanes * (x.fine + (x.in > t.columns ? x.in : t.columns));
  }

  __device__ void run() const {
    if (r.up.separable) {
      for_all(y.fine, x.in, tile.lanes, [&](int row, int column, int lane) {
        const int Y = y.fine0 + row, first = Extent::input(r.y, Y), tap = Extent::tap(r.y, Y);
        const Column<S> pixels(r, tile, x.in0 + column, lane);
        T sum = 0;
        for (int t = tap, i = first; t < r.y.up_taps; t += r.y.up, i++) sum += r.up.template y<T>(t) * pixels.at(i);
        raised[(row * x.in + column) * tile.lanes + lane] = sum;
      });
    }
    for_all(tile.lanes, x.fine / kWord, y.fine, [&](int lane, int word, int row) { make_fine(row, word, lane); });
    if (r.down.separable) {
      for_all(y.fine, tile.columns, tile.lanes, [&](int row, int column, int lane) {
        const int from = column * r.x.down;
        T sum = 0;
        for (int t = 0; t < r.x.down_taps; t++) sum += r.down.template x<T>(t) * fine_at(row, from + t, lane);
        narrow[(row * tile.columns + column) * tile.lanes + lane] = sum;
      });
    }
    for_all(tile.rows, tile.columns, tile.lanes, [&](int row, int column, int lane) {
      const int top = row * r.y.down, left = column * r.x.down;
      T sum = 0;
      for (int t = 0; t < r.y.down_taps; t++) {
        if (r.down.separable) {
          sum += r.down.template y<T>(t) * narrow[((top + t) * tile.columns + column) * tile.lanes + lane];
        } else {
          for (int s = 0; s < r.x.down_taps; s++) sum += r.down.template xy<T>(t, s) * fine_at(top + t, left + s, lane);
        }
      }
      *output_pixel<S>(r, tile, row, column, lane) = static_cast<S>(sum);
    });
  }

 private:
  // Calls each(i, j, k) for all i < a, j < b, k < c, with neighbouring k at the same time.
  template <class F>
  __device__ void for_all(int a, int b, int c, const F& each) const {
    for (int i = threadIdx.x; i < a * b * c; i += blockDim.x) each(i / (b * c), i / c % b, i % c);
    __syncthreads();
  }

  __device__ T& fine_at(int row, int column, int lane) const {
    return fine[(row * x.fine + column) * tile.lanes + lane];
  }

  // Sixteen fine samples of a row, upsampled and activated.
  __device__ void make_fine(int row, int word, int lane) const {
    const Activate<T> activate(r.slope, r.limit);
    const int Y = y.fine0 + row, X0 = x.fine0 + word * kWord;
    uint32_t codes = r.activation == Activation::kReplay ? r.codes.read(tile.plane + lane, Y, X0) : 0;
    for (int u = 0; u < kWord; u++) {
      T v = upsampled(row, X0 + u, lane);
      if (r.activation == Activation::kReplay) {
        v = activate.replay(v, codes & Codes::below(u), codes & Codes::clamped(u));
      } else if (r.activation != Activation::kNone) {
        const T y = activate.leaky_relu(v);
        codes |= (v < 0 ? Codes::below(u) : 0) | (activate.clamps(y) ? Codes::clamped(u) : 0);
        v = activate.clamp(y);
      }
      fine_at(row, word * kWord + u, lane) = v;
    }
    const bool keep = r.activation == Activation::kRecord && tile.owns(r, Y, X0);
    if (keep) r.codes.write(tile.plane + lane, Y, X0 / kWord, codes);
  }

  __device__ T upsampled(int row, int X, int lane) const {
    const int first = Extent::input(r.x, X), tap = Extent::tap(r.x, X), Y = y.fine0 + row;
    T sum = 0;
    for (int t = tap, i = first; t < r.x.up_taps; t += r.x.up, i++) {
      if (r.up.separable) {
        sum += r.up.template x<T>(t) * raised[(row * x.in + i - x.in0) * tile.lanes + lane];
      } else {
        const Column<S> pixels(r, tile, i, lane);
        for (int s = Extent::tap(r.y, Y), j = Extent::input(r.y, Y); s < r.y.up_taps; s += r.y.up, j++) {
          sum += r.up.template xy<T>(s, t) * pixels.at(j);
        }
      }
    }
    return sum;
  }
};

template <class S>
__global__ void __launch_bounds__(kThreads) resample_kernel(Resampling r) {
  for (int64_t job = blockIdx.x; job < r.jobs(); job += gridDim.x) ResampleTile<S>(r, job).run();
}

}  // namespace

Launch<Resampling> launch_resample(Resampling r, int64_t most_shared) {
  Launch<Resampling> launch{};
  with_type(r.dtype, [&](auto zero) {
    using S = decltype(zero);
    const auto bytes = [&r](const Tiling& t) { return ResampleTile<S>::shared_bytes(r, t); };
    r.tiling = choose_tiling(r, {32, 32, 8}, 1, std::min<int64_t>(most_shared, 64 << 10), bytes);
    STD_TORCH_CHECK(bytes(r.tiling) <= most_shared, "f: filters this long need ", bytes(r.tiling),
                    " bytes of shared memory, and this GPU has ", most_shared, " for a block");
    launch = {resample_kernel<S>, r, r.jobs(), kThreads, bytes(r.tiling)};
  });
  return launch;
}

Filter as_filter(const OptionalTensor& f, const Tensor& x, bool flip, double gain) {
  Filter filter;
  filter.gain = gain;
  if (!f) return filter;
  STD_TORCH_CHECK(f->device() == x.device(), "f: on another device than x");
  STD_TORCH_CHECK(f->dim() == 1 || f->dim() == 2, "f: a filter is 1-D or 2-D");
  STD_TORCH_CHECK(f->is_contiguous() && f->numel() > 0, "f: a filter is contiguous, not empty");
  STD_TORCH_CHECK(f->scalar_type() == ScalarType::Float || f->scalar_type() == ScalarType::Double,
                  "f: filters are float32 or float64");
  filter.taps = f->const_data_ptr();
  filter.wide = f->scalar_type() == ScalarType::Double;
  filter.h = static_cast<int>(f->size(0));
  filter.w = static_cast<int>(f->size(f->dim() - 1));
  STD_TORCH_CHECK(filter.h <= kMaxTaps && filter.w <= kMaxTaps, "f: a filter has at most ", kMaxTaps, " taps");
  filter.separable = f->dim() == 1;
  filter.reversed = !flip;
  return filter;
}

Resampling make_resampling(const Tensor& x, const Filter& up, const Filter& down, const Ints& factors_up,
                           const Ints& factors_down, const Ints& padding) {
  STD_TORCH_CHECK(factors_up.size() == 2 && factors_down.size() == 2 && padding.size() == 4,
                  "up, down: (x, y) wanted; padding: (x0, x1, y0, y1)");
  Resampling r;
  r.dtype = x.scalar_type();
  r.up = up;
  r.down = down;
  r.y = make_axis(x.size(2), factors_up[1], factors_down[1], padding[2], padding[3], up.h, down.h);
  r.x = make_axis(x.size(3), factors_up[0], factors_down[0], padding[0], padding[1], up.w, down.w);
  for (const Axis* axis : {&r.y, &r.x}) {
    const int64_t furthest = axis->in * axis->up + std::abs(axis->pad) + axis->fine() + kMaxTaps;
    STD_TORCH_CHECK(furthest < std::numeric_limits<int32_t>::max(), "x: more than 2^31 samples along an axis");
  }
  STD_TORCH_CHECK(x.size(3) * x.size(1) < std::numeric_limits<int32_t>::max(), "x: more than 2^31 values in a row");
  const int h = static_cast<int>(x.size(2)), w = static_cast<int>(x.size(3)), c = static_cast<int>(x.size(1));
  r.in = is_channels_last(x) ? Image{x.data_ptr(), x.size(0), h, w, c} : Image{x.data_ptr(), x.size(0) * c, h, w, 1};
  r.channels = c;
  return r;
}

Tensor make_output(const Tensor& x, Resampling& r) {
  Tensor y = empty_image(x, x.size(1), r.y.out, r.x.out);
  r.out = {y.data_ptr(), r.in.images, static_cast<int>(r.y.out), static_cast<int>(r.x.out), r.in.lanes};
  return y;
}

}  // namespace sg::cuda
