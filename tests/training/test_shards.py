"""Training on a data set in shards behind a URL: resumed, it goes on with the same pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sgcli.data.pack import pack
from sgcli.models.checkpoint import kimg_of
from tests.cli import sg, sg_process

SMALL = ["--channels-base", 128, "--channels-max", 8, "--z-dim", 8, "--w-dim", 8, "--batch", 8, "--map-depth", 2]


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr("sgcli.training.order.WindowedPasses.__init__.__defaults__", (False, 16))


def newest_state(run: Path) -> dict[str, torch.Tensor]:
    return load_file(sorted((run / "state").glob("*"), key=kimg_of)[-1])


@pytest.mark.parametrize("address", ["shards", "shards/*.zip"], ids=["with an index", "by a pattern"])
def test_resume_is_exact(address, faces, tmp_path, small_windows):
    pack(faces, tmp_path / "shards", 16, shard_size=10)
    url = f"file://{tmp_path}/{address}"
    common = ["train", url, *SMALL, "--outdir", tmp_path, "--mirror"]
    whole = sg(*common, "--kimg", 0.128, "--name", "whole")
    assert whole.status == 0, whole.err
    assert sg(*common, "--kimg", 0.056, "--name", "parts").status == 0
    parts = sg("train", "--resume", tmp_path / "00001-parts", "--kimg", 0.128)
    assert parts.status == 0, parts.err
    one, two = (newest_state(Path(result.text.strip())) for result in (whole, parts))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_two_workers_on_a_pattern(faces, tmp_path):
    """Shards without an index are looked at by whoever starts the workers; these see the pictures that one would."""
    pack(faces, tmp_path / "shards", 16, shard_size=12)
    pattern = f"{tmp_path}/shards/*-{{00000..00002}}.zip"
    common = ["train", pattern, *SMALL, "--outdir", tmp_path, "--kimg", 0.008, "--name"]
    one = sg(*common, "one")
    assert one.status == 0, one.err
    workers = sg_process(*common, "two", "--procs", 2)
    out, err = workers.communicate(timeout=240)
    assert workers.returncode == 0, err
    first, second = (
        json.loads((Path(text.strip()) / "stats.jsonl").read_text())["Loss/scores/real"]
        for text in (one.text, out.decode())
    )
    assert first["num"] == second["num"] > 0
    assert second["mean"] == pytest.approx(first["mean"], rel=1e-4)
    assert second["std"] == pytest.approx(first["std"], rel=1e-3)
