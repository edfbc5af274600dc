"""The TensorFlow pickles of ProGAN, StyleGAN, StyleGAN2 and StyleGAN2-ADA (spec progan-stylegan1 §7, stylegan2-ada
§3.4).

A file is a tuple (G, D, Gs) of networks, Gs the moving average; each is a name, the arguments that differ from
defaults, and a list of named arrays. Generators since StyleGAN have theirs in two components, mapping and synthesis.
The source text of the functions that built the networks is in the file too, and ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from sgcli.models.foreign import arrays, tf_names, tf_stylegan2, torch_files
from sgcli.models.foreign.contents import Contents, Network, count_layers, infer_channels, make_network
from sgcli.models.foreign.official_networks import block_widths, connection
from sgcli.models.foreign.pickles import PickleError, Record, printable

PROGAN_CLASS = "tfutil.Network"  # of ProGAN's own repository
_CLASSES = {PROGAN_CLASS, "dnnlib.tflib.network.Network"}
NAMES = {*_CLASSES, *arrays.NAMES}
ADA_VERSION = 5  # of StyleGAN2-ADA's networks; StyleGAN2's have 4
LICENSE_NOTE = (
    "the weights keep the licence of their source (NVIDIA's published ones: CC BY-NC 4.0 or Nvidia Source Code "
    "License-NC, non-commercial)"
)

# Arguments that sg has no choice for, with what its networks do.
FIXED = {
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "use_wscale": True,
    "use_leakyrelu": True,
    "use_pixelnorm": True,
    "normalize_latents": True,
    "blur_filter": [1, 2, 1],
    "resample_kernel": [1, 3, 3, 1],
    "fmap_decay": 1.0,
}


@dataclass
class TfNetwork:
    """One network: its variables without the scopes of its components, and its arguments."""

    class_name: str
    version: int
    function: str
    arguments: dict[str, Any]
    variables: dict[str, torch.Tensor]

    @property
    def is_demodulated(self) -> bool:
        return any(name.endswith("/mod_weight") for name in self.variables)

    @property
    def is_styled(self) -> bool:
        return any(name.endswith("/StyleMod/weight") for name in self.variables)


def is_tensorflow(content: Any) -> bool:
    networks = content if isinstance(content, tuple | list) else [content]
    return any(isinstance(network, Record) and network.name in _CLASSES for network in networks)


def read_tensorflow(content: Any) -> Contents:
    """The networks of a pickled (G, D, Gs). Raises PickleError or FormatError for what sg cannot build."""
    if not isinstance(content, tuple | list) or len(content) != 3:
        raise PickleError("holds a single network, not the (G, D, Gs) of a generator's file")
    given = dict(zip(("G", "D", "G_ema"), content, strict=True))
    found = {prefix: read_network(record) for prefix, record in given.items() if isinstance(record, Record)}
    if "G_ema" not in found:
        raise PickleError("holds no generator (Gs)")
    shown = found["G_ema"]
    if shown.is_demodulated:
        if any("_lod" in name for name in shown.variables):
            raise PickleError("holds a StyleGAN2 of configuration B, C or D, whose files sg cannot read")
        build = {"G_ema": stylegan2_generator, "G": stylegan2_generator, "D": stylegan2_discriminator}
        format_name, arch = "StyleGAN2-ADA" if shown.version >= ADA_VERSION else "StyleGAN2", "sg2"
    else:
        build = {"G_ema": growing_generator, "G": growing_generator, "D": growing_discriminator}
        format_name, arch = ("StyleGAN", "sg1") if shown.function.startswith("G_style") else ("ProGAN", "progan")
    networks = {prefix: build[prefix](network) for prefix, network in found.items()}
    return Contents(f"{format_name} (TensorFlow)", arch, networks, LICENSE_NOTE)


def read_classifier(content: Any) -> Network:
    """The discriminator in an attribute classifier's file: one network by itself (spec progan-stylegan1 §6.3)."""
    if not isinstance(content, Record) or content.name not in _CLASSES:
        raise PickleError("holds no classifier, which is a single network of TensorFlow")
    network = read_network(content)
    if not any(name.startswith("FromRGB_lod") for name in network.variables):
        raise PickleError("holds a network, but not a classifier of pictures")
    classifier = growing_discriminator(network)
    if (outputs := len(classifier.tensors["b4.out.bias"])) > 1:
        raise PickleError(f"holds a network with {outputs} outputs, where a classifier has one")
    return classifier


