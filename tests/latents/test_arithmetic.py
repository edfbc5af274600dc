"""Style mixing and moving, on arrays."""

from __future__ import annotations

import torch

from sgcli.latents.arithmetic import mix_styles, move


def test_mixing_takes_layers_whole():
    a, b, c = torch.randn(3, 2, 5, 4)
    mixed = mix_styles([a, b, c], {1: 1, 3: 2, 4: 1})
    for layer, source in enumerate((a, b, a, c, b)):
        assert torch.equal(mixed[:, layer], source[:, layer])


def test_mixing_by_halves_and_one_with_many():
    a, b = torch.zeros(1, 3, 2), torch.arange(4.0)[:, None, None].expand(-1, 3, 2)
    mixed = mix_styles([a, b], {0: 1, 2: 1}, blend=0.5)
    assert mixed.shape == (4, 3, 2)
    assert mixed[:, 0, 0].tolist() == mixed[:, 2, 1].tolist() == [0, 0.5, 1, 1.5]
    assert not mixed[:, 1].any() and not a.any()


def test_moving():
    ws, offset = torch.randn(2, 3, 4), torch.randn(1, 3, 4)
    assert torch.equal(move(ws, offset, 1.2), ws + 1.2 * offset)
    some = move(ws, offset, -2.0, [1])
    assert torch.equal(some[:, 1], (ws - 2 * offset)[:, 1]) and torch.equal(some[:, [0, 2]], ws[:, [0, 2]])
    assert move(ws[:1], torch.randn(5, 3, 4)).shape == (5, 3, 4)
