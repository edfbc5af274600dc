"""`sg inspect`: numbers on stdout, pictures in files, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.cli import assert_refused, sg


def lines_of(result) -> list[dict]:
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.text.splitlines()]


def test_feature_maps(model_file, tmp_path):
    out = tmp_path / "maps.png"
    options = ["-m", model_file, "--layer", "b8.conv1"]
    (facts,) = lines_of(sg("inspect", "feature-maps", *options, "-o", out))
    assert facts["name"] == "peak_share" and 0 < facts["value"] <= 1
    assert facts["shape"] == [8, 8, 8] and facts["arch"] == "sg2-f"
    one = Image.open(out).size
    lines_of(sg("inspect", "feature-maps", *options, "--seeds", "0-2", "--channels", 4, "-o", out))
    assert Image.open(out).size != one
    result = sg("inspect", "feature-maps", "-m", model_file, "--layer", "b99.conv1")
    assert_refused(result, 2, "b99.conv1", "b8.conv0, b8.conv1, b16.conv0")
    assert_refused(sg("inspect", "feature-maps", *options, "-o", "maps.jpg"), 2, "maps.png")


def test_phase(model_file, tmp_path):
    out, directions = tmp_path / "phase.png", tmp_path / "dirs.npy"
    np.save(directions, np.random.default_rng(0).standard_normal([2, 6, 10]).astype(np.float32))
    (facts,) = lines_of(sg("inspect", "phase", "-m", model_file, "--direction", f"{directions}:1", "-o", out))
    assert 0 < facts["value"] < 1 and facts["range"] == [-3, 3]
    assert Image.open(out).width > 3 * 384
    (facts,) = lines_of(sg("inspect", "phase", "-m", model_file, "--seed", 4, "--steps", 16))
    assert facts["range"] == [0, 1] and facts["steps"] == 16


def test_phase_refusals(model_file, tmp_path):
    directions = tmp_path / "dirs.npy"
    np.save(directions, np.zeros([2, 6, 10], np.float32))

    def refuse(*options, status=2, words):
        assert_refused(sg("inspect", "phase", "-m", model_file, *options), status, *words)

    refuse("--direction", f"{directions}:2", words=["rows 0 to 1"])
    refuse("--direction", directions, words=["the number of a row"])
    refuse("--direction", f"{directions}:0", words=["all pictures of the walk are alike"])
    refuse("--range", "3", words=["two numbers", "--range -3..3"])
    refuse("--direction", f"{tmp_path}/none.npy:0", status=1, words=["no such file"])
    np.save(directions, np.zeros([2, 12], np.float32))
    refuse("--direction", f"{directions}:0", words=["holds Z"])


def test_contributions_over_a_run(faces, tmp_path):
    options = ["--tiny", "--channels-base", 128, "--z-dim", 8, "--w-dim", 8, "--batch", 4]
    for arch, kimg in (("sg2", 0.012), ("sg1", 0.012), ("sg3-t", 0)):
        snapshots = ["--kimg", kimg, "--snap", 0.004, "--outdir", tmp_path, "--name", arch]
        assert sg("train", faces, "--arch", arch, *options, *snapshots).status == 0
    out = tmp_path / "contributions.png"
    rows = lines_of(sg("inspect", "contributions", "-m", tmp_path / "00000-sg2", "--num", 8, "-o", out))
    assert [row["kimg"] for row in rows] == [0, 0.004, 0.008, 0.012]
    for row in rows:
        assert list(row["share"]) == ["4", "8", "16"]
        assert sum(row["share"].values()) == pytest.approx(1, abs=1e-3)
    assert Image.open(out).size == (900, 500)
    model = sorted((tmp_path / "00000-sg2").glob("model-*"))[-1]
    assert len(lines_of(sg("inspect", "contributions", "-m", model, "--num", 8, "-o", out))) == 1
    rows = lines_of(sg("inspect", "contributions", "-m", tmp_path / "00001-sg1", "--num", 8))
    assert list(rows[0]["share"]) == ["8"] and list(rows[-1]["share"]) == ["16"]
    result = sg("inspect", "contributions", "-m", tmp_path / "00002-sg3-t")
    assert_refused(result, 2, "one layer, at one resolution")
