#include "resample.h"

#include <algorithm>

#include "fir.h"
#include "weights.h"

namespace sg {

namespace {

constexpr int64_t kGroup = 4;       // blocks of channels in a tile: neighbours in memory, fetched and stored together
constexpr int64_t kTileWidth = 64;  // output pixels of a tile whose rows are to stay in the second nearest cache,
constexpr int64_t kLightWidth = 16;  // and in the nearest one: a FIR filter alone is quick enough to wait for the other
constexpr int64_t kShortest = 16;   // rows of a strip
constexpr int64_t kShortFilter = 6;  // taps

// Rings of rows in a thread's scratch memory, one for each block of channels; row y lives in slot y mod count.
template <class T>
struct Ring {
  Block<T>* data;
  int64_t count, pitch, margin;
  int64_t step;  // from block to block; 0: they use one ring in turn
  Block<T>* row(int64_t y, int64_t k) const { return data + k * step + (y % count) * pitch + margin; }
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

  // Where filters are long, fine rows are made two at a time, which share input rows; so are output rows, which share
  // fine rows.
  void run(const Tile& tile) {
    tile_ = tile;
    x_ = r_.x.cut(tile.x0, tile.x1);
    px_ = Phases(x_);
    reserve();
    const int64_t down = r_.y.down, taps = r_.y.down_taps, end = (tile.y1 - 1) * down + taps;
    int64_t y = tile.y0;
    for (int64_t fine = y * down; fine < end;) {
      if (fine % down >= taps) {  // no output reads this row
        fine++;
        continue;
      }
      const int count = static_cast<int>(std::min(fine_together_, end - fine));
      const int64_t ready = std::min(tile.y1, fine + count < taps ? 0 : (fine + count - taps) / down + 1);
      read_inputs(py_.top(fine), py_.top(fine + count - 1) + py_.taps);
      for (int64_t k = 0; k < tile.count; k++) make_fine(fine, count, k);
      fine += count;
      while (ready - y >= together_ || (ready > y && ready == tile.y1)) y += write(y, std::min(together_, ready - y));
    }
  }

 private:
  // A row of every block of the tile.
  struct Rows {
    Block<T>* first;
    int64_t step;  // from block to block
    Block<T>* of(int64_t k) const { return first + k * step; }
  };

  const Resampling<T>& r_;
  const Phases py_;
  Phases px_;  // of the tile, as x_
  Axis x_{};
  Tile tile_{};
  const Weights<T> weights_;
  const LoadRow<T> load_;
  const StoreRow<T> store_;
  const bool keep_ = r_.up.separable && r_.up.h * r_.up.w * r_.y.up * r_.x.up == 1;  // fine rows are input rows,
  const T gain_ = keep_ ? static_cast<T>(r_.up.y[0] * r_.up.x[0]) : T(1);           // times this
  const bool finished_ = r_.down.identity() && r_.x.down == 1;  // fine rows are output rows
  const bool narrows_ = r_.down.separable && !finished_;
  const bool mirrored_ = r_.down.mirrored();
  const int64_t fine_together_ = keep_ || r_.y.down_taps < r_.y.down ? 1 : 2;
  const int64_t together_ = r_.down.separable && r_.y.down_taps > kShortFilter ? 2 : 1;
  std::vector<const Block<T>*> rows_;
  Block<T>* zeros_ = nullptr;
  Block<T>* mixed_ = nullptr;  // input rows after the vertical upsampling filter
  int64_t mixed_pitch_ = 0;
  Ring<T> input_{}, fine_{}, narrow_{}, result_{};
  struct {
    int64_t first, last;
  } span_{}, read_{};   // columns of an input row that fine samples read, and those of them in the image
  int64_t loaded_ = 0;  // input rows below this one have been read

  void reserve() {
    const Axis &x = x_, &y = r_.y;
    int64_t lowest = px_.start[0], highest = lowest;
    for (int p = 0; p < px_.count; p++) {
      lowest = std::min(lowest, px_.start[p]);
      highest = std::max(highest, px_.start[p] + (x.fine() - p + px_.count - 1) / px_.count + px_.taps - 2);
    }
    span_ = {lowest, highest + 1};
    const int64_t slack = kMaxTile * std::max(x.up, x.down) + x.down_taps + px_.taps;
    const int64_t width = highest + 1 - lowest + slack, fine_width = x.fine() + slack, out_width = x.out + slack;
    // Fine rows that are held: those of outputs that are not ready, or wait for another, and those that come next.
    const int64_t kept = y.down_taps - 1 + (together_ == 2 ? y.down : 0) + fine_together_;
    const int64_t input_rows = keep_ && !narrows_ ? kept : py_.taps - 1 + fine_together_, blocks = tile_.count;
    const int64_t fine_rows = narrows_ ? 1 : blocks * kept, narrow_rows = narrows_ ? blocks * kept : 0;

    thread_local std::vector<Block<T>> scratch;
    const int64_t out_rows = narrow_rows + together_ * blocks;
    const size_t size = (blocks * input_rows + 3) * width + fine_rows * fine_width + out_rows * out_width;
    if (scratch.size() < size) scratch.resize(size);
    Block<T>* free = scratch.data();
    const auto take = [&](int64_t count) { return std::exchange(free, free + count); };
    input_ = {take(blocks * input_rows * width), input_rows, width, -lowest, input_rows * width};
    read_ = {std::max<int64_t>(0, lowest), std::max<int64_t>(0, std::min(r_.in.w, highest + 1))};
    for (Block<T>* row = input_.data; row < free; row += width) {  // zeros around what is read
      std::fill(row, row + std::min(read_.first - lowest, width), Block<T>{});
      std::fill(row + std::clamp<int64_t>(read_.last - lowest, 0, width), row + width, Block<T>{});
    }
    zeros_ = std::fill_n(take(width), width, Block<T>{}) - width - lowest;
    mixed_ = take(2 * width) - lowest;
    mixed_pitch_ = width;
    fine_ = {take(fine_rows * fine_width), narrows_ ? 1 : kept, fine_width, 0, narrows_ ? 0 : kept * fine_width};
    narrow_ = {take(narrow_rows * out_width), kept, out_width, 0, kept * out_width};
    result_ = {take(together_ * blocks * out_width), together_, out_width, 0, together_ * out_width};
    loaded_ = 0;
  }

