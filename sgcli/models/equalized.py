"""Layers of ProGAN and StyleGAN: equalised learning rate with the activation's gain in the weight (spec
progan-stylegan1 §1).

From StyleGAN2 on, √2 multiplies what leaves the activation; here it is part of the weight's scale and spares the bias.
Legend: N batch, I in, O out, C channels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from sgcli.models import layers
from sgcli.models.layers import normalize_2nd_moment
from sgcli.ops.bias_act import bias_act
from sgcli.ops.conv2d import conv2d as correlate
from sgcli.ops.upfirdn2d import filter2d, setup_filter

SQRT2 = math.sqrt(2)
BLUR_TAPS = (1, 2, 1)


def equalize(weight: torch.Tensor, gain: float, dtype: torch.dtype) -> torch.Tensor:
    """weight · gain/√fan_in, `[O, …]`: stored weights have unit variance, those in use gain²/fan_in."""
    return (weight * (gain / math.sqrt(weight[0].numel()))).to(dtype)


def dense(x: torch.Tensor, weight: torch.Tensor, gain: float = SQRT2) -> torch.Tensor:
    """x `[N, I]` times the equalised weight `[O, I]` -> `[N, O]`."""
    return F.linear(x, equalize(weight, gain, x.dtype))


def conv2d(
    x: torch.Tensor, weight: torch.Tensor, gain: float = SQRT2, up: bool = False, down: bool = False
) -> torch.Tensor:
    """Correlate x `[N, I, H, W]` with the equalised weight `[O, I, k, k]`, zero-padded; k is 1, or 3 where resampling.

    up    x is first enlarged twofold by repeating pixels.
    down  the result is shrunk twofold by averaging blocks.
    Both are one strided convolution with a 4x4 kernel (spec §1.5). The published "fused" up-convolutions hold the same
    kernel turned by 180°; that is a matter of reading their files (models.foreign.tf_names), not of the network.
    """
    weight = equalize(weight, gain, x.dtype)
    if up:
        return F.conv_transpose2d(x, _spread(weight.flip([2, 3])).transpose(0, 1), stride=2, padding=1)
    if down:
        return F.conv2d(x, _spread(weight) / 4, stride=2, padding=1)
    return correlate(x, weight, padding=weight.shape[-1] // 2)


def _spread(weight: torch.Tensor) -> torch.Tensor:
    """`[…, 3, 3] -> […, 4, 4]`: the sum of the kernel at four places one pixel apart. [a, b, c] -> [a, a+b, b+c, c]."""
    padded = F.pad(weight, [1, 1, 1, 1])
    return padded[..., 1:, 1:] + padded[..., 1:, :-1] + padded[..., :-1, 1:] + padded[..., :-1, :-1]


def blur_filter() -> torch.Tensor:
    """outer([1, 2, 1]) / 16, `[3, 3]`; used with zero padding, so that borders darken (spec §1.4)."""
    f = setup_filter(BLUR_TAPS)
    assert f is not None
    return f


def pixel_norm(x: torch.Tensor) -> torch.Tensor:
    """x · rsqrt(mean over channels of x² + 1e-8), computed in fp32; `[N, C, …]`."""
    return normalize_2nd_moment(x.to(torch.float32)).to(x.dtype)


def instance_norm(x: torch.Tensor) -> torch.Tensor:
    """Mean 0 and variance 1 over the pixels of each channel, computed in fp32; `[N, C, H, W]` (spec §1.6)."""
    y = x.to(torch.float32)
    y = y - y.mean(dim=[2, 3], keepdim=True)
    return (y * (y.square().mean(dim=[2, 3], keepdim=True) + 1e-8).rsqrt()).to(x.dtype)


class EqualizedLinear(nn.Module):
    """act(x · (weight · gain·m/√in)ᵀ + bias·m), m the learning-rate multiplier; act is "lrelu" or "linear"."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: str = "lrelu",
        gain: float = SQRT2,
        lr_multiplier: float = 1.0,  # parameters are stored 1/m times larger, so Adam moves them slower
    ):
        super().__init__()
        self.activation, self.gain, self.lr_multiplier = activation, gain, lr_multiplier
        self.weight = nn.Parameter(torch.randn(out_features, in_features).div_(lr_multiplier))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [N, I] -> [N, O]
        x = dense(x, self.weight, self.gain * self.lr_multiplier)
        return bias_act(x, (self.bias * self.lr_multiplier).to(x.dtype), act=self.activation, gain=1)


class EqualizedConv2d(nn.Module):
    """Convolution, bias, leaky ReLU or nothing ("linear"); see `conv2d` for `up` and `down`."""

    blur_filter: torch.Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        activation: str = "lrelu",
        gain: float = SQRT2,
        up: bool = False,
        down: bool = False,
        blur: bool = False,  # low-pass filter at the higher resolution: behind `up`, in front of `down`
    ):
        super().__init__()
        self.activation, self.gain, self.up, self.down, self.blur = activation, gain, up, down, blur
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        if blur:
            self.register_buffer("blur_filter", blur_filter(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [N, I, H, W] -> [N, O, H', W']
        if self.blur and self.down:
            x = filter2d(x, self.blur_filter)
        x = conv2d(x, self.weight, self.gain, up=self.up, down=self.down)
        if self.blur and self.up:
            x = filter2d(x, self.blur_filter)
        return bias_act(x, self.bias.to(x.dtype), act=self.activation, gain=1)


class MappingNetwork(layers.MappingNetwork):
    """z (and label) to w as StyleGAN does it: the label, embedded by one matrix, is joined to z and normalised with it
    (spec §3.2). See `layers.MappingNetwork` for the arguments.
    """

    def make_embedding(self, c_dim: int, features: int) -> nn.Module:
        embedding = nn.Linear(c_dim, features, bias=False)
        nn.init.normal_(embedding.weight)
        return embedding

    def make_layer(self, in_features: int, out_features: int, activation: str, lr_multiplier: float) -> nn.Module:
        return EqualizedLinear(in_features, out_features, activation, lr_multiplier=lr_multiplier)

    def normalized_input(self, z: torch.Tensor | None, c: torch.Tensor | None) -> torch.Tensor:
        assert z is not None and z.shape[1] == self.z_dim, f"z is [N, {self.z_dim}]"
        x = z.to(torch.float32)
        if self.c_dim > 0:
            assert c is not None and c.shape[1] == self.c_dim, f"c is [N, {self.c_dim}]"
            x = torch.cat([x, self.embed(c.to(torch.float32))], dim=1)
        return pixel_norm(x)
