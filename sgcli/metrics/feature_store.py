"""Features, extracted once, and statistics of data sets, remembered on disk.

Both lie in the user's cache under a key that holds everything that changes them: content of the pictures (or weights of
the model, seed and truncation), weights of the extractor, protocol, format version. What cannot be read is made again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sgcli.distributed.group import ALONE, Group
from sgcli.errors import UsageError
from sgcli.features.extractors import Extractor
from sgcli.files import atomic_path, cache_folder
from sgcli.metrics.fid import Statistics
from sgcli.metrics.rows import compute_rows, key_of
from sgcli.metrics.sources import FeatureFile, Pictures
from sgcli.progress import notice


def extract(pictures: Pictures, extractor: Extractor, count: int, group: Group = ALONE) -> np.ndarray:
    """Features `[count, F]` float32 of the first pictures; those of a data set are kept for the next time."""

    def compute(start: int, stop: int) -> np.ndarray:
        return np.concatenate([extractor(part).numpy() for part in pictures.batches(count, start, stop)])

    what = f"{extractor.name} features of {Path(pictures.name).name}"
    key = _key(pictures, extractor, count)
    return compute_rows(what, count, compute, key=key, group=group, keep=pictures.limit is not None)


def remembered_statistics(
    pictures: Pictures, extractor: Extractor, count: int, compute: Callable[[], Statistics], group: Group = ALONE
) -> Statistics:
    """Statistics of `count` pictures from the cache, else from `compute`. What worker 0 finds there counts for all."""
    key, folder = _key(pictures, extractor, count), cache_folder()
    path = None if key is None or folder is None else folder / "statistics" / f"{key}.npz"
    found = group.from_leader(_load_statistics(path, count) if path is not None and group.leads else None)
    if found is not None:
        return found
    statistics = compute()
    if path is not None and group.leads:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, mu=statistics.mu, sigma=statistics.sigma, num=statistics.num)
    return statistics


def _load_statistics(path: Path, count: int) -> Statistics | None:
    """None where they are not there, or damaged, which is said."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            mu, sigma = arrays["mu"], arrays["sigma"]
        finite = np.isfinite(mu).all() and np.isfinite(sigma).all()
        if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)) or not finite:
            raise ValueError
        return Statistics(mu, sigma, count)
    except Exception:  # NumPy's readers fail in many ways on damaged files
        notice(f"{path}: damaged, computed again")
        path.unlink(missing_ok=True)
        return None


def first_rows(source: FeatureFile, wanted: int | None, at_least: int) -> np.ndarray:
    """The first `wanted` rows of a file of features. Raises UsageError where it has fewer than `at_least`."""
    if len(source.features) < at_least:
        raise UsageError(
            f"{source.name}: features of {len(source.features)} pictures, at least {at_least} are needed",
            "give features of more pictures",
        )
    return source.features[:wanted]


def _key(pictures: Pictures, extractor: Extractor, count: int) -> str | None:
    some = count if pictures.limit is not None else "any"  # those of a model are the same however many there are
    return key_of("features", pictures.key, some, extractor.sha256, extractor.protocol.name)
