"""Two picture files, or two sets of pictures with the same names: what belongs together, for distances of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sgcli.data.images import read_image, to_array
from sgcli.data.source import open_source
from sgcli.errors import SgError, UsageError
from sgcli.files import sha256_of_file
from sgcli.media.streams import read_picture
from sgcli.metrics.pixels import as_rgb
from sgcli.metrics.rows import key_of
from sgcli.progress import notice


class Pair(NamedTuple):
    """Two pictures of one size, float32 `[1, 3, H, W]` in 0…255: alpha dropped, greyscale repeated."""

    name: str
    a: torch.Tensor
    b: torch.Tensor


class FilePair:
    """The pair of two picture files."""

    def __init__(self, a: Path, b: Path):
        self.a, self.b = a, b
        self.names = [a.name]
        self.key = key_of(*(None if str(path) == "-" else sha256_of_file(path) for path in (a, b)))

    def __getitem__(self, number: int) -> Pair:
        return _pair(self.a.name, read_picture(self.a), read_picture(self.b))


class SetPairs:
    """Those files of two folders (or zips) that have one name, whatever their suffix. Raises SgError without any.

    names   in the first set
    key     changes with the content of either set
    """

    def __init__(self, a: Path, b: Path):
        self._sources = open_source(a), open_source(b)
        first, second = ({name.rpartition(".")[0]: name for name in source.names} for source in self._sources)
        self._names = [(first[stem], second[stem]) for stem in first if stem in second]
        if not self._names:
            hint = f"ls {a}, ls {b}: pairs go by their names"
            raise SgError(f"{a} and {b}: no picture has the same name in both", hint)
        if left_out := len(first) + len(second) - 2 * len(self._names):
            notice(f"{left_out} pictures are in one of the two sets only, and left out")
        self.names = [name for name, _ in self._names]
        self.key = key_of(*(source.fingerprint() for source in self._sources))

    def __getitem__(self, number: int) -> Pair:
        names = self._names[number]
        images = [read_image(source.read(name), name).image for source, name in zip(self._sources, names, strict=True)]
        return _pair(names[0], *map(to_array, images))


def open_pairs(a: Path, b: Path) -> FilePair | SetPairs:
    """What belongs together in two files or sets. Raises SgError where a path is missing or nothing does."""
    return SetPairs(a, b) if _is_set(a, b) else FilePair(a, b)


def _is_set(a: Path, b: Path) -> bool:
    """Whether two sets are meant, and not two files. Raises where it is one of each."""
    kinds = [path.is_dir() or path.suffix.lower() == ".zip" for path in (a, b)]
    for path in (a, b):
        if str(path) != "-" and not path.exists():
            raise SgError(f"{path}: no such file or folder", "check the spelling of the path")
    if kinds[0] != kinds[1]:
        raise UsageError(f"{a} and {b}: a set and a single picture", "two pictures, or two folders or zips")
    return kinds[0]


def _pair(name: str, a: np.ndarray, b: np.ndarray) -> Pair:
    if a.shape[1:] != b.shape[1:]:
        sizes = " and ".join(f"{array.shape[2]}x{array.shape[1]}" for array in (a, b))
        raise SgError(
            f"{name}: {sizes} pixels, and only equal sizes can be compared", "sg data pack --size scales sets"
        )
    return Pair(name, *(as_rgb(torch.tensor(array)[None]) for array in (a, b)))
