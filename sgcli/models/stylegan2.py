"""StyleGAN2 generator (spec stylegan2-ada §1): mapping, and synthesis with `orig`, `skip` or `resnet` connections.

Attribute names follow the official parameter names (`synthesis.b8.conv0.affine.weight`).
Legend: N batch, C channels, r resolution of a block, L = log2(img_resolution), W w_dim.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from sgcli.models import base
from sgcli.models.fourier_input import FourierInput
from sgcli.models.layers import Conv2dLayer, FullyConnectedLayer, MappingNetwork, resample_filter
from sgcli.models.noise import NoiseChoice, NoiseLayer, make_noise_maps
from sgcli.models.precision import block_dtype
from sgcli.models.style_layers import StyleLayer
from sgcli.ops.bias_act import bias_act
from sgcli.ops.conv2d_resample import conv2d_resample
from sgcli.ops.modulated_bias_act import modulated_bias_act
from sgcli.ops.modulated_conv2d import Modulation, mix_channels, modulate, scale_channels
from sgcli.ops.upfirdn2d import upsample2d

ARCHITECTURES = ("orig", "skip", "resnet")


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    """C_r = min(channel_base // r, channel_max). Raises ValueError where none are left."""
    if channel_base < resolution:
        raise ValueError(f"channel_base {channel_base} leaves no channels at {resolution}²")
    return min(channel_base // resolution, channel_max)


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU, clamp (spec §1.4)."""

    resample_filter: torch.Tensor
    noise_const: torch.Tensor  # [r, r]

    def __init__(self, in_channels, out_channels, w_dim, resolution, up=1, use_noise=True, conv_clamp=None):
        super().__init__()
        self.resolution, self.up, self.use_noise, self.conv_clamp = resolution, up, use_noise, conv_clamp
        self.is_transposed = up > 1
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("resample_filter", resample_filter())
        if use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))

    def modulation(self, w: torch.Tensor, dtype: torch.dtype) -> Modulation:
        """What w `[N, W]` makes of this layer's convolution, for images of type `dtype`."""
        return modulate(self.weight, self.affine(w), dtype)

    def forward(
        self,
        x: torch.Tensor,                          # [N, in, r/up, r/up], scaled by modulation.in_scale
        modulation: Modulation,
        noise: torch.Tensor | None,               # [N|1, 1, r, r]
        gain: float = 1.0,
        next_scale: torch.Tensor | None = None,   # [N, out], in_scale of the layer that reads the output
    ) -> torch.Tensor:  # [N, out, r, r]  # fmt: skip
        x = conv2d_resample(
            x, modulation.weight, f=self.resample_filter, up=self.up, padding=1, flip_weight=self.up == 1
        )
        return modulated_bias_act(
            x,
            self.bias,
            scale=modulation.out_scale,
            noise=noise * self.noise_strength if self.use_noise and noise is not None else None,
            out_scale=next_scale,
            gain=math.sqrt(2) * gain,
            clamp=None if self.conv_clamp is None else self.conv_clamp * gain,
        )


class ToRGBLayer(nn.Module):
    """Modulated 1x1 convolution without demodulation: features to picture (spec §1.4)."""

    def __init__(self, in_channels, out_channels, w_dim, conv_clamp=None):
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:  # [N, C, r, r], [N, W] -> [N, K, r, r]
        styles = self.affine(w) * self.weight_gain
        x = mix_channels(x, self.weight[None, :, :, 0, 0] * styles[:, None, :])
        return bias_act(x, self.bias.to(x.dtype), clamp=self.conv_clamp)


class SynthesisBlock(nn.Module):
    """One resolution: up to two synthesis layers, the picture so far, and a ToRGB layer where there is one."""

    resample_filter: torch.Tensor

    def __init__(
        self,
        in_channels: int,              # 0: the first block, which starts from a learned constant or a given input
        out_channels: int,
        w_dim: int,
        resolution: int,
        img_channels: int,
        is_last: bool,
        architecture: str = "skip",
        low_precision: bool = False,   # run in half precision where the device is made for it
        conv_clamp: float | None = None,
        use_noise: bool = True,
        learned_constant: bool = True,
    ):  # fmt: skip
        super().__init__()
        self.resolution, self.in_channels, self.architecture = resolution, in_channels, architecture
        self.low_precision = low_precision
        self.precision = "auto"
        self.register_buffer("resample_filter", resample_filter())
        layer = {"w_dim": w_dim, "resolution": resolution, "use_noise": use_noise, "conv_clamp": conv_clamp}
        if in_channels == 0 and learned_constant:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        if in_channels != 0:
            self.conv0 = SynthesisLayer(in_channels, out_channels, up=2, **layer)
        self.conv1 = SynthesisLayer(out_channels, out_channels, **layer)
        if is_last or architecture == "skip":
            self.torgb = ToRGBLayer(out_channels, img_channels, w_dim, conv_clamp)
        if in_channels != 0 and architecture == "resnet":
            self.skip = Conv2dLayer(in_channels, out_channels, kernel_size=1, is_linear=True, up=2)

    @property
    def num_convs(self) -> int:
        return 1 if self.in_channels == 0 else 2

    @property
    def has_torgb(self) -> bool:
        return hasattr(self, "torgb")

    def forward(
        self,
        x: torch.Tensor | None,                    # [N, in, r/2, r/2]; at 4² the input, None: the constant
        img: torch.Tensor | None,                  # [N, K, r/2, r/2] fp32
        ws: torch.Tensor,                          # [N, num_convs + num_torgb, W]
        noise: Sequence[torch.Tensor | None],      # one map per convolution
    ) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
        dtype = block_dtype(self.precision, self.low_precision, ws.device)
        w = iter(ws.unbind(dim=1))
        if self.in_channels == 0:
            start = self.const[None].expand(ws.shape[0], -1, -1, -1) if x is None else x
            modulation = self.conv1.modulation(next(w), dtype)
            x = self.conv1(scale_channels(start.to(dtype), modulation.in_scale), modulation, noise[0])
        else:
            assert x is not None
            x = x.to(dtype)
            is_resnet = self.architecture == "resnet"
            y = self.convolve(x, next(w), next(w), noise, math.sqrt(0.5) if is_resnet else 1.0)
            x = self.skip(x, gain=math.sqrt(0.5)) + y if is_resnet else y
        if img is not None:
            img = upsample2d(img, self.resample_filter)
        if self.has_torgb:
            y = self.torgb(x, next(w)).to(torch.float32)
            img = y if img is None else img + y
        return x, img

    def convolve(self, x, w0, w1, noise, gain: float) -> torch.Tensor:
        """Both convolutions: x `[N, in, r/2, r/2]`, two w `[N, W]` and noise maps -> `[N, out, r, r]`.

        The scale of the second's input rides along with the first's activation, unless a hook looks in between.
        """
        first, second = self.conv0.modulation(w0, x.dtype), self.conv1.modulation(w1, x.dtype)
        x = scale_channels(x, first.in_scale)
        if self.conv0._forward_hooks:
            x = scale_channels(self.conv0(x, first, noise[0]), second.in_scale)
        else:
            x = self.conv0(x, first, noise[0], next_scale=second.in_scale)
        return self.conv1(x, second, noise[1], gain)


class SynthesisNetwork(base.Synthesis):
    """ws to pictures. Each block reads a window of ws; its ToRGB shares a w with the next block's conv0 (spec §1.4)."""

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "skip",
        num_fp16_res: int = 4,             # the highest resolutions that run in half precision on a GPU
        conv_clamp: float | None = 256,
        use_noise: bool = True,
        fourier_input: bool = False,       # fixed Fourier features in place of the learned constant (SG3's ladder, B)
    ):  # fmt: skip
        super().__init__()
        if img_resolution < 4 or img_resolution & (img_resolution - 1):
            raise ValueError(f"img_resolution: {img_resolution} is not a power of two from 4 up")
        if architecture not in ARCHITECTURES:
            raise ValueError(f"architecture: '{architecture}' is unknown; one of {', '.join(ARCHITECTURES)}")
        self.w_dim, self.img_resolution, self.img_channels = w_dim, img_resolution, img_channels
        self.block_resolutions = [2**i for i in range(2, img_resolution.bit_length())]
        first_low_precision = max(2 ** (img_resolution.bit_length() - num_fp16_res), 8)
        channels = {r: channels_at(r, channel_base, channel_max) for r in self.block_resolutions}
        for r in self.block_resolutions:
            block = SynthesisBlock(
                channels[r // 2] if r > 4 else 0,
                channels[r],
                w_dim=w_dim,
                resolution=r,
                img_channels=img_channels,
                is_last=r == img_resolution,
                architecture=architecture,
                low_precision=num_fp16_res > 0 and r >= first_low_precision,
                conv_clamp=conv_clamp,
                use_noise=use_noise,
                learned_constant=not fourier_input,
            )
            setattr(self, f"b{r}", block)
        if fourier_input:
            self.input = FourierInput(w_dim, channels[4], size=4, sampling_rate=4, bandwidth=2, learned_transform=False)
        self.num_ws = 2 * len(self.block_resolutions)  # every convolution, and the last ToRGB

    def blocks(self) -> list[SynthesisBlock]:
        return [getattr(self, f"b{r}") for r in self.block_resolutions]

    def noise_layers(self) -> list[NoiseLayer]:
        layers = [layer for block in self.blocks() for layer in block.children()]
        return [layer for layer in layers if isinstance(layer, SynthesisLayer) and layer.use_noise]

    def style_layers(self) -> list[StyleLayer]:
        convs = [
            StyleLayer(f"b{block.resolution}.{name}", block.resolution)
            for block in self.blocks()
            for name in ("conv0", "conv1")
            if hasattr(block, name)
        ]
        return [*convs, StyleLayer(f"b{self.img_resolution}.torgb", self.img_resolution)]

    def forward(self, ws: torch.Tensor, noise: NoiseChoice = "random", update_emas: bool = False) -> torch.Tensor:
        assert ws.ndim == 3 and ws.shape[1] == self.num_ws, f"ws is [N, {self.num_ws}, {self.w_dim}]"
        ws = ws.to(torch.float32)
        maps = make_noise_maps(self.noise_layers(), noise, ws.shape[0], ws.device)
        x = self.input(ws[:, 0]) if hasattr(self, "input") else None
        img = None
        first = 0
        for block in self.blocks():
            last = first + block.num_convs
            window = ws[:, first : last + (1 if block.has_torgb else 0)]
            block_maps = maps[first:last] if maps else [None] * block.num_convs
            x, img = block(x, img, window, block_maps)
            first = last
        assert img is not None
        return img


class Generator(base.Generator):
    """StyleGAN2: `mapping(z, c) -> ws`, `synthesis(ws) -> picture`."""

    synthesis_class: type[SynthesisNetwork] = SynthesisNetwork

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int = 256,
        img_channels: int = 3,
        mapping_layers: int = 8,
        embed_features: int | None = None,
        layer_features: int | None = None,
        lr_multiplier: float = 0.01,
        w_avg_beta: float = 0.998,
        **synthesis_options,               # see SynthesisNetwork
    ):  # fmt: skip
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.synthesis = self.synthesis_class(w_dim, img_resolution, img_channels, **synthesis_options)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(
            z_dim,
            c_dim,
            w_dim,
            self.num_ws,
            num_layers=mapping_layers,
            embed_features=embed_features,
            layer_features=layer_features,
            lr_multiplier=lr_multiplier,
            w_avg_beta=w_avg_beta,
        )
