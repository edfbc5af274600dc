"""What metrics measure: pictures drawn by a model, pictures of a data set, or features and statistics from a file.

Pictures are uint8 `[N, C, R, R]`, read by number. Those of a model follow the published protocol (spec stylegan2-ada
§9.1): no truncation, fresh noise maps, labels of random items of the data set; only that every draw follows from a
seed: picture i of `--seed s` is the one that `sg generate --noise random` draws for seed s · 1,000,000 + i.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sgcli.data.dataset import ImageDataset
from sgcli.distributed.group import ALONE, Group
from sgcli.errors import SgError, UsageError
from sgcli.files import sha256_of_file
from sgcli.latents.draw import draw_pictures
from sgcli.latents.seeds import latents_of_seeds
from sgcli.media.pictures import to_uint8
from sgcli.metrics.rows import compute_rows, key_of
from sgcli.models.base import Generator

READ_AT_ONCE = 64
PIXELS_AT_ONCE = 64 * 64**2
SEEDS_APART = 1_000_000  # between the pictures of one --seed and those of the next
NUM_SEEDS = 2**32


class Pictures(ABC):
    """A set of pictures.

    name        as the user typed it
    key         changes with anything that changes the pictures; None where that is not known
    limit       how many there are; None for a model, which draws as many as are asked for
    resolution, num_channels
    """

    name: str
    key: str | None
    limit: int | None
    resolution: int
    num_channels: int

    @abstractmethod
    def facts(self, role: str) -> dict[str, Any]:
        """Provenance for the result line; `role` is "fake" (what is measured) or "data" (what it is held against)."""

    @abstractmethod
    def numbers(self, count: int) -> Sequence[int]:
        """Which pictures stand for the set where `count` are looked at."""

    @abstractmethod
    def read(self, numbers: Sequence[int]) -> torch.Tensor:
        """These pictures, uint8 `[N, C, R, R]`, on the CPU."""

    @abstractmethod
    def take(self, count: int, group: Group = ALONE) -> torch.Tensor:
        """`count` pictures as one tensor, over a memory-mapped file where they were drawn.

        Workers share the reading and drawing, and all get all pictures. Drawing goes on where it was stopped.
        """

    def count(self, wanted: int | None, at_least: int = 1) -> int:
        """How many pictures a metric gets that wants `wanted` (None: all). Raises UsageError for too few."""
        available = self.limit if wanted is None or (self.limit or wanted) < wanted else wanted
        assert available is not None, "a model has no 'all'"
        if available < at_least:
            raise UsageError(
                f"{self.name}: {available} picture{'s' * (available != 1)}, at least {at_least} are needed",
                f"--num {at_least}" if self.limit is None or self.limit >= at_least else "give a larger set",
            )
        return available

    def batches(self, count: int, start: int = 0, stop: int | None = None) -> Iterator[torch.Tensor]:
        """The pictures from the `start`-th to before the `stop`-th (None: the last) of `count`, a few at a time."""
        numbers = self.numbers(count)[start:stop]
        for first in range(0, len(numbers), READ_AT_ONCE):
            yield self.read(numbers[first : first + READ_AT_ONCE])

    def stack(self, count: int, start: int, stop: int) -> np.ndarray:
        """The same pictures at once."""
        return torch.cat(list(self.batches(count, start, stop))).numpy()


class DataPictures(Pictures):
    """The pictures of a data set, in its order and unmirrored. Fewer than all are spread evenly over it.

    (The published code takes the first ones, which in a sorted data set are all of one class.)
    """

    def __init__(self, dataset: ImageDataset):
        self.name = str(dataset.path)
        self.dataset = dataset
        self.limit: int = dataset.num_images
        self.resolution, self.num_channels = dataset.resolution, dataset.num_channels

    @cached_property
    def key(self) -> str:  # type: ignore[override]
        return self.dataset.fingerprint()

    def facts(self, role: str) -> dict[str, Any]:
        return {role: self.name, f"{role}_fingerprint": self.key}

    def numbers(self, count: int) -> Sequence[int]:
        return [position * self.limit // count for position in range(count)]

    def read(self, numbers: Sequence[int]) -> torch.Tensor:
        return torch.from_numpy(self.dataset.images(numbers))

    def take(self, count: int, group: Group = ALONE) -> torch.Tensor:
        what = Path(self.name).name
        return torch.from_numpy(compute_rows(what, count, partial(self.stack, count), group=group))


class DrawnPictures(Pictures):
    """What a generator draws. Pictures are kept in an unnamed file, so that several metrics can share them."""

    limit = None

    def __init__(
        self,
        G: Generator,
        name: str,
        *,
        seed: int = 0,
        batch: int | None = None,                 # pictures drawn at a time; None: by their size
        labels_from: ImageDataset | None = None,  # its labels are drawn from; None: all classes alike
        truncation_psi: float = 1.0,
        sha256: str | None = None,                # of the model file
        facts: dict[str, Any] | None = None,      # arch, kimg
    ):  # fmt: skip
        self.G, self.name, self.seed, self.psi = G, name, seed, truncation_psi
        self.batch = batch or usual_batch(G.img_resolution)
        self.resolution, self.num_channels = G.img_resolution, G.img_channels
        self.labels_from = labels_from if G.c_dim > 0 else None
        labels = self.labels_from.fingerprint() if self.labels_from else None
        self.sha256, self._facts = sha256, facts or {}
        self.key = sha256 and _digest(sha256, seed, truncation_psi, labels, next(G.parameters()).device.type)
        self._kept: np.ndarray | None = None
        self._is_kept = np.zeros(0, bool)

    def facts(self, role: str) -> dict[str, Any]:
        word = "model" if role == "fake" else role
        origin = {word: self.name, f"{word}_sha256": self.sha256, **self._facts}
        return {**origin, "seed": self.seed, "truncation_psi": self.psi}

    def numbers(self, count: int) -> Sequence[int]:
        return range(count)

    def read(self, numbers: Sequence[int]) -> torch.Tensor:
        if self._kept is None or max(numbers) >= len(self._kept):
            return self._draw(numbers)
        missing = [number for number in numbers if not self._is_kept[number]]
        if missing:
            self._kept[missing] = self._draw(missing).numpy()
            self._is_kept[missing] = True
        return torch.from_numpy(self._kept[np.asarray(numbers)])

    def take(self, count: int, group: Group = ALONE) -> torch.Tensor:
        self.keep(count)
        kept = None if self._kept is None or len(self._kept) < count else self._kept[:count]
        is_whole = kept is not None and self._is_kept[:count].all()
        if kept is not None and not group.largest(int(not is_whole)):
            return torch.from_numpy(kept)
        what, compute = f"pictures of {Path(self.name).name}", partial(self.stack, count)
        if kept is None:  # nor is there room on disk for going on after a stop
            return torch.from_numpy(compute_rows(what, count, compute, group=group))
        compute_rows(what, count, compute, key=key_of("pictures", self.key), group=group, room=lambda shape, form: kept)
        self._is_kept[:count] = True
        return torch.from_numpy(kept)

    def keep(self, count: int) -> None:
        """Make room to keep the first `count` pictures, unless they would take half of the disk's free space."""
        shape = (count, self.num_channels, self.resolution, self.resolution)
        num_kept = 0 if self._kept is None else len(self._kept)
        if num_kept >= count or math.prod(shape) > shutil.disk_usage(tempfile.gettempdir()).free / 2:
            return
        with tempfile.TemporaryFile() as file:  # the mapping lives on when the file is closed
            kept = np.memmap(file, np.uint8, "w+", shape=shape)
        is_kept = np.zeros(count, bool)
        if self._kept is not None:
            kept[:num_kept], is_kept[:num_kept] = self._kept, self._is_kept
        self._kept, self._is_kept = kept, is_kept

    def _draw(self, numbers: Sequence[int]) -> torch.Tensor:
        seeds = self.seeds(numbers)
        z = torch.from_numpy(latents_of_seeds(seeds, self.G.z_dim))
        c = self.labels(seeds)
        pictures = draw_pictures(self.G, z, seeds, c, psi=self.psi, noise="random", batch=self.batch)
        drawn = torch.stack(list(pictures))
        if not drawn.isfinite().all():
            raise SgError(f"{self.name}: draws NaN or infinite values", "take an earlier snapshot of its run")
        return to_uint8(drawn).cpu()

    def seeds(self, numbers: Sequence[int]) -> list[int]:
        """The seed of each picture."""
        return [(self.seed * SEEDS_APART + number) % NUM_SEEDS for number in numbers]

    def labels(self, seeds: list[int]) -> torch.Tensor | None:
        """A random label for each seed, `[N, c_dim]`: of a picture of the data set, else any class. None without."""
        if self.G.c_dim == 0:
            return None
        population = self.G.c_dim if self.labels_from is None else self.labels_from.num_images
        picks = np.array([np.random.default_rng(seed).integers(population) for seed in seeds])
        if self.labels_from is None:
            return torch.from_numpy(np.eye(self.G.c_dim, dtype=np.float32)[picks])
        return torch.from_numpy(self.labels_from.labels(picks))


class FeatureFile:
    """Features `[N, F]` from a .npy file."""

    def __init__(self, path: Path, features: np.ndarray):
        self.name, self.features = str(path), features
        self.key = sha256_of_file(path)

    def facts(self, role: str) -> dict[str, Any]:
        return {role: self.name, f"{role}_sha256": self.key}


class StatisticsFile:
    """Mean `[F]` and covariance `[F, F]` of the features of `num` pictures (0: not known), from a .npz file."""

    def __init__(self, path: Path, mu: np.ndarray, sigma: np.ndarray, num: int):
        self.name, self.mu, self.sigma, self.num = str(path), mu, sigma, num
        self.key = sha256_of_file(path)

    def facts(self, role: str) -> dict[str, Any]:
        return {role: self.name, f"{role}_sha256": self.key}


Source = Pictures | FeatureFile | StatisticsFile


def usual_batch(resolution: int) -> int:
    """Pictures computed at a time: 16, of 64² and below 64, which take two thirds of the time on a CPU."""
    return max(16, min(64, PIXELS_AT_ONCE // resolution**2))


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
