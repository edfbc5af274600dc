"""Homogeneous transforms of the plane (`[N, 3, 3]`) and of colour space (`[N, 4, 4]`), for the augmentations."""

from __future__ import annotations

import torch

Number = torch.Tensor | float


def scale(x: Number, y: Number, like: torch.Tensor | None = None) -> torch.Tensor:
    return _matrix([[x, 0, 0], [0, y, 0], [0, 0, 1]], like)


def translate(x: Number, y: Number, like: torch.Tensor | None = None) -> torch.Tensor:
    return _matrix([[1, 0, x], [0, 1, y], [0, 0, 1]], like)


def rotate(angle: torch.Tensor) -> torch.Tensor:
    """By `angle` radians, `[N]`."""
    c, s = angle.cos(), angle.sin()
    return _matrix([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def scale3(x: Number, y: Number, z: Number) -> torch.Tensor:
    return _matrix([[x, 0, 0, 0], [0, y, 0, 0], [0, 0, z, 0], [0, 0, 0, 1]])


def translate3(x: Number, y: Number, z: Number) -> torch.Tensor:
    return _matrix([[1, 0, 0, x], [0, 1, 0, y], [0, 0, 1, z], [0, 0, 0, 1]])


def rotate3(axis: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """By `angle` radians, `[N]`, about the unit vector `axis`, `[4]` with a last zero; right-handed (Rodrigues)."""
    x, y, z = axis[:3].tolist()
    c, s = angle.cos(), angle.sin()
    t = 1 - c
    return _matrix(
        [
            [x * x * t + c, x * y * t - z * s, x * z * t + y * s, 0],
            [y * x * t + z * s, y * y * t + c, y * z * t - x * s, 0],
            [z * x * t - y * s, z * y * t + x * s, z * z * t + c, 0],
            [0, 0, 0, 1],
        ]
    )


def _matrix(rows: list[list[Number]], like: torch.Tensor | None = None) -> torch.Tensor:
    """Entries that are numbers or tensors `[N]` -> `[N, n, n]`, or `[n, n]` where all are numbers."""
    tensors = [entry for row in rows for entry in row if isinstance(entry, torch.Tensor)]
    if not tensors:
        return torch.tensor(rows, dtype=torch.float32, device=None if like is None else like.device)
    shaped = [torch.as_tensor(entry, dtype=tensors[0].dtype, device=tensors[0].device) for row in rows for entry in row]
    flat = torch.stack([entry.expand(tensors[0].shape) for entry in shaped], dim=-1)
    return flat.reshape(*tensors[0].shape, len(rows), len(rows))
