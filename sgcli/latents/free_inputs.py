"""Noise maps and input transforms as variables of a projection (spec stylegan2-ada §8.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from sgcli.latents.inputs import Inputs
from sgcli.models.base import Generator
from sgcli.models.fourier_input import input_motion, movable_input

COARSEST_SIDE = 8  # of the pyramids in which noise is looked at for structure
MOTION_RATE = 0.02  # share of w's learning rate: a motion is in picture widths, w has a spread of about 1


class FreeInputs:
    """One set of noise maps for each of N pictures; for a StyleGAN3 the input's turn and shift.

    Maps of one resolution lie in one tensor `[N, K, r, r]`, which makes a step a handful of operations per resolution.
    """

    def __init__(self, G: Generator, count: int, random: torch.Generator):
        """Start from normal noise, the same for every picture: the result of one does not depend on those beside it."""
        device = next(G.parameters()).device
        self.resolutions = [layer.resolution for layer in G.synthesis.noise_layers()]
        self.stacks: dict[int, torch.Tensor] = {}
        for r in sorted(set(self.resolutions), reverse=True):
            start = torch.randn(1, self.resolutions.count(r), r, r, generator=random).to(device)
            self.stacks[r] = start.repeat(count, 1, 1, 1).requires_grad_()
        self.motion: torch.Tensor | None = None
        if movable_input(G.synthesis) is not None:
            self.motion = torch.tensor([[1.0, 0.0, 0.0, 0.0]], device=device).repeat(count, 1).requires_grad_()
            # Only sg3-r was made to turn its pictures; the others are moved.
            self._mask = torch.tensor([G.synthesis.turns, G.synthesis.turns, True, True], device=device)

    def parameter_groups(self) -> list[dict]:
        """For the optimiser; `rate` is the share of the learning rate."""
        groups: list[dict] = [{"params": list(self.stacks.values()), "rate": 1.0}] if self.stacks else []
        if self.motion is not None:
            groups.append({"params": [self.motion], "rate": MOTION_RATE})
        return groups

    def variables(self) -> list[torch.Tensor]:
        """All of them, `[N, …]`."""
        return [*self.stacks.values()] + ([] if self.motion is None else [self.motion])

    def as_inputs(self, values: list[torch.Tensor]) -> Inputs:
        """Values of the `variables` as inputs of the network; gradients flow through."""
        maps = {r: list(stack.split(1, dim=1)) for r, stack in zip(self.stacks, values, strict=False)}
        noise = [maps[r].pop(0) for r in self.resolutions]
        if self.motion is None:
            return Inputs(noise)
        still = self.motion.new_tensor([1.0, 0.0, 0.0, 0.0])
        return Inputs(noise, input_motion(torch.where(self._mask, values[-1], still)))

    def penalty(self) -> torch.Tensor:
        """`[N]`: how much neighbouring values of the noise maps agree, so that no picture can hide in them.

        The squared correlations with the neighbours across and down, summed over all maps and, for each, over a pyramid
        of 2x2 means that ends at 8x8. Maps of all resolutions go down together.
        """
        total = torch.zeros([])
        larger: torch.Tensor | None = None
        for r, stack in self.stacks.items():  # from fine to coarse, each half the one before
            maps = stack
            if larger is not None and r >= COARSEST_SIDE:
                maps = torch.cat([stack, F.avg_pool2d(larger, 2)], dim=1)
            total = total + neighbour_correlations(maps)
            larger = maps
        return total

    @torch.no_grad()
    def normalize(self) -> None:
        """Give every map mean 0 and standard deviation 1 again."""
        for stack in self.stacks.values():
            deviation, mean = torch.std_mean(stack, dim=(2, 3), correction=0, keepdim=True)
            stack.sub_(mean).div_(deviation)


def neighbour_correlations(maps: torch.Tensor) -> torch.Tensor:
    """Noise maps `[N, K, r, r]` to `[N]`: squared mean products with the pixel beside and below, summed over K."""
    across = (maps * maps.roll(1, dims=3)).mean(dim=(2, 3)).square()
    down = (maps * maps.roll(1, dims=2)).mean(dim=(2, 3)).square()
    return (across + down).sum(dim=1)
