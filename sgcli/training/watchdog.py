"""What a person at the screen would notice: each of these warnings is given once, and says what to do.

The end of a training that computes nonsense is an error: see `check_finite`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from sgcli.errors import SgError
from sgcli.models.checkpoint import kimg_of
from sgcli.progress import warn

if TYPE_CHECKING:
    from sgcli.training.loop import Training

LEAKY_P = 0.8  # above, augmentations begin to show up in what G draws (ADA paper, §2.2)
CEILING_SHARE = 0.2  # of the time in which p can move by 1: so long at its ceiling, and it will stay there
SURE = 0.95  # mean sign of D's outputs, of reals and (negative) of fakes, from which on D has won,
SATURATED_LOSS = 0.1  # if its loss is below this, too, in
WON_TICKS = 3  # ticks on end
LOST_VARIETY = 1 / 3  # of the best that was seen
VARIETY_GRID = 4  # pictures are compared at this resolution: what they show, not their grain

Numbers = dict[str, dict[str, Any]]  # of one tick: name -> num, mean, std


class Watchdog:
    """A callback for ticks."""

    def __init__(self) -> None:
        self._silent: list[Callable[[Training, Numbers], str | None]] = [
            self._leaky_augmentation, self._strength_at_ceiling, self._discriminator_has_won, self._variety_is_lost,
        ]  # fmt: skip
        self._ceiling_since: float | None = None  # kimg
        self._won_ticks = 0
        self._best_variety = 0.0

    def __call__(self, training: Training) -> None:
        for find in list(self._silent):
            if text := find(training, training.tick):
                self._silent.remove(find)
                training.run.log_quietly(f"warning: {text}")
                warn(text)

    def _leaky_augmentation(self, training: Training, numbers: Numbers) -> str | None:
        strength = training.players.augment
        if strength.p <= LEAKY_P:
            return None
        less = f"--aug-p {LEAKY_P:g}" if strength.target is None else f"--aug-max {LEAKY_P:g}"
        return (
            f"augmentation strength p is {strength.p:.2f}: above {LEAKY_P:g} augmentations may show up in generated "
            f"pictures; look at the fakes, or limit it with {less}"
        )

    def _strength_at_ceiling(self, training: Training, numbers: Numbers) -> str | None:
        strength, kimg = training.players.augment, training.progress.nimg / 1000
        ceiling = 1.0 if strength.limit is None else min(strength.limit, 1.0)
        if strength.target is None or strength.p < ceiling:
            self._ceiling_since = None
            return None
        if self._ceiling_since is None:
            self._ceiling_since = kimg
        if kimg - self._ceiling_since < CEILING_SHARE * strength.kimg:
            return None
        return (
            f"p has been at its ceiling of {ceiling:g} for {kimg - self._ceiling_since:.3g} kimg: "
            f"augmentation alone does not keep D from learning {len(training.dataset)} pictures by heart; add "
            "pictures, start from a trained model with --init-from and --freeze-d, or raise --gamma"
        )

    def _discriminator_has_won(self, training: Training, numbers: Numbers) -> str | None:
        r_t, fake_signs, loss = (_mean(numbers, f"Loss/{name}") for name in ("signs/real", "signs/fake", "D/loss"))
        has_won = r_t > SURE and fake_signs < -SURE and loss < SATURATED_LOSS and not training.config.is_wasserstein
        self._won_ticks = self._won_ticks + 1 if has_won else 0
        if self._won_ticks < WON_TICKS:
            return None
        return (
            f"D has won: it tells reals from fakes without fail (r_t {r_t:.2f}, D's loss {loss:.2g}), and G learns "
            "little from it; raise --gamma, lower --lr, or use --aug ada where pictures are few"
        )

    def _variety_is_lost(self, training: Training, numbers: Numbers) -> str | None:
        now = _mean(numbers, "Variety/fake") / max(_mean(numbers, "Variety/real"), 1e-8)
        best = self._best_variety
        self._best_variety = max(best, min(now, 1.0))  # what an untrained G draws may differ more than reals do
        if not now < best * LOST_VARIETY:  # nor where there is no number
            return None
        return (
            f"fakes lose variety: they differ {now:.2g} times as much as reals do, it was {best:.2g}; look at them, "
            "go back to an earlier snapshot with --init-from, and raise --gamma or lower --lr"
        )


def variety(images: torch.Tensor) -> torch.Tensor:
    """How much the pictures `[N, K, R, R]` of a batch differ: standard deviation over the batch at 4², mean over pixels
    and channels. One number.
    """
    small = F.adaptive_avg_pool2d(images.detach().float(), VARIETY_GRID)
    return small.std(dim=0, correction=0).mean()


def check_finite(training: Training) -> None:
    """Raise SgError where the newest losses of G or D hold no finite number any more; nothing is saved then."""
    for network in "GD":
        losses = training.stats.newest(f"Loss/{network}/loss")
        diverged = losses is not None and not losses.isfinite().any()
        if not training.players.group.largest(int(diverged)):  # workers stop together
            continue
        run, config = training.run, training.config
        good = run.models()[-1]
        message = f"{network}'s loss is not finite at {training.progress.nimg / 1000:g} kimg: training stopped"
        run.log_quietly(f"error: {message}; the last good snapshot is {good.name}")
        more = f" --init-from {good}" if kimg_of(good) > 0 else ""  # what has learned nothing is not worth it
        more += " --precision fp32" if config.precision in ("fp16", "bf16") else ""
        raise SgError(
            f"{message}; the last good snapshot is {good}",
            f"sg train {config.data['path']} --config {run.config_path()} --lr {config.g_lr / 2:g}{more}",
        )


def _mean(numbers: Numbers, name: str) -> float:
    return numbers[name]["mean"] if name in numbers else float("nan")
