"""Pixels and PNG files."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from sgcli.errors import FormatError
from sgcli.media.pictures import decode_picture, encode_png, to_uint8, write_png

pictures = st.sampled_from([1, 3, 4]).flatmap(
    lambda channels: arrays.arrays(np.uint8, st.tuples(st.just(channels), st.integers(1, 9), st.integers(1, 9)))
)


def test_to_uint8_truncates_and_clamps():
    x = torch.tensor([-9.0, -1.0, -128 / 127.5, 0.0, 0.00391, 0.00393, 0.9999, 1.0, 9.0]).view(1, 1, 3, 3)
    assert to_uint8(x).flatten().tolist() == [0, 0, 0, 128, 128, 128, 255, 255, 255]
    assert to_uint8(torch.tensor([0.5 / 127.5, 1.01 / 127.5])).tolist() == [128, 129]
    assert to_uint8(x.bfloat16()).dtype == torch.uint8


@given(pictures)
def test_png_round_trip(image):
    data = encode_png(image)
    assert Image.open(io.BytesIO(data)).mode == {1: "L", 3: "RGB", 4: "RGBA"}[len(image)]
    np.testing.assert_array_equal(decode_picture(data, "x.png"), image)


def test_channels_last_and_tensors():
    image = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    assert encode_png(image) == encode_png(image.transpose(2, 0, 1)) == encode_png(torch.from_numpy(image))


def test_text_is_kept(tmp_path):
    text = {"model": "run/model-000200.safetensors", "truncation_psi": "0.7", "note": "ψ, naïve\nsecond line"}
    write_png(tmp_path / "x.png", np.zeros((3, 4, 4), np.uint8), text)
    with Image.open(tmp_path / "x.png") as image:
        assert image.text == text
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((3, 4, 4), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((2, 4, 5), np.uint8),
        np.zeros((3, 0, 4), np.uint8),
    ],
)
def test_what_is_no_picture(image):
    with pytest.raises(ValueError, match="picture"):
        encode_png(image)


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("LA", 4), ("P", 3), ("RGB", 3), ("RGBA", 4)])
def test_modes_of_other_files(mode, channels):
    buffer = io.BytesIO()
    Image.new(mode, (5, 4)).save(buffer, "PNG")
    assert decode_picture(buffer.getvalue(), "x.png").shape == (channels, 4, 5)


def test_photographs_are_turned_upright():
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    Image.new("RGB", (8, 4)).save(buffer, "JPEG", exif=exif)
    assert decode_picture(buffer.getvalue(), "x.jpg").shape == (3, 8, 4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\x93NUMPY and so on", "not a picture"),
        (encode_png(np.zeros((3, 64, 64), np.uint8))[:60], "damaged"),
    ],
)
def test_bad_files(data, message):
    with pytest.raises(FormatError, match=f"x.png: .*{message}") as raised:
        decode_picture(data, "x.png")
    assert raised.value.hint


def test_deep_pixels_are_refused():
    buffer = io.BytesIO()
    Image.new("I;16", (4, 4)).save(buffer, "PNG")
    with pytest.raises(FormatError, match="8 bits"):
        decode_picture(buffer.getvalue(), "x.png")
