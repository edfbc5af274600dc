"""Line plots as pictures, drawn with Pillow: loss curves, convergence of metrics, spectra.

Lines are drawn at four times the size and scaled down, text at its own size. The colours can be told apart by
colour-blind readers (Okabe and Ito 2008, "Color Universal Design").
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from sgcli.media.axes import Axis, make_axis
from sgcli.media.pictures import from_pil
from sgcli.media.text import draw_text, line_height, text_size

Color = tuple[int, int, int]
PALETTE: tuple[Color, ...] = (
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermilion
    (0, 158, 115),  # green
    (204, 121, 167),  # purple
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky
    (60, 60, 60),
)
PAPER: Color = (255, 255, 255)
INK: Color = (45, 45, 45)
RULE: Color = (226, 226, 226)
OVERSAMPLE = 4
TEXT_SIZE = 15
TITLE_SIZE = 20
LINE_WIDTH = 2.2
DOT_RADIUS = 3.5
SHADE = 50  # of 255: how much of the colour a band takes on
MARGIN = 18
GAP = 8
SWATCH_LENGTH = 24  # stroke beside a label of the legend


@dataclass(frozen=True)
class Series:
    """One line through the points (x, y), in their order. NaN, or a value up to 0 on a logarithmic axis, parts it.

    bands: pairs of (lower, upper) ends at each x, shaded in the line's colour behind all lines (linear axes, no NaN).
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    bands: Sequence[tuple[Sequence[float], Sequence[float]]] = field(default=())


