"""Pictures in a terminal: half blocks, two pixels to a character, so that a person on ssh sees the face. On stderr."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sgcli.errors import UsageError
from sgcli.media.grid import make_grid
from sgcli.media.pictures import Pixels, as_array, to_pil, to_uint8
from sgcli.progress import notice

if TYPE_CHECKING:
    import torch
    from rich.console import Console
    from rich.text import Text

LEAST_PIXELS = 20  # of a picture's side
LINES_LEFT = 3  # for the prompt and notices


def check_terminal() -> Console:
    """The terminal that pictures are shown on. Raises UsageError where stderr is none, or shows no colours."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        raise UsageError("--show: needs a terminal, and standard error is none", "write a file: -o picture.png")
    if console.is_dumb_terminal or console.color_system is None or not console.encoding.startswith("utf"):
        raise UsageError(
            "--show: this terminal shows no colours, or no Unicode", "TERM=xterm-256color LC_ALL=C.UTF-8 sg generate …"
        )
    return console


def showing(pictures: Iterator[torch.Tensor], total: int) -> Iterator[torch.Tensor]:
    """Yield the pictures of a network as they come, and at the end show as many of the first as the terminal holds."""
    console = check_terminal()
    width, height = console.width, 2 * max(console.height - LINES_LEFT, LEAST_PIXELS // 2)
    columns, rows = arrange(total, width, height)
    first: list[np.ndarray] = []
    for picture in pictures:
        if len(first) < columns * rows:
            first.append(as_array(to_uint8(picture)))
        yield picture
    if not first:
        return
    console.print(half_blocks(make_grid(np.stack(first), columns, rows), width, height), end="")
    if total > len(first):
        notice(f"shown: the first {len(first)} of {total}")


def arrange(count: int, width: int, height: int) -> tuple[int, int]:
    """Columns and rows of square pictures, as large as fit into a space of pixels; fewer than `count` if need be."""
    most_columns, most_rows = max(width // LEAST_PIXELS, 1), max(height // LEAST_PIXELS, 1)
    side, columns = max((min(width // n, height // -(-count // n)), n) for n in range(1, most_columns + 1))
    if side < LEAST_PIXELS:
        return most_columns, min(most_rows, -(-count // most_columns))
    return min(columns, count), -(-count // columns)


def half_blocks(image: Pixels, width: int, height: int) -> Text:
    """uint8 `[C, H, W]` shrunk or enlarged to fit `width` x `height` pixels, as lines of text half as many."""
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

    picture = to_pil(image).convert("RGBA")
    paper = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    picture = Image.alpha_composite(paper, picture).convert("RGB")
    factor = min(width / picture.width, height / picture.height)
    size = (max(round(picture.width * factor), 1), max(round(picture.height * factor), 1))
    pixels = np.asarray(picture.resize(size, Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.NEAREST))
    text = Text(no_wrap=True, overflow="crop")
    for line in range(0, len(pixels), 2):
        upper, lower = pixels[line], pixels[line + 1] if line + 1 < len(pixels) else None
        for column, color in enumerate(upper):
            background = None if lower is None else Color.from_rgb(*lower[column])
            text.append("▀", Style(color=Color.from_rgb(*color), bgcolor=background))
        text.append("\n")
    return text
