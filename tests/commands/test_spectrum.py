"""`sg metrics spectrum`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from sgcli.data.toyfaces import synthesize
from tests.cli import assert_refused, sg


def test_data_and_models_side_by_side(faces, model_file, tmp_path):
    picture = tmp_path / "spectrum.png"
    result = sg("metrics", "spectrum", faces, model_file, "--num", 20, "-o", picture)
    assert result.status == 0, result.err
    data, model = [json.loads(line) for line in result.text.splitlines()]
    assert (data["name"], data["num"], data["resolution"]) == ("spectrum", 20, 16)
    assert len(data["value"]) == len(data["slice_0"]) == len(model["slice_45"]) == 9
    assert "data_fingerprint" in data and len(model["model_sha256"]) == 64
    assert (data["mean"], data["std"]) == (model["mean"], model["std"])  # one scale for all
    assert np.ptp(data["value"]) > 5
    with Image.open(picture) as image:
        assert image.width > 1000


def test_the_same_again(faces):
    lines = [json.loads(sg("metrics", "spectrum", faces, "--num", 10, "--seed", 3).text) for _ in range(2)]
    assert lines[0].pop("seconds") is not None and lines[1].pop("seconds") is not None
    assert lines[0] == lines[1]


def test_a_set_against_itself_is_the_same(faces):
    first, second = [json.loads(line)["value"] for line in sg("metrics", "spectrum", faces, faces).text.splitlines()]
    assert first == second


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    return synthesize(tmp_path_factory.mktemp("data") / "larger.zip", count=4, size=32, seed=0)


def test_refusals(faces, larger, tmp_path):
    assert_refused(sg("metrics", "spectrum", tmp_path / "none.zip"), 1, "no such file")
    assert_refused(sg("metrics", "spectrum", faces, larger), 2, "16²", "32²")
    assert_refused(sg("metrics", "spectrum", faces, "-o", tmp_path / "x.jpg"), 2, "x.png")
