"""Run a function in several processes that form a group, in the test's own process tree."""

from __future__ import annotations

import atexit
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from sgcli.distributed.group import join


def run_in_group(function: Callable[..., Any], world: int, *arguments: Any) -> list[Any]:
    """`function(group, *arguments)` in `world` processes; what it returned, by rank.

    However a process ends, no thread of the group may be left in it then.
    """
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with tempfile.TemporaryDirectory() as folder:
        try:
            mp.spawn(_member, (world, store.port, folder, function, arguments), nprocs=world)
        finally:
            threads = [path.read_text() for path in Path(folder).glob("*.threads")]
            assert threads and not any("gloo" in text or "watch" in text for text in threads), threads
        return [torch.load(f"{folder}/{rank}") for rank in range(world)]


def _member(rank: int, world: int, port: int, folder: str, function: Callable[..., Any], arguments: tuple) -> None:
    torch.set_num_threads(1)
    atexit.register(_note_threads, Path(folder, f"{rank}.threads"))  # before the group's own, so that it comes after it
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TORCHELASTIC_USE_AGENT_STORE="True",
        WORLD_SIZE=str(world), RANK=str(rank), SG_PATIENCE="60",
    )  # fmt: skip
    group = join(torch.device("cpu"))
    torch.save(function(group, *arguments), f"{folder}/{rank}")
    group.close()


def _note_threads(file: Path) -> None:
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    file.write_text(" ".join([*names, *(thread.name for thread in threading.enumerate())]))
