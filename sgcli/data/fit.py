"""Any picture to the form of a generator's: its channels, its square, its size. What was done is told."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sgcli.data.convert import to_mode
from sgcli.data.faults import UnreadableFile
from sgcli.data.images import read_image, to_array
from sgcli.errors import FormatError

CROPS = ("center", "none")
GREY_MODES = ("1", "L", "I")  # and LA, I;16
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
SMALLEST_SIDE = 8  # in less there is nothing to find
PAPER = "white"  # what transparent pictures are laid upon


def fit_picture(data: bytes, name: str, resolution: int, channels: int, crop: str) -> tuple[np.ndarray, list[str]]:
    """Content of an image file -> uint8 `[channels, resolution, resolution]`, and what had to be done to it.

    crop  center: cut the largest square from the middle; none: squeeze what is not square.
    Scaled down by area, up by Lanczos. Raises FormatError for what is no picture, animated or tiny.
    """
    try:
        image, oddities = read_image(data, name)
    except UnreadableFile as error:
        raise FormatError(error.message, "give a whole PNG, JPEG, WebP or BMP picture") from error
    if "animated" in oddities:
        frames = getattr(image, "n_frames", "several")
        raise FormatError(f"{name}: animated ({frames} frames), one picture was expected", "save one frame as PNG")
    if min(image.size) < SMALLEST_SIDE:
        raise FormatError(
            f"{name}: {image.width}x{image.height} pixels, at least {SMALLEST_SIDE}x{SMALLEST_SIDE} are needed",
            f"the model draws {resolution}x{resolution}: give a picture of about that size or larger",
        )
    done = []
    if MODES[channels] != "RGBA" and image.has_transparency_data:
        image = _lay_on_paper(image)
        done.append(f"laid on {PAPER}: the model has no transparency")
    if MODES[channels] == "L" and not image.mode.startswith(GREY_MODES):
        done.append("made grey, as the model is")
    image = to_mode(image, MODES[channels])
    if image.width != image.height:
        done.append("cut to the square in the middle" if crop == "center" else "squeezed to a square")
        image = _cut_square(image) if crop == "center" else image
    if min(image.size) < resolution:
        done.append(f"enlarged to {resolution}x{resolution}")
    return to_array(_resize(image, resolution)), done


def _lay_on_paper(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, PAPER)
    return Image.alpha_composite(paper, image).convert("RGB")


def _cut_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _resize(image: Image.Image, side: int) -> Image.Image:
    """Each axis by itself: a squeezed picture may have to grow along one and shrink along the other."""
    across, down = (_filter(length, side) for length in image.size)
    return image.resize((side, image.height), across).resize((side, side), down)


def _filter(length: int, target: int) -> Image.Resampling:
    return Image.Resampling.BOX if length >= target else Image.Resampling.LANCZOS
