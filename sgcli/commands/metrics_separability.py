"""`sg metrics separability`: is an attribute one direction of latent space?"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgcli.commands import metrics_shared as shared
from sgcli.commands import options
from sgcli.errors import UsageError
from sgcli.progress import notice

if TYPE_CHECKING:
    from sgcli.metrics.separability import Samples, Separability

PUBLISHED_NUM = 200_000


def separability(
    model: options.ModelFile = None,
    classifiers: Annotated[
        list[str] | None,
        typer.Option(
            "--classifier",
            metavar="FILE|FOLDER",
            help="Of sg train-classifier, published .pkl, or TorchScript. Repeatable.",
        ),
    ] = None,
    num: shared.Num = None,
    data: shared.Data = None,
    directions: Annotated[
        str | None,
        typer.Option("--directions", metavar="FILE.npy", help="Keep the ways across hyperplanes in W, for sg edit."),
    ] = None,
    trust: shared.Trust = False,
    seed: options.Seed = 0,
    batch: shared.Batch = None,
    device: options.Device = "auto",
    procs: shared.Procs = 1,
    as_json: shared.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Linear separability, in Z and in W: exp of the entropy that hyperplanes leave unsaid. 1 is best.

    sg train-classifier faces.zip --attributes all -o clf.safetensors

    sg metrics separability -m runs/00000-sg2-faces --classifier clf.safetensors --num 50000 --directions dirs.npy

    sg edit w.npy --direction dirs.npy:smile --by 2 -o happy.npy
    """
    if not classifiers:
        raise UsageError(
            "classifiers are needed that tell attributes: --classifier FILE",
            "sg train-classifier faces.zip --attributes all -o clf.safetensors",
        )

    from sgcli.features.classifier import open_panel
    from sgcli.media import streams
    from sgcli.metrics.registry import Metric
    from sgcli.metrics.separability import measure

    if directions == "-":
        raise UsageError("--directions -: standard output is taken by the result", "--directions dirs.npy")
    if directions is not None:
        streams.check_output(directions, "arrays", "dirs.npy")
    panel = open_panel(classifiers, options.resolve_device(device), trust)
    job = shared.open_job(None, model, data, num=num, seed=seed, batch=batch, device=device)

    def use(samples: Samples, in_w: Separability) -> None:
        if directions is not None:
            keep_directions(samples, in_w, job.G.num_ws, directions)

    metric = Metric("separability", partial(measure, panel=panel, use=use), PUBLISHED_NUM, looks_inside=True)
    lines = shared.measure(metric, job, as_json)
    if job.group.leads and sys.stdout.isatty() and not as_json:
        print_attributes(lines)


def keep_directions(samples: Samples, in_w: Separability, num_ws: int, path: str) -> None:
    """Write the way across each hyperplane, a standard deviation a step, with the attributes as names of the rows."""
    import numpy as np

    from sgcli.latents.direction_files import write_directions
    from sgcli.latents.directions import across, on_layers

    planes = [plane for plane in in_w.hyperplanes if plane.normal is not None]
    if not planes:
        notice(f"--directions: no attribute has a hyperplane, {path} is not written")
        return
    steps = across(np.stack([plane.normal for plane in planes if plane.normal is not None]), samples.w)
    write_directions(on_layers(steps, num_ws, range(num_ws)), path, [plane.attribute for plane in planes])


def print_attributes(lines: list[dict[str, Any]]) -> None:
    """A table: the bits that each attribute leaves unsaid, and the share of pictures on the right side, in Z and W."""
    in_z, in_w = lines
    width = max(map(len, in_w["entropy_bits"]))
    print(f"{'':{width}}  bits in Z  bits in W  right in Z  right in W  share")
    for name, bits in in_w["entropy_bits"].items():
        print(
            f"{name:{width}}  {in_z['entropy_bits'][name]:9.3f}  {bits:9.3f}  {in_z['right'][name]:10.1%}  "
            f"{in_w['right'][name]:10.1%}  {in_w['share'][name]:5.0%}"
        )
