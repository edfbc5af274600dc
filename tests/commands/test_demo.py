"""`sg demo`, shortened: everything is written, and a second call goes on instead of starting over."""

from __future__ import annotations

import pytest
from PIL import Image

from sgcli.commands import demo
from tests.cli import sg


@pytest.fixture
def short(monkeypatch):
    settings = {"kimg": 0.016, "snap": 0.008, "batch": 8, "channels_base": 128, "channels_max": 8}
    monkeypatch.setattr(demo, "SETTINGS", demo.SETTINGS | settings)
    monkeypatch.setattr(demo, "NUM_TRAIN", 40)
    monkeypatch.setattr(demo, "NUM_HELD_OUT", 32)


def test_demo(short, tmp_path):
    out = tmp_path / "demo"
    result = sg("demo", "--outdir", out)
    assert result.status == 0, result.err
    assert result.text.strip() == str(out)
    written = {path.name for path in out.iterdir()}
    pictures = {"reals.png", "progress.png", "fakes.png", "truncation.png"}
    assert pictures | {"model.safetensors", "log.txt", "swd.txt", "toyfaces.zip", "held-out.zip"} <= written
    assert Image.open(out / "fakes.png").size == (1152, 768)
    for words in ("before training", "after training", "noise floor"):
        assert words in result.err and words in (out / "swd.txt").read_text()

    again = sg("demo", "--outdir", out)
    assert again.status == 0 and "is trained already" in again.err
    assert len(list(out.glob("*/config.json"))) == 1


@pytest.mark.slow
def test_demo_learns_faces(tmp_path):
    """Above the noise floor, the distance after training is at most a fifth of that before."""
    out = tmp_path / "demo"
    assert sg("demo", "--outdir", out).status == 0
    last = (out / "swd.txt").read_text().splitlines()[-1]
    assert float(last.split()[-3]) <= 0.2, last
