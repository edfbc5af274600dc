"""What the commands of `sg directions` share: options, the file they write, and its contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.commands import latent_inputs
from sgcli.errors import UsageError
from sgcli.progress import notice

if TYPE_CHECKING:
    import numpy as np

    from sgcli.models.base import Generator

SHEET_ROWS, SHEET_STEPS = 20, (-3, -2, -1, 0, 1, 2, 3)
MAX_SEED = 2**32
Num = Annotated[int, typer.Option("--num", "-n", min=1, help="How many directions.")]
Samples = Annotated[int, typer.Option("--samples", min=2, max=1_000_000, help="Latents sampled, from --seed on.")]
FirstSeed = Annotated[int, typer.Option("--seed", min=0, help="First seed of the samples; the one on the sheet.")]
Sheet = Annotated[
    str | None, typer.Option("--sheet", metavar="FILE.png", help="Draw a row of steps along each direction.")
]


def check_output(output: str | None, sheet: str | None) -> None:
    """Raise UsageError before any work for places that the results cannot go to."""
    from sgcli.media import streams

    streams.check_output(output, "arrays", "dirs.npy")
    if sheet is not None:
        streams.check_output(sheet, "pictures", "dirs.png")
        if sheet == "-" and output in (None, "-"):
            raise UsageError("--sheet - and the directions cannot both go to standard output", "--sheet dirs.png")


def check_num(num: int, w_dim: int) -> None:
    if num > w_dim:
        raise UsageError(f"--num {num}: this model's W has {w_dim} dimensions", f"--num {w_dim}")


def seed_range(first: int, samples: int) -> range:
    """The seeds of the samples. Raises UsageError beyond what a seed may be."""
    if first + samples > MAX_SEED:
        raise UsageError(f"--seed {first}: {samples} seeds from there go beyond {MAX_SEED - 1}", "--seed 0")
    return range(first, first + samples)


def chosen_layers(layers: str | None, G: Generator) -> list[int]:
    return list(range(G.num_ws)) if layers is None else latent_inputs.choose_layers(layers, G)


def deliver(
    G: Generator,
    directions: np.ndarray,    # [K, num_ws, w_dim]
    output: str | None,
    sheet: str | None,
    start: np.ndarray,         # w of the picture on the sheet, [w_dim]
    names: Sequence[str] = (),
) -> None:  # fmt: skip
    """Write the directions, and the sheet where one is wanted."""
    import torch

    from sgcli.latents.direction_files import write_directions
    from sgcli.latents.sheets import step_table
    from sgcli.media import streams

    if sheet is not None:
        if len(directions) > SHEET_ROWS:
            notice(f"--sheet: the first {SHEET_ROWS} of {len(directions)} directions")
        device = next(G.parameters()).device
        ws = torch.from_numpy(start).to(device).expand(1, G.num_ws, -1)
        offsets = torch.from_numpy(directions[:SHEET_ROWS]).to(device)
        captions = [f"{row} {name}" for row, name in enumerate(names)] or [str(row) for row in range(len(offsets))]
        title = "Steps in standard deviations"
        streams.write_picture(step_table(G, ws, offsets, SHEET_STEPS, None, captions, title), sheet)
    write_directions(directions, output, names)
