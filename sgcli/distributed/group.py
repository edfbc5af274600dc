"""What workers do together. Alone, a worker does nothing to that end: every call of `Group` is an identity.

    group = join(device)                  the group that torchrun or --procs put this process in, else a group of one
    group.deal(range(first, first + n))   this worker's images of a batch
    group.average_(gradients, "Gmain")

Items are dealt like cards: worker r gets r, r + world, r + 2·world, … So minibatch-stddev groups, which stride through
the batch in the same way, hold the same images however many workers there are, and so does the first half of a batch.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import os
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist

# Its functions have the default group as a default argument: imported later, by torch.optim for one, they would hold it
# for ever, and its threads would go on into the end of the interpreter, which then may abort (see `Workers._leave`).
import torch.distributed.nn.functional

from sgcli.distributed.watch import Watch
from sgcli.errors import SgError, is_out_of_memory

T = TypeVar("T")
Dealt = TypeVar("Dealt", bound=Any)
BUCKET_BYTES = 64 << 20  # of gradients that travel together
DEFAULT_PATIENCE = 600.0  # seconds that a worker waits for the others; $SG_PATIENCE changes it


class Group:
    """A group of one."""

    rank, world = 0, 1

    @property
    def leads(self) -> bool:
        """Whether this is the worker that writes files."""
        return self.rank == 0

    def __deepcopy__(self, memo: dict) -> Group:
        """Copies of a network belong to the same group."""
        return self

    def deal(self, items: Dealt) -> Dealt:
        """This worker's part of a sequence, array or tensor: every world-th item, from its rank on."""
        return items[self.rank :: self.world]

    def at(self, stage: str) -> None:
        """Say what this worker does now, for the message when something hangs."""

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over the workers; gradients flow through it to all of them."""
        return values

    def average_(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace tensors of all workers by their means, in place."""

    def total(self, *numbers: float) -> list[float]:
        """The sum over the workers of each of a few numbers."""
        return list(numbers)

    def largest(self, number: int) -> int:
        """The largest of the workers' numbers."""
        return number

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Around work that may take more memory than there is: where one worker runs out, all raise OutOfMemory.

        So none waits for one that has given up, and they can try again together.
        """
        try:
            yield
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemory(self.rank) from error
            raise

    def from_leader(self, value: T) -> T:
        """What worker 0 has."""
        return value

    def collect(self, items: Sequence[Any]) -> list[Any]:
        """The items of all workers in the order in which `deal` had them: on worker 0; the others get an empty list."""
        return list(items)

    def collect_rows(self, rows: torch.Tensor, count: int) -> torch.Tensor:
        """Dealt rows `[n, …]` put together again, `[count, …]`, for every worker."""
        return rows

    def check(self, failure: Exception | None) -> None:
        """Raise what went wrong on this worker or, on all of them, on another one, so that none waits for it."""
        if failure is not None:
            raise failure

    def wait(self) -> None:
        """Until all workers are here."""

    def close(self) -> None:
        """Leave the group, when all have done their work."""


ALONE = Group()


class Workers(Group):
    """One process of several, connected by torch.distributed: NCCL between GPUs, Gloo between CPUs.

    Every call that waits for the others names the stage if they do not come: `WorkerLost` where a connection breaks,
    the end of the process (sgcli.distributed.watch) where nobody answers.
    """

    def __init__(self, device: torch.device, patience: float):
        self.device = device
        self._attempts = False
        meeting = dist.rendezvous("env://", timeout=datetime.timedelta(seconds=patience))
        store, self.rank, self.world = next(meeting)
        self._watch = Watch(store, self.rank, self.world, patience)
        atexit.register(self._leave)
        with self._together():
            backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
            timeout = datetime.timedelta(days=7)  # the watch knows better how long to wait
            dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.world, timeout=timeout)

    def at(self, stage: str) -> None:
        self._watch.move(stage)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        return _Mean.apply(values, self)

    @torch.no_grad()
    def average_(self, tensors: Sequence[torch.Tensor]) -> None:
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            self._sum_(flat).div_(self.world)
            for tensor, part in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(part.view(tensor.shape))

    def total(self, *numbers: float) -> list[float]:
        return self._sum_(torch.tensor(numbers, dtype=torch.float64)).tolist()

    def largest(self, number: int) -> int:
        tensor = torch.tensor(number)
        with self._together():
            dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return int(tensor)

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        self._attempts = True
        try:
            yield
            self._agree()
        except Exception as error:
            # Whoever runs out goes where the others are going: to their next meeting, which begins with an agreement.
            if is_out_of_memory(error) and not isinstance(error, OutOfMemory):
                self._agree(ran_out=True)
            raise
        finally:
            self._attempts = False

    def _agree(self, ran_out: bool = False) -> None:
        if worker := self.largest(self.rank + 1 if ran_out else 0):
            raise OutOfMemory(worker - 1)

    def from_leader(self, value: T) -> T:
        box = [value]
        with self._together():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def collect(self, items: Sequence[Any]) -> list[Any]:
        parts: list[Any] | None = [None] * self.world if self.leads else None
        with self._together():
            dist.gather_object(list(items), parts, dst=0)
        if parts is None:
            return []
        result: list[Any] = [None] * sum(map(len, parts))
        for rank, part in enumerate(parts):
            result[rank :: self.world] = part
        return result

    def collect_rows(self, rows: torch.Tensor, count: int) -> torch.Tensor:
        most = -(-count // self.world)
        padded = torch.cat([rows, rows.new_zeros(most - len(rows), *rows.shape[1:])])
        everyone = [torch.empty_like(padded) for _ in range(self.world)]
        with self._together():
            dist.all_gather(everyone, padded)
        return torch.stack(everyone, dim=1).flatten(0, 1)[:count]

    def check(self, failure: Exception | None) -> None:
        hint = getattr(failure, "hint", None)
        told = None if failure is None else (getattr(failure, "message", str(failure)), hint)
        others = self.collect([told])
        first = self.from_leader(next((text for text in others if text is not None), None))
        super().check(failure)
        if first is not None:
            raise SgError(*first)

    def wait(self) -> None:
        self.total(0)

    def close(self) -> None:
        self.wait()
        self._leave()

    def _leave(self) -> None:
        """End the threads of this worker, at the latest before the interpreter ends, also after a failure.

        One that asks for the interpreter's lock while it ends (the watch after posting, Gloo's when it lets go of a
        tensor that Python knows) makes the process abort: "terminate called without an active exception".
        """
        atexit.unregister(self._leave)
        self._watch.stop()
        if dist.is_initialized():
            dist.destroy_process_group()

    def _sum_(self, tensor: torch.Tensor) -> torch.Tensor:
        if self._attempts:
            self._agree()
        with self._together():
            dist.all_reduce(tensor)
        return tensor

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        """Around every call that waits for the others."""
        self._watch.enter()
        try:
            yield
        except RuntimeError as error:
            raise WorkerLost(self._watch.describe_loss()) from error
        finally:
            self._watch.leave()


class WorkerLost(SgError):
    """Another worker of the group has ended or cannot be reached."""

    def __init__(self, message: str):
        super().__init__(message, "start it again: sg train goes on with --resume auto, metrics do by themselves")


class OutOfMemory(MemoryError):
    """Worker number `worker` of the group ran out of memory in an attempt."""

    def __init__(self, worker: int):
        super().__init__(f"out of memory on worker {worker}")
        self.worker = worker


class _Mean(torch.autograd.Function):
    """y = mean of all workers' x. Each worker's loss depends on every x, so gradients are averaged in the same way."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, group: Workers) -> torch.Tensor:
        ctx.group = group
        return group._sum_(values.detach().clone()).div_(group.world)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _Mean.apply(gradients[0], ctx.group), None


def join(device: torch.device) -> Group:
    """The group that torchrun or `start_workers` put this process in, else a group of one. Raises WorkerLost."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return Group()
    return Workers(device, float(os.environ.get("SG_PATIENCE", DEFAULT_PATIENCE)))


def _buckets(tensors: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Neighbours of one type, up to BUCKET_BYTES together."""
    bucket: list[torch.Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size + tensor.nbytes > BUCKET_BYTES or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket
