"""Run a function in several processes that form a group, in the test's own process tree."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from sgcli.distributed.group import join


def run_in_group(function: Callable[..., Any], world: int, *arguments: Any) -> list[Any]:
    """`function(group, *arguments)` in `world` processes; what it returned, by rank."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_member, (world, store.port, folder, function, arguments), nprocs=world)
        return [torch.load(f"{folder}/{rank}") for rank in range(world)]


def _member(rank: int, world: int, port: int, folder: str, function: Callable[..., Any], arguments: tuple) -> None:
    torch.set_num_threads(1)
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TORCHELASTIC_USE_AGENT_STORE="True",
        WORLD_SIZE=str(world), RANK=str(rank), SG_PATIENCE="60",
    )  # fmt: skip
    group = join(torch.device("cpu"))
    torch.save(function(group, *arguments), f"{folder}/{rank}")
    group.close()
