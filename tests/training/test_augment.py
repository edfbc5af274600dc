"""The augmentation pipeline: golden values at fixed percentiles, spec table, derivatives, distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sgcli.training.augment import PRESETS, TRANSFORMS, AugmentPipe, band_filters, names_of
from sgcli.training.draws import PercentileDraws, RandomDraws
from tests.golden_files import Golden, assert_close

CASES = Golden("augment").info["cases"]["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["key"])
def test_golden(case):
    golden = Golden("augment")
    group, images = case["group"], golden["images"]
    # The file's "geom" is every geometric transform, those of blit included; a single name is that transform alone.
    preset = "bg" if group == "geom" else group
    names = (group,) if group in TRANSFORMS else names_of(preset)
    result = AugmentPipe(names)(images, 1.0, PercentileDraws(case["percentile"], len(images)))
    assert_close(result, golden[case["key"]])


# Spec stylegan2-ada §11: images sin(0.11x + 0.23y + 0.7c + 1.9n) of 32², mean and standard deviation.
TABLE = [
    ("blit", 0.3, -0.022348, 0.706764), ("blit", 0.8, -0.0345608, 0.706256),
    ("geom", 0.3, -0.0514785, 0.702473), ("geom", 0.8, -0.00235977, 0.708198),
    ("color", 0.3, -0.0852159, 0.584045), ("color", 0.8, -0.118337, 1.01696),
    ("filter", 0.3, -0.0216324, 0.67212), ("filter", 0.8, -0.0197049, 0.612233),
    ("cutout", 0.3, 0.0328876, 0.610172), ("cutout", 0.8, 0.0051031, 0.635689),
]  # fmt: skip


@pytest.mark.parametrize(("preset", "q", "mean", "std"), TABLE)
def test_table_of_the_specification(preset, q, mean, std):
    n, c, y, x = np.meshgrid(np.arange(2), np.arange(3), np.arange(32), np.arange(32), indexing="ij")
    images = torch.from_numpy(np.sin(0.11 * x + 0.23 * y + 0.7 * c + 1.9 * n)).float()
    result = AugmentPipe(names_of(preset))(images, 1.0, PercentileDraws(q, 2))
    assert result.mean().item() == pytest.approx(mean, abs=2e-6)
    assert result.std(correction=0).item() == pytest.approx(std, rel=1e-5)


def test_band_filters_split_the_unit_impulse():
    bands = band_filters()
    assert bands.shape == (4, 43)
    np.testing.assert_allclose(bands.sum(axis=0), np.eye(43)[21], atol=1e-12)
    np.testing.assert_allclose(bands.sum(axis=1), [1, 0, 0, 0], atol=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("preset", PRESETS)
def test_p_zero_is_the_identity(preset, channels):
    images = torch.randn(4, channels, 16, 16, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    result = AugmentPipe(names_of(preset))(images, 0.0, RandomDraws(0, "test", range(4)))
    if preset in ("geom", "blit") or preset.startswith("bg"):  # two low-pass filters remain
        images, result = images[:, :, 6:10, 6:10], result[:, :, 6:10, 6:10]
        assert (result - images).abs().mean() < 0.2
    else:
        torch.testing.assert_close(result, images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("p", [0.2, 1.0])
def test_an_image_s_transforms_are_its_own(p):
    images = torch.randn(3, 3, 16, 16)
    pipe = AugmentPipe(TRANSFORMS)
    together = pipe(images, p, RandomDraws(0, "test", range(3)))
    alone = pipe(images[2:], p, RandomDraws(0, "test", [2]))
    torch.testing.assert_close(together[2:], alone)


@pytest.mark.parametrize("preset", ["bgc", "bgcfnc"])
def test_second_derivatives(preset):
    """What R1 through augmentation needs: the derivative of the gradient with respect to its cotangent."""
    pipe = AugmentPipe(names_of(preset))
    images = torch.randn(2, 3, 16, 16, requires_grad=True)

    def function(x):
        return pipe(x, 0.9, RandomDraws(0, "test", range(2)))

    out = function(images)
    u = torch.randn_like(out).requires_grad_(True)
    (gradient,) = torch.autograd.grad(out, images, u, create_graph=True)
    v = torch.randn_like(gradient)
    (second,) = torch.autograd.grad(gradient, u, v)
    # The pipeline is affine in the pictures: its derivative in direction v is f(x + v) - f(x).
    torch.testing.assert_close(second, function(images.detach() + v) - out.detach(), atol=1e-4, rtol=1e-4)


def test_strength_is_the_share_of_images_transformed():
    images = torch.rand(400, 1, 4, 4) + 0.5
    for p in (0.0, 0.3, 1.0, 1.7):  # above 1 the gates are just always open
        result = AugmentPipe(["cutout"])(images, p, RandomDraws(0, "test", range(400)))
        changed = (result != images).flatten(1).any(dim=1).float().mean().item()
        assert changed == pytest.approx(min(p, 1), abs=0.08)
    flipped = AugmentPipe(["brightness"])(images, 0.5, RandomDraws(1, "test", range(400)))
    shift = (flipped - images).flatten(1).mean(dim=1)
    assert (shift != 0).float().mean().item() == pytest.approx(0.5, abs=0.08)
    assert shift[shift != 0].std().item() == pytest.approx(0.2, rel=0.2)


def test_rotation_before_or_after_has_probability_p():
    p = 0.6
    once = 1 - math.sqrt(1 - p)
    assert 1 - (1 - once) ** 2 == pytest.approx(p)


def test_colour_needs_one_or_three_channels():
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        AugmentPipe(names_of("color"))(torch.zeros(2, 4, 8, 8), 1.0, RandomDraws(0, "test", range(2)))
    with pytest.raises(ValueError, match="bgcfnc"):
        names_of("everything")
