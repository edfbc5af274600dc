"""The `.pt` files of rosinality's stylegan2-pytorch, read and written (spec stylegan2-ada §3.5).

A file is a dict: `g_ema` (a state), often `latent_avg`, `d` and `g`, and after training the optimisers and arguments.
One table of names serves both directions; values are the same up to dimensions of size 1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sgcli.errors import UsageError
from sgcli.files import atomic_path
from sgcli.models.base import Generator
from sgcli.models.checkpoint import Model
from sgcli.models.foreign import arrays, torch_files
from sgcli.models.foreign.contents import Contents, Network, count_layers, infer_channels, make_network
from sgcli.models.foreign.official_networks import block_widths
from sgcli.models.foreign.pickles import Record
from sgcli.models.layers import resample_filter
from sgcli.models.registry import build_generator

NAMES = {"argparse.Namespace", *torch_files.NAMES, *arrays.NAMES}
LICENSE_NOTE = "the weights keep the licence of their source (converted ones of NVIDIA's: non-commercial)"
PREFIXES = {"g_ema": "G_ema", "g": "G", "d": "D"}
MBSTD_GROUP = 4
W_AVG_SAMPLES = 10_000  # latents whose mean stands in for a latent_avg that is not there

LAYER = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
}
TORGB = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "bias": "bias",
}


def generator_names(resolution: int, mapping_layers: int) -> dict[str, str]:
    """Their name of each tensor of a generator, to ours."""
    names = {"input.input": "synthesis.b4.const", "noises.noise_0": "synthesis.b4.conv1.noise_const"}
    for i in range(mapping_layers):
        names |= {f"style.{i + 1}.{leaf}": f"mapping.fc{i}.{leaf}" for leaf in ("weight", "bias")}
    layers, torgbs = {"conv1": "b4.conv1"}, {"to_rgb1": "b4.torgb"}
    for j in range(resolution.bit_length() - 3):
        block = f"b{8 << j}"
        layers |= {f"convs.{2 * j}": f"{block}.conv0", f"convs.{2 * j + 1}": f"{block}.conv1"}
        torgbs[f"to_rgbs.{j}"] = f"{block}.torgb"
        names |= {f"noises.noise_{2 * j + 1 + i}": f"synthesis.{block}.conv{i}.noise_const" for i in (0, 1)}
    for table, leaves in ((layers, LAYER), (torgbs, TORGB)):
        names |= {f"{a}.{x}": f"synthesis.{b}.{y}" for a, b in table.items() for x, y in leaves.items()}
    return names


def discriminator_names(resolution: int) -> dict[str, str]:
    """Their name of each tensor of a discriminator, to ours."""
    names = {
        "convs.0.0.weight": f"b{resolution}.fromrgb.weight",
        "convs.0.1.bias": f"b{resolution}.fromrgb.bias",
        "final_conv.0.weight": "b4.conv.weight",
        "final_conv.1.bias": "b4.conv.bias",
    }
    names |= {
        f"final_linear.{i}.{leaf}": f"b4.{fc}.{leaf}"
        for i, fc in enumerate(("fc", "out"))
        for leaf in ("weight", "bias")
    }
    for i in range(1, resolution.bit_length() - 2):
        block = f"b{resolution >> (i - 1)}"
        names |= {
            f"convs.{i}.conv1.0.weight": f"{block}.conv0.weight",
            f"convs.{i}.conv1.1.bias": f"{block}.conv0.bias",
            f"convs.{i}.conv2.1.weight": f"{block}.conv1.weight",
            f"convs.{i}.conv2.2.bias": f"{block}.conv1.bias",
            f"convs.{i}.skip.1.weight": f"{block}.skip.weight",
        }
    return names


# ----- reading


def is_rosinality(content: Any) -> bool:
    return isinstance(content, dict) and any(
        isinstance(content.get(key), dict) and "input.input" in without_module(content[key]) for key in ("g_ema", "g")
    )


def without_module(state: Mapping[str, Any]) -> dict[str, Any]:
    """Names without the prefix that training on several GPUs puts in front."""
    return {name.removeprefix("module."): value for name, value in state.items() if isinstance(name, str)}


def read_rosinality(content: Mapping[str, Any]) -> Contents:
    states = {
        ours: {name: torch_files.to_tensor(value) for name, value in without_module(content[theirs]).items()}
        for theirs, ours in PREFIXES.items()
        if isinstance(content.get(theirs), dict)
    }
    states.setdefault("G_ema", states.get("G", {}))
    w_avg = content.get("latent_avg")
    average = torch_files.to_tensor(w_avg) if isinstance(w_avg, Record) else None
    networks = {
        prefix: discriminator(state) if prefix == "D" else generator(state, average) for prefix, state in states.items()
    }
    facts = {}
    if isinstance(p := content.get("ada_aug_p"), int | float):
        facts["augment_p"] = float(p)
    return Contents("StyleGAN2 (rosinality)", "sg2", networks, LICENSE_NOTE, facts)


def generator(theirs: Mapping[str, torch.Tensor], w_avg: torch.Tensor | None) -> Network:
    """Noise maps that are missing are drawn anew, always the same; a missing w_avg is the mean of mapped latents."""
    layers = count_layers(theirs, "style.{}.weight", first=1)
    resolution = 4 << count_layers(theirs, "to_rgbs.{}.bias")
    state = rename(theirs, generator_names(resolution, layers))
    widths = block_widths(state, r"synthesis\.b(\d+)\.conv1\.bias")
    w_dim = len(state["mapping.fc0.weight"])
    arguments = {
        "z_dim": state["mapping.fc0.weight"].shape[1],
        "w_dim": w_dim,
        "mapping_layers": layers,
        "img_resolution": resolution,
        "img_channels": len(state["synthesis.b4.torgb.bias"]),
        "num_fp16_res": 0,
        "conv_clamp": None,
        **infer_channels(widths),
    }
    state["mapping.w_avg"] = torch.zeros(w_dim) if w_avg is None else w_avg.flatten()
    network = make_network("stylegan2-g", arguments, state)
    if w_avg is None:
        network.tensors["mapping.w_avg"] = mean_of_w(network)
    return network


def discriminator(theirs: Mapping[str, torch.Tensor]) -> Network:
    resolution = 4 << count_layers(theirs, "convs.{}.conv1.0.weight", first=1)
    state = rename(theirs, discriminator_names(resolution))
    widths = {4: len(state["b4.conv.weight"]), **block_widths(state, r"b(\d+)\.conv0\.bias")}
    arguments = {
        "img_resolution": resolution,
        "img_channels": state[f"b{resolution}.fromrgb.weight"].shape[1],
        "num_fp16_res": 0,
        "conv_clamp": None,
        "mbstd_group_size": MBSTD_GROUP,
        **infer_channels(widths),
    }
    return make_network("stylegan2-d", arguments, state)


def rename(theirs: Mapping[str, torch.Tensor], names: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Our names; values without the dimensions of size 1 that theirs have in front, and behind biases."""
    present = {name: ours for name, ours in names.items() if name in theirs}
    return {ours: theirs[name].reshape(our_shape(ours, theirs[name].shape)) for name, ours in present.items()}


