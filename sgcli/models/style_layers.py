"""What each w of a generator controls, so that "coarse, middle, fine" has a meaning for every architecture."""

from __future__ import annotations

from typing import NamedTuple


class StyleLayer(NamedTuple):
    """One of a generator's num_ws inputs."""

    name: str  # the module it drives first, such as b8.conv0
    resolution: int  # of that module's output, in pixels


def band_of(layer: StyleLayer, img_resolution: int) -> str:
    """'coarse', 'middle' or 'fine': 4-8, 16-32, 64-1024 pixels in the papers (spec progan-stylegan1, style mixing).

    Networks under 256² have few layers or none at 64² and above; there the same share of the resolutions counts.
    """
    if img_resolution >= 256:
        return "coarse" if layer.resolution <= 8 else "middle" if layer.resolution <= 32 else "fine"
    return "coarse" if layer.resolution <= 4 else "middle" if layer.resolution * 4 <= img_resolution else "fine"
