"""Perceptual path length (Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial
Networks", section 4.1; spec progan-stylegan1 §6.2): how much a picture changes per step through latent space.

The distance between pictures is an argument: a perceptual one gives the published metric, `squared_difference` one that
needs no trained network.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from sgcli.models.base import Generator

EPSILON = 1e-4  # step between the two pictures, as a share of the way between two latents
LARGEST_SIDE = 256  # pictures are shrunk to it after cropping
TRIMMED_PERCENT = 1  # of the distances, at either end

Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # two [N, C, H, W] in 0…255 -> [N]


def squared_difference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of pictures `[N, C, H, W]` in 0…255, on a scale from -1 to 1. `[N]`."""
    return ((a - b) / 127.5).square().mean(dim=(1, 2, 3))


def path_length(
    G: Generator,
    distance: Distance,
    *,
    space: str = "w",                 # w, or z
    sampling: str = "full",           # full: anywhere between two latents; end: at the first
    num: int = 100_000,               # pairs of pictures
    seed: int = 0,
    batch: int = 16,
) -> float:  # fmt: skip
    """The mean distance / ε² of pictures ε apart, the extreme percents left out; no truncation, labels of zeros."""
    starts = range(0, num, batch)
    parts = [_distances(G, distance, space, sampling, min(batch, num - start), seed + start) for start in starts]
    return trimmed_mean(torch.cat(parts).double().cpu().numpy())


def trimmed_mean(values: np.ndarray) -> float:
    """Mean of the values from the 1st (rounded down) to the 99th percentile (rounded up)."""
    low = np.percentile(values, TRIMMED_PERCENT, method="lower")
    high = np.percentile(values, 100 - TRIMMED_PERCENT, method="higher")
    return float(values[(values >= low) & (values <= high)].mean())


@torch.inference_mode()
def _distances(G: Generator, distance: Distance, space: str, sampling: str, count: int, seed: int) -> torch.Tensor:
    """Distances / ε² of `count` pairs that share noise maps. `[count]`."""
    device = next(G.parameters()).device
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(2, count, G.z_dim, generator=rng).to(device)
    t = torch.rand(count, 1, generator=rng).to(device) * (sampling == "full")
    maps = [torch.randn(1, 1, layer.resolution, layer.resolution, generator=rng).to(device)
            for layer in G.synthesis.noise_layers()]  # fmt: skip
    c = torch.zeros(count, G.c_dim, device=device)
    if space == "z":
        ws = [G.mapping(slerp(z[0], z[1], t + step), c) for step in (0.0, EPSILON)]
    else:
        ends = G.mapping(z[0], c), G.mapping(z[1], c)
        ws = [ends[0].lerp(ends[1], t[:, :, None] + step) for step in (0.0, EPSILON)]
    pictures = [_crop(G.synthesis(w, noise=maps)) for w in ws]
    return distance(*pictures) / EPSILON**2


def _crop(img: torch.Tensor) -> torch.Tensor:
    """The part of a picture where a face would be, at most 256 pixels wide, in 0…255 (not clipped)."""
    c = img.shape[2] // 8
    img = img[:, :, 3 * c : 7 * c, 2 * c : 6 * c]
    factor = img.shape[2] // LARGEST_SIDE
    if factor > 1:
        img = F.avg_pool2d(img, factor)
    return (img + 1) * 127.5


def slerp(a: torch.Tensor, b: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """A share t `[N, 1]` of the way along the great circle from a to b, `[N, dim]`; of length 1."""
    a, b = F.normalize(a), F.normalize(b)
    cosine = (a * b).sum(dim=1, keepdim=True)
    angle = t * torch.acos(cosine)
    across = F.normalize(b - cosine * a)
    return F.normalize(a * torch.cos(angle) + across * torch.sin(angle))
