"""From any picture to a training image: colours, crop, size."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

CROPS = ("center", "wide", "none")
FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True)
class Recipe:
    """How every picture of a set is converted.

    size: width and height of the result.
    crop: 'center' cuts the largest square; 'wide' cuts the largest 4:3 picture and pastes it between black bars, as is
        done for LSUN Car; 'none' cuts nothing, so pictures must be square.
    filter: of the resizing, a key of FILTERS.
    mode: 'L', 'RGB' or 'RGBA'.
    """

    size: int
    crop: str
    filter: str
    mode: str


def crop_to_recipe(image: Image.Image, recipe: Recipe) -> Image.Image:
    """Cut out the centred part that fills the result."""
    if recipe.crop == "none":
        return image
    width, height = _filled_size(recipe)
    cut_width = min(image.width, max(1, round(image.height * width / height)))
    cut_height = min(image.height, max(1, round(image.width * height / width)))
    left, top = (image.width - cut_width) // 2, (image.height - cut_height) // 2
    return image.crop((left, top, left + cut_width, top + cut_height))


def convert(image: Image.Image, recipe: Recipe) -> Image.Image:
    """Any picture -> [size, size] picture of the recipe's mode. One that is already so keeps its pixels."""
    width, height = _filled_size(recipe)
    image = crop_to_recipe(to_mode(image, recipe.mode), recipe).resize((width, height), FILTERS[recipe.filter])
    if height == recipe.size:
        return image
    framed = Image.new(recipe.mode, (recipe.size, recipe.size), "black")
    framed.paste(image, (0, (recipe.size - height) // 2))
    return framed


def to_mode(image: Image.Image, mode: str) -> Image.Image:
    """Picture of any mode -> 'L', 'RGB' or 'RGBA'. Alpha that `mode` lacks is dropped, the colours under it stay."""
    if image.mode.startswith("I"):  # Pillow would clip 16-bit grey; take the high byte, as it does for 16-bit colour
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    return image if image.mode == mode else image.convert(mode)


def encode_png(image: Image.Image) -> bytes:
    """Uncompressed PNG without metadata: reads fastest, and its bytes do not depend on the version of zlib."""
    image = image.copy()
    image.info = {}  # Pillow would write the original's colour profile and colour key
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=0)
    return file.getvalue()


def _filled_size(recipe: Recipe) -> tuple[int, int]:
    """Width and height of the result without black bars."""
    return recipe.size, recipe.size * 3 // 4 if recipe.crop == "wide" else recipe.size
