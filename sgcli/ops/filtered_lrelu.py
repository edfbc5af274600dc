"""Leaky ReLU on a finer grid: upsample, activate, downsample (spec stylegan3 §4; StyleGAN3 paper, section 3.2)."""

from __future__ import annotations

import math

import torch

import sgcli.ops.modulated_bias_act  # noqa: F401  (completes the operator that _gradients calls)
from sgcli.ops import native
from sgcli.ops.bias_act import bias_act
from sgcli.ops.upfirdn2d import Pair, adjoint_padding, check_image, filter_size, parse_padding, upfirdn2d


def filtered_lrelu(
    x: torch.Tensor,
    fu: torch.Tensor | None = None,
    fd: torch.Tensor | None = None,
    b: torch.Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Pair = 0,
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
    scale: torch.Tensor | None = None,
    impl: native.Impl = "auto",
) -> torch.Tensor:
    """Scale, add bias, upsample by `up` with `fu`, leaky ReLU · gain, clamp to ±clamp, downsample by `down` with `fd`.

    x            `[N, C, H, W]`.
    fu, fd       `[taps]` separable, `[th, tw]`, or None for the identity. The upsampling filter is scaled by up².
    b            `[C]`, added to the pixels of x (padding stays zero); None adds nothing.
    padding      int, (x, y) or (x0, x1, y0, y1) in pixels of the upsampled image; negative values crop.
    slope        of the leaky ReLU for negative input.
    clamp        None: no clamp.
    flip_filter  False convolves with the filters, True correlates.
    scale        `[N, C]`, multiplies x before the bias is added (the demodulation of a convolution); None: 1.
    impl         see `sgcli.ops.native.use_native`.
    Returns `[N, C, (H·up + y0 + y1 - (th_u - 1) - (th_d - 1) + down - 1) // down, …]` in x's dtype and memory format;
    differentiable to any order in x, b and scale. Raises ValueError where shapes do not fit or nothing would be left.
    """
    check_image(x)
    if b is not None and list(b.shape) != [x.shape[1]]:
        raise ValueError(f"b: shape {list(b.shape)} given, [{x.shape[1]}] wanted, one number per channel")
    if scale is not None and scale.shape != x.shape[:2]:
        raise ValueError(
            f"scale: shape {list(scale.shape)} given, {list(x.shape[:2])} wanted, one per sample and channel"
        )
    for name, factor in (("up", up), ("down", down)):
        if factor < 1:
            raise ValueError(f"{name}: {factor} given; a positive int wanted")
    if slope < 0 or gain <= 0:
        raise ValueError(f"slope, gain: {slope}, {gain} given; a slope of at least 0 and a positive gain wanted")
    padding = list(parse_padding(padding))
    if min(_num_windows(x.shape[2:], fu, fd, up, padding)) < 1:
        raise ValueError(f"padding: {padding} leaves less than the filters of the {x.shape[2]}x{x.shape[3]} image")
    if fu is None and fd is None and up == down == 1 and not any(padding):
        return bias_act(_scaled(x, scale), b, act="lrelu", alpha=slope, gain=gain, clamp=clamp, impl=impl)
    if native.use_native(impl, x, "filtered_lrelu"):
        fu, fd = native.plain_filter(fu), native.plain_filter(fd)
        save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, b, scale))
        return torch.ops.sg.filtered_lrelu.default(
            x, fu, fd, b, scale, up, down, padding, gain, slope, clamp, flip_filter, save
        )[0]
    return _reference(_scaled(x, scale), fu, fd, b, up, down, padding, gain, slope, clamp, flip_filter)


def _num_windows(size, fu, fd, up: int, padding: list[int]) -> tuple[int, int]:
    """(h, w): how many windows of the downsampling filter fit on the fine grid, before decimation."""
    (up_w, up_h), (down_w, down_h) = filter_size(fu), filter_size(fd)
    x0, x1, y0, y1 = padding
    return size[0] * up + y0 + y1 - (up_h - 1) - (down_h - 1), size[1] * up + x0 + x1 - (up_w - 1) - (down_w - 1)


