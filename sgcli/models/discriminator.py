"""StyleGAN2 discriminator (spec stylegan2-ada §2), with `orig`, `skip` or `resnet` connections; SG3 uses it unchanged.

Attribute names follow the official parameter names (`b32.conv1.weight`).
"""

from __future__ import annotations

import math

import torch
from torch import nn

from sgcli.models.layers import Conv2dLayer, FullyConnectedLayer, MappingNetwork, convolve_and_halve, resample_filter
from sgcli.models.precision import block_dtype
from sgcli.models.stylegan2 import ARCHITECTURES, channels_at
from sgcli.ops.upfirdn2d import downsample2d


class DiscriminatorBlock(nn.Module):
    """One resolution: two convolutions, the second halving it (spec §2.1)."""

    resample_filter: torch.Tensor

    def __init__(
        self,
        channels: int,                 # C_r
        out_channels: int,             # C_{r/2}
        img_channels: int,
        is_first: bool,
        architecture: str = "resnet",
        low_precision: bool = False,
        conv_clamp: float | None = None,
    ):  # fmt: skip
        super().__init__()
        self.architecture, self.low_precision, self.precision = architecture, low_precision, "auto"
        self.register_buffer("resample_filter", resample_filter())
        if is_first or architecture == "skip":
            self.fromrgb = Conv2dLayer(img_channels, channels, 1, conv_clamp=conv_clamp)
        self.conv0 = Conv2dLayer(channels, channels, 3, conv_clamp=conv_clamp)
        self.conv1 = Conv2dLayer(channels, out_channels, 3, down=2, conv_clamp=conv_clamp)
        if architecture == "resnet":
            self.skip = Conv2dLayer(channels, out_channels, 1, is_linear=True, down=2)

    def forward(
        self,
        x: torch.Tensor | None,    # [N, C_r, r, r]; None in the first block
        img: torch.Tensor | None,  # [N, K, r, r]; None once it has been read
    ) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
        source = img if x is None else x
        assert source is not None
        dtype = block_dtype(self.precision, self.low_precision, source.device)
        if hasattr(self, "fromrgb"):
            assert img is not None
            y = self.fromrgb(img.to(dtype))
            x = y if x is None else x.to(dtype) + y
            img = downsample2d(img, self.resample_filter) if self.architecture == "skip" else None
        assert x is not None
        x = x.to(dtype)
        if self.architecture == "resnet":
            y = self.skip(x, gain=math.sqrt(0.5))
            return y.add_(convolve_and_halve(self.conv0, self.conv1, x, gain=math.sqrt(0.5))), img
        return convolve_and_halve(self.conv0, self.conv1, x), img


