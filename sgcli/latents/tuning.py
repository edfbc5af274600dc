"""Pivotal tuning (Roich et al. 2021, "Pivotal Tuning for Latent-based Editing of Real Images"): the latents stay, the
generator moves until it draws the pictures from them. What changed is a small file that is added to the generator.
"""

from __future__ import annotations

import copy
import os
from typing import Any

import torch

from sgcli.errors import FormatError
from sgcli.features.embeddings import Embedding
from sgcli.models.base import Generator
from sgcli.models.checkpoint import read_header, read_tensors, save_tensors
from sgcli.progress import warn

KIND = "delta"
LEARNING_RATE = 3e-4
MSE_WEIGHT = 1.0  # beside the perceptual loss
DTYPE = torch.float16  # changes are small: their last digits are far below those of the weights


class Tuning:
    """Fit the synthesis network of a copy of `G` to pictures at fixed latents; call `step` as often as you like.

    The copy draws with its own noise maps, so that nothing but latents and delta is needed afterwards.

    ws       `[N, num_ws, W]`.
    targets  `[N, C, R, R]`, float in [-1, 1].
    embed    the loss; the mean squared difference of pixels is added.
    batch    pictures at a time; does not change the result.
    """

    def __init__(self, G: Generator, ws: torch.Tensor, targets: torch.Tensor, embed: Embedding, batch: int):
        self.original = G
        self.G = copy.deepcopy(G)
        self.G.synthesis.requires_grad_(True)
        self.ws, self.targets, self.embed, self.batch = ws, targets, embed, batch
        self.loss = torch.full([], torch.nan)  # mean over the pictures, as the last step found it
        self.optimizer = torch.optim.Adam(self.G.synthesis.parameters(), lr=LEARNING_RATE, fused=True)

    def step(self) -> None:
        """One step on all pictures."""
        total = torch.zeros([], device=self.ws.device)
        for first in range(0, len(self.ws), self.batch):
            rows = slice(first, first + self.batch)
            images, targets = self.G.synthesis(self.ws[rows], noise="const"), self.targets[rows]
            with torch.no_grad():
                wanted = self.embed(targets)
            distance = (self.embed(images) - wanted).square().sum(dim=1)
            distance = distance + MSE_WEIGHT * (images - targets).square().mean(dim=(1, 2, 3))
            loss = distance.sum() / len(self.ws)
            loss.backward()
            total += loss.detach()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.loss = total

    def delta(self) -> dict[str, torch.Tensor]:
        """By how much each parameter of the synthesis network has moved."""
        before = dict(self.original.synthesis.named_parameters())
        return {name: value.detach() - before[name] for name, value in self.G.synthesis.named_parameters()}


def save_delta(path: str | os.PathLike, delta: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    """Write a delta as half-precision safetensors of kind "delta"; `header` should say what it was made from."""
    save_tensors(path, {name: tensor.to(DTYPE) for name, tensor in delta.items()}, {"kind": KIND, **header})


def add_delta(G: Generator, path: str | os.PathLike, model_sha256: str) -> None:
    """Move the synthesis network of `G` by what a delta file holds.

    Warns where the file was made from another model than the one with `model_sha256`; raises FormatError where it does
    not even fit.
    """
    header = read_header(path, KIND)
    delta = read_tensors(path)
    parameters = dict(G.synthesis.named_parameters())
    if {name: p.shape for name, p in parameters.items()} != {name: d.shape for name, d in delta.items()}:
        raise FormatError(
            f"{path}: a delta of another generator ({_describe(delta)}; this one has {_describe(parameters)})",
            "use it with the model that it was tuned from",
        )
    if header.get("model_sha256") != model_sha256:
        warn(f"{path}: was tuned from another model file of the same build; pictures may come out differently")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.add_(delta[name].to(parameter))


def _describe(tensors: dict[str, Any]) -> str:
    return f"{len(tensors)} tensors, {sum(tensor.numel() for tensor in tensors.values()):,} values"
