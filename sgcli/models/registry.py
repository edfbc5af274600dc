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
from sgcli.models import discriminator, progan, stylegan1, stylegan2, stylegan2_growing, stylegan3
from sgcli.models.base import Generator

NETWORKS: dict[str, type[nn.Module]] = {
    "progan-g": progan.Generator,
    "progan-d": progan.Discriminator,
    "stylegan1-g": stylegan1.Generator,
    "stylegan2-growing-g": stylegan2_growing.Generator,
    "stylegan2-growing-d": stylegan2_growing.Discriminator,
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
    # Fields of training.config.TrainingConfig, gamma_scale (r1_gamma · batch / r²) and the published `growing`; None
    # takes away what the row below set, so that the default holds again.
    training: Mapping[str, Any] = field(default_factory=dict)


# Progressive growing as published: images per step and learning rates from a resolution on (spec progan-stylegan1 §2.7,
# §5.2). Each level is trained for training_kimg, then the next one is faded in over transition_kimg.
GROWING_PROGAN = {
    "published_kimg": 19000, "initial_resolution": 4, "training_kimg": 800, "transition_kimg": 800,
    "batch": [[4, 16], [256, 14], [512, 6], [1024, 3]], "lr": [[4, 0.001]],
}  # fmt: skip
GROWING_FROM_4 = {
    "published_kimg": 12000, "initial_resolution": 4, "training_kimg": 600, "transition_kimg": 600,
    "batch": [[4, 512], [8, 256], [16, 128], [32, 64], [64, 32]],
    "lr": [[4, 0.001], [128, 0.0015], [256, 0.002], [512, 0.003]],
}  # fmt: skip
GROWING_FROM_8 = {**GROWING_FROM_4, "published_kimg": 25000, "initial_resolution": 8}
GAMMA_10, GAMMA_100 = 10 * 32 / 1024**2, 100 * 32 / 1024**2  # published at 1024² with a batch of 32

ROWS = [
    # ProGAN, and StyleGAN's ladder (spec progan-stylegan1 §2, §4).
    # w_avg_beta 0.99: the published average moved by 0.995 twice a step, ours moves once.
    Architecture(
        "progan", None, "ProGAN, as in its paper",
        G={"class": "progan-g", "z_dim": 512, "mapping_layers": 0, "channel_base": 16384, "channel_max": 512,
           "blur": False, "w_avg_beta": 0.99},
        D={"class": "progan-d", "channel_base": 16384, "channel_max": 512, "blur": False, "shrink_last": True,
           "mbstd_group_size": None, "classifier": True},
        training={"loss": "wgan-gp", "r1_gamma": 0.0, "r1_interval": 1, "pl_weight": 0.0, "pl_interval": 4,
                  "style_mixing_prob": 0.0, "growing": GROWING_PROGAN,
                  "ema_kimg": 11.1},  # 0.999 per step of 16
    ),
    Architecture(
        "sg1-a", "progan", "ProGAN, as StyleGAN's ladder starts from it: large batches while it is small",
        D={"shrink_last": False, "mbstd_group_size": 4, "classifier": False},
        training={"growing": GROWING_FROM_4, "ema_kimg": 10.0},
    ),
    Architecture(
        "sg1-b", "sg1-a", "+ tuning: bilinear up- and downsampling, logistic loss with R1, starts at 8², longer",
        G={"blur": True},
        D={"blur": True},
        training={"loss": "logistic", "r1_gamma": None, "gamma_scale": GAMMA_10, "growing": GROWING_FROM_8},
    ),
    Architecture(
        "sg1-c", "sg1-b", "+ mapping network and styles",
        G={"class": "stylegan1-g", "z_dim": 512, "w_dim": 512, "mapping_layers": 8,
           "channel_base": 16384, "channel_max": 512, "use_noise": False, "constant_input": False, "w_avg_beta": 0.99},
    ),
    Architecture(
        "sg1-d", "sg1-c", "- traditional input: a learned constant instead",
        G={"constant_input": True},
    ),
    Architecture(
        "sg1-e", "sg1-d", "+ noise inputs",
        G={"use_noise": True},
    ),
    Architecture(
        "sg1-f", "sg1-e", "StyleGAN: + mixing regularisation",
        training={"style_mixing_prob": 0.9},
    ),

    # StyleGAN2's ladder (spec stylegan2-ada §5.1).
    Architecture(
        "sg2-a", "sg1-f", "StyleGAN, as StyleGAN2's ladder starts from it",
    ),
    Architecture(
        "sg2-a-large", "sg2-a", "+ large networks, but nothing else of StyleGAN2",
        G={"channel_base": 32768},
        D={"channel_base": 32768},
    ),
    Architecture(
        "sg2-b", "sg2-a", "+ weight demodulation in place of AdaIN; [1, 3, 3, 1] filters",
        G={"class": "stylegan2-growing-g", "z_dim": 512, "w_dim": 512, "mapping_layers": 8,
           "channel_base": 16384, "channel_max": 512, "w_avg_beta": 0.998},
        D={"class": "stylegan2-growing-d", "channel_base": 16384, "channel_max": 512},
    ),
    Architecture(
        "sg2-c", "sg2-b", "+ lazy regularisation: R1 in every 16th step",
        training={"r1_interval": 16},
    ),
    Architecture(
        "sg2-d", "sg2-c", "+ path-length regularisation",
        training={"pl_weight": 2.0},
    ),
    Architecture(
        "sg2-e", "sg2-d", "- growing: skip G and resnet D instead",
        G={"class": "stylegan2-g", "z_dim": 512, "w_dim": 512, "mapping_layers": 8, "architecture": "skip",
           "channel_base": 16384, "channel_max": 512, "num_fp16_res": 4, "conv_clamp": 256, "w_avg_beta": 0.998},
        D={"class": "stylegan2-d", "architecture": "resnet",
           "channel_base": 16384, "channel_max": 512, "num_fp16_res": 4, "conv_clamp": 256},
        training={"growing": None, "ema_kimg": None, "gamma_scale": GAMMA_100},
    ),
    Architecture(
        "sg2-f", "sg2-e", "StyleGAN2: + large networks",
        G={"channel_base": 32768},
        D={"channel_base": 32768},
        training={"gamma_scale": None},
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
ALIASES = {"sg1": "sg1-f", "sg2": "sg2-f"}
ARCHITECTURES = {row.name: row for row in ROWS}

# What --tiny changes: widths for a CPU; depth, connections, noise, styles and regularisers stay.
TINY_CHANNEL_SHARE = 32  # of channel_base, so that large networks remain the larger ones
TINY_CHANNEL_MAX = 128
TINY_LATENT_DIM = 128


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
    training = {name: value for name, value in {**preset.training, **row.training}.items() if value is not None}
    preset = Preset(row.name, merge_network(preset.G, row.G), merge_network(preset.D, row.D), training)
    if tiny:
        make_tiny(preset)
    return preset


def make_tiny(preset: Preset) -> None:
    """Narrow the networks of `preset` for a CPU."""
    for network in (preset.G, preset.D):
        network["channel_base"] //= TINY_CHANNEL_SHARE
        network["channel_max"] = TINY_CHANNEL_MAX
    for name in ("z_dim", "w_dim"):
        if name in preset.G:
            preset.G[name] = TINY_LATENT_DIM


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
