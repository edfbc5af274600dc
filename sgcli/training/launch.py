"""From options to a run that trains: new, resumed, or started from another model's weights."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sgcli.data.dataset import ImageDataset
from sgcli.errors import SgError, UsageError
from sgcli.models.checkpoint import Model, kimg_of
from sgcli.progress import notice, warn
from sgcli.training import reports
from sgcli.training.config import TrainingConfig, differences
from sgcli.training.loop import Callback, Training, start_training, train
from sgcli.training.run import Run, create_run, find_runs


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
    on_start: Callback = lambda training: None,
) -> Run:
    """Train to the end and return the run. `on_start` is called once the run's folder is there and nothing is wrong."""
    run = resume.run if resume else create_run(outdir, name)
    with run.lock():
        with removed_on_failure(run.path if resume is None else None):
            config.save(run.config_path())
            training = start_training(run, config, dataset, device, resume=resume is not None)
            if init_from is not None:
                copy_weights(training, init_from)
            reports.check_room(training)
        on_start(training)
        run.log_quietly(
            f"{'resumed' if resume else 'started'} at {training.progress.nimg / 1000:g} kimg: {config.arch}"
        )
        train(
            training,
            on_tick=[reports.TickReport(training)],
            on_snapshot=[reports.FakesGrid(training), reports.save_snapshot],
        )
    return run


@contextlib.contextmanager
def removed_on_failure(folder: Path | None) -> Iterator[None]:
    """A run that could not even start leaves no folder behind."""
    try:
        yield
    except BaseException:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def copy_weights(training: Training, source: Model) -> None:
    """Start G, its average and D from the tensors of `source` of the same name and shape; say how many."""
    players = training.players
    for prefix, network in (("G_ema", players.G), ("G_ema", players.G_ema), ("D", players.D)):
        if prefix not in source.prefixes():
            notice(f"--init-from: {source.path} holds no {prefix}, which starts afresh")
            continue
        copied, total = copy_matching(source.load(prefix), network)
        if network is not players.G_ema:
            notice(f"--init-from: {copied} of {total} tensors of {prefix[0]} copied from {source.path}")


def copy_matching(source: nn.Module, target: nn.Module) -> tuple[int, int]:
    """Copy parameters and buffers of equal name and shape. Returns (copied, all of the target's)."""
    given: Mapping[str, Any] = source.state_dict()
    wanted = target.state_dict()
    fitting = [name for name, tensor in wanted.items() if name in given and given[name].shape == tensor.shape]
    for name in fitting:
        wanted[name].copy_(given[name])
    return len(fitting), len(wanted)
