"""What the commands that work on latents share: reading them as ws, layers and directions by name, refusals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.commands import classes
from sgcli.commands.options import parse_integers
from sgcli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from sgcli.models.base import Generator
    from sgcli.models.checkpoint import Model

MAX_TABLE_CELLS = 10_000
BANDS = ("coarse", "middle", "fine")
Layers = Annotated[
    str | None,
    typer.Option("--layers", metavar="4-7|coarse|…", help="Layers that change: numbers, coarse, middle, fine."),
]


def read_all(files: Sequence[str], model: Model, G: Generator, class_: str | None) -> list[list[torch.Tensor]]:
    """For each file its arrays as ws `[N, num_ws, w_dim]`, on the device of `G`; Z is mapped, as of class `class_`.

    Raises SgError for what is no latent of this generator, and for standard input (`-`) named twice.
    """
    import torch

    from sgcli.latents.draw import to_ws
    from sgcli.media.streams import read_latents

    if list(files).count("-") > 1:
        raise UsageError("- was named twice, and there is one standard input", "name a file in one of the places")
    device = next(G.parameters()).device
    read = [read_latents(file, G.z_dim, G.num_ws, G.w_dim) for file in files]
    label = classes.label_for(model, class_, [array for arrays in read for array in arrays], ", ".join(files))

    def ws_of(array: np.ndarray) -> torch.Tensor:
        c = None if label is None else label.expand(len(array), -1).to(device)
        return to_ws(G, torch.from_numpy(array).to(device), c)

    return [[ws_of(array) for array in arrays] for arrays in read]


def check_batches(files: Sequence[str], batches: Sequence[torch.Tensor], hint: str) -> None:
    """Raise UsageError where batches neither have one length nor hold a single latent."""
    if len({len(ws) for ws in batches} - {1}) > 1:
        counts = ", ".join(f"{place(file)} holds {len(ws)}" for file, ws in zip(files, batches, strict=True))
        raise UsageError(f"latents are taken in pairs, or one with all: {counts}", hint)


def check_drawable(rows: int, columns: int, option: str) -> None:
    """Raise UsageError for a table of too many pictures."""
    if rows * columns > MAX_TABLE_CELLS:
        raise UsageError(
            f"{option}: {rows} rows of {columns} pictures; {MAX_TABLE_CELLS} pictures are the most",
            "sg sample --seeds 0-5 -o few.npy",
        )


def place(file: str) -> str:
    """A file as messages name it."""
    return "standard input" if file == "-" else file


def require_styles(G: Generator, what: str) -> None:
    """Raise UsageError for a generator into which w enters once only."""
    if G.num_ws == 1:
        raise UsageError(
            f"{what}: this generator has no styles, its latent enters at the first layer only (ProGAN)",
            "use a model with styles (sg arch lists them): sg train DATA --arch sg1, sg2 or sg3-t",
        )


def choose_layers(text: str, G: Generator, option: str = "--layers") -> list[int]:
    """'4-7,fine' -> numbers of layers, in order. Raises UsageError for layers that this generator does not have."""
    from sgcli.models.style_layers import band_of

    bands = [band_of(layer, G.img_resolution) for layer in G.synthesis.style_layers()]
    last = len(bands) - 1
    chosen: set[int] = set()
    for part in text.split(","):
        name = part.strip()
        if name in BANDS:
            found = [index for index, band in enumerate(bands) if band == name]
            if not found:
                there = ", ".join(band for band in BANDS if band in bands)
                raise UsageError(f"{option} {text}: this model's layers are {there}", "sg info MODEL --layers")
        elif name[:1].isdecimal():
            found = parse_integers(name, option)
        else:
            raise UsageError(f"{option} {text}: layers are numbers from 0 to {last}, or {', '.join(BANDS)}", "4-7")
        chosen.update(found)
    if max(chosen) > last:
        raise UsageError(f"{option} {text}: this model's layers go from 0 to {last}", "sg info MODEL --layers")
    return sorted(chosen)


def read_direction(text: str, G: Generator) -> torch.Tensor:
    """'dirs.npy:2' or, where rows have names, 'dirs.npy:smiling' -> that row of the file, `[num_ws, w_dim]`.

    Raises UsageError for a row that is not there.
    """
    import numpy as np
    import torch

    from sgcli.latents.direction_files import read_names
    from sgcli.media.streams import read_latents

    file, _, row = text.rpartition(":")
    if not file:
        raise UsageError(f"--direction {text}: a file and the number of a row in it", f"--direction {text}:0")
    arrays = read_latents(file, None, G.num_ws, G.w_dim)
    if any(array.ndim != 3 for array in arrays):
        raise UsageError(
            f"--direction {text}: {file} holds Z, a direction is [{G.num_ws}, {G.w_dim}]", "--direction dirs.npy:0"
        )
    directions = np.concatenate(arrays)
    names = read_names(file)
    number = names.index(row) if row in names else int(row) if row.isdecimal() else -1
    if not 0 <= number < len(directions):
        called = f" ({', '.join(names)})" if names else ""
        raise UsageError(
            f"--direction {text}: {file} has rows 0 to {len(directions) - 1}{called}", f"--direction {file}:0"
        )
    return torch.from_numpy(directions[number])


def check_finite(value: float, option: str) -> None:
    """Raise UsageError for NaN and infinities."""
    if not math.isfinite(value):
        raise UsageError(f"{option} {value}: not a number", f"{option} 1")
