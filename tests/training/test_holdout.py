"""Pictures that D scores without learning from them, and what is written down about D's outputs."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file

from sgcli.data.dataset import open_dataset, open_held_out
from sgcli.training.held_out import overfitting
from tests.cli import assert_refused, sg
from tests.commands.test_train import SMALL


def test_held_out_pictures_are_the_same_for_every_subset(faces):
    held_out = set(open_held_out(faces, 10, seed=3).file_names)
    assert len(held_out) == 10
    for max_images in (None, 20, 1000):
        names = set(open_dataset(faces, max_images=max_images, hold_out=10, seed=3).file_names)
        assert len(names) == min(max_images or 38, 38) and not names & held_out


def test_overfitting():
    assert overfitting(1.0, 1.0, -1.0) == 0
    assert overfitting(1.0, -1.0, -1.0) == 1
    assert overfitting(1.0, 0.5, 2.0) is None  # D prefers fakes
    assert overfitting(1.0, float("nan"), 0.0) is None


@pytest.mark.parametrize("holdout", ["8", "other"])
def test_scores_of_held_out_pictures_are_written_and_change_nothing(holdout, faces, tmp_path):
    holdout = faces if holdout == "other" else holdout
    options = [*SMALL, "--kimg", 0.064, "--outdir", tmp_path]
    result = sg("train", faces, *options, "--holdout", holdout, "--name", "watched")
    assert result.status == 0 and "r_v" in result.err, result.err
    lines = [json.loads(line) for line in (tmp_path / "00000-watched" / "stats.jsonl").read_text().splitlines()]
    scores = next(line["Loss/scores/held_out"] for line in lines if "Loss/scores/held_out" in line)
    assert scores["num"] == 8 and sorted(scores["quantiles"]) == scores["quantiles"]
    assert scores["quantiles"][0] <= scores["mean"] <= scores["quantiles"][-1]
    again = sg("train", "--resume", tmp_path / "00000-watched", "--kimg", 0.072)
    assert again.status == 0, again.err
    if holdout == faces:
        assert sg("train", faces, *options, "--name", "plain").status == 0
        watched, plain = (
            load_file(tmp_path / run / "model-000000.064.safetensors") for run in ("00000-watched", "00001-plain")
        )
        assert all((tensor == plain[name]).all() for name, tensor in watched.items())


def test_what_cannot_be(faces, tmp_path):
    def refuse(*more, status=2, words):
        assert_refused(sg("train", faces, *SMALL, "--outdir", tmp_path / "runs", *more), status, *words)

    refuse("--holdout", 48, words=["48 images in all"])
    for number in ("0", "-5", "2.5"):
        refuse("--holdout", number, words=[f"--holdout {number}: a number of pictures above 0"])
    refuse("--holdout", "nowhere.zip", status=1, words=["nowhere.zip"])
    sg("data", "synth", tmp_path / "large.zip", "--count", 4, "--size", 32)
    refuse("--holdout", tmp_path / "large.zip", words=["resolution 32", "--size 16"])
    refuse("--holdout", tmp_path / "large.zip", "--dry-run", words=["resolution 32"])
    assert not (tmp_path / "runs").exists()
