"""`sg inspect`: what happens inside a generator. Numbers go to stdout, pictures to the file of -o."""

from __future__ import annotations

import typer

from sgcli.commands.inspect_contributions import contributions
from sgcli.commands.inspect_feature_maps import feature_maps
from sgcli.commands.inspect_phase import phase

app = typer.Typer(help="Look inside a generator.", no_args_is_help=True)


@app.callback()
def inspect() -> None:
    """Look inside a generator."""


app.command("feature-maps")(feature_maps)
app.command()(phase)
app.command()(contributions)
