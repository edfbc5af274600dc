"""Everything that decides a training run, resolved: what `config.json` holds and `--dry-run` prints.

Defaults come from the architecture's row (models.registry), sizes from the data set by the `auto` rules of
StyleGAN2-ADA (spec stylegan2-ada §5.2), and explicit options win.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sgcli.errors import FormatError, UsageError
from sgcli.files import explain_os_error, write_text
from sgcli.models import registry
from sgcli.models.precision import PRECISIONS
from sgcli.training.augment import GROUPS, PRESETS, names_of
from sgcli.training.consistency import MIN_RESOLUTION
from sgcli.training.schedule import scale_growth, value_at
from sgcli.training.transfer import frozen_parameters

AUGMENTATIONS = ("none", "fixed", "ada", "bcr")


@dataclass(kw_only=True)
class TrainingConfig:
    """One training run. Durations are in kimg: thousands of real images shown to the discriminator."""

    arch: str
    data: dict[str, Any]  # data.dataset.ImageDataset.describe()
    G: dict[str, Any]  # constructor arguments and "class"
    D: dict[str, Any]
    loss: str  # a key of training.losses.ADVERSARIAL_LOSSES
    kimg: float  # total length
    batch: int  # images per step, at full resolution
    batch_gpu: int  # images per micro-batch and worker; gradients accumulate over as many as make up the batch
    growing: dict[str, Any] | None = None  # progressive growing (training.schedule.scale_growth); None: none
    g_lr: float
    d_lr: float
    r1_gamma: float
    r1_interval: int  # steps between R1 passes (lazy regularisation); 1: part of every step's loss of D
    pl_weight: float  # 0: no path-length regularisation
    pl_interval: int
    style_mixing_prob: float
    blur_sigma: float = 0.0  # of the Gaussian that blurs what D sees at the start, in pixels; 0: none
    blur_kimg: float = 0.0  # it fades linearly to nothing over this time
    aug: str = "none"  # augmentation of what D sees: one of AUGMENTATIONS
    aug_pipe: str = "bgc"  # a key of training.augment.PRESETS
    aug_p: float = 0.0  # strength; at the start, where it adapts
    aug_target: float = 0.6  # of r_t, where the strength adapts
    aug_kimg: float = 500.0  # the strength adapts by at most 1 in this time
    aug_max: float | None = None  # upper limit of the strength; None: none, as published
    freeze_d: int = 0  # layers of D, counted from the picture, that stay as they started (Freeze-D)
    ema_kimg: float  # half-life of the moving average of G
    ema_rampup: float | None  # the half-life is at most this share of the images seen; None: no ramp
    seed: int
    snap_kimg: float  # spacing of snapshots
    tick_kimg: float  # spacing of lines in stats.jsonl and log.txt
    keep_last: int | None  # snapshots to keep; None: all
    metrics: str | None = None  # what is measured of snapshots (metrics.registry.parse_metrics); None: nothing
    metrics_every: float | None = None  # spacing of what is measured, in kimg; None: every snapshot
    keep_best: str | None = None  # a metric of metrics.jsonl: the snapshot with its best value is kept, too
    precision: str  # one of models.precision.PRECISIONS
    options: dict[str, Any] = dataclasses.field(
        default_factory=dict
    )  # what the user asked for, in the words of `sg train`

    def save(self, path: Path) -> None:
        write_text(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> TrainingConfig:
        """Read a config.json. Raises FormatError if it is not one."""
        try:
            with explain_os_error(path):
                return cls(**json.loads(path.read_text()))
        except (TypeError, ValueError, RecursionError) as error:
            raise FormatError(f"{path}: is not the configuration of a run ({error})") from error

    @property
    def has_lazy_r1(self) -> bool:
        """R1 runs as a phase of its own; its weight and Adam make up for the steps between."""
        return self.r1_gamma > 0 and self.r1_interval > 1

    @property
    def is_wasserstein(self) -> bool:
        """D's outputs are scores on no scale of their own, instead of logits."""
        return self.loss.startswith("wgan")

    @property
    def augments(self) -> bool:
        """What D sees passes through the pipeline of augmentations."""
        return self.aug in ("fixed", "ada")

    @property
    def total_nimg(self) -> int:
        return round(self.kimg * 1000)


# Fields that a resumed run may change: they decide how long, how often and in what portions, not what is computed.
FREE_ON_RESUME = {"batch_gpu", "kimg", "snap_kimg", "keep_last", "keep_best", "metrics", "metrics_every"}
# Fields that follow from these where they are not given, and stay what they were.
DERIVED = {"tick_kimg", "blur_kimg", "growing"}
PUBLISHED_KIMG = 25000.0  # length of the published trainings; what they do at the start shrinks with a shorter one


