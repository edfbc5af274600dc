"""`sg metrics lpips`: how different two pictures look, or two sets of pictures of the same names."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgcli.commands import metrics_shared as shared
from sgcli.commands import options

if TYPE_CHECKING:
    import numpy as np

MIN_SIDE = 16
PAIRS_AT_ONCE = 16  # stored together


def lpips(
    a: Annotated[Path, typer.Argument(metavar="A", help="A picture, or a folder or zip of pictures.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another; of sets, those pictures that have the same name.")],
    each: Annotated[bool, typer.Option("--each", help="A result for every pair, before their mean.")] = False,
    weights: shared.Weights = None,
    device: options.Device = "auto",
    procs: shared.Procs = 1,
    as_json: shared.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Perceptual distance (LPIPS v0.1, VGG-16): 0 for equal pictures, around 0.7 for unrelated ones.

    sg metrics lpips photo.png projected.png

    sg metrics lpips targets/ projections/ --each
    """
    import numpy as np

    from sgcli import __version__
    from sgcli.errors import SgError
    from sgcli.features.lpips import load_lpips
    from sgcli.files import sha256_of_file
    from sgcli.metrics.picture_pairs import open_pairs
    from sgcli.metrics.rows import compute_rows, key_of

    started = time.monotonic()
    group = options.join_group(device)
    pairs = open_pairs(a, b)
    where = options.resolve_device(device)
    network = load_lpips(weights).to(where)
    facts: dict[str, Any] = {"lpips": "0.1 vgg", "version": __version__}
    if weights is not None:
        facts["weights_sha256"] = sha256_of_file(weights)

    def compare(number: int) -> float:
        pair = pairs[number]
        height, width = pair.a.shape[2:]
        if min(height, width) < MIN_SIDE:
            raise SgError(
                f"{pair.name}: {width}x{height} pixels, LPIPS needs {MIN_SIDE}x{MIN_SIDE}", "use larger pictures"
            )
        return float(network(pair.a.to(where) / 127.5 - 1, pair.b.to(where) / 127.5 - 1))

    def compute(start: int, stop: int) -> np.ndarray:
        return np.array([compare(number) for number in range(start, stop)])

    key = key_of("lpips", pairs.key, facts)
    distances = compute_rows("lpips", len(pairs.names), compute, PAIRS_AT_ONCE, key=key, group=group).tolist()
    seconds = round(time.monotonic() - started, 2)
    if each:
        lines = [{"name": "lpips", "value": d, "picture": name} for d, name in zip(distances, pairs.names, strict=True)]
        shared.report([{**line, **facts, "seconds": seconds} for line in lines], as_json, group)
    mean = sum(distances) / len(distances)
    found = {"name": "lpips", "value": mean, "a": str(a), "b": str(b), "num_pairs": len(distances), **facts}
    shared.report([{**found, "seconds": seconds}], as_json, group)
    shared.finish(group)
