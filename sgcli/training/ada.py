"""How strong the augmentations are: fixed, or steered by how sure D is of real pictures (spec stylegan2-ada §6.7)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from sgcli.distributed.group import ALONE, Group
from sgcli.training.config import TrainingConfig

ADJUST_EVERY = 4  # steps


@dataclass
class AugmentStrength:
    """The probability p of each transform, and the signs of D's outputs for reals since p was last adjusted.

    r_t = E[sign D(x)] over reals: 0 where D knows nothing, 1 where it has learned the training set by heart.
    """

    p: float
    target: float | None = None  # of r_t; None: p stays
    kimg: float = 500.0  # p moves by 1 in so many thousand images
    limit: float | None = None  # p goes no higher; None: no limit, as published
    sign_sum: float = 0.0
    sign_count: int = 0
    _signs: list[torch.Tensor] = field(default_factory=list, repr=False)

    @property
    def is_on(self) -> bool:
        """Whether pictures pass through the pipeline at all; at p = 0 they do if p may rise."""
        return self.p > 0 or self.target is not None

    def observe(self, real_logits: torch.Tensor) -> None:
        """Take note of D's outputs for (augmented) real pictures."""
        if self.target is not None:
            self._signs.append(real_logits.detach().sign().flatten())

    def adjust(self, step: int, batch: int, group: Group = ALONE) -> None:
        """Called after every step; every fourth moves p: p ← max(p + sign(r_t - target) · 4·batch / (1000·kimg), 0)."""
        if self.target is None:
            return
        if self._signs:
            signs = torch.cat(self._signs)
            total, count = group.total(float(signs.sum()), len(signs))
            self.sign_sum, self.sign_count = self.sign_sum + total, self.sign_count + int(count)
            self._signs.clear()
        if (step + 1) % ADJUST_EVERY or not self.sign_count:
            return
        excess = self.sign_sum / self.sign_count - self.target
        direction = (excess > 0) - (excess < 0)
        self.p = max(self.p + direction * batch * ADJUST_EVERY / (self.kimg * 1000), 0.0)
        if self.limit is not None:
            self.p = min(self.p, self.limit)
        self.sign_sum, self.sign_count = 0.0, 0

    def mark(self) -> int:
        """For `rewind`, which forgets what was observed since."""
        return len(self._signs)

    def rewind(self, mark: int) -> None:
        del self._signs[mark:]

    def state(self) -> dict[str, float]:
        """What a training state keeps of it."""
        return {"p": self.p, "sign_sum": self.sign_sum, "sign_count": self.sign_count}

    def load_state(self, state: dict[str, float]) -> None:
        self.p, self.sign_sum, self.sign_count = state["p"], state["sign_sum"], int(state["sign_count"])


def make_strength(config: TrainingConfig) -> AugmentStrength:
    """The strength that `config` starts with."""
    if not config.augments:
        return AugmentStrength(0.0)
    target = config.aug_target if config.aug == "ada" else None
    return AugmentStrength(config.aug_p, target, config.aug_kimg, config.aug_max)
