"""`sg metrics all`: every metric that can be asked of what was given, on the same pictures and features."""

from __future__ import annotations

from typing import Annotated

import typer

from sgcli.commands import metrics_shared as shared
from sgcli.commands import options


def all_(
    sources: shared.Sources = None,
    model: options.ModelFile = None,
    data: shared.Data = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="fid,swd2k,…", help="Only these. Default: all that apply.")
    ] = None,
    num: shared.Num = None,
    protocol: shared.Protocol = "nvidia",
    extractor: shared.Extractor = None,
    trust: shared.Trust = False,
    stderr: shared.Stderr = False,
    trunc: shared.Trunc = 1.0,
    seed: options.Seed = 0,
    batch: shared.Batch = None,
    device: options.Device = "auto",
    procs: shared.Procs = 1,
    as_json: shared.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure everything that applies, drawing pictures and extracting features once for all metrics.

    sg metrics all -m runs/00000-sg2-faces --data faces.zip --json >> results.jsonl

    sg metrics all -m model.safetensors --data faces.zip --metrics fid5k-random,swd --stderr
    """
    from sgcli.metrics.registry import all_requests, parse_metrics
    from sgcli.metrics.sources import DrawnPictures

    named = parse_metrics(metrics) if metrics is not None else None
    job = shared.open_job(
        sources,
        model,
        data,
        num=num,
        seed=seed,
        batch=batch,
        device=device,
        trunc=trunc,
        protocol=protocol,
        extractor=extractor,
        trust=trust,
        stderr=stderr,
    )
    requests = all_requests(job) if named is None else named
    shared_counts = [
        request.num or num or request.metric.num for request in requests if not request.metric.looks_inside
    ]
    if isinstance(job.fake, DrawnPictures) and len(shared_counts) > 1:
        job.fake.keep(max(shared_counts))
    shared.measure_several(requests, job, as_json)
    shared.finish(job.group)
