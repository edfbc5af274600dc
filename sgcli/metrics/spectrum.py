"""Average power spectrum of a set of pictures (spec stylegan3 §8, `avg_spectra`; StyleGAN3 paper, figure 6).

Two sets with the same spectrum have the same amount of detail at every scale and in every direction; too much along the
axes is the trace of an aliasing generator. Frequencies are in cycles per picture width, power in dB.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sgcli.metrics.rows import Rows, at_once
from sgcli.metrics.sources import Pictures

KAISER_BETA = 8.0  # of the window that hides the picture's borders
INTERPOLATION = 4  # spectrum samples per cycle
FLOOR = 1e-30  # power that counts as none
PARTS = 16  # of the pictures, summed one by one: what workers share, and what is lost when the work is stopped


@dataclass(frozen=True)
class Spectrum:
    """Mean power over pictures and channels, of whitened pixels: white noise of the same variance has 0 dB."""

    resolution: int
    power: (
        np.ndarray
    )  # float64 [L, L/2 + 1], L = 4 R; frequency 0 first, then rising, negative ones at the end of axis 0

    def slice_0(self) -> tuple[np.ndarray, np.ndarray]:
        """Whole frequencies 0 … R/2, and the power along the horizontal axis."""
        frequencies = np.arange(self.resolution // 2 + 1)
        return frequencies, _decibels(self.power[0, ::INTERPOLATION])

    def slice_45(self) -> tuple[np.ndarray, np.ndarray]:
        """Frequencies 0 … R/√2, and the power along the falling diagonal."""
        steps = np.arange(self.resolution // 2 + 1)
        places = steps * INTERPOLATION
        return steps * np.sqrt(2), _decibels(self.power[places, places])

    def radial(self) -> np.ndarray:
        """Power at the whole frequencies 0 … R/2, averaged over all directions."""
        down = np.fft.fftfreq(len(self.power), 1 / len(self.power))[:, None]
        across = np.arange(self.power.shape[1])[None]
        rings = np.rint(np.hypot(down, across) / INTERPOLATION).astype(int)
        weight = np.where((across == 0) | (across == self.power.shape[1] - 1), 1.0, 2.0)  # what rfft leaves out
        weight = np.broadcast_to(weight, rings.shape)
        total = np.bincount(rings.ravel(), (self.power * weight).ravel()) / np.bincount(rings.ravel(), weight.ravel())
        return _decibels(total[: self.resolution // 2 + 1])

    def heat_map(self) -> np.ndarray:
        """Power in dB with frequency 0 in the middle, `[L, L]`, L = 4 R: rows from -R/2 (top) to R/2."""
        mirrored = np.roll(self.power[::-1], 1, axis=0)[:, -2:0:-1]  # S(-u, -v) = S(u, v)
        return np.fft.fftshift(_decibels(np.concatenate([self.power, mirrored], axis=1)))


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, FLOOR))


def pixel_statistics(pictures: Pictures, count: int, rows: Rows = at_once) -> tuple[float, float]:
    """Mean and standard deviation over all pixels and channels of `count` pictures."""

    def sums(images: Iterable[torch.Tensor]) -> np.ndarray:
        parts = [(x.numel(), float(x.sum()), float(x.square().sum())) for x in (image.double() for image in images)]
        return np.array(parts).sum(axis=0)

    numel, total, squares = _sum(pictures, count, sums, rows, "pixel statistics")
    mean = total / numel
    return float(mean), float(max(squares / numel - mean**2, 0.0) ** 0.5)


def average_spectrum(pictures: Pictures, count: int, mean: float, std: float, rows: Rows = at_once) -> Spectrum:
    """The spectrum of `count` pictures, whitened with the statistics of a set.

    Sets that are compared are whitened with the statistics of one of them. Raises ValueError where std is 0.
    """
    if std <= 0:
        raise ValueError("flat pictures have no spectrum")

    def power(images: Iterable[torch.Tensor]) -> np.ndarray:
        total = sum(_power(image, mean, std) for image in images)  # one by one: each has 16 times a picture's samples
        assert isinstance(total, torch.Tensor)
        return total.numpy()

    total = _sum(pictures, count, power, rows, f"spectrum of {Path(pictures.name).name}")
    return Spectrum(pictures.resolution, total / count)


def _sum(
    pictures: Pictures, count: int, add: Callable[[Iterable[torch.Tensor]], np.ndarray], rows: Rows, what: str
) -> np.ndarray:
    """What `add` makes of pictures, uint8 `[C, R, R]` each, summed over all: parts of them are the rows."""
    num_parts = min(PARTS, count)

    def compute(start: int, stop: int) -> np.ndarray:
        cuts = [part * count // num_parts for part in range(start, stop + 1)]
        batches = (pictures.batches(count, *ends) for ends in itertools.pairwise(cuts))
        return np.stack([add(itertools.chain.from_iterable(part)) for part in batches])

    return rows(what, num_parts, compute, 1).sum(axis=0)


def _power(picture: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    """|FFT|² of uint8 `[C, R, R]` under a window of unit energy, averaged over channels. float64 `[L, L/2 + 1]`."""
    resolution = picture.shape[-1]
    window = torch.from_numpy(np.kaiser(resolution, KAISER_BETA)).float().to(picture.device)
    window = window / window.norm()
    x = (picture.float() - mean) / std * window * window[:, None]
    size = resolution * INTERPOLATION
    return torch.fft.rfft2(x, s=(size, size)).abs().square().double().mean(dim=0)
