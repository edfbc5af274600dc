"""Two workers with half of the batch each are one worker with the whole batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sgcli.data.dataset import open_dataset
from sgcli.distributed.group import Group
from sgcli.training.batches import Batches
from sgcli.training.config import resolve_config
from sgcli.training.loop import Training, make_players, split_batch, train_step
from sgcli.training.phases import make_phases, run_phase
from sgcli.training.schedule import Schedule
from sgcli.training.state import Progress
from tests.distributed.in_processes import run_in_group

CPU = torch.device("cpu")
NARROW = {"channel_base": 128, "channel_max": 8, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "batch": 8}
ADA = {"aug": "ada", "aug_p": 0.4, "aug_kimg": 1.0, "pl_interval": 2, "r1_interval": 4, "r1_gamma": 1.0}


def prepare(group: Group, data: str, arch: str, options: dict[str, Any]) -> tuple[Training, list, Batches]:
    dataset = open_dataset(data)
    config = resolve_config(arch, dataset.describe(), {**NARROW, **options}, tiny=True, workers=group.world)
    players = make_players(config, CPU, group)
    schedule = Schedule(config)
    training = Training(None, config, dataset, players, Progress(), CPU, schedule)  # type: ignore[arg-type]
    batches = Batches(dataset, lambda nimg: schedule.at(nimg).batch, config.seed, CPU, group)
    return training, make_phases(config, players, training.stats), batches


def compute_in_double() -> None:
    """The code casts to float32 in many places, and means 'full precision': here that is float64."""
    torch.float32 = torch.float64  # type: ignore[misc]
    torch.set_default_dtype(torch.float64)


def train_in_double(group: Group, data: str, cases: list[tuple[str, int, dict]]) -> list[dict[str, torch.Tensor]]:
    """What each case (architecture, steps, options) has made of G, D, the average of G, and the running means."""
    compute_in_double()
    results = []
    for arch, steps, options in cases:
        training, phases, batches = prepare(group, data, arch, options)
        for _ in range(steps):
            train_step(training, training.schedule.at(training.progress.nimg), phases, batches)
        batches.close()
        players = training.players
        state = {
            f"{name}/{key}": tensor
            for name in ("G", "D", "G_ema")
            for key, tensor in getattr(players, name).state_dict().items()
        }
        numbers = training.stats.flush(group)
        state["pl_mean"], state["p"] = players.pl_mean, torch.tensor(players.augment.p)
        state["r_t"] = torch.tensor([numbers["Loss/signs/real"]["mean"], numbers["Loss/signs/real"]["num"]])
        results.append({name: tensor.clone() for name, tensor in state.items()})
    return results


def gradients(group: Group, data: str, arch: str, options: dict[str, Any] = ADA) -> dict[str, Any]:
    """Of every phase before the first step, in single precision."""
    training, phases, batches = prepare(group, data, arch, options)
    stage = training.schedule.at(0)
    training.players.enter(stage)
    reals, labels = batches.at(0)
    found = {}
    for phase in phases:
        phase.optimizer.step = lambda: None  # type: ignore[method-assign]
        run_phase(phase, split_batch(training, phase, reals, labels[:, :0], batches), group)
        flat = [parameter.grad.flatten().clone() for parameter in phase.parameters]
        found[phase.name] = torch.cat(flat)
    batches.close()
    return found


def difference(one: torch.Tensor, two: torch.Tensor) -> float:
    """Largest, relative to the largest magnitude."""
    assert one.dtype == two.dtype and one.shape == two.shape
    return float((one - two).abs().max() / one.abs().max().clamp(min=1e-30))


def prove(group: Group, data: str, cases: list[tuple[str, int, dict]]) -> tuple[dict, list[dict]]:
    return gradients(group, data, "sg2"), train_in_double(group, data, cases)


@pytest.fixture(scope="module")
def results(faces):
    """(gradients, what each case has come to), of a worker alone and of two."""
    # A worker alone with micro-batches of 8 sees the same pictures together as two workers with micro-batches of 4.
    alone, together = (
        [("sg2", 20, ADA), ("sg2", 2, {"batch": 16, "batch_gpu": size}), ("sg3-t", 2, {})] for size in (8, 4)
    )
    return [*run_in_group(prove, 1, str(faces), alone), *run_in_group(prove, 2, str(faces), together)]


def test_gradients_before_the_first_step(results):
    one, *twos = (found for found, _ in results)
    assert one.keys() == {"Gmain", "Greg", "Dmain", "Dreg"}
    for name, gradient in one.items():
        assert gradient.dtype == torch.float32
        assert gradient.abs().max() > 0
        assert difference(gradient, twos[0][name]) < 1e-5, name
        assert torch.equal(twos[0][name], twos[1][name])


@pytest.mark.parametrize("case", [0, 1, 2], ids=["20 steps with ADA", "micro-batches", "StyleGAN3"])
def test_training_in_double_precision(results, case):
    one, *twos = (states[case] for _, states in results)
    for two in twos:
        assert one.keys() == two.keys()
        for name in one:
            assert float((one[name] - two[name]).abs().max()) < 1e-9, name
            assert difference(one[name], two[name]) < 1e-7, name  # of what is small itself, such as noise strengths
    assert one["G/mapping.fc0.weight"].dtype == torch.float64
    assert one["G/mapping.w_avg"].abs().max() > 0
    if case == 0:
        assert one["p"] != ADA["aug_p"] and one["pl_mean"] > 0


@pytest.mark.parametrize("group", [Group()])
def test_alone_nothing_is_dealt(group, faces):
    training, _, batches = prepare(group, str(faces), "sg2", {})
    assert len(batches.at(0)[0]) == training.config.batch == 8
    batches.close()
