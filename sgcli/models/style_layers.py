"""What each w of a generator controls, so that "coarse, middle, fine" has a meaning for every architecture."""

from __future__ import annotations

from typing import NamedTuple


class StyleLayer(NamedTuple):
    """One of a generator's num_ws inputs."""

    name: str  # the module it drives first, such as b8.conv0
    resolution: int  # of that module's output: samples across the picture
    cutoff: float | None = None  # highest frequency of that output, in cycles per picture width; None: resolution / 2


def detail_of(layer: StyleLayer) -> float:
    """The resolution that the layer's frequencies amount to: twice the highest.

    StyleGAN3 keeps its coarse layers at a higher sampling rate than their content needs; what they can draw is told by
    the cutoff, which is what makes them comparable with the layers of other generators.
    """
    return layer.resolution if layer.cutoff is None else 2 * layer.cutoff


def band_of(layer: StyleLayer, img_resolution: int) -> str:
    """'coarse', 'middle' or 'fine': 4-8, 16-32, 64-1024 pixels in the papers (spec progan-stylegan1, style mixing).

    Networks under 256² have few layers or none at 64² and above; there the same share of the resolutions counts.
    """
    coarse, middle = (8, 32) if img_resolution >= 256 else (4, img_resolution / 4)
    detail = detail_of(layer) * (1 - 1e-9)  # a cutoff is the result of a power: 4 may be a hair more
    return "coarse" if detail <= coarse else "middle" if detail <= middle else "fine"
