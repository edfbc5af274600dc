"""ProGAN (Karras et al. 2018, "Progressive Growing of GANs"): the traditional generator, and the discriminator that
StyleGAN kept (spec progan-stylegan1 §2, §3.4).

With `blur` and a mapping network they become configuration B of the StyleGAN paper and its variants.
Legend: N batch, C channels, r resolution of a block, W w_dim, K img_channels.
"""

from __future__ import annotations

import torch
from torch import nn

from sgcli.models import base, equalized
from sgcli.models.discriminator import minibatch_stddev
from sgcli.models.equalized import SQRT2, EqualizedConv2d, EqualizedLinear, dense, pixel_norm
from sgcli.models.growing import GrowingDiscriminator, GrowingSynthesis, block_resolutions, shrink
from sgcli.models.precision import block_dtype
from sgcli.models.style_layers import StyleLayer
from sgcli.models.stylegan2 import channels_at
from sgcli.ops.bias_act import bias_act

INPUT_GAIN = SQRT2 / 4  # of dense layers that make 4x4 pixels: each counts as a convolution over 16 places


class MappingNetwork(equalized.MappingNetwork):
    """z to w; without layers, z itself, normalised. Labels join it as they are (spec §2.1)."""

    def make_embedding(self, c_dim: int, features: int) -> nn.Module:
        return nn.Identity()


class DenseInput(nn.Module):
    """w to the first features, `[N, W] -> [N, C, 4, 4]`: dense layer, one bias per channel, leaky ReLU."""

    def __init__(self, w_dim: int, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels * 16, w_dim))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        x = dense(w, self.weight, INPUT_GAIN).unflatten(1, (-1, 4, 4))
        return bias_act(x, self.bias, act="lrelu", gain=1)


