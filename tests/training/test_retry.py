"""Out of memory while training: what is computed is what smaller micro-batches had computed from the start."""

from __future__ import annotations

import contextlib
import os

import pytest
import torch

from sgcli.distributed.group import Group
from sgcli.training import phases as phases_module
from sgcli.training.loop import train_step
from sgcli.training.phases import Objectives
from sgcli.training.run import FollowedRun, Run
from tests.distributed.in_processes import run_in_group
from tests.training.test_distributed import ADA, prepare


class LittleMemory:
    """In this process `at` fails for more than `limit` pictures: before, within or after its meetings."""

    def __init__(self, at: str, limit: int = 4):
        self.at, self.limit = at, limit
        self.place = phases_module if at == "path_lengths" else Objectives
        self.whole = getattr(self.place, at)

    def __enter__(self) -> None:
        setattr(self.place, self.at, self.lengths if self.at == "path_lengths" else self.objective())

    def __exit__(self, *_: object) -> None:
        setattr(self.place, self.at, self.whole)

    def lengths(self, img: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        if len(img) > self.limit // 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.whole(img, *others)

    def objective(self):
        def compute(objectives, micro):
            result = self.whole(objectives, micro)
            if len(micro.latents) > self.limit:
                result.register_hook(self.fail)  # on the way back
            return result

        return compute

    def fail(self, gradient: torch.Tensor) -> None:
        raise MemoryError


def train_two_steps(group: Group, data: str, folder: str, arch: str, smaller_from: str | None = None):
    """What they have made of all that is kept. smaller_from: the phase from which on micro-batches are halved."""
    training, phases, batches = prepare(group, data, arch, {**ADA, "batch": 8 * group.world, "batch_gpu": 8})
    training.run = Run(folder) if group.leads else FollowedRun(folder)
    for _ in range(2):
        stage = training.schedule.at(training.progress.nimg)
        train_step(training, stage, watched(phases, training, smaller_from), batches)
    batches.close()
    players, numbers = training.players, training.stats.flush(group)
    kept = {
        f"{name}/{key}": tensor.clone()
        for name in ("G", "D", "G_ema")
        for key, tensor in getattr(players, name).state_dict().items()
    }
    kept["pl_mean"] = players.pl_mean
    kept["augment"] = torch.tensor([players.augment.p, players.augment.sign_sum, players.augment.sign_count])
    kept["stats"] = torch.tensor([[each["num"], each["mean"]] for each in numbers.values()])
    assert training.config.batch_gpu == 4
    return kept


def watched(phases, training, smaller_from):
    """The phases; where `smaller_from` is reached, micro-batches are halved without any failure."""
    for phase in phases:
        if phase.name == smaller_from:
            training.config.batch_gpu = 4
        yield phase


def compare(group: Group, data: str, folder: str, cases: list[tuple[str, str, str]]) -> list[dict[str, float]]:
    """Of every case, how far the run in which the last worker runs out is from the one that knew before."""
    found = []
    for number, (arch, at, phase) in enumerate(cases):
        own = f"{folder}/{number}"
        os.makedirs(own, exist_ok=True)
        with LittleMemory(at) if group.rank == group.world - 1 else contextlib.nullcontext():
            halved = train_two_steps(group, data, own, arch)
        wanted = train_two_steps(group, data, own, arch, phase)
        assert halved.keys() == wanted.keys()
        found.append({name: float((halved[name] - wanted[name]).double().abs().max()) for name in halved})
    return found


CASES = [
    ("sg2", "generator_main", "Gmain"),
    ("sg2", "path_lengths", "Greg"),
    ("sg2", "generator_path_length", "Greg"),
    ("sg2", "discriminator_main", "Dmain"),
    ("sg2", "discriminator_r1", "Dreg"),
]


@pytest.mark.parametrize("world", [1, 2])
def test_it_is_as_if_micro_batches_had_been_smaller(world, faces, tmp_path):
    cases = [*CASES[2:4], ("sg3-t", "discriminator_main", "Dmain")] if world == 1 else CASES
    for differences in run_in_group(compare, world, str(faces), str(tmp_path), cases):
        for case, found in zip(cases, differences, strict=True):
            assert not any(found.values()), (case, found)  # to the last bit
    for number, (_, _, phase) in enumerate(cases):
        where = phase + (" on worker 1" if world == 2 else "")
        log = (tmp_path / str(number) / "log.txt").read_text().splitlines()
        assert len(log) == 1 and f"out of memory in {where}: micro-batches of 4 instead of 8" in log[0]
        assert '"batch_gpu": 4' in (tmp_path / str(number) / "config.json").read_text()


def attempt_twice(group: Group) -> list[str]:
    """Who ran out, as every worker sees it: worker 2 before a meeting, then worker 1 after the last one."""
    said = []
    for culprit, meets_first in ((2, False), (1, True)):
        try:
            with group.attempt():
                if group.rank == culprit and not meets_first:
                    raise MemoryError
                group.mean(torch.ones(3))
                if group.rank == culprit:
                    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        except MemoryError as error:
            said.append(str(error))
        said.append(group.total(1.0))  # nothing of it is left over: the next meeting is one
    return said


def test_all_workers_give_up_an_attempt_together():
    for said in run_in_group(attempt_twice, 3):
        assert said == ["out of memory on worker 2", [3.0], "out of memory on worker 1", [3.0]]
