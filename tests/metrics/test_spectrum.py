"""Average power spectra."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sgcli.metrics.spectrum import average_spectrum, pixel_statistics


def noise(count=64, size=16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(count, 3, size, size, generator=generator) * 30 + 128).clamp(0, 255).to(torch.uint8)


def wave(across: float, down: float, size=32) -> torch.Tensor:
    u = (torch.arange(size) + 0.5) / size
    phase = 2 * math.pi * (across * u + down * u[:, None])
    return (127.5 + 100 * torch.sin(phase)).to(torch.uint8).expand(1, size, size)


def test_statistics_are_those_of_the_pixels():
    images = noise()
    expected = [float(images.double().mean()), float(images.double().std(correction=0))]
    assert pixel_statistics(images) == pytest.approx(expected)


def test_white_noise_is_flat_at_0_db():
    images = noise(256)
    spectrum = average_spectrum(images, *pixel_statistics(images))
    for values in (spectrum.slice_0()[1], spectrum.slice_45()[1], spectrum.radial()):
        assert np.abs(values).max() < 1.5
    assert spectrum.heat_map().mean() == pytest.approx(0, abs=0.2)


def test_a_wave_is_a_peak_at_its_frequency():
    across, down = average_spectrum([wave(5, 0)], 128, 70), average_spectrum([wave(0, 5)], 128, 70)
    frequencies, values = across.slice_0()
    assert frequencies[values.argmax()] == 5
    assert across.radial().argmax() == 5
    assert values.max() > down.slice_0()[1][5] + 40
    frequencies, values = average_spectrum([wave(6, 6)], 128, 70).slice_45()
    assert frequencies[values.argmax()] == pytest.approx(6 * math.sqrt(2))


def test_the_heat_map_shows_both_signs():
    size = 32
    heat = average_spectrum([wave(5, 3, size)], 128, 70).heat_map()
    assert heat.shape == (4 * size, 4 * size)
    middle = 2 * size
    peaks = {(middle + 4 * 3, middle + 4 * 5), (middle - 4 * 3, middle - 4 * 5)}
    strongest = np.argsort(heat.ravel())[-2:]
    assert {tuple(map(int, np.unravel_index(place, heat.shape))) for place in strongest} == peaks


def test_the_window_has_unit_energy_whatever_the_size():
    for size in (16, 64):
        images = noise(32, size)
        spectrum = average_spectrum(images, *pixel_statistics(images))
        assert 10 * np.log10(10 ** (spectrum.heat_map() / 10)).mean() == pytest.approx(0, abs=0.5)


def test_flat_and_empty_sets_are_refused():
    with pytest.raises(ValueError, match="flat"):
        average_spectrum(noise(), 128, 0)
    with pytest.raises(ValueError, match="at least one"):
        average_spectrum([], 128, 1)
