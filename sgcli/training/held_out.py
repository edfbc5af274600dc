"""How D scores pictures that it is not trained on: what tells learning from memorising (ADA paper, figure 1 and §3.1).

They are scored beside the training, under the same augmentation, in micro-batches like those of training (D looks at
batches), and D learns nothing from them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from sgcli.data.dataset import ImageDataset
from sgcli.errors import UsageError
from sgcli.models.growing import fade_pictures
from sgcli.training.batches import Batches
from sgcli.training.phases import MicroBatch, Objectives
from sgcli.training.randomness import draw_latents
from sgcli.training.schedule import Stage

if TYPE_CHECKING:
    from sgcli.training.loop import Training

EVERY = 4  # steps: often enough for a distribution per tick, for a twentieth of a step's work


class HeldOut:
    """Reports `Loss/scores/held_out` of a training's held-out pictures."""

    def __init__(self, training: Training, dataset: ImageDataset):
        config = self.config = training.config
        self.group = training.players.group
        self.num = config.batch_gpu * self.group.world
        self.objectives = Objectives(config, training.players, training.stats)
        self.batches = Batches(dataset, lambda position: self.num, config.seed, training.device, self.group)

    @torch.no_grad()
    def observe(self, step: int, nimg: int, stage: Stage) -> None:
        """Called after every step; scores one micro-batch every fourth time."""
        if step % EVERY:
            return
        position = step // EVERY * self.num
        images, labels = self.batches.at(position)
        images, labels = fade_pictures(images, stage.lod), labels[:, : self.config.D["c_dim"]]
        draws = draw_latents(
            seed=self.config.seed,
            purpose="held-out",
            first=position,
            batch=self.num,
            z_dim=0,
            num_ws=1,
            style_mixing_prob=0,
            labels=labels,
            group=self.group,
        )
        self.objectives.held_out(MicroBatch(images, labels, draws, nimg))

    def close(self) -> None:
        self.batches.close()


def check_held_out(held_out: ImageDataset, dataset: ImageDataset, conditional: bool) -> None:
    """Raise UsageError for pictures that a discriminator of those of `dataset` cannot look at."""
    pack = f"sg data pack {held_out.path} held-out.zip --size {dataset.resolution}"
    label_dim = dataset.label_dim if conditional else held_out.label_dim
    for what, has, wants, repair in (
        ("resolution", held_out.resolution, dataset.resolution, pack),
        ("channels", held_out.num_channels, dataset.num_channels, pack),
        ("classes", held_out.label_dim, label_dim, "label them like these"),
    ):
        if has != wants:
            raise UsageError(
                f"--holdout {held_out.path}: {what} {has}, the pictures to train on have {wants}",
                f"{repair}, or hold out some of the others: --holdout 50",
            )


def overfitting(train_score: float, held_out_score: float, fake_score: float) -> float | None:
    """r_v = (E[D(train)] - E[D(held-out)]) / (E[D(train)] - E[D(fake)]): 0 where D generalises, 1 where held-out
    pictures look as fake to it as fakes do (spec stylegan2-ada §6.7).

    None where it has no meaning: nothing was held out (nan), or D does not tell training pictures from fakes.
    """
    gap = train_score - fake_score
    return (train_score - held_out_score) / gap if gap > 0 and not math.isnan(held_out_score) else None