def read_network(record: Record) -> TfNetwork:
    """Collect a network's variables and those of its components. Raises PickleError for a damaged record."""
    pending, seen = [record], set()
    variables: dict[str, torch.Tensor] = {}
    arguments: dict[str, Any] = {}
    while pending:
        part = pending.pop(0)
        if not isinstance(part, Record) or part.name not in _CLASSES or not isinstance(part.state, dict):
            raise PickleError("is damaged (something else in the place of a network)")
        if id(part) in seen:
            raise PickleError("is refused: a network in two places")
        seen.add(id(part))
        arguments = {**part.state["static_kwargs"], **arguments}
        own = {_checked_name(name): _to_tensor(value) for name, value in part.state["variables"]}
        variables = {**own, **variables}  # a network's lod sets that of its components
        pending += part.state.get("components", {}).values()
    for name, value in FIXED.items():
        if name in arguments and _comparable(arguments[name]) != value:
            raise PickleError(f"holds a network with {name} {printable(arguments[name])}; sg has {value}")
    function, version = record.state["build_func_name"], record.state["version"]
    return TfNetwork(record.name, version, function, arguments, variables)


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise PickleError("is damaged (a variable without a name)")
    return name


def _to_tensor(value: Any) -> torch.Tensor:
    return torch_files.to_tensor(value) if isinstance(value, Record) else torch.tensor(float(value))


