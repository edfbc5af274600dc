"""`sg metrics watch`: measure the snapshots of a run as they appear."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgcli.commands import metrics_shared as shared
from sgcli.commands import options
from sgcli.errors import SgError

if TYPE_CHECKING:
    from sgcli.metrics.job import Job
    from sgcli.metrics.registry import Request
    from sgcli.training.run import Run

LOOK_SECONDS = 5.0  # between looks at a run that is being trained


def watch(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    metrics: Annotated[
        str, typer.Option("--metrics", metavar="fid1k,swd,…", help="What to measure.")
    ] = "swd,fid1k-random",
    data: shared.Data = None,
    seed: options.Seed = 0,
    batch: shared.Batch = None,
    device: options.Device = "auto",
    as_json: shared.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a run's snapshots as they appear, until its training ends; lines go to its metrics.jsonl, too.

    Snapshots that are measured already are passed over. The real pictures are those that the run trains on, if no
    others are named. Run it on another machine or device than the training, and it slows nothing down.

    sg metrics watch runs/00000-sg2-faces --metrics fid10k,swd
    """
    from sgcli.metrics.registry import parse_metrics
    from sgcli.metrics.rows import forget_finished
    from sgcli.progress import notice
    from sgcli.training.run import Run

    requests = parse_metrics(metrics)
    watched = Run(run)
    check_run(watched)
    job = None
    while True:
        training = is_being_trained(watched)  # asked first: what it wrote last is then still seen
        for path in waiting(watched, requests):
            if job is None:
                job = shared.open_job(
                    None,
                    str(path),
                    data or data_of(watched),
                    seed=seed,
                    batch=batch,
                    device=device,
                )
            job = measure_snapshot(watched, path, requests, job, as_json)
            forget_finished()
        if not training:
            notice(f"{run}: all its snapshots are measured, and it is not being trained")
            return
        time.sleep(LOOK_SECONDS)


def measure_snapshot(run: Run, path: Path, requests: list[Request], job: Job, as_json: bool) -> Job:
    """Measure one model file of the run, and return the job for the next. One that was pruned meanwhile is skipped."""
    from sgcli.metrics.open_source import draw_from
    from sgcli.metrics.sources import DataPictures
    from sgcli.models.checkpoint import kimg_of, open_model

    def append(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            run.append_metrics({**line, "kimg": kimg_of(path)})  # the name settles it, as for `lacks`

    labels_from = job.real.dataset if isinstance(job.real, DataPictures) else None
    try:
        fake = draw_from(open_model(path), str(path), job.seed, job.batch, job.device, labels_from)
    except SgError:
        if path.exists():
            raise
        return job
    job = job.with_fake(fake)
    shared.measure_several([request for request in requests if lacks(run, path, request)], job, as_json, append)
    return job


def waiting(run: Run, requests: list[Request]) -> list[Path]:
    """The snapshots that some request has no line for in metrics.jsonl; not the untrained one."""
    from sgcli.models.checkpoint import kimg_of

    return [
        path
        for path in run.models()
        if kimg_of(path) > 0 and any(lacks(run, path, request) for request in requests)
    ]  # fmt: skip


def lacks(run: Run, path: Path, request: Request) -> bool:
    """Whether metrics.jsonl does not yet have what the request would find for a snapshot."""
    from sgcli.models.checkpoint import kimg_of

    found = {line["name"] for line in run.metrics() if abs(line["kimg"] - kimg_of(path)) < 5e-4}
    return not found.issuperset(request.result_names())


def check_run(run: Run) -> None:
    """Raise SgError for what is no run folder."""
    if not run.config_path().exists():
        raise SgError(f"{run.path}: not a run folder (no config.json in it)", "name a folder that sg train printed")


def data_of(run: Run) -> Path:
    """The data set that a run trains on."""
    from sgcli.training.config import TrainingConfig

    path = Path(TrainingConfig.load(run.config_path()).data["path"])
    if not path.exists():
        raise SgError(f"{path}: the data set of {run.path} is not there any more", "--data faces.zip")
    return path


def is_being_trained(run: Run) -> bool:
    """Whether another process trains in the run's folder."""
    try:
        with run.lock():
            return False
    except SgError:
        return True
