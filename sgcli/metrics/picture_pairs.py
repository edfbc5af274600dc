"""Two picture files, or two sets of pictures with the same names: what belongs together, for distances of pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sgcli.data.images import read_image, to_array
from sgcli.data.source import open_source
from sgcli.errors import SgError, UsageError
from sgcli.media.streams import read_picture
from sgcli.metrics.pixels import as_rgb
from sgcli.progress import notice


class Pair(NamedTuple):
    """Two pictures of one size, float32 `[1, 3, H, W]` in 0…255: alpha dropped, greyscale repeated."""

    name: str
    a: torch.Tensor
    b: torch.Tensor


def count_pairs(a: Path, b: Path) -> int:
    """How many pairs `read_pairs` will read. Raises SgError where a path is missing or nothing belongs together."""
    return len(_common_names(a, b)) if _is_set(a, b) else 1


def read_pairs(a: Path, b: Path) -> Iterator[Pair]:
    """The pair of two files, or those files of two folders (or zips) that have one name, whatever their suffix."""
    if not _is_set(a, b):
        yield _pair(a.name, read_picture(a), read_picture(b))
        return
    sources = open_source(a), open_source(b)
    for names in _common_names(a, b).values():
        arrays = [
            to_array(read_image(source.read(name), name).image) for source, name in zip(sources, names, strict=True)
        ]
        yield _pair(names[0], *arrays)


def _is_set(a: Path, b: Path) -> bool:
    """Whether two sets are meant, and not two files. Raises where it is one of each."""
    kinds = [path.is_dir() or path.suffix.lower() == ".zip" for path in (a, b)]
    for path in (a, b):
        if str(path) != "-" and not path.exists():
            raise SgError(f"{path}: no such file or folder", "check the spelling of the path")
    if kinds[0] != kinds[1]:
        raise UsageError(f"{a} and {b}: a set and a single picture", "two pictures, or two folders or zips")
    return kinds[0]


def _common_names(a: Path, b: Path) -> dict[str, tuple[str, str]]:
    """Names without suffix that both sets have -> the name in each."""
    first, second = ({name.rpartition(".")[0]: name for name in open_source(path).names} for path in (a, b))
    common = {stem: (first[stem], second[stem]) for stem in first if stem in second}
    if not common:
        raise SgError(f"{a} and {b}: no picture has the same name in both", f"ls {a}, ls {b}: pairs go by their names")
    if left_out := len(first) + len(second) - 2 * len(common):
        notice(f"{left_out} pictures are in one of the two sets only, and left out")
    return common


def _pair(name: str, a: np.ndarray, b: np.ndarray) -> Pair:
    if a.shape[1:] != b.shape[1:]:
        sizes = " and ".join(f"{array.shape[2]}x{array.shape[1]}" for array in (a, b))
        raise SgError(
            f"{name}: {sizes} pixels, and only equal sizes can be compared", "sg data pack --size scales sets"
        )
    return Pair(name, *(as_rgb(torch.tensor(array)[None]) for array in (a, b)))
