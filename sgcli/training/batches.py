"""Real images in the order of training, read ahead while the networks compute."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from sgcli.data.dataset import ImageDataset
from sgcli.data.faults import UnreadableFile
from sgcli.data.shards import ShardedDataset
from sgcli.distributed.group import ALONE, Group
from sgcli.progress import warn
from sgcli.training.order import Passes, WindowedPasses
from sgcli.training.randomness import generator_for

MAX_LOST = 16  # neighbouring files; where so many are lost, the disk is


class Batches:
    """Batch at position n: the images n, n + 1, … of an endless sequence of shuffled passes over the data set.

    A function of (seed, n) alone: every image appears once per pass, and a resumed run goes on where it stopped.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        size_at: Callable[[int], int],  # images in the batch at a position
        seed: int,
        device: torch.device,
        group: Group = ALONE,           # the workers that batches are dealt to
    ):  # fmt: skip
        self.dataset, self.size_at, self.seed, self.device, self.group = dataset, size_at, seed, device, group
        self.order = make_order(dataset, seed)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
        self._ahead: tuple[int, Future] | None = None
        self._lost: set[str] = set()  # what was said about files that cannot be read any more

    def at(self, nimg: int) -> tuple[torch.Tensor, torch.Tensor]:
        """This worker's images `[N, K, R, R]` in [-1, 1] and labels `[N, label_dim]` from position nimg.

        Reads ahead.
        """
        if self._ahead is not None and self._ahead[0] == nimg:
            images, labels = self._ahead[1].result()
        else:
            images, labels = self._read(nimg)
        next_nimg = nimg + self.size_at(nimg)
        self._ahead = (next_nimg, self._reader.submit(self._read, next_nimg))
        images = torch.from_numpy(images).to(self.device).to(torch.float32) / 127.5 - 1
        return images, torch.from_numpy(labels).to(self.device)

    def fake_labels(self, purpose: str, nimg: int) -> torch.Tensor:
        """Labels of random data items, for the latents of one phase. `[N, label_dim]`."""
        rng = generator_for(self.seed, f"labels/{purpose}", nimg)
        picks = self.group.deal(rng.integers(len(self.dataset), size=self.size_at(nimg)))
        return torch.from_numpy(self.dataset.labels(picks)).to(self.device)

    def close(self) -> None:
        self._reader.shutdown(wait=True, cancel_futures=True)

    def _read(self, nimg: int) -> tuple[np.ndarray, np.ndarray]:
        indices = self._indices(nimg)
        try:
            images = self.dataset.images(indices)
        except UnreadableFile:
            indices = np.array([self._readable(int(index)) for index in indices])
            images = self.dataset.images(indices)
        return images, self.dataset.labels(indices)

    def _readable(self, index: int) -> int:
        """`index`, or the next image that can be read: a training of days goes on when a file is lost on the way."""
        for candidate in range(index, index + MAX_LOST):
            candidate %= len(self.dataset)
            try:
                self.dataset.images([candidate])
                return candidate
            except UnreadableFile as error:
                if error.message not in self._lost:
                    self._lost.add(error.message)
                    warn(f"{error.message}; the next picture takes its place")
                last_error = error
        raise last_error

    def _indices(self, nimg: int) -> np.ndarray:
        return self.order.at(self.group.deal(range(nimg, nimg + self.size_at(nimg))))


def make_order(dataset: ImageDataset, seed: int) -> Passes:
    """The order in which a training with `seed` sees the images of `dataset`."""
    if isinstance(dataset, ShardedDataset):
        return WindowedPasses(dataset.shard_sizes, seed, dataset.mirror)
    return Passes(len(dataset), seed)
