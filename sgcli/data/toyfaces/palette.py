"""Colours of toyfaces: natural ramps for skin and hair, and hues of even lightness for everything else."""

from __future__ import annotations

import numpy as np

from sgcli.data.toyfaces.canvas import Colour

# From light to deep.
SKIN = ("#fbdcc4", "#f3c6a2", "#e3ab80", "#c98d60", "#a56f48", "#7d5036", "#58392c")
# From black over browns, reds and blonds to white.
HAIR = ("#231f26", "#3b2a28", "#5d3a2a", "#83492b", "#b8602f", "#a87d4c", "#dcb470", "#f0dcae", "#b9b6ba", "#e6e4e6")
IRIS = ("#4b3021", "#7a4e26", "#6f7a35", "#3f8058", "#3c86a8", "#5b78c0")


# OKLab to LMS (cube roots) and LMS to linear sRGB (Ottosson 2020).
_LMS_OF_OKLAB = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
)
_RGB_OF_LMS = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.707614701],
    ]
)


def ramp(anchors: tuple[str, ...], position: float) -> Colour:
    """The colour at `position` in 0..1 along evenly spaced hexadecimal `anchors`."""
    at = position * (len(anchors) - 1)
    first = min(int(at), len(anchors) - 2)
    return mix(_from_hex(anchors[first]), _from_hex(anchors[first + 1]), at - first)


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """sRGB of an OKLCH colour: lightness 0..1, chroma 0..0.3, hue in turns. What is out of gamut is clipped."""
    angle = 2 * np.pi * hue
    oklab = (lightness, chroma * np.cos(angle), chroma * np.sin(angle))
    linear = np.clip(_RGB_OF_LMS @ (_LMS_OF_OKLAB @ oklab) ** 3, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return tuple(encoded.tolist())


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0..1) of `second`."""
    return tuple(a + (b - a) * share for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def shade(colour: Colour, factor: float) -> Colour:
    """Darken (`factor` < 1) towards a warm shadow, or lighten (> 1) towards white."""
    if factor > 1:
        return mix(colour, (1.0, 1.0, 1.0), factor - 1)
    return tuple(v * factor**power for v, power in zip(colour, (0.9, 1.1, 1.0), strict=True))


def set_off(colour: Colour, ground: Colour) -> Colour:
    """`colour`, darkened where it would be lost on `ground`."""
    return shade(colour, 0.6) if abs(_luma(colour) - _luma(ground)) < 0.17 else colour


def _luma(colour: Colour) -> float:
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def _from_hex(text: str) -> Colour:
    red, green, blue = bytes.fromhex(text[1:])
    return red / 255, green / 255, blue / 255
