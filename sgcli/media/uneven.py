"""A sheet of pictures in several sizes, as uncurated results are shown in papers."""

from __future__ import annotations

import numpy as np

from sgcli.media.grid import make_grid
from sgcli.media.pictures import Pixels, as_array, from_pil, to_pil


def make_uneven_grid(pictures: Pixels, rows: int, sizes: int) -> np.ndarray:
    """uint8 `[N, C, R, R]` -> `[C, rows·R, sizes·R]`: bands one picture wide, each with pictures half as large as the
    band before, thus four times as many.

    Raises ValueError unless N = rows · (1 + 4 + 16 + …), and where R cannot be halved so often.
    """
    array = as_array(pictures)
    counts = [rows * 4**level for level in range(sizes)]
    if len(array) != sum(counts) or array.shape[-1] % 2 ** (sizes - 1):
        raise ValueError(f"{len(array)} pictures of {array.shape[-1]}², {sum(counts)} of {sizes} sizes wanted")
    bands = np.split(array, np.cumsum(counts)[:-1])
    return np.concatenate(
        [make_grid(shrink(band, 2**level), 2**level, rows * 2**level) for level, band in enumerate(bands)], axis=2
    )


def shrink(pictures: np.ndarray, times: int) -> np.ndarray:
    """`[N, C, H, W]` averaged over squares of `times` pixels; colours count as much as they are opaque."""
    if times == 1:
        return pictures
    return np.stack([from_pil(to_pil(picture).reduce(times)) for picture in pictures])
