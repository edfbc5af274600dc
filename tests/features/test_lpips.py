"""VGG-16 and LPIPS against the published implementation, and what they refuse."""

from __future__ import annotations

import sys

import pytest
import safetensors.torch
import torch

from sgcli.errors import FormatError, SgError
from sgcli.features import lpips
from sgcli.features.vgg import Vgg16, as_rgb, load_vgg16
from tests.features.seeded_vgg import seeded_state, write_seeded_vgg
from tests.golden_files import Golden, assert_close


@pytest.fixture(scope="module")
def metric(tmp_path_factory) -> lpips.Lpips:
    return lpips.load_lpips(write_seeded_vgg(tmp_path_factory.mktemp("vgg") / "vgg.safetensors"))


def test_golden(metric):
    golden = Golden("lpips-vgg")
    assert_close(metric(golden["a"], golden["b"]), golden["distance"])
    assert "torchvision" not in sys.modules


def test_embedding_carries_the_distance(metric):
    a, b = torch.rand(2, 2, 3, 24, 17).mul(2).sub(1)
    assert_close((metric.embed(a) - metric.embed(b)).square().sum(1), metric(a, b))
    assert metric(a, a).abs().max() == 0


def test_gradient_is_finite_where_all_features_are_zero(metric):
    images = torch.zeros(1, 3, 16, 16, requires_grad=True)
    dead = {name: -torch.ones_like(p) if name.endswith("bias") else p for name, p in seeded_state().items()}
    network = Vgg16()
    network.load_state_dict(dead)
    lpips.Lpips(network, lpips.read_heads()).embed(images).sum().backward()
    assert images.grad is not None and images.grad.isfinite().all()


def test_layers_come_from_the_first_to_the_last():
    network = Vgg16()
    conv, relu = network(torch.zeros(1, 3, 16, 16), ["relu1_1", "conv1_1"])
    assert torch.equal(conv.relu(), relu) and conv.min() < 0
    assert network(torch.zeros(1, 3, 32, 48), ["relu5_3"])[0].shape == (1, 512, 2, 3)
    with pytest.raises(ValueError, match="16x16"):
        network(torch.zeros(1, 3, 15, 40), ["relu1_1"])


def test_fc2_needs_its_size():
    network = Vgg16(fully_connected=True)
    assert network.fc2(torch.zeros(1, 3, 224, 224)).shape == (1, 4096)
    with pytest.raises(ValueError, match="224x224"):
        network.fc2(torch.zeros(1, 3, 64, 64))


def test_as_rgb():
    assert as_rgb(torch.zeros(2, 1, 4, 4)).shape == as_rgb(torch.zeros(2, 4, 4, 4)).shape == (2, 3, 4, 4)


def test_weights_of_another_network_are_named(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({**seeded_state(), "features.2.weight": torch.zeros(1, 2)}, path)
    with pytest.raises(FormatError, match=r"features.2.weight is \[1, 2\]"):
        load_vgg16(path)
    with pytest.raises(FormatError, match=r"classifier.0.weight is missing"):
        load_vgg16(write_seeded_vgg(tmp_path / "vgg.safetensors"), fully_connected=True)


def test_without_the_lpips_package(monkeypatch):
    monkeypatch.setattr(lpips.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SgError, match="not installed"):
        lpips.read_heads()
