"""`sg info --layers --plot`."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from sgcli.commands.info_layers import describe_layers, print_layers
from sgcli.models.checkpoint import save_model
from sgcli.models.registry import build_network, resolve
from tests.cli import assert_refused, sg


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    sizes = {"img_resolution": 32, "img_channels": 3, "c_dim": 0, "channel_base": 64, "channel_max": 4}
    spec = {**resolve("sg3-r").G, **sizes, "z_dim": 8, "w_dim": 8}
    path = tmp_path_factory.mktemp("model") / "r.safetensors"
    save_model(path, {"G_ema": build_network(spec)}, {"arch": "sg3-r", "networks": {"G": spec}, "kimg": 1.5})
    return path


def test_every_style_has_a_row(model):
    rows = json.loads(sg("info", model, "--layers").text)["layers"]
    assert [row["index"] for row in rows] == list(range(16))
    assert (rows[0]["name"], rows[0]["cutoff"], rows[0]["size"]) == ("input", 2, None)
    first = {"name": "L0_36_8", "resolution": 16, "cutoff": 2.0, "half_width": 6.0, "up": 2, "down": 2, "size": 36}
    assert first.items() <= rows[1].items()
    assert (rows[1]["down_taps"], rows[14]["down_taps"]) == ("12x12", 12)
    assert [row["critical"] for row in rows[12:]] == [False, True, True, True]


def test_the_table(model, capsys):
    print_layers(describe_layers(model))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["w", "layer", "rate", "cutoff"]
    assert len({len(line) for line in lines}) == 1
    assert "3.17" not in lines[1] and "2.00" in lines[1]


def test_the_plot(model, tmp_path):
    assert sg("info", model, "--plot", tmp_path / "layers.png").status == 0
    with Image.open(tmp_path / "layers.png") as picture:
        assert len(picture.getcolors(1 << 20)) > 50


def test_other_generators_have_layers_but_no_cutoffs(model_file, tmp_path):
    rows = json.loads(sg("info", model_file, "--layers").text)["layers"]
    assert rows[0] == {"index": 0, "name": "b4.conv1", "resolution": 4, "band": "coarse"}
    assert_refused(sg("info", model_file, "--plot", tmp_path / "x.png"), 2, "--plot", "StyleGAN3")
