"""The architectures: one row each, written as a difference from the row it builds on.

A row is a complete preset once merged with the rows below it: networks, loss, regularisers, schedule. `resolve` merges
(a row that names another network class gives all its arguments); `build_network` makes a network from a resolved
specification. Adding an architecture is one file plus one row.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from sgcli.errors import UsageError
from sgcli.models import discriminator, stylegan2, stylegan3
from sgcli.models.base import Generator

NETWORKS: dict[str, type[nn.Module]] = {
    "stylegan2-g": stylegan2.Generator,
    "stylegan2-d": discriminator.Discriminator,
    "stylegan3-g": stylegan3.Generator,
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

    # StyleGAN3's ladder (spec stylegan3 §5). Rows D to H are not in the published code: what they do where the paper is
    # silent (rates of D to H, the exempt layers of G) is the specification's reading. The whole ladder trains with the
    # settings published for T and R, so that only the networks differ.
    Architecture(
        "sg3-a", "sg2-f", "StyleGAN2, as StyleGAN3's ladder starts from it",
        D={"mbstd_group_size": 8},
        training={"batch": 32, "g_lr": 0.0025, "d_lr": 0.002, "gamma_scale": 0.001},
    ),
    Architecture(
        "sg3-b", "sg3-a", "+ Fourier features: fixed waves in place of the learned constant",
        G={"fourier_input": True},
    ),
    Architecture(
        "sg3-c", "sg3-b", "+ no noise inputs",
        G={"use_noise": False},
    ),
    Architecture(
        "sg3-d", "sg3-c", "+ simplified generator: 2 mapping layers, plain connections, no mixing, no path lengths",
        G={"class": "stylegan3-g", "z_dim": 512, "w_dim": 512, "mapping_layers": 2,
           "channel_base": 32768, "channel_max": 512, "num_fp16_res": 4, "conv_clamp": 256,
           "schedule": "octaves", "num_critical": None, "margin_size": 0, "resampling": "bilinear",
           "lrelu_upsampling": 1, "learned_transform": False},
        D={"mbstd_group_size": 4},
        training={"pl_weight": 0.0, "style_mixing_prob": 0.0},
    ),
    Architecture(
        "sg3-e", "sg3-d", "+ boundaries and upsampling: a margin around every layer, sinc filters",
        G={"margin_size": 10, "resampling": "kaiser"},
    ),
    Architecture(
        "sg3-f", "sg3-e", "+ filtered nonlinearities: leaky ReLU at twice the sampling rate",
        G={"lrelu_upsampling": 2},
    ),
    Architecture(
        "sg3-g", "sg3-f", "+ non-critical sampling: cutoffs below the Nyquist frequency, but for the last two layers",
        G={"num_critical": 2},
    ),
    Architecture(
        "sg3-h", "sg3-g", "+ transformed Fourier features: w turns and moves the input",
        G={"learned_transform": True},
    ),
    Architecture(
        "sg3-t", "sg3-h", "StyleGAN3-T: + flexible layers; translation equivariance",
        G={"schedule": "flexible", "num_layers": 14},
    ),
    Architecture(
        "sg3-r", "sg3-t", "StyleGAN3-R: + 1x1 convolutions and radial filters; rotation equivariance",
        G={"conv_kernel": 1, "use_radial_filters": True, "channel_multiplier": 2},
        training={"blur_sigma": 10.0},
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
        row.name, merge_network(preset.G, row.G), merge_network(preset.D, row.D), {**preset.training, **row.training}
    )
    if tiny:
        preset.G.update(TINY["G"])
        preset.D.update(TINY["D"])
    return preset


def merge_network(below: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments below with the changes; another class of network has other arguments, all given by the change."""
    return dict(change) if change.get("class", below.get("class")) != below.get("class") else {**below, **change}


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
