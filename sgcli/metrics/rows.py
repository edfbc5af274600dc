"""Long work as rows of numbers, in blocks: dealt to workers, and stored as they come, so that what was stopped goes on.

Row i follows from i alone, and blocks are cut alike however many workers there are, so that neither a stop nor another
number of workers changes a result. Blocks lie in the user's cache under a key that holds everything that changes them.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from sgcli.distributed.group import ALONE, Group
from sgcli.errors import Interrupted, SgError
from sgcli.files import atomic_path, cache_folder
from sgcli.progress import notice, track, warn

VERSION = 2  # of what is stored; to be raised with every change of the numbers
BLOCK_ROWS = 64  # what is lost, at most, when the work is stopped
KEPT_BYTES = 1 << 30  # rows that are kept beyond their use, at most

Compute = Callable[[int, int], np.ndarray]  # rows number start to stop - 1, `[stop - start, …]`
Room = Callable[[tuple[int, ...], np.dtype], np.ndarray]  # an array of this shape and type


class Rows(Protocol):
    """Has `count` rows computed, under a name for the bar that is unlike that of the metric's other rows."""

    def __call__(self, what: str, count: int, compute: Compute, block: int | None = None) -> np.ndarray: ...


def at_once(what: str, count: int, compute: Compute, block: int | None = None) -> np.ndarray:
    """`Rows` that are computed in one go, by one worker, and stored nowhere."""
    return compute(0, count)


def key_of(*parts: object) -> str | None:
    """A key for all that rows follow from; None, and nothing is stored, where one of the `parts` is None: not known."""
    return None if None in parts else hashlib.sha256(repr((VERSION, *parts)).encode()).hexdigest()[:32]


def compute_rows(
    what: str,                # for the bar
    count: int,
    compute: Compute,
    block: int | None = None,  # rows that are computed and stored together; None: BLOCK_ROWS
    *,
    key: str | None = None,   # from `key_of`; None: nothing is stored
    group: Group = ALONE,     # worker r of n computes blocks r, r + n, …, and all get all rows
    keep: bool = False,       # when all is done, unless there is too much of it
    room: Room = np.empty,
) -> np.ndarray:  # fmt: skip
    """`[count, …]`, of the shape and type that `compute` gives. What goes wrong on one worker is raised on all."""
    cache = cache_folder()
    folder = cache / "rows" / key if key is not None and cache is not None else None
    table = Table(count, block or BLOCK_ROWS, room)
    missing = [start for start in group.deal(table.starts) if not table.put(start, load_block(folder, start))]
    (num_missing,) = group.total(sum(map(table.size, missing)))
    if num_missing < count and (num_missing or not keep):
        notice(f"{what}: {count - int(num_missing)} of {count} are there already")
    failure = None
    try:
        left = sum(map(table.size, missing))
        for start in track(missing, what, total=left, unit="rows" if block == 1 else "pictures", size=table.size):
            group.at(f"{what}, from {start} on")
            rows = compute(start, start + table.size(start))
            table.put(start, rows)
            if folder is not None and not save_block(folder, start, rows):
                folder = None
    except Interrupted:
        raise
    except Exception as error:
        failure = error
    group.check(failure)
    found = table.exchange(group)
    if folder is not None and (not keep or found.nbytes > KEPT_BYTES):
        _on_success.append(folder)
    return found


class Table:
    """Rows as they come. Their shape and type are those of the first block."""

    def __init__(self, count: int, block: int, room: Room):
        self.count, self.block, self.room = count, block, room
        self.starts = range(0, count, block)
        self.rows: np.ndarray | None = None

    def size(self, start: int) -> int:
        """Rows of the block that begins with row `start`."""
        return min(self.block, self.count - start)

    def put(self, start: int, block: np.ndarray | None) -> bool:
        """Put a block in its place; False where it is None, or has too few rows."""
        size = self.size(start)
        if block is None or len(block) < size:
            return False
        if self.rows is None:
            self.rows = self.room((self.count, *block.shape[1:]), block.dtype)
        self.rows[start : start + size] = block[:size]
        return True

    def exchange(self, group: Group) -> np.ndarray:
        """All rows, when every worker has put its own. A block of each worker travels at a time."""
        if group.world > 1:
            form = group.from_leader(None if self.rows is None else (self.rows.shape[1:], self.rows.dtype))
            assert form is not None, "worker 0 has the first block"
            shape, dtype = form
            if self.rows is None:  # there are fewer blocks than workers
                self.rows = self.room((self.count, *shape), dtype)
            for first in range(0, len(self.starts), group.world):
                starts = self.starts[first : first + group.world]
                own = [self._padded(start) for start in group.deal(starts)]
                sent = np.stack(own) if own else np.empty((0, self.block, *shape), dtype)
                for start, rows in zip(starts, group.collect_rows(torch.from_numpy(sent), len(starts)), strict=True):
                    self.rows[start : start + self.block] = rows[: self.size(start)].numpy()
        assert self.rows is not None, "no rows were asked for"
        return self.rows

    def _padded(self, start: int) -> np.ndarray:
        assert self.rows is not None
        rows = self.rows[start : start + self.block]
        return np.concatenate([rows, np.zeros((self.block - len(rows), *rows.shape[1:]), rows.dtype)])


def forget_finished() -> None:
    """Remove rows that only served to go on after a stop. Called when a command has printed its results."""
    while _on_success:
        shutil.rmtree(_on_success.pop(), ignore_errors=True)


_on_success: list[Path] = []


def load_block(folder: Path | None, start: int) -> np.ndarray | None:
    """The stored block that begins with row `start`; None where it is not there, or damaged, which is said."""
    path = None if folder is None else block_path(folder, start)
    if path is None or not path.is_file():
        return None
    try:
        block = np.load(path, allow_pickle=False)
        if block.ndim == 0 or block.dtype.kind not in "fiu" or not np.isfinite(block).all():
            raise ValueError
        return block
    except Exception:  # NumPy's readers fail in many ways on damaged files
        notice(f"{path}: damaged, computed again")
        path.unlink(missing_ok=True)
        return None


def save_block(folder: Path, start: int, block: np.ndarray) -> bool:
    """Store a block; False where it cannot be, which is said."""
    try:
        with atomic_path(block_path(folder, start)) as temporary, open(temporary, "wb") as file:
            np.save(file, block)
    except SgError as error:
        warn(f"{error.message}; if this is stopped, it begins again")
        return False
    return True


def block_path(folder: Path, start: int) -> Path:
    return folder / f"{start:09d}.npy"
