"""`sg data augment-preview`."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.cli import assert_refused, sg


def test_rows_of_transforms_and_of_pictures(faces, tmp_path):
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    for out, num in ((one, 2), (two, 3)):
        result = sg("data", "augment-preview", faces, "--num", num, "-o", out)
        assert result.status == 0, result.err
    row = 96 + 4  # a picture and the gap under it
    assert Image.open(two).size[1] - Image.open(one).size[1] == row
    assert Image.open(one).size[1] > (12 + 2) * row
    piped = sg("data", "augment-preview", faces, "--num", 2)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(piped.out))), np.asarray(Image.open(one)))


@pytest.mark.parametrize(("mode", "left_out"), [("L", "hue, saturation"), ("RGBA", "brightness, contrast, lumaflip")])
def test_grey_and_alpha(mode, left_out, tmp_path):
    folder = tmp_path / mode
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(255, size=(8, 8, len(mode)), dtype=np.uint8)
    Image.fromarray(pixels.squeeze(), mode).save(folder / "one.png")
    result = sg("data", "augment-preview", folder, "-o", tmp_path / "out.png")
    assert result.status == 0 and left_out in result.err, result.err
    alone = sg("data", "augment-preview", folder, "--aug-pipe", "color", "-o", tmp_path / "out.png")
    if mode == "RGBA":
        assert_refused(alone, 2, "changes nothing", "--aug-pipe bg")
    else:
        assert alone.status == 0


def test_refusals(faces, tmp_path):
    assert_refused(sg("data", "augment-preview", faces, "--aug-pipe", "all", "-o", tmp_path / "o.png"), 2, "bgcfnc")
    assert_refused(sg("data", "augment-preview", faces, "-o", tmp_path / "o.jpg"), 2, "o.jpg")
    assert_refused(sg("data", "augment-preview", tmp_path / "none", "-o", tmp_path / "o.png"), 1, "none")
