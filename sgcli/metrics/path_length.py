"""The figure that path-length regularisation holds even, `‖Jᵀy‖`, measured on a finished model (spec stylegan2-ada §5).

Beside the mean, its relative deviation: the smaller, the more evenly do pictures answer to steps in W.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from sgcli.errors import SgError
from sgcli.latents.draw import to_ws
from sgcli.latents.seeds import latents_of_seeds
from sgcli.metrics.results import Value
from sgcli.metrics.sources import DrawnPictures
from sgcli.models import path_length
from sgcli.models.base import Generator
from sgcli.models.noise import random_noise_maps
from sgcli.models.precision import fixed_precision

if TYPE_CHECKING:
    from sgcli.metrics.job import Job


def lengths_of_seeds(G: Generator, seeds: Sequence[int], c: torch.Tensor | None = None) -> np.ndarray:
    """`‖Jᵀy‖` at the w of each seed, with fresh noise maps and y; fp32, `[N]`. c: labels `[N, c_dim]`; None: zeros."""
    device = next(G.parameters()).device
    generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    z = torch.from_numpy(latents_of_seeds(seeds, G.z_dim)).to(device)
    with fixed_precision(G, "fp32"), torch.enable_grad():
        ws = to_ws(G, z, None if c is None else c.to(device)).detach().requires_grad_(True)
        img = G.synthesis(ws, noise=random_noise_maps(G.synthesis.noise_layers(), generators))
        lengths = path_length.path_lengths(img, ws, path_length.path_length_noise(img, generators))
    return lengths.detach().cpu().numpy()


def measure(job: Job, num: int) -> list[Value]:
    """Mean length over `num` pictures, and how much it varies among them."""
    G, drawn = job.G, job.fake
    assert isinstance(drawn, DrawnPictures)

    def compute(start: int, stop: int) -> np.ndarray:
        parts = [range(first, min(first + job.batch, stop)) for first in range(start, stop, job.batch)]
        seeds = [drawn.seeds(part) for part in parts]
        lengths = np.concatenate([lengths_of_seeds(G, some, drawn.labels(some)) for some in seeds])
        if not np.isfinite(lengths).all():
            raise SgError(f"{drawn.name}: its path lengths are not finite", "take an earlier snapshot of its run")
        return lengths

    lengths = job.rows()("path lengths", num, compute).astype(np.float64)
    mean, deviation = float(lengths.mean()), float(lengths.std())
    spread = {"std": deviation, "relative_std": deviation / mean if mean else 0.0, "stderr": deviation / num**0.5}
    return [Value(mean, {**spread, "num_fake": num})]
