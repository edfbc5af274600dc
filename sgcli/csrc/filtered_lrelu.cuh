// filtered_lrelu for the factors and filters of StyleGAN3 (spec stylegan3 §3.3, §4): 2 and 4, six taps per phase.
//
// A block makes a tile of outputs in three passes. No fine sample outlives the second where the filters are separable:
//   1. down the columns: input -> upsampled in y -> shared memory
//   2. along the rows:   shared memory -> upsampled in x, activated, downsampled in x -> shared memory, in place
//   3. down the columns: shared memory -> downsampled in y -> output
// Where a filter is not separable, pass 1 or pass 3 applies the whole of it, and pass 2 does less.
//
// In passes 1 and 3 neighbouring threads have neighbouring columns, so that device memory is read and written in order.
// In pass 2 a thread marches along a row of its own, with windows of samples and sums in registers; the pitch of rows
// is odd, so that threads find their rows in different banks. Multiplications and additions should be most of what
// threads do: that is why windows are long, indices are constants and tests are few.
#pragma once

#include "resample.cuh"

namespace sg::cuda {

template <int kUpFactor, int kDownFactor, bool kUpWhole, bool kDownWhole>
struct LreluShape {
  static constexpr int kUp = kUpFactor, kDown = kDownFactor;
  static constexpr bool kUp2d = kUpWhole, kDown2d = kDownWhole;  // filters that are not separable
  static constexpr int kReach = 6;                               // taps per phase
  static constexpr int kUpTaps = kReach * kUp, kDownTaps = kReach * kDown;
  static constexpr int kUpWeights = kUp2d ? kUpTaps * kUpTaps : 2 * kUpTaps;
  static constexpr int kWeights = kUpWeights + (kDown2d ? kDownTaps * kDownTaps : 2 * kDownTaps);
  static constexpr int kRowUp = kUp2d ? 1 : kUp;  // what is left to do in pass 2
  static constexpr int kRaise = 16;                  // fine rows that a thread makes in pass 1
  static constexpr int kLower = kDown2d ? 16 : 8;    // outputs that it makes in pass 3
  static constexpr int kMostRows = kUp2d || kDown2d ? 64 / kDown : (128 - kDownTaps) / kDown / 8 * 8;  // of a tile

  static bool fits(const Resampling& r) {
    const auto has = [](const Filter& f, int taps, bool whole) {
      return f.taps && f.h == taps && f.w == taps && f.separable != whole;
    };
    return r.dtype != ScalarType::Double && r.x.up == kUp && r.x.down == kDown && has(r.up, kUpTaps, kUp2d) &&
           has(r.down, kDownTaps, kDown2d);
  }
};

// Where a tile's samples lie in shared memory, after the weights: for each lane a plane of rows.
template <class Shape>
struct LreluLayout {
  // The buffer of pass 2, whose input ends where its rows end, and whose output begins with them, a few incomplete sums
  // ahead of the first output. It may not overtake the input, and does not where its end fits.
  int pitch, first, plane;
  int fine_pitch, fine_plane;  // of another buffer, for activated samples; where there is one

  __host__ __device__ LreluLayout(const Extent& x, int tile_rows) {
    const int chunks = (tile_rows + Shape::kLower - 1) / Shape::kLower;  // the last one may not be full of outputs
    const int rows = (chunks * Shape::kLower - 1) * Shape::kDown + Shape::kDownTaps;
    const int read = Shape::kUp2d ? x.fine : x.in, written = Shape::kDown2d ? 0 : x.fine / Shape::kDown;
    const int width = read > written ? read : written;
    pitch = width | 1;
    first = width - read;
    plane = spread(rows * pitch);
    fine_pitch = Shape::kDown2d ? x.fine | 1 : 0;
    fine_plane = spread(rows * fine_pitch);
  }
  // A size of planes for which eight lanes of four neighbouring columns are in different banks.
  __host__ __device__ static int spread(int size) { return (size + 31) / 32 * 32 + 4; }

