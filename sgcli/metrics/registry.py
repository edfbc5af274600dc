"""The table of metrics, and how a name such as `fid1k` or `kid5k-random` is read.

To add a metric: write `sgcli/metrics/<its file>.py` with the mathematics as plain functions and one

    def measure(job: Job, num: int) -> list[Value]

that asks the job for what it needs (`job.G`, `job.take("fake", num)`, `job.features("data", …)`), has what takes long
computed by `job.rows(…)`, so that it goes on after a stop and workers share it; and a row here. `sg metrics all`,
`sg metrics watch`, `sg train --metrics` and the tests walk this table. A subcommand with options of its own binds them
with `functools.partial` and runs the row it made: see `sgcli/commands/metrics_shared.py`.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sgcli.errors import UsageError
from sgcli.features.extractors import NAMES
from sgcli.metrics import (
    equivariance,
    fid,
    inception_score,
    kid,
    ms_ssim,
    nearest,
    path_length,
    ppl,
    precision_recall,
    swd,
)
from sgcli.metrics.job import Job
from sgcli.metrics.resampling import check_enough
from sgcli.metrics.results import Value, result_line
from sgcli.metrics.sources import DrawnPictures, Pictures

BOTH = frozenset({"fake", "data"})
FAKE = frozenset({"fake"})


@dataclass(frozen=True)
class Metric:
    """One row: a name, a function, and what the function needs."""

    name: str
    measure: Callable[[Job, int], list[Value]]
    num: int  # pictures of the published protocol
    uses: frozenset[str] = FAKE  # "fake" (what is measured), "data" (what it is held against)
    extractor: str | None = None  # feature network of the published protocol
    numbers: tuple[str, ...] = ()  # names of the results, where there are several
    looks_inside: bool = False  # needs the generator itself, not only its pictures
    higher_is_better: bool = False
    applies: Callable[[Job], bool] = lambda job: True  # whether `sg metrics all` tries it on this model  # fmt: skip


EQUIVARIANCE: dict[str, Any] = {
    "looks_inside": True, "higher_is_better": True, "applies": equivariance.is_movable,
}  # fmt: skip


def _path_length(num: int, distance: str = "lpips", usual: bool = False, **paths: Any) -> Metric:
    """A perceptual path length as published; those that are not `usual` are measured only when asked for by name."""
    which = ppl.Paths(**paths)
    measure = partial(ppl.measure, paths=which, distance=distance)
    return Metric(which.name(distance), measure, num, looks_inside=True, applies=lambda job: usual)


PATH_LENGTHS = (
    _path_length(50_000, usual=True),
    _path_length(50_000, "l2", usual=True),
    *(_path_length(100_000, space=s, sampling=sampling, crop=True) for s in "zw" for sampling in ("full", "end")),
)

METRICS = {
    metric.name: metric
    for metric in (
        Metric("fid", fid.measure, 50_000, BOTH, "inception"),
        Metric("kid", kid.measure, 50_000, BOTH, "inception"),
        Metric("pr", precision_recall.measure, 50_000, BOTH, "vgg", ("precision", "recall"), higher_is_better=True),
        Metric("is", inception_score.measure, 50_000, FAKE, "inception", higher_is_better=True,
               applies=lambda job: job.extractor in (None, "inception")),
        Metric("swd", swd.measure, 16_384, BOTH),
        Metric("ms-ssim", ms_ssim.measure, 10_000, FAKE),
        Metric("nearest", nearest.measure, 1000, BOTH, higher_is_better=True),
        Metric("path-length", path_length.measure, 2000, looks_inside=True),
        Metric("eq-t", partial(equivariance.measure, kind="eqt_int"), 50_000, **EQUIVARIANCE),
        Metric("eq-t-frac", partial(equivariance.measure, kind="eqt_frac"), 50_000, **EQUIVARIANCE),
        Metric("eq-r", partial(equivariance.measure, kind="eqr"), 50_000, **EQUIVARIANCE),
        *PATH_LENGTHS,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """A metric as it was asked for: `fid1k-random` is FID of 1000 pictures with random features."""

    name: str  # as it was typed, which names the result
    metric: Metric
    num: int | None = None
    extractor: str | None = None

    def result_names(self) -> list[str]:
        """The names in the result lines: that of the request, or ["precision1k", "recall1k"] for `pr1k`."""
        return [_name_of(number, self.metric, self.name) for number in self.metric.numbers or ("",)]


def parse_metrics(text: str) -> list[Request]:
    """'swd,fid1k,kid5k-random' -> requests: NAME[NUMBER[k]][-EXTRACTOR]. Raises UsageError for an unknown one."""
    return [_parse(part.strip()) for part in text.split(",") if part.strip()]


def _parse(text: str) -> Request:
    names = {number: metric for metric in METRICS.values() for number in (metric.name, *metric.numbers)}
    for name in sorted(names, key=len, reverse=True):
        if match := re.fullmatch(rf"{name}(?:-?([1-9]\d*)(k?))?(?:-([a-z]+))?", text):
            number, thousands, extractor = match.groups()
            if extractor is not None and (extractor not in NAMES or names[name].extractor is None):
                break
            num = int(number) * (1000 if thousands else 1) if number else None
            return Request(text, names[name], num, extractor)
    close = difflib.get_close_matches(text, names, n=1)
    raise UsageError(
        f"'{text}' is not a metric; there are {', '.join(METRICS)}, with a number of pictures (fid1k) and one of the "
        f"feature networks {', '.join(NAMES)} (fid1k-random)",
        close[0] if close else "fid1k-random, or swd, which needs no network",
    )


def all_requests(job: Job) -> list[Request]:
    """Every metric that can be asked of what the job holds."""
    return [
        Request(result_name(metric, job), metric)
        for metric in METRICS.values()
        if (job.real is not None or "data" not in metric.uses)
        and (isinstance(job.fake, DrawnPictures) or not metric.looks_inside)
        and metric.applies(job)
    ]


def run_request(request: Request, job: Job) -> list[dict[str, Any]]:
    """Measure what was asked for, under the name that was typed; what the job asks of all metrics goes into it, too."""
    own = replace(job, num=request.num or job.num, extractor=request.extractor or job.extractor)
    as_typed = job.num is None and job.extractor is None and job.protocol.name == "nvidia"
    return run(request.metric, own, request.name if as_typed else None)


def run(metric: Metric, job: Job, name: str | None = None) -> list[dict[str, Any]]:
    """Measure, and return one line of results per number found. `name` replaces the metric's own in the lines."""
    started = time.monotonic()
    if metric.looks_inside:
        job.G  # noqa: B018  # refuses anything but a model before work starts
    if job.stderr and metric.extractor is not None and isinstance(job.fake, Pictures):
        check_enough(job.num or metric.num)  # before the long work
    values = metric.measure(job, job.num or metric.num)
    seconds = time.monotonic() - started
    provenance = job.facts(metric.uses, metric.extractor)
    base = name or result_name(metric, job)
    return [result_line(_name_of(value.name, metric, base), value, provenance, seconds) for value in values]


def result_name(metric: Metric, job: Job) -> str:
    """The name of a result that says where it departs from the published protocol: fid, fid1k, fid1k-random."""
    name = metric.name
    if job.num is not None and job.num != metric.num and isinstance(job.fake, Pictures):
        name += "-" * name[-1].isdigit() + (f"{job.num // 1000}k" if job.num % 1000 == 0 else str(job.num))
    if metric.extractor is not None and job.extractor is not None and job.extractor != metric.extractor:
        name += f"-{Path(job.extractor).stem}"
    if metric.extractor is not None and job.protocol.name != "nvidia":
        name += f"-{job.protocol.name}"
    return name


def _name_of(number: str, metric: Metric, base: str) -> str:
    """`base`, with the metric's name replaced by that of one of its numbers: pr1k -> precision1k."""
    if not number:
        return base
    prefix = next(name for name in (*metric.numbers, metric.name) if base.startswith(name))
    return number + base.removeprefix(prefix)
