"""`sg metrics features`: the features of pictures, or their statistics, as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.commands import metrics_shared as shared
from sgcli.commands import options
from sgcli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from sgcli.metrics.job import Job


def features(
    source: Annotated[
        Path | None, typer.Argument(metavar="[SOURCE]", help="Model, run, folder or zip; instead of -m.")
    ] = None,
    model: options.ModelFile = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.npy|FILE.npz", help=".npz: mean and covariance only.")
    ] = None,
    num: Annotated[
        int | None, typer.Option("--num", min=1, help="Pictures. Default: all of a data set, 50,000 of a model.")
    ] = None,
    protocol: shared.Protocol = "nvidia",
    extractor: shared.Extractor = "inception",
    weights: shared.Weights = None,
    trust: shared.Trust = False,
    trunc: shared.Trunc = 1.0,
    seed: options.Seed = 0,
    batch: shared.Batch = None,
    device: options.Device = "auto",
    procs: shared.Procs = 1,
    quiet: options.Quiet = False,
) -> None:
    """Write features [N, F] as .npy, or their mean and covariance as .npz, to be compared later or elsewhere.

    sg metrics features faces.zip -o faces.npz

    sg metrics fid -m model.safetensors --data faces.npz
    """
    if output is not None and output.suffix not in (".npy", ".npz"):
        raise UsageError(f"-o {output}: features are .npy, statistics .npz", f"-o {output.with_suffix('.npy')}")

    from sgcli.media.streams import check_output
    from sgcli.metrics.job import PUBLISHED_NUM

    check_output(None if output is None else str(output), "arrays", "features.npy")
    job = shared.open_job(
        [source] if source else None,
        model,
        None,
        num=num,
        seed=seed,
        batch=batch,
        device=device,
        trunc=trunc,
        protocol=protocol,
        extractor=extractor,
        weights=weights,
        trust=trust,
    )
    wanted = num or (PUBLISHED_NUM if job.pictures("fake").limit is None else None)
    found = job.features("fake", "inception", wanted)
    if job.group.leads:
        write(found, output, job)
    shared.finish(job.group)


def write(found: np.ndarray, output: Path | None, job: Job) -> None:
    """Features `[N, F]` as they are, or their statistics with provenance, as the name of `output` says."""
    import numpy as np

    from sgcli.files import atomic_path
    from sgcli.media.streams import write_array
    from sgcli.metrics.fid import Statistics

    if output is None or output.suffix == ".npy":
        write_array(found, None if output is None else str(output))
    else:
        statistics = Statistics.of(found, job.protocol.covariance_ddof)
        origin = json.dumps(job.facts(frozenset({"fake"}), "inception"))
        with atomic_path(output) as temporary, open(temporary, "wb") as file:
            np.savez(file, mu=statistics.mu, sigma=statistics.sigma, num=statistics.num, provenance=origin)
