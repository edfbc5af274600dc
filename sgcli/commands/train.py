"""`sg train`: options to a configuration, and a run that trains it."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from sgcli.commands import options
from sgcli.commands.train_settings import (
    SETTINGS,
    check_settings,
    config_to_resume,
    measured_by,
    resolve,
    settings_from_file,
    take_up,
)
from sgcli.errors import UsageError
from sgcli.progress import notice

if TYPE_CHECKING:
    from sgcli.training.config import TrainingConfig
    from sgcli.training.loop import Training

NETWORKS, AUGMENTATION, EXPERIMENTS = "Networks", "Augmentation", "Experiments"


def parse_kimg(text: str) -> float:
    """'200' or '200kimg' -> 200.0."""
    try:
        value = float(text.removesuffix("kimg"))
    except ValueError:
        value = 0.0
    if not value > 0:
        raise UsageError(f"--metrics-every {text}: a number of kimg above 0", "--metrics-every 200kimg")
    return value


def train(
    context: typer.Context,
    data: Annotated[str | None, typer.Argument(help="A folder, zip, tar, URL or 'pattern' of square pictures.")] = None,
    arch: Annotated[str | None, typer.Option(help="Architecture; `sg arch` lists them. Default: sg2.")] = None,
    kimg: Annotated[float | None, typer.Option(min=0, help="Length, in thousands of real pictures shown.")] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            metavar="N|auto",
            parser=options.parse_size,
            help="Pictures per step, at full resolution. Default: by resolution.",
        ),
    ] = None,
    batch_gpu: Annotated[
        int | None,
        typer.Option(
            metavar="N|auto",
            parser=options.parse_size,
            help="Pictures per worker and micro-batch; auto: as many as fit into memory.",
        ),
    ] = None,
    gamma: Annotated[
        float | None, typer.Option(min=0, help="R1 weight. Default: 0.0002 r² / batch for sg2; others: their own.")
    ] = None,
    lr: Annotated[float | None, typer.Option(min=0, help="Learning rate of G and D.")] = None,
    ema_kimg: Annotated[float | None, typer.Option(min=0, help="Half-life of the moving average of G.")] = None,
    mirror: Annotated[bool | None, typer.Option("--mirror", help="Also show every picture mirrored.")] = None,
    cond: Annotated[
        bool | None, typer.Option("--cond", help="Train a class-conditional model from the labels.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="auto|json|subfolders|none", help="Where labels come from.")
    ] = None,
    max_images: Annotated[int | None, typer.Option(min=1, help="Use a fixed random subset of the data.")] = None,
    holdout: Annotated[
        str | None,
        typer.Option(metavar="DATA|N", help="Let D score pictures it does not learn from: a data set, or N of DATA."),
    ] = None,
    aug: Annotated[
        str | None,
        typer.Option(metavar="none|fixed|ada|bcr", rich_help_panel=AUGMENTATION, help="Augment what D sees."),
    ] = None,
    aug_pipe: Annotated[
        str | None,
        typer.Option(metavar="bgc|blit|…", rich_help_panel=AUGMENTATION, help="Which transforms. Default: bgc."),
    ] = None,
    aug_p: Annotated[
        float | None, typer.Option(min=0, rich_help_panel=AUGMENTATION, help="Strength; with ada, at the start.")
    ] = None,
    aug_target: Annotated[
        float | None,
        typer.Option(min=-1, max=1, rich_help_panel=AUGMENTATION, help="r_t that ada steers to. Default: 0.6."),
    ] = None,
    aug_kimg: Annotated[
        float | None,
        typer.Option(min=0.001, rich_help_panel=AUGMENTATION, help="Time for p to move by 1. Default: 500."),
    ] = None,
    aug_max: Annotated[
        float | None, typer.Option(min=0, rich_help_panel=AUGMENTATION, help="Upper limit of p. Default: none.")
    ] = None,
    snap: Annotated[float | None, typer.Option(min=0.001, help="Spacing of snapshots, in kimg. Default: 200.")] = None,
    keep_last: Annotated[int | None, typer.Option(min=1, help="Keep only the newest K models. Default: all.")] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="swd,fid1k,…", help="Measure snapshots; results go to metrics.jsonl.")
    ] = None,
    metrics_every: Annotated[
        float | None,
        typer.Option(parser=parse_kimg, metavar="KIMG", help="Least spacing of measurements. Default: each snapshot."),
    ] = None,
    keep_best: Annotated[
        str | None,
        typer.Option(metavar="METRIC", help="Keep the model that is best by one of --metrics, and the newest K (1)."),
    ] = None,
    tiny: Annotated[
        bool | None, typer.Option("--tiny", help="Narrow networks for a CPU.", rich_help_panel=NETWORKS)
    ] = None,
    channels_base: Annotated[
        int | None, typer.Option(min=8, rich_help_panel=NETWORKS, help="Channels x resolution.")
    ] = None,
    channels_max: Annotated[int | None, typer.Option(min=1, rich_help_panel=NETWORKS, help="Most channels.")] = None,
    z_dim: Annotated[int | None, typer.Option(min=1, rich_help_panel=NETWORKS, help="Width of Z.")] = None,
    w_dim: Annotated[int | None, typer.Option(min=1, rich_help_panel=NETWORKS, help="Width of W.")] = None,
    map_depth: Annotated[int | None, typer.Option(min=0, rich_help_panel=NETWORKS, help="Mapping layers.")] = None,
    g_connection: Annotated[
        str | None, typer.Option(metavar="orig|skip|resnet", rich_help_panel=NETWORKS, help="How G's blocks connect.")
    ] = None,
    d_connection: Annotated[
        str | None, typer.Option(metavar="orig|skip|resnet", rich_help_panel=NETWORKS, help="How D's blocks connect.")
    ] = None,
    outdir: Annotated[Path, typer.Option(rich_help_panel=EXPERIMENTS, help="Where runs go.")] = Path("runs"),
    name: Annotated[str | None, typer.Option(rich_help_panel=EXPERIMENTS, help="Name of the run.")] = None,
    config: Annotated[
        Path | None, typer.Option(rich_help_panel=EXPERIMENTS, help="JSON file of options; those typed here win.")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|auto",
            rich_help_panel=EXPERIMENTS,
            help="Go on with a run; auto: the newest of this name, if any.",
        ),
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(metavar="MODEL", rich_help_panel=EXPERIMENTS, help="Start from the weights of a model that fit."),
    ] = None,
    freeze_d: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            rich_help_panel=EXPERIMENTS,
            help="With --init-from: D's first N layers stay as they are.",
        ),
    ] = None,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing", rich_help_panel=EXPERIMENTS, help="Do nothing if a run of this name is finished."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", rich_help_panel=EXPERIMENTS, help="Print the configuration and what it will cost."),
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random. Default: 0.")] = None,
    procs: options.Procs = 1,
    device: options.Device = "auto",
    precision: Annotated[
        str | None, typer.Option(metavar="fp32|bf16|fp16|auto", help="Number type of the networks.")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a model; the run's folder is printed on stdout.

    sg train faces.zip --arch sg2 --tiny --kimg 500

    sg train --resume runs/00000-sg2-faces

    for g in 0.5 2 8; do sg train faces.zip --gamma $g --kimg 500 --name gamma-$g --skip-existing; done
    """
    typed = {key: value for key, value in context.params.items() if key in SETTINGS and value is not None}
    settings = {**(settings_from_file(config, get_type_hints(train)) if config else {}), **typed}

    from sgcli.data.faults import dataset_name
    from sgcli.distributed.workers import is_worker, run_workers
    from sgcli.models.checkpoint import open_model
    from sgcli.training.launch import Resumable, find_resumable, launch
    from sgcli.training.transfer import plan_copy

    group = options.join_group(device)
    workers = group.world if is_worker() else procs

    def choose_sizes(configure: Any, fields: Any) -> Any:
        from sgcli.training import preflight

        on_this_machine = int(os.environ.get("LOCAL_WORLD_SIZE", workers))
        where = options.resolve_device(device)
        return preflight.choose_sizes(configure, fields, where, group, workers, on_this_machine)

    going_on = Resumable.open(resume) if resume not in (None, "auto") else None
    if going_on is not None:
        data = data or going_on.config.data["path"]
    if data is None:
        hint = "sg train faces.zip, or invent some: sg data synth faces.zip"
        raise UsageError("DATA is missing: a folder or zip of pictures", hint)
    if going_on is not None:
        settings = take_up(going_on.config, settings)
    name = name or f"{settings.get('arch', 'sg2')}-{dataset_name(data)}"
    if resume == "auto" and (going_on := find_resumable(outdir, name)) is not None:
        settings = take_up(going_on.config, settings)
    check_settings(settings)
    source = open_model(settings["init_from"]) if "init_from" in settings and going_on is None else None
    workers_choose = procs > 1 and not is_worker() and not dry_run
    dataset, held_out, resolved = resolve(data, settings, workers, None if workers_choose else choose_sizes)
    if going_on is not None:
        resolved = config_to_resume(going_on, resolved, settings)

    earlier = find_resumable(outdir, name) if skip_existing else going_on
    if earlier is not None and earlier.is_finished() and earlier.config.kimg >= resolved.kimg:
        notice(f"{earlier.run.path}: finished at {earlier.config.kimg:g} kimg, nothing to do")
        print(earlier.run.path)
        return
    if dry_run:
        for line in plan_copy(resolved, source) if source else ():
            notice(line)
        print_plan(resolved, options.resolve_device(device))
        return
    measure = []
    if requests := measured_by(settings):
        from sgcli.training.measuring import Measuring

        measure = [Measuring(requests, resolved.metrics_every, options.resolve_device(device))]
    if procs > 1 and not is_worker():
        options.prepare_workers(device, procs)
        run_workers(procs, context.find_root().obj)
        return
    launch(
        resolved,
        dataset,
        options.resolve_device(device),
        outdir=outdir,
        name=name,
        resume=going_on,
        init_from=source,
        held_out=held_out,
        measure=measure,
        group=group,
        on_start=announce,
    )
    group.close()


