"""Training attribute classifiers, by which linear separability is judged (spec progan-stylegan1 §6.3).

The network is StyleGAN's discriminator without minibatch standard deviation, as in that paper, and so is the loss: the
cross-entropy of softmax(logit, -logit).
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from sgcli.data.dataset import ImageDataset
from sgcli.errors import Interrupted, UsageError
from sgcli.models.progan import Discriminator
from sgcli.models.registry import build_network
from sgcli.progress import track
from sgcli.training.phases import make_optimizer
from sgcli.training.randomness import generator_for

HELD_OUT_SHARE = 0.1  # of the data set: accuracy is measured on it
CHANNEL_MAX = 512
CHANNEL_BASE = 16384  # of the published classifiers, which work at
PUBLISHED_RESOLUTION = 256
MIN_WIDTH = 16  # channels at full resolution, however small that is
JUDGE_BATCH = 256


@dataclass(frozen=True)
class Recipe:
    """How classifiers are trained. The paper: 150,000 pictures in batches of 8, learning rate 0.001."""

    num_images: int = 150_000  # seen in training, each counted as often as it is seen
    batch: int = 16
    lr: float = 0.004  # in its second half training lets it fall to 0
    seed: int = 0


@dataclass(frozen=True)
class Split:
    """Numbers of the pictures to train on, and of those kept to measure accuracy."""

    train: np.ndarray
    held_out: np.ndarray


def split_dataset(num_images: int, seed: int) -> Split:
    """Hold out a random tenth. Raises UsageError for fewer than two pictures."""
    if num_images < 2:
        raise UsageError(f"{num_images} picture: a classifier needs two or more", "sg data synth faces.zip")
    order = generator_for(seed, "classifier-split", 0).permutation(num_images)
    held_out = max(round(num_images * HELD_OUT_SHARE), 1)
    return Split(np.sort(order[held_out:]), np.sort(order[:held_out]))


def specify(resolution: int, num_channels: int, outputs: int) -> dict[str, Any]:
    """The network as {"class": …, constructor arguments}.

    Its width at full resolution is a quarter of that resolution, which at 256² is the published 64, but at least 16.
    (The published rule would give 512 channels throughout at 32².)
    """
    share = min(resolution / PUBLISHED_RESOLUTION, 1)
    return {
        "class": "progan-d",
        "c_dim": outputs if outputs > 1 else 0,
        "img_resolution": resolution,
        "img_channels": num_channels,
        "channel_base": max(round(CHANNEL_BASE * share**2), MIN_WIDTH * resolution),
        "channel_max": CHANNEL_MAX,
        "blur": True,
        "mbstd_group_size": 1,
    }


@dataclass
class Trained:
    """A network and what is known about it."""

    network: Discriminator
    specification: dict[str, Any]
    attributes: list[str]
    num_images: int  # seen in training
    accuracy: list[float]  # on held-out pictures, of each attribute  # fmt: skip


def train_classifiers(
    dataset: ImageDataset,
    groups: Sequence[Sequence[str]],  # attributes that share a network
    recipe: Recipe,
    device: torch.device,
) -> tuple[list[Trained], Interrupted | None]:  # fmt: skip
    """Train one network per group. Ctrl-C or SIGTERM ends it: what has been learnt until then is returned with it."""
    assert dataset.attributes is not None
    split = split_dataset(dataset.num_images, recipe.seed)
    trained: list[Trained] = []
    for number, group in enumerate(groups):
        columns = [dataset.attributes.names.index(name) for name in group]
        targets = torch.from_numpy(dataset.attributes.values[:, columns] > 0)
        specification = specify(dataset.resolution, dataset.num_channels, len(group))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            network = build_network(specification).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        assert isinstance(network, Discriminator)
        description = f"network {number + 1} of {len(groups)}" if len(groups) > 1 else "classifier"
        seen, stopped = 0, None
        try:
            for seen in train_network(network, dataset, split.train, targets, recipe, description):  # noqa: B007
                pass
        except KeyboardInterrupt:
            stopped = Interrupted(signal.SIGINT)
        except Interrupted as ending:
            stopped = ending
        if seen:
            scores = accuracy(network, dataset, split.held_out, targets)
            trained.append(Trained(network, specification, list(group), seen, scores))
        if stopped:
            return trained, stopped
    return trained, None


def train_network(
    network: Discriminator,
    dataset: ImageDataset,
    rows: np.ndarray,         # numbers of the pictures to train on
    targets: torch.Tensor,    # [num_images, outputs] bool: what each picture of the data set shows
    recipe: Recipe,
    description: str,         # of the bar
) -> Iterator[int]:  # fmt: skip
    """Train in place; yields the number of pictures seen after every step."""
    device = next(network.parameters()).device
    optimizer = make_optimizer(network, recipe.lr, lazy_interval=None)
    seen = 0
    for batch in track(_batches(rows, recipe), description, total=recipe.num_images, unit="pictures", size=len):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * min(1, 2 * (1 - seen / recipe.num_images))
        loss = cross_entropy(network.scores(as_input(dataset.images(batch), device)), targets[batch].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen += len(batch)
        yield seen


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean of -log softmax(l, -l) of the true side. logits `[N, A]`, targets `[N, A]` bool."""
    return F.softplus(torch.where(targets, -2 * logits, 2 * logits)).mean()


@torch.inference_mode()
def accuracy(network: Discriminator, dataset: ImageDataset, rows: np.ndarray, targets: torch.Tensor) -> list[float]:
    """The share of pictures `rows` that are judged right, for each output."""
    device = next(network.parameters()).device
    parts = np.array_split(rows, -(-len(rows) // JUDGE_BATCH))
    right = [(network.scores(as_input(dataset.images(part), device)) > 0).cpu() == targets[part] for part in parts]
    return torch.cat(right).double().mean(dim=0).tolist()


def as_input(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """uint8 `[N, K, R, R]` -> fp32 in [-1, 1]."""
    pixels = torch.from_numpy(images).to(device).to(torch.float32) / 127.5 - 1
    return pixels.contiguous(memory_format=torch.channels_last)


def _batches(rows: np.ndarray, recipe: Recipe) -> Iterator[np.ndarray]:
    """Picture numbers of every step: shuffled passes over `rows`."""
    num_passes = -(-recipe.num_images // len(rows))
    orders = [generator_for(recipe.seed, "classifier-order", n).permutation(rows) for n in range(num_passes)]
    order = np.concatenate(orders)[: recipe.num_images]
    for start in range(0, len(order), recipe.batch):
        yield order[start : start + recipe.batch]