class SynthesisBlock(nn.Module):
    """One resolution: two layers, each normalised per pixel, and a ToRGB layer."""

    def __init__(
        self,
        in_channels: int,   # 0: the first block, which starts from w
        out_channels: int,
        w_dim: int,
        img_channels: int,
        blur: bool,
    ):  # fmt: skip
        super().__init__()
        self.low_precision, self.precision = False, "auto"
        if in_channels == 0:
            self.input = DenseInput(w_dim, out_channels)
        else:
            self.conv0 = EqualizedConv2d(in_channels, out_channels, up=True, blur=blur)
        self.conv1 = EqualizedConv2d(out_channels, out_channels)
        self.torgb = EqualizedConv2d(out_channels, img_channels, kernel_size=1, activation="linear", gain=1)

    def forward(self, x: torch.Tensor | None, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x `[N, in, r/2, r/2]` (None for the first block), w `[N, W]` (read by the first only) ->
        features `[N, out, r, r]` and picture `[N, K, r, r]`.
        """
        x = self.input(w) if x is None else self.conv0(x.to(block_dtype(self.precision, self.low_precision, x.device)))
        x = pixel_norm(self.conv1(pixel_norm(x)))
        return x, self.torgb(x).to(torch.float32)


class SynthesisNetwork(GrowingSynthesis):
    """w to pictures: it enters at 4x4 pixels, and nowhere else."""

    num_ws = 1

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        channel_base: int = 16384,
        channel_max: int = 512,
        blur: bool = False,          # bilinear instead of nearest-neighbour upsampling
    ):  # fmt: skip
        super().__init__()
        self.img_resolution = img_resolution
        self.block_resolutions = block_resolutions(img_resolution)
        channels = {r: channels_at(r, channel_base, channel_max) for r in self.block_resolutions}
        for r in self.block_resolutions:
            in_channels = channels[r // 2] if r > 4 else 0
            setattr(self, f"b{r}", SynthesisBlock(in_channels, channels[r], w_dim, img_channels, blur))

    def style_layers(self) -> list[StyleLayer]:
        return [StyleLayer("b4.input", 4)]

    def run_block(self, block, x, ws, maps) -> tuple[torch.Tensor, torch.Tensor]:
        return block(x, ws[:, 0])


class Generator(base.Generator):
    """The traditional generator. Without mapping layers, w is the normalised z (with label) and num_ws = 1."""

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int | None = None,    # None: as wide as z and label together
        img_resolution: int = 256,
        img_channels: int = 3,
        mapping_layers: int = 0,
        lr_multiplier: float = 0.01,
        w_avg_beta: float = 0.995,
        **synthesis_options,         # see SynthesisNetwork
    ):  # fmt: skip
        super().__init__()
        w_dim = z_dim + c_dim if w_dim is None else w_dim
        self.z_dim, self.c_dim, self.w_dim, self.num_ws = z_dim, c_dim, w_dim, SynthesisNetwork.num_ws
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.synthesis = SynthesisNetwork(w_dim, img_resolution, img_channels, **synthesis_options)
        self.mapping = MappingNetwork(
            z_dim,
            c_dim,
            w_dim,
            self.num_ws,
            num_layers=mapping_layers,
            embed_features=c_dim,
            lr_multiplier=lr_multiplier,
            w_avg_beta=w_avg_beta,
        )


class ShrinkingConv2d(EqualizedConv2d):
    """A layer whose output is averaged over 2x2 pixels, behind its activation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return shrink(super().forward(x), 2)


class DiscriminatorBlock(nn.Module):
    """One resolution: pictures to features (`fromrgb`), and two layers, of which the second halves the resolution."""

    def __init__(self, channels: int, out_channels: int, img_channels: int, blur: bool, shrink_last: bool):
        super().__init__()
        self.low_precision, self.precision = False, "auto"
        self.fromrgb = EqualizedConv2d(img_channels, channels, kernel_size=1)
        self.conv0 = EqualizedConv2d(channels, channels)
        if shrink_last:
            self.conv1: EqualizedConv2d = ShrinkingConv2d(channels, out_channels)
        else:
            self.conv1 = EqualizedConv2d(channels, out_channels, down=True, blur=blur)


class DiscriminatorEpilogue(nn.Module):
    """4x4 features to scores (spec §2.2, §3.4)."""

    def __init__(
        self,
        channels: int,
        hidden: int,                     # width of the dense layer
        img_channels: int,
        num_outputs: int,
        mbstd_group_size: int | None,    # None: the whole batch; 1: no minibatch standard deviation
    ):  # fmt: skip
        super().__init__()
        self.mbstd_group_size = mbstd_group_size
        self.fromrgb = EqualizedConv2d(img_channels, channels, kernel_size=1)
        self.conv = EqualizedConv2d(channels + (mbstd_group_size != 1), channels)
        self.fc = EqualizedLinear(channels * 16, hidden)
        self.out = EqualizedLinear(hidden, num_outputs, activation="linear", gain=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [N, C, 4, 4] -> [N, num_outputs]
        x = x.to(torch.float32)
        if self.mbstd_group_size != 1:
            x = minibatch_stddev(x, self.mbstd_group_size, num_channels=1)
        return self.out(self.fc(self.conv(x).flatten(1)))


class Discriminator(GrowingDiscriminator):
    """Pictures (and labels) to scores.

    With labels, the score is that of the picture's class, as in StyleGAN; or, with `classifier`, there is one score,
    which knows nothing of labels, and beside it a logit for each class: ProGAN's (AC-GAN, Odena et al. 2017).
    """

    def __init__(
        self,
        c_dim: int = 0,
        img_resolution: int = 256,
        img_channels: int = 3,
        channel_base: int = 16384,
        channel_max: int = 512,
        blur: bool = False,                  # bilinear downsampling: StyleGAN
        shrink_last: bool = False,           # downsample behind the activation instead of before it: ProGAN's paper
        mbstd_group_size: int | None = 4,
        classifier: bool = False,            # with labels, tell the class beside the score: ProGAN's paper
    ):  # fmt: skip
        super().__init__()
        if blur and shrink_last:
            raise ValueError("blur: filters in front of downsampling convolutions, which shrink_last does without")
        self.c_dim, self.img_resolution, self.img_channels = c_dim, img_resolution, img_channels
        self.classifies = classifier and c_dim > 0
        resolutions = block_resolutions(img_resolution)
        channels = {r: channels_at(r, channel_base, channel_max) for r in [2, *resolutions]}
        for r in reversed(resolutions[1:]):
            block = DiscriminatorBlock(channels[r], channels[r // 2], img_channels, blur, shrink_last)
            setattr(self, f"b{r}", block)
        num_outputs = 1 + c_dim if self.classifies else max(c_dim, 1)
        self.b4 = DiscriminatorEpilogue(channels[4], channels[2], img_channels, num_outputs, mbstd_group_size)

    def forward(self, img: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        """img `[N, K, R, R]` in about [-1, 1], c `[N, c_dim]` -> scores `[N, 1]`."""
        if self.classifies:
            return self.score_and_classify(img)[0]
        scores = self.scores(img)
        if self.c_dim == 0:
            return scores
        assert c is not None, "a conditional discriminator needs labels"
        return (scores * c).sum(dim=1, keepdim=True)

    def score_and_classify(self, img: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """img `[N, K, R, R]` -> scores `[N, 1]`, class logits `[N, c_dim]`; of a discriminator that `classifies`."""
        scores, class_logits = self.scores(img).split([1, self.c_dim], dim=1)
        return scores, class_logits

    def scores(self, img: torch.Tensor) -> torch.Tensor:
        """img `[N, K, R, R]` -> the outputs of the last layer: one score per class, `[N, max(c_dim, 1)]`."""
        return self.b4(self.features(img))
