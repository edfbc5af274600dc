// The one engine behind upfirdn2d and filtered_lrelu on the CPU: upsample, activate, downsample, a row at a time.
#pragma once

#include <limits>

#include "axis.h"
#include "filter.h"
#include "image.h"

namespace sg {

// What the activation did to each fine sample, for its derivative: [n, blocks, h, w] of 32 bits. Of the 16 channels of
// a block, the low half tells which were below zero, the high half which were clamped.
struct Codes {
  uint32_t* data = nullptr;
  int64_t h = 0, w = 0;
  int64_t offset_y = 0, offset_x = 0;  // fine sample (Y, X) has its code at (Y + offset_y, X + offset_x)
};

enum class Activation { kNone, kLeakyRelu, kReplay };  // kReplay: multiply by the derivative that the codes tell

template <class T>
struct Resampling {
  Image in, out;
  Axis y, x;
  Filter up, down;
  std::vector<T> scale;  // of the input, per sample and channel, channels filled up to whole blocks; empty: none
  std::vector<T> bias;   // added to it, per channel; empty: none
  Activation activation = Activation::kNone;
  T slope = 1, limit = std::numeric_limits<T>::infinity();
  Codes codes;  // written by kLeakyRelu where there is data, read by kReplay
};

template <class T>
void resample(const Resampling<T>& r);

}  // namespace sg
