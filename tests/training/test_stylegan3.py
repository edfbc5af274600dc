"""What is special about training StyleGAN3: defaults, blur at the start, magnitudes, exact resume."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from sgcli.training.blur import blur, blur_sigma
from sgcli.training.config import differences, resolve_config
from sgcli.training.loop import make_players
from sgcli.training.phases import MicroBatch, Objectives
from sgcli.training.randomness import draw_latents
from sgcli.training.stats import Stats
from tests.cli import assert_refused, sg

DATA = {"num_channels": 3, "label_dim": 0, "path": "x", "fingerprint": "f", "name": "x"}
LADDER = [f"sg3-{letter}" for letter in "abcdefgh"] + ["sg3-t", "sg3-r"]
SMALL = ["--channels-base", 64, "--channels-max", 4, "--z-dim", 8, "--w-dim", 8, "--batch", 4]


def resolve(arch, resolution=32, options=None, **more):
    return resolve_config(arch, {**DATA, "resolution": resolution}, options or {}, **more)


# ----- settings


@pytest.mark.parametrize("arch", LADDER)
@pytest.mark.parametrize("tiny", [False, True])
def test_every_rung_makes_networks_at_every_size(arch, tiny):
    for resolution in (16, 32, 64, 128, 256, 512, 1024):
        resolve(arch, resolution, tiny=tiny)


@pytest.mark.parametrize(
    ("resolution", "gamma", "batch_gpu"), [(32, 0.032, 32), (256, 2, 16), (512, 8, 8), (1024, 32, 4)]
)
def test_published_settings(resolution, gamma, batch_gpu):
    config = resolve("sg3-r", resolution)
    assert (config.batch, config.batch_gpu) == (32, batch_gpu)
    assert config.r1_gamma == pytest.approx(gamma, rel=0.03)
    assert (config.g_lr, config.d_lr, config.ema_kimg, config.ema_rampup) == (0.0025, 0.002, 10, 0.05)
    assert (config.style_mixing_prob, config.pl_weight) == (0, 0)
    assert (config.blur_sigma, config.blur_kimg) == (10, 200)
    assert (config.G["mapping_layers"], config.D["mbstd_group_size"]) == (2, 4)
    assert resolve("sg3-t", resolution).blur_sigma == 0


def test_typed_options_win():
    config = resolve("sg3-r", options={"batch": 16, "lr": 0.001, "kimg": 250.0})
    assert (config.batch, config.batch_gpu, config.g_lr, config.d_lr) == (16, 16, 0.001, 0.001)
    assert config.blur_kimg == pytest.approx(1)  # shrinks with a short training and a small batch


def test_r_has_twice_the_channels_in_g_only():
    config = resolve("sg3-r", options={"channel_base": 64, "channel_max": 8})
    t = resolve("sg3-t", options={"channel_base": 64, "channel_max": 8})
    assert config.D == t.D
    assert (config.G["channel_base"], config.G["channel_multiplier"]) == (64, 2)


def test_another_network_takes_nothing_over():
    assert "architecture" not in resolve("sg3-d").G
    assert resolve("sg3-c").G["use_noise"] is False


def test_weights_of_another_model_need_no_easing_in():
    config = resolve("sg3-r", fine_tuning=True)
    assert (config.blur_sigma, config.ema_rampup) == (0, None)


def test_a_longer_training_may_go_on():
    assert differences(resolve("sg3-r", options={"kimg": 5.0}), resolve("sg3-r", options={"kimg": 9.0})) == []


# ----- blur


def test_blur_fades():
    assert [blur_sigma(nimg, 10, 200) for nimg in (0, 100_000, 200_000, 300_000)] == [10, 5, 0, 0]
    assert blur_sigma(0, 0, 200) == blur_sigma(0, 10, 0) == 0


def test_blur_follows_its_formula():
    img = torch.zeros(1, 1, 15, 15)
    img[0, 0, 7, 7] = 1
    distance = torch.arange(15.0) - 7
    taps = torch.where(distance.abs() <= 4, 2 ** -((distance / 1.5) ** 2), 0)
    taps = taps / taps.sum()
    assert torch.allclose(blur(img, 1.5)[0, 0], torch.outer(taps, taps), atol=1e-7)
    assert blur(img, 0.3) is img
    assert blur(torch.ones(1, 3, 32, 32), 10).shape == (1, 3, 32, 32)


def test_reals_and_fakes_are_blurred_alike():
    objectives, micro = make_objectives(blur_sigma=10.0, blur_kimg=1.0)
    seen = []
    objectives.players.D.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    objectives.discriminator_main(micro)
    objectives.discriminator_main(dataclasses.replace(micro, nimg=1000))
    early, late = seen[:2], seen[2:]
    for blurred, sharp in zip(early, late, strict=True):
        assert torch.allclose(blurred, blur(sharp, 10.0), atol=1e-4)


# ----- magnitudes


def make_objectives(**more) -> tuple[Objectives, MicroBatch]:
    options = {"channel_base": 64, "channel_max": 4, "z_dim": 8, "w_dim": 8, "batch": 4, **more}
    config = resolve("sg3-r", 16, options)
    players = make_players(config, torch.device("cpu"))
    latents = draw_latents(
        seed=0, purpose="x", first=0, batch=4, z_dim=8, num_ws=16, style_mixing_prob=0, labels=torch.zeros(4, 0)
    )
    micro = MicroBatch(torch.randn(4, 3, 16, 16), torch.zeros(4, 0), latents)
    return Objectives(config, players, Stats()), micro


def test_magnitudes_follow_the_pictures_that_train_d_only():
    objectives, micro = make_objectives()
    first, *_, last = objectives.players.G.synthesis.layers()
    inputs = []
    first.register_forward_pre_hook(lambda module, inputs_: inputs.append(inputs_[0]))
    objectives.generator_main(micro)
    objectives.discriminator_r1(micro)
    assert first.magnitude_ema == last.magnitude_ema == 1
    objectives.discriminator_main(micro)
    beta = 0.5 ** (4 / 20000)
    assert float(first.magnitude_ema) == pytest.approx(beta + (1 - beta) * float(inputs[-1].square().mean()), rel=1e-6)
    assert last.magnitude_ema != 1
    assert objectives.players.G.mapping.w_avg.abs().sum() > 0


# ----- runs


def test_resume_gives_the_same_bits(faces, tmp_path):
    """Magnitudes and w_avg included."""
    common = [faces, *SMALL, "--arch", "sg3-r", "--outdir", tmp_path]
    assert sg("train", *common, "--kimg", 0.024, "--name", "whole").status == 0
    assert sg("train", *common, "--kimg", 0.024, "--snap", 0.008, "--name", "parts").status == 0
    run = tmp_path / "00001-parts"
    for state in sorted((run / "state").iterdir())[1:]:
        state.unlink()
    result = sg("train", "--resume", run)
    assert result.status == 0, result.err
    whole, parts = (load_file(path / "state" / "000000.024.safetensors") for path in (tmp_path / "00000-whole", run))
    assert whole.keys() == parts.keys()
    assert any(name.endswith("magnitude_ema") for name in whole)
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_fine_tuning_and_going_on_with_it(faces, tmp_path):
    common = [faces, *SMALL, "--arch", "sg3-r", "--outdir", tmp_path, "--kimg", 0.004]
    assert sg("train", *common, "--name", "first").status == 0
    result = sg("train", *common, "--name", "tuned", "--init-from", tmp_path / "00000-first")
    assert result.status == 0 and "copied from" in result.err
    run = tmp_path / "00001-tuned"
    config = json.loads((run / "config.json").read_text())
    assert (config["blur_sigma"], config["ema_rampup"]) == (0, None)
    result = sg("train", "--resume", run, "--kimg", 0.008)
    assert result.status == 0 and "copied from" not in result.err


def test_connections_are_a_choice_of_stylegan2_only(faces, tmp_path):
    result = sg("train", faces, "--arch", "sg3-t", "--g-connection", "orig", "--outdir", tmp_path)
    assert_refused(result, 2, "--g-connection", "one way to connect")


@pytest.mark.parametrize("arch", ["sg3-t", "sg3-r"])
def test_costs_are_estimated(faces, arch):
    result = sg("train", faces, *SMALL, "--arch", arch, "--dry-run")
    assert result.status == 0, result.err
    assert json.loads(result.text)["estimate"]["sec_per_kimg"] > 0


def test_gamma_is_told(faces, tmp_path):
    result = sg("train", faces, *SMALL, "--arch", "sg3-t", "--kimg", 0, "--outdir", tmp_path)
    assert "gamma 0.064 (0.001 r² / batch)" in result.err
