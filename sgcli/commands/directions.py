"""`sg directions`: find directions in W along which pictures change in one way, for `sg edit` and `sg video`."""

from __future__ import annotations

import typer

from sgcli.commands.directions_pca import pca
from sgcli.commands.directions_sefa import sefa
from sgcli.commands.directions_svm import svm

app = typer.Typer(help="Find directions in W.", no_args_is_help=True)


@app.callback()
def directions() -> None:
    """Find directions in W."""


app.command()(sefa)
app.command()(pca)
app.command()(svm)