  // Read input rows first .. last-1, as far as there are such.
  void read_inputs(int64_t first, int64_t last) {
    loaded_ = std::max(loaded_, first);
    for (; loaded_ < std::min(last, r_.in.h) && read_.first < read_.last; loaded_++) {
      Block<T>* row = input_.row(loaded_, 0) + read_.first;
      load_(r_.in, {tile_.n, tile_.block, tile_.count, loaded_, read_.first, read_.last}, row, {1, input_.step});
      for (int64_t k = 0; k < tile_.count; k++) scale_and_shift(row + k * input_.step, tile_.block + k);
    }
  }

  void scale_and_shift(Block<T>* row, int64_t block) const {
    if (r_.bias.empty() && r_.scale.empty() && gain_ == 1) return;
    const int64_t c = block * kLanes;
    auto bias = r_.bias.empty() ? Block<T>{} : load<T>(&r_.bias[c]) * splat(gain_);
    auto scale = splat(gain_);
    if (!r_.scale.empty()) scale = scale * load<T>(&r_.scale[tile_.n * r_.in.blocks() * kLanes + c]);
    for (int64_t x = 0; x < read_.last - read_.first; x++) row[x] = row[x] * scale + bias;
  }

  Rows input_rows(int64_t y) const {
    if (y < 0 || y >= r_.in.h) return {zeros_, 0};
    return {input_.row(y, 0), input_.step};
  }

  Rows fine_rows(int64_t fine) const {
    if (!keep_) return {fine_.row(fine, 0), fine_.step};
    const Rows rows = input_rows(fine - r_.y.pad);
    return {rows.first - x_.pad, rows.step};
  }

  // Fine rows fine .. fine+count-1 of block k, activated; and narrowed, where the filter is separable.
  void make_fine(int64_t fine, int count, int64_t k) {
    if (!keep_ && r_.up.separable) {
      const int p = py_.phase(fine);
      rows_.clear();
      for (int64_t y = py_.top(fine); y < py_.top(fine + count - 1) + py_.taps; y++) {
        rows_.push_back(input_rows(y).of(k) + span_.first);
      }
      const T* weights = (count == 2 ? weights_.up_two : weights_.up_y)[p].data();
      fir_across(mixed_ + span_.first, mixed_pitch_, count, rows_, weights, span_.last - span_.first);
    }
    for (int i = 0; i < count; i++) {
      if (!keep_) upsample(fine_.row(fine + i, k), fine + i, mixed_ + i * mixed_pitch_, k);
      if (r_.activation != Activation::kNone) activate(fine_rows(fine + i).of(k), fine + i, k);
      if (narrows_) narrow(fine_rows(fine + i).of(k), fine + i, k);
    }
  }

  void upsample(Block<T>* row, int64_t fine, const Block<T>* mixed, int64_t k) {
    for (int q = 0; q < px_.count; q++) {
      const int64_t n = (x_.fine() - q + px_.count - 1) / px_.count;
      const T* weights = weights_.up_x.data() + q * px_.taps;
      rows_.clear();
      if (r_.up.separable) {
        rows_.push_back(mixed + px_.start[q]);
      } else {
        const int64_t top = py_.top(fine);
        for (int t = 0; t < py_.taps; t++) rows_.push_back(input_rows(top + t).of(k) + px_.start[q]);
        weights = weights_.up.data() + (py_.phase(fine) * px_.count + q) * py_.taps * px_.taps;
      }
      fir_along<T>(row + q, px_.count, rows_, weights, px_.taps, 1, n);
    }
  }

