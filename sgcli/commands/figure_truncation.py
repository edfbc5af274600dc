"""`sg figure truncation`: the same seeds at several psi (figure 8 of the StyleGAN paper)."""

from __future__ import annotations

from typing import Annotated

import typer

from sgcli.commands import classes, options
from sgcli.commands.figure_shared import Seeds, draw, latents_of, legible, parse_numbers, seed_list

PSIS = "1,0.7,0.5,0,-0.5,-1"


def truncation(
    seeds: Seeds = "0-3",
    psis: Annotated[str, typer.Option("--psis", metavar=PSIS, help="A column for each psi.")] = PSIS,
    model: options.ModelFile = None,
    output: options.Output = None,
    trunc_cutoff: options.TruncationCutoff = None,
    class_: classes.Class = None,
    batch: options.Batch = 16,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Rows of seeds, truncated more and more, and beyond the mean to their opposites.

    sg figure truncation --seeds 0-3 -o truncation.png
    """
    columns = parse_numbers(psis, "--psis", PSIS)
    rows = seed_list(seeds, len(columns))

    from sgcli.media import streams
    from sgcli.media.grid import make_table
    from sgcli.models.checkpoint import find_model

    streams.check_output(output, "pictures", "truncation.png")
    opened = find_model(model)
    G = options.load_generator(opened, device, "auto")
    options.check_cutoff(trunc_cutoff, G.num_ws)
    z, c = latents_of(G, opened, rows, class_)
    drawn = [legible(draw(G, z, c, batch, psi=psi, cutoff=trunc_cutoff)) for psi in columns]
    captions = [f"ψ = {psi:g}" if number == 0 else f"{psi:g}" for number, psi in enumerate(columns)]
    table = make_table(list(zip(*drawn, strict=True)), captions, [f"seed {seed}" for seed in rows])
    streams.write_picture(table, output, {"Seeds": seeds})
