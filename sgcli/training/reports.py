"""Callbacks of the loop: the line of numbers at each tick, and what a snapshot writes."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path

import numpy as np
import torch

from sgcli.errors import SgError
from sgcli.files import check_writable_folder
from sgcli.latents.seeds import latents_of_seeds
from sgcli.media.grid import make_grid
from sgcli.media.pictures import to_uint8, write_png
from sgcli.models.checkpoint import save_model
from sgcli.models.growing import lod_of
from sgcli.progress import format_seconds
from sgcli.training.config import TrainingConfig
from sgcli.training.held_out import overfitting
from sgcli.training.loop import Training, format_kimg, peak_memory_gb
from sgcli.training.run import Run
from sgcli.training.schedule import describe_level
from sgcli.training.state import prune, save_state

STATES_KEPT = 2


class TickReport:
    """Writes one line of stats.jsonl and one of log.txt per tick."""

    def __init__(self, training: Training) -> None:
        self.nimg, self.seconds = training.progress.nimg, training.progress.seconds  # at the last tick

    def __call__(self, training: Training) -> None:
        config, progress = training.config, training.progress
        sec_per_kimg = (progress.seconds - self.seconds) / max((progress.nimg - self.nimg) / 1000, 1e-9)
        self.nimg, self.seconds = progress.nimg, progress.seconds
        numbers = training.stats.flush(training.players.group)
        lod = lod_of(training.players.G)
        numbers["Progress/kimg"] = single(progress.nimg / 1000)
        numbers["Progress/lod"] = single(lod)
        numbers["Progress/augment"] = single(training.players.augment.p)
        numbers["Progress/r_t"] = single(mean_of(numbers, "Loss/signs/real"))
        scores = [mean_of(numbers, f"Loss/scores/{which}") for which in ("real", "held_out", "fake")]
        if (r_v := overfitting(*scores)) is not None:
            numbers["Progress/r_v"] = single(r_v)
        training.tick = numbers
        numbers["Timing/sec_per_kimg"] = single(sec_per_kimg)
        numbers["Timing/total_sec"] = single(progress.seconds)
        numbers["Resources/peak_mem_gb"] = single(peak_memory_gb(training.device))
        training.run.append_stats({**numbers, "Progress/nimg": progress.nimg, "timestamp": time.time()})
        left = format_seconds(progress.seconds / progress.nimg * (config.total_nimg - progress.nimg))
        columns = [
            f"kimg {format_kimg(progress.nimg, config):>8}",
            *([describe_level(lod, config.G["img_resolution"])] if config.growing else []),
            f"G {shown(numbers, 'Loss/G/loss', '6.3f')}",
            f"D {shown(numbers, 'Loss/D/loss', '6.3f')}",
            *([f"r1 {shown(numbers, 'Loss/r1_penalty', '7.4f')}"] if config.r1_gamma > 0 else []),
            *([f"gp {shown(numbers, 'Loss/gradient_penalty', '7.4f')}"] if config.loss == "wgan-gp" else []),
            *([f"pl {shown(numbers, 'Loss/pl_penalty', '7.4f')}"] if config.pl_weight > 0 else []),
            f"r_t {shown(numbers, 'Progress/r_t', '5.2f')}",
            *([f"r_v {shown(numbers, 'Progress/r_v', '5.2f')}"] if training.held_out is not None else []),
            *([f"p {training.players.augment.p:5.3f}"] if config.augments else []),
            f"{sec_per_kimg:7.2f} s/kimg",
            f"{left} left",
        ]
        training.run.log("  ".join(columns))


def single(value: float) -> dict[str, float]:
    return {"num": 1, "mean": value, "std": 0.0}


def shown(numbers: dict, name: str, form: str) -> str:
    """A mean for the log, as wide as ever; a dash where this tick is too short to have one."""
    return f"{numbers[name]['mean']:{form}}" if name in numbers else "–".rjust(int(form[0]))


def mean_of(numbers: dict, name: str) -> float:
    return numbers[name]["mean"] if name in numbers else float("nan")


def check_agreement(training: Training) -> None:
    """Raise SgError where the workers' networks are not the same any more: a fault of memory, network or library."""
    group, players = training.players.group, training.players
    tensors = [*players.G.state_dict().values(), *players.D.state_dict().values()]
    sums = torch.stack([tensor.double().sum() for tensor in tensors])
    everyone = group.collect_rows(sums[None], group.world)
    if not (everyone == everyone[0]).all():
        raise SgError(
            f"the networks of the {group.world} workers differ at {training.progress.nimg / 1000:g} kimg",
            f"sg train --resume {training.run.path} goes on from the newest snapshot; sg doctor looks at the machine",
        )


