// The minimal filtering F(4, 3): four neighbouring outputs of a correlation with three taps from six products.
//
//   y = Aᵀ [(G g) ⊙ (Bᵀ d)],   d [6] -> y [4], g [3]
//
// by evaluating polynomials at 0, ±a, ±b and infinity (S. Winograd, Arithmetic Complexity of Computations, 1980; for
// two dimensions A. Lavin and S. Gray, arXiv:1509.09308). With a = 2/3 and b = 3/2 rounding errors in two dimensions are
// half to a quarter of those at the usual ±1, ±2. The gradients use the transposed maps.
#pragma once

#include "block.h"

namespace sg {

constexpr int kTile = 4;   // outputs of a tile, along each axis
constexpr int kPatch = 6;  // inputs that they depend on, and products
constexpr int kTaps = 3;

namespace points {
constexpr double a = 2.0 / 3, b = 3.0 / 2, a2 = a * a, b2 = b * b;  // a · b = 1
constexpr double na = 1 / (2 * a2 * (a2 - b2)), nb = 1 / (2 * b2 * (b2 - a2));
}  // namespace points

template <class T>
inline Block<T> operator-(Block<T> a, const Block<T>& b) {
  for (int i = 0; i < Block<T>::kParts; i++) a.part[i] -= b.part[i];
  return a;
}

template <class T>
inline Block<T> operator*(double factor, Block<T> a) {
  for (int i = 0; i < Block<T>::kParts; i++) a.part[i] *= static_cast<T>(factor);
  return a;
}

// Bᵀ
struct OfInput {
  static constexpr int kIn = kPatch, kOut = kPatch;
  template <class T>
  static void map(const Block<T> d[kIn], Block<T> v[kOut]) {
    using namespace points;
    const auto even_a = d[4] - b2 * d[2], odd_a = a * d[3] - b * d[1];
    const auto even_b = d[4] - a2 * d[2], odd_b = b * d[3] - a * d[1];
    v[0] = d[4] - (a2 + b2) * d[2] + d[0];
    v[1] = even_a + odd_a;
    v[2] = even_a - odd_a;
    v[3] = even_b + odd_b;
    v[4] = even_b - odd_b;
    v[5] = d[5] - (a2 + b2) * d[3] + d[1];
  }
};

// G
struct OfKernel {
  static constexpr int kIn = kTaps, kOut = kPatch;
  template <class T>
  static void map(const Block<T> g[kIn], Block<T> u[kOut]) {
    using namespace points;
    const auto even_a = na * g[0] + (na * a2) * g[2], odd_a = (na * a) * g[1];
    const auto even_b = nb * g[0] + (nb * b2) * g[2], odd_b = (nb * b) * g[1];
    u[0] = g[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[2];
  }
};

// Aᵀ
struct ToOutput {
  static constexpr int kIn = kPatch, kOut = kTile;
  template <class T>
  static void map(const Block<T> m[kIn], Block<T> y[kOut]) {
    using namespace points;
    const auto even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = m[0] + even_a + even_b;
    y[1] = a * odd_a + b * odd_b;
    y[2] = a2 * even_a + b2 * even_b;
    y[3] = (a2 * a) * odd_a + (b2 * b) * odd_b + m[5];
  }
};

// A
struct OfOutputGradient {
  static constexpr int kIn = kTile, kOut = kPatch;
  template <class T>
  static void map(const Block<T> y[kIn], Block<T> m[kOut]) {
    using namespace points;
    const auto even_a = y[0] + a2 * y[2], odd_a = a * y[1] + (a2 * a) * y[3];
    const auto even_b = y[0] + b2 * y[2], odd_b = b * y[1] + (b2 * b) * y[3];
    m[0] = y[0];
    m[1] = even_a + odd_a;
    m[2] = even_a - odd_a;
    m[3] = even_b + odd_b;
    m[4] = even_b - odd_b;
    m[5] = y[3];
  }
};

// Gᵀ
struct ToKernelGradient {
  static constexpr int kIn = kPatch, kOut = kTaps;
  template <class T>
  static void map(const Block<T> u[kIn], Block<T> g[kOut]) {
    using namespace points;
    const auto even_a = u[1] + u[2], even_b = u[3] + u[4];
    g[0] = u[0] + na * even_a + nb * even_b;
    g[1] = (na * a) * (u[1] - u[2]) + (nb * b) * (u[3] - u[4]);
    g[2] = (na * a2) * even_a + (nb * b2) * even_b + u[5];
  }
};

// Map the columns of a square, then its rows.
template <class Map, class T>
inline void map_square(const Block<T> in[Map::kIn][Map::kIn], Block<T> out[Map::kOut][Map::kOut]) {
  Block<T> half[Map::kIn][Map::kOut];  // of each column
  for (int x = 0; x < Map::kIn; x++) {
    Block<T> column[Map::kIn];
    for (int y = 0; y < Map::kIn; y++) column[y] = in[y][x];
    Map::map(column, half[x]);
  }
  for (int y = 0; y < Map::kOut; y++) {
    Block<T> row[Map::kIn];
    for (int x = 0; x < Map::kIn; x++) row[x] = half[x][y];
    Map::map(row, out[y]);
  }
}

}  // namespace sg
