"""Shared fixtures: a private cache, few threads, small data sets and models."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch

from sgcli import progress, provenance
from tests.cli import kill_processes


def pytest_configure(config) -> None:
    torch.set_num_threads(1)  # workers of pytest-xdist share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # and so do the processes that tests start


@pytest.fixture(autouse=True)
def private_environment(tmp_path_factory, monkeypatch):
    """No test sees or leaves anything in the user's folders; --quiet of one test does not reach the next."""
    monkeypatch.delenv("SG_MODEL", raising=False)
    monkeypatch.setattr(progress, "_quiet", False)
    monkeypatch.setattr(provenance, "_command", [])  # nor does its command line
    yield
    kill_processes()


@pytest.fixture(scope="session")
def faces(tmp_path_factory) -> Path:
    """A zip of 48 toyfaces of 16²."""
    from sgcli.data.toyfaces import synthesize

    return synthesize(tmp_path_factory.mktemp("data") / "faces.zip", count=48, size=16, seed=0)


@pytest.fixture(scope="session")
def model_file(tmp_path_factory) -> Path:
    """A small untrained StyleGAN2 of 16² whose noise inputs and w_avg matter."""
    from sgcli.models.checkpoint import save_model
    from sgcli.models.registry import build_network, resolve

    torch.manual_seed(0)
    preset = resolve("sg2", tiny=True)
    sizes = {"img_resolution": 16, "img_channels": 3, "c_dim": 0, "channel_base": 128, "channel_max": 8}
    networks = {"G": {**preset.G, **sizes, "z_dim": 12, "w_dim": 10}, "D": {**preset.D, **sizes}}
    G, D = build_network(networks["G"]), build_network(networks["D"])
    with torch.no_grad():
        for layer in G.synthesis.noise_layers():
            layer.noise_strength.fill_(0.3)
        G.mapping.w_avg.copy_(torch.linspace(-1, 1, 10))
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, {"G_ema": G, "G": copy.deepcopy(G), "D": D}, {"arch": "sg2-f", "networks": networks, "kimg": 1.5})
    return path
