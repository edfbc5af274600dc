"""The Inception network of 2015 behind FID, KID and IS, with the parameter names of its published PyTorch weights.

Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision". The TensorFlow graph that the metrics
are defined by differs from the later Inception v3 (spec metrics-extra): 1008 classes, average pooling that does not
count padding, and maximum pooling in the last block.
"""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F
from torch import nn

from sgcli.errors import FormatError
from sgcli.features.weights import INCEPTION, find_weights, read_weights
from sgcli.ops.conv2d import conv2d

SIDE = 299  # of the pictures that it was trained on
NUM_FEATURES = 2048
NUM_CLASSES = 1008
BATCH_NORM_EPSILON = 1e-3

Size = int | tuple[int, int]
Step = tuple[str, int, Size]  # name, channels, kernel
Path = list[Step | list[Step]]  # steps one after the other; a list is a fork whose ends lie side by side


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Size, stride: int = 1, same_size: bool = True):
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if same_size else 0
        self.conv = nn.Conv2d(in_channels, out_channels, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=BATCH_NORM_EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = conv2d(x, self.conv.weight, self.conv.stride[0], self.conv.padding)  # type: ignore[arg-type]
        return self.bn(x).relu_()


class Mixed(nn.Module):
    """Several paths from one input, their outputs side by side, and a pooled one at the end.

    pool    "average" or "maximum" of 3x3, then a 1x1 convolution to `pool_channels`.
    halves  the last step of every path and the pooling take every second pixel, without padding; the pooled input is
            passed on as it is.
    """

    def __init__(
        self, in_channels: int, paths: list[Path], pool: str = "average", pool_channels: int = 0, halves: bool = False
    ):
        super().__init__()
        self.paths, self.pool, self.halves = paths, pool, halves
        for path in paths:
            channels = in_channels
            for step in path:
                for name, width, kernel in step if isinstance(step, list) else [step]:
                    ends = halves and step is path[-1]
                    self.add_module(name, ConvNorm(channels, width, kernel, 2 if ends else 1, same_size=not ends))
                channels = width
        if not halves:
            self.branch_pool = ConvNorm(in_channels, pool_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([*(self._walk(path, x) for path in self.paths), self._pooled(x)], dim=1)

    def _walk(self, path: Path, x: torch.Tensor) -> torch.Tensor:
        for step in path:
            if isinstance(step, list):
                x = torch.cat([self.get_submodule(name)(x) for name, _, _ in step], dim=1)
            else:
                x = self.get_submodule(step[0])(x)
        return x

    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        if self.halves:
            return F.max_pool2d(x, 3, stride=2)
        if self.pool == "maximum":
            return self.branch_pool(F.max_pool2d(x, 3, stride=1, padding=1))
        return self.branch_pool(F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False))


def _at_35(in_channels: int, pool_channels: int) -> Mixed:
    """A block at 35x35 pixels."""
    paths: list[Path] = [
        [("branch1x1", 64, 1)],
        [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)],
        [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)],
    ]
    return Mixed(in_channels, paths, pool_channels=pool_channels)


def _at_17(width: int) -> Mixed:
    """A block at 17x17 pixels; 7x7 convolutions as a row and a column."""
    row, column = (1, 7), (7, 1)
    double: list[tuple[int, Size]] = [(width, 1), (width, column), (width, row), (width, column), (192, row)]
    paths: list[Path] = [
        [("branch1x1", 192, 1)],
        [("branch7x7_1", width, 1), ("branch7x7_2", width, row), ("branch7x7_3", 192, column)],
        [(f"branch7x7dbl_{number}", channels, kernel) for number, (channels, kernel) in enumerate(double, start=1)],
    ]
    return Mixed(768, paths, pool_channels=192)


def _at_8(in_channels: int, pool: str) -> Mixed:
    """A block at 8x8 pixels; some paths fork at their end."""

    def fork(name: str, ends: str) -> list[Step]:
        return [(name + ends[0], 384, (1, 3)), (name + ends[1], 384, (3, 1))]

    paths: list[Path] = [
        [("branch1x1", 320, 1)],
        [("branch3x3_1", 384, 1), fork("branch3x3_2", "ab")],
        [("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3), fork("branch3x3dbl_3", "ab")],
    ]
    return Mixed(in_channels, paths, pool, pool_channels=192)


class Inception(nn.Module):
    """Pictures `[N, 3, 299, 299]`, float, (pixel - 128) / 128, to features `[N, 2048]`."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNorm(3, 32, 3, stride=2, same_size=False)
        self.Conv2d_2a_3x3 = ConvNorm(32, 32, 3, same_size=False)
        self.Conv2d_2b_3x3 = ConvNorm(32, 64, 3)
        self.Conv2d_3b_1x1 = ConvNorm(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, 3, same_size=False)
        self.Mixed_5b = _at_35(192, pool_channels=32)
        self.Mixed_5c = _at_35(256, pool_channels=64)
        self.Mixed_5d = _at_35(288, pool_channels=64)
        triple: Path = [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)]
        self.Mixed_6a = Mixed(288, [[("branch3x3", 384, 3)], triple], halves=True)
        self.Mixed_6b = _at_17(128)
        self.Mixed_6c = _at_17(160)
        self.Mixed_6d = _at_17(160)
        self.Mixed_6e = _at_17(192)
        sevens: list[Size] = [1, (1, 7), (7, 1), 3]
        paths: list[Path] = [
            [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3)],
            [(f"branch7x7x3_{number}", 192, kernel) for number, kernel in enumerate(sevens, start=1)],
        ]
        self.Mixed_7a = Mixed(768, paths, halves=True)
        self.Mixed_7b = _at_8(1280, "average")
        self.Mixed_7c = _at_8(2048, "maximum")
        self.fc = nn.Linear(NUM_FEATURES, NUM_CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean(dim=(2, 3))

    def class_probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """Features `[N, 2048]` to probabilities `[N, 1008]`, without the bias, as IS is defined (§9.1)."""
        return (features @ self.fc.weight.T).softmax(dim=1)


def load_inception(named: str | os.PathLike | None = None) -> Inception:
    """The network with the published weights, or with those of a file that the user `named`; frozen.

    Raises SgError where the weights cannot be had, FormatError for a file that holds something else.
    """
    path = find_weights(INCEPTION, named)
    tensors = read_weights(path)
    network = Inception()
    wanted = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    for name, tensor in wanted.items():
        found = list(tensors[name].shape) if name in tensors else "missing"
        if found != list(tensor.shape):
            raise FormatError(
                f"{path}: not the weights of Inception 2015: {name} is {found}, {list(tensor.shape)} was expected",
                f"{INCEPTION.url} has them; a TorchScript file goes to --extractor FILE --trust",
            )
    network.load_state_dict({name: tensors[name] for name in wanted}, strict=False)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
