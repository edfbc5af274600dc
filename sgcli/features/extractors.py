"""Feature networks behind one call: uint8 pictures of any size and channels in, features `[N, F]` out.

inception   the 2015 network (FID, KID, IS)         random   a small seeded network: needs no download
vgg         VGG-16, its second hidden layer (PR)    FILE.ts  any TorchScript, which executes code: only with `trust`
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sgcli.errors import FormatError, SgError, UsageError
from sgcli.features import resize
from sgcli.features.inception import SIDE, load_inception
from sgcli.features.torchscript import load_torchscript
from sgcli.features.vgg import FC_SIDE, as_rgb, load_vgg16
from sgcli.files import sha256_of_file

NAMES = ("inception", "vgg", "random")
TORCHSCRIPT_SUFFIXES = (".ts", ".pt", ".jit", ".torchscript")
RANDOM_SIDE = 64
RANDOM_WIDTHS = (16, 32, 64, 128)
RANDOM_SEED = 0


@dataclass(frozen=True)
class Protocol:
    """The conventions of one code base: how pictures are resized and scaled, and what covariances are divided by."""

    name: str
    resize: Callable[[torch.Tensor, int], torch.Tensor]
    middle: float  # pixel value that enters Inception as 0; the range is ±middle
    covariance_ddof: int  # covariances are divided by N - ddof  # fmt: skip

    @staticmethod
    def named(name: str) -> Protocol:
        """Raises UsageError for a name that is not in PROTOCOLS."""
        if name not in PROTOCOLS:
            raise UsageError(f"--protocol {name}: one of {', '.join(PROTOCOLS)}", "--protocol nvidia")
        return PROTOCOLS[name]


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("nvidia", resize.tensorflow_bilinear, 128, 0),
        Protocol("clean", resize.pillow_bicubic, 128, 1),
        Protocol("pytorch-fid", resize.torch_bilinear, 127.5, 1),
    )
}


@dataclass(frozen=True)
class Extractor:
    """A feature network as metrics use it.

    name      as the user typed it
    sha256    of its weights
    protocol  that pictures are prepared by
    """

    name: str
    sha256: str
    protocol: Protocol
    device: torch.device
    _features: Callable[[torch.Tensor], torch.Tensor]  # float [N, 3, H, W] in 0…255 -> [N, F]
    _probabilities: Callable[[torch.Tensor], torch.Tensor] | None = None

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 `[N, C, H, W]`, C 1, 3 or 4 -> float32 `[N, F]` on the CPU. Raises SgError for NaN features."""
        found = self._features(as_rgb(images.to(self.device)).float()).float().cpu()
        if not found.isfinite().all():
            raise SgError(f"{self.name}: gives NaN or infinite features", "its weights may be damaged; name others")
        return found

    @torch.inference_mode()
    def class_probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """`[N, F]` -> `[N, classes]`. Raises UsageError where the network does not tell classes apart."""
        if self._probabilities is None:
            raise UsageError(
                f"--extractor {self.name}: does not tell classes apart, as the inception score needs",
                "--extractor inception, with --weights FILE where there is no network",
            )
        return self._probabilities(features.to(self.device)).cpu()

    def facts(self) -> dict[str, Any]:
        """Provenance."""
        return {"extractor": self.name, "extractor_sha256": self.sha256}


def load_extractor(
    name: str, protocol: Protocol, device: torch.device, weights: str | None = None, trust: bool = False
) -> Extractor:
    """The network called `name`: one of NAMES, or a TorchScript file. `weights`: a file instead of the published one.

    Raises UsageError for an unknown name or code that is not trusted, SgError for weights that cannot be had.
    """
    if name in LOADERS:
        return LOADERS[name](protocol, device, weights)
    if Path(name).suffix not in TORCHSCRIPT_SUFFIXES:
        raise UsageError(
            f"--extractor {name}: one of {', '.join(NAMES)}, or a TorchScript FILE.ts", "--extractor random"
        )
    return _load_torchscript(name, protocol, device, trust)


def _inception(protocol: Protocol, device: torch.device, weights: str | None) -> Extractor:
    network = load_inception(weights).to(device)

    def features(images: torch.Tensor) -> torch.Tensor:
        return network((protocol.resize(images, SIDE) - protocol.middle) / protocol.middle)

    return Extractor("inception", _hash(network), protocol, device, features, network.class_probabilities)


def _vgg(protocol: Protocol, device: torch.device, weights: str | None) -> Extractor:
    network = load_vgg16(weights, fully_connected=True).to(device)

    def features(images: torch.Tensor) -> torch.Tensor:
        return network.fc2(protocol.resize(images, FC_SIDE) / 127.5 - 1)

    return Extractor("vgg", _hash(network), protocol, device, features)


def _random(protocol: Protocol, device: torch.device, weights: str | None) -> Extractor:
    if weights is not None:
        raise UsageError(f"--weights {weights}: random features have none", "leave --weights out")
    network = RandomNetwork().to(device)

    def features(images: torch.Tensor) -> torch.Tensor:
        return network(protocol.resize(images, RANDOM_SIDE) / 127.5 - 1)

    return Extractor("random", _hash(network), protocol, device, features)


class RandomNetwork(nn.Module):
    """Convolutions with seeded random weights; means and deviations of their outputs, `[N, 480]`.

    Random features tell sets of pictures apart, not as people do: a value compares only with others of the same kind.
    """

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(RANDOM_SEED)
        widths = zip((3, *RANDOM_WIDTHS), RANDOM_WIDTHS, strict=False)
        self.kernels = nn.ParameterList(
            torch.randn(after, before, 3, 3, generator=rng) * (2 / (9 * before)) ** 0.5 for before, after in widths
        )
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float `[N, 3, H, W]` in [-1, 1]."""
        found = []
        for kernel in self.kernels:
            x = nn.functional.conv2d(x, kernel, stride=2, padding=1).relu()
            found += [x.mean(dim=(2, 3)), x.std(dim=(2, 3), correction=0)]
        return torch.cat(found, dim=1)


LOADERS = {"inception": _inception, "vgg": _vgg, "random": _random}


def _load_torchscript(name: str, protocol: Protocol, device: torch.device, trust: bool) -> Extractor:
    """A TorchScript of uint8-valued pictures `[N, 3, H, W]` to features.

    The published 2015 Inception in this form resizes by itself and is asked for features by `return_features`.
    """
    module = load_torchscript(name, trust, device)
    takes_flag = "return_features" in {argument.name for argument in module.forward.schema.arguments}  # type: ignore[attr-defined]

    def features(images: torch.Tensor) -> torch.Tensor:
        found = module(images, return_features=True) if takes_flag else module(images)
        if not isinstance(found, torch.Tensor) or len(found) != len(images):
            raise FormatError(f"--extractor {name}: does not give one row of features per picture", "[N, F] is wanted")
        return found.flatten(1)

    return Extractor(name, sha256_of_file(name), protocol, device, features)


def _hash(network: nn.Module) -> str:
    """Hex SHA-256 of a network's parameters: what it computes, whichever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if not name.endswith("num_batches_tracked"):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
