"""Run folders, `runs/00007-<name>/`, and what lies in them.

config.json             everything resolved
log.txt, stats.jsonl    what happened; one line of numbers per tick
metrics.jsonl           one line per metric and snapshot measured
reals.png, fakes-000200.png, model-000200.safetensors   (kimg)
state/000200.safetensors                                the newest two full training states
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sgcli.errors import SgError, UsageError
from sgcli.files import check_writable_folder, explain_os_error, write_text
from sgcli.models.checkpoint import kimg_of
from sgcli.progress import notice

CONFIG, LOG, STATS, METRICS, STATES = "config.json", "log.txt", "stats.jsonl", "metrics.jsonl", "state"


class Run:
    """One run folder."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    @property
    def name(self) -> str:
        return self.path.name

    def config_path(self) -> Path:
        return self.path / CONFIG

    def model_path(self, nimg: int) -> Path:
        return self.path / f"model-{kimg_label(nimg)}.safetensors"

    def fakes_path(self, nimg: int) -> Path:
        return self.path / f"fakes-{kimg_label(nimg)}.png"

    def state_path(self, nimg: int) -> Path:
        return self.path / STATES / f"{kimg_label(nimg)}.safetensors"

    def states(self) -> list[Path]:
        """Training states from old to new."""
        return sorted((self.path / STATES).glob("*.safetensors"), key=kimg_of)

    def models(self) -> list[Path]:
        """Model files from old to new."""
        return sorted(self.path.glob("model-*.safetensors"), key=kimg_of)

    def log(self, text: str) -> None:
        """Append a line to log.txt and show it."""
        self.log_quietly(text)
        notice(text)

    def log_quietly(self, text: str) -> None:
        with explain_os_error(self.path), open(self.path / LOG, "a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def append_stats(self, line: dict[str, Any]) -> None:
        with explain_os_error(self.path), open(self.path / STATS, "a") as file:
            file.write(json.dumps(line) + "\n")

    def stats(self) -> list[dict[str, Any]]:
        """The lines of stats.jsonl, from old to new."""
        return _read_lines(self.path / STATS)

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add a result (sgcli.metrics.results) of one snapshot, which `kimg` in it names."""
        with explain_os_error(self.path), open(self.path / METRICS, "a") as file:
            file.write(json.dumps(line) + "\n")

    def metrics(self, name: str | None = None) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl that tell a snapshot's kimg, all or those of one metric, in the order of kimg."""
        lines = [line for line in _read_lines(self.path / METRICS) if "kimg" in line and name in (None, line["name"])]
        return sorted(lines, key=lambda line: line["kimg"])

    def forget_stats_after(self, nimg: int) -> None:
        """Drop the lines of ticks that a resumed run is about to live again."""
        path = self.path / STATS
        if not path.exists():
            return
        kept = [line for line in path.read_text().splitlines(keepends=True) if _nimg_of(line) <= nimg]
        write_text(path, "".join(kept))

    @contextmanager
    def lock(self):
        """Hold the folder while training in it. Raises SgError if another process does."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise SgError(
                    f"{self.path}: another process is training in it", "wait for it, or start a new run"
                ) from error
            yield
        finally:
            os.close(descriptor)


class FollowedRun(Run):
    """The folder of a run that another worker leads: it can be read, and nothing is written to it."""

    def log(self, text: str) -> None:
        pass

    def log_quietly(self, text: str) -> None:
        pass

    def append_stats(self, line: dict[str, Any]) -> None:
        pass

    def append_metrics(self, line: dict[str, Any]) -> None:
        pass

    def forget_stats_after(self, nimg: int) -> None:
        pass

    @contextmanager
    def lock(self):
        yield


def kimg_label(nimg: int) -> str:
    """Images seen as six digits of kimg, with a fraction if there is one: 200000 -> '000200', 1500 -> '000001.500'."""
    kimg, rest = divmod(nimg, 1000)
    return f"{kimg:06d}" + (f".{rest:03d}" if rest else "")


def create_run(outdir: str | os.PathLike, name: str) -> Run:
    """Make the next `NNNNN-name` under `outdir`; safe when several processes do so at once."""
    check_name(name)
    outdir = check_writable_folder(outdir)
    descriptor = os.open(outdir, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        number = max([_number_of(path) for path in outdir.iterdir()], default=-1) + 1
        path = outdir / f"{number:05d}-{name}"
        path.mkdir()
    finally:
        os.close(descriptor)
    return Run(path)


def check_name(name: str) -> None:
    """Raise UsageError unless `name` can be part of a folder's name."""
    if not name or "/" in name or "\0" in name or len(name.encode()) > 200:
        raise UsageError(f"--name {name!r}: cannot be part of a folder's name", "--name gamma-0.5")


def find_runs(outdir: str | os.PathLike, name: str | None = None) -> list[Run]:
    """The runs under `outdir` from old to new, all or those called `name`."""
    runs = [Run(path) for path in Path(outdir).glob("*/") if _number_of(path) >= 0 and (path / CONFIG).exists()]
    runs.sort(key=lambda run: run.name)
    return [run for run in runs if name is None or run.name.split("-", 1)[1] == name]


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """JSON lines; one that was cut off when the process was killed is left out, and a missing file has none."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(text))
    return lines


def _number_of(path: Path) -> int:
    match = re.match(r"(\d{5,})-", path.name)
    return int(match[1]) if match else -1


def _nimg_of(line: str) -> float:
    try:
        return json.loads(line)["Progress/nimg"]
    except (ValueError, KeyError):
        return float("inf")  # a line cut off when the process was killed
