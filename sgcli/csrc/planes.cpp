#include "planes.h"

#include <algorithm>

#include "weights.h"

namespace sg {

namespace {

constexpr int64_t kTaskSamples = 1 << 15;  // multiplications that are worth waking a thread
constexpr int kTogether = 4;   // blocks that are summed side by side, since each sum is a chain of additions
constexpr int64_t kRows = 8;   // that pass one filter before the other one: what was just stored is slow to load askew

// out[i] = Σ_r weights[r] · rows[r][i] for i < n.
template <class T>
void weigh(T* out, const std::vector<const T*>& rows, const T* weights, int64_t n) {
  int64_t i = 0;
  for (; i + kTogether * kLanes <= n; i += kTogether * kLanes) {
    Block<T> sum[kTogether] = {};
    for (size_t r = 0; r < rows.size(); r++) {
#pragma GCC unroll 4
      for (int k = 0; k < kTogether; k++) multiply_add(sum[k], weights[r], load<T>(rows[r] + i + k * kLanes));
    }
#pragma GCC unroll 4
    for (int k = 0; k < kTogether; k++) store(out + i + k * kLanes, sum[k]);
  }
  for (; i < n; i += kLanes) {
    const int count = static_cast<int>(std::min<int64_t>(kLanes, n - i));
    Block<T> sum{};
    for (size_t r = 0; r < rows.size(); r++) multiply_add(sum, weights[r], load<T>(rows[r] + i, count));
    store(out + i, sum, count);
  }
}

// out[j·count + k] = in[k·pitch + j] for j < n, k < count.
template <class T>
void interleave_rows(T* out, const T* in, int64_t pitch, int count, int64_t n) {
  using Part = typename Block<T>::Part;
  constexpr int lanes = Block<T>::kPartLanes;
  int64_t j = 0;
  for (; count == 2 && j + lanes <= n; j += lanes) {
    Part even, odd;
    std::memcpy(&even, in + j, sizeof(Part));
    std::memcpy(&odd, in + pitch + j, sizeof(Part));
    const Part pairs[2] = {interleave<Part, lanes, false>(even, odd), interleave<Part, lanes, true>(even, odd)};
    std::memcpy(out + 2 * j, pairs, sizeof(pairs));
  }
  for (; j < n; j++) {
    for (int k = 0; k < count; k++) out[j * count + k] = in[k * pitch + j];
  }
}

// The inverse: out[k·pitch + j] = in[j·count + k].
template <class T>
void separate_rows(T* out, int64_t pitch, const T* in, int count, int64_t n) {
  if (count == 2) {
    for (int64_t j = 0; j < n; j++) {
      out[j] = in[2 * j];
      out[pitch + j] = in[2 * j + 1];
    }
    return;
  }
  for (int k = 0; k < count; k++) {
    for (int64_t j = 0; j < n; j++) out[k * pitch + j] = in[j * count + k];
  }
}

template <class T>
class PlaneWorker {
 public:
  PlaneWorker(const Resampling<T>& r, const Phases& py, const Phases& px, const Weights<T>& weights)
      : r_(r), py_(py), px_(px), weights_(weights), upsamples_(r.x.up > 1 || r.y.up > 1) {
    const Axis& x = r.x;
    lowest_ = upsamples_ ? *std::min_element(px.start.begin(), px.start.end()) : -x.pad;
    // Each of the rows that the horizontal filter reads, or writes for each phase.
    pitch_ = (x.out - 1) / x.up + 1 + x.up + std::max(px.taps, weights.down_taps);
    width_ = pitch_ * x.down;
    lines_.assign(kRows * width_, T(0));
    parts_.resize(pitch_ * std::max(x.up, x.down));
    first_ = std::clamp<int64_t>(lowest_, 0, x.in);
    last_ = std::clamp<int64_t>(lowest_ + width_, first_, x.in);
  }

  // Output rows first .. last-1, those of all planes counted together.
  void write(int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) filter_columns(row, lines_.data() + (row - first) * width_);
    for (int64_t row = first; row < last; row++) {
      T* out = static_cast<T*>(r_.out.data) + row * r_.out.w;
      const T* line = lines_.data() + (row - first) * width_;
      upsamples_ ? upsample(line, out) : downsample(line, out);
    }
  }

