"""Path length: interpolation, trimming, and a generator whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sgcli.metrics.ppl import path_length, slerp, squared_difference, trimmed_mean


def test_slerp():
    a, b = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 2.0, 0.0]])
    half = slerp(a, b, torch.tensor([[0.5]]))
    assert half[0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0])
    assert slerp(a, b, torch.tensor([[0.0]]))[0].tolist() == pytest.approx([1, 0, 0])


def test_extremes_are_left_out():
    values = np.concatenate([np.ones(990), np.full(5, 1000.0), np.full(5, -500.0)])
    assert trimmed_mean(values) == pytest.approx(1)


class Flat(nn.Module):
    """w, one number, is the brightness of the whole picture."""

    z_dim, c_dim = 1, 0

    def __init__(self, factor: float):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.synthesis = Paint(self)

    def mapping(self, z, c):
        return (z * self.factor)[:, None]


class Paint(nn.Module):
    def __init__(self, owner):
        super().__init__()

    def noise_layers(self):
        return []

    def forward(self, ws, noise):
        return ws[:, :, :, None].expand(-1, 3, 32, 32)


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_a_generator_whose_path_length_is_known(sampling):
    """Brightness runs evenly from w0 to w1: the distance / ε² is (w1 - w0)², whatever the place; of mean 2·factor²."""
    lengths = [path_length(Flat(factor), squared_difference, sampling=sampling, num=4000, batch=500)  # type: ignore[arg-type]
               for factor in (0.5, 1.0)]  # fmt: skip
    assert lengths[1] == pytest.approx(4 * lengths[0], rel=0.01)
    assert lengths[1] == pytest.approx(2, rel=0.2)  # the trimmed tail is missing


def test_spaces_of_a_real_generator():
    from sgcli.models import progan, stylegan2

    torch.manual_seed(0)
    sizes = {"z_dim": 8, "w_dim": 8, "img_resolution": 16, "channel_base": 64, "channel_max": 8}
    for kind in (progan.Generator, stylegan2.Generator):
        G = kind(**sizes).eval().requires_grad_(False)
        for space in "zw":
            length = path_length(G, squared_difference, space=space, num=40, batch=16)
            assert np.isfinite(length) and length > 0
            assert path_length(G, squared_difference, space=space, num=40, batch=16) == length
