"""Directions: what is planted is found, and steps are standard deviations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sgcli.latents import directions
from sgcli.models.registry import build_generator, resolve


def anisotropic(num: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """w with known axes: samples [N, 6], axes as rows [6, 6], standard deviations [6]."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.standard_normal([6, 6]))[0].T
    spread = np.array([4, 2, 1, 0.5, 0.25, 0.1])
    return (rng.standard_normal([num, 6]) * spread @ axes + 3).astype(np.float32), axes, spread


def generator(arch: str, **sizes):
    torch.manual_seed(0)
    spec = {**resolve(arch, tiny=True).G, "img_resolution": 16, "channel_base": 64, "channel_max": 4}
    return build_generator({**spec, "z_dim": 8, "w_dim": 8, **sizes}).eval()


def test_principal_axes():
    w, axes, spread = anisotropic()
    found, shares = directions.principal_axes(w, 3)
    assert np.abs((found * axes[:3]).sum(axis=1)) == pytest.approx(1, abs=1e-2)
    assert shares == pytest.approx((spread**2 / (spread**2).sum())[:3], rel=0.1)
    assert (np.take_along_axis(found, np.abs(found).argmax(axis=1)[:, None], axis=1) > 0).all()
    steps = directions.along(found, w)
    assert np.linalg.norm(steps, axis=1) == pytest.approx(spread[:3], rel=0.05)


def test_the_way_across_a_hyperplane():
    """It moves the distance by a standard deviation, and is the shortest way measured in those of w."""
    w, axes, spread = anisotropic()
    normal = (axes[0] + axes[4]) / 2**0.5
    (step,) = directions.across(normal[None], w)
    assert step @ normal == pytest.approx((w @ normal).std(), rel=1e-3)
    assert np.linalg.norm(step @ axes.T / spread) == pytest.approx(1, rel=0.05)
    constant = directions.across(normal[None], np.ones_like(w))
    assert not constant.any()


def test_an_attribute_s_normal():
    w, axes, _ = anisotropic()
    has = (w - 3) @ axes[1] > 0.5
    normal, sorted_right = directions.attribute_normal(w, has)
    assert normal @ axes[1] > 0.99 and sorted_right > 0.98
    chance = directions.attribute_normal(w, np.random.default_rng(0).random(len(w)) > 0.5)[1]
    assert chance == pytest.approx(0.5, abs=0.06)
    assert directions.attribute_normal(w[:2], np.array([True, False]))[1] is None
    with pytest.raises(ValueError, match="of one"):
        directions.attribute_normal(w, np.ones(len(w), bool))


@pytest.mark.parametrize("arch", ["sg1-c", "sg1", "sg2", "sg2-b", "sg3-b", "sg3-t"])
def test_factorisation_finds_what_changes_the_styles_most(arch):
    """A column of every affine map is made strong: the first direction is that dimension of W."""
    G = generator(arch)
    layers = range(G.num_ws)
    for module in G.modules():
        if hasattr(module, "affine"):
            with torch.no_grad():
                module.affine.weight[:, 5] *= 20
    found, shares = directions.factorize_styles(G, layers, 8)
    assert found.shape == (8, 8) and found[0, 5] > 0.98
    assert shares.sum() == pytest.approx(1) and shares[0] > 0.9
    assert np.abs(found @ found.T - np.eye(8)).max() < 1e-6


def test_factorisation_of_some_layers():
    G = generator("sg2")
    with torch.no_grad():
        G.synthesis.b16.conv0.affine.weight[:, 2] *= 50
    names = [layer.name for layer in G.synthesis.style_layers()]
    strong = names.index("b16.conv0")
    assert directions.factorize_styles(G, [strong], 1)[0][0, 2] > 0.99
    assert directions.factorize_styles(G, [0, 1], 1)[0][0, 2] < 0.9
    with pytest.raises(ValueError, match="none of these layers"):
        directions.factorize_styles(generator("sg3-t"), [0], 1)  # the motion of the input


def test_w_of_seeds_and_layers():
    G = generator("sg2", c_dim=2)
    label = torch.tensor([[0.0, 1.0]])
    w = directions.w_of_seeds(G, range(3, 6), label)
    z = torch.from_numpy(np.random.RandomState(4).randn(1, 8).astype(np.float32))
    assert w[1] == pytest.approx(G.mapping(z, label)[0, 0].detach().numpy(), abs=1e-5)
    found = directions.on_layers(np.ones([2, 8]), 6, [1, 3])
    assert found.dtype == np.float32 and found.sum(axis=2).tolist() == [[0, 8, 0, 8, 0, 0]] * 2
