"""Homogeneous transforms of the plane (`[N, 3, 3]`) and of colour space (`[N, 4, 4]`), for the augmentations."""

from __future__ import annotations

import torch

Number = torch.Tensor | float


def scale(x: Number, y: Number) -> torch.Tensor:
    return _matrix([[x, 0, 0], [0, y, 0], [0, 0, 1]])


def translate(x: Number, y: Number) -> torch.Tensor:
    return _matrix([[1, 0, x], [0, 1, y], [0, 0, 1]])


def affine(x_scale: float, y_scale: float, x: float, y: float, like: torch.Tensor) -> torch.Tensor:
    """Scale, then translate: one matrix `[3, 3]` on the device of `like`."""
    return like.new_tensor([[x_scale, 0, x], [0, y_scale, y], [0, 0, 1]])


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
    along = torch.outer(axis, axis)
    cross = axis.new_tensor([[0, -z, y, 0], [z, 0, -x, 0], [-y, x, 0, 0], [0, 0, 0, 0]])
    fixed = axis.new_tensor([0, 0, 0, 1]).diag()
    across = torch.eye(4, device=axis.device) - fixed - along
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return fixed + along + across * c + cross * s


def _matrix(rows: list[list[Number]]) -> torch.Tensor:
    """Entries that are numbers or, at least one, tensors `[N]` -> `[N, n, n]`."""
    example = next(entry for row in rows for entry in row if isinstance(entry, torch.Tensor))
    matrix = torch.eye(len(rows), device=example.device).repeat(len(example), 1, 1)
    for i, row in enumerate(rows):
        for j, entry in enumerate(row):
            if isinstance(entry, torch.Tensor) or entry != (i == j):  # setting what differs takes a third of stacking
                matrix[:, i, j] = entry
    return matrix
