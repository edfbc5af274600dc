"""rosinality's `.pt` files: the golden, other forms of it, and writing them."""

from __future__ import annotations

import argparse

import pytest
import torch

from sgcli.errors import FormatError, UsageError
from sgcli.models.checkpoint import open_model
from sgcli.models.foreign.formats import open_foreign
from sgcli.models.foreign.rosinality import write_rosinality
from tests.golden_files import GOLDEN, Golden, assert_close

FILE = GOLDEN / "rosinality-32.pt"


@pytest.fixture
def content() -> dict:
    return torch.load(FILE, weights_only=True)


@pytest.fixture
def reopen(tmp_path):
    def reopen(content, **options):
        torch.save(content, tmp_path / "changed.pt", **options)
        return open_foreign(tmp_path / "changed.pt")

    return reopen


def assert_draws_golden(model) -> None:
    expected = Golden("rosinality-32.expected")
    img = model.load_generator()(expected["z"], truncation_psi=0.7, noise="const")
    assert_close(img, expected["img_trunc07"])


def test_golden():
    model = open_model(FILE)
    assert_draws_golden(model)
    expected = Golden("rosinality-32.expected")
    twice = expected["img_trunc07"].repeat(2, 1, 1, 1)
    assert_close(model.load("D")(twice), expected["logits_of_images_twice"])
    assert model.prefixes() == ["G_ema", "D"]
    assert model.arch == "sg2"


def test_the_form_before_pytorch_1_6(content, reopen):
    model = reopen(content, _use_new_zipfile_serialization=False)
    assert_draws_golden(model)
    golden = open_model(FILE).tensors("D")
    assert all(torch.equal(model.tensors("D")[name], tensor) for name, tensor in golden.items())


def test_training_files(content, reopen):
    """With optimisers and arguments, on a GPU, from several processes; without latent_avg."""
    content["g"] = {f"module.{name}": tensor for name, tensor in content["g_ema"].items()}
    content["g_optim"] = {"state": {0: {"step": 3, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.002}]}
    content["args"] = argparse.Namespace(size=32, lr=0.002)
    content["ada_aug_p"] = 0.125
    w_avg = content.pop("latent_avg")
    model = reopen(content)
    assert model.prefixes() == ["G_ema", "G", "D"]
    assert model.header["augment_p"] == 0.125
    assert torch.equal(model.tensors("G")["synthesis.b4.const"], model.tensors("G_ema")["synthesis.b4.const"])
    mean = model.tensors("G_ema")["mapping.w_avg"]  # of other latents than the file's, or of random numbers there
    assert mean.shape == w_avg.shape
    z = torch.randn(20_000, 40)
    assert_close(mean, model.load_generator().mapping(z)[:, 0].mean(dim=0), 0.1)


def test_older_files_without_noise_maps(content, reopen):
    content["g_ema"] = {name: tensor for name, tensor in content["g_ema"].items() if "noises" not in name}
    first, second = reopen(content).tensors("G_ema"), reopen(content).tensors("G_ema")
    assert torch.equal(first["synthesis.b32.conv1.noise_const"], second["synthesis.b32.conv1.noise_const"])


@pytest.mark.parametrize("size", [(1, 24, 5, 5), (3,), (1, 24, 16)])
def test_tensors_of_another_shape(content, reopen, size):
    content["g_ema"]["input.input"] = torch.zeros(size)
    with pytest.raises(FormatError):
        reopen(content)


def test_unusual_widths(content, reopen):
    content["d"]["convs.2.conv1.1.bias"] = torch.zeros(7)
    with pytest.raises(FormatError, match="unusual widths"):
        reopen(content)


# ----- writing


def test_round_trip_is_exact(content, tmp_path):
    notes = write_rosinality(open_model(FILE), tmp_path / "again.pt")
    written = torch.load(tmp_path / "again.pt", weights_only=True)
    assert notes == []
    assert written.keys() == content.keys()
    assert torch.equal(written["latent_avg"], content["latent_avg"])
    for part in ("g_ema", "d"):
        assert written[part].keys() == content[part].keys()
        for name, tensor in content[part].items():
            assert torch.equal(written[part][name], tensor), name
    assert open_model(tmp_path / "again.pt").header["networks"] == open_model(FILE).header["networks"]


def test_what_cannot_be_written(tmp_path):
    for name in ("ada-cond-32.pkl", "sg3r-32.pkl", "tf-stylegan2.pkl", "tf-progan.pkl"):
        with pytest.raises(UsageError, match="cannot be written so"):
            write_rosinality(open_model(GOLDEN / name), tmp_path / "x.pt")
    assert list(tmp_path.iterdir()) == []
