"""Leaky ReLU on a finer grid: upsample, activate, downsample (spec stylegan3 §4; StyleGAN3 paper, section 3.2)."""

from __future__ import annotations

import math

import torch

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
    impl: native.Impl = "auto",
) -> torch.Tensor:
    """Add bias, upsample by `up` with `fu`, leaky ReLU · gain, clamp to ±clamp, downsample by `down` with `fd`.

    x            `[N, C, H, W]`.
    fu, fd       `[taps]` separable, `[th, tw]`, or None for the identity. The upsampling filter is scaled by up².
    b            `[C]`, added to the pixels of x (padding stays zero); None adds nothing.
    padding      int, (x, y) or (x0, x1, y0, y1) in pixels of the upsampled image; negative values crop.
    slope        of the leaky ReLU for negative input.
    clamp        None: no clamp.
    flip_filter  False convolves with the filters, True correlates.
    impl         see `sgcli.ops.native.use_native`.
    Returns `[N, C, (H·up + y0 + y1 - (th_u - 1) - (th_d - 1) + down - 1) // down, …]` in x's dtype and memory format;
    differentiable to any order in x and b. Raises ValueError where shapes do not fit or nothing would be left.
    """
    check_image(x)
    if b is not None and list(b.shape) != [x.shape[1]]:
        raise ValueError(f"b: shape {list(b.shape)} given, [{x.shape[1]}] wanted, one number per channel")
    for name, factor in (("up", up), ("down", down)):
        if factor < 1:
            raise ValueError(f"{name}: {factor} given; a positive int wanted")
    if slope < 0 or gain <= 0:
        raise ValueError(f"slope, gain: {slope}, {gain} given; a slope of at least 0 and a positive gain wanted")
    padding = list(parse_padding(padding))
    if min(_num_windows(x.shape[2:], fu, fd, up, padding)) < 1:
        raise ValueError(f"padding: {padding} leaves less than the filters of the {x.shape[2]}x{x.shape[3]} image")
    if fu is None and fd is None and up == down == 1 and not any(padding):
        return bias_act(x, b, act="lrelu", alpha=slope, gain=gain, clamp=clamp, impl=impl)
    if native.use_native(impl, x, "filtered_lrelu"):
        fu, fd = native.plain_filter(fu), native.plain_filter(fd)
        save = torch.is_grad_enabled() and (x.requires_grad or (b is not None and b.requires_grad))
        return torch.ops.sg.filtered_lrelu.default(
            x, fu, fd, b, up, down, padding, gain, slope, clamp, flip_filter, save
        )[0]
    return _reference(x, fu, fd, b, up, down, padding, gain, slope, clamp, flip_filter)


def _num_windows(size, fu, fd, up: int, padding: list[int]) -> tuple[int, int]:
    """(h, w): how many windows of the downsampling filter fit on the fine grid, before decimation."""
    (up_w, up_h), (down_w, down_h) = filter_size(fu), filter_size(fd)
    x0, x1, y0, y1 = padding
    return size[0] * up + y0 + y1 - (up_h - 1) - (down_h - 1), size[1] * up + x0 + x1 - (up_w - 1) - (down_w - 1)


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
    def fake(x, fu, fd, b, up, down, padding, gain, slope, clamp, flip_filter, save):
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
        x, fu, fd, _, up, down, padding, gain, slope, _, flip_filter, _ = inputs
        ctx.save_for_backward(output[1], fu, fd)
        ctx.mark_non_differentiable(output[1])
        ctx.arguments = up, down, padding, gain, slope, flip_filter
        ctx.offset = [padding[0] - (filter_size(fu)[0] - 1), padding[2] - (filter_size(fu)[1] - 1)]
        ctx.in_size, ctx.out_size = x.shape[2:], output[0].shape[2:]

    def backward(ctx, dy, _):
        dx = _transposed(ctx, dy, ctx.offset)
        db = dx.sum([0, 2, 3]) if ctx.needs_input_grad[3] else None
        return dx, None, None, db, None, None, None, None, None, None, None, None

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
        return _transposed(ctx, dy, ctx.offset), None, None, None, None, None, None, None, None, None, None

    torch.library.register_autograd("sg::filtered_lrelu", backward, setup_context=setup_context)
    torch.library.register_autograd("sg::filtered_lrelu_replay", backward_replay, setup_context=setup_context_replay)


def _transposed(ctx, dy: torch.Tensor, offset: list[int]) -> torch.Tensor:
    """The gradient in x: the filters change places, the activation is replayed from the codes (spec stylegan3 §4.2)."""
    codes, fu, fd = ctx.saved_tensors
    up, down, padding, gain, slope, flip_filter = ctx.arguments
    taps = [u + d - 1 for u, d in zip(filter_size(fu), filter_size(fd), strict=True)]
    padding = [
        *adjoint_padding(padding[0], taps[0], up, down, ctx.in_size[1], ctx.out_size[1]),
        *adjoint_padding(padding[2], taps[1], up, down, ctx.in_size[0], ctx.out_size[0]),
    ]
    gain, flip_filter = gain * up**2 / down**2, not flip_filter
    return torch.ops.sg.filtered_lrelu_replay(dy, codes, fd, fu, down, up, padding, offset, gain, slope, flip_filter)
