"""A small anti-aliased canvas in unit coordinates, and the curves that are drawn on it.

Coordinates run from -1 to 1 across the picture, x to the right and y down, so that a drawing is the same at every size.
Shapes are polygons; their coverage is drawn some times larger by Pillow and averaged down.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

Array = np.ndarray[Any, Any]
Colour = tuple[float, float, float]  # sRGB, each 0 to 1
Shapes = Sequence[Array] | Array  # polygons: any number of [n, 2], or [k, n, 2]


class Mask(NamedTuple):
    """How far something covers each pixel of a rectangle of the picture."""

    rows: slice
    columns: slice
    alpha: Array  # [rows, columns], 0 to 1

    def __and__(self, other: Mask) -> Mask:
        """The product of two masks, on the rectangle that both share."""
        rows, columns = _overlap(self.rows, other.rows), _overlap(self.columns, other.columns)
        return Mask(rows, columns, self._part(rows, columns) * other._part(rows, columns))

    def _part(self, rows: slice, columns: slice) -> Array:
        top, left = self.rows.start, self.columns.start
        return self.alpha[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


class Canvas:
    """Float pictures `rgb` [3, size, size] in 0..1 and `figure` [size, size], how far the person covers each pixel."""

    def __init__(self, size: int):
        self.size = size
        self.rgb = np.zeros((3, size, size), np.float32)
        self.figure = np.zeros((size, size), np.float32)
        self._factor = max(4, 128 // size)  # how many times larger shapes are drawn
        self._scratch = Image.new("L", (size * self._factor, size * self._factor))
        self._draw = ImageDraw.Draw(self._scratch)

    def grid(self) -> tuple[Array, Array]:
        """Coordinates of the pixel centres: x [1, size] and y [size, 1]."""
        centres = (np.arange(self.size, dtype=np.float32) + 0.5) * (2 / self.size) - 1
        return centres[None, :], centres[:, None]

    def fill(self, shapes: Shapes, colour: Colour, opacity: float = 1.0, within: Mask | None = None) -> Mask:
        """Paint the union of `shapes`, optionally only `within` a mask. Returns the mask that was painted."""
        mask = self.mask(shapes)
        if within is not None:
            mask = mask & within
        self.paint(mask, colour, opacity)
        return mask

    def paint(self, mask: Mask, colour: Colour, opacity: float = 1.0) -> None:
        """Lay `colour` over the pixels of `mask`."""
        rows, columns, alpha = mask
        alpha = alpha * np.float32(opacity)
        figure, region = self.figure[rows, columns], self.rgb[:, rows, columns]
        np.maximum(figure, alpha, out=figure)
        region += alpha * (np.array(colour, np.float32)[:, None, None] - region)

    def mask(self, shapes: Shapes) -> Mask:
        """The coverage of the union of `shapes`, on the rectangle that they span."""
        corners = np.concatenate(shapes)
        rows, columns = self._rectangle(corners.min(axis=0), corners.max(axis=0))
        if rows.start == rows.stop or columns.start == columns.stop:
            return Mask(rows, columns, np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32))
        factor = self._factor
        flat = ((corners + 1) * (self.size * factor / 2) - 0.5).ravel().tolist()
        start = 0
        for shape in shapes:
            end = start + 2 * len(shape)
            self._draw.polygon(flat[start:end], fill=255)
            start = end
        box = tuple(factor * edge for edge in (columns.start, rows.start, columns.stop, rows.stop))
        coverage = np.asarray(self._scratch.reduce(factor, box)) * np.float32(1 / 255)
        self._draw.rectangle(box, fill=0)
        return Mask(rows, columns, coverage)

    def glow(self, centre: Array, radius: float) -> Mask:
        """A soft round spot: a Gaussian of standard deviation `radius` / 2."""
        rows, columns = self._rectangle(centre - 1.5 * radius, centre + 1.5 * radius)
        x, y = self.grid()
        distance = (x[:, columns] - centre[0]) ** 2 + (y[rows] - centre[1]) ** 2
        return Mask(rows, columns, np.exp(distance * np.float32(-2 / radius**2)))

    def to_uint8(self) -> Array:
        """The picture as uint8 [size, size, 3]."""
        return (np.clip(self.rgb, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)

    def _rectangle(self, low: Array, high: Array) -> tuple[slice, slice]:
        """Rows and columns of the pixels between two corners, cut to the picture, with a margin for rounding."""
        half, size = self.size / 2, self.size
        left, top = (min(max(0, int((v + 1) * half - 0.25)), size) for v in low.tolist())
        right, bottom = (min(size, max(0, int((v + 1) * half + 1.25))) for v in high.tolist())
        return slice(top, max(top, bottom)), slice(left, max(left, right))


def _overlap(first: slice, second: slice) -> slice:
    start = max(first.start, second.start)
    return slice(start, max(start, min(first.stop, second.stop)))


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


def smooth(knots: Array, closed: bool = True, steps: int = 5) -> Array:
    """A Catmull-Rom spline through `knots` [n, 2]: [n * steps, 2], or [(n - 1) * steps + 1, 2] when open."""
    return _spline_matrix(len(knots), closed, steps) @ knots


def brush(path: Array, width: float | Array) -> Array:
    """Outline [..., 2n, 2] of a stroke along `path` [..., n, 2]; `width` may vary along it and tapers at the ends."""
    n = path.shape[-2]
    along = _slopes(n) @ path
    length = np.sqrt(along[..., 0] ** 2 + along[..., 1] ** 2) + 1e-9
    offset = along[..., ::-1] * _QUARTER_TURN * (_taper(n) * width / (2 * length))[..., None]
    return np.concatenate([path + offset, (path - offset)[..., ::-1, :]], axis=-2)


def scalloped(path: Array, depth: float, spacing: float) -> Array:
    """Turn `path` [n, 2] into a row of round bumps `spacing` apart that stand out by `depth` to the left of its run."""
    step = np.hypot(*np.diff(path, axis=0).T)
    position = np.concatenate([[0.0], np.cumsum(step)])
    bumps = max(1, round(position[-1] / spacing))
    fine = np.linspace(0, position[-1], bumps * 7 + 1)
    curve = np.stack([np.interp(fine, position, path[:, axis]) for axis in (0, 1)], axis=1)
    along = np.gradient(curve, axis=0)
    left = along[:, ::-1] * -_QUARTER_TURN / (np.hypot(along[:, 0], along[:, 1])[:, None] + 1e-9)
    height = depth * np.abs(np.sin(np.pi * fine / position[-1] * bumps)) ** 0.7
    return curve + left * height[:, None]


_QUARTER_TURN = np.array([-1.0, 1.0])  # turns a direction, once its coordinates are swapped


@lru_cache
def _slopes(n: int) -> Array:
    """Matrix [n, n] that takes points of a curve to its direction at each of them."""
    return np.asarray(np.gradient(np.eye(n), axis=0))


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
