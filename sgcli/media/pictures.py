"""Pictures in memory and as PNG: what a network draws, as 8-bit pixels, as bytes of a file, and back.

Pixels are uint8, `[C, H, W]` with 1 (L), 3 (RGB) or 4 (RGBA) channels.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Union

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from sgcli import files, provenance
from sgcli.errors import FormatError

if TYPE_CHECKING:
    import torch

Pixels = Union[np.ndarray, "torch.Tensor"]
CHANNELS = (1, 3, 4)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Pictures of a network, `[N, C, H, W]` in [-1, 1] (values outside are clamped) -> uint8, on the same device.

    trunc(clamp(x·127.5 + 128, 0, 255)), as in StyleGAN2-ADA.
    """
    import torch

    return (images.float() * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def as_array(pixels: Pixels) -> np.ndarray:
    """A NumPy array of a tensor on any device, or of an array."""
    if isinstance(pixels, np.ndarray):
        return pixels
    return pixels.detach().cpu().numpy()


def to_pil(image: Pixels) -> Image.Image:
    """A Pillow image of uint8 `[C, H, W]` or `[H, W, C]`; where both readings fit, the first is taken.

    Raises ValueError for anything else.
    """
    array = as_array(image)
    if array.ndim != 3 or array.dtype != np.uint8 or array.size == 0:
        raise ValueError(f"a picture must be uint8 [C, H, W] or [H, W, C], got {array.dtype} {list(array.shape)}")
    if array.shape[0] in CHANNELS:
        array = array.transpose(1, 2, 0)
    elif array.shape[2] not in CHANNELS:
        raise ValueError(f"a picture has 1, 3 or 4 channels, got {list(array.shape)}")
    return Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2] == 1 else array))


def from_pil(image: Image.Image) -> np.ndarray:
    """uint8 `[C, H, W]` of a Pillow image in mode L, RGB or RGBA."""
    array = np.array(image)
    return array[np.newaxis] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def repeat_pixels(pictures: np.ndarray, times: int) -> np.ndarray:
    """`[…, H, W]` with every pixel `times` as wide and high."""
    return pictures if times == 1 else pictures.repeat(times, axis=-2).repeat(times, axis=-1)


def encode_png(image: Pixels, text: Mapping[str, str] | None = None) -> bytes:
    """PNG file of a picture as `to_pil` takes it. `text`: notes kept in the file, by keyword (to 79 letters)."""
    info = PngImagePlugin.PngInfo()
    for keyword, value in (text or {}).items():
        info.add_text(keyword, value)
    buffer = io.BytesIO()
    to_pil(image).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def write_png(path: str | os.PathLike, image: Pixels, text: Mapping[str, str] | None = None) -> None:
    """Write a picture to `path`, whole or not at all, with where it came from. `text`: more notes kept in the file."""
    files.write_bytes(path, encode_png(image, {**provenance.notes(), **(text or {})}))


def enlarge(picture: np.ndarray, size: int) -> np.ndarray:
    """uint8 `[C, H, W]`, its pixels repeated until it is at least `size` wide."""
    factor = -(-size // picture.shape[2])
    return picture.repeat(factor, axis=1).repeat(factor, axis=2)


def decode_picture(data: bytes, name: str) -> np.ndarray:
    """Content of an image file of any usual format -> uint8 `[C, H, W]`: L, RGB or RGBA, turned upright as EXIF says.

    Raises FormatError, in which `name` stands for the file.
    """
    if not data:
        raise FormatError(f"{name}: empty, a picture was expected", "check the command that should have written it")
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = ImageOps.exif_transpose(opened)
    except UnidentifiedImageError as error:
        raise FormatError(f"{name}: not a picture of a known format", "give a PNG or JPEG file") from error
    except Image.DecompressionBombError as error:
        raise FormatError(f"{name}: the picture is too large ({error})", "scale it down first") from error
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's readers use all three for damaged data
        raise FormatError(f"{name}: the picture is damaged ({error})", "fetch or write the file again") from error
    if image.mode[0] in "IF":
        raise FormatError(f"{name}: more than 8 bits per pixel (mode {image.mode})", "convert it to an 8-bit PNG first")
    if image.mode in ("L", "1"):
        return from_pil(image.convert("L"))
    return from_pil(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def read_png_text(data: bytes, name: str) -> dict[str, str]:
    """The notes in a PNG file, by keyword. Raises FormatError, in which `name` stands for the file."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()  # notes may follow the pixels
            return {str(keyword): str(value) for keyword, value in getattr(image, "text", {}).items()}
    except (OSError, SyntaxError, ValueError) as error:
        raise FormatError(f"{name}: the picture is damaged ({error})", "fetch or write the file again") from error
