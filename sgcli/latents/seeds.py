"""Seeds to latents: z of seed N is RandomState(N).randn(z_dim), as in the published tools (spec stylegan2-ada §7)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def latents_of_seeds(seeds: Iterable[int], z_dim: int) -> np.ndarray:
    """`[N, z_dim]` float32; each row depends on its own seed only."""
    rows = [np.random.RandomState(seed).randn(z_dim) for seed in seeds]
    return np.array(rows, dtype=np.float32).reshape(-1, z_dim)