  static int64_t shared_bytes(const Resampling& r, const Tiling& t) {
    const LreluLayout layout(Extent::largest(r.x, t.columns, kWord), t.rows);
    return sizeof(float) * (Shape::kWeights + static_cast<int64_t>(t.lanes) * (layout.plane + layout.fine_plane));
  }
};

template <int kSize>
__device__ void copy_weights(float (&to)[kSize], const float* from) {
  static_assert(kSize % 4 == 0);
#pragma unroll
  for (int i = 0; i < kSize; i += 4) {
    const auto four = *reinterpret_cast<const Vector<float, 4>*>(from + i);
#pragma unroll
    for (int l = 0; l < 4; l++) to[i + l] = four.lane[l];
  }
}

// A block's way over [rows][width] tasks, neighbours of a row at the same time.
struct Walk {
  int row, column, width, row_step, column_step;

  __device__ explicit Walk(int width)
      : row(threadIdx.x / width), column(threadIdx.x % width), width(width), row_step(blockDim.x / width),
        column_step(blockDim.x % width) {}
  __device__ void step() {
    row += row_step;
    column += column_step;
    if (column >= width) {
      column -= width;
      row++;
    }
  }
};

// Shifts signs up and puts that of v below them, in one instruction.
__device__ inline uint32_t push_sign(uint32_t signs, float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof(bits));
  return signs << 1 | bits >> 31;
}

template <class Shape, Activation kActivation>
struct LreluTile {
  static constexpr int kUp = Shape::kUp, kDown = Shape::kDown, kReach = Shape::kReach;
  static constexpr int kRaise = Shape::kRaise, kLower = Shape::kLower;
  static constexpr int kInputs = kRaise / kUp;  // pixels with which the windows of a chunk of fine rows begin
  const Resampling& r;
  const Tile tile;
  const Extent y, x;
  const LreluLayout<Shape> layout;
  const int lanes, lane_bits;  // of a whole tile
  const float *up, *down;      // weights
  float *buffer, *fine;

  __device__ LreluTile(const Resampling& r, int64_t job)
      : r(r), tile(r, job), y(Extent::of(r.y, tile.y, tile.rows, 1)), x(Extent::of(r.x, tile.x, tile.columns, kWord)),
        layout(x, tile.rows), lanes(r.tiling.lanes), lane_bits(lanes == 8 ? 3 : lanes / 2) {
    up = shared_memory<float>();
    down = up + Shape::kUpWeights;
    buffer = shared_memory<float>() + Shape::kWeights;
    fine = buffer + lanes * layout.plane;
  }

  // Weights in the order in which the passes read them: separable [y], [x]; else by column, for the upsampling filter
  // [tap x][phase y][phase x][tap y], for the other one [tap x][tap y]. Phase p begins with tap up - 1 - p.
  __device__ static void load_weights(const Resampling& r) {
    float* up = shared_memory<float>();
    float* down = up + Shape::kUpWeights;
    constexpr int kUpTaps = Shape::kUpTaps, kDownTaps = Shape::kDownTaps;
    for (int i = threadIdx.x; i < Shape::kUpWeights; i += blockDim.x) {
      if (Shape::kUp2d) {
        const int ty = i % kReach, px = i / kReach % kUp, py = i / (kReach * kUp) % kUp, tx = i / (kReach * kUp * kUp);
        up[i] = r.up.xy<float>(kUp - 1 - py + ty * kUp, kUp - 1 - px + tx * kUp);
      } else {
        up[i] = i < kUpTaps ? r.up.y<float>(i) : r.up.x<float>(i - kUpTaps);
      }
    }
    for (int i = threadIdx.x; i < Shape::kWeights - Shape::kUpWeights; i += blockDim.x) {
      if (Shape::kDown2d) {
        down[i] = r.down.xy<float>(i % kDownTaps, i / kDownTaps);
      } else {
        down[i] = i < kDownTaps ? r.down.y<float>(i) : r.down.x<float>(i - kDownTaps);
      }
    }
  }

