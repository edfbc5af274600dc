// The piecewise linear activations: linear, ReLU and leaky ReLU with gain and clamp.
#pragma once

#include <limits>
#include <optional>

#include <torch/headeronly/util/Exception.h>

#include "block.h"

namespace sg {

// y = clamp(gain · leaky_relu(x, slope), ±limit); slope 1 is linear, 0 is ReLU.
template <class T>
struct Shape {
  T slope, gain, limit;

  Block<T> value(const Block<T>& v) const {
    return clamp(leaky_relu(v, slope) * splat(gain), limit);
  }

  // The derivative, told from the output.
  Block<T> derivative(const Block<T>& y) const {
    Block<T> factor;
    for (int i = 0; i < Block<T>::kParts; i++) {
      const auto part = y.part[i], high = typename Block<T>::Part{} + limit, zero = typename Block<T>::Part{};
      factor.part[i] = part > zero ? zero + gain : zero + gain * slope;
      factor.part[i] = part >= high ? zero : factor.part[i];
      factor.part[i] = part <= -high ? zero : factor.part[i];
    }
    return factor;
  }
};

template <class S>
inline Shape<Compute<S>> make_shape(double slope, double gain, std::optional<double> clamp) {
  using T = Compute<S>;
  STD_TORCH_CHECK(gain > 0, "gain: ", gain, " given, a positive number wanted");
  // The limit as stored: the derivative knows clamped outputs by it.
  const T limit = clamp ? static_cast<T>(static_cast<S>(*clamp)) : std::numeric_limits<T>::infinity();
  return {static_cast<T>(slope), static_cast<T>(gain), limit};
}

}  // namespace sg
