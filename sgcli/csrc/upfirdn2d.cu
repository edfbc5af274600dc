// upfirdn2d for small 2-D filters of known size, such as the 4 x 4 one of StyleGAN2 (spec stylegan2-ada §4.1).
//
// A thread computes outputs of one column that are `up` rows apart: they use the same taps of the filter, and each
// input pixel that it loads goes into all of them. Neighbouring threads work on neighbours in memory and find most of
// each other's pixels in the first-level cache, which is the memory that a tile in shared memory would take.
#include "launch.cuh"
#include "resample.cuh"

namespace sg::cuda {

namespace {

template <class S, int kLanes, int kUp, int kDown, int kTaps>
struct SmallFilter {
  static constexpr int kReads = kTaps / kUp;             // taps that meet pixels, not inserted zeros
  static constexpr int kOutputs = kLanes == 1 ? 16 : 4;  // rows per thread
  static constexpr int kRows = (kOutputs - 1) * kDown + kReads;

  static bool fits(const Resampling& r) {
    const Filter& f = kUp == 1 ? r.down : r.up;
    const bool same = r.x.up == kUp && r.y.up == kUp && r.x.down == kDown && r.y.down == kDown;
    return same && f.taps && !f.separable && f.h == kTaps && f.w == kTaps && r.in.lanes % kLanes == 0;
  }
  __host__ __device__ static int64_t groups(const Resampling& r) { return ceil_div(r.out.h, kUp * kOutputs) * kUp; }
  __host__ __device__ static int64_t threads(const Resampling& r) {
    return r.out.images * groups(r) * r.out.w * (r.out.lanes / kLanes);
  }
};

constexpr int kThreads = 128;

template <class S, int kLanes, int kUp, int kDown, int kTaps>
__global__ void __launch_bounds__(kThreads) upfirdn2d_kernel(Resampling r) {
  using T = Compute<S>;
  using Shape = SmallFilter<S, kLanes, kUp, kDown, kTaps>;
  using Pixel = Vector<S, kLanes>;
  constexpr int kReads = Shape::kReads, kOutputs = Shape::kOutputs;
  const Filter& f = kUp == 1 ? r.down : r.up;
  const int vectors = r.in.lanes / kLanes;
  const int64_t threads = Shape::threads(r), groups = Shape::groups(r);
  const int64_t across = static_cast<int64_t>(r.out.w) * vectors;

  for (int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; thread < threads;
       thread += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    const int64_t row = divide(thread, across), image = divide(row, groups);
    const int column = static_cast<int>(thread - row * across), group = static_cast<int>(row - image * groups);
    const int x = column / vectors, vector = column - x * vectors;
    const int y = group / kUp * (kUp * kOutputs) + group % kUp;  // and y + kUp, y + 2 kUp, ...
    const int64_t X = static_cast<int64_t>(x) * kDown, Y = static_cast<int64_t>(y) * kDown;
    const int in_x = Extent::input(r.x, X), in_y = Extent::input(r.y, Y);

    T weight[kReads][kReads];
#pragma unroll
    for (int ty = 0; ty < kReads; ty++) {
#pragma unroll
      for (int tx = 0; tx < kReads; tx++) {
        weight[ty][tx] = f.xy<T>(Extent::tap(r.y, Y) + ty * kUp, Extent::tap(r.x, X) + tx * kUp);
      }
    }

    const Pixel* from = static_cast<const Pixel*>(r.in.data) + image * r.in.h * r.in.w * vectors + vector;
    T sum[kOutputs][kLanes] = {};
#pragma unroll
    for (int tx = 0; tx < kReads; tx++) {
      if (in_x + tx < 0 || in_x + tx >= r.in.w) continue;
#pragma unroll
      for (int k = 0; k < Shape::kRows; k++) {
        if (in_y + k < 0 || in_y + k >= r.in.h) continue;
        const Pixel pixel = from[(static_cast<int64_t>(in_y + k) * r.in.w + in_x + tx) * vectors];
#pragma unroll
        for (int ty = k % kDown; ty < kReads; ty += kDown) {
          const int output = (k - ty) / kDown;
          if (k < ty || output >= kOutputs) continue;
#pragma unroll
          for (int l = 0; l < kLanes; l++) sum[output][l] += weight[ty][tx] * static_cast<T>(pixel.lane[l]);
        }
      }
    }

    Pixel* to = static_cast<Pixel*>(r.out.data) + image * r.out.h * r.out.w * vectors + vector;
#pragma unroll
    for (int i = 0; i < kOutputs; i++) {
      const int row = y + i * kUp;
      if (row >= r.out.h) break;
      Pixel pixel;
#pragma unroll
      for (int l = 0; l < kLanes; l++) pixel.lane[l] = static_cast<S>(sum[i][l]);
      to[(static_cast<int64_t>(row) * r.out.w + x) * vectors] = pixel;
    }
  }
}

// The kernel for images of S, a vector of lanes per thread where they lie together.
template <class S, int kUp, int kDown, int kTaps>
void offer_small_filter(const Resampling& r, Launch<Resampling>& launch) {
  const auto offer = [&](auto size) {
    constexpr int kLanes = decltype(size)::value;
    using Shape = SmallFilter<S, kLanes, kUp, kDown, kTaps>;
    if (!Shape::fits(r)) return;
    const int64_t blocks = ceil_div(Shape::threads(r), kThreads);
    launch = {upfirdn2d_kernel<S, kLanes, kUp, kDown, kTaps>, r, blocks, kThreads, 0};
  };
  offer(std::integral_constant<int, 1>{});
  if (is_aligned(r.in.data) && is_aligned(r.out.data)) offer(std::integral_constant<int, kVectorSize<S>>{});
}

Launch<Resampling> choose_kernel(const Resampling& r, int64_t most_shared) {
  Launch<Resampling> launch{};
  with_type(r.dtype, [&](auto zero) {
    using S = decltype(zero);
    offer_small_filter<S, 1, 1, 4>(r, launch);
    offer_small_filter<S, 2, 1, 4>(r, launch);
    offer_small_filter<S, 1, 2, 4>(r, launch);
  });
  return launch.kernel ? launch : launch_resample(r, most_shared);
}

Tensor upfirdn2d(const Tensor& x_any, const OptionalTensor& f, const Ints& up, const Ints& down, const Ints& padding,
                 bool flip_filter, double gain) {
  STD_TORCH_CHECK(x_any.dim() == 4, "x: rank ", x_any.dim(), " given, [N, C, H, W] wanted");
  const Tensor x = dense(x_any);
  const Filter filter = as_filter(f, x, flip_filter, gain);
  // A filter may be applied on either side of the fine grid: where pixels are only dropped, that goes along with it.
  const bool after = up == Ints{1, 1};
  Resampling r = make_resampling(x, after ? Filter{} : filter, after ? filter : Filter{}, up, down, padding);
  const Tensor y = make_output(x, r);
  if (y.numel() > 0) launch(choose_kernel(r, most_shared(x)), x);
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(sg, CUDA, m) { m.impl("upfirdn2d", TORCH_BOX(&upfirdn2d)); }

}  // namespace sg::cuda
