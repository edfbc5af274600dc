// The piecewise linear activations on a GPU: linear, ReLU and leaky ReLU with gain and clamp.
#pragma once

#include <limits>
#include <optional>

#include <torch/headeronly/util/Exception.h>

#include "device.cuh"

namespace sg::cuda {

// y = clamp(gain · leaky_relu(x, slope), ±limit); slope 1 is linear, 0 is ReLU.
template <class T>
struct Shape {
  T slope, gain, limit;

  __device__ T value(T x) const {
    const T scaled = (x < 0 ? x * slope : x) * gain;
    return std::abs(scaled) > limit ? std::copysign(limit, scaled) : scaled;  // keeps NaN
  }

  // The derivative, told from the output.
  __device__ T derivative(T y) const { return std::abs(y) >= limit ? T(0) : (y > 0 ? gain : gain * slope); }
};

// The limit is as stored in S: the derivative knows clamped outputs by it.
template <class S>
Shape<Compute<S>> make_shape(double slope, double gain, std::optional<double> clamp) {
  using T = Compute<S>;
  STD_TORCH_CHECK(gain > 0, "gain: ", gain, " given, a positive number wanted");
  const T limit = clamp ? static_cast<T>(static_cast<S>(*clamp)) : std::numeric_limits<T>::infinity();
  return {static_cast<T>(slope), static_cast<T>(gain), limit};
}

}  // namespace sg::cuda
