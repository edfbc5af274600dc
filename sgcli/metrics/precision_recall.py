"""Precision (are the pictures like real ones?) and recall (are all kinds of real ones among them?) from features.

Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models"; spec stylegan2-ada
§9.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sgcli.metrics.results import Value
from sgcli.progress import track

if TYPE_CHECKING:
    from sgcli.metrics.job import Job

NEIGHBOURS = 3
MAX_REAL = 200_000
PAIRS_AT_ONCE = 1 << 25  # distances in memory


def precision_recall(real: np.ndarray, fake: np.ndarray, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Features `[N, F]` and `[M, F]`, N and M above `neighbours`. Half precision is what the published numbers have."""
    a, b = (torch.from_numpy(features.astype(np.float16)).float() for features in (real, fake))
    middle = a.mean(dim=0)  # near zero, distances lose fewer digits
    a, b = a - middle, b - middle
    return share_inside(b, a, neighbours), share_inside(a, b, neighbours)


def share_inside(probes: torch.Tensor, manifold: torch.Tensor, neighbours: int = NEIGHBOURS) -> float:
    """The share of `probes` `[N, F]` in any ball around a point of `manifold` `[M, F]` up to its k-th neighbour."""
    radii = _radii(manifold, neighbours)
    inside = [(distances <= radii).any(dim=1) for distances in _distances(probes, manifold, "inside the manifold?")]
    return float(torch.cat(inside).double().mean())


def _radii(manifold: torch.Tensor, neighbours: int) -> torch.Tensor:
    """Squared distance of every point to its k-th neighbour; itself is the nearest, so k + 1. `[M]`."""
    parts = _distances(manifold, manifold, "nearest neighbours")
    return torch.cat([distances.kthvalue(neighbours + 1, dim=1).values for distances in parts])


def _distances(a: torch.Tensor, b: torch.Tensor, what: str):
    """Squared distances between rows, some rows of `a` at a time: `[n, len(b)]`."""
    rows = max(PAIRS_AT_ONCE // len(b), 1)
    norms = b.square().sum(dim=1)
    for part in track(a.split(rows), what, total=len(a), unit="pictures", size=len):
        yield torch.addmm(norms + part.square().sum(dim=1, keepdim=True), part, b.T, alpha=-2).clamp_(min=0)


def measure(job: Job, num: int) -> list[Value]:
    """Two numbers, precision and recall."""
    real = job.features("data", "vgg", MAX_REAL, at_least=NEIGHBOURS + 1)
    fake = job.features("fake", "vgg", num, at_least=NEIGHBOURS + 1)
    job.check_same_features(real.shape[1], fake.shape[1])
    facts = {"num_real": len(real), "num_fake": len(fake), "neighbours": NEIGHBOURS}
    precision, recall = precision_recall(real, fake)
    found = []
    for name, share, count in (("precision", precision, len(fake)), ("recall", recall, len(real))):
        stderr = {"stderr": (share * (1 - share) / count) ** 0.5} if job.stderr else {}  # of a share of `count`
        found.append(Value(share, {**facts, **stderr}, name))
    return found
