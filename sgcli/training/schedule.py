"""What changes as training goes on: level of detail, batch, learning rate (spec progan-stylegan1 §2.7).

Everything here is a function of the images seen, so that a resumed run goes on in the middle of a fade as if it had
never stopped. Without progressive growing nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgcli.training.config import TrainingConfig

Table = Sequence[tuple[int, float]]  # (resolution, value from that resolution on), from coarse to fine


@dataclass(frozen=True)
class Stage:
    """What holds for one step."""

    lod: float = 0.0  # level of detail (models.growing)
    batch: int = 32  # images per step
    batch_gpu: int = 32  # images per micro-batch
    lr_scale: float = 1.0  # times config.g_lr and config.d_lr

    def starts_level(self, lod_before: float) -> bool:
        """Whether a level starts or ends fading in here: the optimisers forget what they gathered (spec §2.6)."""
        return level_span(self.lod) != level_span(lod_before)


class Schedule:
    """The stage at any point of a run."""

    def __init__(self, config: TrainingConfig):
        self.config, self.resolution = config, config.G["img_resolution"]

    def at(self, nimg: int) -> Stage:
        """The stage after `nimg` images."""
        config, growing = self.config, self.config.growing
        if growing is None:
            return Stage(0.0, config.batch, config.batch_gpu, 1.0)
        lod = lod_at(nimg / 1000, self.resolution, growing)
        # A level brings its batch and learning rate along from the first moment of its fade.
        resolution = self.resolution >> math.floor(lod)
        batch = int(value_at(growing["batch"], resolution))
        lr_scale = value_at(growing["lr"], resolution) / value_at(growing["lr"], self.resolution)
        return Stage(lod, batch, batch // (config.batch // config.batch_gpu), lr_scale)


def lod_at(kimg: float, resolution: int, growing: Mapping[str, Any]) -> float:
    """The level of detail after `kimg`, for pictures of `resolution`."""
    training_kimg, transition_kimg = growing["training_kimg"], growing["transition_kimg"]
    if training_kimg + transition_kimg == 0:
        return 0.0
    phase, position = divmod(kimg, training_kimg + transition_kimg)
    fading = max(position - training_kimg, 0) / transition_kimg
    return max(math.log2(resolution / growing["initial_resolution"]) - phase - fading, 0.0)


def scale_growth(
    published: Mapping[str, Any], resolution: int, kimg: float, batch: int, num_micro_batches: int, lr: float
) -> dict[str, Any]:
    """Fit a published growth (models.registry) to a run: as `TrainingConfig.growing` holds it.

    Durations shrink with `kimg` where that is below the published length. `batch` and `lr` are those at the full
    resolution; at coarser ones they relate to these as in the published tables.
    """
    share = min(kimg / published["published_kimg"], 1)
    batch_scale = batch / value_at(published["batch"], resolution) / num_micro_batches
    lr_scale = lr / value_at(published["lr"], resolution)
    return {
        "initial_resolution": min(published["initial_resolution"], resolution),
        "training_kimg": published["training_kimg"] * share,
        "transition_kimg": published["transition_kimg"] * share,
        "batch": [
            [r, num_micro_batches * max(round(n * batch_scale), 1)] for r, n in published["batch"] if r <= resolution
        ],
        "lr": [[r, value * lr_scale] for r, value in published["lr"] if r <= resolution],
    }


def value_at(table: Table, resolution: int) -> float:
    """The entry of the finest resolution of `table` that is not above `resolution`."""
    return [value for start, value in table if start <= resolution][-1]


def level_span(lod: float) -> tuple[int, int]:
    """The two levels that a fraction lies between."""
    return math.floor(lod), math.ceil(lod)


def describe_level(lod: float, resolution: int) -> str:
    """'16²', or '16² to 32² 40%' where 32² has been faded in to 40%."""
    fine, coarse = level_span(lod)
    if fine == coarse:
        return f"{resolution >> fine}²"
    return f"{resolution >> coarse}² to {resolution >> fine}² {coarse - lod:.0%}"
