"""The Typer app: one line per command. Commands import torch inside their functions, so that help answers at once."""

from __future__ import annotations

import typer

from sgcli import __version__
from sgcli.commands import arch, data, directions, figure, inspect, metrics
from sgcli.commands.bench import bench
from sgcli.commands.demo import demo
from sgcli.commands.doctor import doctor
from sgcli.commands.edit import edit
from sgcli.commands.export import export
from sgcli.commands.generate import generate
from sgcli.commands.import_ import import_
from sgcli.commands.info import info
from sgcli.commands.mix import mix
from sgcli.commands.project import project
from sgcli.commands.sample import sample
from sgcli.commands.train import train
from sgcli.commands.train_classifier import train_classifier
from sgcli.commands.video import video

app = typer.Typer(
    name="sg",
    help="Train, draw from, mix, edit, measure and film the whole StyleGAN line.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"sg {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
    traceback: bool = typer.Option(False, "--traceback", help="Show the Python traceback of an error. Works anywhere."),
) -> None:
    """Train, draw from, mix, edit, measure and film the whole StyleGAN line."""


app.command()(demo)
app.command()(train)
app.command("train-classifier")(train_classifier)
app.command()(generate)
app.command()(sample)
app.command()(mix)
app.command()(edit)
app.add_typer(directions.app, name="directions")
app.command()(project)
app.command()(video)
app.add_typer(figure.app, name="figure")
app.add_typer(data.app, name="data")
app.add_typer(metrics.app, name="metrics")
app.add_typer(inspect.app, name="inspect")
app.command("import")(import_)
app.command()(export)
app.command()(info)
app.add_typer(arch.app, name="arch")
app.command()(doctor)
app.command()(bench)
