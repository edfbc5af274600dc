"""Two-dimensional arrays of numbers as pictures: colours from dark (low) to bright (high)."""

from __future__ import annotations

import numpy as np
from PIL import Image

# Anchors of a scale whose brightness rises evenly, so that it also reads in grey and for colour-blind eyes.
ANCHORS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


def heat_map(values: np.ndarray, low: float, high: float, step: float, size: int) -> np.ndarray:
    """`[H, W]` -> uint8 `[3, size, size]`: one colour for each `step` from `low` to `high`, values outside clipped."""
    smooth = Image.fromarray(values.astype(np.float32)).resize((size, size), Image.Resampling.BILINEAR)
    levels = np.floor((np.clip(np.array(smooth), low, high) - low) / step) * step / (high - low)
    places = np.clip(levels, 0, 1) * (len(ANCHORS) - 1)
    anchors = np.array(ANCHORS, float)
    colors = [np.interp(places, range(len(ANCHORS)), anchors[:, channel]) for channel in range(3)]
    return np.rint(colors).astype(np.uint8)
