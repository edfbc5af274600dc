#include <algorithm>
#include <numeric>
#include <tuple>

#include "activation.h"
#include "image.h"

namespace sg {

namespace {

constexpr int64_t kChunk = 1 << 15;  // elements of a task; what one thread does before another is worth waking

// One bias for each element of a stretch that begins at channel 0 (inner 1), or one for each channel.
template <class T>
std::vector<T> repeat(const std::optional<Tensor>& b, const Runs& runs) {
  std::vector<T> bias = b ? read_vector<T>(*b, runs.channels) : std::vector<T>(runs.channels);
  if (runs.inner == 1) {
    // A multiple of 16 elements where it can be, and not so few that starting a stretch costs more than its work.
    const int64_t whole = runs.channels % kLanes == 0 ? 512 / runs.channels : kLanes;
    bias.resize(std::max<int64_t>(1, whole) * runs.channels);
    for (size_t i = runs.channels; i < bias.size(); i++) bias[i] = bias[i - runs.channels];
  }
  return bias;
}

// A piece of a tensor that the inner loops handle: `stretch` elements of all channels, or part of one channel's run.
struct Piece {
  int64_t start, size, channel;
};

template <class F>
void for_pieces(const Runs& runs, int64_t stretch, int64_t begin, int64_t end, const F& each) {
  for (int64_t start = begin, size; start < end; start += size) {
    const int64_t run = start / runs.inner;
    size = std::min(end - start, runs.inner == 1 ? stretch : (run + 1) * runs.inner - start);
    each(Piece{start, size, runs.inner == 1 ? 0 : run % runs.channels});
  }
}

// The biases of a piece, block by block: neighbours in memory, or one number in all lanes.
template <class T>
struct Biases {
  const T* first;
  int64_t step;
  alignas(64) T shared[kLanes];

