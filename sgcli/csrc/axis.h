// The geometry of resampling along one axis, checked once for every device.
//
// Coordinates:
//   input   0 .. in      pixels of the input
//   fine    0 .. fine()  samples after zero insertion, padding and the upsampling filter; activations work here
//   output  0 .. out     pixels of the output
// Fine sample X reads the input pixels around (X - pad) / up; output j reads down_taps fine samples from j·down on.
#pragma once

#include <cstdint>

#include <torch/headeronly/util/Exception.h>

namespace sg {

constexpr int64_t kMaxTaps = 64;  // of a filter, along one axis

struct Axis {
  int64_t in, out;
  int up, down;
  int64_t pad;  // zeros before the first pixel, in fine samples; negative values crop
  int up_taps, down_taps;

  int64_t fine() const { return (out - 1) * down + down_taps; }  // all that reach an output

  // The part of the axis that outputs first .. last-1 come from, renumbered from zero.
  Axis cut(int64_t first, int64_t last) const {
    return {in, last - first, up, down, pad - first * down, up_taps, down_taps};
  }
};

inline Axis make_axis(int64_t in, int64_t up, int64_t down, int64_t pad_before, int64_t pad_after, int up_taps,
                      int down_taps) {
  constexpr int64_t most = 1 << 20;
  STD_TORCH_CHECK(up >= 1 && up <= most, "up: a factor is positive, not ", up);
  STD_TORCH_CHECK(down >= 1 && down <= most, "down: a factor is positive, not ", down);
  const int64_t fine = in * up + pad_before + pad_after - (up_taps - 1) - (down_taps - 1);
  STD_TORCH_CHECK(fine >= 1, "padding: nothing is left of ", in, " pixels with ", pad_before, " and ", pad_after);
  return {in, (fine - 1) / down + 1, static_cast<int>(up), static_cast<int>(down), pad_before, up_taps, down_taps};
}

}  // namespace sg
