#include "resample.h"

#include <algorithm>

namespace sg {

namespace {

template <class T>
constexpr int kTile = std::max(2, 8 / Block<T>::kParts);  // outputs computed together: they share taps and loads
constexpr int kMaxTile = 8;
constexpr int64_t kTileWidth = 32;  // output columns

// out[i·out_pitch] = Σ_r Σ_t weight[r][t] · rows[r][(i + t)·in_pitch] for i < n, and a little beyond: rows have slack.
template <class T, int kTaps>
void fir(Block<T>* out, int64_t out_pitch, const std::vector<const Block<T>*>& rows, const T* weight, int64_t in_pitch,
         int64_t n) {
  constexpr int tile = kTile<T>;
  for (int64_t i = 0; i < n; i += tile) {
    Block<T> sum[tile] = {};
    for (size_t r = 0; r < rows.size(); r++) {
      const Block<T>* from = rows[r] + i * in_pitch;
      Block<T> window[tile + kTaps - 1];
#pragma GCC unroll 16
      for (int k = 0; k < tile + kTaps - 1; k++) window[k] = from[k * in_pitch];
#pragma GCC unroll 16
      for (int t = 0; t < kTaps; t++) {
#pragma GCC unroll 16
        for (int o = 0; o < tile; o++) multiply_add(sum[o], weight[r * kTaps + t], window[o + t]);
      }
    }
#pragma GCC unroll 16
    for (int o = 0; o < tile; o++) out[(i + o) * out_pitch] = sum[o];
  }
}

template <class T>
void fir(Block<T>* out, int64_t out_pitch, std::vector<const Block<T>*>& rows, const T* weight, int taps, int64_t in_pitch,
         int64_t n) {
  switch (taps) {
    case 1: return fir<T, 1>(out, out_pitch, rows, weight, in_pitch, n);
    case 2: return fir<T, 2>(out, out_pitch, rows, weight, in_pitch, n);
    case 3: return fir<T, 3>(out, out_pitch, rows, weight, in_pitch, n);
    case 4: return fir<T, 4>(out, out_pitch, rows, weight, in_pitch, n);
    case 6: return fir<T, 6>(out, out_pitch, rows, weight, in_pitch, n);
  }
  const std::vector<const Block<T>*> starts = rows;  // any other length: each tap is a row of its own
  rows.clear();
  for (const Block<T>* start : starts) {
    for (int t = 0; t < taps; t++) rows.push_back(start + t * in_pitch);
  }
  fir<T, 1>(out, out_pitch, rows, weight, in_pitch, n);
}

// How one axis is upsampled: fine sample X = p + up·j of phase p reads inputs start[p] + j + (0 .. taps-1), through
// filter taps first[p], first[p] + up, ...
struct Phases {
  int count, taps;
  std::vector<int64_t> start;
  std::vector<int> first;

  explicit Phases(const Axis& axis) : count(axis.up), taps((axis.up_taps + axis.up - 1) / axis.up) {
    for (int p = 0; p < count; p++) {
      const int64_t k = ((axis.pad - p) % count + count) % count;
      first.push_back(static_cast<int>(k));
      start.push_back((p + k - axis.pad) / count);
    }
  }
};

// The filters in the order in which the inner loops read them.
template <class T>
struct Weights {
  std::vector<T> up_y, up_x;      // separable: [phase][tap]
  std::vector<T> up;              // else [phase y][phase x][tap y][tap x]
  std::vector<T> down_y, down_x;  // separable: [tap], [stream][tap]
  std::vector<T> down;            // else [tap y][stream][tap x]
  int down_taps;                  // per stream: fine samples j·down + s of stream s

