"""Camera moves for StyleGAN3: a transform of its input for every frame (spec stylegan3 §2).

Every move starts and ends at rest position, so that films loop and the first frame is the key itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from sgcli.errors import UsageError
from sgcli.models.fourier_input import place

Camera = Callable[[np.ndarray], torch.Tensor]  # shares of the film [B] -> transforms [B, 3, 3]

# What a move is given where nothing is said, and what that number means.
AMOUNTS = {
    "pan": (0.2, "picture widths to either side"),
    "rotate": (360.0, "degrees; other than full turns swing to and fro"),
    "zoom": (1.5, "factor"),
    "orbit": (0.1, "radius of the circle, in picture widths"),
}


def parse_camera(text: str) -> tuple[str, float]:
    """'zoom' or 'zoom:2' -> (name of the move, amount). Raises UsageError."""
    name, _, number = text.partition(":")
    if name not in AMOUNTS:
        raise UsageError(f"--path {text}: one of {', '.join(AMOUNTS)}", "--path orbit")
    default, meaning = AMOUNTS[name]
    try:
        amount = float(number) if number else default
    except ValueError:
        amount = math.nan
    if not math.isfinite(amount) or (name == "zoom" and amount <= 0):
        raise UsageError(f"--path {text}: {name} takes a number: {meaning}", f"--path {name}:{default:g}")
    return name, amount


def camera(name: str, amount: float) -> Camera:
    """The move `name` (a key of AMOUNTS), once over the film."""
    move = {"pan": _pan, "rotate": _rotate, "zoom": _zoom, "orbit": _orbit}[name]
    return lambda shares: torch.stack([move(float(share), amount) for share in shares])


def _pan(share: float, reach: float) -> torch.Tensor:
    return place((reach * math.sin(2 * math.pi * share), 0.0))


def _rotate(share: float, degrees: float) -> torch.Tensor:
    turned = share if degrees % 360 == 0 else math.sin(2 * math.pi * share)
    return place(rotate=math.radians(degrees) * turned)


def _zoom(share: float, factor: float) -> torch.Tensor:
    near = factor ** ((1 - math.cos(2 * math.pi * share)) / 2)
    return torch.diag(torch.tensor([1 / near, 1 / near, 1.0]))


def _orbit(share: float, radius: float) -> torch.Tensor:
    angle = 2 * math.pi * share
    return place((radius * math.sin(angle), radius * (1 - math.cos(angle))))