def resolve_config(
    arch: str,
    data: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    tiny: bool = False,
    conditional: bool = False,
    fine_tuning: bool = False,  # from another model's weights: nothing needs to be eased in
    workers: int = 1,  # that each batch is dealt to
) -> TrainingConfig:
    """Merge the preset `arch`, the sizes of `data` and explicit `options` (fields; None: not given).

    Options may also hold scalings of the networks: channel_base, channel_max, z_dim, w_dim, mapping_layers,
    g_connection, d_connection.
    Raises UsageError for values that cannot work together.
    """
    check_words(options)
    preset = registry.resolve(arch, tiny=tiny)
    given = {name: value for name, value in options.items() if value is not None}
    resolution = data["resolution"]
    _scale_networks(preset, given)
    sizes = {"img_resolution": resolution, "img_channels": data["num_channels"]}
    c_dim = data["label_dim"] if conditional else 0
    preset.G.update(sizes, c_dim=c_dim)
    preset.D.update(sizes, c_dim=c_dim)

    growing = preset.training.pop("growing", None)
    if growing is not None:
        preset.training["batch"] = int(value_at(growing["batch"], resolution))
    batch, batch_gpu = _batch_sizes(preset, given, resolution, workers)
    largest_group = preset.D.get("mbstd_group_size", 4)
    if largest_group is not None:
        preset.D["mbstd_group_size"] = auto_group(batch_gpu, largest_group)
    if "lr" in given:
        given["g_lr"] = given["d_lr"] = given.pop("lr")
    if growing is not None:
        lr = value_at(growing["lr"], resolution)
    else:
        lr = 0.002 if resolution >= 1024 else 0.0025
    defaults = {
        "kimg": float(growing["published_kimg"]) if growing is not None else PUBLISHED_KIMG,
        "g_lr": lr,
        "d_lr": lr,
        "r1_gamma": preset.training.pop("gamma_scale", 0.0002) * resolution**2 / batch,
        "ema_kimg": batch * 10 / 32,
        "ema_rampup": 0.05,
        "seed": 0,
        "snap_kimg": 200.0,
        "keep_last": None,
        "precision": "auto",
    }
    values = {**defaults, **preset.training, **given, "batch": batch, "batch_gpu": batch_gpu}
    values.setdefault("blur_kimg", 200 * batch / 32 * min(values["kimg"] / PUBLISHED_KIMG, 1))
    if growing is not None:
        values["growing"] = scale_growth(growing, resolution, values["kimg"], batch, batch // batch_gpu, values["g_lr"])
    if fine_tuning:
        values.update(growing=None, blur_sigma=0.0, ema_rampup=None)
        values.setdefault("aug_kimg", 100.0)
    values.setdefault("tick_kimg", min(4.0, max(values["kimg"] / 100, values["batch"] / 1000)))
    config = TrainingConfig(arch=preset.name, data=dict(data), G=preset.G, D=preset.D, **values)
    check_augmentation(config)
    check_networks(config)
    return config


def check_words(options: Mapping[str, Any]) -> None:
    """Raise UsageError for options (fields) that take one of several words, and have another."""
    for name, words, usual in (
        ("aug", AUGMENTATIONS, "ada"), ("aug_pipe", PRESETS, "bgc"), ("precision", PRECISIONS, "auto"),
    ):  # fmt: skip
        given, option = options.get(name), f"--{name.replace('_', '-')}"
        if given is not None and given not in words:
            raise UsageError(f"{option} {given}: one of {', '.join(words)}", f"{option} {usual}")


def check_networks(config: TrainingConfig) -> None:
    """Build both networks without memory for their weights. Raises UsageError for sizes or words that make none."""
    try:
        with torch.device("meta"):
            config.G["w_dim"] = registry.build_generator(config.G).w_dim  # without mapping layers: what enters them
            frozen_parameters(registry.build_network(config.D), config.freeze_d)
    except (ValueError, RuntimeError) as error:
        raise UsageError(f"these settings make no network: {error}", "sg train --help tells what they mean") from error


def check_augmentation(config: TrainingConfig) -> None:
    """Raise UsageError for a strength above its limit, and for pictures that cannot be augmented as asked."""
    if config.aug_max is not None and config.aug_p > config.aug_max:
        raise UsageError(f"--aug-p {config.aug_p:g}: above --aug-max {config.aug_max:g}", f"--aug-p {config.aug_max:g}")
    if config.aug == "ada" and config.is_wasserstein:
        raise UsageError(
            f"--aug ada: goes by the sign of D's outputs, which means nothing with {config.arch}'s loss, {config.loss}",
            "--aug fixed --aug-p 0.2, or another --arch",
        )
    has_color = bool({*names_of(config.aug_pipe)} & {*GROUPS["color"]})
    if config.augments and has_color and config.G["img_channels"] not in (1, 3):
        channels = config.G["img_channels"]
        raise UsageError(
            f"--aug-pipe {config.aug_pipe}: colours are changed in 1 or 3 channels, not {channels}", "--aug-pipe bg"
        )
    resolution = config.G["img_resolution"]
    if config.aug == "bcr" and resolution < MIN_RESOLUTION:
        raise UsageError(
            f"--aug bcr: moves pictures by 1/{MIN_RESOLUTION} of their width, less than a pixel at {resolution}²",
            "--aug ada",
        )


def auto_batch(resolution: int) -> int:
    """Images per step: 32 up to 128², down to 4 at 1024² (spec §5.2, row a, one GPU)."""
    return max(min(4096 // resolution, 32), 1)


def auto_group(batch: int, largest: int = 4) -> int:
    """Minibatch-stddev group: the largest number up to `largest` that divides the micro-batch."""
    return next(group for group in range(largest, 0, -1) if batch % group == 0)


def _batch_sizes(preset: registry.Preset, given: Mapping[str, Any], resolution: int, workers: int) -> tuple[int, int]:
    """(batch, micro-batch of a worker). A batch that the architecture prescribes is split where it is large, a typed
    one is not. Raises UsageError where they do not divide each other.
    """
    usual = auto_batch(resolution)
    batch = given.get("batch", preset.training.get("batch", usual))
    if batch % workers:
        fitting = max(round(batch / workers), 1) * workers
        raise UsageError(f"--batch {batch} cannot be dealt to {workers} workers", f"--batch {fitting}")
    share = batch // workers
    batch_gpu = given.get("batch_gpu", share if "batch" in given else min(share, usual))
    if share % batch_gpu:
        of_each = f", of which each of {workers} workers has {share}" if workers > 1 else ""
        raise UsageError(f"--batch-gpu {batch_gpu} does not divide --batch {batch}{of_each}", f"--batch-gpu {share}")
    return batch, batch_gpu


def _scale_networks(preset: registry.Preset, given: dict[str, Any]) -> None:
    """Move the options that belong to the networks' constructors from `given` into the preset."""
    for name in ("z_dim", "w_dim", "mapping_layers"):
        if name in given:
            preset.G[name] = given.pop(name)
    for name in ("channel_base", "channel_max"):
        if name in given:
            preset.G[name] = preset.D[name] = given.pop(name)
    for option, network in (("g_connection", preset.G), ("d_connection", preset.D)):
        if option in given:
            if "architecture" not in network:
                hint = "leave it out, or choose a StyleGAN2: --arch sg2"
                raise UsageError(f"--{option.replace('_', '-')}: {preset.name} has one way to connect its blocks", hint)
            network["architecture"] = given.pop(option)


def keep_groups(old: TrainingConfig, new: TrainingConfig) -> None:
    """Let `new` have the minibatch-stddev groups of the run that it is to go on with: they are part of what D sees.

    Raises UsageError where its micro-batches cannot be split into them.
    """
    group = old.D.get("mbstd_group_size")
    if group is None:
        return
    if new.batch_gpu % group:
        raise UsageError(
            f"the run's discriminator compares groups of {group} pictures, micro-batches of {new.batch_gpu} hold none",
            f"--batch-gpu {group}, or fewer workers",
        )
    new.D["mbstd_group_size"] = group


def differences(old: TrainingConfig, new: TrainingConfig) -> list[str]:
    """What keeps a run from being resumed with `new`: lines such as 'r1_gamma: 0.4 in the run, 0.5 now'."""
    before, now = dataclasses.asdict(old), dataclasses.asdict(new)
    before["data"], now["data"] = _identity(old.data), _identity(new.data)
    lines = []
    for name in before:
        if name in FREE_ON_RESUME | DERIVED | {"options"} or before[name] == now[name]:
            continue
        if isinstance(before[name], dict):
            keys = [key for key in {**before[name], **now[name]} if before[name].get(key) != now[name].get(key)]
            lines += [f"{name}.{key}: {before[name].get(key)} in the run, {now[name].get(key)} now" for key in keys]
        else:
            lines.append(f"{name}: {before[name]} in the run, {now[name]} now")
    return lines


def _identity(data: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a data set's description that must not change; where it lies, and when it was written, may."""
    return {key: value for key, value in data.items() if key not in ("path", "name", "fingerprint")}
