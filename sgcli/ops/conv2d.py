"""Convolution of images, on a CPU by a quarter of the multiplications where that pays.

3x3 kernels with stride 1 take most of the time of every network here. Minimal filtering (csrc/winograd.h) makes them,
and both their gradients, twice as fast and more; rounding errors grow from 3e-7 of the result's magnitude to 1.5e-6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from sgcli.ops import native
from sgcli.ops.build import SIXTEEN_BIT_INSTRUCTIONS, multiplies

MIN_CHANNELS = 16  # a block of them is the unit of work
MIN_TILES = 32  # of 4x4 outputs; below, it takes longer to transform the kernels than they save


def conv2d(
    x: torch.Tensor,
    w: torch.Tensor,
    stride: int = 1,
    padding: tuple[int, int] | int = 0,
    groups: int = 1,
    impl: native.Impl = "auto",
) -> torch.Tensor:
    """What `torch.nn.functional.conv2d` computes, differentiable to any order.

    x        `[N, I, H, W]`.
    w        `[O, I / groups, k, k]`, in x's dtype.
    padding  zeros on both sides: (y, x), or the same for both.
    impl     "native" wants the native operator, or ValueError where it cannot take the arguments; "auto" uses it for
             channels-last images where it is faster. Without gradients that depends on the size of an image, not on how
             many there are: pictures are not to depend on the batch.
    Returns `[N, O, H', W']`.
    """
    pad_y, pad_x = (padding, padding) if isinstance(padding, int) else padding
    fits = w.shape[2:] == (3, 3) and stride == groups == 1 and pad_y == pad_x <= 2
    if impl == "native" and not fits:
        raise ValueError("the native convolution takes 3x3 kernels, stride 1, one group, and up to 2 zeros around x")
    if fits and (impl == "native" or _pays(x, w, pad_y)) and native.use_native(impl, x, "conv3x3"):
        return torch.ops.sg.conv3x3.default(x, w, pad_y, False)
    return in_fast_type(F.conv2d, x, w, stride=stride, padding=(pad_y, pad_x), groups=groups)


def in_fast_type(
    product: Callable[..., torch.Tensor], x: torch.Tensor, w: torch.Tensor, **options: Any
) -> torch.Tensor:
    """product(x, w, **options), for which 16-bit numbers become float32 where the CPU would take four times as long."""
    if not _is_slow(x):
        return product(x, w, **options)
    return product(x.float(), w.float(), **options).to(x.dtype)


def _is_slow(x: torch.Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in SIXTEEN_BIT_INSTRUCTIONS and not multiplies(x.dtype)


def _pays(x: torch.Tensor, w: torch.Tensor, padding: int) -> bool:
    h, width = (size + 2 * padding - 2 for size in x.shape[2:])
    images = len(x) if torch.is_grad_enabled() and w.requires_grad else 1
    return (
        x.device.type == "cpu"
        and (x.dtype == torch.float32 or _is_slow(x))
        and min(w.shape[:2]) >= MIN_CHANNELS
        and images * -(-h // 4) * -(-width // 4) >= MIN_TILES
        and x.is_contiguous(memory_format=torch.channels_last)
    )


@native.when_loaded
def _register() -> None:
    @torch.library.register_fake("sg::conv3x3")
    def fake(x, w, padding, flip):
        n, _, h, width = x.shape
        shape = [n, w.shape[0], h + 2 * padding - 2, width + 2 * padding - 2]
        return x.new_empty(shape).contiguous(memory_format=torch.channels_last)

    @torch.library.register_fake("sg::conv3x3_weight_grad")
    def fake_weight_grad(x, dy, padding):
        return x.new_empty([dy.shape[1], x.shape[1], 3, 3]).contiguous(memory_format=torch.channels_last)

    def setup_context(ctx, inputs, output):
        x, w, ctx.padding, ctx.flip = inputs
        ctx.save_for_backward(x, w)

    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = torch.ops.sg.conv3x3(dy, w.transpose(0, 1), 2 - ctx.padding, not ctx.flip)
        if ctx.needs_input_grad[1]:
            dw = torch.ops.sg.conv3x3_weight_grad(x, dy, ctx.padding)
            dw = dw.flip([2, 3]) if ctx.flip else dw
        return dx, dw, None, None

    torch.library.register_autograd("sg::conv3x3", backward, setup_context=setup_context)

    def setup_context_of_gradient(ctx, inputs, output):
        x, dy, ctx.padding = inputs
        ctx.save_for_backward(x, dy)

    def backward_of_gradient(ctx, v):  # v [O, I, 3, 3]: dw is linear in x and in dy
        x, dy = ctx.saved_tensors
        dx = ddy = None
        if ctx.needs_input_grad[0]:
            dx = torch.ops.sg.conv3x3(dy, v.transpose(0, 1), 2 - ctx.padding, True)
        if ctx.needs_input_grad[1]:
            ddy = torch.ops.sg.conv3x3(x, v, ctx.padding, False)
        return dx, ddy, None

    torch.library.register_autograd(
        "sg::conv3x3_weight_grad", backward_of_gradient, setup_context=setup_context_of_gradient
    )
