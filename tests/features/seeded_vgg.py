"""A VGG-16 with seeded random weights, by the recipe of golden lpips-vgg, in place of the published ones."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from sgcli.features.vgg import Vgg16


@functools.cache
def seeded_state() -> dict[str, torch.Tensor]:
    """Weight, then bias of each of the 13 convolutions in order, from one stream of normal numbers."""
    random = np.random.RandomState(1234)
    state = {}
    for name, tensor in Vgg16().state_dict().items():
        scale = np.sqrt(2 / tensor[0].numel()) if name.endswith("weight") else 0.05
        state[name] = torch.from_numpy((random.standard_normal(tuple(tensor.shape)) * scale).astype(np.float32))
    return state


def write_seeded_vgg(path: Path) -> Path:
    safetensors.torch.save_file(seeded_state(), path)
    return path
