"""Features and statistics on disk: long extractions go on where they were stopped, and data sets are looked at once.

Both lie in the user's cache under a key that holds everything that changes them: content of the pictures (or weights of
the model, seed and truncation), weights of the extractor, protocol, format version. What cannot be read is made again.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from sgcli.distributed.group import ALONE, Group
from sgcli.errors import UsageError
from sgcli.features.extractors import Extractor
from sgcli.files import atomic_path, cache_folder
from sgcli.metrics.fid import Statistics
from sgcli.metrics.sources import FeatureFile, Pictures
from sgcli.progress import notice, track

VERSION = 1  # of what is stored; to be raised with every change of the numbers
BLOCK_ROWS = 512  # pictures whose features are lost when the work is stopped
KEPT_BYTES = 1 << 30  # features of a data set that are kept beyond their use; more is held as statistics only

T = TypeVar("T")


def extract(pictures: Pictures, extractor: Extractor, count: int, group: Group = ALONE) -> np.ndarray:
    """Features `[count, F]` float32 of the first pictures, with a bar; a stopped extraction goes on.

    Several workers share the pictures, and all get all features; what they have stopped begins again.
    """

    def compute(start: int, stop: int) -> np.ndarray:
        return np.concatenate([extractor(part).numpy() for part in pictures.batches(count, start, stop)])

    what = f"{extractor.name} features of {Path(pictures.name).name}"
    if group.world > 1:
        return shared_rows(count, compute, what, group)
    return resumable_rows(_key(pictures, extractor, count), count, compute, what, keep=pictures.limit is not None)


def shared_rows(count: int, compute: Callable[[int, int], np.ndarray], what: str, group: Group) -> np.ndarray:
    """`[count, F]` float32, in blocks that are dealt to the workers of `group`."""
    size = min(BLOCK_ROWS, -(-count // group.world))
    starts = range(0, count, size)
    own = group.deal(starts)
    blocks = []
    for start in track(own or starts[:1], what, total=len(own), unit="blocks"):  # one at least, to know its width
        group.at(f"{what}, from {start} on")
        block = compute(start, min(start + size, count))
        blocks.append(np.pad(block, ((0, size - len(block)), (0, 0))))
    rows = torch.from_numpy(np.stack(blocks)[: len(own)])
    return group.collect_rows(rows, len(starts)).flatten(0, 1)[:count].numpy()


def resumable_rows(
    key: str | None,                             # holds all that changes the rows; None: nothing is stored
    count: int,
    compute: Callable[[int, int], np.ndarray],   # rows number start to stop - 1, [stop - start, F] float32
    what: str,                                   # is computed: for the bar
    keep: bool = False,                          # when all is done, unless there is too much of it
) -> np.ndarray:  # fmt: skip
    """`[count, F]` float32, in blocks that are stored as they come, so that what was stopped goes on."""
    cache = cache_folder()
    folder = cache / "features" / key if key is not None and cache is not None else None
    starts = range(0, count, BLOCK_ROWS)
    stored = {start: block for start in starts if (block := _load_block(folder, start)) is not None}
    done = sum(len(block) for block in stored.values())
    if 0 < done < count and not keep:
        notice(f"{what}: {done} of {count} are there already")

    def blocks() -> Iterator[np.ndarray]:
        for start in starts:
            size = min(BLOCK_ROWS, count - start)
            block = stored.get(start)
            if block is None or len(block) < size:
                block = compute(start, start + size)
                _save_block(folder, start, block)
            yield block[:size]

    rows = np.concatenate(list(track(blocks(), what, total=count, unit="pictures", size=len)))
    if folder is not None and (not keep or rows.nbytes > KEPT_BYTES):
        _on_success.append(folder)
    return rows


def forget_finished() -> None:
    """Remove stored features that only served to go on after a stop. Called when a command has printed its results."""
    while _on_success:
        shutil.rmtree(_on_success.pop(), ignore_errors=True)


_on_success: list[Path] = []


def remembered_statistics(
    pictures: Pictures, extractor: Extractor, count: int, compute: Callable[[], Statistics]
) -> Statistics:
    """Statistics of `count` pictures from the cache, else from `compute`."""
    key, folder = _key(pictures, extractor, count), cache_folder()
    if key is None or folder is None:
        return compute()
    path = folder / "statistics" / f"{key}.npz"

    def load() -> Statistics:
        with np.load(path, allow_pickle=False) as arrays:
            mu, sigma = arrays["mu"], arrays["sigma"]
        if (
            mu.ndim != 1
            or sigma.shape != (len(mu), len(mu))
            or not (np.isfinite(mu).all() and np.isfinite(sigma).all())
        ):
            raise ValueError
        return Statistics(mu, sigma, count)

    if (found := _read_or_warn(path, load)) is not None:
        return found
    statistics = compute()
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, mu=statistics.mu, sigma=statistics.sigma, num=statistics.num)
    return statistics


def first_rows(source: FeatureFile, wanted: int | None, at_least: int) -> np.ndarray:
    """The first `wanted` rows of a file of features. Raises UsageError where it has fewer than `at_least`."""
    if len(source.features) < at_least:
        raise UsageError(
            f"{source.name}: features of {len(source.features)} pictures, at least {at_least} are needed",
            "give features of more pictures",
        )
    return source.features[:wanted]


def _key(pictures: Pictures, extractor: Extractor, count: int) -> str | None:
    if pictures.key is None:
        return None
    some = count if pictures.limit is not None else None  # those of a model are the same however many there are
    parts = (VERSION, pictures.key, some, extractor.sha256, extractor.protocol.name)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _block_path(folder: Path, start: int) -> Path:
    return folder / f"{start:09d}.npy"


def _load_block(folder: Path | None, start: int) -> np.ndarray | None:
    """Features of up to 512 pictures from number `start`."""
    if folder is None:
        return None
    path = _block_path(folder, start)

    def load() -> np.ndarray:
        block = np.load(path, allow_pickle=False)
        if block.ndim != 2 or block.dtype != np.float32 or not np.isfinite(block).all():
            raise ValueError
        return block

    return _read_or_warn(path, load)


def _save_block(folder: Path | None, start: int, block: np.ndarray) -> None:
    if folder is not None:
        with atomic_path(_block_path(folder, start)) as temporary, open(temporary, "wb") as file:
            np.save(file, block)


def _read_or_warn(path: Path, load: Callable[[], T]) -> T | None:
    """What `load` reads from `path`; None where it is not there, or damaged, which is said."""
    if not path.is_file():
        return None
    try:
        return load()
    except Exception:  # NumPy's readers fail in many ways on damaged files
        notice(f"{path}: damaged, computed again")
        path.unlink(missing_ok=True)
        return None
