"""A perceptual distance without a network: the normalised Laplacian pyramid (Laparra et al. 2016, "Perceptual image
quality assessment using a normalized Laplacian pyramid"), with 2x2 means in place of its filters.

Each level holds what the next coarser one lacks, divided by how much is going on in the patch around: a faint edge in a
smooth region counts for more than the same edge in busy hair.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

COARSEST_SIDE = 8
PATCH = 5  # pixels per side, at every level
QUIET = 0.2  # activity, in a range of [-1, 1], below which differences count fully


def pyramid_embedding(images: torch.Tensor) -> torch.Tensor:
    """Vectors `[N, F]` of pictures `[N, C, H, W]`, float in about [-1, 1]; their squared Euclidean distance is the mean
    over levels of the mean squared difference.
    """
    levels = []
    while min(images.shape[2:]) > COARSEST_SIDE:
        coarser = F.avg_pool2d(images, 2)
        details = images - F.interpolate(coarser, size=images.shape[2:], mode="bilinear")
        levels.append(normalize_by_activity(details))
        images = coarser
    levels.append(images)
    parts = [level.flatten(1) for level in levels]
    return torch.cat([part / (part.shape[1] * len(parts)) ** 0.5 for part in parts], dim=1)


def normalize_by_activity(details: torch.Tensor) -> torch.Tensor:
    """Divide `[N, C, H, W]` by QUIET plus the mean magnitude, over all channels, in the patch around each pixel."""
    magnitude = details.abs().mean(dim=1, keepdim=True)
    return details / (QUIET + F.avg_pool2d(magnitude, PATCH, stride=1, padding=PATCH // 2, count_include_pad=False))
