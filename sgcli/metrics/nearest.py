"""The training pictures closest to generated ones: is a generator inventing, or reciting?

Distances alone say little, so they are held against those between training pictures: the value is the median distance
of a generated picture to the closest training picture, over that of a training picture to the closest other one. About
1 or more is what pictures of the same kind give; a generator that has learnt pictures by heart falls far below.
Legend: Q pictures asked about, N training pictures, F numbers that describe a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from sgcli.metrics.results import Value
from sgcli.metrics.rows import Rows

if TYPE_CHECKING:
    from sgcli.metrics.job import Job
    from sgcli.metrics.sources import Pictures

PIXEL_SIDE = 32  # larger pictures are compared at about this size: fine grain has no place in "the same picture"
ROWS_AT_ONCE = 4096
CLOSE_PERCENT = 1  # of the training pictures' distances: what is closer counts as a copy


@dataclass(frozen=True)
class Neighbours:
    """For each of Q pictures, the K closest of N."""

    distances: np.ndarray  # [Q, K], the closest first
    numbers: np.ndarray  # [Q, K]  # fmt: skip


def find_nearest(
    queries: np.ndarray,              # [Q, F]
    blocks: Iterable[np.ndarray],     # [n, F] each, N rows in all
    k: int,
    own_numbers: np.ndarray | None = None,  # the row of each query itself [Q], which does not count; None: none of them
) -> Neighbours:  # fmt: skip
    """The k closest rows by Euclidean distance. Raises ValueError for fewer than k."""
    distances = np.full([len(queries), 0], np.inf)
    numbers = np.zeros([len(queries), 0], np.int64)
    lengths = np.square(queries, dtype=np.float64).sum(axis=1)[:, None]
    first = 0
    for block in blocks:
        squares = lengths - 2 * (queries @ block.T) + np.square(block, dtype=np.float64).sum(axis=1)
        if own_numbers is not None:
            own = own_numbers - first
            inside = np.flatnonzero((own >= 0) & (own < len(block)))
            squares[inside, own[inside]] = np.inf
        distances = np.concatenate([distances, np.sqrt(squares.clip(0))], axis=1)
        block_numbers = np.broadcast_to(np.arange(first, first + len(block)), squares.shape)
        numbers = np.concatenate([numbers, block_numbers], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        distances, numbers = np.take_along_axis(distances, order, 1), np.take_along_axis(numbers, order, 1)
        first += len(block)
    if distances.shape[1] < k or not np.isfinite(distances).all():
        raise ValueError(f"{k} neighbours were asked for among {first} pictures")
    return Neighbours(distances, numbers)


def describe_pixels(images: torch.Tensor) -> np.ndarray:
    """uint8 `[N, C, R, R]` -> float32 `[N, F]`: pixels at about 32², so scaled that distances are root mean squares."""
    factor = max(images.shape[-1] // PIXEL_SIDE, 1)
    rows = F.avg_pool2d(images.float(), factor).flatten(1)
    return (rows / rows.shape[1] ** 0.5).numpy()


def measure(
    job: Job,
    num: int,
    *,
    k: int = 1,
    use: Callable[[Neighbours], None] | None = None,  # worker 0: the neighbours of the measured pictures
) -> list[Value]:
    """How much closer generated pictures are to training pictures than those are to each other.

    Compares pixels, or the features of the job's extractor where it names one.
    """
    fake, real = job.pictures("fake"), job.pictures("data")
    num_fake, num_real = fake.count(num), real.count(None, k + 1)
    queries, everything = _describe(job, fake, "fake", num_fake), _describe(job, real, "data", num_real)
    network = job.load_extractor(job.extractor).facts() if job.extractor else {}
    picks = np.random.default_rng(job.seed).choice(num_real, min(num_fake, num_real), replace=False)
    rows = job.rows(num_fake, num_real, k, job.seed, network)
    near = _find(queries, everything, k, None, rows, "closest to measured ones")
    among = _find(everything[picks], everything, 1, picks, rows, "closest among training pictures")
    if use is not None and job.group.leads:
        use(near)
    closest, usual = near.distances[:, 0], among.distances[:, 0]
    threshold = np.percentile(usual, CLOSE_PERCENT)
    facts = {
        "median_distance": float(np.median(closest)),
        "median_among_real": float(np.median(usual)),
        "share_of_copies": float((closest < threshold).mean()),
        "compared": "features" if job.extractor else "pixels",
        **network,
        "num_real": num_real,
        "num_fake": num_fake,
    }
    return [Value(facts["median_distance"] / max(facts["median_among_real"], 1e-12), facts)]


def _describe(job: Job, pictures: Pictures, role: str, count: int) -> np.ndarray:
    """What describes each picture, `[count, F]` float32."""
    if job.extractor is not None:
        return job.features(role, job.extractor, count if role == "fake" else None)

    def compute(start: int, stop: int) -> np.ndarray:
        return np.concatenate([describe_pixels(part) for part in pictures.batches(count, start, stop)])

    return job.rows(role, count)(f"pixels of {Path(pictures.name).name}", count, compute)


def _find(
    queries: np.ndarray, everything: np.ndarray, k: int, own_numbers: np.ndarray | None, rows: Rows, what: str
) -> Neighbours:
    """`find_nearest` by `rows`."""
    blocks = [everything[start : start + ROWS_AT_ONCE] for start in range(0, len(everything), ROWS_AT_ONCE)]

    def compute(start: int, stop: int) -> np.ndarray:
        own = None if own_numbers is None else own_numbers[start:stop]
        found = find_nearest(queries[start:stop], blocks, k, own)
        return np.concatenate([found.distances, found.numbers], axis=1)

    distances, numbers = np.split(rows(what, len(queries), compute), 2, axis=1)
    return Neighbours(distances, numbers.astype(np.int64))