  // Calls each(chunk, column, lane) for the tile's lanes and that many chunks and columns.
  template <class F>
  __device__ void for_columns(int chunks, int columns, const F& each) const {
    for (Walk at(columns << lane_bits); at.row < chunks; at.step()) {
      const int lane = at.column & (lanes - 1);
      if (lane < tile.lanes) each(at.row, at.column >> lane_bits, lane);
    }
  }

  // Pass 1, separable: a thread reads a few pixels of a column and makes kRaise fine rows of it.
  template <class S>
  __device__ void raise() const {
    float weight[Shape::kUpTaps];
    copy_weights(weight, up);
    const int windows = y.in - (kReach - 1);
    for_columns((windows + kInputs - 1) / kInputs, x.in, [&](int chunk, int column, int lane) {
      const int top = y.in0 + chunk * kInputs, row = top * kUp + static_cast<int>(r.y.pad) - (kUp - 1) - y.fine0;
      float window[kInputs + kReach - 1];
      Column<S>(r, tile, x.in0 + column, lane).load(top, window);
      float* to = buffer + lane * layout.plane + row * layout.pitch + layout.first + column;
      for_inside<kRaise>(row, y.fine, [&](int k) {
        float sum = 0;
#pragma unroll
        for (int t = 0; t < kReach; t++) sum += weight[kUp - 1 - k % kUp + t * kUp] * window[k / kUp + t];
        to[k * layout.pitch] = sum;
      });
    });
  }

  // Pass 1 with the whole filter: a thread makes kRaise rows of the `up` fine columns whose windows begin together.
  template <class S>
  __device__ void raise_2d() const {
    const int windows_x = x.in - (kReach - 1), windows_y = y.in - (kReach - 1);
    for_columns((windows_y + kInputs - 1) / kInputs, windows_x, [&](int chunk, int left, int lane) {
      const int top = y.in0 + chunk * kInputs, row = top * kUp + static_cast<int>(r.y.pad) - (kUp - 1) - y.fine0;
      const int column = (x.in0 + left) * kUp + static_cast<int>(r.x.pad) - (kUp - 1) - x.fine0;
      float sum[kRaise][kUp] = {};
#pragma unroll 1
      for (int tx = 0; tx < kReach; tx++) {
        float weight[kUp * kUp * kReach], window[kInputs + kReach - 1];
        copy_weights(weight, up + tx * kUp * kUp * kReach);
        Column<S>(r, tile, x.in0 + left + tx, lane).load(top, window);
#pragma unroll
        for (int k = 0; k < kRaise; k++) {
#pragma unroll
          for (int px = 0; px < kUp; px++) {
            const int first = (k % kUp * kUp + px) * kReach;
#pragma unroll
            for (int t = 0; t < kReach; t++) sum[k][px] += weight[first + t] * window[k / kUp + t];
          }
        }
      }
      float* to = buffer + lane * layout.plane + row * layout.pitch + layout.first + column;
      for_inside<kRaise>(row, y.fine, [&](int k) {
        for_inside<kUp>(column, x.fine, [&](int px) { to[k * layout.pitch + px] = sum[k][px]; });
      });
    });
  }

  // Pass 2: each thread takes rows; kPhase is that of a row's first fine sample.
  template <int kPhase>
  __device__ void march() const {
    float up_weight[Shape::kUpTaps], down_weight[Shape::kDownTaps];
    if (!Shape::kUp2d) copy_weights(up_weight, up + Shape::kUpTaps);
    if (!Shape::kDown2d) copy_weights(down_weight, down + Shape::kDownTaps);
    for (Walk at(y.fine); at.row < tile.lanes; at.step()) march_row<kPhase>(at.column, at.row, up_weight, down_weight);
  }

