"""Colours of toyfaces: natural ramps for skin and hair, and hues of even lightness for everything else."""

from __future__ import annotations

import numpy as np

from sgcli.data.toyfaces.canvas import Colour

# From light to deep.
SKIN = ("#fbdcc4", "#f3c6a2", "#e3ab80", "#c98d60", "#a56f48", "#7d5036", "#58392c")
# From black over browns, reds and blonds to white.
HAIR = ("#231f26", "#3b2a28", "#5d3a2a", "#83492b", "#b8602f", "#a87d4c", "#dcb470", "#f0dcae", "#b9b6ba", "#e6e4e6")
IRIS = ("#4b3021", "#7a4e26", "#6f7a35", "#3f8058", "#3c86a8", "#5b78c0")


def ramp(anchors: tuple[str, ...], position: float) -> Colour:
    """The colour at `position` in 0..1 along evenly spaced hexadecimal `anchors`."""
    table = np.array([[int(anchor[i : i + 2], 16) / 255 for i in (1, 3, 5)] for anchor in anchors])
    at = np.linspace(0, 1, len(anchors))
    return tuple(float(np.interp(position, at, channel)) for channel in table.T)  # type: ignore[return-value]


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """sRGB of an OKLCH colour (Ottosson 2020): lightness 0..1, chroma 0..0.3, hue in turns; out of gamut is clipped."""
    a, b = chroma * np.cos(2 * np.pi * hue), chroma * np.sin(2 * np.pi * hue)
    to_lms = np.array([[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]])
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.707614701],
        ]
    )
    linear = np.clip(to_rgb @ (to_lms @ (lightness, a, b)) ** 3, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return tuple(float(v) for v in encoded)  # type: ignore[return-value]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0..1) of `second`."""
    return tuple(a + (b - a) * share for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def shade(colour: Colour, factor: float) -> Colour:
    """Darken (`factor` < 1) towards a warm shadow, or lighten (> 1) towards white."""
    if factor > 1:
        return mix(colour, (1.0, 1.0, 1.0), factor - 1)
    return tuple(v * factor**power for v, power in zip(colour, (0.9, 1.1, 1.0), strict=True))  # type: ignore[return-value]


def luminance(colour: Colour) -> float:
    """Perceived brightness 0..1 of an sRGB colour (Rec. 601 luma)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
