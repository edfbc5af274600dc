#include <algorithm>
#include <limits>
#include <tuple>

#include "image.h"

namespace sg {

namespace {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;

// A dense tensor as runs of `inner` neighbouring elements that share a channel.
struct Runs {
  int64_t total, channels, inner;
};

Runs make_runs(const Tensor& x, int64_t dim) {
  STD_TORCH_CHECK(dim >= 0 && dim < x.dim(), "dim: ", dim, " given, x has rank ", x.dim());
  int64_t inner = 1;
  for (int64_t d = dim + 1; d < x.dim(); d++) inner *= x.size(d);
  if (is_channels_last(x)) {  // in memory, dimension 1 comes after the others
    inner = dim == 1 ? 1 : dim == 0 ? inner : inner * x.size(1);
  }
  return {x.numel(), x.size(dim), inner};
}

template <class T>
struct Shape {
  T slope, gain, limit;
};

constexpr int64_t kChunk = 1 << 15;  // elements of a task; also what one thread does before another is worth waking
constexpr int64_t kPiece = 512;      // elements of an inner loop where every element has another channel

// A bias repeated to the length of a piece (inner 1), or one number per channel; zeros where there is none.
template <class T>
std::vector<T> repeat(const std::optional<Tensor>& b, const Runs& runs) {
  std::vector<T> bias = b ? read_vector<T>(*b, runs.channels) : std::vector<T>(runs.channels);
  if (runs.inner == 1) {
    const int64_t times = (kPiece + runs.channels - 1) / runs.channels;
    bias.resize(times * runs.channels);
    for (size_t i = runs.channels; i < bias.size(); i++) bias[i] = bias[i - runs.channels];
  }
  return bias;
}

// Call each(offset, length, first channel) for pieces of [begin, end): of one run, or of whole channel vectors.
template <class F>
void for_pieces(const Runs& runs, int64_t pattern, int64_t begin, int64_t end, const F& each) {
  while (begin < end) {
    const int64_t run = begin / runs.inner;
    const int64_t length = std::min(end - begin, runs.inner == 1 ? pattern : (run + 1) * runs.inner - begin);
    each(begin, length, runs.inner == 1 ? 0 : run % runs.channels);
    begin += length;
  }
}

template <class T>
inline T activate(T v, const Shape<T>& s) {
  v = (v > 0 ? v : v * s.slope) * s.gain;
  v = v > s.limit ? s.limit : v;
  return v < -s.limit ? -s.limit : v;
}

template <class T>
inline T derivative(T y, const Shape<T>& s) {
  const T factor = y > 0 ? s.gain : s.gain * s.slope;
  return y >= s.limit || y <= -s.limit ? T(0) : factor;
}

template <class S>
Tensor forward(const Tensor& x, const std::optional<Tensor>& b, const Runs& runs, const Shape<Compute<S>>& shape) {
  using T = Compute<S>;
  Tensor y = torch::stable::empty_like(x);
  if (runs.total == 0) return y;
  const S* from = static_cast<const S*>(x.const_data_ptr());
  S* to = static_cast<S*>(y.mutable_data_ptr());
  const std::vector<T> bias = repeat<T>(b, runs);
  const int64_t pattern = bias.size(), chunk = std::max(kChunk / pattern, int64_t(1)) * pattern;
  torch::stable::parallel_for(0, (runs.total + chunk - 1) / chunk, 2, [&](int64_t first, int64_t last) {
    for_pieces(runs, pattern, first * chunk, std::min(last * chunk, runs.total), [&](int64_t at, int64_t n, int64_t channel) {
      if (runs.inner == 1) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) to[at + i] = activate<T>(T(from[at + i]) + bias[i], shape);
      } else {
        const T shared = bias[channel];
#pragma omp simd
        for (int64_t i = 0; i < n; i++) to[at + i] = activate<T>(T(from[at + i]) + shared, shape);
      }
    });
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
  const int64_t pattern = bias.size(), chunk = std::max(kChunk / pattern, int64_t(1)) * pattern;
  const int64_t chunks = (runs.total + chunk - 1) / chunk;
  std::vector<T> sums(sum ? chunks * runs.channels : 0);  // per task, added up in order: the same on every run
  torch::stable::parallel_for(0, chunks, 2, [&](int64_t first, int64_t last) {
    std::vector<T> partial(pattern);
    for (int64_t task = first; task < last; task++) {
      std::fill(partial.begin(), partial.end(), T(0));
      for_pieces(runs, pattern, task * chunk, std::min((task + 1) * chunk, runs.total), [&](int64_t at, int64_t n, int64_t channel) {
        if (runs.inner == 1) {
#pragma omp simd
          for (int64_t i = 0; i < n; i++) {
            const T d = (T(from[at + i]) + bias[i]) * derivative<T>(T(result[at + i]), shape);
            to[at + i] = d;
            partial[i] += d;
          }
        } else {
          const T shared = bias[channel];
          T total = 0;
#pragma omp simd reduction(+ : total)
          for (int64_t i = 0; i < n; i++) {
            const T d = (T(from[at + i]) + shared) * derivative<T>(T(result[at + i]), shape);
            to[at + i] = d;
            total += d;
          }
          partial[channel] += total;
        }
      });
      if (sum) {
        T* own = sums.data() + task * runs.channels;
        for (int64_t i = 0; i < pattern; i++) own[i % runs.channels] += partial[i];
      }
    }
  });
  if (sum) {
    S* total = static_cast<S*>(db.mutable_data_ptr());
    for (int64_t c = 0; c < runs.channels; c++) {
      double channel = 0;
      for (int64_t task = 0; task < chunks; task++) channel += sums[task * runs.channels + c];
      total[c] = static_cast<S>(channel);
    }
  }
  return {dx, db};
}

template <class T>
Shape<T> make_shape(double slope, double gain, std::optional<double> clamp) {
  STD_TORCH_CHECK(gain > 0, "gain: ", gain, " given, a positive number wanted");
  return {static_cast<T>(slope), static_cast<T>(gain), clamp ? static_cast<T>(*clamp) : std::numeric_limits<T>::infinity()};
}

Tensor bias_act(const Tensor& x_any, const std::optional<Tensor>& b, int64_t dim, double slope, double gain,
                std::optional<double> clamp) {
  const Tensor x = dense(x_any);
  const Runs runs = make_runs(x, dim);
  switch (x.scalar_type()) {
    case ScalarType::Double: return forward<double>(x, b, runs, make_shape<double>(slope, gain, clamp));
    case ScalarType::BFloat16: return forward<BFloat16>(x, b, runs, make_shape<float>(slope, gain, clamp));
    case ScalarType::Half: return forward<Half>(x, b, runs, make_shape<float>(slope, gain, clamp));
    default: return forward<float>(x, b, runs, make_shape<float>(slope, gain, clamp));
  }
}

std::tuple<Tensor, Tensor> bias_act_grad(const Tensor& v_any, const std::optional<Tensor>& b, const Tensor& y, int64_t dim,
                                         double slope, double gain, std::optional<double> clamp, bool sum) {
  const Tensor v = like(v_any, y);
  const Runs runs = make_runs(y, dim);
  switch (y.scalar_type()) {
    case ScalarType::Double: return backward<double>(v, b, y, runs, make_shape<double>(slope, gain, clamp), sum);
    case ScalarType::BFloat16: return backward<BFloat16>(v, b, y, runs, make_shape<float>(slope, gain, clamp), sum);
    case ScalarType::Half: return backward<Half>(v, b, y, runs, make_shape<float>(slope, gain, clamp), sum);
    default: return backward<float>(v, b, y, runs, make_shape<float>(slope, gain, clamp), sum);
  }
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(sg, CPU, m) {
  m.impl("bias_act", TORCH_BOX(&bias_act));
  m.impl("bias_act_grad", TORCH_BOX(&bias_act_grad));
}

}  // namespace sg