  template <int kPhase>
  __device__ void march_row(int row, int lane, const float (&up_weight)[Shape::kUpTaps],
                            const float (&down_weight)[Shape::kDownTaps]) const {
    constexpr int kRowUp = Shape::kRowUp, kWindow = Shape::kUp2d ? 1 : kReach, kStep = kWord / kDown;
    const Activate<float> activate(r.slope, r.limit);
    const int Y = y.fine0 + row, part = x.fine / kDown;
    const float* from = buffer + lane * layout.plane + row * layout.pitch + layout.first;
    float* to = Shape::kDown2d ? fine + lane * layout.fine_plane + row * layout.fine_pitch
                               : buffer + lane * layout.plane + row * layout.pitch;

    float window[kWindow], sum[kReach] = {};  // sum[m]: of the output that began m·down samples ago
#pragma unroll
    for (int t = kPhase == 0 ? 1 : 0; t < kWindow; t++) window[t] = *from++;

#pragma unroll 1
    for (int word = 0; word < x.fine / kWord; word++, to += kStep) {
      const int X0 = x.fine0 + word * kWord;
      const uint32_t codes = kActivation == Activation::kReplay ? r.codes.read(tile.plane + lane, Y, X0) : 0;
      uint32_t below = 0, clamped = 0;
#pragma unroll
      for (int u = 0; u < kWord; u++) {
        const int phase = (kPhase + u) % kRowUp;
        if (phase == 0) {  // the next pixel enters the window
#pragma unroll
          for (int t = 0; t < kWindow - 1; t++) window[t] = window[t + 1];
          window[kWindow - 1] = *from++;
        }
        float v = 0;
        if constexpr (Shape::kUp2d) {
          v = window[0];
        } else {
#pragma unroll
          for (int t = 0; t < kReach; t++) v += up_weight[kUp - 1 - phase + t * kUp] * window[t];
        }

        if (kActivation == Activation::kReplay) {
          v = activate.replay(v, codes & Codes::below(u), codes & Codes::clamped(u));
        } else {
          below = push_sign(below, v);
          v = activate.leaky_relu(v);
          clamped = push_sign(clamped, activate.limit - std::abs(v));
          v = activate.clamp(v);
        }

        if constexpr (Shape::kDown2d) {  // samples of one phase lie together, as neighbouring outputs want them
          to[u % kDown * part + u / kDown] = v;
        } else {
#pragma unroll
          for (int m = 0; m < kReach; m++) sum[m] += down_weight[u % kDown + m * kDown] * v;
          if (u % kDown < kDown - 1) continue;
          to[u / kDown] = sum[kReach - 1];
#pragma unroll
          for (int m = kReach - 1; m > 0; m--) sum[m] = sum[m - 1];
          sum[0] = 0;
        }
      }
      const bool keep = kActivation == Activation::kRecord && tile.owns(r, Y, X0);
      if (keep) r.codes.write(tile.plane + lane, Y, X0 / kWord, clamped << 16 | below);
    }
  }

  // Pass 3: a thread makes kLower outputs of a column.
  template <class S>
  __device__ void lower() const {
    constexpr int kRows = (kLower - 1) * kDown + Shape::kDownTaps;
    float weight[Shape::kDownTaps];
    if (!Shape::kDown2d) copy_weights(weight, down);
    for_columns((tile.rows + kLower - 1) / kLower, tile.columns, [&](int chunk, int column, int lane) {
      const int row = chunk * kLower;
      float sum[kLower] = {};
      const auto add_column = [&](const float* from, int pitch) {
#pragma unroll
        for (int k = 0; k < kRows; k++, from += pitch) {
#pragma unroll
          for (int o = 0; o < kLower; o++) {
            const int tap = k - o * kDown;
            if (tap >= 0 && tap < Shape::kDownTaps) sum[o] += weight[tap] * *from;
          }
        }
      };
      if (Shape::kDown2d) {
        const float* from = fine + lane * layout.fine_plane + row * kDown * layout.fine_pitch + column;
#pragma unroll 1
        for (int tx = 0; tx < Shape::kDownTaps; tx++) {
          copy_weights(weight, down + tx * Shape::kDownTaps);
          add_column(from + tx % kDown * (x.fine / kDown) + tx / kDown, layout.fine_pitch);
        }
      } else {
        add_column(buffer + lane * layout.plane + row * kDown * layout.pitch + column + kReach - 1, layout.pitch);
      }
      S* to = output_pixel<S>(r, tile, row, column, lane);
      const int64_t pitch = static_cast<int64_t>(r.out.w) * r.out.lanes;
      for_inside<kLower>(row, tile.rows, [&](int o) { to[o * pitch] = static_cast<S>(sum[o]); });
    });
  }
};

