"""The order of the images: every pass shows each once, windows stay within few shards, any place can be looked up."""

from __future__ import annotations

import numpy as np
import pytest

from sgcli.training.order import Passes, WindowedPasses

SIZES = [5, 3, 8, 1, 7, 6]


@pytest.mark.parametrize("window", [1, 4, 7, 30, 100])
def test_each_image_once_per_pass(window):
    order = WindowedPasses(SIZES, seed=3, window=window)
    seen = order.at(range(90)).reshape(3, 30)
    assert all(sorted(images) == list(range(30)) for images in seen)
    assert not np.array_equal(seen[0], seen[1])


def test_a_place_does_not_depend_on_what_was_read_before():
    whole = WindowedPasses(SIZES, seed=3, window=8).at(range(120))
    order = WindowedPasses(SIZES, seed=3, window=8)
    for place in np.random.RandomState(0).permutation(120):
        assert order.at([place]) == whole[place]
    assert not np.array_equal(WindowedPasses(SIZES, seed=4, window=8).at(range(120)), whole)


def test_a_window_touches_few_shards():
    order = WindowedPasses([10] * 100, seed=0, window=20)
    shards = order.at(range(1000)).reshape(50, 20) // 10
    assert all(len(set(window)) == 2 for window in shards)


def test_mirrored_copies_come_once_in_two_rounds():
    order = WindowedPasses(SIZES, seed=3, mirror=True, window=7)
    images = order.at(range(60))
    assert sorted(images) == list(range(60))
    assert 5 < (images[:30] >= 30).sum() < 25


def test_a_set_that_fits_is_permuted_whole():
    images = Passes(10, seed=1).at(range(30)).reshape(3, 10)
    assert all(sorted(row) == list(range(10)) for row in images)
