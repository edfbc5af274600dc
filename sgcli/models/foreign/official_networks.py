"""Networks of the official PyTorch code bases: from their modules' attributes and tensors to constructor arguments.

What the tensors' shapes tell is taken from there; what they cannot tell, from the attributes; where those are missing,
from the arguments of the constructor; and last from the defaults of the code base that wrote the file.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import torch

from sgcli.models import stylegan3_design as design
from sgcli.models.foreign.contents import Network, check_sizes, count_layers, infer_channels, make_network
from sgcli.models.foreign.pickles import PickleError, printable

if TYPE_CHECKING:
    from sgcli.models.foreign.official import ModuleData

# Defaults where two code bases share a class (spec stylegan2-ada §12).
ADA_DEFAULTS = {"num_fp16_res": 0, "conv_clamp": None, "w_avg_beta": 0.995}
SG3_DEFAULTS = {"num_fp16_res": 4, "conv_clamp": 256, "w_avg_beta": 0.998}

# StyleGAN3's arguments that have one value here (spec stylegan3 §3.1).
SG3_FIXED = {
    "first_cutoff": design.FIRST_CUTOFF,
    "first_stopband": design.FIRST_STOPBAND,
    "last_stopband_rel": design.LAST_STOPBAND_REL,
    "output_scale": 0.25,
    "filter_size": design.FILTER_SIZE,
}


class UnknownNetwork(PickleError):
    """A network of a class that sg does not build."""


def is_stylegan3(module: ModuleData) -> bool:
    return "synthesis.input.freqs" in module.tensors


def is_ada(module: ModuleData) -> bool:
    """Whether StyleGAN2-ADA wrote this generator, which hands its synthesis network a dict; StyleGAN3 has arguments."""
    return "synthesis_kwargs" in (module.get("", "_init_kwargs") or {})


def generator(module: ModuleData) -> Network:
    """Raises UnknownNetwork for what is neither StyleGAN2's nor StyleGAN3's."""
    if is_stylegan3(module):
        return stylegan3_generator(module)
    if "synthesis.b4.const" in module.tensors:
        return stylegan2_generator(module, ADA_DEFAULTS if is_ada(module) else SG3_DEFAULTS)
    raise UnknownNetwork(f"holds a network of class {printable(module.class_name)}, which sg cannot build")


def mapping_arguments(module: ModuleData) -> dict[str, Any]:
    """Arguments that concern `mapping`, for a generator."""
    layers = count_layers(module.tensors, "mapping.fc{}.weight")
    arguments = {"w_dim": len(module.tensors["mapping.w_avg"]), "mapping_layers": layers}
    embedded = 0
    if (embed := module.tensors.get("mapping.embed.weight")) is not None:
        embedded, arguments["c_dim"] = embed.shape
    entering = module.tensors["mapping.fc0.weight"].shape[1] if layers else arguments["w_dim"]
    return {**arguments, "z_dim": entering - embedded}


def stylegan2_generator(module: ModuleData, defaults: dict[str, Any]) -> Network:
    tensors = module.tensors
    widths = block_widths(tensors, r"synthesis\.b(\d+)\.conv1\.bias")
    resolution = max(widths)
    activation = module.get("synthesis.b4.conv1", "activation", "lrelu")
    if activation != "lrelu":
        raise PickleError(f"holds a generator with the activation {printable(activation)}; sg has lrelu")
    arguments = {
        **mapping_arguments(module),
        "img_resolution": resolution,
        "img_channels": tensors[f"synthesis.b{resolution}.torgb.bias"].numel(),
        "architecture": connection(tensors, "synthesis.b8.skip.weight", "synthesis.b4.torgb.weight"),
        "num_fp16_res": fp16_blocks(module, [f"synthesis.b{r}" for r in widths], defaults),
        "conv_clamp": module.get(
            "synthesis.b4.conv1", "conv_clamp", module.arguments.get("conv_clamp", defaults["conv_clamp"])
        ),
        "use_noise": "synthesis.b4.conv1.noise_strength" in tensors,
        "w_avg_beta": module.get("mapping", "w_avg_beta", defaults["w_avg_beta"]),
        **infer_channels(widths),
    }
    if (embed := tensors.get("mapping.embed.weight")) is not None:
        arguments["embed_features"] = len(embed)
    if arguments["mapping_layers"] > 0:
        arguments["layer_features"] = len(tensors["mapping.fc0.weight"])
        arguments["lr_multiplier"] = module.get("mapping.fc0", "bias_gain", 0.01)
    return make_network("stylegan2-g", arguments, tensors)


def discriminator(module: ModuleData, defaults: dict[str, Any]) -> Network:
    """StyleGAN2's discriminator, which StyleGAN3 kept. Raises UnknownNetwork for others."""
    tensors = module.tensors
    if "b4.fc.weight" not in tensors or "b8.conv0.weight" not in tensors:
        raise UnknownNetwork(f"of class {printable(module.class_name)}")
    widths = {4: len(tensors["b4.conv.weight"]), **block_widths(tensors, r"b(\d+)\.conv0\.bias")}
    resolution = max(widths)
    extra_channels = tensors["b4.conv.weight"].shape[1] - widths[4]
    layers = count_layers(tensors, "mapping.fc{}.weight")
    arguments = {
        "img_resolution": resolution,
        "img_channels": tensors[f"b{resolution}.fromrgb.weight"].shape[1],
        "architecture": connection(tensors, "b8.skip.weight", "b4.fromrgb.weight"),
        "num_fp16_res": fp16_blocks(module, [f"b{r}" for r in widths if r > 4], defaults),
        "conv_clamp": module.get("b4.conv", "conv_clamp", module.arguments.get("conv_clamp", defaults["conv_clamp"])),
        "mbstd_group_size": module.get("b4.mbstd", "group_size", 4),
        "mbstd_num_channels": extra_channels,
        **infer_channels(widths),
    }
    if (embed := tensors.get("mapping.embed.weight")) is not None:
        arguments |= {"c_dim": embed.shape[1], "cmap_dim": len(tensors["b4.out.bias"]), "mapping_layers": layers}
        if layers:
            arguments["mapping_lr_multiplier"] = module.get("mapping.fc0", "bias_gain", 0.01)
    return make_network("stylegan2-d", arguments, tensors)