def announce(training: Training) -> None:
    """Print the run's folder, the only output, and say on stderr what is about to happen."""
    introduce(training)
    print(training.run.path, flush=True)


def introduce(training: Training) -> None:
    """One line on stderr: what is trained on what, for how long."""
    config = training.config
    if config.r1_gamma == 0:
        gamma = "no R1"
    else:
        gamma = f"gamma {config.r1_gamma:g}"
        if "gamma" not in config.options:
            gamma += f" ({config.r1_gamma * config.batch / config.data['resolution'] ** 2:.2g} r² / batch)"
    growing = f", growing from {config.growing['initial_resolution']}²" if config.growing else ""
    notice(
        f"{config.arch} on {config.data['name']}: {len(training.dataset)} pictures of {config.data['resolution']}², "
        f"{config.kimg:g} kimg{growing}, batch {config.batch}, {gamma}, on {training.device}"
    )


def print_plan(config: TrainingConfig, device: Any) -> None:
    """--dry-run: a table on a terminal, one JSON object elsewhere."""
    from sgcli.training.estimate import estimate

    cost = dataclasses.asdict(estimate(config, device))
    plan = dataclasses.asdict(config)
    if not sys.stdout.isatty():
        print(json.dumps({"config": plan, "estimate": cost}))
        return
    print(json.dumps(plan, indent=2))
    print(f"parameters  G {cost['g_parameters']:,}, D {cost['d_parameters']:,}")
    print(f"memory      about {cost['memory_gb']:.2g} GB")
    print(f"disk        about {cost['disk_gb']:.2g} GB ({cost['snapshot_gb'] * 1000:.3g} MB per snapshot)")
    print(f"time        about {cost['sec_per_kimg']:.2g} s/kimg, {cost['hours']:.2g} hours on {device}")
