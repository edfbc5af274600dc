"""Kernel distance between two sets of features (KID): unbiased, so that two samples of one thing give 0 on average.

Bińkowski et al. 2018, "Demystifying MMD GANs"; spec stylegan2-ada §9.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sgcli.metrics.resampling import GROUPS, check_enough
from sgcli.metrics.results import Value

if TYPE_CHECKING:
    from sgcli.metrics.job import Job

NUM_SUBSETS = 100
SUBSET_SIZE = 1000
MAX_REAL = 1_000_000


def kernel_distance(
    real: np.ndarray, fake: np.ndarray, *, seed: int = 0, num_subsets: int = NUM_SUBSETS, subset_size: int = SUBSET_SIZE
) -> np.ndarray:
    """The distance between random subsets, `[num_subsets]`; their mean is KID.

    real, fake: features `[N, F]`. Subsets have at most `subset_size` rows of each, drawn without repetition.
    """
    size = min(len(real), len(fake), subset_size)
    rng = np.random.default_rng(seed)
    return np.array(
        [
            squared_mmd(
                torch.from_numpy(real[rng.choice(len(real), size, replace=False)]),
                torch.from_numpy(fake[rng.choice(len(fake), size, replace=False)]),
            )
            for _ in range(num_subsets)
        ]
    )


def standard_error(real: np.ndarray, fake: np.ndarray, *, seed: int = 0) -> float:
    """Of KID, from its scatter over disjoint blocks of the two sets (Zaremba et al. 2013, "B-tests").

    Random subsets overlap, so their scatter says nothing of the kind. Raises UsageError for fewer than 40 pictures.
    """
    count = min(len(real), len(fake))
    check_enough(count)
    blocks = max(GROUPS, count // SUBSET_SIZE)
    size = count // blocks
    rng = np.random.default_rng(seed)
    parts = (np.array_split(features[rng.permutation(count)], blocks) for features in (real[:count], fake[:count]))
    values = [squared_mmd(torch.from_numpy(x[:size]), torch.from_numpy(y[:size])) for x, y in zip(*parts, strict=True)]
    return float(np.std(values, ddof=1) / blocks**0.5)


def squared_mmd(x: torch.Tensor, y: torch.Tensor) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy for the kernel (xᵀy / F + 1)³. Two `[M, F]`."""
    m = len(x)
    within = _kernel_sum(x, x, pairs_only=True) + _kernel_sum(y, y, pairs_only=True)
    return (within / (m - 1) - 2 * _kernel_sum(x, y) / m) / m


def _kernel_sum(x: torch.Tensor, y: torch.Tensor, pairs_only: bool = False) -> float:
    """Sum of the kernel over all pairs; `pairs_only` leaves out those of a row with itself."""
    kernel = (x.double() @ y.double().T / x.shape[1] + 1) ** 3
    return float(kernel.sum() - kernel.trace() if pairs_only else kernel.sum())


def measure(job: Job, num: int) -> list[Value]:
    """KID, and its deviation over subsets."""
    real = job.features("data", "inception", MAX_REAL, at_least=2)
    fake = job.features("fake", "inception", num, at_least=2)
    job.check_same_features(real.shape[1], fake.shape[1])
    subsets = kernel_distance(real, fake, seed=job.seed)
    facts = {"num_real": len(real), "num_fake": len(fake), "subsets": NUM_SUBSETS, "subsets_std": float(subsets.std())}
    if job.stderr:
        facts["stderr"] = standard_error(real, fake, seed=job.seed)
    return [Value(float(subsets.mean()), facts)]