def stylegan3_generator(module: ModuleData) -> Network:
    tensors, given = module.tensors, module.arguments
    for name, value in SG3_FIXED.items():
        if not math.isclose(found := given.get(name, value), value):
            raise PickleError(f"holds a StyleGAN3 with {name} {found:g}; sg has {value:g}")
    found = [match[1] for name in module.attributes if (match := re.fullmatch(r"synthesis\.(L\d+_\d+_\d+)", name))]
    layers = sorted(found, key=lambda name: int(name[1:].partition("_")[0]))
    first = f"synthesis.{layers[0]}"

    def synthesis(name: str, default: Any) -> Any:
        return module.get("synthesis", name, given.get(name, default))

    arguments = {
        **mapping_arguments(module),
        "img_resolution": int(layers[-1].split("_")[1]),
        "img_channels": int(layers[-1].split("_")[2]),
        "num_layers": len(layers) - 1,
        "num_critical": synthesis("num_critical", 2),
        "margin_size": synthesis("margin_size", 10),
        "num_fp16_res": synthesis("num_fp16_res", SG3_DEFAULTS["num_fp16_res"]),
        "conv_clamp": module.get(first, "conv_clamp", given.get("conv_clamp", SG3_DEFAULTS["conv_clamp"])),
        "conv_kernel": tensors[f"{first}.weight"].shape[-1],
        "use_radial_filters": any(tensors[name].ndim == 2 for name in tensors if name.endswith("down_filter")),
        "lrelu_upsampling": given.get("lrelu_upsampling", 2),
    }
    arguments |= stylegan3_channels(arguments, layers, given)
    return make_network("stylegan3-g", arguments, tensors)


def stylegan3_channels(arguments: dict[str, Any], layers: list[str], given: dict[str, Any]) -> dict[str, int]:
    """channel_base and channel_max that give the layers their names; those in the file, else powers of two."""
    check_sizes(arguments)
    most = max(int(name.split("_")[2]) for name in layers[:-1])
    resolution, img_channels = arguments["img_resolution"], arguments["img_channels"]
    num_layers, num_critical, margin = arguments["num_layers"], arguments["num_critical"], arguments["margin_size"]
    bases = [given.get("channel_base"), *(2**exponent for exponent in range(20))]
    for base in bases:
        if not isinstance(base, int) or base < resolution:  # there would be layers without channels
            continue
        signals = design.flexible_schedule(resolution, num_layers, num_critical, margin, (base, most, img_channels))
        if [f"L{i}_{signal.size}_{signal.channels}" for i, signal in enumerate(signals)] == layers:
            return {"channel_base": base, "channel_max": most}
    raise PickleError(f"holds a StyleGAN3 whose layers sg cannot design ({', '.join(layers[:3])}, …)")


def connection(tensors: dict[str, torch.Tensor], of_resnet: str, of_skip: str) -> str:
    """How blocks connect, by the tensors that only the one or the other has."""
    return "resnet" if of_resnet in tensors else "skip" if of_skip in tensors else "orig"


def block_widths(tensors: dict[str, torch.Tensor], pattern: str) -> dict[int, int]:
    """Channels of each resolution: the sizes of the vectors whose names match `pattern`, whose group is r."""
    widths = {int(match[1]): len(tensors[name]) for name in tensors if (match := re.fullmatch(pattern, name))}
    if not widths:
        raise PickleError("is damaged (a network without blocks)")
    return dict(sorted(widths.items()))


def fp16_blocks(module: ModuleData, blocks: list[str], defaults: dict[str, Any]) -> int:
    """num_fp16_res: how many blocks were marked to run in half precision."""
    marks = [module.get(block, "use_fp16") for block in blocks]
    if None in marks:
        return module.arguments.get("num_fp16_res", defaults["num_fp16_res"])
    return sum(map(bool, marks))
