"""The one way to read an image file of a data set: guarded, fully decoded, upright.

A picture is turned as its EXIF orientation says, so that what is trained on is what every viewer shows.
"""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image

from sgcli.data.faults import UnreadableFile

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # Pillow tries no other decoder, whatever a file is called
MAX_PIXELS = 1 << 27  # 134 million, half a gigabyte once decoded
CHANNELS = {"1": 1, "L": 1, "LA": 2, "RGB": 3, "RGBA": 4}  # of the modes that hold plain 8-bit pixels
ORIENTATION_TAG = 0x0112
UPRIGHT = {  # EXIF 2.3, table 6: what brings each orientation back to 1
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns once per file about large pictures (refused below) and damaged metadata (of no consequence for pixels).
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class Picture(NamedTuple):
    """A decoded image file."""

    image: Image.Image  # upright; the first frame if animated
    oddities: tuple[str, ...]  # kinds of fault: any of "16-bit", "cmyk", "palette", "animated"


def read_image(data: bytes, name: str) -> Picture:
    """Decode the content of an image file. `name` is for messages. Raises UnreadableFile."""
    image = _open(data, name)
    oddities = _oddities(image, data)
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes Pillow raise OSError, SyntaxError, struct.error and more
        raise UnreadableFile(name, f"damaged or cut short: {_first_line(error)}") from error
    return Picture(_upright(image), oddities)


def read_mode(data: bytes, name: str) -> tuple[bool, bool]:
    """(is it grey, has it transparency) from the header alone. Raises UnreadableFile."""
    image = _open(data, name)
    return image.mode in ("1", "L", "LA") or image.mode.startswith("I"), image.has_transparency_data


def to_array(image: Image.Image) -> np.ndarray:
    """Plain 8-bit image -> uint8 [C, H, W]."""
    pixels = np.asarray(image.convert("L") if image.mode == "1" else image)
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def _open(data: bytes, name: str) -> Image.Image:
    """Read the header."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        too_large = image.width * image.height > MAX_PIXELS
    except Image.DecompressionBombError:
        too_large = True
    except Image.UnidentifiedImageError as error:
        reason = "not a PNG, JPEG, WebP or BMP image" if data else "an empty file"
        raise UnreadableFile(name, reason) from error
    except Exception as error:
        raise UnreadableFile(name, f"damaged header: {_first_line(error)}") from error
    if too_large:
        raise UnreadableFile(name, f"larger than {MAX_PIXELS // 1_000_000} million pixels")
    return image


def _oddities(image: Image.Image, data: bytes) -> tuple[str, ...]:
    found = {
        # Pillow hands out 16-bit colour as 8-bit, so the bit depth is read from the PNG header.
        "16-bit": image.mode.startswith("I") or (image.format == "PNG" and data[24] == 16),
        "cmyk": image.mode == "CMYK",
        "palette": image.mode in ("P", "PA"),
        # An MPO is a photograph with a preview or a second view behind it.
        "animated": getattr(image, "is_animated", False) and image.format != "MPO",
    }
    return tuple(kind for kind, is_so in found.items() if is_so)


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ORIENTATION_TAG)
    except Exception:  # damaged metadata says nothing about the pixels
        return image
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
