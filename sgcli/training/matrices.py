"""Homogeneous transforms of the plane (`[N, 3, 3]`) and of colour space (`[N, 4, 4]`), for the augmentations.

NumPy, float64, on the host: for so few numbers any tensor operation costs more than its arithmetic.
"""

from __future__ import annotations

import numpy as np

Number = np.ndarray | float


def scale(x: Number, y: Number) -> np.ndarray:
    return _matrix([[x, 0, 0], [0, y, 0], [0, 0, 1]])


def translate(x: Number, y: Number) -> np.ndarray:
    return _matrix([[1, 0, x], [0, 1, y], [0, 0, 1]])


def rotate(angle: np.ndarray) -> np.ndarray:
    """By `angle` radians, `[N]`."""
    c, s = np.cos(angle), np.sin(angle)
    return _matrix([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def scale3(x: Number, y: Number, z: Number) -> np.ndarray:
    return _matrix([[x, 0, 0, 0], [0, y, 0, 0], [0, 0, z, 0], [0, 0, 0, 1]])


def translate3(x: Number, y: Number, z: Number) -> np.ndarray:
    return _matrix([[1, 0, 0, x], [0, 1, 0, y], [0, 0, 1, z], [0, 0, 0, 1]])


def rotate3(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """By `angle` radians, `[N]`, about the unit vector `axis`, `[4]` with a last zero; right-handed (Rodrigues)."""
    x, y, z, _ = axis
    along = np.outer(axis, axis)
    cross = np.array([[0, -z, y, 0], [z, 0, -x, 0], [-y, x, 0, 0], [0, 0, 0, 0]])
    fixed = np.diag([0, 0, 0, 1])
    across = np.eye(4) - fixed - along
    return fixed + along + across * np.cos(angle)[:, None, None] + cross * np.sin(angle)[:, None, None]


def _matrix(rows: list[list[Number]]) -> np.ndarray:
    """Entries that are numbers or, at least one, arrays `[N]` -> `[N, n, n]`."""
    example = next(entry for row in rows for entry in row if isinstance(entry, np.ndarray))
    matrix = np.empty([len(example), len(rows), len(rows)])
    for i, row in enumerate(rows):
        for j, entry in enumerate(row):
            matrix[:, i, j] = entry
    return matrix
