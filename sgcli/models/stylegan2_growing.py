"""Configurations B to D of the StyleGAN2 paper: demodulated layers, but still progressive growing (spec
stylegan2-ada §5.1).

The `skip` connections of the later networks put a ToRGB and a FromRGB at every resolution, which is what growing needs;
only the newest of them is in use, instead of the sum of all. All in fp32, without clamps, as published.
"""

from __future__ import annotations

import torch

from sgcli.models import discriminator, stylegan2
from sgcli.models.growing import GrowingDiscriminator, GrowingSynthesis

OPTIONS = {"architecture": "skip", "num_fp16_res": 0, "conv_clamp": None}


class SynthesisNetwork(GrowingSynthesis, stylegan2.SynthesisNetwork):
    """ws to pictures. See `stylegan2.SynthesisNetwork` for the other arguments."""

    def __init__(self, *sizes: int, **options):
        super().__init__(*sizes, **OPTIONS, **options)

    def run_block(self, block, x, ws, maps) -> tuple[torch.Tensor, torch.Tensor]:
        first = max(2 * (block.resolution.bit_length() - 3) - 1, 0)
        last = first + block.num_convs
        return block(x, None, ws[:, first : last + 1], maps[first:last])


class Generator(stylegan2.Generator):
    """StyleGAN2 with progressive growing."""

    synthesis_class = SynthesisNetwork


class Discriminator(GrowingDiscriminator, discriminator.Discriminator):
    """Pictures (and labels) to logits. See `discriminator.Discriminator` for the other arguments."""

    def __init__(self, **options):
        super().__init__(**OPTIONS, **options)

    def forward(self, img: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        x = self.features(img).to(torch.float32)
        return self.b4.score(x, self.mapping(None, c) if self.c_dim > 0 else None)
