"""What `sg train` is told, in words that people type: checked, kept in a file, and turned into a data set and a
configuration.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

from sgcli.errors import FormatError, UsageError
from sgcli.files import explain_os_error
from sgcli.progress import notice, warn

if TYPE_CHECKING:
    from sgcli.data.dataset import ImageDataset
    from sgcli.metrics.registry import Request
    from sgcli.training.config import TrainingConfig
    from sgcli.training.launch import Resumable

# Options that say what is trained. They are recorded in config.json, and may come from --config.
SETTINGS = (
    "arch", "kimg", "batch", "batch_gpu", "gamma", "lr", "ema_kimg", "mirror", "cond", "labels", "max_images", "snap",
    "keep_last", "keep_best", "metrics", "metrics_every", "init_from", "freeze_d", "holdout", "tiny", "channels_base",
    "channels_max", "z_dim", "w_dim", "map_depth", "g_connection", "d_connection", "seed", "precision", "aug",
    "aug_pipe", "aug_p", "aug_target", "aug_kimg", "aug_max",
)  # fmt: skip
# Names of the configuration that differ from those of the options.
FIELDS = {"gamma": "r1_gamma", "snap": "snap_kimg", "map_depth": "mapping_layers", "channels_base": "channel_base",
          "channels_max": "channel_max"}  # fmt: skip


def check_settings(settings: dict[str, Any]) -> None:
    """Raise UsageError for words that no option has, and for options that ask for something only together with others:
    what can be known before the data set is looked at, which may take minutes.
    """
    from sgcli.models import registry
    from sgcli.training.config import check_words

    registry.resolve(settings.get("arch", "sg2"))
    check_words(settings)
    check_strength(settings)
    measured_by(settings)
    if settings.get("freeze_d") and "init_from" not in settings:
        raise UsageError(
            f"--freeze-d {settings['freeze_d']}: keeps layers of D as they start, and nothing has trained them",
            f"--init-from MODEL --freeze-d {settings['freeze_d']}",
        )
    holdout = settings.get("holdout")
    if holdout is not None and re.fullmatch(r"0+|-.*|\d*\.\d+", holdout):
        raise UsageError(f"--holdout {holdout}: a number of pictures above 0, or a data set", "--holdout 500")
    if holdout is not None and holdout_count(settings) is None and "://" not in holdout:
        settings["holdout"] = str(Path(holdout).absolute())  # found again when the run is resumed from elsewhere


def check_strength(settings: dict[str, Any]) -> None:
    """Raise UsageError for a strength of augmentation without --aug, and for --aug fixed without a strength.

    With --aug none the others may stand: loops compare it with another.
    """
    aimless = [name for name in settings if name.startswith("aug_")]
    if aimless and "aug" not in settings:
        option = f"--{aimless[0].replace('_', '-')} {settings[aimless[0]]}"
        kind = "fixed" if aimless == ["aug_p"] else "ada"
        raise UsageError(f"{option}: nothing is augmented without --aug", f"--aug {kind} {option}")
    if settings.get("aug") == "fixed" and "aug_p" not in settings:
        raise UsageError("--aug fixed: of which strength? --aug-p is missing", "--aug fixed --aug-p 0.2")


def measured_by(settings: dict[str, Any]) -> list[Request]:
    """What --metrics asks for. Raises UsageError for what is no metric, and where --keep-best wants another."""
    metrics, keep_best = settings.get("metrics"), settings.get("keep_best")
    if metrics is None and keep_best is None:
        return []

    from sgcli.metrics.registry import parse_metrics

    requests = parse_metrics(metrics or "")
    names = [name for request in requests for name in request.result_names()]
    if keep_best is not None and keep_best not in names:
        given = f"--metrics gives {', '.join(names)}" if names else "no --metrics were asked for"
        hint = f"--keep-best {names[0]}" if names else f"--metrics {keep_best} --keep-best {keep_best}"
        raise UsageError(f"--keep-best {keep_best}: {given}", hint)
    return requests


def holdout_count(settings: dict[str, Any]) -> int | None:
    """N of --holdout N; None where a data set was named, or nothing."""
    text = settings.get("holdout") or ""
    return int(text) if text.isdecimal() else None


def open_holdout(data: str, settings: dict[str, Any], dataset: ImageDataset) -> ImageDataset | None:
    """The pictures of --holdout: another data set, or those of `data` that `resolve` leaves out.

    Raises UsageError for pictures that a discriminator of those of `dataset` cannot look at.
    """
    from sgcli.data.dataset import open_dataset, open_held_out
    from sgcli.training.held_out import check_held_out

    labels, count = settings.get("labels", "auto"), holdout_count(settings)
    if count is not None:
        return open_held_out(data, count, labels, settings.get("seed", 0))
    if "holdout" not in settings:
        return None
    held_out = open_dataset(settings["holdout"], labels)
    check_held_out(held_out, dataset, settings.get("cond", False))
    return held_out


def resolve(
    data: str, settings: dict[str, Any], workers: int = 1, choose_sizes: Callable[..., Any] | None = None
) -> tuple[ImageDataset, ImageDataset | None, TrainingConfig]:
    """Open the data set as `settings` want it, and what is held out; fill in everything that they leave open.

    `settings` get numbers in the place of "auto" from choose_sizes(configure, fields), of training.preflight. None: the
    workers will choose, and any number does until then.
    """
    from sgcli.data.dataset import open_dataset
    from sgcli.training.config import resolve_config

    choice = {key: settings[key] for key in ("labels", "max_images", "mirror", "seed") if key in settings}
    dataset = open_dataset(data, **choice, hold_out=holdout_count(settings) or 0)
    if settings.get("cond") and dataset.label_dim == 0:
        raise UsageError(
            f"--cond: {data} has no labels",
            "--cond --labels subfolders, if each folder is a class; see docs/datasets.md",
        )
    if settings.get("max_images", 0) > dataset.num_images:
        warn(f"--max-images {settings['max_images']}: there are {dataset.num_images} to choose from, and all are used")
    held_out = open_holdout(data, settings, dataset)
    kept_apart = ("arch", "tiny", "cond", "labels", "max_images", "mirror", "init_from", "holdout")
    fields = {FIELDS.get(key, key): value for key, value in settings.items() if key not in kept_apart}
    configure = functools.partial(
        resolve_config,
        settings.get("arch", "sg2"),
        {**dataset.describe(), "path": data if "://" in data else str(Path(data).absolute())},
        tiny=settings.get("tiny", False),
        conditional=settings.get("cond", False),
        fine_tuning="init_from" in settings,
        workers=workers,
    )
    if "auto" in (fields.get("batch"), fields.get("batch_gpu")):
        if choose_sizes is None:
            if fields.get("batch_gpu") == "auto":
                fields["batch_gpu"] = None
            if fields.get("batch") == "auto":
                fields["batch"] = workers * (fields.get("batch_gpu") or 4)
        else:
            chosen, lines = choose_sizes(configure, fields)
            sizes = ", ".join(f"--{name.replace('_', '-')} {size}" for name, size in chosen.items())
            notice(f"{sizes}, for the memory that there is ({', '.join(lines)})")
            settings |= chosen
            fields |= chosen
    config = configure(fields)
    config.options = settings
    return dataset, held_out, config


def take_up(config: TrainingConfig, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run that is to go on, changed by those typed now; its batch is not chosen a second time."""
    if settings.get("batch") == "auto":
        settings = {**settings, "batch": config.batch}
    return {**config.options, **settings}


