"""Perceptual path length (Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial
Networks", section 4.1; spec progan-stylegan1 §6.2): how much a picture changes per step through latent space.

Published in two variants: StyleGAN's looks at the middle of a face and at several ways through latent space;
StyleGAN2's at the whole picture, at ends of ways through W. The distance between pictures is an argument: a perceptual
one gives the published metric, `squared_difference` one that needs no trained network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from sgcli.errors import SgError, UsageError
from sgcli.features.lpips import load_lpips
from sgcli.files import sha256_of_file
from sgcli.latents.interpolate import lerp, slerp
from sgcli.metrics.pixels import as_rgb
from sgcli.metrics.results import Value
from sgcli.metrics.sources import DrawnPictures
from sgcli.models.base import Generator
from sgcli.models.noise import random_noise_maps
from sgcli.models.precision import fixed_precision

if TYPE_CHECKING:
    from sgcli.metrics.job import Job

EPSILON = 1e-4  # step between the two pictures, as a share of the way between two latents
CROP_UNITS = 8  # the crop is made of eighths of the picture
MIN_LPIPS_SIDE = 16
LARGEST_SIDE = 256  # pictures are shrunk to it after cropping
TRIMMED_PERCENT = 1  # of the distances, at either end
DISTANCES = ("lpips", "l2")

Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # two [N, C, H, W] in 0…255, not clipped -> [N]


@dataclass(frozen=True)
class Paths:
    """Which steps are taken, and what is looked at."""

    space: str = "w"  # w: along straight lines; z: along the sphere
    sampling: str = "end"  # full: anywhere between two latents; end: at the first
    crop: bool = False  # only where a face would be, as StyleGAN's paper; StyleGAN2's looks at everything  # fmt: skip

    def name(self, distance: str = "lpips") -> str:
        """As the metric is called: ppl-zfull, ppl2-wend, with another distance ppl2-l2-wend."""
        other = "" if distance == "lpips" else f"-{distance}"
        return f"{'ppl' if self.crop else 'ppl2'}{other}-{self.space}{self.sampling}"


def squared_difference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of pictures `[N, C, H, W]` in 0…255, on a scale from -1 to 1. `[N]`."""
    return ((a - b) / 127.5).square().mean(dim=(1, 2, 3))


def perceptual_distance(weights: str | None, device: torch.device) -> Distance:
    """LPIPS as a `Distance`. Raises SgError where its weights cannot be had."""
    try:
        network = load_lpips(weights).to(device)
    except SgError as error:
        raise type(error)(error.message, f"{error.hint}; --distance l2 needs no weights") from error
    return lambda a, b: network(as_rgb(a) / 127.5 - 1, as_rgb(b) / 127.5 - 1)


@torch.inference_mode()
def path_lengths(
    G: Generator,
    distance: Distance,
    paths: Paths,
    seeds: Sequence[int],            # one per pair of pictures; each pair depends on its own only
    c: torch.Tensor | None = None,   # labels [N, c_dim]; None: zeros
    batch: int = 16,
) -> np.ndarray:  # fmt: skip
    """Distance / ε² of a pair of pictures ε apart, for each seed; float32 `[N]`. No truncation; computed in fp32."""
    parts = []
    with fixed_precision(G, "fp32"):
        for start in range(0, len(seeds), batch):
            part = slice(start, start + batch)
            *ends, maps = _pair(G, paths, seeds[part], None if c is None else c[part])
            a, b = (_crop(G.synthesis(ws, noise=maps), paths.crop) for ws in ends)
            parts.append((distance(a, b) / EPSILON**2).float().cpu().numpy())
    return np.concatenate(parts)


@torch.inference_mode()
def first_pictures(
    G: Generator, paths: Paths, seeds: Sequence[int], c: torch.Tensor | None = None, batch: int = 16
) -> torch.Tensor:
    """The first picture of each seed's pair, `[N, K, R, R]` in about [-1, 1], on the CPU."""
    parts = []
    with fixed_precision(G, "fp32"):
        for start in range(0, len(seeds), batch):
            part = slice(start, start + batch)
            ws, _, maps = _pair(G, paths, seeds[part], None if c is None else c[part])
            parts.append(G.synthesis(ws, noise=maps).cpu())
    return torch.cat(parts)


