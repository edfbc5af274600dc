"""`sg edit`: arithmetic on latents: add a difference, move along a direction, truncate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.commands import classes, latent_inputs, options
from sgcli.errors import UsageError
from sgcli.progress import notice, warn

if TYPE_CHECKING:
    import torch

    from sgcli.models.base import Generator
    from sgcli.models.checkpoint import Model


def edit(
    latents: Annotated[str, typer.Argument(metavar="W", help="A .npy of Z or W, the latents to edit; - is stdin.")],
    plus: Annotated[str | None, typer.Option("--plus", metavar="FILE", help="Latents to add, --by times.")] = None,
    minus: Annotated[str | None, typer.Option("--minus", metavar="FILE", help="Latents to subtract.")] = None,
    direction: Annotated[
        str | None, typer.Option("--direction", metavar="DIRS.npy:K", help="Move along row K of a direction file.")
    ] = None,
    by: Annotated[
        float | None, typer.Option("--by", metavar="X", help="How far; below 0: backwards. Default: 1.")
    ] = None,
    layers: latent_inputs.Layers = None,
    trunc: options.Truncation = 1.0,
    trunc_cutoff: options.TruncationCutoff = None,
    strip: Annotated[
        str | None, typer.Option("--strip", metavar="A..B", help="Draw steps of --by from A to B, a row per latent.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=2, max=1000, help="Pictures in a row of --strip.")] = 7,
    model: options.ModelFile = None,
    output: options.Output = None,
    class_: classes.Class = None,
    batch: options.Batch = 16,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Edit latents: W + BY x (PLUS - MINUS + DIRECTION) in the chosen layers, then truncation.

    sg edit w1.npy --plus w3.npy --minus w2.npy --by 1.2 -o w4.npy

    sg sample --seeds 0-3 | sg edit - --direction dirs.npy:0 --by 2 | sg generate - --grid 4x1 > out.png

    sg edit w.npy --direction dirs.npy:0 --layers coarse --strip -3..3 --steps 7 -o strip.png

    sg edit w.npy --trunc 0.7 -o calm.npy
    """
    files = {"W": latents, "--plus": plus, "--minus": minus}
    check_request(any((plus, minus, direction)), {"--by": by, "--layers": layers, "--strip": strip}, trunc)
    places = None if strip is None else options.parse_range(strip, "--strip")
    by = 1.0 if by is None else by
    latent_inputs.check_finite(by, "--by")
    if plus is not None and minus is None:
        notice("--plus without --minus adds whole latents; the difference of two is what usually makes sense")

    import torch

    from sgcli.latents.arithmetic import move
    from sgcli.latents.sheets import step_table
    from sgcli.media import streams
    from sgcli.models.checkpoint import find_model
    from sgcli.models.layers import truncate

    streams.check_output(output, *(("arrays", "edited.npy") if places is None else ("pictures", "strip.png")))
    opened = find_model(model)
    G = options.load_generator(opened, device, "auto")
    options.check_cutoff(trunc_cutoff, G.num_ws)
    chosen = list(range(G.num_ws)) if layers is None else latent_inputs.choose_layers(layers, G)
    batches = read_batches({option: file for option, file in files.items() if file is not None}, opened, G, class_)
    ws = batches.pop("W")
    if direction is not None:
        batches["--direction"] = latent_inputs.read_direction(direction, G).to(ws.device)[None]
    offset = sum((-change if option == "--minus" else change for option, change in batches.items()), 0 * ws[:1])
    if batches and not offset[:, chosen].any():
        warn("nothing moves: the change is zero in these layers")
    if places is not None:
        rows = max(len(ws), len(offset))
        latent_inputs.check_drawable(rows, steps, "--strip")
        captions = [str(row) for row in range(rows)] if rows > 1 else []
        amounts = torch.linspace(*places, steps).tolist()
        picture = step_table(G, ws, offset, amounts, chosen, captions, "", trunc, trunc_cutoff, batch)
        streams.write_picture(picture, output)
        return
    edited = move(ws, offset, by, chosen)
    if not edited.isfinite().all():
        raise UsageError(f"--by {by:g}: goes beyond the numbers that float32 holds", "--by 1")
    streams.write_array(edited if trunc == 1 else truncate(edited, G.mapping.w_avg, trunc, trunc_cutoff), output)


def check_request(moves: bool, options_of_moves: Mapping[str, object], trunc: float) -> None:
    """Raise UsageError where nothing is asked for, or something that needs a move without one."""
    what = "a move: --plus and --minus, or --direction"
    if not moves:
        for option, value in options_of_moves.items():
            if value is not None:
                raise UsageError(f"{option} {value}: takes {what}", f"--direction dirs.npy:0 {option} {value}")
        if trunc == 1:
            raise UsageError(f"nothing to do: name {what}, or --trunc", "--direction dirs.npy:0 --by 2")
    if options_of_moves["--by"] is not None and options_of_moves["--strip"] is not None:
        raise UsageError("--strip goes through values of --by, and --by was given too", "leave --by out")


def read_batches(files: Mapping[str, str], model: Model, G: Generator, class_: str | None) -> dict[str, torch.Tensor]:
    """The ws of each file, the arrays that follow one another in it joined, by the option that named it."""
    import torch

    read = latent_inputs.read_all(list(files.values()), model, G, class_)
    batches = {option: torch.cat(arrays) for option, arrays in zip(files, read, strict=True)}
    hint = "give as many of each, or one for all: sg sample --seeds 5 -o one.npy"
    latent_inputs.check_batches(list(files.values()), list(batches.values()), hint)
    return batches
