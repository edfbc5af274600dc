"""The full state of a training run in one file: networks, optimisers, running means, counters.

There are no generator states: all randomness is a function of (seed, images seen), see training.randomness.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sgcli.errors import FormatError
from sgcli.models.checkpoint import read_header, read_tensors, save_tensors
from sgcli.training.phases import Players

KIND = "training-state"


@dataclass
class Progress:
    """How far a run is."""

    nimg: int = 0  # real images shown
    step: int = 0  # optimiser steps of the main phases
    seconds: float = 0.0  # spent training, over all sessions
    tick_nimg: int = 0  # where the current tick began


def save_state(path: str | os.PathLike, players: Players, progress: Progress) -> None:
    """Write everything that `load_state` needs, whole or not at all."""
    tensors = {"pl_mean": players.pl_mean}
    for name, network in _networks(players).items():
        tensors |= {f"{name}/{key}": tensor for key, tensor in network.state_dict().items()}
    for name, (optimizer, network) in _optimizers(players).items():
        names = [key for key, _ in network.named_parameters()]
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}/{names[index]}/{slot}": tensor for slot, tensor in slots.items()}
    save_tensors(path, tensors, {"kind": KIND, "progress": vars(progress), "augment": players.augment.state()})


def load_state(path: str | os.PathLike, players: Players) -> Progress:
    """Fill `players` from a state file. Raises FormatError if it is damaged or belongs to other networks."""
    header = read_header(path, kind=KIND)
    tensors = read_tensors(path)
    try:
        for name, network in _networks(players).items():
            network.load_state_dict(_under(tensors, name))
        for name, (optimizer, network) in _optimizers(players).items():
            _load_optimizer(optimizer, dict(network.named_parameters()), _under(tensors, name))
        players.pl_mean = tensors["pl_mean"].to(players.pl_mean.device)
        players.augment.load_state(header["augment"])
        return Progress(**header["progress"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise FormatError(f"{path}: does not fit the run's networks ({str(error)[:200]})") from error


def prune(paths: list[Path], keep: int | None) -> None:
    """Delete all but the newest `keep` files of a list that runs from old to new; None keeps all."""
    for path in paths[:-keep] if keep else []:
        path.unlink(missing_ok=True)


def _networks(players: Players) -> dict[str, torch.nn.Module]:
    return {"G": players.G, "D": players.D, "G_ema": players.G_ema}


def _optimizers(players: Players) -> dict[str, tuple[torch.optim.Optimizer, torch.nn.Module]]:
    return {"opt_G": (players.opt_G, players.G), "opt_D": (players.opt_D, players.D)}


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{prefix}/"): value for key, value in tensors.items() if key.startswith(f"{prefix}/")}


def _load_optimizer(
    optimizer: torch.optim.Optimizer, parameters: dict[str, torch.Tensor], tensors: dict[str, torch.Tensor]
) -> None:
    names = list(parameters)
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        name, slot = key.rsplit("/", 1)
        if (
            tensor.ndim > 0
        ):  # fused Adam walks through parameter and moments side by side: they must lie alike in memory
            tensor = torch.empty_like(parameters[name], device=tensor.device).copy_(tensor)
        state.setdefault(names.index(name), {})[slot] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
