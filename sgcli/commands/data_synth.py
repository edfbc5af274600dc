"""`sg data synth`: invent the data set toyfaces."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from sgcli.commands.options import Quiet, Seed
from sgcli.progress import format_seconds, notice


def synth(
    out: Annotated[str, typer.Argument(metavar="OUT", help="Zip to write if it ends in .zip, else a new folder.")],
    count: Annotated[int, typer.Option("--count", metavar="N", help="Number of images.")] = 20000,
    size: Annotated[int, typer.Option("--size", metavar="PIXELS", help="Width and height, 8 to 1024.")] = 64,
    seed: Seed = 0,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="A+B", help="Leave out every face with all of these attributes. Repeatable."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Drawing processes; default: one per processor.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Invent a data set: toyfaces, cartoon-like faces with attributes, for trying things out.

    \b
    sg data synth toyfaces-64.zip
    sg data synth faces/ --count 2000 --size 32 --seed 1
    sg data synth gap.zip --without beard+long_hair
    sg train $(sg data synth toy.zip --size 32 --quiet) --arch sg2 --tiny
    """
    from sgcli.data.toyfaces import synthesize

    start = time.monotonic()
    combinations = [tuple(names.split("+")) for names in without or ()]
    path = synthesize(out, count, size, seed, combinations, workers)
    seconds = time.monotonic() - start
    notice(f"{count} toyfaces of {size}x{size} in {format_seconds(seconds)} ({count / seconds:.0f} images/s)")
    print(path)
