"""Reading one image file: kinds of pictures, damage, guards, orientation."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sgcli.data.faults import UnreadableFile
from sgcli.data.images import read_image, read_mode, to_array


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, bit_depth: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG that Pillow itself cannot write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


GREY_RAMP = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
NOISE = Image.fromarray(np.random.RandomState(0).randint(0, 256, (64, 64, 3), np.uint8))
RGB_16 = png(2, 1, 16, 2, b"\0" + b"\x12\x34" * 6)
ANIMATION = encode(GREY_RAMP, save_all=True, append_images=[GREY_RAMP.rotate(90)])


@pytest.mark.parametrize(
    ("data", "oddities"),
    [
        (encode(GREY_RAMP), ()),
        (encode(GREY_RAMP.convert("RGB")), ()),
        (encode(GREY_RAMP.convert("RGB"), "BMP"), ()),
        (encode(GREY_RAMP.convert("RGB"), "WEBP"), ()),
        (encode(GREY_RAMP.convert("1")), ()),
        (encode(GREY_RAMP.convert("P")), ("palette",)),
        (encode(GREY_RAMP.convert("CMYK"), "JPEG"), ("cmyk",)),
        (encode(Image.fromarray(np.full((4, 4), 40000, np.uint16))), ("16-bit",)),
        (RGB_16, ("16-bit",)),
        (ANIMATION, ("animated",)),
    ],
)
def test_oddities(data, oddities):
    assert read_image(data, "x").oddities == oddities


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file"),
        (b"hello, this is text", "not a PNG, JPEG, WebP or BMP image"),
        (encode(GREY_RAMP, "GIF"), "not a PNG, JPEG, WebP or BMP image"),
        (encode(GREY_RAMP)[:50], "damaged or cut short"),
        (encode(GREY_RAMP).replace(b"IDATx", b"IDATy"), "damaged or cut short"),
        (encode(NOISE, "JPEG")[:-200], "damaged or cut short"),
        (encode(NOISE, "WEBP")[:-200], "damaged"),
        (encode(NOISE, "BMP")[:-200], "damaged or cut short"),
        (png(60000, 60000, 8, 2, b""), "larger than 134 million pixels"),
        (png(12000, 12000, 8, 2, b""), "larger than 134 million pixels"),
    ],
)
def test_what_cannot_be_read(data, reason):
    with pytest.raises(UnreadableFile, match=reason):
        read_image(data, "x.png")


def test_every_truncation_is_refused_or_read():
    """Never another exception, and from a lossless file never other pixels."""
    for kind in ("PNG", "JPEG", "WEBP", "BMP"):
        data = encode(GREY_RAMP.convert("RGB"), kind)
        for length in range(0, len(data), 7):
            try:
                image = read_image(data[:length], "x").image
                assert image.size == (8, 8)
                assert kind in ("JPEG", "WEBP") or np.array_equal(image.convert("L"), GREY_RAMP)
            except UnreadableFile as error:
                assert "\n" not in error.message


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation):
    upright = Image.fromarray(np.repeat(np.array([[0, 85], [170, 255], [170, 255]], np.uint8), 8, 0).repeat(8, 1))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the inverse of what a viewer does
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(read_image(encode(stored, exif=exif), "x").image, upright)


def test_to_array():
    assert to_array(GREY_RAMP).shape == (1, 8, 8)
    assert to_array(GREY_RAMP.convert("1")).max() == 255
    rgba = np.random.RandomState(0).randint(0, 256, (8, 8, 4), np.uint8)
    assert np.array_equal(to_array(Image.fromarray(rgba)), rgba.transpose(2, 0, 1))


def test_read_mode():
    assert read_mode(encode(GREY_RAMP), "x") == (True, False)
    assert read_mode(encode(GREY_RAMP.convert("LA")), "x") == (True, True)
    assert read_mode(encode(GREY_RAMP.convert("RGBA")), "x") == (False, True)
    assert read_mode(encode(GREY_RAMP.convert("P"), transparency=0), "x") == (False, True)
