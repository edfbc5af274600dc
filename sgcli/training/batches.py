"""Real images in the order of training, read ahead while the networks compute."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from sgcli.data.dataset import ImageDataset
from sgcli.training.randomness import generator_for


class Batches:
    """Batch at position n: the images n, n + 1, … of an endless sequence of shuffled passes over the data set.

    A function of (seed, n) alone: every image appears once per pass, and a resumed run goes on where it stopped.
    """

    def __init__(self, dataset: ImageDataset, size_at: Callable[[int], int], seed: int, device: torch.device):
        """size_at: images in the batch at a position."""
        self.dataset, self.size_at, self.seed, self.device = dataset, size_at, seed, device
        self._orders: dict[int, np.ndarray] = {}
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
        self._ahead: tuple[int, Future] | None = None

    def at(self, nimg: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images `[N, K, R, R]` in [-1, 1] and labels `[N, label_dim]` from position nimg; reads ahead."""
        if self._ahead is not None and self._ahead[0] == nimg:
            images, labels = self._ahead[1].result()
        else:
            images, labels = self._read(nimg)
        next_nimg = nimg + len(images)
        self._ahead = (next_nimg, self._reader.submit(self._read, next_nimg))
        images = torch.from_numpy(images).to(self.device).to(torch.float32) / 127.5 - 1
        return images, torch.from_numpy(labels).to(self.device)

    def fake_labels(self, purpose: str, nimg: int) -> torch.Tensor:
        """Labels of random data items, for the latents of one phase. `[N, label_dim]`."""
        rng = generator_for(self.seed, f"labels/{purpose}", nimg)
        picks = rng.integers(len(self.dataset), size=self.size_at(nimg))
        return torch.from_numpy(self.dataset.labels(picks)).to(self.device)

    def close(self) -> None:
        self._reader.shutdown(wait=True, cancel_futures=True)

    def _read(self, nimg: int) -> tuple[np.ndarray, np.ndarray]:
        indices = self._indices(nimg)
        return self.dataset.images(indices), self.dataset.labels(indices)

    def _indices(self, nimg: int) -> np.ndarray:
        positions = np.arange(nimg, nimg + self.size_at(nimg))
        passes, places = np.divmod(positions, len(self.dataset))
        return np.array([self._order(int(number))[place] for number, place in zip(passes, places, strict=True)])

    def _order(self, number: int) -> np.ndarray:
        if number not in self._orders:
            rng = generator_for(self.seed, "data-order", number)
            self._orders = {key: order for key, order in self._orders.items() if key >= number - 1}
            self._orders[number] = rng.permutation(len(self.dataset))
        return self._orders[number]
