"""Latents to pictures: mapping, truncation and synthesis, in batches whose size does not change the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from sgcli.latents.inputs import Inputs, synthesize
from sgcli.models.base import Generator
from sgcli.models.layers import truncate
from sgcli.models.noise import make_noise_maps, random_noise_maps


def to_ws(
    G: Generator,
    latents: torch.Tensor,
    c: torch.Tensor | None = None,
    psi: float = 1.0,
    cutoff: int | None = None,
    centre: torch.Tensor | None = None,
) -> torch.Tensor:
    """Z `[N, z_dim]` mapped, or W `[N, num_ws, w_dim]` as it is; then truncation towards `centre` `[w_dim]` (None: the
    mean of all, w_avg). Returns `[N, num_ws, w_dim]`.
    """
    if latents.ndim == 2:
        if c is None:
            c = torch.zeros(len(latents), G.c_dim, device=latents.device)
        latents = G.mapping(latents, c)
    return truncate(latents, G.mapping.w_avg if centre is None else centre, psi, cutoff) if psi != 1 else latents


@torch.inference_mode()
def draw_pictures(
    G: Generator,
    latents: torch.Tensor,               # Z [N, z_dim] or W [N, num_ws, w_dim], on any device
    noise_seeds: Sequence[int],          # N seeds; used where noise is "random"
    c: torch.Tensor | None = None,       # [N, c_dim]
    psi: float = 1.0,
    cutoff: int | None = None,
    centre: torch.Tensor | None = None,  # of truncation, [w_dim]; None: w_avg
    noise: str = "const",                # const, random or none
    noise_weights: Sequence[float] | None = None,  # factor of each noise layer's map; None: 1
    inputs: Inputs | None = None,        # noise maps and transforms of each picture, in place of the model's own
    batch: int = 16,
) -> Iterator[torch.Tensor]:  # fmt: skip
    """Yield one picture `[K, R, R]`, fp32 in about [-1, 1], per latent, in order."""
    device = next(G.parameters()).device
    for start in range(0, len(latents), batch):
        part = slice(start, start + batch)
        labels = None if c is None else c[part].to(device)
        ws = to_ws(G, latents[part].to(device), labels, psi, cutoff, centre)
        layers = G.synthesis.noise_layers()
        own = None if inputs is None else inputs.rows(part).to(device)
        if own is not None:
            maps = own.noise
        elif noise == "random":
            generators = [torch.Generator(device).manual_seed(seed) for seed in noise_seeds[part]]
            maps = random_noise_maps(layers, generators)
        else:
            maps = make_noise_maps(layers, noise, len(ws), device)  # type: ignore[arg-type]
        if maps and noise_weights is not None:
            maps = [weight * layer_map for weight, layer_map in zip(noise_weights, maps, strict=True)]
        yield from synthesize(G, ws, maps, None if own is None else own.transform)
