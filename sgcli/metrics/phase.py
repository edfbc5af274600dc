"""Details that stay on the pixel grid while the picture moves: the phase artifacts of progressive growing (Karras et
al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", figure 6).

Along a walk through latent space, a picture's shape is what a blur leaves, its details are the rest. Where the shape
moves, details should move along; those that do not show as upright lines in a strip of one row over the walk.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

DETAIL_SHARE = 1 / 64  # standard deviation of the blur in picture widths, but at least a pixel


class Phase(NamedTuple):
    """What `measure_phase` finds."""

    locked_share: float  # share of the detail's energy that does not change along the walk, where the shape moves
    row: int  # the row with the most detail in motion
    strip: torch.Tensor  # [C, T, W]: that row of the pictures, one line per step
    detail_strip: torch.Tensor  # [C, T, W]: its details


def measure_phase(frames: torch.Tensor) -> Phase:
    """Compare the pictures of a walk, `[T, C, H, W]`, in even steps.

    locked_share = Σ m·(mean over t of d)² / Σ m·(mean over t of d²), d the details and m the motion: the variance of
    the shape over the walk at each pixel. It is 1 where details stay and falls towards 1 / T where they move along.
    Raises ValueError where nothing moves.
    """
    shape = low_pass(frames)
    detail = frames - shape
    motion = shape.var(dim=0, correction=0).sum(dim=0)  # [H, W]
    locked = detail.mean(dim=0).square().sum(dim=0)
    energy = detail.square().mean(dim=0).sum(dim=0)
    total = (motion * energy).sum()
    if not total > 0:
        raise ValueError("all pictures of the walk are alike")
    row = int((motion * energy).sum(dim=1).argmax())
    share = float((motion * locked).sum() / total)
    return Phase(share, row, frames[:, :, row].transpose(0, 1), detail[:, :, row].transpose(0, 1))


def low_pass(frames: torch.Tensor) -> torch.Tensor:
    """Gaussian blur of `[T, C, H, W]`; the border is repeated."""
    sigma = max(frames.shape[-1] * DETAIL_SHARE, 1.0)
    radius = int(3 * sigma)
    distance = torch.arange(-radius, radius + 1, dtype=frames.dtype, device=frames.device)
    taps = torch.exp(-0.5 * (distance / sigma).square())
    taps = taps / taps.sum()
    planes = F.pad(frames, [radius] * 4, mode="replicate").flatten(0, 1)[:, None]
    blurred = F.conv2d(F.conv2d(planes, taps[None, None, None]), taps[None, None, :, None])
    return blurred.reshape(frames.shape)
