"""VGG-16 (Simonyan and Zisserman 2015, configuration D), with the parameter names of torchvision's weights.

Legend: N pictures of H x W pixels.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence

import torch
from torch import nn

from sgcli.errors import FormatError
from sgcli.features.weights import VGG16, find_weights, read_weights
from sgcli.models.memory import place
from sgcli.ops.conv2d import conv2d

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # channels; pooling in between
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for pixels in [0, 1]
MIN_SIDE = 16  # four poolings
FC_SIDE = 224  # of pictures that enter the fully connected layers


class Convolution(nn.Conv2d):
    """3x3, with zeros around the picture; its weights have the names and shapes of PyTorch's."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.bias is not None
        return conv2d(x, self.weight, padding=1) + self.bias[:, None, None]


class Vgg16(nn.Module):
    """Pictures `[N, 3, H, W]`, float in [-1, 1], to activations of named layers: conv1_1, relu1_1, … relu5_3."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, fully_connected: bool = False):
        """fully_connected: with the first two such layers, for `fc2`: nine times as many weights."""
        super().__init__()
        self.features = nn.Sequential()
        self.layers: list[str] = []  # names of the modules in `features`
        channels = 3
        for stage, widths in enumerate(STAGES, start=1):
            if stage > 1:
                self._add(f"pool{stage - 1}", nn.MaxPool2d(2))
            for number, width in enumerate(widths, start=1):
                self._add(f"conv{stage}_{number}", Convolution(channels, width))
                self._add(f"relu{stage}_{number}", nn.ReLU())
                channels = width
        if fully_connected:
            self.classifier = nn.ModuleDict({"0": nn.Linear(512 * 7 * 7, 4096), "3": nn.Linear(4096, 4096)})
        # torchvision's normalisation, for pixels in [-1, 1]
        self.register_buffer("mean", 2 * torch.tensor(MEAN).view(3, 1, 1) - 1, persistent=False)
        self.register_buffer("std", 2 * torch.tensor(STD).view(3, 1, 1), persistent=False)

    def _add(self, name: str, module: nn.Module) -> None:
        self.layers.append(name)
        self.features.append(module)

    def forward(self, images: torch.Tensor, layers: Sequence[str]) -> list[torch.Tensor]:
        """Activations `[N, C, h, w]` of `layers`, from the first to the last. Raises ValueError under 16x16 pixels."""
        if min(images.shape[2:]) < MIN_SIDE:
            raise ValueError(f"VGG-16 takes pictures from {MIN_SIDE}x{MIN_SIDE} pixels, got {list(images.shape)}")
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        found = []
        last = max(map(self.layers.index, layers))
        for name, module in itertools.islice(zip(self.layers, self.features, strict=True), last + 1):
            x = module(x)
            if name in layers:
                found.append(x)
        return found

    def fc2(self, images: torch.Tensor) -> torch.Tensor:
        """The second fully connected layer behind its ReLU, `[N, 4096]`, of pictures of 224x224 pixels."""
        if images.shape[2:] != (FC_SIDE, FC_SIDE):
            raise ValueError(f"fc2 takes pictures of {FC_SIDE}x{FC_SIDE} pixels, got {list(images.shape)}")
        (x,) = self(images, ["relu5_3"])
        x = nn.functional.max_pool2d(x, 2).flatten(1)
        for layer in self.classifier.values():
            x = layer(x).relu()
        return x


def load_vgg16(named: str | os.PathLike | None = None, fully_connected: bool = False) -> Vgg16:
    """VGG-16 with the published weights, or with those of a file that the user `named`; frozen.

    Raises SgError where the weights cannot be had, FormatError for a file that holds something else.
    """
    path = find_weights(VGG16, named)
    network = Vgg16(fully_connected)
    tensors = read_weights(path)
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        found = list(tensors[name].shape) if name in tensors else "missing"
        if found != list(tensor.shape):
            raise FormatError(
                f"{path}: not the weights of VGG-16: {name} is {found}, {list(tensor.shape)} was expected",
                f"{VGG16.url} has them",
            )
    network.load_state_dict({name: tensors[name] for name in wanted})
    return place(network).eval().requires_grad_(False)


def as_rgb(images: torch.Tensor) -> torch.Tensor:
    """Three channels of pictures with 1 (repeated), 3, or 4 (the transparency is left out): `[N, 3, H, W]`."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]
