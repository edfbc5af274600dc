"""`sg train-classifier`: the file it writes, its report, and what it refuses."""

from __future__ import annotations

import json

import torch

from sgcli.features.classifier import open_classifier
from sgcli.models.checkpoint import read_header
from tests.cli import assert_refused, sg


def test_trains_and_reports(faces, tmp_path):
    result = sg(
        "train-classifier", faces, "--attributes", "hat,smile", "--kimg", "0.064", "-o", tmp_path / "c.safetensors"
    )
    assert result.status == 0, result.err
    lines = [json.loads(line) for line in result.text.splitlines()]
    assert [line["attribute"] for line in lines] == ["hat", "smile"]
    for line in lines:
        assert 0 <= line["value"] <= 1 and 0.5 <= line["chance"] < 1 and line["kimg"] == 0.064
    classifier = open_classifier(tmp_path / "c.safetensors", torch.device("cpu"))
    assert classifier.names == ["hat", "smile"] and classifier.resolution == 16
    header = read_header(tmp_path / "c.safetensors", "classifier")
    assert header["accuracy"].keys() == {"hat", "smile"} and header["data"]["name"] == "faces"


def test_a_network_each(faces, tmp_path):
    out = tmp_path / "c.safetensors"
    result = sg("train-classifier", faces, "--attributes", "hat,smile", "--separate", "--kimg", 0.032, "-o", out)
    assert result.status == 0, result.err
    assert len(read_header(out, "classifier")["networks"]) == 2
    assert open_classifier(out, torch.device("cpu")).names == ["hat", "smile"]


def test_refusals(faces, tmp_path):
    out = tmp_path / "c.safetensors"
    assert_refused(sg("train-classifier", faces, "--attributes", "smle", "-o", out), 2, "smle", "--attributes smile")
    assert_refused(sg("train-classifier", faces, "-o", tmp_path / "c.pt"), 2, "c.safetensors")
    assert_refused(sg("train-classifier", faces), 2, "output")
    assert_refused(sg("train-classifier", tmp_path / "none.zip", "-o", out), 1, "none.zip")
    from sgcli.media.pictures import write_png

    for number in range(3):
        write_png(tmp_path / "plain" / f"{number}.png", torch.zeros(3, 16, 16, dtype=torch.uint8))
    assert_refused(sg("train-classifier", tmp_path / "plain", "-o", out), 2, "no attributes", "sg data synth")
    assert not out.exists()


def test_an_attribute_that_all_have_is_left_out(tmp_path):
    from sgcli.media.pictures import write_png

    for number in range(4):
        write_png(tmp_path / "d" / f"{number}.png", torch.full((3, 8, 8), 60 * number, dtype=torch.uint8))
    values = {f"{number}.png": [1, number % 2] for number in range(4)}
    (tmp_path / "d" / "dataset.json").write_text(
        json.dumps({"labels": None, "attributes": {"names": ["all", "odd"], "values": values}})
    )
    result = sg("train-classifier", tmp_path / "d", "--kimg", 0.016, "-o", tmp_path / "c.safetensors")
    assert result.status == 0, result.err
    assert "all: left out, all pictures have it" in result.err
    assert [json.loads(line)["attribute"] for line in result.text.splitlines()] == ["odd"]
