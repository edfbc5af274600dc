"""Balanced consistency regularisation (bCR, Zhao et al. 2020), which the ADA paper compares itself with (spec
stylegan2-ada §6.8): D is to give a picture and the same picture moved a little the same score.
"""

from __future__ import annotations

import numpy as np
import torch

from sgcli.training.draws import Draws

WEIGHT = 10.0
SHIFT_MAX = 1 / 32  # of the width
MIN_RESOLUTION = 32  # below, shifts are less than a pixel


def shift(images: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Move each of `[N, K, H, W]` by whole pixels, up to 1/32 of its size either way; the border is mirrored."""
    height, width = images.shape[2:]
    shifts = (np.round(draws.signed_uniform() * SHIFT_MAX * size) for size in (width, height))
    dx, dy = (torch.from_numpy(pixels).long().to(images.device) for pixels in shifts)
    rows, columns = _mirrored(dy, height), _mirrored(dx, width)
    numbers = torch.arange(len(images), device=images.device)[:, None, None]
    return images.movedim(1, 3)[numbers, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def consistency_loss(logits: torch.Tensor, shifted_logits: torch.Tensor) -> torch.Tensor:
    """10 · (D(T(x)) - D(x))². `[N, 1]`."""
    return WEIGHT * (shifted_logits - logits).square()


def _mirrored(offsets: torch.Tensor, size: int) -> torch.Tensor:
    """For each of the offsets `[N]`, where the pixels 0 … size - 1 of a line come from, `[N, size]`."""
    places = (torch.arange(size, device=offsets.device) - offsets[:, None]).abs()
    return size - 1 - (size - 1 - places).abs()
