"""Training while a network grows: levels, resets of the optimisers, exact resume in the middle of a fade."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch
from safetensors.torch import load_file

from sgcli.data.dataset import open_dataset
from sgcli.models.checkpoint import open_model
from sgcli.models.growing import lod_of
from sgcli.training.config import TrainingConfig, resolve_config
from sgcli.training.loop import start_training, train
from sgcli.training.phases import MicroBatch, Objectives
from sgcli.training.randomness import draw_latents
from sgcli.training.reports import save_snapshot
from sgcli.training.run import Run, create_run
from sgcli.training.stats import Stats

CPU = torch.device("cpu")
SMALL = {"channel_base": 128, "channel_max": 8, "z_dim": 8, "batch": 4, "snap_kimg": 0.004}
# Images at which a fade to 16² is half done, and how far each run goes: grown up, and some steps more.
FADES = {"progan": (60, 0.08), "sg1": (36, 0.056), "sg2-d": (36, 0.056)}


def config_of(arch: str, faces) -> TrainingConfig:
    dataset = open_dataset(faces)
    config = resolve_config(arch, dataset.describe(), {**SMALL, "kimg": 0.4 if arch == "progan" else 1.0}, tiny=True)
    return dataclasses.replace(config, kimg=FADES[arch][1])  # as `growing` is resolved, this changes the length only


def go(run: Run, config: TrainingConfig, faces, resume: bool = False, on_snapshot=()) -> None:
    training = start_training(run, config, open_dataset(faces), CPU, resume)
    train(training, on_snapshot=[save_snapshot, *on_snapshot])


@pytest.mark.parametrize("arch", FADES)
def test_resume_in_the_middle_of_a_fade_gives_the_same_bits(arch, faces, tmp_path):
    config, middle = config_of(arch, faces), FADES[arch][0]
    whole = create_run(tmp_path, "whole")

    def keep_middle(training):
        if training.progress.nimg == middle:
            shutil.copytree(whole.path, tmp_path / "00001-parts")

    go(whole, config, faces, on_snapshot=[keep_middle])
    parts = Run(tmp_path / "00001-parts")
    model = open_model(parts.path)
    assert 0 < lod_of(model.load_generator()) < 1
    assert lod_of(model.load("D")) == lod_of(model.load("G")) == lod_of(model.load_generator())

    go(parts, config, faces, resume=True)
    expected, actual = (load_file(run.states()[-1]) for run in (whole, parts))
    assert lod_of(open_model(whole.path).load_generator()) == 0
    assert expected.keys() == actual.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, actual[name]), name


def test_optimisers_forget_at_each_new_level(faces, tmp_path):
    steps = {}

    def note(training):
        state = training.players.opt_D.state
        steps[training.progress.nimg] = int(next(iter(state.values()))["step"]) if state else 0

    go(create_run(tmp_path, "run"), config_of("sg1", faces), faces, on_snapshot=[note])
    assert list(steps) == [0, 8, 16, 24, 32, 36, 40, 44, 48, 52, 56]  # steps of 8 at 8², of 4 from then on
    assert [steps[nimg] for nimg in (8, 16, 24, 32, 36)] == [1, 2, 3, 4, 1]  # fading in begins after 24 images
    assert [steps[nimg] for nimg in (48, 52, 56)] == [4, 1, 2]  # and is over after 48


def test_real_pictures_are_those_of_the_level(faces, tmp_path, monkeypatch):
    from sgcli.training import phases

    seen = []
    original = phases.Objectives.discriminator_main

    def look(self, micro):
        blocks = micro.reals.unfold(2, 2, 2).unfold(3, 2, 2)
        seen.append(float((blocks - blocks.mean(dim=(4, 5), keepdim=True)).abs().max()))
        return original(self, micro)

    monkeypatch.setattr(phases.Objectives, "discriminator_main", look)
    go(create_run(tmp_path, "run"), config_of("sg1", faces), faces)
    assert max(seen[:4]) < 1e-6  # 8²: every 2x2 block is flat
    assert 1e-3 < seen[5] < max(seen[-2:])


def test_conditional_progan_learns_classes_beside_its_score(faces, tmp_path):
    """AC-GAN: one score that knows no label, a logit per class, and the entropy of both sides in both losses."""
    dataset = open_dataset(faces)
    sizes = {**SMALL, "kimg": 0.01, "tick_kimg": 0.01}
    config = resolve_config("progan", {**dataset.describe(), "label_dim": 3}, sizes, tiny=True, conditional=True)
    players = start_training(create_run(tmp_path, "run"), config, dataset, CPU).players
    img, labels = torch.randn(4, 3, 16, 16), torch.eye(3)[[0, 1, 2, 0]]
    scores, class_logits = players.D.score_and_classify(img)
    assert scores.shape == (4, 1) and class_logits.shape == (4, 3)
    torch.testing.assert_close(players.D(img, labels), scores)
    torch.testing.assert_close(players.D(img, labels.flip(0)), scores)

    stats = Stats()
    objectives = Objectives(config, players, stats)
    latents = draw_latents(
        seed=0, purpose="Dmain", first=0, batch=4, z_dim=8, num_ws=1, style_mixing_prob=0, labels=labels
    )
    micro = MicroBatch(img, labels, latents)
    with_classes = objectives.discriminator_main(micro)
    found = stats.flush()
    players.D.classifies = False
    players.D.c_dim = 0  # the same critic, without its classifier
    players.D.b4.out.weight = torch.nn.Parameter(players.D.b4.out.weight[:1])
    players.D.b4.out.bias = torch.nn.Parameter(players.D.b4.out.bias[:1])
    without = objectives.discriminator_main(micro)
    entropies = found["Loss/classes/fake"]["mean"] + found["Loss/classes/real"]["mean"]
    assert float((with_classes - without).detach()) == pytest.approx(entropies, abs=1e-5)
