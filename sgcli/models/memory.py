"""How the numbers of a network lie in memory: as convolutions read them."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def place(network: Network, device: torch.device | str = "cpu") -> Network:
    """Move `network` to `device`, channels-last; returns it.

    Layers that convolve transposed say so by `is_transposed`: their weights `[out, in, k, k]` are read with in and out
    exchanged, and lie in memory in that order. Anything else would be copied at every call.
    """
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in network.modules():
        if getattr(module, "is_transposed", False):
            weight = module.weight
            assert isinstance(weight, nn.Parameter)
            exchanged = weight.data.transpose(0, 1).contiguous(memory_format=torch.channels_last)
            weight.data = exchanged.transpose(0, 1)
    return network
