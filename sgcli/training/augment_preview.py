"""Augmentations to look at: every transform by itself from weak to strong, and whole pictures as D sees them at p."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from sgcli.media.grid import make_table, stack
from sgcli.media.pictures import to_uint8
from sgcli.models.growing import enlarge
from sgcli.training.augment import GROUPS, AugmentPipe
from sgcli.training.draws import PercentileDraws, RandomDraws

PERCENTILES = (0.05, 0.2, 0.35, 0.65, 0.8, 0.95)
STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
CELL = 96  # pixels that a picture is enlarged to, at least


class _Quantile(PercentileDraws):
    """The percentiles of the distributions that training draws from, and noise that can be seen."""

    def normal(self) -> np.ndarray:
        return math.sqrt(2) * super().normal()

    def half_normal(self) -> np.ndarray:
        return math.sqrt(2) * super().half_normal()

    def pixels(self, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        return torch.randn(len(self.q), *shape, generator=torch.Generator().manual_seed(0))


def preview(images: torch.Tensor, names: Sequence[str], seed: int = 0) -> np.ndarray:
    """Draw what the transforms `names` do to pictures `[N, K, R, R]` in [-1, 1] -> uint8 `[3, H, W]`.

    Above, each transform alone at percentiles of what it draws, on the first picture. Below, all of them together, with
    fresh draws, on every picture at rising p.
    """
    factor = max(CELL // images.shape[3], 1)
    names = names_for(images.shape[1], names)
    alone = [
        [_cell(AugmentPipe([name])(images[:1], 1.0, _Quantile(q, 1)), factor) for q in PERCENTILES] for name in names
    ]
    pipe, together = AugmentPipe(names), []
    for number, image in enumerate(images):
        draws = [RandomDraws(seed, f"preview/{column}", [number]) for column in range(len(STRENGTHS))]
        together.append([_cell(pipe(image[None], p, some), factor) for p, some in zip(STRENGTHS, draws, strict=True)])
    percent = [f"{q:.0%}" for q in PERCENTILES]
    return stack([
        make_table(alone, percent, names, title="Each transform alone, at percentiles of its strength"),
        make_table(together, [f"p {p:g}" for p in STRENGTHS], title="What D sees: all of them, each at probability p"),
    ])  # fmt: skip


def names_for(num_channels: int, names: Sequence[str]) -> list[str]:
    """Those of the transforms that change pictures of so many channels: colours need 3, brightness also goes with 1."""
    impossible = {1: {"hue", "saturation"}, 3: set()}.get(num_channels, {*GROUPS["color"]})
    return [name for name in names if name not in impossible]


def _cell(pictures: torch.Tensor, factor: int) -> np.ndarray:
    return enlarge(to_uint8(pictures), factor)[0].numpy()
