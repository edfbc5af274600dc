"""What a step of `sg project` takes, and how much of it the networks do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from sgcli.bench.suites import REFERENCE_REPEATS, Row, bench_config
from sgcli.bench.timing import operators, time_in_turns
from sgcli.features.embeddings import Embedding, seen_by
from sgcli.features.lpips import Lpips, read_heads
from sgcli.features.vgg import Vgg16
from sgcli.latents.inputs import draw_with
from sgcli.latents.projection import METHODS, Projection, w_statistics
from sgcli.models import registry
from sgcli.models.base import Generator
from sgcli.models.memory import place
from sgcli.models.precision import set_precision

STEPS = 1000  # that a projection is told to make, for its schedules


def project_rows(
    arch: str, resolution: int, batch: int, device: torch.device, precision: str, **sizes
) -> Iterator[Row]:
    """Steps of the StyleGAN2 projector with LPIPS, on one picture and on `batch` at a time; weights are random."""
    config = bench_config(arch, resolution, batch, precision, **sizes)
    G = place(registry.build_network(config.G).eval().requires_grad_(False), device)
    assert isinstance(G, Generator)
    set_precision(G, precision)
    embed = seen_by(Lpips(Vgg16().requires_grad_(False), read_heads()).to(device).embed)
    for count in sorted({1, batch}):
        projection = _projection(G, embed, count)
        ways = {"native": _strict(projection.step), "networks": _strict(_networks_of(projection, embed))}
        work = f"{arch} {resolution}² projection step, {count} together"
        yield Row(work, time_in_turns(ways, device, REFERENCE_REPEATS), images=count)


def _projection(G: Generator, embed: Embedding, count: int) -> Projection:
    statistics = w_statistics(G)
    device = statistics.mean.device
    targets = torch.rand(count, G.img_channels, G.img_resolution, G.img_resolution, device=device) * 2 - 1
    start = statistics.mean.expand(count, G.num_ws, -1)
    return Projection(
        G, targets, embed, start, statistics.std, METHODS["sg2"],
        space="w", steps=STEPS, mse_weight=0.0, free_inputs=True,
    )  # fmt: skip


def _networks_of(projection: Projection, embed: Embedding) -> Callable[[], None]:
    """Forward and backward of generator and VGG-16 alone, with gradients for the same variables."""
    G, variables, inputs = projection.G, projection.variables, projection.inputs
    assert inputs is not None
    cotangent = torch.randn_like(projection.target_features)

    def forward_and_backward() -> None:
        images = draw_with(G, projection.w.expand(-1, G.num_ws, -1), inputs.as_inputs(inputs.variables()))
        torch.autograd.grad([embed(images)], variables, [cotangent])

    return forward_and_backward


def _strict(call: Callable[[], object]) -> Callable[[], object]:
    def inside() -> None:
        with operators("strict"):
            call()

    return inside