def our_shape(ours: str, shape: Sequence[int]) -> Sequence[int]:
    if ours.endswith("bias"):
        return [-1]
    rank = {"noise_strength": 0, "noise_const": 2, "const": 3}.get(ours.rpartition(".")[2], min(len(shape), 4))
    return shape[len(shape) - rank :]


def their_shape(ours: str, shape: Sequence[int]) -> Sequence[int]:
    """The inverse of `our_shape`, for tensors of a generator."""
    if ours.endswith("torgb.bias"):
        return [1, *shape, 1, 1]
    if ours.endswith("noise_const"):
        return [1, 1, *shape]
    is_modulated = ours.startswith("synthesis.") and ours.endswith(".weight") and "affine" not in ours
    return [1, *shape] if is_modulated or ours.endswith((".const", "noise_strength")) else shape


def mean_of_w(network: Network) -> torch.Tensor:
    """Mean of the mapping's output for latents with a fixed seed, `[w_dim]`: what truncation pulls towards."""
    G = build_generator(network.specification)
    G.load_state_dict(network.tensors)
    z = torch.randn(W_AVG_SAMPLES, G.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return G.mapping(z)[:, 0].mean(dim=0)


# ----- writing


def write_rosinality(model: Model, path: str | os.PathLike) -> list[str]:
    """Write G_ema, and G and D where the model has them, for rosinality's Generator and Discriminator.

    Returns what the file cannot say, in words. Raises UsageError for a model that their Generator cannot be.
    """
    G = model.load_generator()
    check_generator(G, model.header["networks"]["G"])
    state = model.tensors("G_ema")
    content: dict[str, Any] = {"g_ema": their_generator(state, G.img_resolution), "latent_avg": state["mapping.w_avg"]}
    notes = []
    if "G" in model.prefixes():
        content["g"] = their_generator(model.tensors("G"), G.img_resolution)
    if "D" in model.prefixes():
        described = model.header["networks"]["D"]
        if described.get("architecture", "resnet") == "resnet" and described.get("mbstd_num_channels", 1) == 1:
            content["d"] = their_discriminator(model.tensors("D"), G.img_resolution)
        else:
            notes.append("D, whose connections or statistics theirs does not have")
    if model.header["networks"]["G"].get("conv_clamp", 256) is not None:
        notes.append("the clamping of activations, which matters in half precision only")
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
    return notes


def check_generator(G: Generator, specification: Mapping[str, Any]) -> None:
    """Raise UsageError unless their Generator can be this one."""
    reasons = {
        "it is no StyleGAN2": specification["class"] != "stylegan2-g",
        "its blocks are not connected by skips": specification.get("architecture", "skip") != "skip",
        "it is conditional": G.c_dim > 0,
        "its Z and W differ in width": G.z_dim != G.w_dim,
        "it has no noise inputs": not specification.get("use_noise", True),
        "its input is not a constant": specification.get("fourier_input", False),
    }
    for reason, applies in reasons.items():
        if applies:
            raise UsageError(f"--format rosinality: this model cannot be written so, {reason}", "--format npz, or onnx")


def their_generator(state: Mapping[str, torch.Tensor], resolution: int) -> dict[str, torch.Tensor]:
    names = generator_names(resolution, count_layers(state, "mapping.fc{}.weight"))
    theirs = {name: state[ours].reshape(their_shape(ours, state[ours].shape)) for name, ours in names.items()}
    upsampling = 4 * resample_filter()
    for j in range(resolution.bit_length() - 3):
        theirs |= {f"convs.{2 * j}.conv.blur.kernel": upsampling, f"to_rgbs.{j}.upsample.kernel": upsampling}
    return theirs


def their_discriminator(state: Mapping[str, torch.Tensor], resolution: int) -> dict[str, torch.Tensor]:
    theirs = {name: state[ours] for name, ours in discriminator_names(resolution).items()}
    for i in range(1, resolution.bit_length() - 2):
        theirs |= {f"convs.{i}.{layer}.0.kernel": resample_filter() for layer in ("conv2", "skip")}
    return theirs