def config_to_resume(going_on: Resumable, resolved: TrainingConfig, settings: dict[str, Any]) -> TrainingConfig:
    """The run's own configuration, with what may change taken from the options typed now."""
    from sgcli.training.config import FREE_ON_RESUME, keep_groups

    keep_groups(going_on.config, resolved)
    going_on.check_same(resolved)
    free = {FIELDS.get(key, key): value for key, value in settings.items() if FIELDS.get(key, key) in FREE_ON_RESUME}
    free["batch_gpu"] = resolved.batch_gpu
    return dataclasses.replace(going_on.config, data=resolved.data, options=resolved.options, **free)


def settings_from_file(path: Path, types: Mapping[str, Any]) -> dict[str, Any]:
    """Options from a JSON file: {"batch": 16, …}, or the config.json of a run, whose options are taken.

    types: annotation of each option. Raises FormatError and UsageError for what is no such file.
    """
    try:
        with explain_os_error(path):
            content = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"--config {path}: is not JSON ({error})", '{"arch": "sg2", "kimg": 500, "gamma": 0.5}'
        ) from error
    content = content.get("options", content) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise FormatError(f"--config {path}: holds a {type(content).__name__}", '{"arch": "sg2", "kimg": 500}')
    settings = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in SETTINGS:
            close = difflib.get_close_matches(name, SETTINGS, n=1) or SETTINGS
            raise UsageError(
                f"--config {path}: '{key}' is not a setting", f"perhaps {close[0]}; sg train --help lists them"
            )
        wanted = [kind for kind in get_args(types[name]) if kind is not NoneType]
        if float in wanted:
            wanted.append(int)
        may_be_auto = name in ("batch", "batch_gpu") and value == "auto"
        if type(value) not in wanted and not may_be_auto:
            wanted_type = wanted[0].__name__
            raise UsageError(f"--config {path}: {key} is {value!r}", f"give {key} a value of type {wanted_type}")
        settings[name] = value
    return settings
