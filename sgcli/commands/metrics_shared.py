"""What the commands of `sg metrics` share: options, opening what is measured, printing what was found.

A command that measures is these few lines, and a row in `sgcli/metrics/registry.py`:

    def swd(sources: Sources = None, model: ModelFile = None, data: Data = None, num: Num = None, seed: … ) -> None:
        from sgcli.metrics.registry import METRICS

        job = open_job(sources, model, data, num=num, seed=seed, batch=batch, device=device)
        measure(METRICS["swd"], job, as_json)

Where the command has options of its own, it makes its row from the registered one:

        metric = replace(METRICS["ppl-w"], name="ppl-z-end", measure=partial(ppl.measure, space="z", sampling="end"))
        measure(metric, job, as_json)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgcli.commands import options
from sgcli.errors import SgError, UsageError

if TYPE_CHECKING:
    from sgcli.distributed.group import Group
    from sgcli.metrics.job import Job
    from sgcli.metrics.registry import Metric


def start_workers(context: typer.Context, count: int) -> int:
    """Run the command in `count` processes of its own, where it is not one of them already."""
    from sgcli.distributed.workers import is_worker, run_workers

    if count > 1 and not is_worker():
        options.prepare_workers("auto", count)
        run_workers(count, context.find_root().obj)
        raise typer.Exit
    return count


Sources = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FAKE] [REAL]",
        help="What is measured, and what it is held against: model, run, folder, zip, features .npy, statistics .npz.",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DATA", help="Real pictures: folder, zip, features .npy or statistics .npz."),
]
Num = Annotated[
    int | None, typer.Option("--num", min=1, help="Pictures to measure. Default: as in the published protocol.")
]
Trunc = Annotated[float, typer.Option("--trunc", metavar="PSI", help="Truncation psi; published numbers have 1.")]
Protocol = Annotated[
    str,
    typer.Option("--protocol", metavar="nvidia|clean|pytorch-fid", help="Whose rules for resizing and covariances."),
]
Extractor = Annotated[
    str | None,
    typer.Option(
        "--extractor", metavar="inception|vgg|random|FILE.ts", help="Feature network. Default: the metric's own."
    ),
]
Weights = Annotated[
    str | None, typer.Option("--weights", metavar="FILE", help="Weights of the feature network, instead of fetching.")
]
Trust = Annotated[bool, typer.Option("--trust", help="Execute the code in a TorchScript file.")]
Stderr = Annotated[bool, typer.Option("--stderr", help="Estimate standard errors by leaving out groups of pictures.")]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch", min=1, help="Pictures computed at a time; does not change them. Default: 16, of small ones up to 64."
    ),
]
Procs = Annotated[
    int,
    typer.Option(
        "--procs",
        min=1,
        metavar="N",
        callback=start_workers,
        help="Workers on this machine that share the work: one per GPU, or processes.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line, also on a terminal.")]


def open_job(
    sources: list[Path] | None,
    model: str | None,
    data: Path | None,
    *,
    num: int | None = None,
    seed: int = 0,
    batch: int | None = None,
    device: str = "auto",
    trunc: float = 1.0,
    protocol: str = "nvidia",
    extractor: str | None = None,
    weights: str | None = None,
    trust: bool = False,
    stderr: bool = False,
) -> Job:
    """What the options ask for. The first source is measured; the second, or --data, is what it is held against.

    Without any source the model is measured that -m, $SG_MODEL or the only run name.
    """
    from sgcli.features.extractors import Protocol as Rules
    from sgcli.metrics.job import Job
    from sgcli.metrics.open_source import check_comparable, draw_from, open_source
    from sgcli.metrics.sources import DataPictures
    from sgcli.models.checkpoint import find_model

    named = list(sources or [])
    if len(named) + (model is not None) > 2 or (len(named) == 2 and data is not None):
        raise UsageError("two sources can be compared, and more were given", "sg metrics fid fakes/ faces.zip")
    if model is not None and len(named) + (data is not None) > 1:
        raise UsageError("-m and --data are two sources already, and more were given", "sg metrics fid -m M --data D")
    group = options.join_group(device)
    rules, where = Rules.named(protocol), options.resolve_device(device)
    drawing: dict[str, Any] = {"seed": seed, "batch": batch, "device": where, "truncation_psi": trunc}
    reference = data or (named.pop() if len(named) == 2 or (model is not None and named) else None)
    other = {**drawing, "seed": seed + 1}  # pictures of a model in the place of real ones are another draw
    real = open_source(reference, **other) if reference is not None else None
    labels_from = real.dataset if isinstance(real, DataPictures) else None
    if named:
        fake = open_source(named[0], **drawing, labels_from=labels_from)
    else:
        found = find_model(model)
        fake = draw_from(found, str(found.path), seed, batch, where, labels_from, trunc)
    if real is not None:
        check_comparable(real, fake)
    return Job(
        fake,
        real,
        group=group,
        num=num,
        seed=seed,
        device=where,
        protocol=rules,
        extractor=extractor,
        weights=weights,
        trust=trust,
        stderr=stderr,
    )


def measure(metric: Metric, job: Job, as_json: bool) -> list[dict[str, Any]]:
    """Measure, print and return what was found."""
    from sgcli.metrics.registry import run

    lines = run(metric, job)
    report(lines, as_json, job.group)
    finish(job.group)
    return lines


def finish(group: Group) -> None:
    """When results are printed: what was stored to go on after a stop can go."""
    from sgcli.metrics.rows import forget_finished

    forget_finished()
    group.close()


def report(lines: list[dict[str, Any]], as_json: bool, group: Group) -> None:
    """Print results, on worker 0: a table's rows on a terminal, else one JSON object per line."""
    for line in lines if group.leads else ():
        print(json.dumps(line) if as_json or not sys.stdout.isatty() else describe(line), flush=True)


def describe(line: dict[str, Any]) -> str:
    """'fid1k-random  12.41 ± 0.32  1000 of model.safetensors, 48 of faces.zip, random features (nvidia), 3.2s'."""
    deviation = f" ± {line['stderr']:.2g}" if "stderr" in line else f" {line.get('unit', '')}"
    counts = []
    for role, key in (("fake", "model"), ("fake", "fake"), ("real", "data")):
        if key in line:
            number = line.get(f"num_{role}")
            counts.append(f"{number} of {Path(line[key]).name}" if number else Path(line[key]).name)
    floor = [f"noise floor {line['noise_floor']:.4g}"] if "noise_floor" in line else []
    features = [f"{line['extractor']} features ({line['protocol']})"] if "extractor" in line else []
    details = ", ".join([*counts, *floor, *features, f"{line['seconds']:.3g}s"])
    return f"{line['name']:20} {line['value']:10.4g}{deviation:10}  {details}"


def measure_several(requests: list[Any], job: Job, as_json: bool, sink: Any = None) -> None:
    """Measure and print one after the other; what fails is said at the end, in one SgError, and stops nothing else.

    requests: `registry.Request`s. sink: called with each list of lines, besides printing.
    """
    from sgcli.metrics.registry import run_request

    failures: dict[str, list[str]] = {}
    hints = []
    for request in requests:
        try:
            lines = run_request(request, job)
        except SgError as error:
            failures.setdefault(error.message, []).append(request.name)
            hints.append(error.hint)
            continue
        report(lines, as_json, job.group)
        if sink is not None:
            sink(lines)
    if failures:
        reasons = "; ".join(f"{', '.join(names)}: {message}" for message, names in failures.items())
        raise SgError(f"not measured: {reasons}", hints[0])
