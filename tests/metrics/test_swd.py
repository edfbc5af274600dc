"""Sliced Wasserstein distance: against golden numbers, and what must hold for any pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sgcli.metrics.swd import laplacian_pyramid, noise_floor, sliced_wasserstein
from tests.golden_files import Golden, assert_close


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("swd-msssim")


def random_pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_pyramid_golden(golden):
    bands = laplacian_pyramid(golden["A"][:2])
    assert len(bands) == 2
    for number, band in enumerate(bands):
        assert_close(band, golden[f"pyramid{number}"])


def test_distance_golden(golden):
    expected = golden.info["cases"]
    levels, mean = sliced_wasserstein(golden["A"], golden["B"], seed=0)
    assert list(levels) == [32, 16]
    found = np.array([*levels.values(), mean])
    assert (abs(found - expected["swdx1e3_mean"]) < 4 * np.array(expected["swdx1e3_std"])).all()


def test_distance_of_a_set_to_itself_is_zero():
    images = random_pictures(5, 3, 32, 32)
    assert sliced_wasserstein(images, images.clone(), seed=1) == ({32: 0.0, 16: 0.0}, 0.0)


def test_distance_is_symmetric_and_repeatable():
    a, b = random_pictures(6, 3, 32, 32), random_pictures(6, 3, 32, 32, seed=1)
    levels, mean = sliced_wasserstein(a, b, seed=3)
    assert sliced_wasserstein(b, a, seed=3)[0] == pytest.approx(levels, rel=1e-5)
    assert sliced_wasserstein(a, b, seed=3) == (levels, mean)
    assert sliced_wasserstein(a, b, seed=4)[1] != mean
    assert mean == pytest.approx(np.mean(list(levels.values())))


def test_chunks_leave_no_trace(monkeypatch):
    a, b = random_pictures(7, 3, 32, 32), random_pictures(7, 3, 32, 32, seed=1)
    whole = sliced_wasserstein(a, b, seed=0)
    monkeypatch.setattr("sgcli.metrics.swd.IMAGES_AT_ONCE", 3)
    monkeypatch.setattr("sgcli.metrics.swd.DIRECTIONS_AT_ONCE", 100)
    pieces = sliced_wasserstein(a, b, seed=0)
    assert pieces[0] == pytest.approx(whole[0], rel=1e-4)


def test_smooth_set_is_farther_than_the_noise_floor():
    images = random_pictures(64, 3, 32, 32)
    smooth = torch.nn.functional.avg_pool2d(images.float(), 5, stride=1, padding=2)
    assert sliced_wasserstein(images, smooth, seed=0)[1] > 2 * noise_floor(images, seed=0)[1]


def test_channels():
    grey, other = random_pictures(4, 1, 16, 16), random_pictures(4, 1, 16, 16, seed=1)
    expected = sliced_wasserstein(grey, other, seed=0)
    assert list(expected[0]) == [16]
    assert sliced_wasserstein(grey.expand(-1, 3, -1, -1), other, seed=0) == expected
    with_alpha = torch.cat([grey.expand(-1, 3, -1, -1), random_pictures(4, 1, 16, 16, seed=2)], dim=1)
    assert sliced_wasserstein(with_alpha, other.float(), seed=0) == expected


def test_one_picture_and_flat_pictures():
    one = random_pictures(1, 3, 16, 16)
    assert sliced_wasserstein(one, random_pictures(1, 3, 16, 16, seed=1), seed=0)[1] > 0
    black, grey = torch.zeros(2, 3, 32, 32), torch.full((2, 3, 32, 32), 99.7)
    assert sliced_wasserstein(black, grey, seed=0) == ({32: 0.0, 16: 0.0}, 0.0)  # each set is normalised by itself


def test_memory_mapped_pictures(tmp_path):
    np.save(tmp_path / "a.npy", random_pictures(3, 3, 16, 16).numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "a.npy", mmap_mode="r+"))
    assert sliced_wasserstein(mapped, mapped, seed=0)[1] == 0


@pytest.mark.parametrize(
    ("real", "fake", "named"),
    [
        ((4, 3, 32, 32), (5, 3, 32, 32), ["[4, 3, 32, 32]", "[5, 3, 32, 32]"]),
        ((4, 3, 32, 32), (4, 3, 16, 16), ["[4, 3, 32, 32]", "[4, 3, 16, 16]"]),
        ((4, 3, 32), (4, 3, 32), ["[4, 3, 32]"]),
        ((0, 3, 32, 32), (0, 3, 32, 32), ["[0, 3, 32, 32]"]),
        ((4, 5, 32, 32), (4, 3, 32, 32), ["[4, 5, 32, 32]"]),
        ((4, 3, 8, 8), (4, 3, 8, 8), ["[4, 3, 8, 8]"]),
        ((4, 3, 48, 48), (4, 3, 48, 48), ["[4, 3, 48, 48]"]),
        ((4, 3, 32, 16), (4, 3, 32, 16), ["[4, 3, 32, 16]"]),
    ],
)
def test_shapes_that_do_not_fit(real, fake, named):
    with pytest.raises(ValueError) as raised:
        sliced_wasserstein(torch.zeros(real), torch.zeros(fake), seed=0)
    assert all(shape in str(raised.value) for shape in named)


def test_noise_floor_of_one_picture():
    with pytest.raises(ValueError, match="at least two"):
        noise_floor(torch.zeros(1, 3, 16, 16), seed=0)
