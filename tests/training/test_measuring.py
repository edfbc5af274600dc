"""`sg train --metrics`: what is measured, when, and that it never stands in a training's way."""

from __future__ import annotations

import json
import signal
from types import SimpleNamespace

import pytest
import torch

from sgcli.distributed.group import ALONE
from sgcli.metrics.registry import parse_metrics
from sgcli.training import measuring
from sgcli.training.loop import StopSignal
from sgcli.training.measuring import Measuring, Stopped, interruptible
from tests.cli import assert_refused, sg

TINY = ("--tiny", "--channels-base", 64, "--channels-max", 4, "--batch", 4, "--z-dim", 8, "--w-dim", 8)


def test_metrics_of_a_run(faces, tmp_path, monkeypatch):
    monkeypatch.setenv("SG_CACHE_DIR", str(tmp_path / "cache"))
    result = sg(
        "train", faces, *TINY, "--kimg", 0.032, "--snap", 0.008, "--metrics", "swd16,fid20-random", "--metrics-every",
        "0.016kimg", "--keep-best", "swd16", "--outdir", tmp_path, "--name", "m",
    )  # fmt: skip
    assert result.status == 0, result.err
    run = tmp_path / "00000-m"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["name"], line["kimg"]) for line in lines] == [
        ("swd16", 0.016), ("fid20-random", 0.016), ("swd16", 0.032), ("fid20-random", 0.032),
    ]  # fmt: skip
    best = min((line["value"], line["kimg"]) for line in lines if line["name"] == "swd16")[1]
    names = {path.name for path in run.glob("model-*.safetensors")}
    assert names == {f"model-000000.{round(1000 * kimg):03d}.safetensors" for kimg in (best, 0.032)}
    assert json.loads((run / "config.json").read_text())["metrics_every"] == 0.016


def test_bad_options_are_found_before_training(faces, tmp_path):
    def refused(*arguments, words):
        assert_refused(sg("train", faces, *TINY, "--kimg", 1, "--outdir", tmp_path / "runs", *arguments), 2, *words)

    refused("--metrics", "fidd", words=["is not a metric"])
    refused("--metrics", "swd", "--keep-best", "fid1k", words=["--metrics gives swd"])
    refused("--keep-best", "swd", words=["no --metrics"])
    refused("--metrics", "swd", "--metrics-every", "often", words=["a number of kimg"])
    assert not list((tmp_path / "runs").glob("*"))


def fake_training(nimg: int, measured: list[float], total: int = 1000) -> SimpleNamespace:
    lines = [{"name": "swd", "kimg": kimg} for kimg in measured]
    return SimpleNamespace(
        players=SimpleNamespace(group=ALONE),
        progress=SimpleNamespace(nimg=nimg),
        config=SimpleNamespace(total_nimg=total),
        run=SimpleNamespace(metrics=lambda: lines),
    )


def test_when_snapshots_are_measured():
    each = Measuring(parse_metrics("swd"), None, torch.device("cpu"))
    spaced = Measuring(parse_metrics("swd"), 0.2, torch.device("cpu"))
    assert not each.is_due(fake_training(0, []))
    assert each.is_due(fake_training(100, []))
    assert not each.is_due(fake_training(100, [0.1]))  # after a resumption
    assert not spaced.is_due(fake_training(100, []))
    assert spaced.is_due(fake_training(200, []))
    assert not spaced.is_due(fake_training(300, [0.2]))
    assert spaced.is_due(fake_training(1000, [0.9]))  # the end


def test_failing_metrics_do_not_stop_a_training(monkeypatch, capsys):
    def fail(request, job):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(measuring, "run_request", fail)
    callback = Measuring(parse_metrics("swd"), None, torch.device("cpu"))
    monkeypatch.setattr(callback, "job", lambda training: None)
    callback(fake_training(100, []))
    assert "warning: swd: not measured at 0.1 kimg: out of memory" in capsys.readouterr().err


def test_a_signal_stops_the_metric_and_reaches_the_loop():
    with StopSignal() as stop:
        with interruptible():
            pass
        assert signal.getsignal(signal.SIGINT) == stop._remember
        with pytest.raises(Stopped), interruptible():
            signal.raise_signal(signal.SIGINT)
        assert stop.number == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
