"""`sg metrics lpips`: how different two pictures look, or two sets of pictures of the same names."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from sgcli.commands import metrics_shared as shared
from sgcli.commands import options

MIN_SIDE = 16


def lpips(
    a: Annotated[Path, typer.Argument(metavar="A", help="A picture, or a folder or zip of pictures.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another; of sets, those pictures that have the same name.")],
    each: Annotated[bool, typer.Option("--each", help="A result for every pair, before their mean.")] = False,
    weights: shared.Weights = None,
    device: options.Device = "auto",
    as_json: shared.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Perceptual distance (LPIPS v0.1, VGG-16): 0 for equal pictures, around 0.7 for unrelated ones.

    sg metrics lpips photo.png projected.png

    sg metrics lpips targets/ projections/ --each
    """
    from sgcli import __version__
    from sgcli.errors import SgError
    from sgcli.features.lpips import load_lpips
    from sgcli.files import sha256_of_file
    from sgcli.metrics.picture_pairs import count_pairs, read_pairs
    from sgcli.progress import track

    started = time.monotonic()
    count = count_pairs(a, b)
    where = options.resolve_device(device)
    network = load_lpips(weights).to(where)
    facts: dict[str, Any] = {"lpips": "0.1 vgg", "version": __version__}
    if weights is not None:
        facts["weights_sha256"] = sha256_of_file(weights)
    distances = []
    for pair in track(read_pairs(a, b), "lpips", total=count, unit="pairs"):
        if min(pair.a.shape[2:]) < MIN_SIDE:
            height, width = pair.a.shape[2:]
            raise SgError(
                f"{pair.name}: {width}x{height} pixels, LPIPS needs {MIN_SIDE}x{MIN_SIDE}", "use larger pictures"
            )
        distance = float(network(pair.a.to(where) / 127.5 - 1, pair.b.to(where) / 127.5 - 1))
        distances.append(distance)
        if each:
            seconds = round(time.monotonic() - started, 2)
            shared.report(
                [{"name": "lpips", "value": distance, "picture": pair.name, **facts, "seconds": seconds}], as_json
            )
    mean = sum(distances) / len(distances)
    found = {"name": "lpips", "value": mean, "a": str(a), "b": str(b), "num_pairs": count, **facts}
    shared.report([{**found, "seconds": round(time.monotonic() - started, 2)}], as_json)
