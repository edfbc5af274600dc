"""How the numbers of a network lie in memory, as convolutions read them; and how much memory a piece of work takes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
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


def peak_memory(way: Callable[[], object], device: torch.device) -> int:
    """Bytes that tensors made by `way` take at most, results and what is kept for a backward pass included."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        way()
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler would announce itself
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        way()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(itertools.accumulate(changes), default=0)
