"""Training on a data set in shards behind a URL: resumed, it goes on with the same pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sgcli.data.pack import pack
from sgcli.models.checkpoint import kimg_of
from tests.cli import sg

SMALL = ["--channels-base", 128, "--channels-max", 8, "--z-dim", 8, "--w-dim", 8, "--batch", 8, "--map-depth", 2]


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr("sgcli.training.order.WindowedPasses.__init__.__defaults__", (False, 16))


def newest_state(run: Path) -> dict[str, torch.Tensor]:
    return load_file(sorted((run / "state").glob("*"), key=kimg_of)[-1])


@pytest.mark.parametrize("address", ["shards", "shards/*.zip"], ids=["with an index", "by a pattern"])
def test_resume_is_exact(address, faces, tmp_path):
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
