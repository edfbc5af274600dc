// Separable filters over contiguous images: every row as it lies in memory, sixteen neighbours at a time.
#pragma once

#include "resample.h"

namespace sg {

// Whether resample_planes can do this: no activation, one filter, which only upsamples or only downsamples.
template <class T>
bool fits_planes(const Resampling<T>& r);

// As resample(), without gathering channels first.
template <class T>
void resample_planes(const Resampling<T>& r);

}  // namespace sg
