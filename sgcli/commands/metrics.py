"""`sg metrics`: numbers about models and sets of pictures."""

from __future__ import annotations

import typer

from sgcli.commands.metrics_spectrum import spectrum

app = typer.Typer(help="Measure models and sets of pictures.", no_args_is_help=True)


@app.callback()
def metrics() -> None:
    """Measure models and sets of pictures."""


app.command()(spectrum)
