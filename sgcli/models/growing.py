"""Progressive growing (spec progan-stylegan1 §2.3): networks that work at a level of detail.

The level of detail, lod, is 0 at full resolution and 1 more for each halving. At lod = f + t the blocks up to
resolution R / 2^f are in use, and the newest of them is faded in: a share t of the picture still comes from the one
before it. In and out, pictures always have the full resolution R.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from sgcli.models.base import Synthesis
from sgcli.models.noise import NoiseChoice, NoiseLayer, make_noise_maps
from sgcli.models.precision import block_dtype


def enlarge(x: torch.Tensor, factor: int) -> torch.Tensor:
    """Repeat every pixel of `[N, C, H, W]` factor x factor times."""
    return x if factor == 1 else x.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)


def shrink(x: torch.Tensor, factor: int) -> torch.Tensor:
    """Average blocks of factor x factor pixels of `[N, C, H, W]`."""
    return x if factor == 1 else F.avg_pool2d(x, factor)


def fade_pictures(images: torch.Tensor, lod: float) -> torch.Tensor:
    """What real pictures `[N, K, R, R]` look like at a level of detail, still R x R (spec §2.4)."""
    level, fade = divmod(lod, 1)
    images = shrink(images, 2 ** int(level))
    if fade > 0:
        images = images.lerp(enlarge(shrink(images, 2), 2), fade)
    return enlarge(images, 2 ** int(level))


def block_resolutions(img_resolution: int) -> list[int]:
    """4, 8, … img_resolution. Raises ValueError unless that is a power of two from 4 up."""
    if img_resolution < 4 or img_resolution & (img_resolution - 1):
        raise ValueError(f"img_resolution: {img_resolution} is not a power of two from 4 up")
    return [2**i for i in range(2, img_resolution.bit_length())]


class Growing(nn.Module):
    """A network with a level of detail, which is saved with it: a model in mid-growth works as it was trained to."""

    img_resolution: int
    lod: torch.Tensor  # [], level + fade, for the file; what follows is read in every pass
    level: int  # f
    fade: float  # t

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("lod", torch.zeros([], dtype=torch.float64))
        self.register_load_state_dict_post_hook(_use_loaded_lod)
        self.level, self.fade = 0, 0.0

    @property
    def current_resolution(self) -> int:
        """R / 2^f: of the newest block in use."""
        return self.img_resolution >> self.level

    def set_lod(self, lod: float) -> None:
        """Raises ValueError beyond the level of 4x4 pixels."""
        largest = self.img_resolution.bit_length() - 3
        if not 0 <= lod <= largest:
            raise ValueError(f"lod: {lod} given; from 0 to {largest} at {self.img_resolution}²")
        self.lod.fill_(lod)
        self.level, self.fade = int(lod), lod - int(lod)


def _use_loaded_lod(module: Growing, _incompatible_keys: object) -> None:
    module.set_lod(float(module.lod))


def set_lod(network: nn.Module, lod: float) -> None:
    """Set the level of detail of `network`, if it has one. Raises ValueError beyond that of 4x4 pixels."""
    for module in network.modules():
        if isinstance(module, Growing):
            module.set_lod(lod)


def lod_of(network: nn.Module) -> float:
    """The level of detail of `network`; 0 if it does not grow."""
    return next((module.level + module.fade for module in network.modules() if isinstance(module, Growing)), 0.0)


class GrowingSynthesis(Growing, Synthesis):
    """Blocks b4, b8, … from coarse to fine, each of which turns its features into a picture of its own (ToRGB)."""

    def run_block(
        self, block: nn.Module, x: torch.Tensor | None, ws: torch.Tensor, maps: Sequence[torch.Tensor | None]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of the block before (None for the first) to features `[N, C, r, r]` and picture `[N, K, r, r]`.

        ws    all of them, `[N, num_ws, W]`.
        maps  noise maps of all layers.
        """
        raise NotImplementedError

    @property
    def num_active_ws(self) -> int:
        return max(self.num_ws - 2 * self.level, 1)

    def noise_layers(self) -> list[NoiseLayer]:
        """Those of the blocks in use."""
        layers = [cast(NoiseLayer, module) for module in self.modules() if hasattr(module, "noise_const")]
        return [layer for layer in layers if layer.resolution <= self.current_resolution]

    def forward(self, ws: torch.Tensor, noise: NoiseChoice = "random", update_emas: bool = False) -> torch.Tensor:
        ws = ws.to(torch.float32)
        noise_maps = make_noise_maps(self.noise_layers(), noise, ws.shape[0], ws.device)
        maps: Sequence[torch.Tensor | None] = noise_maps or [None] * self.num_ws
        x = img = coarser = None
        for r in block_resolutions(self.current_resolution):
            coarser = img
            x, img = self.run_block(getattr(self, f"b{r}"), x, ws, maps)
        assert img is not None
        if self.fade > 0:
            assert coarser is not None
            img = img.lerp(enlarge(coarser, 2), self.fade)
        return enlarge(img, 2**self.level)


class GrowingDiscriminator(Growing):
    """Blocks …, b8, b4 from fine to coarse, each with `fromrgb`; all but b4 with `conv0` and a `conv1` that halves."""

    def features(self, img: torch.Tensor) -> torch.Tensor:
        """Pictures `[N, K, R, R]` to what enters the layers at 4x4, `[N, C, 4, 4]`."""
        img = shrink(img, 2**self.level)
        active = [getattr(self, f"b{r}") for r in reversed(block_resolutions(self.current_resolution))]
        x = active[0].fromrgb(img)
        for index, block in enumerate(active[:-1]):
            x = x.to(block_dtype(block.precision, block.low_precision, img.device))
            x = block.conv1(block.conv0(x))
            if index == 0 and self.fade > 0:
                x = x.lerp(active[1].fromrgb(shrink(img, 2)).to(x.dtype), self.fade)
        return x
