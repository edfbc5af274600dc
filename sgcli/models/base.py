"""What every generator answers, whatever its generation, so that one set of commands serves all."""

from __future__ import annotations

import torch
from torch import nn

from sgcli.models.layers import MappingNetwork
from sgcli.models.noise import NoiseChoice, NoiseLayer
from sgcli.models.style_layers import StyleLayer


class Synthesis(nn.Module):
    """ws `[N, num_ws, w_dim]` to pictures `[N, img_channels, img_resolution, img_resolution]`."""

    num_ws: int
    turns = False  # whether pictures turn with the input, as StyleGAN3-R's do

    @property
    def num_active_ws(self) -> int:
        """How many of the num_ws styles have an effect: fewer than all while a network is growing."""
        return self.num_ws

    def noise_layers(self) -> list[NoiseLayer]:
        """The layers that take a noise map, from coarse to fine."""
        raise NotImplementedError

    def style_layers(self) -> list[StyleLayer]:
        """What each of the num_ws styles controls."""
        raise NotImplementedError

    def forward(self, ws: torch.Tensor, noise: NoiseChoice = "random", update_emas: bool = False) -> torch.Tensor:
        """Picture in fp32, about [-1, 1], unclamped.

        noise        "random" (fresh), "const" (the model's own), "none", or one map `[N|1, 1, r, r]` per noise layer.
        update_emas  let the running magnitudes of activations follow this batch; networks without them ignore it.
        """
        raise NotImplementedError


class Generator(nn.Module):
    """`mapping(z, c) -> ws`, `synthesis(ws) -> picture`."""

    z_dim: int
    c_dim: int
    w_dim: int
    num_ws: int
    img_resolution: int
    img_channels: int
    mapping: MappingNetwork
    synthesis: Synthesis

    def forward(
        self,
        z: torch.Tensor,
        c: torch.Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise: NoiseChoice = "random",
    ) -> torch.Tensor:
        """z `[N, z_dim]`, c `[N, c_dim]` -> picture `[N, img_channels, img_resolution, img_resolution]`."""
        return self.synthesis(self.mapping(z, c, truncation_psi, truncation_cutoff), noise=noise)