constexpr int kLreluThreads = 256;

template <class Shape, Activation kActivation>
__global__ void __launch_bounds__(kLreluThreads) filtered_lrelu_kernel(Resampling r) {
  LreluTile<Shape, kActivation>::load_weights(r);
  __syncthreads();
  for (int64_t job = blockIdx.x; job < r.jobs(); job += gridDim.x) {
    const LreluTile<Shape, kActivation> tile(r, job);
    with_float_type(r.dtype, [&](auto zero) {
      using S = decltype(zero);
      if constexpr (Shape::kUp2d) tile.template raise_2d<S>();
      if constexpr (!Shape::kUp2d) tile.template raise<S>();
    });
    __syncthreads();
    // Phase 0 is that of the first fine sample whose window begins with a certain pixel.
    switch (Shape::kUp2d ? 0 : Shape::kUp - 1 - Extent::tap(r.x, tile.x.fine0)) {
      case 0: tile.template march<0>(); break;
      case 1: tile.template march<1>(); break;
      case 2: tile.template march<2 % Shape::kUp>(); break;
      case 3: tile.template march<3 % Shape::kUp>(); break;
    }
    __syncthreads();
    with_float_type(r.dtype, [&](auto zero) { tile.template lower<decltype(zero)>(); });
    __syncthreads();
  }
}

template <class Shape, Activation... kActivations>
void offer_filtered_lrelu(Resampling r, int64_t most_shared, Launch<Resampling>& launch) {
  if (!Shape::fits(r)) return;
  const auto bytes = [&r](const Tiling& t) { return LreluLayout<Shape>::shared_bytes(r, t); };
  const Tiling most{Shape::kMostRows, 128 / Shape::kDown, 8};  // 128 fine rows keep four warps busy in pass 2
  r.tiling = choose_tiling(r, most, Shape::kLower, std::min<int64_t>(most_shared, 64 << 10), bytes);
  const int threads = r.tiling.lanes == 1 ? kLreluThreads / 2 : kLreluThreads;
  const auto offer = [&](Activation activation, void (*kernel)(Resampling)) {
    if (activation == r.activation) launch = {kernel, r, r.jobs(), threads, bytes(r.tiling)};
  };
  (offer(kActivations, filtered_lrelu_kernel<Shape, kActivations>), ...);
}

inline Launch<Resampling> launch_filtered_lrelu(const Resampling& r, int64_t most_shared) {
  constexpr Activation kForward = Activation::kLeakyRelu, kRecord = Activation::kRecord, kReplay = Activation::kReplay;
  Launch<Resampling> launch{};
  offer_filtered_lrelu<LreluShape<2, 2, false, false>, kForward, kRecord, kReplay>(r, most_shared, launch);
  offer_filtered_lrelu<LreluShape<4, 2, false, false>, kForward, kRecord, kReplay>(r, most_shared, launch);
  offer_filtered_lrelu<LreluShape<2, 4, false, false>, kReplay>(r, most_shared, launch);  // gradient of the line above
  offer_filtered_lrelu<LreluShape<2, 2, false, true>, kForward, kRecord, kReplay>(r, most_shared, launch);
  offer_filtered_lrelu<LreluShape<2, 2, true, false>, kReplay>(r, most_shared, launch);
  offer_filtered_lrelu<LreluShape<4, 2, false, true>, kForward, kRecord, kReplay>(r, most_shared, launch);
  offer_filtered_lrelu<LreluShape<2, 4, true, false>, kReplay>(r, most_shared, launch);
  return launch.kernel ? launch : launch_resample(r, most_shared);
}

}  // namespace sg::cuda
