"""Pictures to latents by optimisation: the StyleGAN2 projector and Image2StyleGAN (spec stylegan2-ada §8).

Every picture of a batch is a problem of its own, and all see the same random numbers: the result of a picture depends
neither on the others nor on its place among them (beyond rounding).
Legend: N pictures, W w_dim, L 1 (space w) or num_ws (w+).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from sgcli.features.embeddings import Embedding, pixel_embedding
from sgcli.latents.free_inputs import FreeInputs
from sgcli.latents.inputs import Inputs, draw_with
from sgcli.models.base import Generator

SPACES = ("w", "w+")
STATISTICS_SEED, STATISTICS_COUNT = 123, 10_000  # of the w samples
NOISE_PENALTY = 1e5


@dataclass(frozen=True)
class Method:
    """How a projection goes about it. `space`, `loss` and `steps` are defaults."""

    space: str  # w: one for all layers; w+: one per layer
    loss: str  # name of an embedding
    steps: int
    learning_rate: float
    mse_weight: float  # of the mean squared difference of pixels, beside the loss
    ramps: bool  # learning rate up and down, and noise on w that fades
    free_inputs: bool  # noise maps and the input's transform are optimised too


METHODS = {
    "sg2": Method("w", "lpips", 1000, learning_rate=0.1, mse_weight=0.0, ramps=True, free_inputs=True),
    "im2sg": Method("w+", "vgg", 5000, learning_rate=0.01, mse_weight=1.0, ramps=False, free_inputs=False),
}


@dataclass(frozen=True)
class WStatistics:
    """Where w lies: the mean `[W]` and one standard deviation for all its components."""

    mean: torch.Tensor
    std: float


@torch.no_grad()
def w_statistics(G: Generator, label: torch.Tensor | None = None) -> WStatistics:
    """Of 10,000 mapped z. label `[1, c_dim]`: of that class; None: of all classes alike."""
    device = next(G.parameters()).device
    z = np.random.RandomState(STATISTICS_SEED).randn(STATISTICS_COUNT, G.z_dim).astype(np.float32)
    if label is None and G.c_dim > 0:
        label = torch.eye(G.c_dim, device=device)[torch.arange(STATISTICS_COUNT, device=device) % G.c_dim]
    elif label is not None:
        label = label.to(device).expand(STATISTICS_COUNT, -1)
    w = G.mapping(torch.from_numpy(z).to(device), label)[:, 0]
    mean = w.mean(dim=0)
    return WStatistics(mean, math.sqrt((w - mean).square().sum().item() / STATISTICS_COUNT))


def rate_at(t: float) -> float:
    """Share of the learning rate at time t in [0, 1): up over the first 5%, down along a cosine in the last 25%."""
    down = 0.5 - 0.5 * math.cos(math.pi * min(1, (1 - t) / 0.25))
    return down * min(1, t / 0.05)


def noise_at(t: float) -> float:
    """Standard deviation of the noise on w at time t, in standard deviations of w: gone after 75%."""
    return 0.05 * max(0, 1 - t / 0.75) ** 2


@dataclass(frozen=True)
class Projected:
    """Latents of N pictures, and what goes with them."""

    ws: torch.Tensor  # [N, num_ws, W]
    inputs: Inputs | None  # None where they were left as they are, or the generator has none


class Projection:
    """The optimisation of a batch: call `step` `steps` times, then read `result`.

    G            frozen.
    targets      `[N, C, R, R]`, float in [-1, 1], on G's device.
    embed        what is minimised: the squared distance of these vectors, and `mse_weight` times that of pixels.
    start        ws `[N, num_ws, W]`; in space w the mean over its layers counts.
    w_std        scale of the noise on w.
    free_inputs  optimise noise maps and the input's transform too.
    """

    def __init__(
        self,
        G: Generator,
        targets: torch.Tensor,
        embed: Embedding,
        start: torch.Tensor,
        w_std: float,
        method: Method,
        *,
        space: str,
        steps: int,
        mse_weight: float,
        free_inputs: bool,
        seed: int = 0,
    ):
        self.G, self.method, self.steps, self.w_std = G, method, steps, w_std
        self.embed = embed if mse_weight == 0 else with_pixels(embed, mse_weight)
        with torch.no_grad():
            self.target_features = self.embed(targets)
        self.random = torch.Generator().manual_seed(seed)
        w = start.mean(dim=1, keepdim=True) if space == "w" else start
        self.w = w.detach().clone().requires_grad_()  # [N, L, W]
        self.inputs = FreeInputs(G, len(targets), self.random) if free_inputs else None
        groups: list[dict] = [{"params": [self.w], "rate": 1.0}]
        groups += self.inputs.parameter_groups() if self.inputs else []
        self.variables = [self.w, *(self.inputs.variables() if self.inputs else [])]
        self.optimizer = torch.optim.Adam(groups, lr=method.learning_rate, betas=(0.9, 0.999), fused=True)
        self.distances: list[torch.Tensor] = []  # [N], what each step found before it moved
        self._best = [variable.detach().clone() for variable in self.variables]
        self._best_distance = torch.full([len(targets)], math.inf, device=targets.device)

    @property
    def done(self) -> int:
        """Steps made."""
        return len(self.distances)

    @property
    def ws(self) -> torch.Tensor:
        """`[N, num_ws, W]` as they are now."""
        return self._ws(self.w.detach())

    def result(self) -> Projected:
        """After the last step, what it led to; before, the best that was found for each picture."""
        values = [variable.detach() for variable in self.variables] if self.done == self.steps else self._best
        with torch.no_grad():
            inputs = self.inputs.as_inputs(values[1:]) if self.inputs and len(values) > 1 else None
        return Projected(self._ws(values[0]), inputs)

    def step(self) -> None:
        """One step of the optimiser."""
        t = self.done / self.steps
        w = self.w
        if self.method.ramps:
            for group in self.optimizer.param_groups:
                group["lr"] = self.method.learning_rate * rate_at(t) * group["rate"]
            w = w + self.w_std * noise_at(t) * torch.randn(w[:1].shape, generator=self.random).to(w.device)
        distance = (self.embed(self._synthesize(w)) - self.target_features).square().sum(dim=1)
        loss = distance if self.inputs is None else distance + NOISE_PENALTY * self.inputs.penalty()
        loss.sum().backward()
        self._remember(distance.detach())
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.inputs is not None:
            self.inputs.normalize()

    def _synthesize(self, w: torch.Tensor) -> torch.Tensor:
        if self.inputs is None:
            return self.G.synthesis(self._ws(w), noise="const")
        return draw_with(self.G, self._ws(w), self.inputs.as_inputs(self.inputs.variables()))

    def _ws(self, w: torch.Tensor) -> torch.Tensor:
        return w.expand(-1, self.G.num_ws, -1)

    @torch.no_grad()
    def _remember(self, distance: torch.Tensor) -> None:
        """Keep the distances, and for each picture the variables where it was nearest."""
        self.distances.append(distance)
        nearer = distance < self._best_distance
        self._best_distance = torch.where(nearer, distance, self._best_distance)
        for best, variable in zip(self._best, self.variables, strict=True):
            torch.where(nearer.view(-1, *[1] * (variable.ndim - 1)), variable, best, out=best)


def with_pixels(embed: Embedding, weight: float) -> Embedding:
    """An embedding whose squared distance is that of `embed` plus `weight` times the mean squared pixel difference."""
    return lambda images: torch.cat([embed(images), weight**0.5 * pixel_embedding(images)], dim=1)
