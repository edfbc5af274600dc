"""Convolution whose weights are scaled per sample by styles, and normalised (spec stylegan2-ada §1.5)."""

from __future__ import annotations

import torch

from sgcli.ops.conv2d_resample import conv2d_resample


def modulated_conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    styles: torch.Tensor,
    *,
    demodulate: bool = True,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    resample_filter: torch.Tensor | None = None,
    flip_weight: bool = True,
) -> torch.Tensor:
    """Convolve each sample with its own weights w'[n,o,i,y,x] = s[n,i]·w[o,i,y,x], scaled to unit norm over (i, y, x).

    x       `[N, in, H, W]`.
    weight  `[out, in, k, k]`.
    styles  `[N, in]`.
    Returns `[N, out, H·up/down, W·up/down]` in x's dtype.

    The weights are never built per sample: s scales the input, the demodulation d scales the output, and the whole
    batch shares one convolution (equal to rounding, since the convolution is linear in both).
    """
    if x.dtype == torch.float16 and demodulate:
        weight, styles = _prenormalize(weight, styles)
    scale = demodulation(weight, styles) if demodulate else None  # [N, out]
    x = x * styles.to(x.dtype)[:, :, None, None]
    x = conv2d_resample(
        x, weight.to(x.dtype), f=resample_filter, up=up, down=down, padding=padding, flip_weight=flip_weight
    )
    return x if scale is None else x * scale.to(x.dtype)[:, :, None, None]


def demodulation(weight: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
    """d[n,o] = rsqrt(Σ_{i,y,x} (s[n,i]·w[o,i,y,x])² + 1e-8), as one matrix product. Returns `[N, out]`."""
    return (styles.square() @ weight.square().sum(dim=[2, 3]).T + 1e-8).rsqrt()


def _prenormalize(weight: torch.Tensor, styles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale w by its largest entry per output channel and s by its largest per sample: fp16 must not overflow.

    Demodulation takes every such scale out again.
    """
    fan_in = weight[0].numel()
    largest_weight = weight.abs().amax(dim=[1, 2, 3], keepdim=True)
    return weight / (fan_in**0.5 * largest_weight), styles / styles.abs().amax(dim=1, keepdim=True)
