"""What `sg train` is told, in words that people type: checked, kept in a file, and turned into a data set and a
configuration.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

from sgcli.errors import FormatError, UsageError
from sgcli.files import explain_os_error
from sgcli.progress import notice

if TYPE_CHECKING:
    from sgcli.data.dataset import ImageDataset
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
    """Raise UsageError for options that ask for something only together with others."""
    if settings.get("freeze_d") and "init_from" not in settings:
        raise UsageError(
            f"--freeze-d {settings['freeze_d']}: keeps layers of D as they start, and nothing has trained them",
            f"--init-from MODEL --freeze-d {settings['freeze_d']}",
        )
    holdout = settings.get("holdout")
    if holdout is not None and holdout_count(settings) is None and "://" not in holdout:
        settings["holdout"] = str(Path(holdout).absolute())  # found again when the run is resumed from elsewhere
    if holdout is not None and holdout_count(settings) == 0:
        raise UsageError("--holdout 0: at least one picture", "--holdout 500, or leave it out")


def holdout_count(settings: dict[str, Any]) -> int | None:
    """N of --holdout N; None where a data set was named, or nothing."""
    text = settings.get("holdout") or ""
    return int(text) if text.isdecimal() else None


def open_holdout(data: str, settings: dict[str, Any]) -> ImageDataset | None:
    """The pictures of --holdout: another data set, or those of `data` that `resolve` leaves out."""
    from sgcli.data.dataset import open_dataset, open_held_out

    labels, count = settings.get("labels", "auto"), holdout_count(settings)
    if count is not None:
        return open_held_out(data, count, labels, settings.get("seed", 0))
    return open_dataset(settings["holdout"], labels) if "holdout" in settings else None


def resolve(
    data: str, settings: dict[str, Any], workers: int = 1, choose_sizes: Callable[..., Any] | None = None
) -> tuple[ImageDataset, TrainingConfig]:
    """Open the data set as `settings` want it, and fill in everything that they leave open.

    `settings` get numbers in the place of "auto" from choose_sizes(configure, fields), of training.preflight. None: the
    workers will choose, and any number does until then.
    """
    from sgcli.data.dataset import open_dataset
    from sgcli.training.config import resolve_config

    choice = {key: settings[key] for key in ("labels", "max_images", "mirror", "seed") if key in settings}
    dataset = open_dataset(data, **choice, hold_out=holdout_count(settings) or 0)
    if settings.get("cond") and dataset.label_dim == 0:
        raise UsageError(
            f"--cond: {data} has no labels", "add labels to its dataset.json, or sort it: --labels subfolders"
        )
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
    return dataset, config


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
