"""Pictures about latents: the style-mixing table, and rows of steps along directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sgcli.latents.arithmetic import mix_styles, move
from sgcli.latents.draw import draw_pictures
from sgcli.media.grid import make_table
from sgcli.media.pictures import to_uint8
from sgcli.models.base import Generator
from sgcli.progress import track

SHOWN_SIDE = 96  # pictures of small models are drawn up to this large, every pixel repeated


def mixing_table(
    G: Generator,
    rows: torch.Tensor,            # ws of the sources in the first column, [R, num_ws, w_dim]
    columns: torch.Tensor,         # ws of the sources in the first row, [C, num_ws, w_dim]
    from_columns: Sequence[int],   # layers that take the column's style; the others keep the row's
    blend: float = 1.0,
    title: str = "",
    psi: float = 1.0,
    cutoff: int | None = None,
    batch: int = 16,
) -> np.ndarray:  # fmt: skip
    """Figure 3 of the StyleGAN paper: sources in the first row and column, every pair mixed -> uint8 `[3, H, W]`."""
    num_rows, num_columns = len(rows), len(columns)
    pairs = [rows.repeat_interleave(num_columns, dim=0), columns.repeat(num_rows, 1, 1)]
    mixed = mix_styles(pairs, dict.fromkeys(from_columns, 1), blend)
    pictures = _draw(G, torch.cat([columns, rows, mixed]), psi, cutoff, batch)
    first_row, first_column, cells = pictures[:num_columns], pictures[num_columns:][:num_rows], pictures[-len(mixed) :]
    table: list[list[np.ndarray | None]] = [[None, *first_row]]
    for number, source in enumerate(first_column):
        table.append([source, *cells[number * num_columns :][:num_columns]])
    return make_table(table, title=title)


def step_table(
    G: Generator,
    starts: torch.Tensor,      # [R|1, num_ws, w_dim]
    offsets: torch.Tensor,     # [R|1, num_ws, w_dim]: what each row moves along
    steps: Sequence[float],    # multiples of the offset, one column each
    layers: Sequence[int] | None = None,
    row_captions: Sequence[str] = (),
    title: str = "",
    psi: float = 1.0,
    cutoff: int | None = None,
    batch: int = 16,
) -> np.ndarray:  # fmt: skip
    """A row of pictures for each start, from the first step to the last -> uint8 `[3, H, W]`."""
    walks = torch.stack([move(starts, offsets, step, layers) for step in steps], dim=1)  # [R, steps, num_ws, w_dim]
    pictures = _draw(G, walks.flatten(0, 1), psi, cutoff, batch)
    rows = [pictures[start : start + len(steps)] for start in range(0, len(pictures), len(steps))]
    captions = [f"{round(step, 2) + 0.0:g}" for step in steps]  # + 0.0: no -0
    return make_table(rows, captions, row_captions, title)


def _draw(G: Generator, ws: torch.Tensor, psi: float, cutoff: int | None, batch: int) -> list[np.ndarray]:
    """uint8 `[C, S, S]` for each of ws `[N, num_ws, w_dim]`, the model's own noise; S is R or near SHOWN_SIDE."""
    factor = max(SHOWN_SIDE // G.img_resolution, 1)
    pictures = track(
        draw_pictures(G, ws, range(len(ws)), psi=psi, cutoff=cutoff, batch=batch), "draw", len(ws), "pictures"
    )
    return [to_uint8(picture).cpu().numpy().repeat(factor, axis=1).repeat(factor, axis=2) for picture in pictures]
