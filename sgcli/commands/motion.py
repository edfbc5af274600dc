"""Options that move and turn the pictures of StyleGAN3."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.errors import UsageError
from sgcli.progress import notice

if TYPE_CHECKING:
    from sgcli.models.base import Generator
    from sgcli.models.fourier_input import FourierInput

PANEL = "StyleGAN3"
Translate = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y", rich_help_panel=PANEL, help="Move right and down, in picture widths: 0.1,-0.2 (right, up)."
    ),
]
Rotate = Annotated[
    float, typer.Option(metavar="DEGREES", rich_help_panel=PANEL, help="Turn counter-clockwise, before moving.")
]
Stabilise = Annotated[
    bool,
    typer.Option(
        "--stabilise",
        rich_help_panel=PANEL,
        help="Take out each picture's own shift and turn: all as the mean picture.",
    ),
]


def move(G: Generator, translate: str | None, rotate: float, stabilise: bool) -> None:
    """Set up the input of `G` so that its pictures come out moved. Raises UsageError where it cannot be moved."""
    given = {"--translate": translate is not None, "--rotate": rotate != 0, "--stabilise": stabilise}
    asked = [name for name in given if given[name]]
    if not asked:
        return
    shift = (0.0, 0.0) if translate is None else parse_shift(translate)
    if not math.isfinite(rotate):
        raise UsageError(f"--rotate {rotate}: not an angle in degrees", "--rotate 30")

    from sgcli.models.fourier_input import place

    movable = require_movable(G, ", ".join(asked))
    if rotate:
        notice_turning(G, "--rotate")
    if stabilise:
        movable.anchor(G.mapping.w_avg)
    movable.transform.copy_(place(shift, math.radians(rotate)))


def require_movable(G: Generator, asked: str) -> FourierInput:
    """The input of `G` that moves its pictures. Raises UsageError, about the options `asked`, where it has none."""
    from sgcli.models.fourier_input import movable_input

    movable = movable_input(G.synthesis)
    if movable is None:
        raise UsageError(
            f"{asked}: this generator starts from a learned constant, which stays where it is",
            "moving pictures takes a StyleGAN3: sg train DATA --arch sg3-t, or sg3-r to turn them too",
        )
    return movable


def notice_turning(G: Generator, option: str) -> None:
    """Say where pictures are not made to be turned."""
    if not G.synthesis.turns:
        notice(f"{option}: only sg3-r was made to turn its pictures; those of other architectures change as they turn")


def parse_shift(text: str) -> tuple[float, float]:
    """--translate: '0.1,-0.2' -> (0.1, -0.2). Raises UsageError."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise UsageError(f"--translate {text}: two numbers wanted, to the right and down", "--translate 0.1,-0.2")
    return x, y
