"""Timing several ways of doing the same thing in one run, in turns, so that a noisy machine disturbs all alike."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch

from sgcli.ops import native


@dataclass
class Timing:
    """Seconds of one way: the median, and the quartiles around it."""

    median: float
    low: float
    high: float


def time_in_turns(
    ways: Mapping[str, Callable[[], object]], device: torch.device, repeats: int = 9, min_seconds: float = 0.02
) -> dict[str, Timing]:
    """Time every way `repeats` times, one after the other in each round. Short ways are repeated within a round."""
    counts = {name: _calls_for(way, device, min_seconds) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            seconds[name].append(_time(way, counts[name], device))
    return {name: _summarize(values) for name, values in seconds.items()}


def _calls_for(way: Callable[[], object], device: torch.device, min_seconds: float) -> int:
    _time(way, 1, device)  # the first call compiles, allocates, chooses algorithms
    return max(1, round(min_seconds / max(_time(way, 1, device), 1e-7)))


def _time(way: Callable[[], object], calls: int, device: torch.device) -> float:
    _wait_for(device)
    start = time.perf_counter()
    for _ in range(calls):
        way()
    _wait_for(device)
    return (time.perf_counter() - start) / calls


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _summarize(values: list[float]) -> Timing:
    low, median, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return Timing(median, low, high)


@contextlib.contextmanager
def operators(mode: str) -> Iterator[None]:
    """Run with SG_OPS=`mode`: strict (native or fail) or reference."""
    before = os.environ.get("SG_OPS")
    os.environ["SG_OPS"] = mode
    native.mode.cache_clear()
    try:
        yield
    finally:
        os.environ.pop("SG_OPS")
        if before is not None:
            os.environ["SG_OPS"] = before
        native.mode.cache_clear()