def save_snapshot(training: Training) -> None:
    """A model file and the state to go on from, both whole or not at all."""
    run, players, progress = training.run, training.players, training.progress
    networks = {"G_ema": players.G_ema, "G": players.G, "D": players.D}
    save_model(run.model_path(progress.nimg), networks, model_header(training))
    save_state(run.state_path(progress.nimg), players, progress)
    prune(run.states(), STATES_KEPT)


def prune_models(training: Training) -> None:
    """Keep the newest models and the best one, as the configuration says, and no others."""
    config, run = training.config, training.run
    best = best_model(run, config) if config.keep_best else None
    keep = config.keep_last or (1 if config.keep_best else None)
    newest = run.models()[-1]
    prune([path for path in run.models() if path != best or path == newest], keep)


def best_model(run: Run, config: TrainingConfig) -> Path | None:
    """The model of the run with the best value of config.keep_best in metrics.jsonl; None where none was measured."""
    from sgcli.metrics.registry import parse_metrics  # with all metrics behind it, which most trainings do not need

    measured = {run.model_path(round(line["kimg"] * 1000)): line["value"] for line in run.metrics(config.keep_best)}
    values = {path: value for path, value in measured.items() if path.exists() and math.isfinite(value)}
    if not values:
        return None
    request = next(one for one in parse_metrics(config.metrics or "") if config.keep_best in one.result_names())
    return (max if request.metric.higher_is_better else min)(values, key=lambda path: values[path])


def model_header(training: Training) -> dict:
    config = training.config
    return {
        "arch": config.arch,
        "networks": {"G": config.G, "D": config.D},
        "kimg": training.progress.nimg / 1000,
        "class_names": config.data.get("class_names"),
        "data": {
            key: value for key, value in config.data.items() if key != "path"
        },  # folders of this machine stay here
        "license_note": "weights trained by the user of sg; they are the user's own",
    }


class FakesGrid:
    """Writes reals.png once and fakes-<kimg>.png at each snapshot, always of the same seeds."""

    def __init__(self, training: Training):
        self.columns, self.rows = grid_shape(training.config.G["img_resolution"])
        count = self.columns * self.rows
        z = torch.from_numpy(latents_of_seeds(range(count), training.players.G.z_dim))
        picks = np.random.default_rng(0).permutation(training.dataset.num_at_hand)[:count]
        picks = np.resize(picks, count)
        if training.dataset.label_dim:
            picks = picks[np.argsort(training.dataset.labels(picks).argmax(axis=1), kind="stable")]
        self.z = z.to(training.device)
        self.c = torch.from_numpy(training.dataset.labels(picks)).to(training.device)[:, : training.players.G.c_dim]
        if training.progress.nimg == 0:
            write_png(
                training.run.path / "reals.png", make_grid(training.dataset.images(picks), self.columns, self.rows)
            )

    @torch.no_grad()
    def __call__(self, training: Training) -> None:
        G, batch = training.players.G_ema, training.config.batch_gpu
        parts = zip(self.z.split(batch), self.c.split(batch), strict=True)
        fakes = torch.cat([to_uint8(G(z, c, noise="const")) for z, c in parts]).cpu().numpy()
        write_png(training.run.fakes_path(training.progress.nimg), make_grid(fakes, self.columns, self.rows))


def grid_shape(resolution: int) -> tuple[int, int]:
    """Columns and rows of a grid about 1024x640 pixels large: 16x10 up to 64², 8x5 at 128², 4x3 from 256² on."""
    return int(np.clip(1024 // resolution, 4, 16)), int(np.clip(640 // resolution, 3, 10))


def check_room(training: Training) -> None:
    """Find an unwritable folder or a full disk before training starts. Raises SgError."""
    check_writable_folder(training.run.path / "state")
    need = snapshot_bytes(training)
    free = shutil.disk_usage(training.run.path).free
    if free < need:
        raise SgError(
            f"{training.run.path}: {free / 1e9:.2g} GB free, one snapshot takes {need / 1e9:.2g} GB",
            "free some space, or choose another --outdir",
        )


def snapshot_bytes(training: Training) -> int:
    """Bytes of one model and three states (two kept, one being written)."""
    players = training.players
    size = {name: sum(t.numel() * t.element_size() for t in network.state_dict().values())
            for name, network in (("G", players.G), ("D", players.D))}  # fmt: skip
    model = 2 * size["G"] + size["D"]
    state = model + 2 * (size["G"] + size["D"])
    return model + 3 * state
