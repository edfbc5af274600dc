"""`sg bench`: how fast operators, drawing and training are on this machine, as ratios within one run."""

from __future__ import annotations

import functools
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgcli.commands import options
from sgcli.errors import UsageError

if TYPE_CHECKING:
    from sgcli.bench.suites import Row

SUITES = ("ops", "generate", "train", "project")
DTYPES = {"auto": "float32", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def bench(
    suite: Annotated[str, typer.Argument(metavar="ops|generate|train|project", help="What to measure.")],
    arch: Annotated[str, typer.Option(help="Architecture.")] = "sg2",
    res: Annotated[int, typer.Option(min=4, help="Resolution.")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at a time.")] = 4,
    tiny: Annotated[bool, typer.Option("--tiny", help="Narrow networks.")] = False,
    channels_base: Annotated[int | None, typer.Option(min=8, help="Channels x resolution.")] = None,
    channels_max: Annotated[int | None, typer.Option(min=1, help="Most channels.")] = None,
    aug_pipe: Annotated[
        str | None,
        typer.Option("--aug-pipe", metavar="bgc|blit|…", help="With train: what augmentation adds to the step."),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, also on a terminal.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Time native operators against the PyTorch reference, and both against the floor.

    The floor is the bare convolutions and matrix products of the same work; for operators, a plain copy. Every way is
    timed in turn in one run: trust the ratios, not the seconds of a busy machine.

    sg bench ops

    sg bench generate --arch sg2 --res 256 --channels-base 16384

    sg bench train --arch sg2 --res 64 --batch 8

    sg bench train --arch sg2 --res 64 --batch 8 --aug-pipe bgc

    sg bench project --arch sg2 --res 64 --batch 8
    """
    if suite not in SUITES:
        raise UsageError(f"sg bench {suite}: one of {', '.join(SUITES)}", "sg bench ops")
    if aug_pipe is not None and suite != "train":
        raise UsageError(f"--aug-pipe {aug_pipe}: goes with the suite train", f"sg bench train --aug-pipe {aug_pipe}")
    if precision not in DTYPES:
        raise UsageError(f"--precision {precision}: one of {', '.join(DTYPES)}", "--precision fp32")

    import torch

    from sgcli.bench import suites
    from sgcli.bench.projection import project_rows
    from sgcli.progress import notice

    torch_device = options.resolve_device(device)
    if suite == "ops":
        rows = suites.operator_rows(torch_device, getattr(torch, DTYPES[precision]))
    else:
        sizes = {"channel_base": channels_base, "channel_max": channels_max, "tiny": tiny}
        make_rows = {"generate": suites.generate_rows, "train": suites.train_rows, "project": project_rows}[suite]
        if aug_pipe is not None:
            make_rows = functools.partial(suites.augment_row, pipe=aug_pipe)
        rows = make_rows(arch, res, batch, torch_device, precision, **sizes)
    show_json = as_json or not sys.stdout.isatty()
    notice(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {torch_device}, {precision}")
    for row in rows:
        print(json.dumps(as_dict(row)) if show_json else as_line(row), flush=True)


def as_dict(row: Row) -> dict[str, Any]:
    facts: dict[str, Any] = {"work": row.work, "images": row.images}
    for way, timing in row.timings.items():
        facts[way] = {"seconds": timing.median, "low": timing.low, "high": timing.high}
    for way, peak in row.peaks.items():
        facts[way]["peak_bytes"] = peak
    if row.bytes_moved:
        facts["bytes"] = row.bytes_moved
    return facts


def as_line(row: Row) -> str:
    """'sg2 256² generate   native 150.1 ms ±2%  reference 450 ms (3.0x)  floor 140 ms (native 1.07x)'."""
    native = row.timings["native"]
    parts = [f"{row.work:<44}"]
    for way, timing in row.timings.items():
        spread = (timing.high - timing.low) / timing.median / 2
        parts.append(f"{way} {1000 * timing.median / row.images:8.3g} ms ±{spread:3.0%}")
        if way == "reference" or way.startswith("p "):
            parts[-1] += f" ({timing.median / native.median:.3g}x)"
        if way == "networks":
            parts[-1] += f" ({1 - timing.median / native.median:.0%} of the step is outside)"
        if way == "floor":
            parts[-1] += f" (native {native.median / timing.median:.3g}x)"
    if row.peaks:
        native_peak, reference_peak = (row.peaks[way] / 2**20 for way in ("native", "reference"))
        parts.append(f"peak {native_peak:.3g} MiB (reference {reference_peak:.3g})")
    if row.bytes_moved:
        parts.append(f"{row.bytes_moved / native.median / 1e9:.3g} GB/s")
    if "training step" in row.work:
        parts.append(f"{1000 * native.median / row.images:.3g} s/kimg")
    return "  ".join(parts)
