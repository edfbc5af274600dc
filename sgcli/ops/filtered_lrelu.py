"""Leaky ReLU applied on a finer grid: upsample, activate, downsample (spec stylegan3 §4; StyleGAN3 paper, section 3.2)."""

from __future__ import annotations

import math

import torch

from sgcli.ops.bias_act import bias_act
from sgcli.ops.upfirdn2d import Pair, parse_padding, upfirdn2d


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
) -> torch.Tensor:
    """Add bias, upsample by `up` with `fu`, leaky ReLU · gain, clamp to ±clamp, downsample by `down` with `fd`.

    x            `[N, C, H, W]`.
    fu, fd       `[taps]` separable, `[th, tw]`, or None for the identity. The upsampling filter is scaled by up².
    b            `[C]`, added to the pixels of x (padding stays zero); None adds nothing.
    padding      int, (x, y) or (x0, x1, y0, y1) in pixels of the upsampled image; negative values crop.
    slope        of the leaky ReLU for negative input.
    clamp        None: no clamp.
    flip_filter  False convolves with the filters, True correlates.
    Returns `[N, C, (H·up + y0 + y1 - (th_u - 1) - (th_d - 1) + down - 1) // down, …]`; differentiable to any order in
    x and b. Raises ValueError where shapes do not fit or nothing would be left.
    """
    x = bias_act(x, b)
    x = upfirdn2d(x, fu, up=up, padding=parse_padding(padding), flip_filter=flip_filter, gain=up**2)
    x = bias_act(x, act="lrelu", alpha=slope, gain=gain, clamp=clamp)
    return upfirdn2d(x, fd, down=down, flip_filter=flip_filter)
