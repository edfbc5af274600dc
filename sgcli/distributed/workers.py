"""`--procs N`: start N workers of this very command on this machine, and see them to their end.

A worker is the same command once more, told by torchrun's own environment variables that it belongs to a group; so
`--procs 8` and `torchrun --nproc-per-node 8 -m sgcli` lead to the same.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import torch.distributed as dist

from sgcli.errors import SgError

SECONDS_TO_END = 20.0  # for the other workers, once one has failed


def is_worker() -> bool:
    """Whether this process was started as one of a group, by `run_workers` or torchrun."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def run_workers(count: int, arguments: Sequence[str]) -> None:
    """Run `sg` with `arguments` in `count` processes. Worker 0 has this process's stdin and stdout.

    SIGINT and SIGTERM are passed on. Raises SgError where a worker was killed, SystemExit with its status where it
    failed; the other workers are ended then.
    """
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    workers = [_start(rank, count, store.port, arguments) for rank in range(count)]
    try:
        with _pass_on_signals(workers) as passed_on:
            failed = _wait(workers)
    finally:
        _end(workers)
    if failed is None:
        return
    status = workers[failed].returncode
    if passed_on:
        raise SystemExit(128 + passed_on[0])
    if status < 0:
        raise SgError(
            f"worker {failed} of {count} was killed ({signal.Signals(-status).name}); the others were stopped",
            "start it again: sg train goes on with --resume auto, metrics do by themselves; if the machine ran out of "
            "memory, with a smaller --batch-gpu or --batch",
        )
    raise SystemExit(status)


def _start(rank: int, count: int, port: int, arguments: Sequence[str]) -> subprocess.Popen:
    threads = max((os.cpu_count() or 1) // count, 1)
    environment = {
        "OMP_NUM_THREADS": str(threads),
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # worker 0 need not open a store: this process has
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "sgcli", *arguments],
        env=environment,
        stdin=None if rank == 0 else subprocess.DEVNULL,
        stdout=None if rank == 0 else subprocess.DEVNULL,
        start_new_session=True,  # so that Ctrl-C reaches this process alone, which passes it on once
    )


def _wait(workers: Sequence[subprocess.Popen]) -> int | None:
    """Until all have ended well (None), or one has not: its number."""
    while True:
        states = [worker.poll() for worker in workers]
        failed = [rank for rank, state in enumerate(states) if state]
        if failed:
            # A worker that was killed is the cause of what the others complain about.
            return next((rank for rank in failed if (states[rank] or 0) < 0), failed[0])
        if all(state == 0 for state in states):
            return None
        time.sleep(0.05)


def _end(workers: Sequence[subprocess.Popen]) -> None:
    """See to it that none is left: those that wait for a lost one notice by themselves, or are told."""
    deadline = time.monotonic() + SECONDS_TO_END
    for number, seconds in ((None, SECONDS_TO_END / 4), (signal.SIGTERM, SECONDS_TO_END / 2), (signal.SIGKILL, None)):
        for worker in workers:
            if worker.poll() is None and number is not None:
                worker.send_signal(number)
        until = deadline if seconds is None else time.monotonic() + seconds
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(max(until - time.monotonic(), 0.01))
        if all(worker.poll() is not None for worker in workers):
            return


@contextlib.contextmanager
def _pass_on_signals(workers: Sequence[subprocess.Popen]) -> Iterator[list[int]]:
    """Yield the list of signals that came and were sent to every worker."""
    came: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        came.append(number)
        for worker in workers:
            if worker.poll() is None:
                worker.send_signal(number)

    previous = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
