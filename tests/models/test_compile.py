"""Whole networks through torch.compile, as one graph each: the native operators tell it all it needs."""

from __future__ import annotations

import pytest
import torch

from sgcli.models.memory import place
from sgcli.models.registry import build_network
from sgcli.training.config import resolve_config

SIZES = {"batch": 2, "channel_base": 64, "channel_max": 8}


@pytest.fixture(autouse=True)
def forget_graphs():
    yield
    torch.compiler.reset()


def networks(arch: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    data = {"resolution": 16, "num_channels": 3, "label_dim": 0}
    config = resolve_config(arch, data, SIZES, tiny=True)
    G, D = (place(build_network(spec)) for spec in (config.G, config.D))
    return G, D


def compare(compiled, plain, parameters) -> None:
    """Outputs, and gradients of a sum that tells the outputs apart."""
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)
    weights = torch.linspace(-1, 1, plain.numel()).reshape(plain.shape)
    actual, expected = (
        torch.autograd.grad((y * weights).sum(), parameters, allow_unused=True) for y in (compiled, plain)
    )
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("arch", ["sg2", "sg3-t", pytest.param("sg3-r", marks=pytest.mark.slow)])
def test_one_graph(arch, backend):
    G, D = networks(arch)
    ws = G.mapping(torch.randn(2, G.z_dim), torch.zeros(2, 0)).detach()
    draw = torch.compile(lambda ws: G.synthesis(ws, noise="const"), fullgraph=True, backend=backend)
    compare(draw(ws), G.synthesis(ws, noise="const"), list(G.synthesis.parameters()))
    if arch == "sg2":
        img = torch.randn(2, 3, 16, 16)
        compare(torch.compile(D, fullgraph=True, backend=backend)(img), D(img), list(D.parameters()))
