"""The strength of augmentation: its control law, its state, and training with it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from sgcli.models.checkpoint import kimg_of
from sgcli.training.ada import AugmentStrength
from tests.cli import assert_refused, sg
from tests.commands.test_train import SMALL

CERTAIN, UNSURE = torch.full([10, 1], 3.0), torch.tensor([[1.0], [-1.0]])  # r_t of 1 and of 0


def test_p_rises_every_fourth_step_while_d_is_too_sure():
    strength = AugmentStrength(0.0, target=0.6, kimg=1.0)
    seen = []
    for step in range(8):
        strength.observe(CERTAIN)
        strength.adjust(step, batch=10)
        seen.append(strength.p)
    assert seen == pytest.approx([0, 0, 0, 0.04, 0.04, 0.04, 0.04, 0.08])


def test_p_falls_but_not_below_zero_and_keeps_to_its_limit():
    strength = AugmentStrength(0.06, target=0.6, kimg=1.0, limit=0.05)
    for step in range(3, 40, 4):
        strength.observe(UNSURE)
        strength.adjust(step, batch=10)
    assert strength.p == 0
    for step in range(3, 40, 4):
        strength.observe(CERTAIN)
        strength.adjust(step, batch=10)
    assert strength.p == 0.05


def test_fixed_strength_stays():
    strength = AugmentStrength(0.3)
    strength.observe(CERTAIN)
    strength.adjust(3, batch=10)
    assert strength.p == 0.3 and strength.is_on and not AugmentStrength(0.0).is_on


def test_training_with_ada_resumes_with_the_same_bits(faces, tmp_path):
    options = [*SMALL, "--aug", "ada", "--aug-kimg", 0.2, "--aug-p", 0.5, "--outdir", tmp_path]
    assert sg("train", faces, *options, "--kimg", 0.112, "--name", "whole").status == 0
    assert sg("train", faces, *options, "--kimg", 0.056, "--name", "parts").status == 0
    result = sg("train", "--resume", tmp_path / "00001-parts", "--kimg", 0.112)
    assert result.status == 0, result.err
    whole, parts = (
        load_file(max((tmp_path / name / "state").iterdir(), key=kimg_of)) for name in ("00000-whole", "00001-parts")
    )
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())
    lines = [json.loads(line) for line in (tmp_path / "00001-parts" / "stats.jsonl").read_text().splitlines()]
    assert lines[-1]["Progress/augment"]["mean"] != 0.5
    assert " p 0." in result.err


def test_augmentation_reaches_the_gradients(faces, tmp_path):
    for name, more in (("plain", []), ("fixed", ["--aug", "fixed", "--aug-p", 1, "--aug-pipe", "bgcfnc"])):
        result = sg("train", faces, *SMALL, "--kimg", 0.008, "--outdir", tmp_path, "--name", name, *more)
        assert result.status == 0, result.err
    plain, fixed = (
        load_file(tmp_path / name / "model-000000.008.safetensors") for name in ("00000-plain", "00001-fixed")
    )
    assert not torch.equal(plain["G/synthesis.b8.conv0.weight"], fixed["G/synthesis.b8.conv0.weight"])
    assert all(tensor.isfinite().all() for tensor in fixed.values())


def test_bcr_adds_its_loss(tmp_path):
    data = tmp_path / "faces.zip"
    assert sg("data", "synth", data, "--count", 8, "--size", 32).status == 0
    result = sg("train", data, *SMALL, "--aug", "bcr", "--kimg", 0.016, "--outdir", tmp_path, "--name", "run")
    assert result.status == 0, result.err
    line = json.loads((tmp_path / "00000-run" / "stats.jsonl").read_text().splitlines()[-1])
    assert line["Loss/bcr/real"]["num"] == line["Loss/bcr/fake"]["num"] == 8
    assert line["Loss/bcr/real"]["mean"] > 0
    assert line["Loss/D/loss"]["mean"] > line["Loss/bcr/real"]["mean"]


def test_the_live_line_tells_p(faces):
    from types import SimpleNamespace

    from sgcli.training.config import resolve_config
    from sgcli.training.loop import describe_progress
    from sgcli.training.state import Progress
    from sgcli.training.stats import Stats

    data = {"resolution": 16, "num_channels": 3, "label_dim": 0}
    players = SimpleNamespace(augment=AugmentStrength(0.125), G=None)
    for aug, told in (("ada", True), ("none", False)):
        config = resolve_config("sg2", data, {"aug": aug}, tiny=True)
        training = SimpleNamespace(config=config, players=players, progress=Progress(nimg=4000), stats=Stats())
        assert ("p 0.125" in describe_progress(training)) == told


def test_bad_options(faces, tmp_path):
    def refuse(*more, words):
        assert_refused(sg("train", faces, *SMALL, "--outdir", tmp_path, *more), 2, *words)

    refuse("--aug", "some", words=["none, fixed, ada"])
    refuse("--aug-p", 0.3, words=["--aug-p 0.3: nothing is augmented", "--aug fixed --aug-p 0.3"])
    refuse("--aug-target", 0.5, "--aug-p", 0.1, words=["without --aug", "--aug ada --aug-"])
    refuse("--aug", "fixed", words=["--aug-p is missing"])
    refuse("--aug", "fixed", "--aug-p", 0.9, "--aug-max", 0.5, words=["above --aug-max 0.5"])
    refuse("--aug", "ada", "--aug-target", 1.5, words=["--aug-target", "not 1.5"])
    refuse("--aug", "ada", "--arch", "progan", words=["sign of D's outputs", "--aug fixed"])
    assert not list(tmp_path.iterdir())
    refuse("--aug", "ada", "--aug-pipe", "all", words=["bgcfnc"])


def test_no_augmentation_may_have_a_strength_to_compare_with(faces, tmp_path):
    common = ["--outdir", tmp_path, "--aug-target", 0.5, "--aug-kimg", 60, "--dry-run"]
    for aug in ("none", "ada"):
        assert sg("train", faces, *SMALL, *common, "--aug", aug).status == 0
