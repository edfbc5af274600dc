"""The architectures: one row each, written as a difference from the row it builds on.

A row is a complete preset once merged with the rows below it: networks, loss, regularisers, schedule. `resolve` merges;
`build_network` makes a network from a resolved specification. Adding an architecture is one file plus one row.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from sgcli.errors import UsageError
from sgcli.models import discriminator, stylegan2
from sgcli.models.base import Generator

NETWORKS: dict[str, type[nn.Module]] = {
    "stylegan2-g": stylegan2.Generator,
    "stylegan2-d": discriminator.Discriminator,
}


@dataclass(frozen=True)
class Architecture:
    """One row of the registry: what it is called, what it builds on, and what it changes there."""

    name: str
    below: str | None
    what: str
    G: Mapping[str, Any] = field(default_factory=dict)  # "class" and constructor arguments
    D: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)  # fields of training.config.TrainingConfig


ROWS = [
    Architecture(
        "sg2-f", None, "StyleGAN2, configuration F: skip G, resnet D, large networks",
        G={"class": "stylegan2-g", "z_dim": 512, "w_dim": 512, "mapping_layers": 8, "architecture": "skip",
           "channel_base": 32768, "channel_max": 512, "num_fp16_res": 4, "conv_clamp": 256, "w_avg_beta": 0.998},
        D={"class": "stylegan2-d", "architecture": "resnet",
           "channel_base": 32768, "channel_max": 512, "num_fp16_res": 4, "conv_clamp": 256},
        training={"loss": "logistic", "r1_interval": 16, "pl_weight": 2.0, "pl_interval": 4, "style_mixing_prob": 0.9},
    ),
]  # fmt: skip
ALIASES = {"sg2": "sg2-f"}
ARCHITECTURES = {row.name: row for row in ROWS}

# What --tiny changes: widths for a CPU; depth, connections, noise, styles and regularisers stay.
TINY = {
    "G": {"z_dim": 128, "w_dim": 128, "channel_base": 1024, "channel_max": 128},
    "D": {"channel_base": 1024, "channel_max": 128},
}


@dataclass
class Preset:
    """A row merged with everything below it."""

    name: str
    G: dict[str, Any]
    D: dict[str, Any]
    training: dict[str, Any]


def names() -> list[str]:
    """Every name that `--arch` takes."""
    return sorted([*ARCHITECTURES, *ALIASES])


def resolve(name: str, tiny: bool = False) -> Preset:
    """The complete preset called `name`. Raises UsageError that offers the nearest name."""
    row = ARCHITECTURES.get(ALIASES.get(name, name))
    if row is None:
        close = difflib.get_close_matches(name, names(), n=1)
        raise UsageError(
            f"--arch {name}: unknown architecture; one of {', '.join(names())}",
            f"--arch {close[0]}" if close else "sg arch lists them with one line each",
        )
    preset = resolve(row.below) if row.below else Preset(row.name, {}, {}, {})
    preset = Preset(
        row.name, {**preset.G, **row.G}, {**preset.D, **row.D}, {**preset.training, **row.training}
    )  # fmt: skip
    if tiny:
        preset.G.update(TINY["G"])
        preset.D.update(TINY["D"])
    return preset


def build_generator(specification: Mapping[str, Any]) -> Generator:
    """`build_network` for what must be a generator."""
    network = build_network(specification)
    if not isinstance(network, Generator):
        raise ValueError(f"network class '{specification['class']}' is not a generator")
    return network


def build_network(specification: Mapping[str, Any]) -> nn.Module:
    """Make the network that {"class": name, **constructor arguments} describes. Raises ValueError for unknown ones."""
    arguments = dict(specification)
    name = arguments.pop("class")
    if name not in NETWORKS:
        raise ValueError(f"network class '{name}' is unknown; one of {', '.join(NETWORKS)}")
    try:
        return NETWORKS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error