def line_plot(
    series: Sequence[Series],
    *,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    log_x: bool = False,
    log_y: bool = False,
    size: tuple[int, int] = (900, 500),
) -> np.ndarray:
    """Draw `series` over common axes -> uint8 `[3, H, W]`; `size` is (W, H) in pixels.

    A legend above the plot names the series that have a label. Raises ValueError where no point can be drawn.
    """
    lines = [_drawable_points(one, log_x, log_y) for one in series]
    points = np.concatenate([np.empty((0, 2)), *lines])
    points = points[~np.isnan(points[:, 0])]
    if not len(points):
        raise ValueError("a plot needs at least one finite point (above 0 on a logarithmic axis)")
    heights = np.concatenate([points[:, 1], *(np.ravel(one.bands) for one in series)])
    x_axis = make_axis(points[:, 0], log_x, num_ticks=max(size[0] // 110, 2))
    y_axis = make_axis(heights, log_y, num_ticks=max(size[1] // 70, 2), padding=0.05)

    colors = list(itertools.islice(itertools.cycle(PALETTE), len(series)))
    legend = _arrange_legend([one.label for one in series], size[0] - 2 * MARGIN)
    box = _make_box(size, y_axis, bool(title), legend, bool(x_label), bool(y_label))

    canvas = Image.new("RGB", (size[0] * OVERSAMPLE, size[1] * OVERSAMPLE), PAPER)
    _draw_rules(canvas, box, x_axis, y_axis)
    for one, color in zip(series, colors, strict=True):
        xs = box.across(x_axis.fractions(one.x))
        for lower, upper in one.bands:
            ends = [box.up(y_axis.fractions(end)) for end in (lower, upper)]
            canvas = _shade(canvas, xs, ends[0], ends[1], color)
    for line, color in zip(lines, colors, strict=True):
        xs, ys = box.across(x_axis.fractions(line[:, 0])), box.up(y_axis.fractions(line[:, 1]))
        _draw_line(canvas, np.stack([xs, ys], axis=1), color)
    canvas = canvas.reduce(OVERSAMPLE)
    _draw_ticks(canvas, box, x_axis, y_axis)
    _draw_legend(canvas, legend, colors, top=MARGIN + _title_height(bool(title)))
    draw_text(canvas, (MARGIN, MARGIN), title, TITLE_SIZE, INK)
    draw_text(canvas, ((box.left + box.right) / 2, size[1] - MARGIN), x_label, TEXT_SIZE, INK, "md")
    _draw_upright(canvas, (MARGIN, (box.top + box.bottom) // 2), y_label)
    return from_pil(canvas)


def _drawable_points(one: Series, log_x: bool, log_y: bool) -> np.ndarray:
    """`[N, 2]` of x and y; a point that cannot be drawn is NaN in both."""
    points = np.stack([np.asarray(one.x, np.float64), np.asarray(one.y, np.float64)], axis=1)
    drawable = np.isfinite(points) & ((points > 0) | ~np.array([log_x, log_y]))
    points[~drawable.all(axis=1)] = np.nan
    return points


# ----- layout, in pixels of the finished picture


@dataclass(frozen=True)
class _Box:
    """The rectangle between the axes."""

    left: int
    top: int
    right: int
    bottom: int

    def across(self, fractions: np.ndarray) -> np.ndarray:
        """Pixels from the left of places along the x axis."""
        return self.left + fractions * (self.right - self.left)

    def up(self, fractions: np.ndarray) -> np.ndarray:
        """Pixels from the top of places along the y axis."""
        return self.bottom - fractions * (self.bottom - self.top)


@dataclass(frozen=True)
class _LegendEntry:
    label: str
    x: int
    line: int


def _arrange_legend(labels: Sequence[str], width: int) -> list[_LegendEntry]:
    """Labels side by side, in as many lines as it takes. Without any text there is no legend."""
    entries: list[_LegendEntry] = []
    x = line = 0
    for label in labels if any(labels) else ():
        extent = SWATCH_LENGTH + GAP + text_size(label, TEXT_SIZE)[0]
        if x and x + extent > width:
            x, line = 0, line + 1
        entries.append(_LegendEntry(label, MARGIN + x, line))
        x += extent + 3 * GAP
    return entries


def _title_height(title: bool) -> int:
    return line_height(TITLE_SIZE) + GAP if title else 0


def _make_box(
    size: tuple[int, int], y_axis: Axis, title: bool, legend: list[_LegendEntry], x_label: bool, y_label: bool
) -> _Box:
    width, height = size
    row = line_height(TEXT_SIZE)
    legend_height = row * (legend[-1].line + 1) + GAP if legend else 0
    widest_tick = max(text_size(label, TEXT_SIZE)[0] for label in y_axis.labels())
    return _Box(
        left=MARGIN + (row + GAP if y_label else 0) + widest_tick + GAP,
        top=MARGIN + _title_height(title) + legend_height + GAP,
        right=width - 2 * MARGIN,
        bottom=height - MARGIN - (row + GAP // 2 if x_label else 0) - GAP - row,
    )


# ----- drawing


def _draw_rules(canvas: Image.Image, box: _Box, x_axis: Axis, y_axis: Axis) -> None:
    """Faint rules at the ticks, and the two axes."""
    draw = ImageDraw.Draw(canvas)
    xs, ys = box.across(x_axis.fractions(x_axis.ticks)), box.up(y_axis.fractions(y_axis.ticks))
    rules = [(x, box.top, x, box.bottom, RULE) for x in xs] + [(box.left, y, box.right, y, RULE) for y in ys]
    axes = [(box.left, box.bottom, box.right, box.bottom, INK), (box.left, box.top, box.left, box.bottom, INK)]
    for *ends, color in rules + axes:
        draw.line([round(end) * OVERSAMPLE for end in ends], fill=color, width=OVERSAMPLE)


def _shade(canvas: Image.Image, xs: np.ndarray, lower: np.ndarray, upper: np.ndarray, color: Color) -> Image.Image:
    """Tint the area between two lines."""
    outline = np.concatenate([np.stack([xs, lower], axis=1), np.stack([xs, upper], axis=1)[::-1]]) * OVERSAMPLE
    mask = Image.new("L", canvas.size)
    ImageDraw.Draw(mask).polygon(list(map(tuple, outline)), fill=SHADE)
    return Image.composite(Image.new("RGB", canvas.size, color), canvas, mask)


def _draw_line(canvas: Image.Image, points: np.ndarray, color: Color) -> None:
    """Join points `[N, 2]`, parted by NaN; a point by itself is a dot."""
    draw = ImageDraw.Draw(canvas)
    cuts = np.flatnonzero(np.isnan(points[:, 0]))
    for run in np.split(points * OVERSAMPLE, cuts):
        run = run[~np.isnan(run[:, 0])]
        if len(run) == 1:
            reach = DOT_RADIUS * OVERSAMPLE
            draw.ellipse((*(run[0] - reach), *(run[0] + reach)), fill=color)
        elif len(run):
            draw.line(list(map(tuple, run)), fill=color, width=round(LINE_WIDTH * OVERSAMPLE), joint="curve")


def _draw_ticks(canvas: Image.Image, box: _Box, x_axis: Axis, y_axis: Axis) -> None:
    for x, label in zip(box.across(x_axis.fractions(x_axis.ticks)), x_axis.labels(), strict=True):
        draw_text(canvas, (x, box.bottom + GAP), label, TEXT_SIZE, INK, "ma")
    for y, label in zip(box.up(y_axis.fractions(y_axis.ticks)), y_axis.labels(), strict=True):
        draw_text(canvas, (box.left - GAP, y), label, TEXT_SIZE, INK, "rm")


def _draw_legend(canvas: Image.Image, legend: list[_LegendEntry], colors: Sequence[Color], top: int) -> None:
    draw = ImageDraw.Draw(canvas)
    for entry, color in zip(legend, colors, strict=False):
        y = top + round((entry.line + 0.5) * line_height(TEXT_SIZE))
        draw.line((entry.x, y, entry.x + SWATCH_LENGTH, y), fill=color, width=3)
        draw_text(canvas, (entry.x + SWATCH_LENGTH + GAP, y), entry.label, TEXT_SIZE, INK, "lm")


def _draw_upright(canvas: Image.Image, middle_left: tuple[int, int], text: str) -> None:
    """Text that reads upwards, its left edge at `middle_left`, centred on that height."""
    width, height = text_size(text, TEXT_SIZE)
    strip = Image.new("RGB", (max(width, 1), height), PAPER)
    draw_text(strip, (0, 0), text, TEXT_SIZE, INK)
    x, y = middle_left
    canvas.paste(strip.rotate(90, expand=True), (x, y - width // 2))
