"""`sg figure`: the field's standard pictures, from any model."""

from __future__ import annotations

import typer

from sgcli.commands.figure_interpolation import interpolation
from sgcli.commands.figure_noise import noise
from sgcli.commands.figure_sticking import sticking
from sgcli.commands.figure_truncation import truncation
from sgcli.commands.figure_uncurated import uncurated

app = typer.Typer(help="Draw the field's standard pictures.", no_args_is_help=True)


@app.callback()
def figure() -> None:
    """Draw the field's standard pictures."""


app.command()(truncation)
app.command()(noise)
app.command()(interpolation)
app.command()(uncurated)
app.command()(sticking)