 private:
  const Resampling<T>& r_;
  const Phases &py_, &px_;
  const Weights<T>& weights_;
  const bool upsamples_;
  int64_t lowest_, first_, last_;  // column of a line's beginning; columns of the image in it, with zeros around them
  int64_t width_, pitch_;          // from line to line, and from part to part
  std::vector<T> lines_, parts_;   // rows after the vertical filter; the phases of one
  std::vector<const T*> rows_;
  std::vector<T> taps_;

  void filter_columns(int64_t row, T* line) {
    const int64_t y = row % r_.out.h;
    const T* plane = static_cast<const T*>(r_.in.data) + row / r_.out.h * r_.in.h * r_.in.w;
    const std::vector<T>& taps = upsamples_ ? weights_.up_y[py_.phase(y)] : weights_.down_y;
    const int64_t top = upsamples_ ? py_.top(y) : y * r_.y.down - r_.y.pad;
    rows_.clear();
    taps_.clear();
    for (size_t t = 0; t < taps.size(); t++) {
      const int64_t from = top + static_cast<int64_t>(t);
      if (from < 0 || from >= r_.in.h) continue;
      rows_.push_back(plane + from * r_.in.w + first_);
      taps_.push_back(taps[t]);
    }
    weigh(line + first_ - lowest_, rows_, taps_.data(), last_ - first_);
  }

  void upsample(const T* line, T* out) {
    const int up = px_.count;
    const int64_t whole = r_.out.w / up;  // samples that every phase has
    for (int p = 0; p < up; p++) {
      rows_.clear();
      for (int t = 0; t < px_.taps; t++) rows_.push_back(line + px_.start[p] - lowest_ + t);
      weigh(parts_.data() + p * pitch_, rows_, weights_.up_x.data() + p * px_.taps, whole + 1);
    }
    interleave_rows(out, parts_.data(), pitch_, up, whole);
    for (int64_t x = whole * up; x < r_.out.w; x++) out[x] = parts_[x % up * pitch_ + whole];
  }

  void downsample(const T* line, T* out) {
    const int down = r_.x.down;
    if (down > 1) separate_rows(parts_.data(), pitch_, line, down, pitch_);
    const T* from = down > 1 ? parts_.data() : line;
    rows_.clear();
    for (int s = 0; s < down; s++) {
      for (int t = 0; t < weights_.down_taps; t++) rows_.push_back(from + s * pitch_ + t);
    }
    weigh(out, rows_, weights_.down_x.data(), r_.out.w);
  }
};

}  // namespace

template <class T>
bool fits_planes(const Resampling<T>& r) {
  const auto own = std::is_same_v<T, double> ? ScalarType::Double : ScalarType::Float;
  const bool one_way = r.x.up * r.y.up == 1 ? r.up.identity() : r.x.down * r.y.down == 1 && r.down.identity();
  return !r.in.channels_last && r.in.dtype == own && r.activation == Activation::kNone && r.scale.empty() &&
         r.bias.empty() && one_way && r.up.separable && r.down.separable;
}

template <class T>
void resample_planes(const Resampling<T>& r) {
  const int64_t rows = r.out.n * r.out.c * r.out.h;
  if (rows == 0) return;
  const Phases py(r.y), px(r.x);
  const Weights<T> weights(r, py, px);
  const int64_t samples = r.out.w * (r.x.up_taps + r.x.down_taps + r.y.up_taps + r.y.down_taps);
  torch::stable::parallel_for(0, rows, std::max<int64_t>(1, kTaskSamples / samples), [&](int64_t begin, int64_t end) {
    PlaneWorker<T> worker(r, py, px, weights);
    for (int64_t row = begin; row < end; row += kRows) worker.write(row, std::min(row + kRows, end));
  });
}

template bool fits_planes(const Resampling<float>&);
template bool fits_planes(const Resampling<double>&);
template void resample_planes(const Resampling<float>&);
template void resample_planes(const Resampling<double>&);

}  // namespace sg
