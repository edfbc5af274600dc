"""`sg metrics plot`: what runs wrote down while they trained, as curves."""

from __future__ import annotations

import difflib
import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.commands import options
from sgcli.errors import SgError, UsageError
from sgcli.progress import notice

if TYPE_CHECKING:
    import numpy as np

    from sgcli.training.run import Run

SIZE = (900, 360)  # of one plot, in pixels
USUAL_STATS = ("Loss/G/loss", "Loss/D/loss", "Progress/r_t", "Progress/augment")
SCORES = {"real": "training pictures", "held_out": "held-out pictures", "fake": "generated pictures"}
STRENGTH = "Progress/augment"
RATIOS = {"Progress/r_t": "r_t", "Progress/r_v": "r_v", STRENGTH: "p"}
WIDE, MIDDLE, NARROW = (1, 5), 3, (2, 4)  # of training.stats.QUANTILES: 5 to 95%, the median, 25 to 75%


def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Run folders.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.png", help="The picture to write.")],
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="NAME",
            help="A metric, or a name in stats.jsonl; may be given several times. "
            "Default: all metrics, else the losses and r_t.",
        ),
    ] = None,
    discriminator: Annotated[
        bool, typer.Option("--discriminator", help="Draw how D's outputs are distributed, of one run.")
    ] = False,
    log_y: Annotated[bool, typer.Option("--log-y", help="Logarithmic values.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw the curves of runs over the pictures shown, one plot for each name.

    sg metrics plot runs/00000-faces runs/00001-faces-ada -o curves.png

    sg metrics plot runs/* --key swd --key Progress/augment -o swd.png

    sg metrics plot runs/00001-faces-ada --discriminator -o d.png
    """
    if output.suffix.lower() != ".png":
        raise UsageError(f"-o {output}: curves are drawn as a PNG", f"-o {output.with_suffix('.png')}")
    if discriminator and (len(runs) > 1 or key):
        raise UsageError(
            "--discriminator draws one run, and no --key", f"sg metrics plot {runs[0]} --discriminator -o {output}"
        )

    from sgcli.media.grid import stack
    from sgcli.media.pictures import write_png

    opened = [open_run(path) for path in runs]
    panels = discriminator_plots(opened[0]) if discriminator else curve_plots(opened, key or [], log_y)
    write_png(output, stack(panels))


def open_run(path: Path) -> Run:
    """Raises SgError for what is no run, or one that has written nothing down yet."""
    from sgcli.training.run import Run

    run = Run(path)
    if not run.config_path().exists():
        raise SgError(f"{path}: not a run folder (no config.json in it)", "name a folder that sg train printed")
    if not run.stats() and not run.metrics():
        raise SgError(f"{path}: no line in its stats.jsonl yet", "wait for the first tick of the training")
    return run


def curve_plots(runs: list[Run], keys: list[str], log_y: bool) -> list[np.ndarray]:
    """One plot for each name, with one line for each run. Raises UsageError for names that no run knows."""
    from sgcli.media.plots import Series, line_plot

    curves = {run.path: curves_of(run) for run in runs}
    known = list(dict.fromkeys(itertools.chain.from_iterable(curves.values())))
    metrics = dict.fromkeys(line["name"] for run in runs for line in run.metrics())
    wanted = keys or list(metrics) or [name for name in USUAL_STATS if name in known]
    for name in wanted:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.3) or known
            raise UsageError(f"--key {name}: not in these runs; they have {', '.join(known)}", f"--key {close[0]}")
    panels = []
    for name in wanted:
        lines = [Series(path.name, *found[name]) for path, found in curves.items() if name in found]
        for path in (path for path, found in curves.items() if name not in found):
            notice(f"{path}: has no {name}, left out of that plot")
        panels.append(line_plot(lines, title=name, x_label="kimg", log_y=log_y, size=SIZE))
    return panels


def curves_of(run: Run) -> dict[str, tuple[list[float], list[float]]]:
    """Everything that a run wrote down: name -> (kimg, values). Of stats.jsonl, the mean of each tick.

    An augmentation strength that is always 0 is left out.
    """
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for row in run.metrics():
        add_point(curves, row["name"], row["kimg"], row["value"])
    for row in run.stats():
        for name, numbers in row.items():
            if isinstance(numbers, dict):
                add_point(curves, name, row["Progress/nimg"] / 1000, numbers["mean"])
    if not any(curves.get(STRENGTH, ((), ()))[1]):
        curves.pop(STRENGTH, None)
    return curves


def add_point(curves: dict[str, tuple[list[float], list[float]]], name: str, x: float, y: float) -> None:
    xs, ys = curves.setdefault(name, ([], []))
    xs.append(x)
    ys.append(y)


def discriminator_plots(run: Run) -> list[np.ndarray]:
    """D's outputs over time, of each kind of picture: median, half of them, nine in ten; and below it r_t, r_v, p.

    r_v leaves -1 to 2 where D hardly tells training pictures from fakes, and then means nothing.
    """
    from sgcli.media.plots import Series, line_plot

    series = []
    for key, label in SCORES.items():
        rows = [row for row in run.stats() if "quantiles" in row.get(f"Loss/scores/{key}", {})]
        if not rows:
            continue
        kimg = [row["Progress/nimg"] / 1000 for row in rows]
        quantiles = list(zip(*(row[f"Loss/scores/{key}"]["quantiles"] for row in rows), strict=True))
        bands = [(quantiles[low], quantiles[high]) for low, high in (WIDE, NARROW)]
        series.append(Series(label, kimg, quantiles[MIDDLE], bands))
    if not series:
        raise SgError(
            f"{run.path}: its stats.jsonl tells nothing of how D's outputs are distributed",
            "an older sg wrote it; go on with the training, and draw it then",
        )
    if len(series) < len(SCORES):
        notice(f"{run.path}: no scores of held-out pictures, which --holdout would give; they are not shown")
    curves = curves_of(run)
    ratios = [
        Series(label, curves[name][0], [y if label != "r_v" or -1 <= y <= 2 else math.nan for y in curves[name][1]])
        for name, label in RATIOS.items()
        if name in curves
    ]
    title = f"{run.name}: D's outputs (median, half, nine in ten)"
    return [
        line_plot(series, title=title, x_label="kimg", y_label="D(x)", size=(SIZE[0], 480)),
        line_plot(ratios, title="Signs of overfitting, and augmentation strength", x_label="kimg", size=SIZE),
    ]
