"""What a projection may minimise: functions from pictures to vectors whose squared Euclidean distance is the loss.

lpips      LPIPS v0.1, of VGG-16                      l2             mean squared difference of pixels
vgg        features of VGG-16, as Image2StyleGAN      features:FILE  a TorchScript network's features
pyramid    normalised Laplacian pyramid, no network

Pictures are float `[N, C, H, W]` in about [-1, 1], unclamped, C 1, 3 or 4 (the transparency counts in l2 and pyramid).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

from sgcli.errors import FormatError, SgError, UsageError
from sgcli.features.lpips import load_lpips
from sgcli.features.pyramid import pyramid_embedding
from sgcli.features.torchscript import load_torchscript
from sgcli.features.vgg import Vgg16, as_rgb, load_vgg16

Embedding = Callable[[torch.Tensor], torch.Tensor]  # [N, C, H, W] -> [N, F]

NAMES = ("lpips", "vgg", "pyramid", "l2", "features:FILE")
NEEDS_VGG = ("lpips", "vgg")
FILE_PREFIX = "features:"
LARGEST_SIDE = 256  # networks see larger pictures scaled down (spec stylegan2-ada §8)
SMALLEST_SIDE = 32  # and smaller ones enlarged, so that something is left behind four poolings
IMAGE2STYLEGAN_LAYERS = ("conv1_1", "conv1_2", "conv3_2", "conv4_2")


def load_embedding(
    name: str, device: torch.device, weights: str | None = None, trust: bool = False, option: str = "--loss"
) -> Embedding:
    """The embedding called `name`, one of NAMES. `weights`: a file in place of VGG-16's published ones.

    Raises UsageError for an unknown name or code that is not trusted, SgError for weights that cannot be had.
    """
    if weights is not None and name not in NEEDS_VGG:
        raise UsageError(
            f"--weights {weights}: {option} {name} has no weights of its own", f"{option} lpips, or leave it out"
        )
    if name == "l2":
        return pixel_embedding
    if name == "pyramid":
        return pyramid_embedding
    if name in NEEDS_VGG:
        with _offering(f"{option} pyramid"):
            if name == "lpips":
                return seen_by(load_lpips(weights).to(device).embed)
            return vgg_embedding(load_vgg16(weights).to(device))
    if name.startswith(FILE_PREFIX):
        return seen_by(_load_torchscript(name.removeprefix(FILE_PREFIX), device, trust))
    raise UsageError(f"{option} {name}: one of {', '.join(NAMES)}", f"{option} lpips")


@contextlib.contextmanager
def _offering(other: str) -> Iterator[None]:
    """Where weights cannot be had, say what does without."""
    try:
        yield
    except SgError as error:
        error.hint = f"{error.hint}; {other} needs no network"
        raise


def pixel_embedding(images: torch.Tensor) -> torch.Tensor:
    """`[N, C·H·W]`, whose squared distance is the mean squared difference."""
    flat = images.flatten(1)
    return flat / flat.shape[1] ** 0.5


def vgg_embedding(vgg: Vgg16) -> Embedding:
    """Image2StyleGAN's perceptual loss: the mean squared difference of each layer, summed (spec stylegan2-ada §8.2)."""

    def embed(images: torch.Tensor) -> torch.Tensor:
        return torch.cat([pixel_embedding(features) for features in vgg(images, IMAGE2STYLEGAN_LAYERS)], dim=1)

    return seen_by(embed)


def seen_by(network: Embedding) -> Embedding:
    """Pictures as a network sees them: in colour, and of a size that it was made for."""

    def embed(images: torch.Tensor) -> torch.Tensor:
        return network(fit_to_network(as_rgb(images)))

    return embed


def fit_to_network(images: torch.Tensor) -> torch.Tensor:
    """Scale square pictures to between SMALLEST_SIDE and LARGEST_SIDE pixels, by area."""
    side = images.shape[2]
    target = min(max(side, SMALLEST_SIDE), LARGEST_SIDE)
    return images if side == target else F.interpolate(images, size=(target, target), mode="area")


def _load_torchscript(file: str, device: torch.device, trust: bool) -> Embedding:
    """A TorchScript of pictures `[N, 3, H, W]` in [-1, 1] to features."""
    module = load_torchscript(file, trust, device)

    def embed(images: torch.Tensor) -> torch.Tensor:
        found = module(images)
        if not isinstance(found, torch.Tensor) or found.shape[:1] != images.shape[:1]:
            raise FormatError(f"{file}: does not give one row of features per picture", "[N, F] is wanted")
        return found.flatten(1)

    return embed