def minibatch_stddev(x: torch.Tensor, group_size: int | None, num_channels: int) -> torch.Tensor:
    """Append F channels that tell how much a group of samples varies: `[N, C, H, W] -> [N, C + F, H, W]` (spec §2.2).

    Group m of the M = N / group_size groups holds samples m, m + M, m + 2M, …
    """
    n, c, h, w = x.shape
    group = n if group_size is None else min(group_size, n)
    if n % group:
        raise ValueError(f"a batch of {n} cannot be split into minibatch-stddev groups of {group}")
    y = x.reshape(group, n // group, num_channels, c // num_channels, h, w)  # [GMFcHW]
    y = y - y.mean(dim=0)  # not torch.var: its second derivative loses digits that cancel here
    y = (y.square().mean(dim=0) + 1e-8).sqrt().mean(dim=[2, 3, 4])  # [MF]
    y = y.repeat(group, 1)[:, :, None, None].expand(-1, -1, h, w)  # [NFHW]
    return torch.cat([x, y], dim=1)


class DiscriminatorEpilogue(nn.Module):
    """4² features to one number, or to cmap_dim of them; always fp32 (spec §2.3)."""

    def __init__(
        self,
        channels: int,
        img_channels: int,
        cmap_dim: int,
        architecture: str = "resnet",
        mbstd_group_size: int | None = 4,  # None: the whole batch
        mbstd_num_channels: int = 1,       # 0: none
        conv_clamp: float | None = None,
    ):  # fmt: skip
        super().__init__()
        self.mbstd_group_size, self.mbstd_num_channels = mbstd_group_size, mbstd_num_channels
        if architecture == "skip":
            self.fromrgb = Conv2dLayer(img_channels, channels, 1)
        self.conv = Conv2dLayer(channels + mbstd_num_channels, channels, 3, conv_clamp=conv_clamp)
        self.fc = FullyConnectedLayer(channels * 16, channels, activation="lrelu")
        self.out = FullyConnectedLayer(channels, cmap_dim or 1)

    def forward(self, x: torch.Tensor, img: torch.Tensor | None, cmap: torch.Tensor | None) -> torch.Tensor:
        x = x.to(torch.float32)
        if hasattr(self, "fromrgb"):
            assert img is not None
            x = x + self.fromrgb(img.to(torch.float32))
        return self.score(x, cmap)

    def score(self, x: torch.Tensor, cmap: torch.Tensor | None) -> torch.Tensor:
        """What follows FromRGB: `[N, C_4, 4, 4]` fp32 -> `[N, 1]`, or `[N, cmap_dim]` without cmap."""
        if self.mbstd_num_channels > 0:
            x = minibatch_stddev(x, self.mbstd_group_size, self.mbstd_num_channels)
        x = self.out(self.fc(self.conv(x).flatten(1)))  # [N, 1 or cmap_dim]
        if cmap is not None:
            x = (x * cmap).sum(dim=1, keepdim=True) / math.sqrt(cmap.shape[1])
        return x


class Discriminator(nn.Module):
    """Pictures (and labels) to logits."""

    def __init__(
        self,
        c_dim: int = 0,
        img_resolution: int = 256,
        img_channels: int = 3,
        architecture: str = "resnet",
        channel_base: int = 32768,
        channel_max: int = 512,
        num_fp16_res: int = 4,
        conv_clamp: float | None = 256,
        cmap_dim: int | None = None,        # None: C_4
        mapping_layers: int = 8,
        mapping_lr_multiplier: float = 0.01,
        mbstd_group_size: int | None = 4,
        mbstd_num_channels: int = 1,
    ):  # fmt: skip
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"architecture: '{architecture}' is unknown; one of {', '.join(ARCHITECTURES)}")
        self.c_dim, self.img_resolution, self.img_channels = c_dim, img_resolution, img_channels
        self.block_resolutions = [2**i for i in range(img_resolution.bit_length() - 1, 2, -1)]
        first_low_precision = max(2 ** (img_resolution.bit_length() - num_fp16_res), 8)
        channels = {r: channels_at(r, channel_base, channel_max) for r in [*self.block_resolutions, 4]}
        for r in self.block_resolutions:
            block = DiscriminatorBlock(
                channels[r],
                channels[r // 2],
                img_channels,
                is_first=r == img_resolution,
                architecture=architecture,
                low_precision=num_fp16_res > 0 and r >= first_low_precision,
                conv_clamp=conv_clamp,
            )
            setattr(self, f"b{r}", block)
        cmap_dim = 0 if c_dim == 0 else channels[4] if cmap_dim is None else cmap_dim
        if c_dim > 0:
            self.mapping = MappingNetwork(
                0,
                c_dim,
                cmap_dim,
                None,
                num_layers=mapping_layers,
                lr_multiplier=mapping_lr_multiplier,
                w_avg_beta=None,
            )
        self.b4 = DiscriminatorEpilogue(
            channels[4],
            img_channels,
            cmap_dim,
            architecture=architecture,
            mbstd_group_size=mbstd_group_size,
            mbstd_num_channels=mbstd_num_channels,
            conv_clamp=conv_clamp,
        )

    def forward(self, img: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        """img `[N, K, R, R]` in about [-1, 1], c `[N, c_dim]` -> logits `[N, 1]`."""
        x: torch.Tensor | None = None
        rest: torch.Tensor | None = img
        for r in self.block_resolutions:
            x, rest = getattr(self, f"b{r}")(x, rest)
        assert x is not None, "a discriminator needs at least 8²"
        return self.b4(x, rest, self.mapping(None, c) if self.c_dim > 0 else None)
