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
    options = {"up": up, "down": down, "padding": padding, "resample_filter": resample_filter}
    if not demodulate:
        return _modulate_and_convolve(x, weight, styles, flip_weight=flip_weight, **options)
    x, scale = conv2d_to_demodulate(x, weight, styles, flip_weight=flip_weight, **options)
    return x * scale.to(x.dtype)[:, :, None, None]


def conv2d_to_demodulate(
    x: torch.Tensor, weight: torch.Tensor, styles: torch.Tensor, **options
) -> tuple[torch.Tensor, torch.Tensor]:
    """`modulated_conv2d` before the last step: its output, and the scale `[N, out]` by which it is to be multiplied.

    The scale is per channel, so whatever comes next can apply it in passing (ops.modulated_bias_act).
    """
    if x.dtype == torch.float16:
        weight, styles = _prenormalize(weight, styles)
    return _modulate_and_convolve(x, weight, styles, **options), demodulation(weight, styles)


def _modulate_and_convolve(x, weight, styles, up=1, down=1, padding=0, resample_filter=None, flip_weight=True):
    x = x * styles.to(x.dtype)[:, :, None, None]
    return conv2d_resample(
        x, weight.to(x.dtype), f=resample_filter, up=up, down=down, padding=padding, flip_weight=flip_weight
    )


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