  void activate(Block<T>* row, int64_t fine, int64_t k) {
    const int64_t width = x_.fine();
    const Codes& c = r_.codes;
    const int64_t y = fine + c.offset_y, x0 = tile_.x0 * x_.down + c.offset_x;  // of row[0] among the codes
    if (!c.data || y < 0 || y >= c.h) {
      if (r_.activation == Activation::kReplay) return;
      const T slope = r_.slope, limit = r_.limit;  // which the rows' numbers might overwrite, for all a compiler knows
      for (int64_t i = 0; i < width; i++) row[i] = clamp(leaky_relu(row[i], slope), limit);
      return;
    }
    const int64_t first = std::max<int64_t>(0, -x0), last = std::min(width, c.w - x0);
    uint32_t* codes = c.data + ((tile_.n * r_.in.blocks() + tile_.block + k) * c.h + y) * c.w + x0;
    if (r_.activation == Activation::kReplay) {
      for (int64_t x = first; x < last; x++) replay(row[x], codes[x]);
    } else {
      for (int64_t x = first; x < last; x++) codes[x] = activate_and_tell(row[x]);
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

  void narrow(const Block<T>* row, int64_t fine, int64_t k) {
    rows_.clear();
    for (int s = 0; s < x_.down; s++) rows_.push_back(row + s);
    fir_along<T>(narrow_.row(fine, k), 1, rows_, weights_.down_x.data(), weights_.down_taps, x_.down, x_.out);
  }

  // Write output rows y .. y+count-1; returns count.
  int64_t write(int64_t y, int64_t count) {
    for (int64_t k = 0; k < tile_.count && !finished_; k++) downsample(y, count, k);
    for (int64_t i = 0; i < count; i++) {
      const Rows rows = finished_ ? fine_rows((y + i) * r_.y.down) : Rows{result_.row(i, 0), result_.step};
      store_(r_.out, {tile_.n, tile_.block, tile_.count, y + i, tile_.x0, tile_.x1}, rows.first, {1, rows.step});
    }
    return count;
  }

  void downsample(int64_t y, int64_t count, int64_t k) {
    const int64_t taps = r_.y.down_taps, top = y * r_.y.down;
    rows_.clear();
    if (r_.down.separable) {
      for (int64_t t = 0; t < taps + (count - 1) * r_.y.down; t++) rows_.push_back(narrow_.row(top + t, k));
      const T* weights = (count == 2 ? weights_.down_two : weights_.down_y).data();
      fir_across(result_.row(0, k), result_.pitch, count, rows_, weights, x_.out);
      return;
    }
    for (int64_t t = 0; t < (mirrored_ ? taps / 2 : taps); t++) {
      for (int s = 0; s < x_.down; s++) {
        rows_.push_back(fine_rows(top + t).of(k) + s);
        if (mirrored_) rows_.push_back(fine_rows(top + taps - 1 - t).of(k) + s);
      }
    }
    const auto apply = mirrored_ ? fir_along<T, true> : fir_along<T, false>;
    apply(result_.row(0, k), 1, rows_, weights_.down.data(), weights_.down_taps, x_.down, x_.out);
  }
};

}  // namespace

template <class T>
void resample(const Resampling<T>& r) {
  if (r.out.n * r.out.c * r.out.h * r.out.w == 0) return;
  // Columns are cut so that the rows in flight stay in the caches nearby; rows where there are fewer tiles than threads
  // want. What lies around a cut is computed twice.
  const int64_t blocks = r.out.blocks(), threads = torch::stable::get_num_threads();
  const int64_t groups = r.in.channels_last ? (blocks + kGroup - 1) / kGroup : blocks;
  const bool light = r.up.h == 1 || r.down.h == 1;
  const int64_t widest = !r.in.channels_last ? r.x.out : light ? kLightWidth : kTileWidth;
  const int64_t columns = std::max<int64_t>(1, r.x.out / widest);
  const int64_t width = (r.x.out + columns * r.x.up - 1) / (columns * r.x.up) * r.x.up;
  const int64_t tiles = r.out.n * groups * columns;
  const int64_t strips = std::clamp<int64_t>(4 * threads / tiles, 1, std::max<int64_t>(1, r.y.out / kShortest));
  const int64_t work = r.y.fine() * r.x.fine() * blocks / (groups * strips * columns);  // fine samples in a tile
  const int64_t at_least = std::max<int64_t>(1, 2048 / (work + 1));
  torch::stable::parallel_for(0, tiles * strips, at_least, [&](int64_t begin, int64_t end) {
    Worker<T> worker(r);
    for (int64_t job = begin; job < end; job++) {
      const int64_t group = job % groups, column = job / groups % columns;
      const int64_t strip = job / (groups * columns) % strips, n = job / (groups * columns * strips);
      const int64_t k0 = group * blocks / groups, k1 = (group + 1) * blocks / groups;
      const int64_t x0 = column * width, x1 = std::min(x0 + width, r.x.out);
      const int64_t y0 = strip * r.y.out / strips, y1 = (strip + 1) * r.y.out / strips;
      if (x0 < x1) worker.run({n, k0, k1 - k0, y0, y1, x0, x1});
    }
    finish_streams();
  });
}

template void resample(const Resampling<float>&);
template void resample(const Resampling<double>&);

}  // namespace sg
