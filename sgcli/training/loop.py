"""The training loop, in the order in which things happen."""

from __future__ import annotations

import copy
import resource
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from sgcli.data.dataset import ImageDataset
from sgcli.distributed.group import ALONE, Group
from sgcli.errors import Interrupted
from sgcli.models.growing import fade_pictures, lod_of
from sgcli.models.memory import place
from sgcli.models.precision import set_precision
from sgcli.models.registry import build_generator, build_network
from sgcli.progress import LiveLine, format_seconds
from sgcli.training.ada import make_strength
from sgcli.training.batches import Batches
from sgcli.training.config import TrainingConfig
from sgcli.training.ema import ema_decay, update_ema
from sgcli.training.held_out import HeldOut
from sgcli.training.phases import MicroBatch, Phase, Players, make_optimizer, make_phases
from sgcli.training.randomness import draw_latents
from sgcli.training.retry import run_within_memory
from sgcli.training.run import Run
from sgcli.training.schedule import Schedule, Stage, describe_level
from sgcli.training.state import Progress, load_state
from sgcli.training.stats import Stats
from sgcli.training.watchdog import check_finite

SHORT_KIMG = 10  # the progress of runs shorter than that is shown to the picture


@dataclass
class Training:
    """A run in progress, as callbacks see it."""

    run: Run
    config: TrainingConfig
    dataset: ImageDataset
    players: Players
    progress: Progress
    device: torch.device
    schedule: Schedule
    held_out: ImageDataset | None = None  # scored by D, and not learned from
    stats: Stats = field(default_factory=Stats)
    tick: dict[str, dict[str, Any]] = field(default_factory=dict)  # the numbers of the last tick


Callback = Callable[[Training], None]


def start_training(
    run: Run,
    config: TrainingConfig,
    dataset: ImageDataset,
    device: torch.device,
    resume: bool = False,
    held_out: ImageDataset | None = None,
    group: Group = ALONE,
) -> Training:
    """Build the players from the config, or from the newest state of the run."""
    players = make_players(config, device, group)
    progress = Progress()
    if resume:
        progress = load_state(run.states()[-1], players)
        run.forget_stats_after(progress.nimg)
    return Training(run, config, dataset, players, progress, device, Schedule(config), held_out)


def make_players(config: TrainingConfig, device: torch.device, group: Group = ALONE) -> Players:
    """Networks initialised from config.seed, and their optimisers."""
    torch.manual_seed(config.seed)
    G = build_generator(config.G).requires_grad_(False)
    D = build_network(config.D).requires_grad_(False)
    for network in (G, D):
        place(network, device)
        set_precision(network, config.precision)
    for module in G.modules():
        if hasattr(module, "group"):  # it keeps running means over the batch
            module.group = group  # type: ignore[assignment]
    return Players(
        G,
        D,
        G_ema=copy.deepcopy(G).eval(),
        pl_mean=torch.zeros([], device=device),
        opt_G=make_optimizer(G, config.g_lr, config.pl_interval if config.pl_weight > 0 else None),
        opt_D=make_optimizer(D, config.d_lr, config.r1_interval if config.has_lazy_r1 else None),
        augment=make_strength(config),
        group=group,
    )


def train(training: Training, on_tick: Sequence[Callback] = (), on_snapshot: Sequence[Callback] = ()) -> None:
    """Train until config.kimg. Snapshots are taken at the start, every snap_kimg, at the end, and on SIGINT or SIGTERM.

    Raises Interrupted after a signal, when everything has been saved; SgError when the losses are no numbers any more.
    """
    config, progress, players = training.config, training.progress, training.players
    group = players.group
    phases = make_phases(config, players, training.stats)
    batches = Batches(
        training.dataset, lambda nimg: training.schedule.at(nimg).batch, config.seed, training.device, group
    )
    held_out = HeldOut(training, training.held_out) if training.held_out is not None else None
    live = LiveLine()
    if progress.nimg == 0:
        players.enter(training.schedule.at(0))
        call(on_snapshot, training)
    stopped = 0  # by this signal
    with StopSignal() as stop:
        try:
            while progress.nimg < config.total_nimg and not stopped:
                started = time.monotonic()
                stage = training.schedule.at(progress.nimg)
                train_step(training, stage, phases, batches)
                if held_out is not None:
                    held_out.observe(progress.step, progress.nimg, stage)
                progress.seconds += time.monotonic() - started

                live.show(lambda: describe_progress(training))
                stopped = group.largest(stop.number)  # a signal to one worker stops all of them at the same step
                ends = progress.nimg >= config.total_nimg or bool(stopped)
                ticks = ends or progress.nimg >= progress.tick_nimg + config.tick_kimg * 1000
                snaps = ends or crossed(progress.nimg, stage.batch, config.snap_kimg)
                if ticks or snaps:
                    live.clear()
                    check_finite(training)
                if ticks:
                    call(on_tick, training)
                    progress.tick_nimg = progress.nimg
                if snaps:
                    call(on_snapshot, training)
        finally:
            live.clear()
            batches.close()
            if held_out is not None:
                held_out.close()
    if stopped:
        raise Interrupted(
            stopped,
            f"interrupted at {progress.nimg / 1000:g} kimg, everything is saved",
            f"sg train --resume {training.run.path}",
        )


