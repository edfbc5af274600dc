"""Equalised-learning-rate layers shared by the PyTorch-era networks (spec stylegan2-ada §1.1, §1.2).

Legend: N batch, I in, O out, K kernel size, W w_dim.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from sgcli.distributed.group import Group
from sgcli.ops.bias_act import bias_act
from sgcli.ops.conv2d import conv2d
from sgcli.ops.conv2d_resample import conv2d_resample, low_pass_padding
from sgcli.ops.filtered_lrelu import filtered_lrelu
from sgcli.ops.upfirdn2d import setup_filter

RESAMPLE_TAPS = (1, 3, 3, 1)


def normalize_2nd_moment(x: torch.Tensor, eps: float = 1e-8) -> torch.Tensor:
    """x · rsqrt(mean over features of x² + eps), `[N, features]`: unit mean square for each sample."""
    return x * (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()


def resample_filter() -> torch.Tensor:
    """The FIR filter of every SG2 resampling: outer([1, 3, 3, 1]) / 64, `[4, 4]`."""
    f = setup_filter(RESAMPLE_TAPS)
    assert f is not None
    return f


class FullyConnectedLayer(nn.Module):
    """y = act(x · (weight · m/√in)ᵀ + bias · m), m the learning-rate multiplier."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation: str = "linear",   # a key of ops.bias_act.ACTIVATIONS
        lr_multiplier: float = 1.0,   # m: parameters are stored 1/m times larger, so Adam moves them slower
        bias_init: float = 0.0,       # effective value
        weight_init: float = 1.0,     # standard deviation of the effective weight · √in
    ):  # fmt: skip
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(out_features, in_features).mul_(weight_init / lr_multiplier))
        self.bias = nn.Parameter(torch.full([out_features], bias_init / lr_multiplier)) if bias else None
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [N, I] -> [N, O]
        weight = self.weight.to(x.dtype).T
        if self.bias is None:
            x = x @ (weight * self.weight_gain)
        else:
            x = torch.addmm(self.bias.to(x.dtype), x, weight, beta=self.bias_gain, alpha=self.weight_gain)
        return x if self.activation == "linear" else bias_act(x, act=self.activation)


class Conv2dLayer(nn.Module):
    """Convolution with runtime weight scale 1/√(I·K²) and FIR resampling; then bias, leaky ReLU, gain and clamp."""

    resample_filter: torch.Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        is_linear: bool = False,           # no bias, no activation, no clamp
        up: int = 1,
        down: int = 1,
        conv_clamp: float | None = None,   # clamp output to ±conv_clamp·gain
    ):  # fmt: skip
        super().__init__()
        self.up, self.down, self.conv_clamp = up, down, conv_clamp
        self.padding = kernel_size // 2
        self.is_transposed = up > 1 and kernel_size > 1
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = None if is_linear else nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("resample_filter", resample_filter())

    def forward(self, x: torch.Tensor, gain: float = 1.0) -> torch.Tensor:  # [N, I, H, W] -> [N, O, H', W']
        weight, activation = self.scaled(x.dtype, gain)
        x = conv2d_resample(
            x,
            weight,
            f=self.resample_filter,
            up=self.up,
            down=self.down,
            padding=self.padding,
            flip_weight=self.up == 1,  # stored kernels of upsampling layers are true convolutions (spec §1.6)
        )
        return x if self.bias is None else bias_act(x, act="lrelu", **activation)

    def scaled(self, dtype: torch.dtype, gain: float) -> tuple[torch.Tensor, dict]:
        """The weight, and b, gain and clamp of the activation, for images of type `dtype`."""
        if self.bias is None:
            return (self.weight * (self.weight_gain * gain)).to(dtype), {}
        # Positive factors pass through a leaky ReLU, which scales for free; in fp16 the sums before it would overflow.
        scale = 1.0 if dtype == torch.float16 else self.weight_gain
        weight = self.weight if scale != 1 else self.weight * self.weight_gain
        return weight.to(dtype), {
            "b": (self.bias / scale).to(dtype),
            "gain": math.sqrt(2) * gain * scale,
            "clamp": None if self.conv_clamp is None else self.conv_clamp * gain,
        }


