"""Average power spectra."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from sgcli.metrics.sources import Pictures
from sgcli.metrics.spectrum import Spectrum, average_spectrum, pixel_statistics


def noise(count=64, size=16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(count, 3, size, size, generator=generator) * 30 + 128).clamp(0, 255).to(torch.uint8)


@dataclass
class Some(Pictures):
    """Pictures of a tensor `[N, C, R, R]`."""

    images: torch.Tensor
    name, key = "some", None

    def __post_init__(self):
        self.limit, self.num_channels, self.resolution = *self.images.shape[:2], self.images.shape[-1]

    def facts(self, role):
        return {}

    def numbers(self, count):
        return range(count)

    def read(self, numbers):
        return self.images[list(numbers)]

    def take(self, count, group=None):
        return self.images[:count]


def statistics(images: torch.Tensor) -> tuple[float, float]:
    return pixel_statistics(Some(images), len(images))


def spectrum_of(images: torch.Tensor, mean: float, std: float) -> Spectrum:
    return average_spectrum(Some(images), len(images), mean, std)


def wave(across: float, down: float, size=32) -> torch.Tensor:
    u = (torch.arange(size) + 0.5) / size
    phase = 2 * math.pi * (across * u + down * u[:, None])
    return (127.5 + 100 * torch.sin(phase)).to(torch.uint8).expand(1, size, size)


def test_statistics_are_those_of_the_pixels():
    images = noise()
    expected = [float(images.double().mean()), float(images.double().std(correction=0))]
    assert statistics(images) == pytest.approx(expected)


def test_white_noise_is_flat_at_0_db():
    images = noise(256)
    spectrum = spectrum_of(images, *statistics(images))
    for values in (spectrum.slice_0()[1], spectrum.slice_45()[1], spectrum.radial()):
        assert np.abs(values).max() < 1.5
    assert spectrum.heat_map().mean() == pytest.approx(0, abs=0.2)


def test_a_wave_is_a_peak_at_its_frequency():
    across, down = spectrum_of(wave(5, 0)[None], 128, 70), spectrum_of(wave(0, 5)[None], 128, 70)
    frequencies, values = across.slice_0()
    assert frequencies[values.argmax()] == 5
    assert across.radial().argmax() == 5
    assert values.max() > down.slice_0()[1][5] + 40
    frequencies, values = spectrum_of(wave(6, 6)[None], 128, 70).slice_45()
    assert frequencies[values.argmax()] == pytest.approx(6 * math.sqrt(2))


def test_the_heat_map_shows_both_signs():
    size = 32
    heat = spectrum_of(wave(5, 3, size)[None], 128, 70).heat_map()
    assert heat.shape == (4 * size, 4 * size)
    middle = 2 * size
    peaks = {(middle + 4 * 3, middle + 4 * 5), (middle - 4 * 3, middle - 4 * 5)}
    strongest = np.argsort(heat.ravel())[-2:]
    assert {tuple(map(int, np.unravel_index(place, heat.shape))) for place in strongest} == peaks


def test_the_window_has_unit_energy_whatever_the_size():
    for size in (16, 64):
        images = noise(32, size)
        spectrum = spectrum_of(images, *statistics(images))
        assert 10 * np.log10(10 ** (spectrum.heat_map() / 10)).mean() == pytest.approx(0, abs=0.5)


def test_flat_sets_are_refused():
    with pytest.raises(ValueError, match="flat"):
        spectrum_of(noise(), 128, 0)
