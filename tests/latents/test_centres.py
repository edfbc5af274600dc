"""Truncation towards the mean of a class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sgcli.latents.centres import class_centre
from sgcli.latents.draw import to_ws
from sgcli.models.checkpoint import save_model
from sgcli.models.registry import build_network, resolve
from tests.cli import assert_refused, sg


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A model of two classes, and its generator."""
    torch.manual_seed(0)
    preset = resolve("sg2", tiny=True)
    sizes = {"img_resolution": 16, "img_channels": 3, "c_dim": 2, "channel_base": 128, "channel_max": 8}
    networks = {"G": {**preset.G, **sizes, "z_dim": 12, "w_dim": 10}, "D": {**preset.D, **sizes}}
    G = build_network(networks["G"]).requires_grad_(False)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    header = {"arch": "sg2-f", "networks": networks, "kimg": 1.5, "class_names": ["cats", "dogs"]}
    save_model(path, {"G_ema": G}, header)
    return path, G


def test_the_centre_is_the_mean_of_its_class(conditional):
    _, G = conditional
    c = torch.eye(2)
    cats, dogs = class_centre(G, c[:1]), class_centre(G, c[1:])
    assert not torch.allclose(cats, dogs)
    z = torch.randn(5000, 12, generator=torch.Generator().manual_seed(5))
    some = G.mapping(z, c[:1].expand(5000, -1))[:, 0]
    error = some.std(dim=0) * (1 / 5000 + 1 / 10000) ** 0.5
    assert ((some.mean(dim=0) - cats).abs() < 5 * error).all()


def test_truncation_pulls_towards_it(conditional):
    _, G = conditional
    z, c, centre = torch.randn(3, 12), torch.eye(2)[:1].expand(3, -1), torch.full([10], 4.0)
    full, half, none = (to_ws(G, z, c, psi=psi, cutoff=2, centre=centre) for psi in (1.0, 0.5, 0.0))
    torch.testing.assert_close(half[:, :2], (full[:, :2] + 4) / 2)
    assert (none[:, :2] == 4).all() and torch.equal(none[:, 2:], full[:, 2:])


def test_commands(conditional, model_file, tmp_path):
    path, G = conditional
    options = ["-m", path, "--seeds", "0-1", "--class", "dogs", "--trunc", 0, "--trunc-centre", "class"]
    result = sg("sample", *options, "-o", tmp_path / "w.npy")
    assert result.status == 0, result.err
    ws = np.load(tmp_path / "w.npy")
    np.testing.assert_allclose(ws, class_centre(G, torch.eye(2)[1:]).expand(ws.shape), rtol=1e-5)
    one, other = (sg("generate", *options[:-1], towards, "--grid", "2x1").out for towards in ("class", "all"))
    assert one and other and one != other
    seeds = ["--seeds", 0, "--trunc-centre"]
    assert_refused(sg("generate", "-m", model_file, *seeds, "class"), 2, "model without classes")
    assert_refused(sg("generate", "-m", path, *seeds, "both"), 2, "--trunc-centre both", "all, class")
    assert_refused(sg("generate", "-m", path, tmp_path / "w.npy", "--trunc-centre", "class"), 2, "neither W nor")
