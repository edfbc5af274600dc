"""Average power spectrum of a set of pictures (spec stylegan3 §8, `avg_spectra`; StyleGAN3 paper, figure 6).

Two sets with the same spectrum have the same amount of detail at every scale and in every direction; too much along the
axes is the trace of an aliasing generator. Frequencies are in cycles per picture width, power in dB.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

KAISER_BETA = 8.0  # of the window that hides the picture's borders
INTERPOLATION = 4  # spectrum samples per cycle
FLOOR = 1e-30  # power that counts as none


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


def pixel_statistics(pictures: Iterable[torch.Tensor]) -> tuple[float, float]:
    """Mean and standard deviation over all pixels and channels of pictures, uint8 `[C, R, R]` each."""
    count, total, squares = 0, 0.0, 0.0
    for picture in pictures:
        x = picture.double()
        count += x.numel()
        total += float(x.sum())
        squares += float(x.square().sum())
    mean = total / count
    return mean, max(squares / count - mean**2, 0.0) ** 0.5


def average_spectrum(pictures: Iterable[torch.Tensor], mean: float, std: float) -> Spectrum:
    """The spectrum of pictures, uint8 `[C, R, R]` each, whitened with the statistics of a set.

    Sets that are compared are whitened with the statistics of one of them. Raises ValueError where std is 0.
    """
    if std <= 0:
        raise ValueError("flat pictures have no spectrum")
    power, count, resolution = None, 0, 0
    for picture in pictures:  # one by one: a spectrum has 16 times the samples of a picture
        resolution = picture.shape[-1]
        spectrum = _power(picture, mean, std)
        power = spectrum if power is None else power + spectrum
        count += 1
    if power is None:
        raise ValueError("a spectrum needs at least one picture")
    return Spectrum(resolution, (power / count).cpu().numpy())


def _power(picture: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    """|FFT|² of uint8 `[C, R, R]` under a window of unit energy, averaged over channels. float64 `[L, L/2 + 1]`."""
    resolution = picture.shape[-1]
    window = torch.from_numpy(np.kaiser(resolution, KAISER_BETA)).float().to(picture.device)
    window = window / window.norm()
    x = (picture.float() - mean) / std * window * window[:, None]
    size = resolution * INTERPOLATION
    return torch.fft.rfft2(x, s=(size, size)).abs().square().double().mean(dim=0)
