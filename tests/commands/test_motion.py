"""`sg generate --translate --rotate --stabilise` on StyleGAN3, and elsewhere."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from sgcli.models.checkpoint import save_model
from sgcli.models.registry import build_network, resolve
from tests.cli import assert_refused, sg


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Small untrained models of 32² whose pictures have motions of their own."""
    paths = {}
    for arch in ("sg3-b", "sg3-t", "sg3-r"):
        torch.manual_seed(0)
        sizes = {"img_resolution": 32, "img_channels": 3, "c_dim": 0, "channel_base": 128, "channel_max": 8}
        G = build_network(spec := {**resolve(arch).G, **sizes, "z_dim": 12, "w_dim": 10})
        with torch.no_grad():
            G.mapping.w_avg.copy_(torch.linspace(-0.3, 0.3, 10))
            if arch != "sg3-b":
                G.synthesis.input.affine.weight.normal_()
        paths[arch] = tmp_path_factory.mktemp("model") / f"{arch}.safetensors"
        save_model(paths[arch], {"G_ema": G}, {"arch": arch, "networks": {"G": spec}, "kimg": 1.5})
    return paths


def draw(model, *more) -> np.ndarray:
    result = sg("generate", "-m", model, "--seeds", "0-2", "--format", "npy", *more)
    assert result.status == 0, result.err
    return np.load(io.BytesIO(result.out))


def test_translate_moves_to_the_right_and_up(models):
    still, moved = draw(models["sg3-r"]), draw(models["sg3-r"], "--translate", "0.25,-0.125")
    assert np.abs(still[:, :, 4:, :-8] - moved[:, :, :-4, 8:]).max() < 0.02 * np.abs(still).max()
    assert np.abs(still - moved).max() > 0.1 * np.abs(still).max()


def test_rotate_turns_counter_clockwise(models):
    still, turned = draw(models["sg3-r"]), draw(models["sg3-r"], "--rotate", 90)
    assert np.abs(np.rot90(still, 1, (2, 3)) - turned).max() < 1e-4 * np.abs(still).max()


def test_a_turn_comes_before_the_move(models):
    turned, both = draw(models["sg3-r"], "--rotate", 90), draw(models["sg3-r"], "--rotate", 90, "--translate", "0.25,0")
    assert np.abs(turned[..., :-8] - both[..., 8:]).max() < 0.02 * np.abs(turned).max()


def test_stabilise_gives_every_picture_the_mean_pictures_motion(models):
    still = draw(models["sg3-r"], "--trunc", 0)
    assert np.allclose(still, draw(models["sg3-r"], "--trunc", 0, "--stabilise"), atol=1e-5)
    assert not np.allclose(draw(models["sg3-r"]), draw(models["sg3-r"], "--stabilise"), atol=1e-2)


def test_only_r_turns_without_a_word(models):
    assert "only sg3-r" in sg("generate", "-m", models["sg3-t"], "--seeds", 0, "--rotate", 9).err
    assert "only sg3-r" not in sg("generate", "-m", models["sg3-r"], "--seeds", 0, "--rotate", 9).err
    assert "only sg3-r" in sg("generate", "-m", models["sg3-b"], "--seeds", 0, "--rotate", 9).err


def test_generators_before_stylegan3_refuse(model_file):
    result = sg("generate", "-m", model_file, "--seeds", 0, "--rotate", 30, "--stabilise")
    assert_refused(result, 2, "--rotate, --stabilise", "learned constant", "sg3-t")


@pytest.mark.parametrize("value", ["0.1", "a,b", "0.1,0.2,0.3", "nan,0", ""])
def test_a_shift_is_two_numbers(models, value):
    assert_refused(sg("generate", "-m", models["sg3-t"], "--seeds", 0, "--translate", value), 2, "two numbers")


def test_an_angle_is_a_number(models):
    assert_refused(sg("generate", "-m", models["sg3-t"], "--seeds", 0, "--rotate", "nan"), 2, "not an angle")
