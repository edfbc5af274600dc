"""Where augmentations get their random numbers from: one number per image and question, in a fixed order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from scipy.special import erfinv, ndtri

from sgcli.training.randomness import torch_generators_for, uniforms_for

NUM_DRAWS = 64  # uniform numbers set aside for each image; the whole pipeline asks for fewer


class Draws(Protocol):
    """Answers `[N]`, float64, one number per image."""

    def integer(self, count: int) -> np.ndarray:
        """Uniform in 0 … count - 1."""

    def uniform(self) -> np.ndarray:
        """Uniform in (0, 1)."""

    def signed_uniform(self, fixed: float | None = None) -> np.ndarray:
        """Uniform in (-1, 1). `fixed`: the answer where all are fixed to a percentile; None: like the others."""

    def normal(self) -> np.ndarray:
        """Gaussian."""

    def half_normal(self) -> np.ndarray:
        """The magnitude of a Gaussian."""

    def gate(self, probability: float) -> np.ndarray:
        """True with this probability."""

    def pixels(self, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        """Gaussian noise `[N, *shape]`."""


class RandomDraws:
    """Each image's numbers are a function of (seed, purpose, number of the image): not of the batch around it."""

    def __init__(self, seed: int, purpose: str, numbers: Sequence[int]):
        self.seed, self.purpose, self.numbers = seed, purpose, numbers
        self._columns = iter(uniforms_for(seed, purpose, numbers, NUM_DRAWS).T)

    def uniform(self) -> np.ndarray:
        return next(self._columns)

    def integer(self, count: int) -> np.ndarray:
        return np.floor(self.uniform() * count)

    def signed_uniform(self, fixed: float | None = None) -> np.ndarray:
        return 2 * self.uniform() - 1

    def normal(self) -> np.ndarray:
        return ndtri(self.uniform())

    def half_normal(self) -> np.ndarray:
        return np.abs(self.normal())

    def gate(self, probability: float) -> np.ndarray:
        return self.uniform() < probability

    def pixels(self, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        generators = torch_generators_for(self.seed, f"{self.purpose}/pixels", self.numbers, device)
        return torch.stack([torch.randn(*shape, generator=each, device=device) for each in generators])


class PercentileDraws:
    """Every answer is the value at percentile q of its distribution, and every gate is open (spec stylegan2-ada §6.6).

    Gaussian answers are erfinv(2q - 1), without the √2: that is how the published numbers were made.
    """

    def __init__(self, q: float, batch: int):
        self.q = np.full([batch], q)

    def uniform(self) -> np.ndarray:
        return self.q

    def integer(self, count: int) -> np.ndarray:
        return np.floor(self.q * count)

    def signed_uniform(self, fixed: float | None = None) -> np.ndarray:
        return 2 * self.q - 1 if fixed is None else np.full_like(self.q, fixed)

    def normal(self) -> np.ndarray:
        return erfinv(2 * self.q - 1)

    def half_normal(self) -> np.ndarray:
        return erfinv(self.q)

    def gate(self, probability: float) -> np.ndarray:
        return np.ones_like(self.q, dtype=bool)

    def pixels(self, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        return torch.zeros(len(self.q), *shape, device=device)
