"""In which order training sees the images: an endless sequence of shuffled passes, each image once per pass.

Which image stands at a place of it is a function of (seed, place) alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sgcli.training.randomness import generator_for

WINDOW = 16384  # images that are shuffled together where a set is too large to be read at random


class Passes:
    """Every pass is a random permutation of all `length` images."""

    def __init__(self, length: int, seed: int):
        self.length, self.seed = length, seed
        self._orders: dict[int, np.ndarray] = {}

    def at(self, places: Sequence[int] | np.ndarray) -> np.ndarray:
        """The images at these places, `[N]`."""
        passes, rest = np.divmod(np.asarray(places, np.int64), self.length)
        return np.array([self._order(int(number))[place] for number, place in zip(passes, rest, strict=True)], np.int64)

    def _order(self, number: int) -> np.ndarray:
        if number not in self._orders:
            self._orders = {key: order for key, order in self._orders.items() if key >= number - 1}
            self._orders[number] = generator_for(self.seed, "data-order", number).permutation(self.length)
        return self._orders[number]


class WindowedPasses(Passes):
    """Images lie in shards that are read one after the other: a pass takes the shards in random order, and shuffles the
    images within windows of that sequence.

    With `mirror` the flipped copies have the numbers from sum(shard_sizes) on; a pass goes through all shards twice and
    shows of each image first the one, then the other.
    """

    def __init__(self, shard_sizes: Sequence[int], seed: int, mirror: bool = False, window: int = WINDOW):
        super().__init__(sum(shard_sizes), seed)
        self.mirror, self.window = mirror, window
        self.sizes = np.asarray(shard_sizes)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self._windows: dict[tuple[int, int], np.ndarray] = {}

    def at(self, places: Sequence[int] | np.ndarray) -> np.ndarray:
        passes, rest = np.divmod(np.asarray(places, np.int64), self.length)
        images = np.array([self._image(int(n), int(place)) for n, place in zip(passes, rest, strict=True)], np.int64)
        if not self.mirror:
            return images
        pairs, is_second = np.divmod(passes, 2)
        flips = np.array([self._flip(int(pair), int(image)) for pair, image in zip(pairs, images, strict=True)])
        return images + self.length * (flips ^ is_second)

    def _flip(self, pair: int, image: int) -> int:
        return int(generator_for(self.seed, f"flip/{pair}", image).integers(2))

    def _image(self, number: int, place: int) -> int:
        window, offset = divmod(place, self.window)
        return self._window(number, window)[offset]

    def _window(self, number: int, window: int) -> np.ndarray:
        key = number, window
        if key not in self._windows:
            self._windows = dict(list(self._windows.items())[-1:])  # the one before: read-ahead looks across the border
            first = window * self.window
            images = self._in_order(number, first, min(first + self.window, self.length))
            self._windows[key] = generator_for(self.seed, f"window/{number}", window).permutation(images)
        return self._windows[key]

    def _in_order(self, number: int, first: int, stop: int) -> np.ndarray:
        """The images at places first … stop-1 of pass `number` before shuffling: shard after shard."""
        order = self._shard_order(number)
        ends = np.cumsum(self.sizes[order])
        begin, end = np.searchsorted(ends, [first, stop - 1], side="right")
        images = np.concatenate([self.starts[s] + np.arange(self.sizes[s]) for s in order[begin : end + 1]])
        skipped = first - (ends[begin] - self.sizes[order[begin]])
        return images[skipped : skipped + stop - first]

    def _shard_order(self, number: int) -> np.ndarray:
        return generator_for(self.seed, "shard-order", number).permutation(len(self.sizes))
