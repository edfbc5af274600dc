"""What the readers of foreign formats return: networks as arguments and tensors under the names that they have here."""

from __future__ import annotations

import itertools
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from sgcli.models.foreign.pickles import PickleError, printable
from sgcli.models.registry import build_network

LIMITS = {"img_resolution": 4096, "mapping_layers": 64, "num_layers": 64}  # of whole arguments; others: LARGEST
LARGEST = 2**20

# Entries that a file may lack: they are computed or drawn (with a seed of their own) as in a new network.
FILLED_IN = ("resample_filter", "up_filter", "down_filter", "noise_const", "transform", "lod")


@dataclass
class Network:
    """One network: {"class": …, constructor arguments}, and its state by name."""

    specification: dict[str, Any]
    tensors: dict[str, torch.Tensor]


@dataclass
class Contents:
    """A foreign file, read."""

    format: str  # for people: "StyleGAN2-ADA (PyTorch)"
    arch: str  # a name that --arch takes
    networks: dict[str, Network]  # by prefix: G_ema, G, D
    license_note: str
    facts: dict[str, Any] = field(default_factory=dict)  # kimg, augment_p, data: as in the header of a model file
    left_out: list[str] = field(default_factory=list)  # what the file holds besides, in words


def make_network(class_name: str, arguments: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Network:
    """Check that `tensors` are the state of such a network, drop what it does not know, fill in what may be missing.

    Nothing large is allocated before every shape has been found to fit. Raises PickleError.
    """
    specification = {"class": class_name, "c_dim": 0, **arguments}
    check_sizes(specification)
    with torch.device("meta"):
        wanted = build_network(specification).state_dict()
    for name in wanted:
        if name in tensors and tensors[name].shape != wanted[name].shape:
            given, needed = list(tensors[name].shape), list(wanted[name].shape)
            raise PickleError(f"holds a network that does not fit its description: {name} is {given}, not {needed}")
    missing = wanted.keys() - tensors.keys()
    if lost := sorted(name for name in missing if not name.endswith(FILLED_IN)):
        raise PickleError(f"holds a network of which {len(lost)} tensors are missing: {lost[0]}, …")
    state = {name: tensors[name].to(torch.float32).contiguous() for name in wanted if name not in missing}
    if missing:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            new = build_network(specification).state_dict()
        state.update({name: new[name] for name in missing})
    return Network(specification, state)


def check_sizes(specification: Mapping[str, Any]) -> None:
    """Raise PickleError for arguments that are no numbers, or so large that even an empty network would take long."""
    for name, value in specification.items():
        if not isinstance(value, str | int | float | None):
            raise PickleError(f"is damaged ({name} is a {type(value).__name__})")
        if isinstance(value, int) and not 0 <= value <= LIMITS.get(name, LARGEST):
            raise PickleError(f"is refused: {name} {printable(value)}; up to {LIMITS.get(name, LARGEST)} is supported")


def infer_channels(widths: Mapping[int, int]) -> dict[str, int]:
    """channel_base and channel_max from the widths C_r = min(channel_base // r, channel_max) of each resolution r.

    Raises PickleError for widths that follow no such rule.
    """
    most = max(widths.values())
    lowest = max(channels * r for r, channels in widths.items())
    highest = min((channels * r + r - 1 for r, channels in widths.items() if channels < most), default=lowest)
    if lowest > highest:
        listed = ", ".join(f"{r}²: {channels}" for r, channels in sorted(widths.items()))
        raise PickleError(f"holds a network of unusual widths ({listed}), which sg cannot build")
    return {"channel_base": lowest, "channel_max": most}


def count_layers(names: Container[str], pattern: str, first: int = 0) -> int:
    """How many of "fc0.weight", "fc1.weight", … there are in a row, for the pattern "fc{}.weight"."""
    return next(i for i in itertools.count() if pattern.format(first + i) not in names)
