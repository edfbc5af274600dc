// The filters of a resampling in the order in which the inner loops read them.
#pragma once

#include <vector>

#include "resample.h"

namespace sg {

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

  int phase(int64_t fine) const { return static_cast<int>(fine % count); }
  int64_t top(int64_t fine) const { return start[phase(fine)] + fine / count; }  // first input that it reads
};

template <class T>
struct Weights {
  std::vector<T> up_x;                 // separable: [phase][tap]
  std::vector<std::vector<T>> up_y;    // separable, by phase: [tap] of one fine row,
  std::vector<std::vector<T>> up_two;  // and [2][tap] of it and the next one, which may begin an input row later
  std::vector<T> up;                   // else [phase y][phase x][tap y][tap x]
  std::vector<T> down_x;               // separable: [stream][tap], fine samples j·down + s of stream s
  std::vector<T> down_y, down_two;     // separable: [tap] of one output row, [2][tap] of two
  std::vector<T> down;                 // else [tap y][stream][tap x]; only the upper half where the lower mirrors it
  int down_taps;                       // per stream

  Weights(const Resampling<T>& r, const Phases& py, const Phases& px)
      : down_taps((r.down.w + r.x.down - 1) / r.x.down) {
    if (r.up.separable) {
      for (int p = 0; p < px.count; p++) append(up_x, r.up.x.data(), r.up.w, px.first[p], px.count, px.taps);
      for (int p = 0; p < py.count; p++) {
        const int64_t later = py.top(p + 1) - py.top(p);
        append(up_y.emplace_back(), r.up.y.data(), r.up.h, py.first[p], py.count, py.taps);
        append_two(up_two.emplace_back(), r.up.y, py, p, static_cast<int>(later));
      }
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
      for (int s = 0; s < r.x.down; s++) append(down_x, r.down.x.data(), r.down.w, s, r.x.down, down_taps);
      append(down_y, r.down.y.data(), r.down.h, 0, 1, r.down.h);
      append(down_two, r.down.y.data(), r.down.h, 0, 1, r.down.h + r.y.down);
      down_two.insert(down_two.end(), r.y.down, T(0));
      append(down_two, r.down.y.data(), r.down.h, 0, 1, r.down.h);
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

  static void append_two(std::vector<T>& to, const std::vector<double>& taps, const Phases& py, int p, int later) {
    const int size = static_cast<int>(taps.size()), next = (p + 1) % py.count;
    append(to, taps.data(), size, py.first[p], py.count, py.taps);
    to.insert(to.end(), 2 * later, T(0));
    append(to, taps.data(), size, py.first[next], py.count, py.taps);
  }
};

}  // namespace sg
