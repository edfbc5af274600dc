"""`sg metrics`: numbers about models and sets of pictures."""

from __future__ import annotations

import typer

from sgcli.commands.metrics_all import all_
from sgcli.commands.metrics_equivariance import HELP as EQUIVARIANCE_HELP
from sgcli.commands.metrics_equivariance import equivariance_command
from sgcli.commands.metrics_export import features
from sgcli.commands.metrics_features import HELP, feature_command
from sgcli.commands.metrics_lpips import lpips
from sgcli.commands.metrics_ms_ssim import ms_ssim
from sgcli.commands.metrics_nearest import nearest
from sgcli.commands.metrics_path_length import path_length
from sgcli.commands.metrics_plot import plot
from sgcli.commands.metrics_ppl import ppl
from sgcli.commands.metrics_separability import separability
from sgcli.commands.metrics_spectrum import spectrum
from sgcli.commands.metrics_swd import swd
from sgcli.commands.metrics_watch import watch

app = typer.Typer(help="Measure models and sets of pictures.", no_args_is_help=True)

for name in HELP:
    app.command(name)(feature_command(name))
app.command()(swd)
app.command("ms-ssim")(ms_ssim)
app.command()(ppl)
app.command()(separability)
for name in EQUIVARIANCE_HELP:
    app.command(name)(equivariance_command(name))
app.command("path-length")(path_length)
app.command()(lpips)
app.command()(nearest)
app.command("all")(all_)
app.command()(watch)
app.command()(features)
app.command()(spectrum)
app.command()(plot)