  Weights(const Resampling<T>& r, const Phases& py, const Phases& px) : down_taps((r.down.w + r.x.down - 1) / r.x.down) {
    if (r.up.separable) {
      for (int p = 0; p < py.count; p++) append(up_y, r.up.y.data(), r.up.h, py.first[p], py.count, py.taps);
      for (int p = 0; p < px.count; p++) append(up_x, r.up.x.data(), r.up.w, px.first[p], px.count, px.taps);
    } else {
      for (int p = 0; p < py.count; p++) {
        for (int q = 0; q < px.count; q++) {
          for (int t = 0; t < py.taps; t++) {
            const int k = py.first[p] + t * py.count;
            append(up, r.up.full.data() + k * r.up.w, k < r.up.h ? r.up.w : 0, px.first[q], px.count, px.taps);
          }
        }
      }
    }
    if (r.down.separable) {
      append(down_y, r.down.y.data(), r.down.h, 0, 1, r.down.h);
      for (int s = 0; s < r.x.down; s++) append(down_x, r.down.x.data(), r.down.w, s, r.x.down, down_taps);
    } else {
      for (int k = 0; k < r.down.h; k++) {
        for (int s = 0; s < r.x.down; s++) append(down, r.down.full.data() + k * r.down.w, r.down.w, s, r.x.down, down_taps);
      }
    }
  }

 private:
  static void append(std::vector<T>& to, const double* taps, int size, int first, int step, int count) {
    for (int t = 0, k = first; t < count; t++, k += step) to.push_back(k < size ? static_cast<T>(taps[k]) : T(0));
  }
};

// A ring of rows in a thread's scratch memory; row y lives in slot y mod count.
template <class T>
struct Ring {
  Block<T>* data;
  int64_t count, pitch, margin;
  Block<T>* row(int64_t y) const { return data + (y % count) * pitch + margin; }
};

// A rectangle of output pixels of one block of channels.
struct Tile {
  int64_t n, block, y0, y1, x0, x1;
};

template <class T>
class Worker {
 public:
  explicit Worker(const Resampling<T>& r)
      : r_(r), py_(r.y), px_(r.x), x_(r.x), weights_(r, py_, px_), load_(row_loader<T>(r.in)), store_(row_storer<T>(r.out)) {}

  void run(const Tile& tile) {
    tile_ = tile;
    x_ = r_.x.cut(tile.x0, tile.x1);
    px_ = Phases(x_);
    reserve();
    loaded_ = 0;
    const int64_t down = r_.y.down, end = (tile.y1 - 1) * down + r_.y.down_taps;
    for (int64_t fine = tile.y0 * down; fine < end; fine++) {
      if (fine % down >= r_.y.down_taps) continue;  // no output reads this row
      const Block<T>* row = upsampled(fine);
      if (r_.activation != Activation::kNone) activate(fine);
      if (r_.down.identity() && r_.x.down == 1) {
        if (fine % down == 0) write(fine / down, row);
        continue;
      }
      if (r_.down.separable) narrow(row, fine);
      const int64_t top = fine - r_.y.down_taps + 1;
      if (top >= tile.y0 * down && top % down == 0) write(top / down, downsampled(top));
    }
  }

 private:
  const Resampling<T>& r_;
  const Phases py_;
  Phases px_;  // of the tile, as x_
  Axis x_;
  Tile tile_;
  const Weights<T> weights_;
  const LoadRow<T> load_;
  const StoreRow<T> store_;
  const bool keep_ = r_.up.identity() && r_.y.up == 1 && r_.x.up == 1 && r_.activation == Activation::kNone;
  std::vector<const Block<T>*> rows_;
  const Block<T>* zeros_ = nullptr;
  Block<T>* mixed_ = nullptr;   // input rows after the vertical upsampling filter
  Block<T>* result_ = nullptr;  // an output row
  Ring<T> input_{}, fine_{}, narrow_{};
  int64_t loaded_ = 0;  // rows are asked for in order; those below this one were in the ring already

  void write(int64_t y, const Block<T>* row) { store_(r_.out, {tile_.n, tile_.block, y, tile_.x0, tile_.x1}, row); }

