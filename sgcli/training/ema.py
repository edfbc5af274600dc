"""The moving average of G's weights, which is what is kept and drawn from (spec stylegan2-ada §5)."""

from __future__ import annotations

import torch
from torch import nn


def ema_decay(batch: int, cur_nimg: int, ema_kimg: float, rampup: float | None) -> float:
    """β = 0.5^(batch / half-life), the half-life in images; early in training at most rampup · cur_nimg."""
    half_life = ema_kimg * 1000
    if rampup is not None:
        half_life = min(half_life, cur_nimg * rampup)
    return 0.5 ** (batch / max(half_life, 1e-8))


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Parameters move towards `network`'s by 1 - decay; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    torch._foreach_copy_(list(average.buffers()), list(network.buffers()))