def train_step(training: Training, stage: Stage, phases: Sequence[Phase], batches: Batches) -> None:
    """One batch of reals through every phase that is due, then the moving average of G."""
    config, progress, players = training.config, training.progress, training.players
    players.enter(stage)
    players.group.at("reading pictures")
    reals, labels = batches.at(progress.nimg)
    reals = fade_pictures(reals, stage.lod)
    if players.G.c_dim == 0:
        labels = labels[:, :0]
    for phase in phases:
        if progress.step % phase.interval == 0:
            run_within_memory(training, phase, partial(split_batch, training, phase, reals, labels, batches))
    players.augment.adjust(progress.step, stage.batch, players.group)
    progress.nimg += stage.batch
    progress.step += 1
    decay = ema_decay(stage.batch, progress.nimg, config.ema_kimg, config.ema_rampup)
    update_ema(players.G_ema, players.G, decay)


def split_batch(
    training: Training, phase: Phase, reals: torch.Tensor, labels: torch.Tensor, batches: Batches
) -> list[MicroBatch]:
    """The micro-batches of one phase, with latents of its own."""
    config, progress, players = training.config, training.progress, training.players
    stage = training.schedule.at(progress.nimg)
    fake_labels = batches.fake_labels(phase.name, progress.nimg) if players.G.c_dim > 0 else labels
    latents = draw_latents(
        seed=config.seed,
        purpose=phase.name,
        first=progress.nimg,
        batch=stage.batch,
        z_dim=players.G.z_dim,
        num_ws=players.G.synthesis.num_active_ws,
        style_mixing_prob=config.style_mixing_prob,
        labels=fake_labels,
        group=players.group,
    )
    parts = [slice(start, start + stage.batch_gpu) for start in range(0, len(reals), stage.batch_gpu)]
    return [MicroBatch(reals[part], labels[part], latents.part(part.start, part.stop), progress.nimg) for part in parts]


def crossed(nimg: int, batch: int, spacing_kimg: float) -> bool:
    """True on the first step at or after each multiple of the spacing."""
    spacing = spacing_kimg * 1000
    return nimg // spacing > (nimg - batch) // spacing


def call(callbacks: Sequence[Callback], training: Training) -> None:
    for callback in callbacks:
        callback(training)


def describe_progress(training: Training) -> str:
    """'12.3/50 kimg · G 1.31 · D 0.98 · r_t 0.55 · p 0.120 · 4.2 s/kimg · 2m41s left', for the live line."""
    latest = training.stats.latest
    config, progress = training.config, training.progress
    rate = progress.seconds / max(progress.nimg / 1000, 1e-9)
    left = format_seconds(rate * (config.total_nimg - progress.nimg) / 1000)
    level = f"{describe_level(lod_of(training.players.G), config.G['img_resolution'])} · " if config.growing else ""
    losses = f"G {latest('Loss/G/loss'):.2f} · D {latest('Loss/D/loss'):.2f} · r_t {latest('Loss/signs/real'):.2f}"
    losses += f" · p {training.players.augment.p:.3f}" if config.augments else ""
    done = format_kimg(progress.nimg, config)
    return f"{done}/{config.kimg:g} kimg · {level}{losses} · {rate:.3g} s/kimg · {left} left"


def format_kimg(nimg: int, config: TrainingConfig) -> str:
    """12345 pictures of a long run -> '12.3'; 128 of a short one -> '0.128', so that something is seen to move."""
    return f"{nimg / 1000:.{1 if config.kimg >= SHORT_KIMG else 3}f}"


def peak_memory_gb(device: torch.device) -> float:
    """Peak memory so far: of the device's allocator on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class StopSignal:
    """Remembers the first SIGINT or SIGTERM, so that the step under way can finish; a second one interrupts at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.number = 0

    def __enter__(self) -> StopSignal:
        self._previous = {number: signal.signal(number, self._remember) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _remember(self, number: int, _frame: object) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
