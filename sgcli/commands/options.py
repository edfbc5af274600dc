"""Options that mean the same in every command, and the values that are typed as text (ranges, pairs)."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli import progress
from sgcli.errors import UsageError

if TYPE_CHECKING:
    import torch

    from sgcli.distributed.group import Group
    from sgcli.models.base import Generator
    from sgcli.models.checkpoint import Model


def _set_quiet(quiet: bool) -> bool:
    progress.set_quiet(quiet)
    return quiet


Quiet = Annotated[bool, typer.Option("--quiet", "-q", callback=_set_quiet, help="No progress or notices on stderr.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
ModelFile = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="FILE|RUN", help="Model file or run folder. Default: $SG_MODEL, else the only run."
    ),
]
Device = Annotated[str, typer.Option("--device", metavar="cpu|cuda|auto", help="Where to compute.")]
Precision = Annotated[
    str, typer.Option("--precision", metavar="fp32|bf16|fp16|auto", help="Number type of the networks.")
]
Procs = Annotated[
    int, typer.Option("--procs", min=1, metavar="N", help="Workers on this machine: one per GPU, or processes.")
]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Pictures computed at a time; does not change them.")]
Output = Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is stdout.")]
Truncation = Annotated[
    float, typer.Option("--trunc", metavar="PSI", help="Truncation psi: 1 none, 0 the mean picture.")
]
TruncationCutoff = Annotated[
    int | None, typer.Option("--trunc-cutoff", min=0, metavar="LAYERS", help="Truncate only the first LAYERS layers.")
]


def resolve_device(name: str) -> torch.device:
    """--device to a torch device; auto takes the GPU where there is one. Raises UsageError for what is not there."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: unknown device; cpu, cuda, cuda:1 or auto", "--device auto") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {name}: this machine has no CUDA device, or PyTorch cannot use it", "--device cpu")
    if device == torch.device("cuda") and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))  # each worker has its own
        torch.cuda.set_device(device)
    return device


def join_group(device: str) -> Group:
    """The group of workers that this process was started in, else a group of one. Those that do not lead are quiet."""
    from sgcli.distributed.group import join

    group = join(resolve_device(device))
    if not group.leads:
        progress.set_quiet(True)
    return group


def prepare_workers(device: str, count: int) -> None:
    """What all workers need, done once before they start. Raises UsageError for more workers than there are GPUs."""
    import torch

    from sgcli.ops import native

    kind = resolve_device(device).type
    if kind == "cuda" and count > torch.cuda.device_count():
        present = torch.cuda.device_count()
        raise UsageError(f"--procs {count}: this machine has {present} GPUs", f"--procs {present}")
    native.available(kind)


def load_generator(model: Model, device: str, precision: str) -> Generator:
    """G_ema of a model, on the device and in the precision that were asked for."""
    from sgcli.models.precision import PRECISIONS, set_precision

    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: one of {', '.join(PRECISIONS)}", "--precision auto")
    G = model.load_generator(resolve_device(device))
    set_precision(G, precision)
    return G


def check_cutoff(cutoff: int | None, num_ws: int) -> None:
    """Raise UsageError for a --trunc-cutoff beyond the model's layers."""
    if cutoff is not None and cutoff > num_ws:
        raise UsageError(f"--trunc-cutoff {cutoff}: this model has {num_ws} layers", f"--trunc-cutoff {num_ws}")


def parse_integers(text: str, option: str) -> list[int]:
    """'0-3,10' -> [0, 1, 2, 3, 10]. Raises UsageError that names `option`."""
    values: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(f"{option} {text}: '{part}' is not a number or a range", f"{option} 0-35,40")
        start, end = int(first), int(last) if dash else int(first)
        if end < start:
            raise UsageError(f"{option} {text}: the range {part} runs backwards", f"{option} {end}-{start}")
        if end - start >= 10_000_000:
            raise UsageError(
                f"{option} {text}: the range {part} holds more than ten million numbers", f"{option} 0-999"
            )
        values.extend(range(start, end + 1))
    return values


def parse_size(text: str | int) -> int | str:
    """A number from 1 on, or auto."""
    text = str(text)
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"'{text}': a number from 1 on, or auto")
    return int(text)


def parse_range(text: str, option: str) -> tuple[float, float]:
    """'-3..3' -> (-3.0, 3.0). Raises UsageError that names `option`."""
    start, dots, end = text.partition("..")
    try:
        ends = float(start), float(end)
    except ValueError:
        ends = math.nan, math.nan
    if not dots or not all(map(math.isfinite, ends)):
        raise UsageError(f"{option} {text}: two numbers with .. between them", f"{option} -3..3")
    return ends


def parse_seeds(text: str) -> list[int]:
    """--seeds: integers that a NumPy generator takes, 0 to 2³² - 1."""
    seeds = parse_integers(text, "--seeds")
    if max(seeds) >= 2**32:
        raise UsageError(f"--seeds {text}: seeds go up to {2**32 - 1}", "--seeds 0-35")
    return seeds
