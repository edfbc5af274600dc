"""Variables of TensorFlow StyleGAN2 networks, by the names and layouts they have here (spec stylegan2-ada §3.4).

The counterpart for ProGAN and StyleGAN is `models.foreign.tf_names`. Names come without the scope of a component.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from sgcli.models.foreign.tf_names import to_torch_layout, translate

GENERATOR_SCOPES = {
    r"LabelEmbed": "mapping.embed",
    r"Dense(?P<i>\d+)": "mapping.fc{i}",
    r"4x4/Const": "synthesis.b4",
    r"4x4/Conv": "synthesis.b4.conv1",
    r"(?P<r>\d+)x\d+/Conv0_up": "synthesis.b{r}.conv0",
    r"(?P<r>\d+)x\d+/Conv1": "synthesis.b{r}.conv1",
    r"(?P<r>\d+)x\d+/ToRGB": "synthesis.b{r}.torgb",
    r"(?P<r>\d+)x\d+/Skip": "synthesis.b{r}.skip",
}
GENERATOR_LEAVES = {
    "weight": "weight",
    "bias": "bias",
    "const": "const",
    "noise_strength": "noise_strength",
    "mod_weight": "affine.weight",
    "mod_bias": "affine.bias",
}
DISCRIMINATOR_SCOPES = {
    r"LabelEmbed": "mapping.embed",
    r"Mapping(?P<i>\d+)": "mapping.fc{i}",
    r"(?P<r>\d+)x\d+/FromRGB": "b{r}.fromrgb",
    r"4x4/Conv": "b4.conv",
    r"4x4/Dense0": "b4.fc",
    r"Output": "b4.out",
    r"(?P<r>\d+)x\d+/Conv0": "b{r}.conv0",
    r"(?P<r>\d+)x\d+/Conv1_down": "b{r}.conv1",
    r"(?P<r>\d+)x\d+/Skip": "b{r}.skip",
}
DISCRIMINATOR_LEAVES = {"weight": "weight", "bias": "bias"}


def generator_state(variables: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """State of `stylegan2.Generator`. Raises FormatError for a variable that it does not know."""
    state = {}
    for name, value in variables.items():
        if name == "lod":
            continue
        if name == "dlatent_avg":
            state["mapping.w_avg"] = value
        elif match := re.fullmatch(r"noise(\d+)", name):
            index = int(match[1])
            state[f"synthesis.b{4 << (index + 1) // 2}.conv{1 - index % 2}.noise_const"] = value[0, 0]
        else:
            ours, _ = translate(name, GENERATOR_SCOPES, GENERATOR_LEAVES, resolution=0)
            if ours.endswith("conv0.weight"):  # TensorFlow stores upsampling kernels turned by 180°
                value = value.flip([0, 1])
            if ours.endswith("affine.bias"):  # and modulation by s + 1
                value = value + 1
            state[ours] = value[0] if ours.endswith("const") else to_torch_layout(value)
    return state


def discriminator_state(variables: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """State of `discriminator.Discriminator`. Raises FormatError for a variable that it does not know."""
    state = {}
    for name, value in variables.items():
        if name != "lod":
            ours, _ = translate(name, DISCRIMINATOR_SCOPES, DISCRIMINATOR_LEAVES, resolution=0)
            state[ours] = to_torch_layout(value)
    return state
