"""Blur of what the discriminator sees at the start of StyleGAN3-R's training (spec stylegan3 §6.1).

Without it, D judges by high frequencies before G has learned the low ones, and training may collapse early.
"""

from __future__ import annotations

import torch

from sgcli.ops.upfirdn2d import filter2d


def blur_sigma(nimg: int, initial: float, fade_kimg: float) -> float:
    """Width in pixels after `nimg` images: from `initial` linearly to 0 over `fade_kimg`."""
    fade = fade_kimg * 1000
    return initial * (1 - nimg / fade) if nimg < fade else 0.0


def blur(img: torch.Tensor, sigma: float) -> torch.Tensor:
    """Filter `[N, C, H, W]` with the taps 2^-(k/σ)², |k| ≤ 3σ, normalised; beyond the border lies 0."""
    radius = int(3 * sigma)
    if radius == 0:
        return img
    distance = torch.arange(-radius, radius + 1, device=img.device, dtype=torch.float32) / sigma
    taps = torch.exp2(-distance.square())
    return filter2d(img, taps / taps.sum())