def _scaled(x: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
    return x if scale is None else x * scale.to(x.dtype)[:, :, None, None]


def _reference(x, fu, fd, b, up, down, padding, gain, slope, clamp, flip_filter) -> torch.Tensor:
    x = bias_act(x, b, impl="reference")
    x = upfirdn2d(x, fu, up=up, padding=padding, flip_filter=flip_filter, gain=up**2, impl="reference")
    x = bias_act(x, act="lrelu", alpha=slope, gain=gain, clamp=clamp, impl="reference")
    return upfirdn2d(x, fd, down=down, flip_filter=flip_filter, impl="reference")


@native.when_loaded
def _register() -> None:
    def output_size(x, fu, fd, up, down, padding):
        return [(size - 1) // down + 1 for size in _num_windows(x.shape[2:], fu, fd, up, padding)]

    @torch.library.register_fake("sg::filtered_lrelu")
    def fake(x, fu, fd, b, scale, up, down, padding, gain, slope, clamp, flip_filter, save):
        h, w = output_size(x, fu, fd, up, down, padding)
        tw, th = filter_size(fd)
        # Two bits (below zero, clamped) for each fine sample that reaches an output. A word has those of 16 channels;
        # on a GPU, those of 16 neighbours along x.
        n, c, fine_h, fine_w = x.shape[0] if save else 0, x.shape[1], (h - 1) * down + th, (w - 1) * down + tw
        codes = (n, c, (fine_w + 15) // 16, fine_h) if x.is_cuda else (n, (c + 15) // 16, fine_h, fine_w)
        return native.empty_image(x, h, w), x.new_empty(codes, dtype=torch.int32)

    @torch.library.register_fake("sg::filtered_lrelu_replay")
    def fake_replay(x, codes, fu, fd, up, down, padding, offset, gain, slope, flip_filter):
        return native.empty_image(x, *output_size(x, fu, fd, up, down, padding))

    def setup_context(ctx, inputs, output):
        x, fu, fd, _, scale, up, down, padding, gain, slope, _, flip_filter, _ = inputs
        ctx.save_for_backward(output[1], fu, fd, scale, None if scale is None else x)
        ctx.mark_non_differentiable(output[1])
        ctx.arguments = up, down, padding, gain, slope, flip_filter
        ctx.offset = [padding[0] - (filter_size(fu)[0] - 1), padding[2] - (filter_size(fu)[1] - 1)]
        ctx.in_size, ctx.out_size = x.shape[2:], output[0].shape[2:]

    def backward(ctx, dy, _):
        codes, fu, fd, scale, x = ctx.saved_tensors
        dv = _transposed(ctx, dy, codes, fu, fd)  # the gradient in v = x · scale + b
        dx, db, dscale = _gradients(dv, x, scale, ctx.needs_input_grad[3], ctx.needs_input_grad[4])
        return dx, None, None, db, dscale, None, None, None, None, None, None, None, None

    # Once the codes are fixed the operator is linear, and so is its transpose: each differentiates into the other.
    def setup_context_replay(ctx, inputs, output):
        x, codes, fu, fd, up, down, padding, offset, gain, slope, flip_filter = inputs
        ctx.save_for_backward(codes, fu, fd)
        ctx.arguments = up, down, padding, gain, slope, flip_filter
        ctx.offset = [
            offset[0] + padding[0] - (filter_size(fu)[0] - 1),
            offset[1] + padding[2] - (filter_size(fu)[1] - 1),
        ]
        ctx.in_size, ctx.out_size = x.shape[2:], output.shape[2:]

    def backward_replay(ctx, dy):
        return _transposed(ctx, dy, *ctx.saved_tensors), None, None, None, None, None, None, None, None, None, None

    torch.library.register_autograd("sg::filtered_lrelu", backward, setup_context=setup_context)
    torch.library.register_autograd("sg::filtered_lrelu_replay", backward_replay, setup_context=setup_context_replay)


def _gradients(dv, x, scale, for_bias: bool, for_scale: bool):
    """Of dv in v = x · scale + b: in x, b and scale, in one pass where that need not be differentiated again."""
    if scale is None:
        return dv, dv.sum([0, 2, 3]) if for_bias else None, None
    if not torch.is_grad_enabled():
        dx, sums, _ = torch.ops.sg.modulated_bias_act_grad(dv, x, None, scale, None, None, 1.0, 1.0, None)
        return dx, sums[0].sum(0).to(dv.dtype) if for_bias else None, sums[1].to(scale.dtype)
    db = dv.sum([0, 2, 3]) if for_bias else None
    return _scaled(dv, scale), db, (dv * x).sum([2, 3]).to(scale.dtype) if for_scale else None


def _transposed(ctx, dy: torch.Tensor, codes: torch.Tensor, fu, fd) -> torch.Tensor:
    """The gradient in x: the filters change places, the activation is replayed from the codes (spec stylegan3 §4.2)."""
    up, down, padding, gain, slope, flip_filter = ctx.arguments
    taps = [u + d - 1 for u, d in zip(filter_size(fu), filter_size(fd), strict=True)]
    padding = [
        *adjoint_padding(padding[0], taps[0], up, down, ctx.in_size[1], ctx.out_size[1]),
        *adjoint_padding(padding[2], taps[1], up, down, ctx.in_size[0], ctx.out_size[0]),
    ]
    gain, flip_filter = gain * up**2 / down**2, not flip_filter
    return torch.ops.sg.filtered_lrelu_replay(
        dy, codes, fd, fu, down, up, padding, ctx.offset, gain, slope, flip_filter
    )
