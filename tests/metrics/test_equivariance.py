"""References of EQ-T and EQ-R against the published implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sgcli.errors import SgError
from sgcli.metrics.equivariance import (
    draw,
    measure_equivariance,
    pseudo_rotate,
    psnr,
    rotate,
    rotation_filter,
    squared_error,
    translate,
)
from sgcli.metrics.pixels import filter_separably
from sgcli.models.base import Generator
from sgcli.models.fourier_input import FourierInput, place
from sgcli.models.registry import build_generator, resolve
from tests.golden_files import Golden, assert_close

GOLDEN = Golden("equivariance")
CASES = GOLDEN.info["cases"]["cases"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_references(case):
    img, kind, i = GOLDEN["img"], case["kind"], case["i"]
    if kind == "rot":
        for name, function in (("rot", rotate), ("pseudo", pseudo_rotate)):
            picture, mask = function(img, case["angle"])
            assert_close(picture, GOLDEN[f"{name}{i}"])
            assert torch.equal(mask, GOLDEN[f"{name}mask{i}"])
    else:
        picture, mask = translate(img, case["tx"], case["ty"])
        assert_close(picture, GOLDEN[f"{kind}{i}"])
        assert torch.equal(mask, GOLDEN[f"{kind}mask{i}"])


def test_the_parity_kit():
    """Sums of masked pictures published for one seeded image (spec stylegan3 §10)."""
    x = torch.from_numpy(np.random.RandomState(5).randn(2, 3, 64, 64)).float()
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    x = filter_separably(torch.nn.functional.pad(x, (2, 2, 2, 2)), taps)
    expected = [
        (translate(x, 6 / 64, -4 / 64), 7.82638, 4627.579, 20880, -0.035544),  # 0.1, -0.07 rounded to pixels
        (translate(x, 0.1, -0.07), -46.8432, 4217.603, 18810, -0.000069),
        (rotate(x, 0.5), -105.9558, 3529.769, 15900, -0.536776),
        (pseudo_rotate(x, 0.5), -71.0387, 3921.975, 17496, -0.360116),
    ]
    for (picture, mask), total, magnitude, area, pixel in expected:
        valid = picture * mask
        sums = [float(valid.sum()), float(valid.abs().sum()), float(mask.sum()), float(picture[0, 1, 30, 33])]
        assert sums == pytest.approx([total, magnitude, area, pixel], rel=1e-4, abs=2e-3)


def test_the_rotation_filter():
    f = rotation_filter(0.5, 4)
    assert f.shape == (47, 47)
    assert [float(f.sum()), float(f[23, 23]), float(f[20, 30])] == pytest.approx([1, 0.0530, -0.0014], abs=5e-5)
    f = rotation_filter(-0.5, 1)
    assert f.shape == (11, 11)
    assert [float(f[5, 5]), float(f[3, 6])] == pytest.approx([0.9996, 0.0080], abs=5e-5)


# ----- freshly initialised networks


def fresh(arch: str) -> Generator:
    """A narrow generator of 64² whose magnitudes have settled, as they have after a few steps of training."""
    torch.manual_seed(0)
    preset = resolve(arch)
    sizes = {"img_resolution": 64, "img_channels": 3, "c_dim": 0, "z_dim": 32, "w_dim": 32, "mapping_layers": 2}
    G = build_generator({**preset.G, **sizes, "channel_base": 256, "channel_max": 16}).eval().requires_grad_(False)
    for module in G.modules():
        if hasattr(module, "magnitude_ema_kimg"):
            module.magnitude_ema_kimg = 1e-9
    G.synthesis(G.mapping(torch.randn(4, 32)), update_emas=True)
    return G


def inner(mask: torch.Tensor, border: int = 8) -> torch.Tensor:
    mask = mask.clone()
    mask[..., :border, :] = mask[..., -border:, :] = mask[..., :, :border] = mask[..., :, -border:] = 0
    return mask


def translation_psnr(G: Generator, ws: torch.Tensor) -> float:
    """EQ-T of a fractional shift on the inner image."""
    shift = (0.1, -0.07)
    reference, mask = translate(draw(G, ws), *shift)
    return psnr(squared_error(reference, draw(G, ws, place(shift)), inner(mask)).numpy())


def quarter_turn_psnr(G: Generator, ws: torch.Tensor) -> float:
    """Agreement with the picture turned by 90 degrees, which needs no interpolation."""
    turned = draw(G, ws, place(rotate=math.pi / 2))
    return psnr(squared_error(draw(G, ws).rot90(1, (2, 3)), turned, torch.ones_like(turned)).numpy())


def test_rotation_equivariance_of_a_fresh_r_network():
    G = fresh("sg3-r")
    ws = G.mapping(torch.randn(4, 32))
    assert draw(G, ws).std(dim=(2, 3)).mean() > 0.2, "flat pictures would pass any test"
    assert translation_psnr(G, ws) > 70
    assert quarter_turn_psnr(G, ws) > 100


def test_a_fresh_t_network_moves_but_does_not_turn():
    G = fresh("sg3-t")
    ws = G.mapping(torch.randn(4, 32))
    assert translation_psnr(G, ws) > 55
    assert quarter_turn_psnr(G, ws) < 45


def test_fourier_features_alone_are_not_enough():
    G = fresh("sg3-b")
    ws = G.mapping(torch.randn(4, 32))
    assert translation_psnr(G, ws) < 30
    assert quarter_turn_psnr(G, ws) < 45


def test_the_metrics_put_the_ladder_in_the_order_of_the_paper():
    scores = [measure_equivariance(fresh(arch), "eqt_int", range(4)) for arch in ("sg3-e", "sg3-g", "sg3-r")]
    assert scores[0] + 15 < scores[1] < scores[2]
    assert measure_equivariance(fresh("sg3-r"), "eqr", range(4)) > 60


def test_a_learned_constant_cannot_be_moved():
    with pytest.raises(SgError, match="cannot be moved"):
        measure_equivariance(fresh("sg3-a"), "eqt_frac", range(4))


class Waves(torch.nn.Module):
    """Synthesis of an input alone: a sum of waves moves and turns exactly as its input does."""

    def __init__(self, w_dim: int):
        super().__init__()
        self.input = FourierInput(w_dim, channels=3, size=64, sampling_rate=64, bandwidth=6, learned_transform=False)

    def forward(self, ws: torch.Tensor, **_: object) -> torch.Tensor:
        return self.input(ws[:, 0])


# In dB. Whole pixels need no interpolation; the others stop where the short filters of the references do.
@pytest.mark.parametrize(("kind", "least"), [("eqt_int", 100), ("eqt_frac", 50), ("eqr", 60)])
def test_an_exactly_equivariant_toy(kind, least):
    G = fresh("sg3-t")
    G.synthesis = Waves(G.w_dim)
    assert draw(G, G.mapping(torch.randn(2, 32))).std() > 0.2
    assert measure_equivariance(G, kind, range(8)) > least
