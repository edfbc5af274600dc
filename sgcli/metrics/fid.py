"""Fréchet distance between two sets of features (FID).

Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium"; spec
stylegan2-ada §9.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sgcli.metrics.resampling import jackknife
from sgcli.metrics.results import Value

if TYPE_CHECKING:
    from sgcli.metrics.job import Job

ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class Statistics:
    """Mean `[F]` and covariance `[F, F]`, float64, of the features of `num` pictures (0: not known)."""

    mu: np.ndarray
    sigma: np.ndarray
    num: int

    @classmethod
    def of(cls, features: np.ndarray, ddof: int = 0) -> Statistics:
        """Of features `[N, F]`, with the covariance divided by N - ddof."""
        parts = torch.from_numpy(features).split(ROWS_AT_ONCE)  # bounds the memory of float64
        mu = sum(part.double().sum(dim=0) for part in parts) / len(features)
        sigma = sum((centred := part.double() - mu).T @ centred for part in parts) / (len(features) - ddof)
        return cls(mu.numpy(), sigma.numpy(), len(features))


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½).

    With Σ₁ = R Rᵀ, the eigenvalues of Σ₁ Σ₂ are those of Rᵀ Σ₂ R, which is symmetric: no complex square root is needed,
    and the trace is the sum of the square roots of its eigenvalues.
    """
    root = cholesky_root(a.sigma)
    eigenvalues = torch.linalg.eigvalsh(torch.from_numpy(root.T @ b.sigma @ root)).clamp(min=0)
    distance = (
        np.square(a.mu - b.mu).sum() + np.trace(a.sigma) + np.trace(b.sigma) - 2 * float(eigenvalues.sqrt().sum())
    )
    return max(float(distance), 0.0)


def cholesky_root(sigma: np.ndarray) -> np.ndarray:
    """R `[F, rank]` with R Rᵀ = Σ, by Cholesky's method with pivoting, which stops where Σ has no more rank.

    Fewer pictures than features leave Σ without full rank, and make this so much faster.
    """
    from scipy.linalg.lapack import dpstrf

    factor, pivots, rank, _ = dpstrf(sigma, lower=1)
    root = np.empty((len(sigma), rank))
    root[pivots - 1] = np.tril(factor)[:, :rank]
    return root


def measure(job: Job, num: int) -> list[Value]:
    """FID; with a standard error over the pictures of the measured set where the job asks for it."""
    real = job.statistics("data", "inception", None)
    fake = job.statistics("fake", "inception", num)
    job.check_same_features(len(real.mu), len(fake.mu))
    facts: dict = {"num_real": real.num, "num_fake": fake.num}
    if job.stderr:
        features = job.features("fake", "inception", num, at_least=2)
        ddof = job.protocol.covariance_ddof
        facts["stderr"] = jackknife(lambda part: frechet_distance(real, Statistics.of(part, ddof)), features)
    return [Value(frechet_distance(real, fake), facts)]
