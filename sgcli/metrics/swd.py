"""Sliced Wasserstein distance between two sets of pictures (SWD).

Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and Variation", section 5: compares
the statistics of local patches, level by level of a Laplacian pyramid. It needs no trained network.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean
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

MIN_RESOLUTION = 16  # side of the pyramid's last level
PATCH_SIZE = 7
PATCHES_PER_IMAGE = 128
NUM_DIRECTIONS = 4 * 128  # the paper's four repeats of 128: their average is the average over all
FLAT = 1e-3  # deviation, of 255, that rounding alone can make
DIRECTIONS_AT_ONCE = 16  # bounds the memory of the projections, as
IMAGES_AT_ONCE = 256  # does of the pyramid


def sliced_wasserstein(
    real: torch.Tensor, fake: torch.Tensor, *, seed: int, rows: Rows = at_once
) -> tuple[dict[int, float], float]:
    """Distance x 1e3 for each level's resolution, finest first, and the mean over levels.

    `real` and `fake`: `[N, C, R, R]`, uint8 or float in 0…255, R a power of two from 16; as many of each (the paper
    takes 16,384). They are read a few at a time, so tensors over memory-mapped arrays will do. Greyscale counts as
    three equal channels, alpha is left out.

    Every draw follows from `seed` alone. Both sets are cut at the same places, so that the distance is symmetric and
    that of a set to itself is 0. A finite set has a distance above 0 to others like it: see `noise_floor`.

    Raises ValueError where the shapes do not fit.
    """
    check_same_shape(real, fake)
    _check_square(real)
    generator = torch.Generator().manual_seed(seed)
    levels = {}
    while True:
        resolution = real.shape[-1]
        shape = (len(real), PATCHES_PER_IMAGE)
        corners = torch.randint(resolution - PATCH_SIZE + 1, (2, *shape), generator=generator).to(real.device)
        directions = F.normalize(torch.randn(NUM_DIRECTIONS, 3 * PATCH_SIZE**2, generator=generator)).to(real.device)
        real_patches, real = _describe_level(real, corners)
        fake_patches, fake = _describe_level(fake, corners)
        levels[resolution] = 1e3 * _mean_wasserstein(
            real_patches, fake_patches, directions, rows, f"patches at {resolution}²"
        )
        if resolution == MIN_RESOLUTION:
            return levels, fmean(levels.values())


def noise_floor(images: torch.Tensor, *, seed: int, rows: Rows = at_once) -> tuple[dict[int, float], float]:
    """The distance, as from `sliced_wasserstein`, between two random halves of one set: what chance alone gives.

    Raises ValueError for fewer than two pictures.
    """
    check_pictures(images)
    half = len(images) // 2
    if half == 0:
        raise ValueError("the noise floor needs at least two pictures, got 1")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed)).to(images.device)
    return sliced_wasserstein(images[order[:half]], images[order[half : 2 * half]], seed=seed, rows=rows)


def laplacian_pyramid(images: torch.Tensor) -> list[torch.Tensor]:
    """Pictures `[N, C, R, R]` in 0…255 -> float32 bands `[N, 3, r, r]` for r = R, R/2, … 16; the last is what remains.

    Raises ValueError where R is not a power of two from 16.
    """
    check_pictures(images)
    _check_square(images)
    rest = as_rgb(images)
    bands = []
    while rest.shape[-1] > MIN_RESOLUTION:
        band, rest = _split_band(rest)
        bands.append(band)
    return [*bands, rest]


def _check_square(images: torch.Tensor) -> None:
    height, width = images.shape[2:]
    if height != width or height < MIN_RESOLUTION or height & (height - 1):
        raise ValueError(f"the pyramid needs square pictures with sides 16, 32, 64, …, got {list(images.shape)}")


def _split_band(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`[N, 3, R, R]` -> what half the resolution cannot show `[N, 3, R, R]`, and that half `[N, 3, R/2, R/2]`."""
    coarse = _blur(images)[:, :, ::2, ::2]
    spread = torch.zeros_like(images)
    spread[:, :, ::2, ::2] = coarse
    return images - 4 * _blur(spread), coarse


