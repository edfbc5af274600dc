#include <limits>

#include "planes.h"

namespace sg {

namespace {

template <class T>
Tensor run(const Tensor& x, const std::optional<Tensor>& f, const std::vector<int64_t>& up,
           const std::vector<int64_t>& down, const std::vector<int64_t>& padding, bool flip_filter, double gain) {
  Resampling<T> r;
  // The filter may act on either side of the fine grid; the down side computes only the pixels that are kept.
  const bool after = up[0] == 1 && up[1] == 1;
  (after ? r.down : r.up) = make_filter(f, flip_filter, gain, 4 * std::numeric_limits<T>::epsilon());
  r.y = make_axis(x.size(2), up[1], down[1], padding[2], padding[3], r.up.h, r.down.h);
  r.x = make_axis(x.size(3), up[0], down[0], padding[0], padding[1], r.up.w, r.down.w);
  Tensor y = empty_image(x, x.size(1), r.y.out, r.x.out);
  r.in = as_image(x);
  r.out = as_image(y);
  if (!r.in.channels_last) {  // planes of different samples may share a block
    for (Image* image : {&r.in, &r.out}) image->c *= std::exchange(image->n, 1);
    r.out.channels_last = false;
  }
  fits_planes(r) ? resample_planes(r) : resample(r);
  return y;
}

Tensor upfirdn2d(const Tensor& x, const std::optional<Tensor>& f, const std::vector<int64_t>& up,
                 const std::vector<int64_t>& down, const std::vector<int64_t>& padding, bool flip_filter, double gain) {
  STD_TORCH_CHECK(x.dim() == 4, "x: rank ", x.dim(), " given, [N, C, H, W] wanted");
  STD_TORCH_CHECK(up.size() == 2 && down.size() == 2, "up, down: (x, y) wanted");
  STD_TORCH_CHECK(padding.size() == 4, "padding: (x0, x1, y0, y1) wanted");
  const bool wide = x.scalar_type() == ScalarType::Double;
  return (wide ? run<double> : run<float>)(dense(x), f, up, down, padding, flip_filter, gain);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(sg, CPU, m) { m.impl("upfirdn2d", TORCH_BOX(&upfirdn2d)); }

}  // namespace sg
