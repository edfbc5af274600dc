"""LPIPS v0.1 with a VGG-16 trunk (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric"; spec stylegan2-ada §9.2).

The heads come from the files of the installed `lpips` package. It is not imported: it would import torchvision.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import torch
from torch import nn

from sgcli.errors import SgError
from sgcli.features.vgg import Vgg16, load_vgg16
from sgcli.features.weights import read_weights

LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
HEADS_FILE = "weights/v0.1/vgg.pth"  # in the lpips package
EPSILON = 1e-10  # added to the length of a pixel's features


class Lpips(nn.Module):
    """How different two pictures look: features of unit length at every pixel, compared with learned weights."""

    def __init__(self, vgg: Vgg16, heads: list[torch.Tensor]):
        """heads: a weight per channel of each of LAYERS, `[C]`, none negative."""
        super().__init__()
        self.vgg = vgg
        for number, head in enumerate(heads):
            self.register_buffer(f"root{number}", head.sqrt().view(-1, 1, 1))

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Distances `[N]` of pictures `[N, 3, H, W]`, float in [-1, 1]. Raises ValueError under 16x16 pixels."""
        return (self.embed(a) - self.embed(b)).square().sum(dim=1)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Vectors `[N, F]` whose squared Euclidean distance is LPIPS: several million numbers for a 256x256 picture."""
        parts = []
        for number, features in enumerate(self.vgg(images, LAYERS)):
            length = torch.linalg.vector_norm(features, dim=1, keepdim=True)
            weighted = features / (length + EPSILON) * getattr(self, f"root{number}")
            height, width = features.shape[2:]
            parts.append(weighted.flatten(1) / (height * width) ** 0.5)
        return torch.cat(parts, dim=1)


def load_lpips(weights: str | os.PathLike | None = None) -> Lpips:
    """LPIPS with the published VGG-16, or with one from a file that the user named (`weights`); frozen.

    Raises SgError where weights are missing.
    """
    return Lpips(load_vgg16(weights), read_heads()).eval().requires_grad_(False)


def read_heads() -> list[torch.Tensor]:
    """The published weight of each channel of LAYERS, `[C]` each. Raises SgError without the `lpips` package."""
    spec = importlib.util.find_spec("lpips")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = next((Path(folder) / HEADS_FILE for folder in folders if (Path(folder) / HEADS_FILE).is_file()), None)
    if path is None:
        raise SgError(f"the lpips package with {HEADS_FILE} is not installed", "pip install 'lpips>=0.1.4'")
    tensors = read_weights(path)
    return [tensors[f"lin{number}.model.1.weight"].flatten() for number in range(len(LAYERS))]