def convolve_and_halve(first: Conv2dLayer, second: Conv2dLayer, x: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
    """second(first(x), gain), `second` a layer that halves: `[N, I, H, W] -> [N, O, H/2, W/2]`.

    On a CPU, first's activation and second's low-pass filter are one pass over memory.
    """
    if x.device.type != "cpu":
        return second(first(x), gain)
    weight, activation = first.scaled(x.dtype, 1.0)
    x = conv2d(x, weight, padding=first.padding)
    f = second.resample_filter
    x = filtered_lrelu(x, fd=f, padding=low_pass_padding(f, second.down, second.padding), **activation)
    weight, activation = second.scaled(x.dtype, gain)
    return bias_act(conv2d(x, weight, stride=second.down), act="lrelu", **activation)


class MappingNetwork(nn.Module):
    """z (and label) to w: normalise, embed, `num_layers` fully connected layers, broadcast, truncate (spec §1.2)."""

    w_avg: torch.Tensor  # [w_dim], moving average

    def __init__(
        self,
        z_dim: int,                         # 0: no latent, only the label (discriminator)
        c_dim: int,                         # 0: no label
        w_dim: int,
        num_ws: int | None,                 # None: no broadcast
        num_layers: int = 8,                # 0: z passes through
        embed_features: int | None = None,  # None: w_dim, or z_dim where there are no layers
        layer_features: int | None = None,  # None: w_dim
        activation: str = "lrelu",
        lr_multiplier: float = 0.01,
        w_avg_beta: float | None = 0.998,   # decay of the moving average of w; None: not tracked
    ):  # fmt: skip
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.num_ws = z_dim, c_dim, w_dim, num_ws
        self.num_layers, self.w_avg_beta = num_layers, w_avg_beta
        self.group = Group()  # the workers that a batch is dealt to
        if embed_features is None:
            embed_features = w_dim if num_layers > 0 or z_dim == 0 else z_dim
        layer_features = w_dim if layer_features is None else layer_features
        if c_dim > 0:
            self.embed = self.make_embedding(c_dim, embed_features)
        features = [z_dim + (embed_features if c_dim > 0 else 0)] + [layer_features] * (num_layers - 1) + [w_dim]
        if num_layers == 0 and features[0] != w_dim:
            raise ValueError(f"a mapping of 0 layers needs w_dim = {features[0]} (what enters it), not {w_dim}")
        for i in range(num_layers):
            setattr(self, f"fc{i}", self.make_layer(features[i], features[i + 1], activation, lr_multiplier))
        if num_ws is not None and w_avg_beta is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def make_embedding(self, c_dim: int, features: int) -> nn.Module:
        return FullyConnectedLayer(c_dim, features)

    def make_layer(self, in_features: int, out_features: int, activation: str, lr_multiplier: float) -> nn.Module:
        return FullyConnectedLayer(in_features, out_features, activation=activation, lr_multiplier=lr_multiplier)

    def forward(
        self,
        z: torch.Tensor | None,               # [N, z_dim]
        c: torch.Tensor | None = None,        # [N, c_dim]
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,  # truncate only layers below; None: all
        update_w_avg: bool = False,
    ) -> torch.Tensor:  # [N, num_ws, W], or [N, W] without broadcast  # fmt: skip
        x = self.normalized_input(z, c)
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        if update_w_avg and self.w_avg_beta is not None:
            self.w_avg.copy_(self.group.mean(x.detach().mean(dim=0)).lerp(self.w_avg, self.w_avg_beta))
        if self.num_ws is None:
            return x
        ws = x[:, None].expand(-1, self.num_ws, -1)
        return truncate(ws, self.w_avg, truncation_psi, truncation_cutoff) if truncation_psi != 1 else ws

    def normalized_input(self, z: torch.Tensor | None, c: torch.Tensor | None) -> torch.Tensor:
        parts = []
        if self.z_dim > 0:
            assert z is not None and z.shape[1] == self.z_dim, f"z is [N, {self.z_dim}]"
            parts.append(normalize_2nd_moment(z.to(torch.float32)))
        if self.c_dim > 0:
            assert c is not None and c.shape[1] == self.c_dim, f"c is [N, {self.c_dim}]"
            parts.append(normalize_2nd_moment(self.embed(c.to(torch.float32))))
        return torch.cat(parts, dim=1)


def truncate(ws: torch.Tensor, w_avg: torch.Tensor, psi: float, cutoff: int | None = None) -> torch.Tensor:
    """Pull the layers below `cutoff` (None: all) of `[N, num_ws, W]` towards w_avg: w_avg + psi·(w - w_avg)."""
    truncated = w_avg.lerp(ws, psi)
    if cutoff is None:
        return truncated
    return torch.cat([truncated[:, :cutoff], ws[:, cutoff:]], dim=1)
