"""`sg metrics ppl`: perceptual path length, and a sheet of pictures sorted by it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.commands import metrics_shared as shared
from sgcli.commands import options
from sgcli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from sgcli.metrics.job import Job
    from sgcli.metrics.ppl import Paths

VARIANTS = {"sg2": ("end", 50_000), "sg1": ("full", 100_000)}  # usual sampling, published number of pairs
SPACES, SAMPLINGS = ("w", "z"), ("full", "end")
SHEET_COLUMNS, PICTURE_SIZE = 8, 64
BANDS = ((0.0, 0.1), (0.2, 0.3), (0.45, 0.55), (0.7, 0.8), (0.9, 1.0))  # shares of the sorted pictures, a row each


def ppl(
    model: options.ModelFile = None,
    data: shared.Data = None,
    variant: Annotated[
        str, typer.Option("--variant", metavar="sg2|sg1", help="sg2: whole pictures, as for StyleGAN2; sg1: cropped.")
    ] = "sg2",
    space: Annotated[str, typer.Option("--space", metavar="w|z", help="Straight in W, or great circles in Z.")] = "w",
    sampling: Annotated[
        str | None,
        typer.Option(
            "--sampling",
            metavar="full|end",
            help="Anywhere between two latents, or at the first. Default: end; for sg1 full.",
        ),
    ] = None,
    distance: Annotated[
        str, typer.Option("--distance", metavar="lpips|l2", help="Between pictures; l2 needs no trained network.")
    ] = "lpips",
    num: shared.Num = None,
    per_sample: Annotated[
        str | None, typer.Option("--per-sample", metavar="FILE.npy", help="Keep the length of each pair, [N].")
    ] = None,
    sheet: Annotated[
        str | None, typer.Option("--sheet", metavar="FILE.png", help="Draw pictures from low to high path length.")
    ] = None,
    weights: shared.Weights = None,
    seed: options.Seed = 0,
    batch: shared.Batch = None,
    device: options.Device = "auto",
    procs: shared.Procs = 1,
    as_json: shared.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Perceptual path length (PPL): how much pictures change per step through latent space. Lower is smoother.

    sg metrics ppl -m runs/00000-sg2-faces

    sg metrics ppl -m runs/00000-sg2-faces --variant sg1 --space z --sampling full

    sg metrics ppl -m runs/00000-sg2-faces --distance l2 --num 2000 --per-sample ppl.npy --sheet ppl.png
    """
    from sgcli.metrics.ppl import DISTANCES

    check_choices(
        {
            "--variant": (variant, tuple(VARIANTS)),
            "--space": (space, SPACES),
            "--sampling": (sampling, (*SAMPLINGS, None)),
            "--distance": (distance, DISTANCES),
        }
    )
    check_outputs(per_sample, sheet)

    from sgcli.media import streams
    from sgcli.metrics.ppl import Paths, measure
    from sgcli.metrics.registry import METRICS

    usual_sampling, usual_num = VARIANTS[variant]
    paths = Paths(space, sampling or usual_sampling, crop=variant == "sg1")
    job = shared.open_job(None, model, data, num=num, seed=seed, batch=batch, device=device, weights=weights)

    def use(lengths: np.ndarray, seeds: list[int]) -> None:
        if per_sample is not None:
            streams.write_array(lengths, per_sample)
        if sheet is not None:
            streams.write_picture(draw_sheet(job, paths, lengths, seeds), sheet)

    measuring = partial(measure, paths=paths, distance=distance, use=use)
    metric = replace(METRICS["ppl2-wend"], name=paths.name(distance), num=usual_num, measure=measuring)
    shared.measure(metric, job, as_json)


def check_choices(choices: dict[str, tuple[str | None, tuple[str | None, ...]]]) -> None:
    """Raise UsageError for an option's value that is not one of its words."""
    for option, (given, words) in choices.items():
        if given not in words:
            listed = ", ".join(word for word in words if word)
            raise UsageError(f"{option} {given}: one of {listed}", f"{option} {words[0]}")


def check_outputs(per_sample: str | None, sheet: str | None) -> None:
    """Raise UsageError before any work for files that cannot hold what is to be written."""
    from sgcli.media import streams

    for path, option, what, example in (
        (per_sample, "--per-sample", "arrays", "ppl.npy"),
        (sheet, "--sheet", "pictures", "ppl.png"),
    ):
        if path == "-":
            raise UsageError(f"{option} -: standard output is taken by the result", f"{option} {example}")
        if path is not None:
            streams.check_output(path, what, example)


def draw_sheet(job: Job, paths: Paths, lengths: np.ndarray, seeds: list[int]) -> np.ndarray:
    """Rows of pictures from the shortest paths to the longest -> uint8 `[3, H, W]`."""
    import numpy as np
    import torch

    from sgcli.media.grid import make_table
    from sgcli.media.pictures import enlarge, to_uint8
    from sgcli.metrics.ppl import first_pictures, labels
    from sgcli.metrics.sources import DrawnPictures

    assert isinstance(job.fake, DrawnPictures)
    rows = rows_of_sheet(np.argsort(lengths, kind="stable"))
    shown = [seeds[number] for number in np.concatenate(rows)]
    pictures = first_pictures(job.G, paths, shown, labels(job.fake, paths, shown), job.batch)
    drawn = iter([enlarge(picture, PICTURE_SIZE) for picture in to_uint8(torch.as_tensor(pictures)).numpy()])
    cells = [[next(drawn) for _ in row] for row in rows]
    captions = [f"{lengths[row[0]]:.3g} to {lengths[row[-1]]:.3g}" for row in rows]
    return make_table(cells, row_captions=captions, title="Path length, low to high")


def rows_of_sheet(order: np.ndarray) -> list[np.ndarray]:
    """Which of the sorted pictures are shown in each row: samples of BANDS, or all where there are few."""
    import numpy as np

    count = len(order)
    if count <= SHEET_COLUMNS * len(BANDS):
        return [order[start : start + SHEET_COLUMNS] for start in range(0, count, SHEET_COLUMNS)]
    return [order[np.linspace(low * (count - 1), high * (count - 1), SHEET_COLUMNS).astype(int)] for low, high in BANDS]
