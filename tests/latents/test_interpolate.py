"""Ways between latents."""

from __future__ import annotations

import pytest
import torch

from sgcli.latents.interpolate import lerp, slerp


def test_lerp_goes_straight_and_beyond():
    a, b = torch.zeros(2, 3, 4), torch.ones(1, 3, 4)
    assert lerp(a, b, 0.25).unique().tolist() == [0.25]
    assert lerp(a, b, torch.tensor([[[-1.0]], [[2.0]]]))[:, 0, 0].tolist() == [-1, 2]


def test_slerp_goes_along_the_sphere():
    a, b = torch.tensor([[2.0, 0, 0]]), torch.tensor([[0, 5.0, 0]])
    half = slerp(a, b, torch.tensor([[0.5]]))
    assert half[0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0])
    assert slerp(a, b, 0.0)[0].tolist() == pytest.approx([1, 0, 0])
    third = slerp(a, b, 1 / 3)
    assert torch.rad2deg(torch.acos(third[0, 0])).item() == pytest.approx(30, abs=1e-3)


@pytest.mark.parametrize("end", [[3.0, 0, 0], [-3.0, 0, 0]])
def test_slerp_of_parallel_latents_is_finite(end):
    way = slerp(torch.tensor([[1.0, 0, 0]]), torch.tensor([end]), 0.3)
    assert way.norm().item() == pytest.approx(1)