  void reserve() {
    const Axis &x = x_, &y = r_.y;
    int64_t lowest = px_.start[0], highest = lowest;
    for (int p = 0; p < px_.count; p++) {
      lowest = std::min(lowest, px_.start[p]);
      highest = std::max(highest, px_.start[p] + (x.fine() - p + px_.count - 1) / px_.count + px_.taps - 2);
    }
    const int64_t slack = kMaxTile * std::max(x.up, x.down) + x.down_taps + px_.taps;
    const int64_t width = highest + 1 - lowest + slack, fine_width = x.fine() + slack, out_width = x.out + slack;
    const int64_t kept = r_.down.separable ? 1 : y.down_taps;  // fine rows that the 2-D filter reads together
    const int64_t input_rows = std::max<int64_t>(py_.taps, keep_ ? kept : 1);

    thread_local std::vector<Block<T>> scratch;
    const size_t size = (input_rows + 2) * width + kept * fine_width + (y.down_taps + 1) * out_width;
    if (scratch.size() < size) scratch.resize(size);
    Block<T>* free = scratch.data();
    const auto take = [&](int64_t blocks) { return std::exchange(free, free + blocks); };
    input_ = {take(input_rows * width), input_rows, width, -lowest};
    Block<T>* zeros = take(width);
    std::fill(input_.data, free, Block<T>{});
    zeros_ = zeros - lowest;
    mixed_ = take(width) - lowest;
    fine_ = {take(kept * fine_width), kept, fine_width, 0};
    narrow_ = {take(y.down_taps * out_width), y.down_taps, out_width, 0};
    result_ = take(out_width);
    span_ = {lowest, highest + 1};
  }

  struct { int64_t first, last; } span_;  // columns of an input row that fine samples read, zeros included

  const Block<T>* input_row(int64_t y) {
    if (y < 0 || y >= r_.in.h) return zeros_;
    Block<T>* row = input_.row(y);
    if (y < loaded_) return row;
    const int64_t x0 = std::max<int64_t>(0, span_.first), x1 = std::min(r_.in.w, span_.last);
    if (x0 < x1) load_(r_.in, {tile_.n, tile_.block, y, x0, x1}, row + x0);
    if (!r_.bias.empty()) {
      const auto bias = load<T>(r_.bias.data() + tile_.block * kLanes);
      for (int64_t x = x0; x < x1; x++) row[x] = row[x] + bias;
    }
    loaded_ = y + 1;
    return row;
  }

  const Block<T>* upsampled(int64_t fine) {
    if (keep_) return input_row(fine - r_.y.pad) - x_.pad;
    const int p = static_cast<int>(fine % py_.count);
    const int64_t top = py_.start[p] + fine / py_.count;
    rows_.clear();
    for (int t = 0; t < py_.taps; t++) rows_.push_back(input_row(top + t));
    if (r_.up.separable) {
      fir<T>(mixed_ + span_.first, 1, shift(rows_, span_.first), weights_.up_y.data() + p * py_.taps, 1, 1,
             span_.last - span_.first);
    }
    Block<T>* row = fine_.row(fine);
    for (int q = 0; q < px_.count; q++) {
      const int64_t n_phase = (x_.fine() - q + px_.count - 1) / px_.count;
      if (r_.up.separable) {
        rows_.assign(1, mixed_ + px_.start[q]);
        fir<T>(row + q, px_.count, rows_, weights_.up_x.data() + q * px_.taps, px_.taps, 1, n_phase);
      } else {
        std::vector<const Block<T>*> shifted = rows_;
        const T* weight = weights_.up.data() + (p * px_.count + q) * py_.taps * px_.taps;
        fir<T>(row + q, px_.count, shift(shifted, px_.start[q]), weight, px_.taps, 1, n_phase);
      }
    }
    return row;
  }

  static std::vector<const Block<T>*>& shift(std::vector<const Block<T>*>& rows, int64_t by) {
    for (auto& row : rows) row += by;
    return rows;
  }

