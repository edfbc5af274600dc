"""Variables of TensorFlow ProGAN and StyleGAN networks, by the names and layouts they have here (spec progan-stylegan1
§7.2 to §7.4).

A variable's name is a scope and a leaf; R stands for the resolution of the network, `{r}x{r}/` for that of a block.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import torch

from sgcli.errors import FormatError

FusedScale = bool | Literal["auto"]

GENERATOR_SCOPES = {
    r"LabelConcat": "mapping.embed",
    r"Dense(?P<i>\d+)": "mapping.fc{i}",
    r"4x4/(Const|Dense)": "synthesis.b4.input",
    r"4x4/Conv": "synthesis.b4.conv1",
    r"(?P<r>\d+)x\d+/Conv0(_up)?": "synthesis.b{r}.conv0",
    r"(?P<r>\d+)x\d+/Conv1": "synthesis.b{r}.conv1",
    r"ToRGB_lod(?P<lod>\d+)": "synthesis.b{lod}.torgb",
}
GENERATOR_LEAVES = {
    "weight": "weight",
    "bias": "bias",
    "const": "const",
    "StyleMod/weight": "affine.weight",
    "StyleMod/bias": "affine.bias",
    "Noise/weight": "noise_strength",
}
DISCRIMINATOR_SCOPES = {
    r"FromRGB_lod(?P<lod>\d+)": "b{lod}.fromrgb",
    r"4x4/Conv": "b4.conv",
    r"4x4/Dense0": "b4.fc",
    r"4x4/Dense1": "b4.out",
    r"(?P<r>\d+)x\d+/Conv0": "b{r}.conv0",
    r"(?P<r>\d+)x\d+/Conv1(_down)?": "b{r}.conv1",
}
DISCRIMINATOR_LEAVES = {"weight": "weight", "bias": "bias"}


def generator_state(
    variables: Mapping[str, torch.Tensor], fused_scale: FusedScale = "auto", fused_out_in: bool = False
) -> dict[str, torch.Tensor]:
    """State of `progan.Generator` or `stylegan1.Generator`. Raises FormatError for a variable that neither knows.

    variables     by name within G, without the scopes `G_mapping/` and `G_synthesis/`.
    fused_scale   which up-convolutions were computed fused, and so store their kernel turned by 180°: all, none, or
                  those of 128² and above ("auto", StyleGAN's default).
    fused_out_in  fused kernels are stored as [k, k, out, in]: ProGAN's own repository.
    """
    resolution = _largest_resolution(variables)
    state = {}
    for name, value in variables.items():
        if name in ("lod", "dlatent_avg"):
            state["synthesis.lod" if name == "lod" else "mapping.w_avg"] = value
        elif match := re.fullmatch(r"noise(\d+)", name):
            index = int(match[1])
            layer = f"conv{index % 2}" if index else "input"
            state[f"synthesis.b{4 << index // 2}.{layer}.noise_const"] = value[0, 0]
        else:
            ours, groups = translate(name, GENERATOR_SCOPES, GENERATOR_LEAVES, resolution)
            fused = int(groups.get("r", 0)) >= 128 if fused_scale == "auto" else fused_scale
            if ours.endswith("conv0.weight") and fused:
                value = value.flip([0, 1])
                value = value.transpose(2, 3) if fused_out_in else value
            state[ours] = value[0] if ours.endswith("const") else to_torch_layout(value)
    if "mapping.w_avg" not in state:  # ProGAN keeps no average of its latents; it would be 0
        state["mapping.w_avg"] = torch.zeros(state["synthesis.b4.input.weight"].shape[1])
    return state


def discriminator_state(variables: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """State of `progan.Discriminator`. Raises FormatError for a variable that it does not know."""
    resolution = _largest_resolution(variables)
    state = {}
    for name, value in variables.items():
        if name == "lod":
            state["lod"] = value
        else:
            ours, _ = translate(name, DISCRIMINATOR_SCOPES, DISCRIMINATOR_LEAVES, resolution)
            state[ours] = to_torch_layout(value)
    return state


def _largest_resolution(variables: Mapping[str, torch.Tensor]) -> int:
    sides = [int(match[1]) for name in variables if (match := re.match(r"(\d+)x\d+/", name))]
    if not sides:
        raise FormatError("no variable named like 4x4/Conv/weight: not a ProGAN or StyleGAN network")
    return max(sides)


def translate(
    name: str, scopes: Mapping[str, str], leaves: Mapping[str, str], resolution: int
) -> tuple[str, dict[str, str]]:
    """Our name of a variable, and what the scope's pattern found (`r`, `i`, `lod`)."""
    for pattern, scope in scopes.items():
        match = re.fullmatch(f"{pattern}/(?P<leaf>{'|'.join(leaves)})", name)
        if match:
            groups = match.groupdict()
            if "lod" in groups:
                groups["lod"] = str(resolution >> int(groups["lod"]))
            return f"{scope.format(**groups)}.{leaves[groups['leaf']]}", groups
    raise FormatError(f"{name}: not a variable of a ProGAN or StyleGAN network that sg knows")


def to_torch_layout(value: torch.Tensor) -> torch.Tensor:
    """[in, out] -> [out, in] (dense), [k, k, in, out] -> [out, in, k, k] (convolution); vectors stay."""
    if value.ndim == 2:
        return value.T.contiguous()
    if value.ndim == 4:
        return value.permute(3, 2, 0, 1).contiguous()
    return value
