"""Multi-scale structural similarity (MS-SSIM), and its mean over pairs of one set: the higher, the less the set varies.

Wang et al. 2003, "Multiscale structural similarity for image quality assessment"; for diversity, Odena et al. 2017 and
Karras et al. 2018, section 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from sgcli.errors import UsageError
from sgcli.metrics.pixels import as_rgb, check_pictures, check_same_shape, filter_separably
from sgcli.metrics.results import Value
from sgcli.metrics.rows import Rows, at_once

if TYPE_CHECKING:
    from sgcli.metrics.job import Job

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest scale first
WINDOW_SIZE = 11
WINDOW_SIGMA = 1.5
LUMINANCE_FLOOR = (0.01 * 255) ** 2  # C1 and
CONTRAST_FLOOR = (0.03 * 255) ** 2  # C2 of the paper
MIN_SIDE = 16  # halved four times, one pixel is left
PAIRS_AT_ONCE = 32


def ms_ssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Similarity of each picture of `a` to its fellow in `b`: float32 `[N]`, 0…1, where 1 means equal.

    `a` and `b`: `[N, C, H, W]`, uint8 or float in 0…255, sides of at least 16. The window shrinks with scales that are
    smaller than it. Raises ValueError where the shapes do not fit.
    """
    check_same_shape(a, b)
    _check_sides(a)
    pairs = zip(a.split(PAIRS_AT_ONCE), b.split(PAIRS_AT_ONCE), strict=True)
    return torch.cat([_ms_ssim(as_rgb(some_a), as_rgb(some_b)) for some_a, some_b in pairs])


def ms_ssim_diversity(images: torch.Tensor, num_pairs: int = 5000, *, seed: int, rows: Rows = at_once) -> float:
    """Mean MS-SSIM over random pairs of one set: the higher, the less the set varies.

    `images`: as for `ms_ssim`, at least two. No picture serves twice before all have served once, so 10,000 pictures
    give the paper's 5,000 pairs without repetition. Every draw follows from `seed`.
    """
    check_pictures(images)
    if len(images) < 2 or num_pairs < 1:
        raise ValueError(f"diversity needs two pictures and one pair or more, got {len(images)} and {num_pairs}")
    generator = torch.Generator().manual_seed(seed)
    pairs_per_shuffle = len(images) // 2
    num_shuffles = -(-num_pairs // pairs_per_shuffle)
    shuffles = [torch.randperm(len(images), generator=generator)[: 2 * pairs_per_shuffle] for _ in range(num_shuffles)]
    pairs = torch.cat(shuffles).view(-1, 2)[:num_pairs].to(images.device)

    def compute(start: int, stop: int) -> np.ndarray:
        parts = pairs[start:stop].split(PAIRS_AT_ONCE)
        return torch.cat([ms_ssim(images[some[:, 0]], images[some[:, 1]]) for some in parts]).cpu().numpy()

    return float(rows("similarity of pairs", len(pairs), compute).mean(dtype=np.float64))


def _check_sides(images: torch.Tensor) -> None:
    if min(images.shape[2:]) < MIN_SIDE:
        raise ValueError(f"MS-SSIM needs pictures of at least {MIN_SIDE}x{MIN_SIDE}, got {list(images.shape)}")


def _ms_ssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Float32 `[N, 3, H, W]` twice -> `[N]`: contrast of the first four scales times similarity of the last."""
    result = torch.ones(len(a), device=a.device)
    for scale, weight in enumerate(SCALE_WEIGHTS, start=1):
        if scale > 1:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        similarity, contrast = _ssim(a, b)
        factor = similarity if scale == len(SCALE_WEIGHTS) else contrast
        result *= factor.clamp(min=0) ** weight
    return result


def _ssim(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean SSIM and mean contrast-structure term of one scale, each `[N]`."""
    mean_a, mean_b, square_a, square_b, product = (_window_mean(x) for x in (a, b, a * a, b * b, a * b))
    variance = square_a - mean_a**2 + square_b - mean_b**2
    covariance = product - mean_a * mean_b
    contrast = (2 * covariance + CONTRAST_FLOOR) / (variance + CONTRAST_FLOOR)
    luminance = (2 * mean_a * mean_b + LUMINANCE_FLOOR) / (mean_a**2 + mean_b**2 + LUMINANCE_FLOOR)
    return (luminance * contrast).mean(dim=(1, 2, 3)), contrast.mean(dim=(1, 2, 3))


def _window_mean(x: torch.Tensor) -> torch.Tensor:
    """Gaussian mean around each pixel where the whole window fits."""
    size = min(WINDOW_SIZE, *x.shape[2:])
    positions = torch.arange(size, device=x.device) - (size - 1) / 2
    sigma = WINDOW_SIGMA * size / WINDOW_SIZE
    taps = torch.softmax(-(positions**2) / (2 * sigma**2), dim=0)  # exp(…) divided by its sum
    return filter_separably(x, taps)


def measure(job: Job, num: int) -> list[Value]:
    """Diversity of `num` pictures, in half as many pairs."""
    pictures = job.pictures("fake")
    if pictures.resolution < MIN_SIDE:
        size = f"MS-SSIM takes pictures from {MIN_SIDE}², not {pictures.resolution}²"
        raise UsageError(f"{pictures.name}: {size}", "sg metrics pr takes any size: recall tells how varied they are")
    count = pictures.count(num, 2)
    rows = job.rows(count, job.seed)
    value = ms_ssim_diversity(job.take("fake", count), count // 2, seed=job.seed, rows=rows)
    return [Value(value, {"num_fake": count, "num_pairs": count // 2})]
