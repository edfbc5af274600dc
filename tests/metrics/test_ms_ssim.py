"""MS-SSIM: against golden numbers, and what must hold for any pictures."""

from __future__ import annotations

import pytest
import torch

from sgcli.metrics.ms_ssim import ms_ssim, ms_ssim_diversity
from tests.golden_files import Golden, assert_close


def random_pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_golden():
    golden = Golden("swd-msssim")
    assert_close(ms_ssim(golden["P"], golden["Q"]), torch.tensor(golden.info["cases"]["msssim_P_Q"]))


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (64, 64)])
def test_equal_pictures_have_similarity_one(size):
    images = random_pictures(3, 3, *size)
    assert_close(ms_ssim(images, images), torch.ones(3))


def test_symmetric_and_at_most_one():
    a, b = random_pictures(40, 3, 32, 32), random_pictures(40, 3, 32, 32, seed=1)
    values = ms_ssim(a, b)
    assert values.shape == (40,)
    assert (values >= 0).all() and (values < 1).all()
    assert_close(ms_ssim(b, a), values)


def test_each_value_belongs_to_its_pair():
    a, b = random_pictures(40, 3, 16, 16), random_pictures(40, 3, 16, 16, seed=1)
    b[35] = a[35]
    values = ms_ssim(a, b)
    assert values.argmax() == 35
    assert_close(ms_ssim(a[30:], b[30:]), values[30:])


def test_negative_terms_count_as_zero():
    image = random_pictures(1, 3, 64, 64).float()
    assert ms_ssim(image, 255 - image) == 0


def test_channels():
    grey, other = random_pictures(2, 1, 16, 16), random_pictures(2, 1, 16, 16, seed=1)
    expected = ms_ssim(grey, other)
    assert_close(ms_ssim(grey.expand(-1, 3, -1, -1), other.float()), expected)
    assert_close(ms_ssim(torch.cat([grey, grey, grey, other], dim=1), other), expected)


def test_diversity():
    images = random_pictures(10, 3, 16, 16)
    assert ms_ssim_diversity(images[:1].expand(4, -1, -1, -1), 3, seed=0) == pytest.approx(1)
    assert ms_ssim_diversity(images, 50, seed=0) == ms_ssim_diversity(images, 50, seed=0)
    assert ms_ssim_diversity(images, 50, seed=0) != ms_ssim_diversity(images, 50, seed=1)
    assert ms_ssim_diversity(images[:2], 1, seed=0) == pytest.approx(ms_ssim(images[:1], images[1:2]).item(), rel=1e-5)


def test_no_picture_serves_twice_before_all_have(monkeypatch):
    seen = []

    def record(a, b):
        seen.extend(torch.cat([a, b])[:, 0, 0, 0].tolist())
        return torch.zeros(len(a))

    monkeypatch.setattr("sgcli.metrics.ms_ssim.ms_ssim", record)
    numbered = torch.arange(100).view(100, 1, 1, 1).expand(-1, 1, 16, 16)
    ms_ssim_diversity(numbered, 50, seed=0)
    assert sorted(seen) == list(range(100))


@pytest.mark.parametrize(
    ("a", "b", "named"),
    [
        ((2, 3, 32, 32), (3, 3, 32, 32), ["[2, 3, 32, 32]", "[3, 3, 32, 32]"]),
        ((2, 3, 32, 32), (2, 3, 32, 16), ["[2, 3, 32, 32]", "[2, 3, 32, 16]"]),
        ((3, 32, 32), (3, 32, 32), ["[3, 32, 32]"]),
        ((2, 3, 15, 32), (2, 3, 15, 32), ["[2, 3, 15, 32]"]),
    ],
)
def test_shapes_that_do_not_fit(a, b, named):
    with pytest.raises(ValueError) as raised:
        ms_ssim(torch.zeros(a), torch.zeros(b))
    assert all(shape in str(raised.value) for shape in named)


def test_diversity_needs_two_pictures():
    with pytest.raises(ValueError, match="two pictures"):
        ms_ssim_diversity(torch.zeros(1, 3, 16, 16), 5, seed=0)
