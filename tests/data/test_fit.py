"""Any picture to a generator's form, with what was done told; and what is no picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sgcli.data.fit import fit_picture
from sgcli.errors import FormatError


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def gradient(width: int, height: int, mode: str = "RGB") -> Image.Image:
    row = np.linspace(0, 255, width).astype(np.uint8)
    return Image.fromarray(np.repeat(row[None], height, axis=0)).convert(mode)


def fit(image: Image.Image, resolution=16, channels=3, crop="center"):
    return fit_picture(encode(image), "photo.png", resolution, channels, crop)


def test_a_picture_that_fits_keeps_its_pixels():
    image = gradient(16, 16)
    pixels, done = fit(image)
    assert np.array_equal(pixels, np.asarray(image).transpose(2, 0, 1)) and done == []


def test_scaled_down_by_area():
    image = Image.fromarray(np.random.RandomState(0).randint(0, 256, (32, 32, 3), np.uint8))
    pixels, _ = fit(image)
    expected = np.asarray(image, np.float32).reshape(16, 2, 16, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    assert np.abs(pixels - expected).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_mode(mode, channels):
    image = Image.new("I;16", (20, 20), 40000) if mode == "I;16" else gradient(20, 20).convert(mode)
    kind = "JPEG" if mode == "CMYK" else "PNG"
    pixels, _ = fit_picture(encode(image, kind), "photo", 16, channels, "center")
    assert pixels.shape == (channels, 16, 16) and pixels.dtype == np.uint8
    if mode == "I;16":
        assert pixels[0, 0, 0] == 40000 >> 8


def test_transparency_is_laid_on_white():
    image = gradient(16, 16, "RGBA")
    image.putalpha(0)
    pixels, done = fit(image)
    assert (pixels == 255).all() and "white" in done[0]
    pixels, done = fit(image, channels=4)
    assert (pixels[3] == 0).all() and done == []


def test_crop_and_squeeze():
    middle, done = fit(gradient(64, 32))
    assert 50 < middle[0, 0, 0] < 80 and done == ["cut to the square in the middle"]
    whole, done = fit(gradient(64, 32), crop="none")
    assert whole[0, 0, 0] < 10 and done == ["squeezed to a square"]
    whole, done = fit(gradient(64, 10), crop="none")
    assert whole.shape == (3, 16, 16) and "enlarged to 16x16" in done


def test_grey_models_say_that_colour_is_lost():
    assert fit(gradient(16, 16), channels=1)[1] == ["made grey, as the model is"]
    assert fit(gradient(16, 16, "L"), channels=1)[1] == []


def test_refusals():
    frames = [gradient(16, 16), gradient(16, 16).rotate(90)]
    animated = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    for data, words in (
        (b"", "an empty file"),
        (b"words", "not a PNG, JPEG, WebP or BMP image"),
        (encode(gradient(64, 64))[:-40], "damaged"),
        (encode(gradient(1, 1)), "1x1 pixels, at least 8x8"),
        (encode(gradient(100, 7)), "100x7 pixels"),
        (animated, "animated (2 frames)"),
    ):
        with pytest.raises(FormatError) as raised:
            fit_picture(data, "photo", 16, 3, "center")
        assert words in raised.value.message and raised.value.hint
