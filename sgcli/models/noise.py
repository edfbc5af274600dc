"""Noise maps of a synthesis network: fresh, the model's own, none, or given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import torch

NoiseChoice = Literal["random", "const", "none"] | Sequence[torch.Tensor]


class NoiseLayer(Protocol):
    """A layer that takes a noise map."""

    resolution: int
    noise_const: torch.Tensor  # [r, r]


def make_noise_maps(
    layers: Sequence[NoiseLayer], choice: NoiseChoice, batch: int, device: torch.device
) -> list[torch.Tensor]:
    """One map `[N|1, 1, r, r]` per layer; an empty list means no noise. Raises ValueError for maps that do not fit."""
    if isinstance(choice, str):
        if choice == "none":
            return []
        if choice == "const":
            return [layer.noise_const[None, None] for layer in layers]
        if choice == "random":
            return [torch.randn(batch, 1, layer.resolution, layer.resolution, device=device) for layer in layers]
        raise ValueError(f"noise: '{choice}' is unknown; random, const, none or a list of maps")
    if not choice:
        return []
    given, wanted = (
        [list(noise.shape[1:]) for noise in choice],
        [[1, layer.resolution, layer.resolution] for layer in layers],
    )
    if given != wanted:
        raise ValueError(f"noise: maps of sizes {given} given, {wanted} wanted")
    return list(choice)


def random_noise_maps(layers: Sequence[NoiseLayer], generators: Sequence[torch.Generator]) -> list[torch.Tensor]:
    """Fresh maps `[N, 1, r, r]`; image n's all come from `generators[n]`, whatever the batch around it."""
    sizes = [layer.resolution**2 for layer in layers]
    if not sizes:
        return []
    draws = [torch.randn(sum(sizes), generator=generator, device=generator.device) for generator in generators]
    flat = torch.stack(draws).split(sizes, dim=1)
    return [
        maps.unflatten(1, (1, layer.resolution, layer.resolution)) for maps, layer in zip(flat, layers, strict=True)
    ]
