#include "resample.h"

#include <algorithm>

namespace sg {

namespace {

template <class T>
constexpr int kTile = std::max(2, 8 / Block<T>::kParts);  // outputs computed together: they share taps and loads
constexpr int kMaxTile = 8;
constexpr int64_t kTileBlocks = 64;  // in an output row of a tile
constexpr int64_t kGroup = 4;        // blocks of channels in a tile
constexpr int64_t kShortest = 16;    // rows of a strip

// out[i·out_pitch] = Σ_r Σ_t weight[r][t] · rows[r][(i + t)·in_pitch] for i < n, and a little beyond: rows have slack.
// With kPairs, rows come in pairs that share their weights, and each pair is added up first.
template <class T, int kTaps, bool kPairs>
void fir(Block<T>* out, int64_t out_pitch, const std::vector<const Block<T>*>& rows, const T* weights, int64_t in_pitch,
         int64_t n) {
  constexpr int tile = kTile<T>;
  for (int64_t i = 0; i < n; i += tile) {
    Block<T> sum[tile] = {};
    const T* weight = weights;
    for (size_t r = 0; r < rows.size(); r += 1 + kPairs, weight += kTaps) {
      Block<T> window[tile + kTaps - 1];
#pragma GCC unroll 16
      for (int k = 0; k < tile + kTaps - 1; k++) {
        window[k] = rows[r][(i + k) * in_pitch];
        if (kPairs) window[k] = window[k] + rows[r + kPairs][(i + k) * in_pitch];
      }
#pragma GCC unroll 16
      for (int t = 0; t < kTaps; t++) {
#pragma GCC unroll 16
        for (int o = 0; o < tile; o++) multiply_add(sum[o], weight[t], window[o + t]);
      }
    }
#pragma GCC unroll 16
    for (int o = 0; o < tile; o++) out[(i + o) * out_pitch] = sum[o];
  }
}

template <class T, bool kPairs = false>
void fir(Block<T>* out, int64_t out_pitch, std::vector<const Block<T>*>& rows, const T* weights, int taps,
         int64_t in_pitch, int64_t n) {
  switch (taps) {
    case 1: return fir<T, 1, kPairs>(out, out_pitch, rows, weights, in_pitch, n);
    case 2: return fir<T, 2, kPairs>(out, out_pitch, rows, weights, in_pitch, n);
    case 3: return fir<T, 3, kPairs>(out, out_pitch, rows, weights, in_pitch, n);
    case 4: return fir<T, 4, kPairs>(out, out_pitch, rows, weights, in_pitch, n);
    case 6: return fir<T, 6, kPairs>(out, out_pitch, rows, weights, in_pitch, n);
  }
  const std::vector<const Block<T>*> starts = rows;  // any other length: each tap is a row of its own
  rows.clear();
  for (size_t r = 0; r < starts.size(); r += 1 + kPairs) {
    for (int t = 0; t < taps; t++) {
      for (int k = 0; k <= kPairs; k++) rows.push_back(starts[r + k] + t * in_pitch);
    }
  }
  fir<T, 1, kPairs>(out, out_pitch, rows, weights, in_pitch, n);
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
  std::vector<T> down;            // else [tap y][stream][tap x]; only the upper half where the lower mirrors it
  int down_taps;                  // per stream: fine samples j·down + s of stream s

  Weights(const Resampling<T>& r, const Phases& py, const Phases& px)
      : down_taps((r.down.w + r.x.down - 1) / r.x.down) {
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
      for (int k = 0; k < (r.down.mirrored() ? r.down.h / 2 : r.down.h); k++) {
        const double* taps = r.down.full.data() + k * r.down.w;
        for (int s = 0; s < r.x.down; s++) append(down, taps, r.down.w, s, r.x.down, down_taps);
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

// A rectangle of output pixels of `count` blocks of channels.
struct Tile {
  int64_t n, block, count, y0, y1, x0, x1;
};

template <class T>
class Worker {
 public:
  explicit Worker(const Resampling<T>& r)
      : r_(r), py_(r.y), px_(r.x), weights_(r, py_, px_), load_(row_loader<T>(r.in)), store_(row_storer<T>(r.out)) {}

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
  Axis x_{};
  Tile tile_{};
  const Weights<T> weights_;
  const LoadRow<T> load_;
  const StoreRow<T> store_;
  const bool keep_ = r_.up.identity() && r_.y.up == 1 && r_.x.up == 1 && r_.activation == Activation::kNone;
  const bool mirrored_ = r_.down.mirrored();
  std::vector<const Block<T>*> rows_;
  const Block<T>* zeros_ = nullptr;
  Block<T>* mixed_ = nullptr;   // input rows after the vertical upsampling filter
  Block<T>* result_ = nullptr;  // an output row
  Ring<T> input_{}, fine_{}, narrow_{};
  struct {
    int64_t first, last;
  } span_{};            // columns of an input row that fine samples read, zeros included
  int64_t loaded_ = 0;  // rows are asked for in order; those below this one were in the ring already

  void write(int64_t y, const Block<T>* row) {
    store_(r_.out, {tile_.n, tile_.block, tile_.count, y, tile_.x0, tile_.x1}, row);
  }

  void reserve() {
    const Axis &x = x_, &y = r_.y;
    int64_t lowest = px_.start[0], highest = lowest;
    for (int p = 0; p < px_.count; p++) {
      lowest = std::min(lowest, px_.start[p]);
      highest = std::max(highest, px_.start[p] + (x.fine() - p + px_.count - 1) / px_.count + px_.taps - 2);
    }
    const int64_t slack = kMaxTile * std::max(x.up, x.down) + x.down_taps + px_.taps;
    const int64_t count = tile_.count;  // rows are [pixel][block]
    const int64_t width = (highest + 1 - lowest + slack) * count;
    const int64_t fine_width = (x.fine() + slack) * count, out_width = (x.out + slack) * count;
    const int64_t margin = -lowest * count;
    const int64_t kept = r_.down.separable ? 1 : y.down_taps;  // fine rows that the 2-D filter reads together
    const int64_t input_rows = std::max<int64_t>(py_.taps, keep_ ? kept : 1);

    thread_local std::vector<Block<T>> scratch;
    const size_t size = (input_rows + 2) * width + kept * fine_width + (y.down_taps + 1) * out_width;
    if (scratch.size() < size) scratch.resize(size);
    Block<T>* free = scratch.data();
    const auto take = [&](int64_t blocks) { return std::exchange(free, free + blocks); };
    input_ = {take(input_rows * width), input_rows, width, margin};
    Block<T>* zeros = take(width);
    std::fill(input_.data, free, Block<T>{});
    zeros_ = zeros + margin;
    mixed_ = take(width) + margin;
    fine_ = {take(kept * fine_width), kept, fine_width, 0};
    narrow_ = {take(y.down_taps * out_width), y.down_taps, out_width, 0};
    result_ = take(out_width);
    span_ = {lowest, highest + 1};
  }

  const Block<T>* input_row(int64_t y) {
    if (y < 0 || y >= r_.in.h) return zeros_;
    Block<T>* row = input_.row(y);
    if (y < loaded_) return row;
    const int64_t x0 = std::max<int64_t>(0, span_.first), x1 = std::min(r_.in.w, span_.last);
    if (x0 < x1) load_(r_.in, {tile_.n, tile_.block, tile_.count, y, x0, x1}, row + x0 * tile_.count);
    for (int64_t k = 0; k < tile_.count && !r_.bias.empty(); k++) {
      const auto bias = load<T>(r_.bias.data() + (tile_.block + k) * kLanes);
      for (int64_t x = x0; x < x1; x++) row[x * tile_.count + k] = row[x * tile_.count + k] + bias;
    }
    loaded_ = y + 1;
    return row;
  }

  const Block<T>* upsampled(int64_t fine) {
    const int64_t count = tile_.count;
    if (keep_) return input_row(fine - r_.y.pad) - x_.pad * count;
    const int p = static_cast<int>(fine % py_.count);
    const int64_t top = py_.start[p] + fine / py_.count;
    const auto input_rows = [&](int64_t first) {
      rows_.clear();
      for (int t = 0; t < py_.taps; t++) rows_.push_back(input_row(top + t) + first);
    };
    if (r_.up.separable) {
      const int64_t first = span_.first * count;
      input_rows(first);
      fir<T>(mixed_ + first, 1, rows_, weights_.up_y.data() + p * py_.taps, 1, 1, (span_.last - span_.first) * count);
    }
    Block<T>* row = fine_.row(fine);
    for (int q = 0; q < px_.count; q++) {
      const int64_t n = (x_.fine() - q + px_.count - 1) / px_.count;
      for (int64_t k = 0; k < count; k++) {
        const T* weights = weights_.up_x.data() + q * px_.taps;
        if (r_.up.separable) {
          rows_.assign(1, mixed_ + px_.start[q] * count + k);
        } else {
          input_rows(px_.start[q] * count + k);
          weights = weights_.up.data() + (p * px_.count + q) * py_.taps * px_.taps;
        }
        fir<T>(row + q * count + k, px_.count * count, rows_, weights, px_.taps, count, n);
      }
    }
    return row;
  }

  void activate(int64_t fine) {
    const int64_t count = tile_.count, width = x_.fine();
    Block<T>* row = fine_.row(fine);
    const Codes& c = r_.codes;
    const int64_t y = fine + c.offset_y, x0 = tile_.x0 * x_.down + c.offset_x;  // of row[0] among the codes
    if (!c.data || y < 0 || y >= c.h) {
      if (r_.activation == Activation::kReplay) return;
      for (int64_t i = 0; i < width * count; i++) row[i] = clamp(leaky_relu(row[i], r_.slope), r_.limit);
      return;
    }
    const int64_t first = std::max<int64_t>(0, -x0), last = std::min(width, c.w - x0);
    for (int64_t k = 0; k < count; k++) {
      uint32_t* codes = c.data + ((tile_.n * r_.in.blocks() + tile_.block + k) * c.h + y) * c.w + x0;
      if (r_.activation == Activation::kReplay) {
        for (int64_t x = first; x < last; x++) replay(row[x * count + k], codes[x]);
      } else {
        for (int64_t x = first; x < last; x++) codes[x] = activate_and_tell(row[x * count + k]);
      }
    }
  }

  void replay(Block<T>& v, uint32_t code) const {
    v = select(code, v * splat(r_.slope), v);
    v = select(code >> kLanes, Block<T>{}, v);
  }

  uint32_t activate_and_tell(Block<T>& v) const {
    const uint32_t below_zero = less(v, Block<T>{});
    v = leaky_relu(v, r_.slope);
    const uint32_t clamped = less(splat(r_.limit), v) | less(v, splat(-r_.limit));
    v = clamp(v, r_.limit);
    return below_zero | clamped << kLanes;
  }

  void narrow(const Block<T>* row, int64_t fine) {
    const int64_t count = tile_.count;
    for (int64_t k = 0; k < count; k++) {
      rows_.clear();
      for (int s = 0; s < x_.down; s++) rows_.push_back(row + s * count + k);
      fir<T>(narrow_.row(fine) + k, count, rows_, weights_.down_x.data(), weights_.down_taps, x_.down * count, x_.out);
    }
  }

  // Output row whose window begins at fine row `top`.
  const Block<T>* downsampled(int64_t top) {
    const int64_t taps = r_.y.down_taps, count = tile_.count;
    if (r_.down.separable) {
      rows_.clear();
      for (int64_t t = 0; t < taps; t++) rows_.push_back(narrow_.row(top + t));
      fir<T>(result_, 1, rows_, weights_.down_y.data(), 1, 1, x_.out * count);
      return result_;
    }
    for (int64_t k = 0; k < count; k++) {
      rows_.clear();
      for (int64_t t = 0; t < (mirrored_ ? taps / 2 : taps); t++) {
        for (int64_t s = 0; s < x_.down; s++) {
          rows_.push_back(fine_row(top + t) + s * count + k);
          if (mirrored_) rows_.push_back(fine_row(top + taps - 1 - t) + s * count + k);
        }
      }
      const auto apply = mirrored_ ? fir<T, true> : fir<T, false>;
      apply(result_ + k, count, rows_, weights_.down.data(), weights_.down_taps, x_.down * count, x_.out);
    }
    return result_;
  }

  const Block<T>* fine_row(int64_t fine) const {
    if (!keep_) return fine_.row(fine);
    const int64_t y = fine - r_.y.pad;
    return (y < 0 || y >= r_.in.h ? zeros_ : input_.row(y)) - x_.pad * tile_.count;
  }
};

}  // namespace

template <class T>
void resample(const Resampling<T>& r) {
  if (r.out.n * r.out.c * r.out.h * r.out.w == 0) return;
  // The columns of channels-last images are cut so that the rows in flight stay in the caches nearby. Where reading and
  // writing is most of the work, tiles hold several blocks of channels, since neighbours in memory are cheap to fetch
  // together. Rows are cut where there are fewer tiles than threads want. What lies around a cut is computed twice.
  const int64_t blocks = r.out.blocks(), threads = torch::stable::get_num_threads();
  const bool light = r.activation == Activation::kNone;
  const int64_t group = r.in.channels_last && light ? std::min<int64_t>(blocks, kGroup) : 1;
  const int64_t groups = (blocks + group - 1) / group;
  const int64_t columns = r.in.channels_last ? std::max<int64_t>(1, r.x.out * group / kTileBlocks) : 1;
  const int64_t width = (r.x.out + columns * r.x.up - 1) / (columns * r.x.up) * r.x.up;
  const int64_t tiles = r.out.n * groups * columns;
  const int64_t strips = std::clamp<int64_t>(4 * threads / tiles, 1, std::max<int64_t>(1, r.y.out / kShortest));
  const int64_t work = r.y.fine() * r.x.fine() * group / (strips * columns);  // blocks of fine samples in a tile
  const int64_t at_least = std::max<int64_t>(1, 2048 / (work + 1));
  torch::stable::parallel_for(0, tiles * strips, at_least, [&](int64_t begin, int64_t end) {
    Worker<T> worker(r);
    for (int64_t job = begin; job < end; job++) {
      const int64_t block = job % groups * group, column = job / groups % columns;
      const int64_t strip = job / (groups * columns) % strips, n = job / (groups * columns * strips);
      const int64_t x0 = column * width, x1 = std::min(x0 + width, r.x.out);
      const int64_t y0 = strip * r.y.out / strips, y1 = (strip + 1) * r.y.out / strips;
      if (x0 < x1) worker.run({n, block, std::min(group, blocks - block), y0, y1, x0, x1});
    }
    finish_streams();
  });
}

template void resample(const Resampling<float>&);
template void resample(const Resampling<double>&);

}  // namespace sg
