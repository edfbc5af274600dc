"""From options to a run that trains: new, resumed, or started from another model's weights."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sgcli.data.dataset import ImageDataset
from sgcli.distributed.group import ALONE, Group
from sgcli.errors import SgError, UsageError
from sgcli.models.checkpoint import Model, kimg_of
from sgcli.progress import warn
from sgcli.training import reports
from sgcli.training.config import TrainingConfig, differences
from sgcli.training.loop import Callback, start_training, train
from sgcli.training.run import FollowedRun, Run, create_run, find_runs
from sgcli.training.transfer import copy_weights
from sgcli.training.watchdog import Watchdog


@dataclass
class Resumable:
    """A run to go on with."""

    run: Run
    config: TrainingConfig

    @classmethod
    def open(cls, path: str | Path) -> Resumable:
        """Raises SgError if `path` is not a run folder with a training state."""
        run = Run(path)
        if not run.path.is_dir():
            raise SgError(f"--resume {path}: no such run folder", "ls runs/")
        if not run.config_path().exists():
            raise SgError(f"--resume {path}: no config.json in it; not a run folder", "--resume runs/00000-name")
        if not run.states():
            raise SgError(
                f"--resume {path}: the run stopped before it saved a state", "start it again without --resume"
            )
        return cls(run, TrainingConfig.load(run.config_path()))

    def is_finished(self) -> bool:
        return round(kimg_of(self.run.states()[-1]) * 1000) >= self.config.total_nimg

    def check_same(self, config: TrainingConfig) -> None:
        """Refuse to go on with a configuration that computes something else. Raises UsageError with the list."""
        changed = differences(self.config, config)
        if changed:
            raise UsageError(
                f"--resume {self.run.path}: the run cannot go on with other settings: {'; '.join(changed)}",
                "leave these options out, or start a new run from its weights: --init-from " + str(self.run.path),
            )
        if self.config.data["fingerprint"] != config.data["fingerprint"]:
            warn(f"{config.data['path']} is not the very data set of the run (other files, sizes or times)")


def find_resumable(outdir: str | Path, name: str) -> Resumable | None:
    """The newest run called `name` under `outdir` that has saved a state."""
    runs = [run for run in find_runs(outdir, name) if run.states()]
    return Resumable.open(runs[-1].path) if runs else None


def launch(
    config: TrainingConfig,
    dataset: ImageDataset,
    device: torch.device,
    *,
    outdir: str | Path,
    name: str,
    resume: Resumable | None = None,
    init_from: Model | None = None,
    held_out: ImageDataset | None = None,
    measure: Sequence[Callback] = (),
    group: Group = ALONE,
    on_start: Callback = lambda training: None,
) -> Run:
    """Train to the end and return the run.

    held_out   pictures that D is to score without learning from them, of the size of the others (check_held_out)
    measure    called at each snapshot, once it is written: what appends to metrics.jsonl
    group      the workers that train together; worker 0 writes
    on_start   called by worker 0 once the run's folder is there and nothing is wrong
    """
    run = open_run(outdir, name, resume, group)
    with run.lock():
        with removed_on_failure(run.path if resume is None and group.leads else None):
            if group.leads:
                config.save(run.config_path())
            training = start_training(run, config, dataset, device, resume is not None, held_out, group)
            if init_from is not None:
                players = training.players
                for line in copy_weights([players.G, players.G_ema], players.D, init_from, config.freeze_d):
                    run.log(line)
            if group.leads:
                reports.check_room(training)
        on_tick: list[Callback] = [reports.TickReport(training)]
        on_snapshot: list[Callback] = [reports.check_agreement, *measure]
        if group.leads:
            on_start(training)
            on_tick += [Watchdog()]
            on_snapshot[1:1] = [reports.FakesGrid(training), reports.save_snapshot]
            on_snapshot += [reports.prune_models]
        run.log_quietly(
            f"{'resumed' if resume else 'started'} at {training.progress.nimg / 1000:g} kimg: {config.arch}"
        )
        train(training, on_tick, on_snapshot)
    return run


def open_run(outdir: str | Path, name: str, resume: Resumable | None, group: Group) -> Run:
    """The folder to train in: that of `resume`, else a new one, which worker 0 makes and the others follow."""
    group.wait()  # until all have seen what there is to resume
    path = resume.run.path if resume else create_run(outdir, name).path if group.leads else None
    path = group.from_leader(path)
    assert path is not None
    return Run(path) if group.leads else FollowedRun(path)


@contextlib.contextmanager
def removed_on_failure(folder: Path | None) -> Iterator[None]:
    """A run that could not even start leaves no folder behind."""
    try:
        yield
    except BaseException:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
