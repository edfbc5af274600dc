"""Out of memory in a phase: all workers go back to where it began, and do it again with smaller micro-batches.

Draws are functions of the number of the picture, so the second attempt sees the same pictures, latents and noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from sgcli.distributed.group import OutOfMemory
from sgcli.errors import SgError
from sgcli.training.phases import MicroBatch, Phase, run_phase

if TYPE_CHECKING:
    from sgcli.training.loop import Training


def run_within_memory(training: Training, phase: Phase, split: Callable[[], list[MicroBatch]]) -> None:
    """Run a phase; where memory does not suffice, again with micro-batches of half the size, and so from there on.

    split: the batch in micro-batches of the size that holds now. What the phase leaves behind is what it had been had
    the run started with this size: running means are set back, micro-batches count by their size, and the groups of
    minibatch stddev do not change.
    """
    while True:
        before = Before(training)
        try:
            return run_phase(phase, split(), training.players.group)
        except OutOfMemory as error:
            worker = error.worker
        before.restore()  # only now: the error held on to what the phase had computed
        halve_micro_batches(training, phase, worker)


class Before:
    """What a phase changes while it computes gradients, as it was: running means of G, signs for ADA, statistics."""

    def __init__(self, training: Training):
        self.players, self.stats = training.players, training.stats
        keepers = [module for module in self.players.G.modules() if hasattr(module, "group")]
        self.means = [(buffer, buffer.clone()) for module in keepers for buffer in module.buffers(recurse=False)]
        self.pl_mean = self.players.pl_mean
        self.marks = self.players.augment.mark(), self.stats.mark()

    def restore(self) -> None:
        for buffer, value in self.means:
            buffer.copy_(value)
        self.players.pl_mean = self.pl_mean
        self.players.augment.rewind(self.marks[0])
        self.stats.rewind(self.marks[1])


def halve_micro_batches(training: Training, phase: Phase, worker: int) -> None:
    """worker: the one that has run out. Raises SgError where micro-batches cannot be smaller."""
    config, group = training.config, training.config.D.get("mbstd_group_size") or 1
    half = config.batch_gpu // 2
    where = phase.name + (f" on worker {worker}" if training.players.group.world > 1 else "")
    if half < 1 or half % group or config.batch_gpu % 2:
        raise SgError(
            f"out of memory in {where} with micro-batches of {config.batch_gpu}, which cannot be halved",
            "a smaller --channels-base, --tiny, or smaller pictures: sg data pack DATA small.zip --size 128",
        )
    training.run.log(f"out of memory in {where}: micro-batches of {half} instead of {config.batch_gpu} from here on")
    config.batch_gpu = half
    if training.players.group.leads:
        config.save(training.run.config_path())
    if training.device.type == "cuda":
        torch.cuda.empty_cache()
