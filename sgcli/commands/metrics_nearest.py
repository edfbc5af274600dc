"""`sg metrics nearest`: the training pictures closest to generated ones, as a picture."""

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
    from sgcli.metrics.nearest import Neighbours

PICTURE_SIZE = 64
MAX_ROWS = 100


def nearest(
    sources: shared.Sources = None,
    model: options.ModelFile = None,
    data: shared.Data = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE.png", help="Draw pictures with their neighbours, the closest first."
        ),
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=MAX_ROWS, help="Pictures drawn.")] = 8,
    k: Annotated[int, typer.Option("-k", min=1, max=20, help="Neighbours of each.")] = 6,
    num: shared.Num = None,
    extractor: shared.Extractor = None,
    weights: shared.Weights = None,
    trust: shared.Trust = False,
    trunc: shared.Trunc = 1.0,
    seed: options.Seed = 0,
    batch: shared.Batch = None,
    device: options.Device = "auto",
    procs: shared.Procs = 1,
    as_json: shared.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Is it memorising? Distance to the closest training picture, over that between training pictures.

    Around 1 and above: the model invents. Far below 1: it recites. Compares pixels, or features with --extractor.

    sg metrics nearest -m runs/00000-sg2-faces --data faces.zip -o nearest.png

    sg metrics nearest -m runs/00000-sg2-faces --data faces.zip --extractor vgg -o nearest.png
    """
    from sgcli.media import streams
    from sgcli.metrics.nearest import measure
    from sgcli.metrics.registry import METRICS

    if output is not None:
        if output == "-":
            raise UsageError("-o -: standard output is taken by the result", "-o nearest.png")
        streams.check_output(output, "pictures", "nearest.png")
    job = shared.open_job(
        sources, model, data, num=num, seed=seed, batch=batch, device=device, trunc=trunc,
        extractor=extractor, weights=weights, trust=trust,
    )  # fmt: skip

    def use(found: Neighbours) -> None:
        if output is not None:
            streams.write_picture(draw_sheet(job, found, rows), output)

    shared.measure(replace(METRICS["nearest"], measure=partial(measure, k=k, use=use)), job, as_json)


def draw_sheet(job: Job, found: Neighbours, num_rows: int) -> np.ndarray:
    """Pictures, the closest to any training picture first, each with its neighbours -> uint8 `[3, H, W]`."""
    import numpy as np

    from sgcli.media.grid import make_table
    from sgcli.media.pictures import enlarge

    fake, real = job.pictures("fake"), job.pictures("data")
    closest = np.argsort(found.distances[:, 0], kind="stable")[:num_rows]
    size = max(PICTURE_SIZE, fake.resolution, real.resolution)
    cells = []
    for number, picture in zip(closest, fake.read([int(n) for n in closest]).numpy(), strict=True):
        neighbours = real.read([int(n) for n in found.numbers[number]]).numpy()
        cells.append([enlarge(one, size) for one in (picture, *neighbours)])
    captions = [f"{found.distances[number, 0]:.3g}" for number in closest]
    columns = ["measured", *(f"closest {place + 1}" if place else "closest" for place in range(found.numbers.shape[1]))]
    return make_table(cells, columns, captions, title="Closest training pictures, and how far")
