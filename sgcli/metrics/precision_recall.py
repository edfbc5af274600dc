"""Precision (are the pictures like real ones?) and recall (are all kinds of real ones among them?) from features.

Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models"; spec stylegan2-ada
§9.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from sgcli.metrics.results import Value
from sgcli.metrics.rows import Rows, at_once

if TYPE_CHECKING:
    from sgcli.metrics.job import Job

NEIGHBOURS = 3
MAX_REAL = 200_000
PAIRS_AT_ONCE = 1 << 25  # distances in memory
BLOCK = 512  # pictures: enough for fast matrix products


def precision_recall(
    real: np.ndarray, fake: np.ndarray, neighbours: int = NEIGHBOURS, rows: Rows = at_once
) -> tuple[float, float]:
    """Features `[N, F]` and `[M, F]`, N and M above `neighbours`. Half precision is what the published numbers have."""
    a, b = (torch.from_numpy(features.astype(np.float16)).float() for features in (real, fake))
    middle = a.mean(dim=0)  # near zero, distances lose fewer digits
    a, b = a - middle, b - middle
    precision = share_inside(b, a, neighbours, rows, "real")
    return precision, share_inside(a, b, neighbours, rows, "measured")


def share_inside(
    probes: torch.Tensor,
    manifold: torch.Tensor,
    neighbours: int = NEIGHBOURS,
    rows: Rows = at_once,
    kind: str = "real",  # of pictures that make the manifold
) -> float:
    """The share of `probes` `[N, F]` in any ball around a point of `manifold` `[M, F]` up to its k-th neighbour."""

    def radii_of(start: int, stop: int) -> np.ndarray:
        """Squared distances to the k-th neighbour; a point itself is the nearest, so k + 1."""
        parts = _distances(manifold[start:stop], manifold)
        return torch.cat([distances.kthvalue(neighbours + 1, dim=1).values for distances in parts]).numpy()

    radii = torch.from_numpy(rows(f"neighbours among {kind} pictures", len(manifold), radii_of, BLOCK))

    def are_inside(start: int, stop: int) -> np.ndarray:
        parts = _distances(probes[start:stop], manifold)
        return torch.cat([(distances <= radii).any(dim=1) for distances in parts]).to(torch.uint8).numpy()

    return float(rows(f"like {kind} pictures?", len(probes), are_inside, BLOCK).mean())


def _distances(a: torch.Tensor, b: torch.Tensor) -> Iterator[torch.Tensor]:
    """Squared distances between rows, some rows of `a` at a time: `[n, len(b)]`."""
    norms = b.square().sum(dim=1)
    for part in a.split(max(PAIRS_AT_ONCE // len(b), 1)):
        yield torch.addmm(norms + part.square().sum(dim=1, keepdim=True), part, b.T, alpha=-2).clamp_(min=0)


def measure(job: Job, num: int) -> list[Value]:
    """Two numbers, precision and recall."""
    real = job.features("data", "vgg", MAX_REAL, at_least=NEIGHBOURS + 1)
    fake = job.features("fake", "vgg", num, at_least=NEIGHBOURS + 1)
    job.check_same_features(real.shape[1], fake.shape[1])
    facts = {"num_real": len(real), "num_fake": len(fake), "neighbours": NEIGHBOURS}
    rows = job.rows(len(real), len(fake), job.facts(frozenset({"fake", "data"}), "vgg"))
    precision, recall = precision_recall(real, fake, rows=rows)
    found = []
    for name, share, count in (("precision", precision, len(fake)), ("recall", recall, len(real))):
        stderr = {"stderr": (share * (1 - share) / count) ** 0.5} if job.stderr else {}  # of a share of `count`
        found.append(Value(share, {**facts, **stderr}, name))
    return found
