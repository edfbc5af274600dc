"""All randomness of training is a function of (seed, purpose, images seen); no generator is carried between steps.

So a resumed run needs no saved generator states to continue with the same bits, and the draws for an image do not
depend on how a batch is split into micro-batches or dealt to workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sgcli.distributed.group import ALONE, Group


def generator_for(seed: int, purpose: str, position: int) -> np.random.Generator:
    """A NumPy generator for one purpose at one position of the run."""
    return np.random.default_rng(_entropy(seed, purpose, position))


def torch_generators_for(
    seed: int, purpose: str, numbers: Sequence[int], device: torch.device
) -> list[torch.Generator]:
    """One torch generator for each of the images with these global numbers."""
    return [torch.Generator(device).manual_seed(_entropy(seed, purpose, number) % 2**63) for number in numbers]


def uniforms_for(seed: int, purpose: str, numbers: Sequence[int], count: int) -> np.ndarray:
    """Uniform numbers in (0, 1) for each of the images with these global numbers, `[len(numbers), count]` float64.

    They are the bits of a hash: a generator takes longer to set up than so few numbers to draw.
    """
    digests = [hashlib.shake_128(f"{seed}/{purpose}/{number}".encode()).digest(4 * count) for number in numbers]
    return (np.frombuffer(b"".join(digests), "<u4").reshape(-1, count) + 0.5) / 2**32


def _entropy(seed: int, purpose: str, position: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}/{position}".encode(), digest_size=8).digest(), "little")


@dataclass
class Latents:
    """What the generator of one phase is fed: N images of a batch."""

    z: torch.Tensor  # [N, z_dim]
    z_mixed: torch.Tensor  # [N, z_dim], for the layers from `cutoff` on
    cutoff: int | None  # style-mixing crossover; None: no mixing
    c: torch.Tensor  # [N, c_dim]
    seed: int
    purpose: str
    numbers: Sequence[int]  # global number of each image

    def __len__(self) -> int:
        return self.z.shape[0]

    def part(self, start: int, stop: int) -> Latents:
        """The images start … stop-1 of this batch."""
        z, z_mixed, c = (tensor[start:stop] for tensor in (self.z, self.z_mixed, self.c))
        return Latents(z, z_mixed, self.cutoff, c, self.seed, self.purpose, self.numbers[start:stop])

    def noise_generators(self) -> list[torch.Generator]:
        return torch_generators_for(self.seed, f"noise/{self.purpose}", self.numbers, self.z.device)


def draw_latents(
    *,
    seed: int,
    purpose: str,                # the phase
    first: int,                  # global number of the batch's first image
    batch: int,
    z_dim: int,
    num_ws: int,
    style_mixing_prob: float,
    labels: torch.Tensor,        # [N, c_dim], of this worker's images
    group: Group = ALONE,
) -> Latents:  # fmt: skip
    """Latents, labels and the style-mixing crossover of one phase of one step (spec stylegan2-ada §5).

    The whole batch is drawn, and this worker's part of it kept.
    With probability style_mixing_prob the crossover is uniform in [1, num_ws - 1]; else there is no mixing.
    """
    rng = generator_for(seed, f"latents/{purpose}", first)
    z, z_mixed = rng.standard_normal([2, batch, z_dim], dtype=np.float32)
    mixes, cutoff = rng.random() < style_mixing_prob, int(rng.integers(1, max(num_ws, 2)))
    device = labels.device
    return Latents(
        group.deal(torch.from_numpy(z)).to(device),
        group.deal(torch.from_numpy(z_mixed)).to(device),
        cutoff if mixes and num_ws > 1 else None,
        labels,
        seed,
        purpose,
        group.deal(range(first, first + batch)),
    )
