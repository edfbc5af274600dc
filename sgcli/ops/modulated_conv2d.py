"""Convolution whose weights are scaled per sample by styles, and normalised (spec stylegan2-ada §1.5).

The weights w'[n,o,i,y,x] = s[n,i]·w[o,i,y,x]·d[n,o] are never built per sample: s scales the input, d the output, and
the whole batch shares one convolution (equal to rounding, since the convolution is linear in both). Both scales are per
channel, so that neighbouring operators can apply them in passing (ops.modulated_bias_act).
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from sgcli.ops.conv2d import in_fast_type


class Modulation(NamedTuple):
    """A convolution with weights per sample, as one with shared weights between two scales."""

    in_scale: torch.Tensor  # [N, in], s
    weight: torch.Tensor  # [out, in, k, k]
    out_scale: torch.Tensor  # [N, out], d


def modulate(weight: torch.Tensor, styles: torch.Tensor, dtype: torch.dtype) -> Modulation:
    """Take the convolution of images of type `dtype` with weight `[out, in, k, k]` and styles `[N, in]` apart.

    d[n,o] = rsqrt(Σ_{i,y,x} (s[n,i]·w[o,i,y,x])² + 1e-8) brings every output channel to unit norm.
    """
    if dtype == torch.float16:
        weight, styles = _prenormalize(weight, styles)
    out_scale = (styles.square() @ kernel_energy(weight).T + 1e-8).rsqrt()
    return Modulation(styles, weight.to(dtype), out_scale)


def scale_channels(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """x `[N, C, H, W]` times scale `[N, C]`, in x's dtype."""
    return x * scale.to(x.dtype)[:, :, None, None]


def mix_channels(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """A 1x1 convolution with weights `[N, out, in]` of each sample's own, in x's dtype and memory format.

    One matrix product per sample: there is no large kernel to share, and x need not be scaled.
    """
    weights = weights.to(x.dtype)
    if x.is_contiguous():
        return in_fast_type(torch.matmul, weights, x.flatten(2)).unflatten(2, x.shape[2:])
    pixels = x.permute(0, 2, 3, 1)
    mixed = in_fast_type(torch.matmul, pixels.flatten(1, 2), weights.transpose(1, 2))
    return mixed.unflatten(1, pixels.shape[1:3]).permute(0, 3, 1, 2)


def kernel_energy(weight: torch.Tensor) -> torch.Tensor:
    """Σ_{y,x} w², `[out, in]`, over whichever view of w the sum is quick for."""
    if weight.shape[2:] == (1, 1):
        return weight[:, :, 0, 0].square()
    if weight.stride(0) == 1 and weight.stride(1) > 1:  # as transposed convolutions want it (models.memory)
        return weight.transpose(0, 1).square().sum(dim=[2, 3]).T
    return weight.square().sum(dim=[2, 3])


def _prenormalize(weight: torch.Tensor, styles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale w by its largest entry per output channel and s by its largest per sample: fp16 must not overflow.

    Demodulation takes every such scale out again.
    """
    fan_in = weight[0].numel()
    largest_weight = weight.abs().amax(dim=[1, 2, 3], keepdim=True)
    return weight / (fan_in**0.5 * largest_weight), styles / styles.abs().amax(dim=1, keepdim=True)
