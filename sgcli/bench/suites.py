"""What `sg bench` measures: single operators, drawing, training steps; native against reference and floor."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from sgcli.bench import floor
from sgcli.bench.timing import Timing, operators, time_in_turns
from sgcli.models import registry
from sgcli.models.memory import peak_memory, place
from sgcli.models.precision import set_precision
from sgcli.ops.bias_act import bias_act
from sgcli.ops.conv2d import conv2d
from sgcli.ops.filtered_lrelu import filtered_lrelu
from sgcli.ops.modulated_bias_act import modulated_bias_act
from sgcli.ops.upfirdn2d import setup_filter, upfirdn2d
from sgcli.training.config import resolve_config
from sgcli.training.loop import make_players
from sgcli.training.phases import MicroBatch, Phase, make_phases, run_phase
from sgcli.training.randomness import draw_latents
from sgcli.training.stats import Stats

REFERENCE_REPEATS = 5  # the reference can be slow: fewer rounds tell enough
AUGMENT_STRENGTHS = (0.05, 0.2, 0.5)  # p, from few pictures changed to nearly all


@dataclass
class Row:
    """One line of a bench: a piece of work, and what each way of doing it takes."""

    work: str
    timings: dict[str, Timing]  # "native", "reference", "floor" or "copy"
    peaks: dict[str, int] = field(default_factory=dict)  # bytes of memory, of "native" and "reference"
    bytes_moved: int | None = None  # read and written at least
    images: int = 1  # the timings are for so many


# ----- operators

SG2_SHAPES = [(4, 512, 16, 16), (4, 512, 32, 32), (4, 128, 128, 128), (4, 64, 256, 256)]
RESAMPLINGS: dict[str, dict[str, Any]] = {
    "filter": {"padding": 1},
    "up 2": {"up": 2, "padding": [2, 1, 2, 1], "gain": 4},
    "down 2": {"down": 2, "padding": 1},
}
SG3_LAYERS = [  # channels, size in, up, down, taps up, taps down (rates 1, ½ or 2 of SG3-T and R at 256²)
    (512, 36, 4, 2, 24, 12),
    (512, 52, 2, 2, 12, 12),
    (256, 84, 4, 2, 24, 12),
    (128, 276, 2, 2, 12, 12),
]


def operator_rows(device: torch.device, dtype: torch.dtype) -> Iterator[Row]:
    """Each operator at the shapes that networks use: forward, and forward with backward."""
    for shape in SG2_SHAPES:
        x = _picture(shape, device, dtype)
        b = torch.randn(shape[1], device=device, dtype=dtype)
        work = f"bias_act lrelu {_name(shape)}"
        yield from _operator(work, x, lambda x, b=b: bias_act(x, b, act="lrelu", clamp=256), 2 * _bytes(x))
        styles, noise = (torch.randn(s, device=device) for s in ([*shape[:2]], [1, 1, *shape[2:]]))
        yield from _operator(
            f"modulated_bias_act {_name(shape)}",
            x,
            lambda x, b=b, s=styles, n=noise: modulated_bias_act(x, b, s, n, s, clamp=256),
            2 * _bytes(x),
        )
    for shape in SG2_SHAPES:
        x = _picture(shape, device, dtype)
        w = torch.randn(shape[1], shape[1], 3, 3, device=device, dtype=dtype).to(memory_format=torch.channels_last)
        yield from _operator(f"conv2d 3x3 {_name(shape)}", x, lambda x, w=w: conv2d(x, w, padding=1), 2 * _bytes(x))
    f = setup_filter([1, 3, 3, 1])
    assert f is not None
    f = f.to(device)
    for shape in SG2_SHAPES:
        x = _picture(shape, device, dtype)
        for what, options in RESAMPLINGS.items():
            out = upfirdn2d(x[:1, :1].float(), f, **options)
            moved = _bytes(x) + out.numel() * shape[0] * shape[1] * x.element_size()
            yield from _operator(
                f"upfirdn2d {what} {_name(shape)}", x, lambda x, o=options: upfirdn2d(x, f, **o), moved
            )
    for channels, size, up, down, taps_up, taps_down in SG3_LAYERS:
        x = _picture((2, channels, size, size), device, dtype)
        design: dict[str, Any] = {
            "fu": _low_pass(taps_up).to(device),
            "fd": _low_pass(taps_down).to(device),
            "up": up,
            "down": down,
            "padding": (taps_up + taps_down) // 2,
            "clamp": 256,
        }
        out = filtered_lrelu(x[:1, :1].float(), **design)
        moved = _bytes(x) + out.numel() * 2 * channels * x.element_size()
        work = f"filtered_lrelu {up}/{down} {_name(x.shape)}"
        yield from _operator(work, x, lambda x, o=design: filtered_lrelu(x, **o), moved)


def _low_pass(taps: int) -> torch.Tensor:
    """A separable filter of so many taps, for timing: the values do not matter."""
    f = torch.hann_window(taps + 2, periodic=False)[1:-1]
    return f / f.sum()


def _operator(work: str, x: torch.Tensor, function: Callable, moved: int) -> Iterator[Row]:
    def forward() -> None:
        with torch.inference_mode():
            function(x)

    leaf = x.detach().clone(memory_format=torch.preserve_format).requires_grad_(True)
    cotangent = torch.randn_like(function(x))

    def both() -> None:
        torch.autograd.grad([function(leaf)], [leaf], [cotangent])

    source, target = x, torch.empty_like(x)
    for suffix, call in (("", forward), (" +backward", both)):
        ways = {"native": _with("strict", call), "reference": _with("reference", call)}
        if not suffix:
            ways["copy"] = lambda: target.copy_(source)
        timings = time_in_turns(ways, x.device, REFERENCE_REPEATS)
        yield Row(work + suffix, timings, _peaks(ways, x.device), moved if not suffix else None)


# ----- networks


def generate_rows(
    arch: str, resolution: int, batch: int, device: torch.device, precision: str, **sizes
) -> Iterator[Row]:
    """G drawing `batch` pictures and D scoring them."""
    config = bench_config(arch, resolution, batch, precision, **sizes)
    G, D = (place(registry.build_network(spec).eval().requires_grad_(False), device) for spec in (config.G, config.D))
    for network in (G, D):
        set_precision(network, precision)
    z, c = torch.randn(batch, config.G["z_dim"], device=device), torch.zeros(batch, 0, device=device)
    img = torch.randn(batch, 3, resolution, resolution, device=device)

    def draw() -> None:
        with torch.inference_mode():
            G(z, c, noise="const")

    def score() -> None:
        with torch.inference_mode():
            D(img, c)

    for work, call in ((f"{arch} {resolution}² generate", draw), (f"{arch} {resolution}² score (D)", score)):
        ways = _ways(call)
        yield Row(work, time_in_turns(ways, device, REFERENCE_REPEATS), _peaks(ways, device), images=batch)


def train_rows(arch: str, resolution: int, batch: int, device: torch.device, precision: str, **sizes) -> Iterator[Row]:
    """Every phase of a training step; and the step, with each phase counted as often as it runs."""
    config = bench_config(arch, resolution, batch, precision, **sizes)
    phases = make_phases(config, make_players(config, device), Stats())
    micro = _micro_batch(config, device)
    per_image: dict[str, list[Timing]] = {}
    peaks: dict[str, int] = {}
    for phase in phases:
        ways = _ways(functools.partial(run_phase, phase, [micro]))
        timings, memory = time_in_turns(ways, device, REFERENCE_REPEATS), _peaks(ways, device)
        for way, timing in timings.items():
            share = [value / phase.interval for value in (timing.median, timing.low, timing.high)]
            per_image.setdefault(way, []).append(Timing(*share))
        peaks = {way: max(peaks.get(way, 0), peak) for way, peak in memory.items()}
        yield Row(f"{arch} {resolution}² {phase.name}", timings, memory, images=batch)
    total = {
        way: Timing(*(sum(getattr(timing, name) for timing in parts) for name in ("median", "low", "high")))
        for way, parts in per_image.items()
    }
    yield Row(f"{arch} {resolution}² training step", total, peaks, images=batch)


def augment_row(
    arch: str, resolution: int, batch: int, device: torch.device, precision: str, pipe: str, **sizes
) -> Iterator[Row]:
    """The training step without augmentation, and with the transforms `pipe` at several p."""
    steps: dict[str, Callable[[], object]] = {}
    for p in (0, *AUGMENT_STRENGTHS):
        way, aug = (f"p {p:g}", "fixed") if p else ("native", "none")
        config = bench_config(arch, resolution, batch, precision, aug=aug, aug_pipe=pipe, aug_p=p, **sizes)
        phases, micro = make_phases(config, make_players(config, device), Stats()), _micro_batch(config, device)
        steps[way] = _with("strict", functools.partial(_run_steps, phases, micro))
    cycle = max(phase.interval for phase in phases)
    timings = time_in_turns(steps, device, REFERENCE_REPEATS)
    yield Row(f"{arch} {resolution}² training step, --aug-pipe {pipe}", timings, images=batch * cycle)


def _run_steps(phases: list[Phase], micro: MicroBatch) -> None:
    """As many steps as it takes until every phase has run."""
    for step in range(max(phase.interval for phase in phases)):
        for phase in phases:
            if step % phase.interval == 0:
                run_phase(phase, [micro])


def bench_config(arch: str, resolution: int, batch: int, precision: str, tiny: bool = False, **sizes):
    """The configuration that `sg train` would use."""
    data = {"resolution": resolution, "num_channels": 3, "label_dim": 0}
    return resolve_config(arch, data, {"batch": batch, "precision": precision, **sizes}, tiny=tiny)


def _micro_batch(config, device: torch.device) -> MicroBatch:
    n, resolution = config.batch, config.G["img_resolution"]
    labels = torch.zeros(n, 0, device=device)
    latents = draw_latents(
        seed=0,
        purpose="bench",
        first=0,
        batch=n,
        z_dim=config.G["z_dim"],
        num_ws=6,
        style_mixing_prob=0.9,
        labels=labels,
    )
    return MicroBatch(torch.randn(n, 3, resolution, resolution, device=device), labels, latents)


def _ways(call: Callable[[], None]) -> dict[str, Callable[[], object]]:
    native = _with("strict", call)
    calls = floor.record(native)
    return {"native": native, "reference": _with("reference", call), "floor": lambda: floor.replay(calls)}


def _peaks(ways: dict[str, Callable[[], object]], device: torch.device) -> dict[str, int]:
    return {name: peak_memory(ways[name], device) for name in ("native", "reference")}


def _with(mode: str, call: Callable[[], object]) -> Callable[[], object]:
    def inside() -> None:
        with operators(mode):
            call()

    return inside


def _picture(shape, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(shape, device=device).to(dtype).to(memory_format=torch.channels_last)


def _bytes(x: torch.Tensor) -> int:
    return x.numel() * x.element_size()


def _name(shape) -> str:
    return "x".join(map(str, shape))