  Biases(const std::vector<T>& bias, const Runs& runs, const Piece& piece) : first(bias.data()), step(1) {
    if (runs.inner == 1) return;
    std::fill(shared, shared + kLanes, bias[piece.channel]);
    first = shared;
    step = 0;
  }
  Block<T> at(int64_t i, int count) const { return load<T>(first + i * step, step ? count : kLanes); }
};

int lanes_left(int64_t size, int64_t i) { return static_cast<int>(std::min<int64_t>(kLanes, size - i)); }

template <class S>
bool streams(const Runs& runs) {
  const bool whole_blocks = runs.inner == 1 && runs.channels % kLanes == 0;
  return std::is_same_v<S, Compute<S>> && whole_blocks && runs.total * sizeof(S) > kCacheBytes;
}

template <class S>
Tensor forward(const Tensor& x, const std::optional<Tensor>& b, const Runs& runs, const Shape<Compute<S>>& shape) {
  using T = Compute<S>;
  Tensor y = torch::stable::empty_like(x);
  if (runs.total == 0) return y;
  const S* from = static_cast<const S*>(x.const_data_ptr());
  S* to = static_cast<S*>(y.mutable_data_ptr());
  const std::vector<T> bias = repeat<T>(b, runs);
  const int64_t stretch = bias.size(), chunk = (kChunk + stretch - 1) / stretch * stretch;
  const bool streaming = streams<S>(runs);
  torch::stable::parallel_for(0, (runs.total + chunk - 1) / chunk, 2, [&](int64_t first, int64_t last) {
    for_pieces(runs, stretch, first * chunk, std::min(last * chunk, runs.total), [&](const Piece& piece) {
      const Biases<T> biases(bias, runs, piece);
      for (int64_t i = 0; i < piece.size; i += kLanes) {
        const int count = lanes_left(piece.size, i);
        const int64_t at = piece.start + i;
        const auto value = shape.value(load<T>(from + at, count) + biases.at(i, count));
        if (streaming) {
          stream(to + at, value);
        } else {
          store(to + at, value, count);
        }
      }
    });
    finish_streams();
  });
  return y;
}

// dx = (v + b) · f'(y) and, if asked for, its sum per channel.
template <class S>
std::tuple<Tensor, Tensor> backward(const Tensor& v, const std::optional<Tensor>& b, const Tensor& y, const Runs& runs,
                                    const Shape<Compute<S>>& shape, bool sum) {
  using T = Compute<S>;
  Tensor dx = torch::stable::empty_like(y);
  Tensor db = torch::stable::empty({sum ? runs.channels : 0}, v.scalar_type(), std::nullopt, v.device());
  if (runs.total == 0) return {dx, torch::stable::zero_(db)};
  const S *from = static_cast<const S*>(v.const_data_ptr()), *result = static_cast<const S*>(y.const_data_ptr());
  S* to = static_cast<S*>(dx.mutable_data_ptr());
  const std::vector<T> bias = repeat<T>(b, runs);
  const int64_t stretch = bias.size(), chunk = (kChunk + stretch - 1) / stretch * stretch;
  const int64_t tasks = (runs.total + chunk - 1) / chunk;
  std::vector<T> sums(sum ? tasks * runs.channels : 0);  // per task, added up in order: the same on every run
  torch::stable::parallel_for(0, tasks, 2, [&](int64_t first, int64_t last) {
    const int64_t slots = runs.inner == 1 ? (stretch + kLanes - 1) / kLanes : 1;
    std::vector<Block<T>> partial(slots);
    for (int64_t task = first; task < last; task++) {
      T* own = sums.data() + task * runs.channels;
      std::fill(partial.begin(), partial.end(), Block<T>{});
      for_pieces(runs, stretch, task * chunk, std::min((task + 1) * chunk, runs.total), [&](const Piece& piece) {
        const Biases<T> biases(bias, runs, piece);
        for (int64_t i = 0; i < piece.size; i += kLanes) {
          const int count = lanes_left(piece.size, i);
          const int64_t at = piece.start + i;
          const auto factor = shape.derivative(load<T>(result + at, count));
          const auto d = (load<T>(from + at, count) + biases.at(i, count)) * factor;
          store(to + at, d, count);
          Block<T>& slot = partial[biases.step * i / kLanes];
          slot = slot + (count == kLanes ? d : load<T>(reinterpret_cast<const T*>(&d), count));
        }
        if (sum && runs.inner > 1) {
          const T* lanes = reinterpret_cast<const T*>(&partial[0]);
          own[piece.channel] = std::accumulate(lanes, lanes + kLanes, own[piece.channel]);
          partial[0] = {};
        }
      });
      for (int64_t i = 0; sum && runs.inner == 1 && i < stretch; i++) {
        own[i % runs.channels] += reinterpret_cast<const T*>(partial.data())[i];
      }
    }
  });
  if (sum) {
    S* to_sum = static_cast<S*>(db.mutable_data_ptr());
    for (int64_t c = 0; c < runs.channels; c++) {
      double channel = 0;
      for (int64_t task = 0; task < tasks; task++) channel += sums[task * runs.channels + c];
      to_sum[c] = static_cast<S>(channel);
    }
  }
  return {dx, db};
}

Tensor bias_act(const Tensor& x_any, const std::optional<Tensor>& b, int64_t dim, double slope, double gain,
                std::optional<double> clamp) {
  const Tensor x = dense(x_any);
  const Runs runs = make_runs(x, dim);
  switch (x.scalar_type()) {
    case ScalarType::Double: return forward<double>(x, b, runs, make_shape<double>(slope, gain, clamp));
    case ScalarType::BFloat16: return forward<BFloat16>(x, b, runs, make_shape<BFloat16>(slope, gain, clamp));
    case ScalarType::Half: return forward<Half>(x, b, runs, make_shape<Half>(slope, gain, clamp));
    default: return forward<float>(x, b, runs, make_shape<float>(slope, gain, clamp));
  }
}

std::tuple<Tensor, Tensor> bias_act_grad(const Tensor& v_any, const std::optional<Tensor>& b, const Tensor& y,
                                         int64_t dim, double slope, double gain, std::optional<double> clamp,
                                         bool sum) {
  const Tensor v = like(v_any, y);
  const Runs runs = make_runs(y, dim);
  switch (y.scalar_type()) {
    case ScalarType::Double: return backward<double>(v, b, y, runs, make_shape<double>(slope, gain, clamp), sum);
    case ScalarType::BFloat16: return backward<BFloat16>(v, b, y, runs, make_shape<BFloat16>(slope, gain, clamp), sum);
    case ScalarType::Half: return backward<Half>(v, b, y, runs, make_shape<Half>(slope, gain, clamp), sum);
    default: return backward<float>(v, b, y, runs, make_shape<float>(slope, gain, clamp), sum);
  }
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(sg, CPU, m) {
  m.impl("bias_act", TORCH_BOX(&bias_act));
  m.impl("bias_act_grad", TORCH_BOX(&bias_act_grad));
}

}  // namespace sg
