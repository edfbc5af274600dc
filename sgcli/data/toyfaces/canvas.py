"""A small anti-aliased canvas in unit coordinates, and the curves that are drawn on it.

Coordinates run from -1 to 1 across the picture, x to the right and y down, so that a drawing is the same at every size.
Shapes are polygons; their coverage is drawn some times larger by Pillow and averaged down.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Array = np.ndarray[Any, Any]
Colour = tuple[float, float, float]  # sRGB, each 0 to 1


class Canvas:
    """Float pictures `rgb` [size, size, 3] in 0..1 and `figure` [size, size], how far the person covers each pixel."""

    def __init__(self, size: int):
        self.size = size
        self.oversampling = max(4, 256 // size)
        self.rgb = np.zeros((size, size, 3), np.float32)
        self.figure = np.zeros((size, size), np.float32)

    def grid(self) -> tuple[Array, Array]:
        """Coordinates of the pixel centres: x [1, size] and y [size, 1]."""
        centres = (np.arange(self.size, dtype=np.float32) + 0.5) * (2 / self.size) - 1
        return centres[None, :], centres[:, None]

    def coverage(self, shapes: Sequence[Array]) -> Array:
        """Coverage [size, size] in 0..1 of the union of `shapes`, each [n, 2]."""
        whole = np.zeros((self.size, self.size), np.float32)
        box, alpha = self._mask(shapes)
        whole[box] = alpha
        return whole

    def fill(
        self, shapes: Sequence[Array], colour: Colour, opacity: float = 1.0, within: Array | None = None
    ) -> None:
        """Paint the union of `shapes`, optionally only where the coverage `within` [size, size] allows."""
        box, alpha = self._mask(shapes)
        self._blend(box, alpha * opacity, colour, within)

    def glow(self, centre: Array, radius: float, colour: Colour, opacity: float, within: Array | None = None) -> None:
        """Paint a soft round spot: a Gaussian with standard deviation `radius` / 2."""
        box = self._box(centre - 1.5 * radius, centre + 1.5 * radius)
        x, y = self.grid()
        distance = (x[:, box[1]] - centre[0]) ** 2 + (y[box[0]] - centre[1]) ** 2
        self._blend(box, np.exp(distance * (-2 / radius**2)) * opacity, colour, within)

    def to_uint8(self) -> Array:
        """The picture as uint8 [size, size, 3]."""
        return (np.clip(self.rgb, 0, 1) * 255 + 0.5).astype(np.uint8)

    def _blend(self, box: tuple[slice, slice], alpha: Array, colour: Colour, within: Array | None) -> None:
        if within is not None:
            alpha = alpha * within[box]
        self.figure[box] = np.maximum(self.figure[box], alpha)
        region = self.rgb[box]
        region += alpha[..., None] * (np.asarray(colour, np.float32) - region)

    def _mask(self, shapes: Sequence[Array]) -> tuple[tuple[slice, slice], Array]:
        """The pixels that `shapes` touch, and the coverage of each."""
        box = self._box(np.min([s.min(0) for s in shapes], axis=0), np.max([s.max(0) for s in shapes], axis=0))
        rows, columns = box
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if height <= 0 or width <= 0:
            return box, np.zeros((max(height, 0), max(width, 0)), np.float32)
        factor = self.oversampling
        picture = Image.new("L", (width * factor, height * factor))
        draw = ImageDraw.Draw(picture)
        origin = np.array([columns.start, rows.start]) * factor + 0.5
        for shape in shapes:
            corners = (shape + 1) * (self.size * factor / 2) - origin
            draw.polygon(corners.ravel().tolist(), fill=255)
        return box, np.asarray(picture.reduce(factor), np.float32) * np.float32(1 / 255)

    def _box(self, low: Array, high: Array) -> tuple[slice, slice]:
        """Rows and columns of the pixels between two corners, cut to the picture."""
        left, top = (max(0, int((v + 1) * self.size / 2)) for v in low)
        right, bottom = (min(self.size, int((v + 1) * self.size / 2) + 1) for v in high)
        return slice(top, max(top, bottom)), slice(left, max(left, right))


def points(*pairs: tuple[float, float]) -> Array:
    """Points [n, 2] from (x, y) pairs."""
    return np.array(pairs)


def mirrored(half: Array) -> Array:
    """Complete the right half of a symmetric outline, listed from its top to its bottom on the axis, to a ring."""
    return np.concatenate([half, half[-2:0:-1] * (-1, 1)])


def ellipse(x: float, y: float, rx: float, ry: float, squareness: float = 0.0) -> Array:
    """A closed oval [28, 2]; `squareness` from 0 (ellipse) to 1 (rounded rectangle)."""
    circle = _unit_circle(28)
    if squareness:
        circle = np.sign(circle) * np.abs(circle) ** (1 - 0.6 * squareness)
    return circle * (rx, ry) + (x, y)


def smooth(knots: Array, closed: bool = True, steps: int = 6) -> Array:
    """A Catmull-Rom spline through `knots` [n, 2]: [n * steps, 2], or [(n - 1) * steps + 1, 2] when open."""
    return _spline_matrix(len(knots), closed, steps) @ knots


def brush(path: Array, width: float | Array) -> Array:
    """Outline [..., 2n, 2] of a stroke along `path` [..., n, 2]; `width` may vary along it and tapers at the ends."""
    along = np.gradient(path, axis=-2)
    length = np.hypot(along[..., 0], along[..., 1])[..., None] + 1e-9
    across = along[..., ::-1] * (-1, 1) / length
    offset = across * (_taper(path.shape[-2]) * width)[..., None] / 2
    return np.concatenate([path + offset, (path - offset)[..., ::-1, :]], axis=-2)


def scalloped(path: Array, depth: float, spacing: float) -> Array:
    """Turn `path` [n, 2] into a row of round bumps `spacing` apart that stand out by `depth` to the left of its run."""
    step = np.hypot(*np.diff(path, axis=0).T)
    position = np.concatenate([[0.0], np.cumsum(step)])
    bumps = max(1, round(position[-1] / spacing))
    fine = np.linspace(0, position[-1], bumps * 8 + 1)
    curve = np.stack([np.interp(fine, position, path[:, axis]) for axis in (0, 1)], axis=1)
    along = np.gradient(curve, axis=0)
    left = along[:, ::-1] * (1, -1) / (np.hypot(along[:, 0], along[:, 1])[:, None] + 1e-9)
    height = depth * np.abs(np.sin(np.pi * fine / position[-1] * bumps)) ** 0.7
    return curve + left * height[:, None]


@lru_cache
def _taper(n: int) -> Array:
    return np.sin(np.pi * np.linspace(0.04, 0.96, n)) ** 0.6


@lru_cache
def _unit_circle(n: int) -> Array:
    angle = np.arange(n) * (2 * np.pi / n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


@lru_cache
def _spline_matrix(n: int, closed: bool, steps: int) -> Array:
    """Weights of each knot in each point of the curve: the spline is linear in its knots."""
    knots = np.eye(n)
    knots = np.concatenate([knots[-1:], knots, knots[:2]] if closed else [knots[:1], knots, knots[-1:]])
    t = (np.arange(steps) / steps)[:, None]
    rows = []
    for a, b, c, d in zip(knots, knots[1:], knots[2:], knots[3:], strict=False):
        rows.append(b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))))
    if not closed:
        rows.append(knots[-1:])
    return np.concatenate(rows)