def trimmed_mean(values: np.ndarray) -> float:
    """Mean of the values from the 1st (rounded down) to the 99th percentile (rounded up)."""
    values = np.asarray(values, np.float64)
    low = np.percentile(values, TRIMMED_PERCENT, method="lower")
    high = np.percentile(values, 100 - TRIMMED_PERCENT, method="higher")
    return float(values[(values >= low) & (values <= high)].mean())


def measure(
    job: Job,
    num: int,
    *,
    paths: Paths,
    distance: str = "lpips",  # one of DISTANCES
    use: Callable[[np.ndarray, list[int]], None] | None = None,  # worker 0: the length of each pair, and its seed
) -> list[Value]:
    """Path length of a model over `num` pairs of pictures."""
    G, drawn = job.G, job.fake
    assert isinstance(drawn, DrawnPictures)
    side = _side(G.img_resolution, paths.crop)
    if distance == "lpips" and side < MIN_LPIPS_SIDE:
        raise UsageError(
            f"{drawn.name}: {side}x{side} pixels to look at, LPIPS needs {MIN_LPIPS_SIDE}x{MIN_LPIPS_SIDE}",
            "--distance l2" + (", or --variant sg2, which does not crop" if paths.crop else ""),
        )
    compare = squared_difference if distance == "l2" else perceptual_distance(job.weights, job.device)
    seeds = drawn.seeds(range(num))

    def compute(start: int, stop: int) -> np.ndarray:
        lengths = path_lengths(G, compare, paths, seeds[start:stop], labels(drawn, paths, seeds[start:stop]), job.batch)
        if not np.isfinite(lengths).all():
            raise SgError(f"{drawn.name}: draws NaN or infinite values", "take an earlier snapshot of its run")
        return lengths[:, None]

    weights = {} if job.weights is None else {"weights_sha256": sha256_of_file(job.weights)}
    lengths = job.rows(weights)(paths.name(distance), num, compute)[:, 0]
    if use is not None and job.group.leads:
        use(lengths, seeds)
    facts = {"distance": distance, "epsilon": EPSILON, "space": paths.space, "sampling": paths.sampling}
    return [Value(trimmed_mean(lengths), {**facts, "crop": paths.crop, **weights, "num_fake": num})]


def labels(drawn: DrawnPictures, paths: Paths, seeds: Sequence[int]) -> torch.Tensor | None:
    """Labels `[N, c_dim]` of a conditional model: zeros in StyleGAN's variant, random ones in StyleGAN2's."""
    return None if paths.crop else drawn.labels(list(seeds))


def _pair(
    G: Generator, paths: Paths, seeds: Sequence[int], c: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """ws ε apart `[N, num_ws, W]` twice, and the noise maps that both have. The first end of a way is its seed's z."""
    device = next(G.parameters()).device
    generators = [np.random.RandomState(seed) for seed in seeds]
    z = [torch.from_numpy(np.stack([rng.randn(G.z_dim) for rng in generators]).astype(np.float32)) for _ in range(2)]
    a, b = (end.to(device) for end in z)
    t = torch.tensor([[rng.rand()] for rng in generators], dtype=torch.float32, device=device)
    t = t * (paths.sampling == "full")
    c = torch.zeros(len(seeds), G.c_dim, device=device) if c is None else c.to(device)
    maps = random_noise_maps(G.synthesis.noise_layers(), [torch.Generator(device).manual_seed(seed) for seed in seeds])
    if paths.space == "z":
        return G.mapping(slerp(a, b, t), c), G.mapping(slerp(a, b, t + EPSILON), c), maps
    a, b = G.mapping(a, c), G.mapping(b, c)
    return lerp(a, b, t[:, :, None]), lerp(a, b, t[:, :, None] + EPSILON), maps


def _side(resolution: int, crop: bool) -> int:
    """Width in pixels of what is looked at, before shrinking."""
    return 4 * (resolution // CROP_UNITS) if crop else resolution


def _crop(img: torch.Tensor, crop: bool) -> torch.Tensor:
    """Pictures in 0…255 (not clipped), at most 256 pixels wide; with `crop`, only where a face would be."""
    if crop:
        c = img.shape[2] // CROP_UNITS
        img = img[:, :, 3 * c : 7 * c, 2 * c : 6 * c]
    factor = img.shape[2] // LARGEST_SIDE
    if factor > 1:
        img = F.avg_pool2d(img, factor)
    return (img + 1) * 127.5
