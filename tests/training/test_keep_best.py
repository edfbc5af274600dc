"""Which snapshots of a run are kept."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from sgcli.training.reports import prune_models
from sgcli.training.run import Run
from tests.cli import assert_refused, sg
from tests.commands.test_train import SMALL


def kept(folder, values, metric="swd", keep_last=None, keep_best="swd") -> list[int]:
    """kimg of the models that are left after snapshots with these values of a metric; None: not measured."""
    run = Run(folder)
    config = SimpleNamespace(metrics=metric, keep_last=keep_last, keep_best=keep_best)
    for kimg, value in enumerate(values):
        run.model_path(kimg * 1000).touch()
        if value is not None:
            run.append_metrics({"name": keep_best, "value": value, "kimg": float(kimg)})
        prune_models(SimpleNamespace(run=run, config=config))
    return [int(path.stem.removeprefix("model-")) for path in run.models()]


def test_the_best_and_the_newest(tmp_path):
    assert kept(tmp_path, [None, 30, 20, 25, 27]) == [2, 4]


def test_the_best_is_the_newest(tmp_path):
    assert kept(tmp_path, [None, 30, 25, 20]) == [3]


def test_besides_the_last_k(tmp_path):
    assert kept(tmp_path, [None, 10, 20, 25, 27, 28], keep_last=3) == [1, 3, 4, 5]


def test_higher_can_be_better_and_nan_never_is(tmp_path):
    assert kept(tmp_path, [0.1, 0.5, float("nan"), 0.2], metric="pr1k", keep_best="recall1k") == [1, 3]


def test_without_measurements_the_newest_stays(tmp_path):
    assert kept(tmp_path, [None, None, None]) == [2]


def test_all_are_kept_unless_asked(tmp_path):
    assert kept(tmp_path, [3, 2, 1], keep_best=None) == [0, 1, 2]


@pytest.mark.parametrize("asked", [["--keep-best", "swd8"], ["--keep-best", "fid", "--metrics", "swd8"]])
def test_what_is_not_measured_cannot_be_best(asked, faces, tmp_path):
    assert_refused(sg("train", faces, *SMALL, "--outdir", tmp_path / "runs", *asked), 2, asked[1])
    assert not (tmp_path / "runs").exists()


def test_training_keeps_the_best(faces, tmp_path):
    options = ["--kimg", 0.032, "--snap", 0.008, "--metrics", "swd8", "--keep-best", "swd8"]
    result = sg("train", faces, *SMALL, *options, "--outdir", tmp_path, "--name", "run")
    assert result.status == 0, result.err
    run = tmp_path / "00000-run"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = min(lines, key=lambda line: line["value"])["kimg"]
    left = {float(path.stem.removeprefix("model-")) for path in run.glob("model-*")}
    assert left == {best, 0.032}
