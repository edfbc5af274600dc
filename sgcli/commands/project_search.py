"""How `sg project` searches: its settings, where it starts, and the batches one after the other."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from sgcli.commands import classes
from sgcli.commands.project_targets import Targets
from sgcli.errors import Interrupted, UsageError
from sgcli.features.embeddings import Embedding
from sgcli.latents.draw import to_ws
from sgcli.latents.inputs import Inputs
from sgcli.latents.projection import METHODS, SPACES, Method, Projected, Projection, w_statistics
from sgcli.latents.seeds import latents_of_seeds
from sgcli.media.streams import read_latents
from sgcli.models.base import Generator
from sgcli.models.checkpoint import Model
from sgcli.models.fourier_input import movable_input
from sgcli.progress import notice, track

LOG_LENGTH = 300  # about so many steps of a projection are kept for its film
INITS = "mean, uniform, seed:N or a file W.npy"


@dataclass(frozen=True)
class Settings:
    """What the options come to."""

    method: Method
    space: str
    steps: int
    loss: str
    mse_weight: float
    free_inputs: bool
    seed: int
    batch: int


@dataclass(frozen=True)
class Start:
    """Where the search starts: ws `[N, num_ws, W]`, and the standard deviation of w."""

    ws: torch.Tensor
    w_std: float


@dataclass
class Found:
    """What a search came to, on the CPU."""

    projected: Projected  # of all pictures; those that were not begun are where they started
    distances: np.ndarray  # [steps, N] on the way; NaN for steps that were not made
    way: list[torch.Tensor] = field(default_factory=list)  # ws [num_ws, W] of the first picture, now and then
    stopped_by: int = 0  # signal; 0: went to the end

    def log(self) -> np.ndarray:
        """`[steps kept, num_ws, W]`."""
        return torch.stack(self.way or [self.projected.ws[0]]).numpy()


@dataclass
class Stop:
    """Which signal ended some work early; 0: none."""

    signal: int = 0


@contextmanager
def until_stopped() -> Iterator[Stop]:
    """Let Ctrl-C and SIGTERM end what is inside, and tell which did."""
    stop = Stop()
    try:
        yield stop
    except KeyboardInterrupt:
        stop.signal = signal.SIGINT
    except Interrupted as error:
        stop.signal = error.exit_status - 128


def resolve(
    method: str,
    space: str | None,
    steps: int | None,
    loss: str | None,
    mse_weight: float | None,
    free_inputs: bool,
    seed: int,
    batch: int,
) -> Settings:
    """The options with the defaults of the method. Raises UsageError."""
    if method not in METHODS:
        raise UsageError(f"--method {method}: one of {', '.join(METHODS)}", "--method sg2")
    if space not in (None, *SPACES):
        raise UsageError(f"--space {space}: one of {', '.join(SPACES)}", "--space w+")
    if mse_weight is not None and not np.isfinite(mse_weight):
        raise UsageError(f"--mse-weight {mse_weight}: not a number", "--mse-weight 1")
    chosen = METHODS[method]
    return Settings(
        method=chosen,
        space=space or chosen.space,
        steps=steps or chosen.steps,
        loss=loss or chosen.loss,
        mse_weight=chosen.mse_weight if mse_weight is None else mse_weight,
        free_inputs=free_inputs and chosen.free_inputs,
        seed=seed,
        batch=batch,
    )


def fit_to_model(settings: Settings, G: Generator, save_noise: str | None) -> Settings:
    """Settings for a generator that may have nothing but w to find. Raises UsageError where --save-noise cannot be."""
    can_be_free = bool(G.synthesis.noise_layers()) or movable_input(G.synthesis) is not None
    if save_noise is not None and not can_be_free:
        raise UsageError("--save-noise: this generator has neither noise maps nor an input to move", "leave it out")
    if save_noise is not None and not settings.free_inputs:
        raise UsageError(
            "--save-noise: noise maps are left as they are by --freeze-noise and by --method im2sg",
            "leave --save-noise out, or use --method sg2 without --freeze-noise",
        )
    return replace(settings, free_inputs=settings.free_inputs and can_be_free)


def device_of(G: Generator) -> torch.device:
    return next(G.parameters()).device


def starting_point(init: str, model: Model, G: Generator, class_: str | None, count: int, seed: int) -> Start:
    """What --init means, for `count` pictures. Raises UsageError, and FormatError for latents of another model."""
    label = None if class_ is None else classes.label_of(model, class_)
    if label is None and G.c_dim > 0:
        notice(f"--class: none given, w is searched for among all {G.c_dim} classes")
    statistics = w_statistics(G, label)
    if init == "mean":
        ws = statistics.mean[None, None]
    elif init == "uniform":  # for pictures unlike those of the training set (Image2StyleGAN)
        random = torch.Generator().manual_seed(seed)
        ws = torch.rand(1, G.num_ws, G.w_dim, generator=random) * 2 - 1
    elif init.startswith("seed:"):
        ws = _ws_of_seed(init, G, label)
    elif Path(init).suffix == ".npy" or init == "-":
        ws = _read_ws(init, model, G, class_)
    else:
        raise UsageError(f"--init {init}: {INITS}", "--init mean")
    if len(ws) not in (1, count):
        raise UsageError(f"--init {init}: {len(ws)} latents for {count} pictures", "give one for all, or one for each")
    return Start(ws.to(device_of(G)).expand(count, G.num_ws, -1), statistics.std)


def _ws_of_seed(init: str, G: Generator, label: torch.Tensor | None) -> torch.Tensor:
    number = init.removeprefix("seed:")
    if not number.isdecimal() or int(number) >= 2**32:
        raise UsageError(f"--init {init}: a seed is a number from 0 to {2**32 - 1}", "--init seed:5")
    z = torch.from_numpy(latents_of_seeds([int(number)], G.z_dim)).to(device_of(G))
    with torch.no_grad():
        return to_ws(G, z, None if label is None else label.to(z.device))


def _read_ws(init: str, model: Model, G: Generator, class_: str | None) -> torch.Tensor:
    codes = read_latents(init, G.z_dim, G.num_ws, G.w_dim)
    holds_z = any(code.ndim == 2 for code in codes)
    label = classes.label_of(model, class_) if holds_z else None
    with torch.no_grad():
        parts = [torch.from_numpy(code).to(device_of(G)) for code in codes]
        labels = [None if label is None else label.to(device_of(G)).expand(len(part), -1) for part in parts]
        return torch.cat([to_ws(G, part, c) for part, c in zip(parts, labels, strict=True)])


def search(G: Generator, targets: Targets, embed: Embedding, start: Start, settings: Settings) -> Found:
    """Project all pictures, a batch at a time. Ctrl-C and SIGTERM end it early, with the best latents so far."""
    count, steps = len(targets.names), settings.steps
    images = targets.tensor(device_of(G))
    batches = [slice(first, min(first + settings.batch, count)) for first in range(0, count, settings.batch)]
    found = Found(Projected(torch.empty(0), None), np.full((steps, count), np.nan, np.float32))
    results: list[Projected] = []
    current: Projection | None = None

    def begin(rows: slice) -> Projection:
        return Projection(
            G, images[rows], embed, start.ws[rows], start.w_std, settings.method, space=settings.space, steps=steps,
            mse_weight=settings.mse_weight, free_inputs=settings.free_inputs, seed=settings.seed,
        )  # fmt: skip

    def finish(projection: Projection) -> None:
        rows = batches[len(results)]
        if projection.distances:
            found.distances[: projection.done, rows] = torch.stack(projection.distances).cpu()
        results.append(_on_cpu(projection.result()))

    def note() -> str:
        return f"{settings.loss} {current.distances[-1].mean():.4g}" if current else ""

    work = itertools.product(batches, range(steps))
    with until_stopped() as stop:
        for rows, step in track(work, "project", total=len(batches) * steps, unit="steps", note=note):
            current = begin(rows) if step == 0 or current is None else current
            if rows.start == 0 and step % max(1, steps // LOG_LENGTH) == 0:
                found.way.append(current.ws[0].cpu())
            current.step()
            if step == steps - 1:
                finish(current)
                current = None
    found.stopped_by = stop.signal
    if current is not None:
        finish(current)
    for rows in batches[len(results) :]:
        finish(begin(rows))
    inputs = [result.inputs for result in results if result.inputs is not None]
    found.projected = Projected(torch.cat([result.ws for result in results]), Inputs.cat(inputs) if inputs else None)
    found.way.append(found.projected.ws[0])
    return found


def _on_cpu(result: Projected) -> Projected:
    return Projected(result.ws.cpu().clone(), result.inputs and result.inputs.to("cpu"))


def describe_stop(found: Found, while_tuning: bool) -> tuple[str, str]:
    """Message and hint after an interruption."""
    if while_tuning:
        return "interrupted while tuning; the latents and the delta so far were written", "the report was left out"
    made = np.isfinite(found.distances).sum(axis=0)
    begun = int((made > 0).sum())
    pictures = "" if begun == len(made) else f", {begun} of {len(made)} pictures (the others are where they started)"
    return (
        f"interrupted after {made.max(initial=0)} of {len(found.distances)} steps{pictures}; the best were written",
        "go on from them: sg project … --init W.npy",
    )
