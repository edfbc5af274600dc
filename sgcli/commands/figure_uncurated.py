"""`sg figure uncurated`: many seeds as they come, in several sizes."""

from __future__ import annotations

from typing import Annotated

import typer

from sgcli.commands import classes, options
from sgcli.commands.figure_shared import LEAST_SIDE, check_count, draw, latents_of
from sgcli.errors import UsageError


def uncurated(
    rows: Annotated[int, typer.Option("--rows", min=1, max=100, help="Pictures of full size below one another.")] = 3,
    sizes: Annotated[int, typer.Option("--sizes", min=1, max=8, help="How many sizes, each half the one before.")] = 3,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The first seed; the next ones follow.")] = 0,
    model: options.ModelFile = None,
    output: options.Output = None,
    trunc: options.Truncation = 1.0,
    class_: classes.Class = None,
    batch: options.Batch = 16,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Pictures that nobody chose: consecutive seeds, large ones on the left, more and smaller ones to the right.

    sg figure uncurated --rows 3 --sizes 3 -o uncurated.png
    """
    count = sum(rows * 4**level for level in range(sizes))
    check_count(count)

    from sgcli.media import streams
    from sgcli.media.pictures import repeat_pixels
    from sgcli.media.uneven import make_uneven_grid
    from sgcli.models.checkpoint import find_model

    streams.check_output(output, "pictures", "uncurated.png")
    opened = find_model(model)
    G = options.load_generator(opened, device, "auto")
    smallest = G.img_resolution >> (sizes - 1)
    if smallest < 1:
        raise UsageError(f"--sizes {sizes}: pictures of {G.img_resolution}² cannot be halved so often", "--sizes 3")
    z, c = latents_of(G, opened, range(seed, seed + count), class_)
    picture = repeat_pixels(
        make_uneven_grid(draw(G, z, c, batch, psi=trunc), rows, sizes), -(-LEAST_SIDE // G.img_resolution)
    )
    streams.write_picture(picture, output, {"Seeds": f"{seed}-{seed + count - 1}"})
