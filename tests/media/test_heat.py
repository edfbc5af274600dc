"""Heat maps."""

from __future__ import annotations

import numpy as np

from sgcli.media.heat import ANCHORS, heat_map


def test_ends_of_the_scale_and_beyond():
    picture = heat_map(np.array([[-90.0, -40.0], [20.0, 70.0]]), -40, 20, 5, 8)
    assert picture.shape == (3, 8, 8) and picture.dtype == np.uint8
    assert tuple(picture[:, 0, 0]) == ANCHORS[0]
    assert tuple(picture[:, -1, -1]) == ANCHORS[-1]


def test_one_colour_per_step():
    ramp = np.linspace(0, 12, 64)[None].repeat(64, axis=0)
    picture = heat_map(ramp, 0, 12, 3, 64)
    assert len(np.unique(picture[:, 0].T, axis=0)) == 5  # 0, 3, 6, 9 and the very end
    brightness = picture[:, 0].astype(float).mean(axis=0)
    assert (np.diff(brightness) >= 0).all()
