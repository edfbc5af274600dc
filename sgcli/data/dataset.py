"""A data set as training and metrics see it: images by index, labels, attributes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sgcli.data import images
from sgcli.data.check import Findings, inspect_images, refuse_faults
from sgcli.data.faults import UnreadableFile, dataset_name
from sgcli.data.labels import Annotations, read_annotations
from sgcli.data.parallel import map_in_threads
from sgcli.data.shard_names import is_sharded
from sgcli.data.source import Source, open_source
from sgcli.errors import UsageError

CACHE_BYTES = 2 << 30


@dataclass(frozen=True)
class Attributes:
    """Named properties of every image, such as smiling or wearing glasses."""

    names: list[str]
    values: np.ndarray  # float32 [num_images, len(names)], in the order of the images


def open_dataset(
    path: str | os.PathLike,
    labels: str = "auto",
    max_images: int | None = None,
    seed: int = 0,
    mirror: bool = False,
    cache_bytes: int = CACHE_BYTES,
    hold_out: int = 0,
) -> ImageDataset:
    """Open images in a folder, zip or tar, after checking all of them (what passed before is not checked again).

    Data sets in shards (data.shard_names) were checked when they were packed, or are at first sight (data.shards).

    labels: 'auto' (dataset.json where it has labels), 'json', 'subfolders' (first folder = class) or 'none'.
    max_images: take a fixed random subset of this size, chosen by `seed`.
    mirror: append a flipped copy of every image, which doubles the length.
    cache_bytes: decoded images are kept in memory if all of them fit.
    hold_out: leave out so many random images, those that `open_held_out` opens; `max_images` counts without them.

    Raises SgError with the list of faults and the command that repairs them; UsageError for wrong arguments.
    """
    from sgcli.data.shards import open_shards  # which builds upon this module

    if max_images is not None and max_images < 1:
        raise UsageError(f"--max-images {max_images}: at least one image is needed", "--max-images 1000")
    if is_sharded(path):
        return open_shards(path, labels, mirror, max_images, hold_out)
    opened = _open_checked(path, labels)
    names = _choose(opened.source.names, max_images, seed, hold_out)
    return ImageDataset(opened, names, labels, seed, mirror, cache_bytes, hold_out)


def open_held_out(path: str | os.PathLike, count: int, labels: str = "auto", seed: int = 0) -> ImageDataset:
    """Open the images that `open_dataset` with `hold_out=count` and the same `seed` leaves out, unmirrored."""
    opened = _open_checked(path, labels)
    everything = opened.source.names
    rest = set(_choose(everything, None, seed, count))
    return ImageDataset(opened, [name for name in everything if name not in rest], labels, seed)


class _Opened(NamedTuple):
    source: Source
    findings: Findings
    annotations: Annotations


def _open_checked(path: str | os.PathLike, labels: str) -> _Opened:
    source = open_source(path)
    annotations = read_annotations(source, labels)
    findings = inspect_images(source, use_memory=True)
    findings.faults += annotations.faults
    refuse_faults(findings, path, labels)
    return _Opened(source, findings, annotations)


class ImageDataset:
    """Images of one size and one number of channels, by index. Use `open_dataset` to make one.

    With `mirror`, index i + num_images is the flipped copy of index i, with the same label. Reading is thread-safe.

    path, name: where it lies, and its name without folder and suffix.
    resolution: width and height, a power of two.   num_channels: 1 (grey), 3 (RGB) or 4 (RGBA).
    num_images: before mirroring.   file_names: of the images, in order.
    num_at_hand: so many of the first images can be read in any order without fetching much.
    label_dim: width of a label vector, 0 without labels.   class_names: one per class, or None.
    attributes: names and values, or None.
    """

    def __init__(
        self,
        opened: _Opened,
        names: list[str],
        labels: str,
        seed: int = 0,
        mirror: bool = False,
        cache_bytes: int = CACHE_BYTES,
        hold_out: int = 0,
    ):
        source, findings, annotations = opened
        assert findings.resolution is not None and findings.num_channels is not None
        self.path: Path = source.path
        self.name: str = dataset_name(source.path)
        self.resolution: int = findings.resolution
        self.num_channels: int = findings.num_channels
        self.mirror = mirror
        self.file_names = names
        self.num_images = self.num_at_hand = len(self.file_names)
        self.label_dim = annotations.label_dim
        self.class_names = annotations.class_names
        self.attributes = _attributes(annotations, self.file_names)
        self._source = source
        self._subset_seed = seed if self.num_images < len(source.names) else None
        self._hold_out = hold_out or None
        self._labels_from = labels
        self._labels = annotations.label_array(self.file_names)
        shape = (self.num_images, self.num_channels, self.resolution, self.resolution)
        self._cache = np.empty(shape, np.uint8) if np.prod(shape, dtype=np.int64) <= cache_bytes else None
        self._is_cached = np.zeros(self.num_images, bool)

    def __len__(self) -> int:
        return self.num_images * (2 if self.mirror else 1)

    def images(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """uint8 [N, num_channels, resolution, resolution]; a new array. Raises IndexError, UnreadableFile."""
        rows, is_flipped = self._resolve(indices)
        batch = self._decode(rows) if self._cache is None else self._from_cache(rows, self._cache)
        batch[is_flipped] = batch[is_flipped, :, :, ::-1]
        return batch

    def labels(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """float32 [N, label_dim]: one-hot for class numbers, else as in dataset.json; [N, 0] without labels."""
        rows, _ = self._resolve(indices)
        chosen = self._labels[rows]
        if chosen.ndim == 2:
            return chosen
        one_hot = np.zeros((len(rows), self.label_dim), np.float32)
        one_hot[np.arange(len(rows)), chosen] = 1
        return one_hot

    def describe(self) -> dict:
        """What configurations and model files say about the data, as plain JSON values."""
        return {
            "name": self.name,
            "path": str(self.path),
            "num_images": self.num_images,
            "resolution": self.resolution,
            "num_channels": self.num_channels,
            "label_dim": self.label_dim,
            "labels": self._labels_from,
            "class_names": self.class_names,
            "mirror": self.mirror,
            "subset_seed": self._subset_seed,
            "hold_out": self._hold_out,
            "fingerprint": self.fingerprint(),
        }

    def fingerprint(self) -> str:
        """Hex key of what `images` and `labels` return, for caches: content, choice of images, labels, mirroring."""
        parts = [self._source.fingerprint(), self.file_names, self._labels_from, self.mirror]
        return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()

    def _resolve(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices -> (rows of the unmirrored set, whether flipped)."""
        indices = np.asarray(indices, np.int64)
        if indices.size and not (indices.min() >= 0 and indices.max() < len(self)):
            raise IndexError(f"indices of {self.name} run from 0 to {len(self) - 1}")
        return indices % self.num_images, indices >= self.num_images

    def _from_cache(self, rows: np.ndarray, cache: np.ndarray) -> np.ndarray:
        missing = np.unique(rows[~self._is_cached[rows]])
        if missing.size:
            cache[missing] = self._decode(missing)
            self._is_cached[missing] = True  # only now: another thread may be reading
        return cache[rows]

    def _decode(self, rows: np.ndarray) -> np.ndarray:
        shape = (self.num_channels, self.resolution, self.resolution)
        decoded = list(map_in_threads(self._decode_one, rows, batch=16))
        return np.stack(decoded) if decoded else np.empty((0, *shape), np.uint8)

    def _decode_one(self, row: int) -> np.ndarray:
        return self._decode_file(self._source, self.file_names[row])

    def _decode_file(self, source: Source, name: str) -> np.ndarray:
        pixels = images.to_array(images.read_image(source.read(name), name).image)
        if pixels.shape != (self.num_channels, self.resolution, self.resolution):
            raise UnreadableFile(name, "changed while it was in use")
        return pixels


def _choose(names: list[str], max_images: int | None, seed: int, hold_out: int) -> list[str]:
    """A random subset in the order of `names`, drawn as in the field's own tools (spec stylegan2-ada, section 7).

    What is held out comes from the other end of the shuffled order: it is the same for every `max_images`.
    """
    if hold_out >= len(names):
        raise UsageError(
            f"--holdout {hold_out}: there are {len(names)} images in all, and some must be left to train on",
            f"--holdout {max(len(names) // 10, 1)}, or another data set: --holdout other.zip",
        )
    num = len(names) - hold_out if max_images is None else min(max_images, len(names) - hold_out)
    if num == len(names):
        return names
    order = np.arange(len(names))
    np.random.RandomState(seed).shuffle(order)
    return [names[index] for index in np.sort(order[:num])]


def _attributes(annotations: Annotations, names: list[str]) -> Attributes | None:
    if annotations.attribute_names is None:
        return None
    values = np.array([annotations.attributes[name] for name in names], np.float32)
    return Attributes(annotations.attribute_names, values)
