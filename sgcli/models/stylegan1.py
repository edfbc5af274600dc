"""StyleGAN (Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks"): styles set
the mean and spread of every layer's channels (AdaIN); noise is added in every layer (spec progan-stylegan1 §3).

Its discriminator is ProGAN's, with `blur` (models.progan).
Legend: N batch, C channels, r resolution of a layer, W w_dim.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sgcli.models import base
from sgcli.models.equalized import EqualizedConv2d, MappingNetwork, blur_filter, conv2d, dense, instance_norm
from sgcli.models.growing import GrowingSynthesis, block_resolutions
from sgcli.models.precision import block_dtype
from sgcli.models.progan import INPUT_GAIN
from sgcli.models.style_layers import StyleLayer
from sgcli.models.stylegan2 import channels_at
from sgcli.ops.bias_act import bias_act
from sgcli.ops.upfirdn2d import filter2d


class Style(nn.Module):
    """x · (scale + 1) + shift, both an affine function of w (spec §3.3)."""

    def __init__(self, w_dim: int, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2 * channels, w_dim))  # all scales, then all shifts
        self.bias = nn.Parameter(torch.zeros(2 * channels))

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:  # [N, C, r, r], [N, W] -> [N, C, r, r]
        styles = (dense(w, self.weight, gain=1) + self.bias).to(x.dtype)
        scale, shift = styles[:, :, None, None].chunk(2, dim=1)
        return x * (scale + 1) + shift


class StyledLayer(nn.Module):
    """What every layer ends with: noise, bias, leaky ReLU, instance norm, style (spec §3.3)."""

    noise_const: torch.Tensor  # [r, r]

    def __init__(self, channels: int, w_dim: int, resolution: int, use_noise: bool):
        super().__init__()
        self.resolution, self.use_noise = resolution, use_noise
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = Style(w_dim, channels)
        if use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros(channels))

    def finish(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """x `[N, C, r, r]`, w `[N, W]`, noise `[N|1, 1, r, r]` or None -> `[N, C, r, r]`."""
        if self.use_noise and noise is not None:
            x = x + (noise * self.noise_strength[:, None, None]).to(x.dtype)
        x = bias_act(x, self.bias.to(x.dtype), act="lrelu", gain=1)
        return self.affine(instance_norm(x), w)


class ConstantInput(StyledLayer):
    """A learned 4x4 picture, the same for every w."""

    def __init__(self, channels: int, w_dim: int, use_noise: bool):
        super().__init__(channels, w_dim, 4, use_noise)
        self.const = nn.Parameter(torch.ones(channels, 4, 4))

    def forward(self, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        return self.finish(self.const.expand(w.shape[0], -1, -1, -1), w, noise)


class DenseInput(StyledLayer):
    """The traditional input: a dense layer makes the first 4x4 pixels from w."""

    def __init__(self, channels: int, w_dim: int, use_noise: bool):
        super().__init__(channels, w_dim, 4, use_noise)
        self.weight = nn.Parameter(torch.randn(channels * 16, w_dim))

    def forward(self, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        return self.finish(dense(w, self.weight, INPUT_GAIN).unflatten(1, (-1, 4, 4)), w, noise)


class StyledConv(StyledLayer):
    """3x3 convolution, upsampled bilinearly where `up`."""

    blur_filter: torch.Tensor

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, resolution: int, use_noise: bool, up: bool = False
    ):
        super().__init__(out_channels, w_dim, resolution, use_noise)
        self.up = up
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        if up:
            self.register_buffer("blur_filter", blur_filter(), persistent=False)

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        x = conv2d(x, self.weight, up=self.up)
        if self.up:
            x = filter2d(x, self.blur_filter)
        return self.finish(x, w, noise)


class SynthesisBlock(nn.Module):
    """One resolution: two styled layers, and a ToRGB layer without style."""

    def __init__(
        self,
        in_channels: int,        # 0: the first block
        out_channels: int,
        w_dim: int,
        resolution: int,
        img_channels: int,
        use_noise: bool,
        constant_input: bool,
    ):  # fmt: skip
        super().__init__()
        self.low_precision, self.precision = False, "auto"
        if in_channels == 0:
            self.input = (ConstantInput if constant_input else DenseInput)(out_channels, w_dim, use_noise)
        else:
            self.conv0 = StyledConv(in_channels, out_channels, w_dim, resolution, use_noise, up=True)
        self.conv1 = StyledConv(out_channels, out_channels, w_dim, resolution, use_noise)
        self.torgb = EqualizedConv2d(out_channels, img_channels, kernel_size=1, activation="linear", gain=1)

    def forward(
        self, x: torch.Tensor | None, ws: torch.Tensor, noise: Sequence[torch.Tensor | None]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """x `[N, in, r/2, r/2]` (None for the first block), ws `[N, 2, W]`, two noise maps ->
        features `[N, out, r, r]` and picture `[N, K, r, r]`.
        """
        first, second = ws.unbind(dim=1)
        if x is None:
            x = self.input(first, noise[0])
        else:
            x = x.to(block_dtype(self.precision, self.low_precision, x.device))
            x = self.conv0(x, first, noise[0])
        x = self.conv1(x, second, noise[1])
        return x, self.torgb(x).to(torch.float32)


class SynthesisNetwork(GrowingSynthesis):
    """ws to pictures; layers 2i and 2i + 1 lie at 4·2^i pixels."""

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        channel_base: int = 16384,
        channel_max: int = 512,
        use_noise: bool = True,
        constant_input: bool = True,   # False: w also enters as the input of the first layer (configuration C)
    ):  # fmt: skip
        super().__init__()
        self.img_resolution = img_resolution
        self.block_resolutions = block_resolutions(img_resolution)
        self.num_ws = 2 * len(self.block_resolutions)
        channels = {r: channels_at(r, channel_base, channel_max) for r in self.block_resolutions}
        for r in self.block_resolutions:
            in_channels = channels[r // 2] if r > 4 else 0
            block = SynthesisBlock(in_channels, channels[r], w_dim, r, img_channels, use_noise, constant_input)
            setattr(self, f"b{r}", block)

    def style_layers(self) -> list[StyleLayer]:
        names = [(r, name) for r in self.block_resolutions for name in ("input" if r == 4 else "conv0", "conv1")]
        return [StyleLayer(f"b{r}.{name}", r) for r, name in names]

    def run_block(self, block, x, ws, maps) -> tuple[torch.Tensor, torch.Tensor]:
        first = 2 * (block.conv1.resolution.bit_length() - 3)
        return block(x, ws[:, first : first + 2], maps[first : first + 2])


class Generator(base.Generator):
    """StyleGAN: `mapping(z, c) -> ws`, `synthesis(ws) -> picture`."""

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: int = 256,
        img_channels: int = 3,
        mapping_layers: int = 8,
        layer_features: int | None = None,   # width of the mapping's inner layers; None: w_dim
        lr_multiplier: float = 0.01,
        w_avg_beta: float = 0.995,
        **synthesis_options,                 # see SynthesisNetwork
    ):  # fmt: skip
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.synthesis = SynthesisNetwork(w_dim, img_resolution, img_channels, **synthesis_options)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(
            z_dim,
            c_dim,
            w_dim,
            self.num_ws,
            num_layers=mapping_layers,
            embed_features=z_dim,
            layer_features=layer_features,
            lr_multiplier=lr_multiplier,
            w_avg_beta=w_avg_beta,
        )
