"""Where augmentations get their random numbers from: one number per image and question, in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch

NUM_DRAWS = 64  # uniform numbers set aside for each image; the whole pipeline asks for fewer


class Draws(Protocol):
    """Answers `[N]`, one number per image."""

    def integer(self, count: int) -> torch.Tensor:
        """Uniform in 0 … count - 1."""

    def uniform(self) -> torch.Tensor:
        """Uniform in [0, 1)."""

    def signed_uniform(self, fixed: float | None = None) -> torch.Tensor:
        """Uniform in [-1, 1). `fixed`: the answer where all are fixed to a percentile; None: like the others."""

    def normal(self) -> torch.Tensor:
        """Gaussian."""

    def half_normal(self) -> torch.Tensor:
        """The magnitude of a Gaussian."""

    def gate(self, probability: torch.Tensor | float) -> torch.Tensor:
        """True with this probability."""

    def pixels(self, shape: Sequence[int]) -> torch.Tensor:
        """Gaussian noise `[N, *shape]`."""


class RandomDraws:
    """Image n's numbers all come from `generators[n]`, so they do not depend on the batch around it."""

    def __init__(self, generators: Sequence[torch.Generator]):
        self.generators = generators
        numbers = [torch.rand(NUM_DRAWS, generator=generator, device=generator.device) for generator in generators]
        self._columns = iter(torch.stack(numbers).T)

    def uniform(self) -> torch.Tensor:
        return next(self._columns)

    def integer(self, count: int) -> torch.Tensor:
        return (self.uniform() * count).floor()

    def signed_uniform(self, fixed: float | None = None) -> torch.Tensor:
        return 2 * self.uniform() - 1

    def normal(self) -> torch.Tensor:
        # The ends are cut off at ±5.4 standard deviations, where single precision has no more numbers below 1.
        return math.sqrt(2) * torch.erfinv((2 * self.uniform() - 1).clamp(-1 + 1e-7, 1 - 1e-7))

    def half_normal(self) -> torch.Tensor:
        return self.normal().abs()

    def gate(self, probability: torch.Tensor | float) -> torch.Tensor:
        return self.uniform() < probability

    def pixels(self, shape: Sequence[int]) -> torch.Tensor:
        return torch.stack([torch.randn(*shape, generator=each, device=each.device) for each in self.generators])


class PercentileDraws:
    """Every answer is the value at percentile q of its distribution, and every gate is open (spec stylegan2-ada §6.6).

    Gaussian answers are erfinv(2q - 1), without the √2: that is how the published numbers were made.
    """

    def __init__(self, q: float, batch: int, device: torch.device | str = "cpu"):
        self.q = torch.full([batch], q, device=device)

    def uniform(self) -> torch.Tensor:
        return self.q

    def integer(self, count: int) -> torch.Tensor:
        return (self.q * count).floor()

    def signed_uniform(self, fixed: float | None = None) -> torch.Tensor:
        return 2 * self.q - 1 if fixed is None else torch.full_like(self.q, fixed)

    def normal(self) -> torch.Tensor:
        return torch.erfinv(2 * self.q - 1)

    def half_normal(self) -> torch.Tensor:
        return torch.erfinv(self.q)

    def gate(self, probability: torch.Tensor | float) -> torch.Tensor:
        return torch.ones_like(self.q, dtype=torch.bool)

    def pixels(self, shape: Sequence[int]) -> torch.Tensor:
        return torch.zeros(len(self.q), *shape, device=self.q.device)
