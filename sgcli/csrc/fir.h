// Short correlations over rows of blocks, the one primitive of the resampling engine.
//
// Results are computed a tile at a time, and up to a tile more of them than asked for: rows have slack.
#pragma once

#include <algorithm>
#include <vector>

#include "block.h"

namespace sg {

// Outputs computed together: they share taps and loads, and fit the registers.
template <class T>
constexpr int kTile = std::max(2, 8 / Block<T>::kParts);
constexpr int kMaxTile = 8;

// Along a row: out[i·out_pitch] = Σ_r Σ_t weight[r][t] · rows[r][i + t] for i < n.
// With kPairs, rows come in pairs that share their weights, and each pair is added up first.
template <class T, int kTaps, bool kPairs>
void fir_along(Block<T>* out, int64_t out_pitch, const std::vector<const Block<T>*>& rows, const T* weights,
               int64_t in_pitch, int64_t n) {
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
void fir_along(Block<T>* out, int64_t out_pitch, std::vector<const Block<T>*>& rows, const T* weights, int taps,
               int64_t in_pitch, int64_t n) {
  switch (taps) {
    case 1: return fir_along<T, 1, kPairs>(out, out_pitch, rows, weights, in_pitch, n);
    case 2: return fir_along<T, 2, kPairs>(out, out_pitch, rows, weights, in_pitch, n);
    case 3: return fir_along<T, 3, kPairs>(out, out_pitch, rows, weights, in_pitch, n);
    case 4: return fir_along<T, 4, kPairs>(out, out_pitch, rows, weights, in_pitch, n);
    case 6: return fir_along<T, 6, kPairs>(out, out_pitch, rows, weights, in_pitch, n);
  }
  const std::vector<const Block<T>*> starts = rows;  // any other length: each tap is a row of its own
  rows.clear();
  for (size_t r = 0; r < starts.size(); r += 1 + kPairs) {
    for (int t = 0; t < taps; t++) {
      for (int k = 0; k <= kPairs; k++) rows.push_back(starts[r + k] + t * in_pitch);
    }
  }
  fir_along<T, 1, kPairs>(out, out_pitch, rows, weights, in_pitch, n);
}

// Across rows: out[o·out_pitch + i] = Σ_r weight[o][r] · rows[r][i] for o < kOut, i < n. Several results together read
// the rows, which are too many for the nearest cache, only once.
template <class T, int kOut>
void fir_across(Block<T>* out, int64_t out_pitch, const std::vector<const Block<T>*>& rows, const T* weights,
                int64_t n) {
  constexpr int tile = std::max(1, kTile<T> / kOut);
  const size_t count = rows.size();
  for (int64_t i = 0; i < n; i += tile) {
    Block<T> sum[kOut][tile] = {};
    for (size_t r = 0; r < count; r++) {
      Block<T> window[tile];
#pragma GCC unroll 16
      for (int k = 0; k < tile; k++) window[k] = rows[r][i + k];
#pragma GCC unroll 16
      for (int o = 0; o < kOut; o++) {
#pragma GCC unroll 16
        for (int k = 0; k < tile; k++) multiply_add(sum[o][k], weights[o * count + r], window[k]);
      }
    }
#pragma GCC unroll 16
    for (int o = 0; o < kOut; o++) {
#pragma GCC unroll 16
      for (int k = 0; k < tile; k++) out[o * out_pitch + i + k] = sum[o][k];
    }
  }
}

template <class T>
void fir_across(Block<T>* out, int64_t out_pitch, int64_t count, const std::vector<const Block<T>*>& rows,
                const T* weights, int64_t n) {
  const auto apply = count == 2 ? fir_across<T, 2> : fir_across<T, 1>;
  apply(out, out_pitch, rows, weights, n);
}

}  // namespace sg
