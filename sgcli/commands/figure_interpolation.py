"""`sg figure interpolation`: from each seed to the next, step by step."""

from __future__ import annotations

from typing import Annotated

import typer

from sgcli.commands import classes, options
from sgcli.commands.figure_shared import draw, latents_of, legible, seed_list
from sgcli.errors import UsageError

SPACES = ("w", "z")


def interpolation(
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="0-3", help="A row from each seed to the next; back from the last.")
    ] = "0-3",
    steps: Annotated[int, typer.Option("--steps", min=2, max=100, help="Pictures in a row, both ends included.")] = 8,
    space: Annotated[
        str, typer.Option("--space", metavar="w|z", help="Straight in W, or along the sphere in Z.")
    ] = "w",
    model: options.ModelFile = None,
    output: options.Output = None,
    trunc: options.Truncation = 1.0,
    class_: classes.Class = None,
    batch: options.Batch = 16,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Rows that lead from each seed to the next.

    sg figure interpolation --seeds 0-3 --steps 9 -o interpolation.png
    """
    if space not in SPACES:
        raise UsageError(f"--space {space}: one of {', '.join(SPACES)}", "--space w")
    rows = seed_list(seeds, steps)
    if len(rows) < 2:
        raise UsageError(f"--seeds {seeds}: one seed leads nowhere", f"--seeds {rows[0]}-{rows[0] + 3}")

    import numpy as np

    from sgcli.latents.draw import to_ws
    from sgcli.latents.walks import mapped, through
    from sgcli.media import streams
    from sgcli.media.grid import make_table
    from sgcli.models.checkpoint import find_model

    streams.check_output(output, "pictures", "interpolation.png")
    opened = find_model(model)
    G = options.load_generator(opened, device, "auto")
    z, c = latents_of(G, opened, rows, class_)
    if space == "z":
        walk = mapped(through(z, "slerp", closed=True), lambda z: to_ws(G, z, c[:1].expand(len(z), -1), trunc))
    else:
        walk = through(to_ws(G, z, c, trunc), "linear", closed=True)
    shares = np.linspace(0, 1, steps)
    ends = list(zip(rows, [*rows[1:], rows[0]], strict=True))[: 1 if len(rows) == 2 else None]  # not there and back
    cells = [legible(draw(G, walk(row + shares), batch=batch)) for row in range(len(ends))]
    captions = [f"{round(share, 2):g}" for share in shares]
    table = make_table([list(row) for row in cells], captions, [f"{a} to {b}" for a, b in ends])
    streams.write_picture(table, output, {"Seeds": seeds})
