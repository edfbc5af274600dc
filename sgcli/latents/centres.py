"""Where in W a class lies: its mean, towards which a conditional model can be truncated."""

from __future__ import annotations

import torch

from sgcli.latents.seeds import latents_of_seeds
from sgcli.models.base import Generator

NUM_SEEDS = 10_000
AT_ONCE = 1000


@torch.inference_mode()
def class_centre(G: Generator, c: torch.Tensor) -> torch.Tensor:
    """Mean w of the class with label c `[1, c_dim]`, over the first ten thousand seeds. `[w_dim]`, on G's device.

    `w_avg`, the usual centre of truncation, is the mean over all classes as often as training saw them.
    """
    device = next(G.parameters()).device
    total = torch.zeros(G.w_dim, dtype=torch.float64, device=device)
    for start in range(0, NUM_SEEDS, AT_ONCE):
        z = torch.from_numpy(latents_of_seeds(range(start, start + AT_ONCE), G.z_dim)).to(device)
        total += G.mapping(z, c.to(device).expand(len(z), -1))[:, 0].double().sum(dim=0)
    return (total / NUM_SEEDS).float()
