"""`sg inspect contributions`: how much each resolution adds to the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgcli.commands import classes, options
from sgcli.commands.inspect_shared import Json, Picture, check_png, origin, report, ws_of_seeds
from sgcli.errors import UsageError


def contributions(
    model: options.ModelFile = None,
    output: Picture = None,
    num: Annotated[int, typer.Option("--num", min=1, help="Random w to average over.")] = 256,
    seed: options.Seed = 0,
    batch: options.Batch = 16,
    class_: classes.Class = None,
    device: options.Device = "auto",
    as_json: Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how much each resolution's ToRGB adds to the picture, over the snapshots of a run or for one model.

    sg inspect contributions -m runs/00000-sg2 -o contributions.png
    """
    check_png(output)
    from sgcli.metrics import contributions as library
    from sgcli.models.checkpoint import open_model
    from sgcli.progress import track

    measured = []
    for path in track(snapshots_of(model), "contributions", unit="models"):
        opened = open_model(path)
        G = options.load_generator(opened, device, "auto")
        if not library.torgb_layers(G):
            raise UsageError(
                f"{path}: {opened.arch} makes its picture in one layer, at one resolution",
                "contributions are those of the ToRGB layers of ProGAN, StyleGAN and StyleGAN2",
            )
        ws = ws_of_seeds(G, opened, list(range(seed, seed + num)), 1.0, class_)
        deviations = library.contributions(G, ws.split(batch))
        measured.append((opened.header.get("kimg", 0.0), deviations))
        facts = {
            "name": "contributions",
            "value": {str(r): round(value, 5) for r, value in deviations.items()},
            "share": {str(r): round(share, 4) for r, share in shares(deviations).items()},
            "num": num,
            "seed": seed,
            **origin(opened),
        }
        line = "  ".join(f"{r}²: {share:5.1%}" for r, share in shares(deviations).items())
        report(facts, f"kimg {measured[-1][0]:8g}  {line}", as_json)
    if output is not None:
        draw_contributions(measured, output)


def shares(deviations: dict[int, float]) -> dict[int, float]:
    total = sum(deviations.values()) or 1.0
    return {r: value / total for r, value in deviations.items()}


def snapshots_of(model: str | None) -> list[Path]:
    """All models of a run from old to new, or the one model that was named."""
    from sgcli.models.checkpoint import find_model
    from sgcli.training.run import Run

    opened = find_model(model)
    is_run = model is None or Path(model).is_dir()
    return (is_run and Run(opened.path.parent).models()) or [opened.path]


def draw_contributions(measured: list[tuple[float, dict[int, float]]], path: Path) -> None:
    """Lines over kimg, one for each resolution; for a single model, its shares by resolution."""
    from sgcli.media.pictures import write_png
    from sgcli.media.plots import Series, line_plot

    resolutions = sorted({r for _, deviations in measured for r in deviations})
    title, y_label = "Standard deviation of what each ToRGB adds", "share, %"
    table = [(kimg, shares(deviations)) for kimg, deviations in measured]
    if len(table) == 1:
        octaves = [r.bit_length() - 1 for r in resolutions]
        series = [Series("", octaves, [100 * table[0][1].get(r, 0.0) for r in resolutions])]
        write_png(path, line_plot(series, title=title, x_label="log2 of the resolution", y_label=y_label))
        return
    kimgs = [kimg for kimg, _ in table]
    series = [Series(f"{r}²", kimgs, [100 * row.get(r, 0.0) for _, row in table]) for r in resolutions]
    write_png(path, line_plot(series, title=title, x_label="kimg", y_label=y_label))
