"""Many pictures in one: plain grids, and tables with captions (truncation rows, mixing tables, progress sheets)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from sgcli.errors import UsageError
from sgcli.media.pictures import Pixels, as_array, from_pil, to_pil
from sgcli.media.text import draw_text, text_size

EMPTY_CELL = {1: (128,), 3: (128, 128, 128), 4: (128, 128, 128, 0)}  # mid-grey; no colour at all where there is alpha
MAX_GRID_SIDE = 1000

WHITE_PAPER = ((255, 255, 255), (40, 40, 40))  # background, text
DARK_PAPER = ((24, 24, 27), (225, 225, 225))


def parse_grid(text: str, option: str = "--grid") -> tuple[int, int]:
    """'8x4' -> (8, 4): columns, rows. Raises UsageError that names `option`."""
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*[xX×]\s*([0-9]{1,9})\s*", text)
    if not match:
        raise UsageError(f"{option} {text}: not of the form COLUMNSxROWS", f"{option} 8x4")
    columns, rows = int(match[1]), int(match[2])
    if not (1 <= columns <= MAX_GRID_SIDE and 1 <= rows <= MAX_GRID_SIDE):
        raise UsageError(f"{option} {text}: columns and rows go from 1 to {MAX_GRID_SIDE}", f"{option} 8x4")
    return columns, rows


def make_grid(images: Pixels, columns: int, rows: int) -> np.ndarray:
    """uint8 `[N, C, H, W]` -> `[C, rows·H, columns·W]`, filled row by row; cells without a picture are grey.

    Raises ValueError for more pictures than cells.
    """
    array = as_array(images)
    num, channels, height, width = array.shape
    if num > rows * columns:
        raise ValueError(f"{num} pictures do not fit a grid of {columns}x{rows}")
    fill = np.array(EMPTY_CELL[channels], np.uint8).reshape(1, channels, 1, 1)
    cells = np.broadcast_to(fill, (rows * columns, channels, height, width)).copy()
    cells[:num] = array
    cells = cells.reshape(rows, columns, channels, height, width).transpose(2, 0, 3, 1, 4)
    return cells.reshape(channels, rows * height, columns * width)


def make_table(
    cells: Sequence[Sequence[Pixels | None]],
    column_captions: Sequence[str] = (),
    row_captions: Sequence[str] = (),
    title: str = "",
    dark: bool = False,
) -> np.ndarray:
    """Pictures in rows, with captions above the columns and left of the rows -> uint8 `[3, H, W]`.

    `cells`: rows of uint8 `[C, H, W]` of one size, or None for an empty place; rows may be of different lengths.
    Columns are as wide as their captions need. Raises ValueError without any picture, or where sizes differ.
    """
    pictures = [[None if cell is None else to_pil(cell) for cell in row] for row in cells]
    width, height = _common_size(pictures)
    num_columns = max(len(row) for row in pictures)
    background, ink = DARK_PAPER if dark else WHITE_PAPER

    size = min(max(height // 9, 12), 30)  # of the captions, in pixels
    title_size = size * 4 // 3
    gap = max(2, min(width, height) // 24)
    margin = size
    cell_width = max(width, gap + _extent(column_captions, size)[0])
    cell_height = max(height, _extent(row_captions, size)[1])
    pitch_x, pitch_y = cell_width + gap, cell_height + gap
    left = margin + (_extent(row_captions, size)[0] + size // 2 if row_captions else 0)
    top = margin + (_extent([title], title_size)[1] + size // 2 if title else 0)
    top += _extent(column_captions, size)[1] + size // 4 if column_captions else 0
    right = max(left + pitch_x * num_columns - gap, margin + _extent([title], title_size)[0])

    table = Image.new("RGB", (right + margin, top + pitch_y * len(pictures) - gap + margin), background)
    draw_text(table, (margin, margin), title, title_size, ink)
    for column, caption in enumerate(column_captions):
        middle = left + column * pitch_x + cell_width / 2
        draw_text(table, (middle, top - size // 4), caption, size, ink, "md")
    for row, caption in enumerate(row_captions):
        middle = top + row * pitch_y + cell_height / 2
        draw_text(table, (left - size // 2, middle), caption, size, ink, "rm")
    for row, some in enumerate(pictures):
        for column, picture in enumerate(some):
            if picture is not None:
                x = left + column * pitch_x + (cell_width - width) // 2
                y = top + row * pitch_y + (cell_height - height) // 2
                table.paste(picture, (x, y), picture if picture.mode == "RGBA" else None)
    return from_pil(table)


def _common_size(pictures: Sequence[Sequence[Image.Image | None]]) -> tuple[int, int]:
    sizes = {picture.size for row in pictures for picture in row if picture is not None}
    if len(sizes) != 1:
        raise ValueError(f"a table needs pictures of one size, got {sorted(sizes) or 'none'}")
    return sizes.pop()


def _extent(captions: Sequence[str], size: int) -> tuple[int, int]:
    """Width and height that hold any of the captions."""
    widths, heights = zip((0, 0), *(text_size(caption, size) for caption in captions), strict=True)
    return max(widths), max(heights)


def stack(pictures: Sequence[Pixels]) -> np.ndarray:
    """uint8 RGB pictures `[3, H, W]` below one another on white paper, from the left -> `[3, sum of H, largest W]`."""
    arrays = [as_array(picture) for picture in pictures]
    width = max(array.shape[2] for array in arrays)
    background = WHITE_PAPER[0][0]
    padded = [np.pad(a, ((0, 0), (0, 0), (0, width - a.shape[2])), constant_values=background) for a in arrays]
    return np.concatenate(padded, axis=1)
