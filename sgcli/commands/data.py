"""`sg data`: build, inspect and invent data sets."""

from __future__ import annotations

import typer

app = typer.Typer(help="Build, inspect and invent data sets.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Build, inspect and invent data sets."""
