// The operators' schemas. Implementations register beside their kernels, one file per operator and device.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(sg, m) {
  m.def("bias_act(Tensor x, Tensor? b, int dim, float slope, float gain, float? clamp) -> Tensor");
  m.def(
      "bias_act_grad(Tensor v, Tensor? b, Tensor y, int dim, float slope, float gain, float? clamp, bool sum)"
      " -> (Tensor, Tensor)");
  m.def(
      "modulated_bias_act(Tensor x, Tensor? b, Tensor? scale, Tensor? noise, Tensor? out_scale, float slope,"
      " float gain, float? clamp) -> Tensor");
  m.def(
      "modulated_bias_act_grad(Tensor dy, Tensor x, Tensor? b, Tensor? scale, Tensor? noise, Tensor? out_scale,"
      " float slope, float gain, float? clamp) -> (Tensor, Tensor, Tensor)");
  m.def("conv3x3(Tensor x, Tensor w, int padding, bool flip) -> Tensor");
  m.def("conv3x3_weight_grad(Tensor x, Tensor dy, int padding) -> Tensor");
  m.def("upfirdn2d(Tensor x, Tensor? f, int[] up, int[] down, int[] padding, bool flip_filter, float gain) -> Tensor");
  m.def(
      "filtered_lrelu(Tensor x, Tensor? fu, Tensor? fd, Tensor? b, Tensor? scale, int up, int down, int[] padding,"
      " float gain, float slope, float? clamp, bool flip_filter, bool save) -> (Tensor, Tensor)");
  m.def(
      "filtered_lrelu_replay(Tensor x, Tensor codes, Tensor? fu, Tensor? fd, int up, int down, int[] padding,"
      " int[] offset, float gain, float slope, bool flip_filter) -> Tensor");
  m.def("warp2d(Tensor x, Tensor map, Tensor margins, Tensor f, bool transposed) -> Tensor");
}
