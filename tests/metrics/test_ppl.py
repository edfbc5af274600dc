"""Path length: trimming, the steps, and generators whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sgcli.metrics.ppl import Paths, first_pictures, path_lengths, squared_difference, trimmed_mean


def test_extremes_are_left_out():
    values = np.concatenate([np.ones(990), np.full(5, 1000.0), np.full(5, -500.0)])
    assert trimmed_mean(values) == pytest.approx(1)


class Linear(nn.Module):
    """w = M z, and a picture that is linear in w: the length of every pair is known."""

    z_dim, c_dim, img_resolution = 4, 0, 32

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.M = nn.Parameter(torch.randn(5, 4))
        self.A = nn.Parameter(torch.randn(3 * 32 * 32, 5))
        self.synthesis = Paint(self.A)

    def mapping(self, z, c):
        return (z @ self.M.T)[:, None]


class Paint(nn.Module):
    def __init__(self, A):
        super().__init__()
        self.A = A

    def noise_layers(self):
        return []

    def forward(self, ws, noise):
        return (ws[:, 0] @ self.A.T).view(-1, 3, 32, 32)


def ends_of_seed(seed: int) -> np.ndarray:
    """Both z of a pair, `[2, 4]`."""
    rng = np.random.RandomState(seed)
    return np.stack([rng.randn(4), rng.randn(4)])


@pytest.mark.parametrize("sampling", ["full", "end"])
@pytest.mark.parametrize("crop", [False, True])
def test_a_linear_generator_in_closed_form(sampling, crop):
    """Along a straight line the distance / ε² is the mean square of A (w1 - w0), whatever the place."""
    G = Linear()
    A = G.A.detach().double().numpy().reshape(3, 32, 32, 5)
    A = (A[:, 12:28, 8:24] if crop else A).reshape(-1, 5)
    steps = [G.M.detach().double().numpy() @ (ends[1] - ends[0]) for ends in map(ends_of_seed, range(6))]
    expected = [np.mean((A @ step) ** 2) for step in steps]
    lengths = path_lengths(G, squared_difference, Paths("w", sampling, crop), range(6), batch=4)
    assert lengths == pytest.approx(expected, rel=0.02)  # differences of 1e-4 in single precision


def test_the_sphere_in_closed_form():
    """At the start of a great circle, a step goes across z0 at the angle's speed: (A M t)² with |t| = the angle."""
    G = Linear()
    AM = (G.A @ G.M).detach().double().numpy()
    expected = []
    for ends in map(ends_of_seed, range(5)):
        a, b = ends / np.linalg.norm(ends, axis=1, keepdims=True)
        across = b - (a @ b) * a
        tangent = np.arccos(a @ b) * across / np.linalg.norm(across)
        expected.append(np.mean((AM @ tangent) ** 2))
    lengths = path_lengths(G, squared_difference, Paths("z", "end"), range(5))
    assert lengths == pytest.approx(expected, rel=0.03)


def test_names():
    assert Paths("w", "end").name() == "ppl2-wend"
    assert Paths("z", "full", crop=True).name() == "ppl-zfull"
    assert Paths("w", "end").name("l2") == "ppl2-l2-wend"


def test_real_generators():
    from sgcli.models import progan, stylegan2

    torch.manual_seed(0)
    sizes = {"z_dim": 8, "w_dim": 8, "img_resolution": 16, "channel_base": 64, "channel_max": 8}
    for kind in (progan.Generator, stylegan2.Generator):
        G = kind(**sizes).eval().requires_grad_(False)
        for space in "zw":
            paths = Paths(space, "full")
            lengths = path_lengths(G, squared_difference, paths, range(10), batch=4)
            assert np.isfinite(lengths).all() and (lengths > 0).all()
            alone = path_lengths(G, squared_difference, paths, [7], batch=4)
            assert lengths[7] == pytest.approx(alone[0], rel=0.2)  # but for rounding, which ε magnifies


def test_the_first_picture_of_an_end_is_the_one_of_its_seed():
    from sgcli.latents.draw import draw_pictures
    from sgcli.latents.seeds import latents_of_seeds
    from sgcli.models import stylegan2

    torch.manual_seed(0)
    G = stylegan2.Generator(8, 0, 8, 16, 3, channel_base=64, channel_max=8).eval().requires_grad_(False)
    drawn = draw_pictures(G, torch.from_numpy(latents_of_seeds([3, 9], 8)), [3, 9], noise="random")
    torch.testing.assert_close(first_pictures(G, Paths(), [3, 9]), torch.stack(list(drawn)))


def test_pictures_are_not_rounded_and_both_have_the_same_noise():
    from sgcli.models import stylegan2

    torch.manual_seed(0)
    G = stylegan2.Generator(8, 0, 8, 16, 3, channel_base=64, channel_max=8).eval().requires_grad_(False)
    for layer in G.synthesis.noise_layers():
        layer.noise_strength.fill_(1.0)
    seen = []
    path_lengths(G, lambda a, b: seen.append((a, b)) or squared_difference(a, b), Paths(), [0, 1])
    a, b = seen[0]
    assert 0 < (a - b).abs().max() < 1
    assert not torch.equal(a, a.round())