def _comparable(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def mapping_arguments(state: Mapping[str, torch.Tensor], arguments: Mapping[str, Any], labels: int) -> dict[str, Any]:
    """Arguments that concern `mapping`; `labels`: how many of the first layer's inputs are the label's."""
    layers = count_layers(state, "mapping.fc{}.weight")
    return {
        "z_dim": state["mapping.fc0.weight"].shape[1] - labels,
        "w_dim": len(state["mapping.w_avg"]),
        "mapping_layers": layers,
        "layer_features": len(state["mapping.fc0.weight"]),
        "lr_multiplier": arguments.get("mapping_lrmul", 0.01),
    }


def stylegan2_generator(network: TfNetwork) -> Network:
    if "LabelConcat/weight" in network.variables:
        raise PickleError("holds a conditional network of the first StyleGAN2, which sg cannot build")
    state, arguments = tf_stylegan2.generator_state(network.variables), network.arguments
    widths = block_widths(state, r"synthesis\.b(\d+)\.conv1\.bias")
    embed = state.get("mapping.embed.weight")
    labels = 0 if embed is None else len(embed)
    return make_network(
        "stylegan2-g",
        {
            **mapping_arguments(state, arguments, labels),
            **({} if embed is None else {"c_dim": embed.shape[1], "embed_features": labels}),
            "img_resolution": max(widths),
            "img_channels": len(state[f"synthesis.b{max(widths)}.torgb.bias"]),
            "architecture": connection(state, "synthesis.b8.skip.weight", "synthesis.b4.torgb.weight"),
            "num_fp16_res": arguments.get("num_fp16_res", 0),
            "conv_clamp": arguments.get("conv_clamp"),
            "use_noise": "synthesis.b4.conv1.noise_strength" in state,
            "w_avg_beta": arguments.get("w_avg_beta", arguments.get("dlatent_avg_beta", 0.995)),
            **infer_channels(widths),
        },
        state,
    )


def stylegan2_discriminator(network: TfNetwork) -> Network:
    state, arguments = tf_stylegan2.discriminator_state(network.variables), network.arguments
    widths = {4: len(state["b4.conv.weight"]), **block_widths(state, r"b(\d+)\.conv0\.bias")}
    if network.version < ADA_VERSION and len(state["b4.out.bias"]) > 1:
        raise PickleError("holds a conditional network of the first StyleGAN2, which sg cannot build")
    embed = state.get("mapping.embed.weight")
    conditional = {}
    if embed is not None:
        conditional = {
            "c_dim": embed.shape[1],
            "cmap_dim": len(state["b4.out.bias"]),
            "mapping_layers": count_layers(state, "mapping.fc{}.weight"),
            "mapping_lr_multiplier": arguments.get("mapping_lrmul", 0.1),
        }
    return make_network(
        "stylegan2-d",
        {
            **conditional,
            "img_resolution": max(widths),
            "img_channels": state[f"b{max(widths)}.fromrgb.weight"].shape[1],
            "architecture": connection(state, "b8.skip.weight", "b4.fromrgb.weight"),
            "num_fp16_res": arguments.get("num_fp16_res", 0),
            "conv_clamp": arguments.get("conv_clamp"),
            # StyleGAN2's files leave its default out, 4; StyleGAN2-ADA's is the whole batch.
            "mbstd_group_size": arguments.get("mbstd_group_size", 4 if network.version < ADA_VERSION else None),
            "mbstd_num_channels": state["b4.conv.weight"].shape[1] - widths[4],
            **infer_channels(widths),
        },
        state,
    )


def growing_generator(network: TfNetwork) -> Network:
    """ProGAN's and StyleGAN's; StyleGAN's function without styles makes ProGAN's network with a blur."""
    arguments, variables = network.arguments, network.variables
    if network.function.startswith("G_style"):
        fused = arguments.get("fused_scale", "auto")
    else:
        fused = any("Conv0_up" in name for name in variables)
    state = tf_names.generator_state(variables, fused, fused_out_in=network.class_name == PROGAN_CLASS)
    widths = block_widths(state, r"synthesis\.b(\d+)\.conv1\.bias")
    c_dim = arguments.get("label_size", 0)
    common = {
        "c_dim": c_dim,
        "img_resolution": max(widths),
        "img_channels": len(state[f"synthesis.b{max(widths)}.torgb.bias"]),
        **infer_channels(widths),
    }
    if not network.is_styled:
        entering = state["synthesis.b4.input.weight"].shape[1]
        blur = network.function.startswith("G_style")
        return make_network("progan-g", {"z_dim": entering - c_dim, "w_dim": entering, "blur": blur, **common}, state)
    if arguments.get("use_pixel_norm", False) or not arguments.get("use_instance_norm", True):
        raise PickleError("holds a StyleGAN without instance normalisation, which sg cannot build")
    embed = state.get("mapping.embed.weight")
    styled = {
        **mapping_arguments(state, arguments, labels=0 if embed is None else len(embed)),
        "w_avg_beta": arguments.get("dlatent_avg_beta", 0.995),
        "use_noise": "synthesis.b4.conv1.noise_strength" in state,
        "constant_input": "synthesis.b4.input.const" in state,
    }
    return make_network("stylegan1-g", {**styled, **common}, state)


def growing_discriminator(network: TfNetwork) -> Network:
    """ProGAN's and StyleGAN's. That of ProGAN's own code tells classes beside its score."""
    state, arguments = tf_names.discriminator_state(network.variables), network.arguments
    is_progan = network.function != "D_basic"
    classes = len(state["b4.out.bias"]) - 1
    widths = {4: len(state["b4.conv.weight"]), **block_widths(state, r"b(\d+)\.conv0\.bias")}
    img_channels = state[f"b{max(widths)}.fromrgb.weight"].shape[1]
    for r, channels in widths.items():  # those of lower resolutions, if a file lacks them, served growing only
        state.setdefault(f"b{r}.fromrgb.weight", torch.zeros(channels, img_channels, 1, 1))
        state.setdefault(f"b{r}.fromrgb.bias", torch.zeros(channels))
    has_mbstd = state["b4.conv.weight"].shape[1] > widths[4]
    return make_network(
        "progan-d",
        {
            "c_dim": classes if is_progan else arguments.get("label_size", 0),
            "classifier": is_progan,
            "img_resolution": max(widths),
            "img_channels": img_channels,
            "blur": not is_progan,
            "shrink_last": is_progan and not any("Conv1_down" in name for name in network.variables),
            "mbstd_group_size": arguments.get("mbstd_group_size", 4) if has_mbstd else 1,
            **infer_channels(widths),
        },
        state,
    )