def _blur(images: torch.Tensor) -> torch.Tensor:
    """Binomial 5x5 filter; the border is mirrored without repeating its pixel."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device) / 16
    return filter_separably(F.pad(images, (2, 2, 2, 2), mode="reflect"), taps)


def _describe_level(images: torch.Tensor, corners: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The pyramid's next level: normalised patches `[N * 128, 147]` of its band, and the pictures at half the size.

    `corners`: top and left ends of the patches, `[2, N, 128]`.
    """
    num_patches = corners[0].numel()
    patches = torch.empty(num_patches, 3, PATCH_SIZE, PATCH_SIZE, device=images.device)
    halves = []
    for some in _chunks(len(images)):
        band = as_rgb(images[some])
        if band.shape[-1] > MIN_RESOLUTION:
            band, half = _split_band(band)
            halves.append(half)
        windows = band.unfold(2, PATCH_SIZE, 1).unfold(3, PATCH_SIZE, 1)  # [n, 3, R - 6, R - 6, 7, 7], a view
        numbers = torch.arange(len(band), device=band.device).unsqueeze(1)
        cut = windows[numbers, :, corners[0, some], corners[1, some]]  # [n, 128, 3, 7, 7]
        patches[some.start * PATCHES_PER_IMAGE : some.stop * PATCHES_PER_IMAGE] = cut.flatten(0, 1)
    return _normalize_colours(patches).flatten(1), torch.cat(halves) if halves else images


def _chunks(total: int) -> Iterator[slice]:
    for start in range(0, total, IMAGES_AT_ONCE):
        yield slice(start, min(start + IMAGES_AT_ONCE, total))


def _normalize_colours(patches: torch.Tensor) -> torch.Tensor:
    """Give each channel of `[M, 3, 7, 7]`, over all patches, mean 0 and deviation 1, in place. A flat one becomes 0."""
    deviation, mean = torch.std_mean(patches, dim=(0, 2, 3), keepdim=True, correction=0)
    scale = torch.where(deviation > FLAT, 1 / deviation, 0)
    return patches.sub_(mean).mul_(scale)


def _mean_wasserstein(a: torch.Tensor, b: torch.Tensor, directions: torch.Tensor, rows: Rows, what: str) -> float:
    """Mean over unit `directions` `[K, 147]` of the 1-D Wasserstein distance between projected points `[M, 147]`."""

    def compute(start: int, stop: int) -> np.ndarray:
        parts = directions[start:stop].split(DIRECTIONS_AT_ONCE)
        distances = [(_sort(some @ a.T) - _sort(some @ b.T)).abs_().mean(dim=1) for some in parts]
        return torch.cat(distances).cpu().numpy()

    return float(rows(what, len(directions), compute, DIRECTIONS_AT_ONCE).mean(dtype=np.float64))


def _sort(rows: torch.Tensor) -> torch.Tensor:
    """Sort along the last axis. Sorting is most of the work, and NumPy's takes a quarter of PyTorch's time on a CPU."""
    if rows.device.type == "cpu":
        return torch.from_numpy(np.sort(rows.numpy(), axis=-1))
    return rows.sort(dim=-1).values


def measure(job: Job, num: int) -> list[Value]:
    """SWD with its levels, and the distance between two halves of the real pictures: what chance alone gives."""
    real, fake = job.pictures("data"), job.pictures("fake")
    if real.resolution != fake.resolution:
        raise UsageError(
            f"{fake.name} has {fake.resolution}², {real.name} has {real.resolution}²: SWD compares equal sizes",
            f"sg data pack {real.name} resized.zip --size {fake.resolution}",
        )
    if fake.resolution < MIN_RESOLUTION:
        size = f"SWD takes pictures from {MIN_RESOLUTION}², not {fake.resolution}²"
        raise UsageError(f"{fake.name}: {size}", "sg metrics kid takes any size")
    count = min(real.count(num, 2), fake.count(num, 2))
    images = job.take("data", count)
    levels, mean = sliced_wasserstein(images, job.take("fake", count), seed=job.seed, rows=job.rows(count, job.seed))
    _, floor = noise_floor(images, seed=job.seed, rows=job.rows(count, job.seed, "noise floor"))
    return [Value(mean, {"levels": levels, "noise_floor": floor, "num_real": count, "num_fake": count})]
