"""How metrics bring pictures to the size that a feature network wants. Float `[N, C, H, W]` in 0…255, in and out.

The same network gives clearly different FIDs behind different resizing (Parmar et al. 2022, "On Aliased Resizing and
Surprising Subtleties in GAN Evaluation"), which is why a protocol names it.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image


def tensorflow_bilinear(images: torch.Tensor, side: int) -> torch.Tensor:
    """Bilinear as TensorFlow 1 did it: pixel i looks at i · in / out, not at pixel centres; no low-pass filter."""
    down, across = (_bilinear_matrix(size, side).to(images) for size in images.shape[2:])
    return down @ images @ across.T


def torch_bilinear(images: torch.Tensor, side: int) -> torch.Tensor:
    """Bilinear between pixel centres; no low-pass filter."""
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False)


def pillow_bicubic(images: torch.Tensor, side: int) -> torch.Tensor:
    """Bicubic with a low-pass filter as wide as the reduction asks for, on unrounded values, clipped to 0…255."""
    planes = images.reshape(-1, *images.shape[2:]).cpu().numpy().astype(np.float32)
    resized = [Image.fromarray(plane).resize((side, side), Image.Resampling.BICUBIC) for plane in planes]
    result = torch.from_numpy(np.stack([np.asarray(image) for image in resized])).clamp(0, 255)
    return result.view(*images.shape[:2], side, side).to(images.device)


@functools.lru_cache(maxsize=8)
def _bilinear_matrix(size: int, side: int) -> torch.Tensor:
    """`[side, size]` that resizes a row of pixels."""
    place = torch.arange(side, dtype=torch.float64) * (size / side)
    first = place.long().clamp(max=size - 1)
    weight = place - first
    matrix = torch.zeros(side, size, dtype=torch.float64)
    rows = torch.arange(side)
    matrix[rows, first] += 1 - weight
    matrix[rows, (first + 1).clamp(max=size - 1)] += weight
    return matrix
