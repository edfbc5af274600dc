"""All that a style layer does after its convolution, in one operator (spec stylegan2-ada §1.4, and §1.5, non-fused).

The convolution of a modulated layer can use one weight for the whole batch when its input is scaled by the styles and
its output by the demodulation. Both scales are per sample and channel, so they ride along here: `scale` is this layer's
demodulation, `out_scale` the next layer's styles.
"""

from __future__ import annotations

import math

import torch

from sgcli.ops import native
from sgcli.ops.bias_act import bias_act
from sgcli.ops.upfirdn2d import check_image


def modulated_bias_act(
    x: torch.Tensor,
    b: torch.Tensor | None = None,
    scale: torch.Tensor | None = None,
    noise: torch.Tensor | None = None,
    out_scale: torch.Tensor | None = None,
    slope: float = 0.2,
    gain: float = math.sqrt(2),
    clamp: float | None = None,
    impl: native.Impl = "auto",
) -> torch.Tensor:
    """clamp(gain · leaky_relu(x · scale + noise + b), ±clamp) · out_scale.

    x          `[N, C, H, W]`.
    b          `[C]`; None: 0.
    scale      `[N, C]`, the demodulation of the convolution before; None: 1.
    noise      `[N, 1, H, W]` or `[1, 1, H, W]`, times its strength; None: 0.
    out_scale  `[N, C]`, the styles of the convolution after, not clamped; None: 1.
    slope      of the leaky ReLU for negative input; 1 makes it linear.
    clamp      None: no clamp.
    Returns a tensor of x's shape, dtype and memory format; differentiable to second order in all tensors. One pass over
    memory on a GPU, and on a CPU where x is channels-last.
    Raises ValueError for a tensor that does not fit.
    """
    check_image(x)
    n, c, h, w = x.shape
    for name, given, shapes in (
        ("b", b, [[c]]),
        ("scale", scale, [[n, c]]),
        ("noise", noise, [[n, 1, h, w], [1, 1, h, w]]),
        ("out_scale", out_scale, [[n, c]]),
    ):
        if given is not None and list(given.shape) not in shapes:
            raise ValueError(f"{name}: shape {list(given.shape)} given, {' or '.join(map(str, shapes))} wanted")
    if gain <= 0:
        raise ValueError(f"gain: {gain} given, a positive number wanted")
    # On a CPU, planes of pixels are best left to several operators: the scales of one plane are single numbers.
    in_one_pass = x.device.type != "cpu" or x.is_contiguous(memory_format=torch.channels_last)
    if in_one_pass and native.use_native(impl, x, "modulated_bias_act"):
        return torch.ops.sg.modulated_bias_act.default(x, b, scale, noise, out_scale, slope, gain, clamp)
    v = _scale_and_add_noise(x, scale, noise)
    y = bias_act(v, None if b is None else b.to(x.dtype), act="lrelu", alpha=slope, gain=gain, clamp=clamp, impl=impl)
    return y if out_scale is None else y * _per_channel(out_scale, y)


def _scale_and_add_noise(x, scale, noise) -> torch.Tensor:
    if scale is not None:
        x = x * _per_channel(scale, x)
    return x if noise is None else x + noise.to(x.dtype)


def _per_channel(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.to(like.dtype)[:, :, None, None]


@native.when_loaded
def _register() -> None:
    @torch.library.register_fake("sg::modulated_bias_act")
    def fake(x, b, scale, noise, out_scale, slope, gain, clamp):
        return torch.empty_like(x)

    @torch.library.register_fake("sg::modulated_bias_act_grad")
    def fake_grad(dy, x, b, scale, noise, out_scale, slope, gain, clamp):
        n, c, h, w = x.shape
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        dnoise = x.new_empty([0 if noise is None else n, 1, h, w], dtype=dtype)
        return torch.empty_like(x), x.new_empty([3, n, c], dtype=dtype), dnoise

    def setup_context(ctx, inputs, output):
        *tensors, ctx.slope, ctx.gain, ctx.clamp = inputs
        ctx.save_for_backward(*tensors)

    def backward(ctx, dy):
        x, b, scale, noise, out_scale = tensors = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again: say it in operators that are differentiable
            dx, sums, dnoise = _gradient(dy, x, b, scale, noise, out_scale, ctx.slope, ctx.gain, ctx.clamp)
        else:
            dx, sums, dnoise = torch.ops.sg.modulated_bias_act_grad(dy, *tensors, ctx.slope, ctx.gain, ctx.clamp)
        if noise is not None:
            dnoise = (dnoise if noise.shape[0] > 1 else dnoise.sum(0, keepdim=True)).to(noise.dtype)
        return (
            dx,
            None if b is None else sums[0].sum(0).to(b.dtype),
            None if scale is None else sums[1].to(scale.dtype),
            None if noise is None else dnoise,
            None if out_scale is None else sums[2].to(out_scale.dtype),
            None,
            None,
            None,
        )

    torch.library.register_autograd("sg::modulated_bias_act", backward, setup_context=setup_context)


def _gradient(dy, x, b, scale, noise, out_scale, slope, gain, clamp) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What sg::modulated_bias_act_grad computes, in differentiable operators: dx, sums `[3, N, C]`, dnoise."""
    dtype = x.dtype
    # Half types are computed in float32, as in the operator: both must agree about which values are below zero.
    x, dy = (t.to(torch.promote_types(dtype, torch.float32)) for t in (x, dy))
    b = None if b is None else b.to(x.dtype)
    y = torch.ops.sg.bias_act(_scale_and_add_noise(x, scale, noise), b, 1, slope, gain, clamp)
    dv = dy if out_scale is None else dy * _per_channel(out_scale, dy)
    dv = torch.ops.sg.bias_act_grad(dv, None, y, 1, slope, gain, clamp, False)[0]
    dx = dv if scale is None else dv * _per_channel(scale, dv)
    sums = torch.stack([t.sum([2, 3]) for t in (dv, dv * x, dy * y)])
    return dx.to(dtype), sums, dv.sum(1, keepdim=True)
