"""Attribute classifiers: does this picture show a smile, glasses, a hat? One logit per attribute, above 0 for yes.

Three kinds of files: those of `sg train-classifier`, the pickles published with StyleGAN (one attribute each; spec
progan-stylegan1 §6.3), and TorchScript. All take pictures in [-1, 1], as a discriminator does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from sgcli.errors import FormatError, SgError, UsageError
from sgcli.features.torchscript import load_torchscript
from sgcli.files import sha256_of_file
from sgcli.models.checkpoint import read_header, read_tensors, save_tensors
from sgcli.models.foreign.contents import Network
from sgcli.models.foreign.formats import open_foreign_classifier
from sgcli.models.progan import Discriminator
from sgcli.models.registry import build_network

KIND = "classifier"  # of our files, in their header
TRAIN_HINT = "sg train-classifier faces.zip --attributes all -o clf.safetensors"


@dataclass(frozen=True)
class Classifier:
    """What judges one or more attributes.

    names        of the attributes
    resolution   side of the pictures that `network` takes; None where that is not known
    num_channels of those pictures
    network      `[N, num_channels, resolution, resolution]` in [-1, 1] -> logits `[N, len(names)]`
    """

    path: Path
    names: list[str]
    resolution: int | None
    num_channels: int
    network: Callable[[torch.Tensor], torch.Tensor]

    def check_fits(self, resolution: int, num_channels: int) -> None:
        """Raise UsageError unless pictures of this size can be judged: larger ones are shrunk, smaller ones are not."""
        if self.resolution is not None and resolution % self.resolution:
            raise UsageError(
                f"{self.path}: a classifier of {self.resolution}² pictures cannot judge {resolution}² ones",
                f"train one on pictures of {resolution}²: {TRAIN_HINT}",
            )
        if num_channels < self.num_channels and num_channels != 1:
            raise UsageError(
                f"{self.path}: a classifier of pictures with {self.num_channels} channels, given {num_channels}",
                f"train one on pictures with {num_channels} channels: {TRAIN_HINT}",
            )
        if num_channels > self.num_channels and (num_channels, self.num_channels) != (4, 3):
            raise UsageError(
                f"{self.path}: a classifier of greyscale pictures, given {num_channels} channels",
                f"train one on colour pictures: {TRAIN_HINT}",
            )

    @torch.inference_mode()
    def judge(self, images: torch.Tensor) -> torch.Tensor:
        """Logits fp32 `[N, len(names)]` of pictures `[N, K, R, R]` in about [-1, 1].

        Larger pictures are shrunk by averaging whole blocks, as published for 1024² pictures and 256² classifiers.
        Greyscale counts as equal channels, alpha is left out. Raises FormatError where the network answers otherwise.
        """
        images = images[:, : self.num_channels].expand(-1, self.num_channels, -1, -1)
        factor = images.shape[-1] // (self.resolution or images.shape[-1])
        logits = self.network(F.avg_pool2d(images, factor) if factor > 1 else images)
        if not isinstance(logits, torch.Tensor) or logits.numel() != len(images) * len(self.names):
            answer = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise FormatError(
                f"{self.path}: answered {answer} to {len(images)} pictures, where [{len(images)}, {len(self.names)}] "
                "was expected",
                "a TorchScript classifier takes [N, 3, R, R] in [-1, 1] and returns a logit per attribute",
            )
        return logits.reshape(len(images), len(self.names)).float()

    def facts(self) -> dict[str, Any]:
        """Provenance for the result line."""
        return {"classifier": str(self.path), "classifier_sha256": sha256_of_file(self.path)}


class Panel:
    """Several classifiers that judge the same pictures, each its own attributes."""

    def __init__(self, classifiers: Sequence[Classifier]):
        self.classifiers = list(classifiers)
        self.names = [name for classifier in classifiers for name in classifier.names]
        if doubled := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise UsageError(f"two classifiers judge '{doubled[0]}'", "name one classifier per attribute")

    def judge(self, images: torch.Tensor) -> torch.Tensor:
        """Logits fp32 `[N, len(self.names)]` of pictures `[N, K, R, R]` in about [-1, 1]."""
        return torch.cat([classifier.judge(images) for classifier in self.classifiers], dim=1)


def open_panel(paths: Sequence[str | os.PathLike], device: torch.device, trust: bool = False) -> Panel:
    """The classifiers in files; a folder stands for the files in it. Raises SgError where there are none."""
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise SgError(f"{path}: no such classifier", TRAIN_HINT)
        files += sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    if not files:
        raise SgError(f"{paths[0]}: a folder without classifiers", TRAIN_HINT)
    return Panel([open_classifier(file, device, trust) for file in files])


def open_classifier(path: Path, device: torch.device, trust: bool = False) -> Classifier:
    """Open one file of any of the three kinds. Raises SgError for anything else."""
    start = _first_bytes(path)
    if start.startswith(b"\x80"):
        network = open_foreign_classifier(path)
        return _of_networks(path, [_build(path, network, device)], [published_name(path)])
    if start.startswith(b"PK"):
        module = load_torchscript(path, trust, device)
        num_channels, names = 3, torchscript_names(module, path)
        return Classifier(path, names, None, num_channels, module)
    header = read_header(path, KIND)
    try:
        stored = zip(header["networks"], header["attributes"], strict=True)
        networks, names = [], []
        for number, (specification, attributes) in enumerate(stored):
            networks.append(_build(path, Network(specification, read_tensors(path, str(number))), device))
            names += attributes
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: header and tensors do not fit together", TRAIN_HINT) from error
    return _of_networks(path, networks, names)


def save_classifier(
    path: str | os.PathLike,
    networks: Sequence[Discriminator],
    specifications: Sequence[dict[str, Any]],  # {"class": …, constructor arguments} of each network
    attributes: Sequence[Sequence[str]],       # what each output of each network judges
    facts: dict[str, Any],                     # accuracy, data, and how it was trained: for the header
) -> None:  # fmt: skip
    """Write a classifier file, whole or not at all."""
    tensors = {
        f"{number}/{name}": tensor
        for number, network in enumerate(networks)
        for name, tensor in network.state_dict().items()
    }
    header = {"kind": KIND, "networks": list(specifications), "attributes": [list(names) for names in attributes]}
    save_tensors(path, tensors, {**header, **facts})


def published_name(path: Path) -> str:
    """'celebahq-classifier-19-eyeglasses.pkl' -> 'eyeglasses'; any other file goes by its stem."""
    match = re.fullmatch(r".*classifier-\d+-(.+)", path.stem)
    return match[1] if match else path.stem


def torchscript_names(module: torch.jit.ScriptModule, path: Path) -> list[str]:
    """The module's own list `names`, else its file's stem: one attribute."""
    names = getattr(module, "names", None)
    return list(names) if isinstance(names, list | tuple) and names else [path.stem]


def _build(path: Path, network: Network, device: torch.device) -> Discriminator:
    try:
        built = build_network(network.specification)
        built.load_state_dict(network.tensors)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise FormatError(f"{path}: header and tensors do not fit together ({reason})", TRAIN_HINT) from error
    if not isinstance(built, Discriminator):
        raise FormatError(f"{path}: its network does not judge pictures", TRAIN_HINT)
    return built.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def _of_networks(path: Path, networks: Sequence[Discriminator], names: list[str]) -> Classifier:
    first = networks[0]
    return Classifier(path, names, first.img_resolution, first.img_channels, Scores(networks))


class Scores(nn.Module):
    """The scores of several discriminators side by side."""

    def __init__(self, networks: Sequence[Discriminator]):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """`[N, K, R, R]` -> `[N, outputs of all]`."""
        images = images.contiguous(memory_format=torch.channels_last)
        return torch.cat([network.scores(images) for network in self.networks], dim=1)  # type: ignore[operator]


def _first_bytes(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError as error:
        raise SgError(f"{path}: cannot be read ({error.strerror})", f"ls -l {path}") from error
    return b"" if start[8:] == b"{" else start  # a safetensors file's header length may look like anything
