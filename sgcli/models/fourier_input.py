"""Fourier features: the input of StyleGAN3, a continuous signal that can be moved and turned (spec stylegan3 §2).

Canvas coordinates: the picture is [-½, ½]², x to the right, y down; frequencies are in cycles per picture width.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from sgcli.models.layers import FullyConnectedLayer


class FourierInput(nn.Module):
    """Sine waves with random frequencies and phases, turned and moved as `w` and `transform` say, mixed by `weight`."""

    freqs: torch.Tensor  # [C, 2]: x, y; uniform in the disc of radius `bandwidth`
    phases: torch.Tensor  # [C], in cycles
    transform: torch.Tensor  # [3, 3], or one per picture [N, 3, 3]: the inverse of what is to be done to the picture

    def __init__(
        self,
        w_dim: int,
        channels: int,                  # C
        size: int,                      # S, samples per side, margin included
        sampling_rate: int,             # samples per picture width
        bandwidth: float,               # highest frequency
        learned_transform: bool = True,  # w turns and moves the input
    ):  # fmt: skip
        super().__init__()
        self.size, self.sampling_rate, self.bandwidth = size, sampling_rate, bandwidth
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.weight_gain = 1 / math.sqrt(channels)
        if learned_transform:
            self.affine = FullyConnectedLayer(w_dim, 4, weight_init=0)  # r_c, r_s, t_x, t_y
            self.affine.bias = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.register_buffer("freqs", uniform_in_disc(channels, bandwidth))
        self.register_buffer("phases", torch.rand(channels, device="cpu") - 0.5)
        self.register_buffer("transform", torch.eye(3, device="cpu"))

    @property
    def learned_transform(self) -> bool:
        return hasattr(self, "affine")

    def forward(self, w: torch.Tensor) -> torch.Tensor:  # [N, W] -> [N, C, S, S], fp32
        matrix = self.transform.view(-1, 3, 3)  # [N|1, 3, 3]
        if self.learned_transform:
            matrix = input_motion(self.affine(w)) @ matrix
        phases = self.phases + (self.freqs @ matrix[:, :2, 2:]).squeeze(2)  # [N|1, C]
        freqs = self.freqs @ matrix[:, :2, :2]  # [N|1, C, 2]
        x = wave_grid(freqs, phases, self.size, self.sampling_rate)  # [N|1, S, S, C]
        x = x * self.damping(freqs)[:, None, None]
        x = x @ (self.weight * self.weight_gain).T
        return x.permute(0, 3, 1, 2).expand(w.shape[0], -1, -1, -1)

    @torch.no_grad()
    def anchor(self, w: torch.Tensor) -> None:
        """Give every picture the motion of w `[W]`, that of the mean picture for w_avg, in place of its own."""
        if self.learned_transform:
            self.affine.bias = nn.Parameter(self.affine(w[None])[0], requires_grad=False)
            self.affine.weight.zero_()

    def damping(self, freqs: torch.Tensor) -> torch.Tensor:
        """1 up to the bandwidth, falling to 0 at the Nyquist frequency, where a user's scaling may bring a wave."""
        room = max(self.sampling_rate / 2 - self.bandwidth, 1e-4)
        return (1 - (freqs.norm(dim=2) - self.bandwidth) / room).clamp(0, 1)


def movable_input(synthesis: nn.Module) -> FourierInput | None:
    """The input that moves a network's picture; None where it starts from a learned constant."""
    found = getattr(synthesis, "input", None)
    return found if isinstance(found, FourierInput) else None


def uniform_in_disc(count: int, radius: float) -> torch.Tensor:
    """Random points `[count, 2]`: a normal vector's squared length is exponential, which exp(-ρ²/2) makes uniform."""
    g = torch.randn(count, 2, device="cpu")
    length = g.norm(dim=1, keepdim=True)
    return radius * (g / length) * torch.exp(-length.square() / 4)


def input_motion(t: torch.Tensor) -> torch.Tensor:
    """(r_c, r_s, t_x, t_y) `[N, 4]` -> rotation times translation `[N, 3, 3]`, both inverted, as `transform` is."""
    t = t / t[:, :2].norm(dim=1, keepdim=True)  # also the translation: it is in units of the rotation's length
    cos, sin, x, y = t.unbind(dim=1)
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    rotation = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).view(-1, 3, 3)
    translation = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).view(-1, 3, 3)
    return rotation @ translation


def wave_grid(freqs: torch.Tensor, phases: torch.Tensor, size: int, sampling_rate: int) -> torch.Tensor:
    """sin 2π(f·u + φ) at the pixels' middles u of the canvas: freqs `[N, C, 2]`, phases `[N, C]` -> `[N, S, S, C]`."""
    u = (torch.arange(size, device=freqs.device) + 0.5) / sampling_rate - size / (2 * sampling_rate)
    across = u[:, None] * freqs[:, None, :, 0]  # [N, S, C]
    down = u[:, None] * freqs[:, None, :, 1] + phases[:, None]
    return torch.sin(2 * math.pi * (down[:, :, None] + across[:, None]))


def place(translate: tuple[float, float] = (0.0, 0.0), rotate: float = 0.0) -> torch.Tensor:
    """The `transform` that turns the picture by `rotate` radians counter-clockwise, then moves it. `[3, 3]`, fp32.

    translate  to the right and down, in picture widths.
    """
    (x, y), cos, sin = translate, math.cos(rotate), math.sin(rotate)
    wanted = torch.tensor([[cos, sin, x], [-sin, cos, y], [0.0, 0.0, 1.0]], dtype=torch.float64)
    return torch.linalg.inv(wanted).float()
