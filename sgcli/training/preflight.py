"""`--batch auto` and `--batch-gpu auto`: how many pictures fit into memory at once, found out before the first step.

Every phase is run on tensors without data (training.estimate), and what autograd keeps for its backward pass is added
up; path length and R1 keep the most. Memory grows evenly with the pictures, so two sizes tell all others. What still
does not fit at run time is halved then (training.loop).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from sgcli.errors import SgError
from sgcli.training.config import TrainingConfig
from sgcli.training.estimate import phase_bytes, state_bytes

USABLE = 0.7  # of the free memory: operators need room beside what autograd keeps
LARGEST_BATCH = 64  # that --batch auto chooses for a worker; published trainings have no more
MINIBATCH_GROUP = 4

Fields = Mapping[str, Any]


def choose_sizes(
    resolve: Callable[[Fields], TrainingConfig], fields: Fields, workers: int, free: int
) -> tuple[dict[str, int], list[str]]:
    """Numbers in the place of "auto" in `fields` (batch, batch_gpu), and how much memory each phase takes, in words.

    resolve: fields to a configuration. free: bytes that a worker may use. Raises SgError where nothing fits.
    """
    first, second = MINIBATCH_GROUP, 2 * MINIBATCH_GROUP
    config = resolve({**fields, "batch": first * workers, "batch_gpu": first})
    small, large = phase_bytes(config, first), phase_bytes(config, second)
    fixed = state_bytes(config)

    def needed(count: int) -> dict[str, int]:
        return {name: fixed + small[name] + (large[name] - small[name]) * (count - first) // first for name in small}

    def fits(count: int) -> bool:
        return max(needed(count).values()) <= USABLE * free

    if fields.get("batch") == "auto":
        sizes = [2**power for power in range(LARGEST_BATCH.bit_length())]
        share = next((size for size in reversed(sizes) if size >= first and fits(size)), first)
    else:
        share = resolve({**fields, "batch_gpu": None}).batch // workers
    batch_gpu = next((size for size in range(share, 0, -1) if share % size == 0 and fits(size)), None)
    if batch_gpu is None:
        least = max(needed(1).values())
        raise SgError(
            f"not even one picture at a time fits: {least / 1e9:.2g} GB of {free / 1e9:.2g} GB that are free",
            "--tiny, a smaller --channels-base, or smaller pictures: sg data pack DATA small.zip --size 128",
        )
    lines = [f"{name}: {size / 1e9:.2g} GB" for name, size in needed(batch_gpu).items()]
    chosen = {"batch": share * workers, "batch_gpu": batch_gpu}
    return {name: chosen[name] for name in chosen if fields.get(name) == "auto"}, lines


def free_memory(device: torch.device, workers: int) -> int:
    """Bytes that one of `workers` on this machine may use: of its own GPU, or its share of what is left."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()) != "max":
        free = min(free, int(text) - int(limit.with_name("memory.current").read_text()))
    return max(free, 0) // workers
