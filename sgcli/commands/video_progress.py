"""`sg video --progress`: the fakes of a run, as training went on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sgcli.commands.video_scenes import Film
from sgcli.errors import FormatError, SgError, UsageError

if TYPE_CHECKING:
    import numpy as np

FRAMES_PER_SNAPSHOT = 15


def film_of_run(run: str, grid: tuple[int, int] | None) -> Film:
    """One picture after the other of fakes-*.png, or the first COLUMNSxROWS of each, over the kimg it was drawn at.

    Raises SgError for a folder without fakes.
    """
    paths = sorted(Path(run).glob("fakes-*.png"), key=kimg_of)
    if not paths:
        raise SgError(f"--progress {run}: no folder with fakes-*.png in it", "name a run: --progress runs/00000-faces")
    cell = cell_size(Path(run)) if grid else 0
    first = snapshot(paths[0], grid, cell)

    def frames(num_frames: int) -> Iterator[np.ndarray]:
        shown, picture = -1, first
        for number in range(num_frames):
            wanted = number * len(paths) // num_frames
            if wanted != shown:
                shown, picture = wanted, snapshot(paths[wanted], grid, cell)
                if picture.shape != first.shape:
                    raise FormatError(
                        f"{paths[wanted]}: not of the size of {paths[0].name}", "leave it out of the folder"
                    )
            yield picture

    return Film(frames, first.shape, len(paths), True, FRAMES_PER_SNAPSHOT)


def snapshot(path: Path, grid: tuple[int, int] | None, cell: int) -> np.ndarray:
    """The sheet, or its first cells, with a caption below. uint8 `[3, H, W]`."""
    from PIL import Image

    from sgcli.media.grid import DARK_PAPER
    from sgcli.media.pictures import from_pil, to_pil
    from sgcli.media.streams import read_picture
    from sgcli.media.text import draw_text

    sheet = read_picture(path)
    if grid is not None:
        columns, rows = sheet.shape[2] // cell, sheet.shape[1] // cell
        if grid[0] > columns or grid[1] > rows:
            raise UsageError(
                f"--grid {grid[0]}x{grid[1]}: {path.name} holds {columns}x{rows}", f"--grid {columns}x{rows}"
            )
        sheet = sheet[:, : grid[1] * cell, : grid[0] * cell]
    picture = to_pil(sheet)
    size = min(max(picture.height // 24, 9), 28)
    background, ink = DARK_PAPER
    frame = Image.new("RGB", (picture.width, picture.height + 2 * size), background)
    frame.paste(picture, (0, 0), picture if picture.mode == "RGBA" else None)
    draw_text(frame, (picture.width / 2, picture.height + size), f"{kimg_of(path):g} kimg", size, ink, "mm")
    return from_pil(frame)


def kimg_of(path: Path) -> float:
    """'fakes-000001.500.png' -> 1.5; files that a person named come first."""
    try:
        return float(path.stem.removeprefix("fakes-"))
    except ValueError:
        return -1.0


def cell_size(run: Path) -> int:
    """Width of one picture on the run's sheets."""
    from sgcli.training.run import CONFIG

    try:
        return int(json.loads((run / CONFIG).read_text())["G"]["img_resolution"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{run / CONFIG}: does not tell the size of the pictures", "leave --grid out") from error