  void activate(int64_t fine) {
    Block<T>* row = fine_.row(fine);
    const int64_t width = x_.fine();
    const Codes& c = r_.codes;
    const int64_t y = fine + c.offset_y, x0 = tile_.x0 * x_.down + c.offset_x;  // of row[0] among the codes
    if (!c.data || y < 0 || y >= c.h) {
      if (r_.activation == Activation::kLeakyRelu) {
        for (int64_t x = 0; x < width; x++) row[x] = clamp(leaky_relu(row[x], r_.slope), r_.limit);
      }
      return;
    }
    uint16_t* below_zero = c.data + ((tile_.n * r_.in.blocks() + tile_.block) * c.h + y) * c.masks * c.w + x0;
    uint16_t* clamped = below_zero + c.w;
    const int64_t first = std::max<int64_t>(0, -x0), last = std::min(width, c.w - x0);
    if (r_.activation == Activation::kReplay) {
      for (int64_t x = first; x < last; x++) {
        row[x] = select(below_zero[x], row[x] * splat(r_.slope), row[x]);
        if (c.masks == 2) row[x] = select(clamped[x], Block<T>{}, row[x]);
      }
      return;
    }
    for (int64_t x = first; x < last; x++) {
      below_zero[x] = below(row[x], T(0));
      row[x] = leaky_relu(row[x], r_.slope);
      if (c.masks == 2) {
        clamped[x] = beyond(row[x], r_.limit);
        row[x] = clamp(row[x], r_.limit);
      }
    }
  }

  void narrow(const Block<T>* row, int64_t fine) {
    rows_.clear();
    for (int s = 0; s < r_.x.down; s++) rows_.push_back(row + s);
    fir<T>(narrow_.row(fine), 1, rows_, weights_.down_x.data(), weights_.down_taps, x_.down, x_.out);
  }

  const Block<T>* downsampled(int64_t top) {
    rows_.clear();
    for (int64_t fine = top; fine < top + r_.y.down_taps; fine++) {
      if (r_.down.separable) {
        rows_.push_back(narrow_.row(fine));
      } else {
        const Block<T>* row = keep_ ? kept_row(fine) : fine_.row(fine);
        for (int s = 0; s < r_.x.down; s++) rows_.push_back(row + s);
      }
    }
    if (r_.down.separable) {
      fir<T>(result_, 1, rows_, weights_.down_y.data(), 1, 1, x_.out);
    } else {
      fir<T>(result_, 1, rows_, weights_.down.data(), weights_.down_taps, x_.down, x_.out);
    }
    return result_;
  }

  const Block<T>* kept_row(int64_t fine) const {
    const int64_t y = fine - r_.y.pad;
    return (y < 0 || y >= r_.in.h ? zeros_ : input_.row(y)) - x_.pad;
  }
};

}  // namespace

template <class T>
void resample(const Resampling<T>& r) {
  if (r.out.n * r.out.c * r.out.h * r.out.w == 0) return;
  // Columns are cut so that all rows in flight stay in the first-level cache; rows are cut where blocks are few for the
  // threads. What lies around a cut is computed twice.
  const int64_t blocks = r.out.n * r.out.blocks(), threads = torch::stable::get_num_threads();
  const int64_t columns = std::max<int64_t>(1, (r.x.out + kTileWidth / 2) / kTileWidth);
  const int64_t width = (r.x.out + columns * r.x.up - 1) / (columns * r.x.up) * r.x.up;
  const int64_t strips = std::clamp<int64_t>(4 * threads / (blocks * columns), 1, std::max<int64_t>(1, r.y.out / kTileWidth));
  const int64_t work = r.y.fine() * r.x.fine() / (strips * columns);  // blocks of fine samples per job
  const int64_t jobs = blocks * strips * columns;
  torch::stable::parallel_for(0, jobs, std::max<int64_t>(1, 2048 / (work + 1)), [&](int64_t begin, int64_t end) {
    Worker<T> worker(r);
    for (int64_t job = begin; job < end; job++) {
      const int64_t block = job % r.out.blocks(), column = job / r.out.blocks() % columns;
      const int64_t strip = job / (r.out.blocks() * columns) % strips, n = job / (r.out.blocks() * columns * strips);
      const int64_t x0 = column * width, x1 = std::min(x0 + width, r.x.out);
      if (x0 < x1) worker.run({n, block, strip * r.y.out / strips, (strip + 1) * r.y.out / strips, x0, x1});
    }
  });
}

template void resample(const Resampling<float>&);
template void resample(const Resampling<double>&);

}  // namespace sg
