"""Nearest training pictures: against brute force, and what memorising looks like."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sgcli.metrics.nearest import describe_pixels, find_nearest

RNG = np.random.default_rng(0)


def brute_force(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(queries[:, None].astype(np.float64) - rows, axis=2)


@pytest.mark.parametrize("block", [1, 7, 100])
def test_agrees_with_brute_force(block):
    queries, rows = RNG.standard_normal((5, 6)).astype(np.float32), RNG.standard_normal((20, 6)).astype(np.float32)
    found = find_nearest(queries, [rows[start : start + block] for start in range(0, 20, block)], 3)
    distances = brute_force(queries, rows)
    order = distances.argsort(axis=1)[:, :3]
    assert np.array_equal(found.numbers, order)
    assert found.distances == pytest.approx(np.take_along_axis(distances, order, 1), rel=1e-5)


def test_a_picture_is_not_its_own_neighbour():
    rows = RNG.standard_normal((12, 4)).astype(np.float32)
    picks = np.array([0, 5, 11])
    found = find_nearest(rows[picks], [rows[:6], rows[6:]], 1, picks)
    distances = brute_force(rows, rows)
    np.fill_diagonal(distances, np.inf)
    assert np.array_equal(found.numbers[:, 0], distances.argmin(axis=1)[picks])
    assert find_nearest(rows[picks], [rows], 1).distances.max() < 1e-3


def test_too_few_to_choose_from():
    rows = RNG.standard_normal((2, 4)).astype(np.float32)
    with pytest.raises(ValueError, match="3 neighbours were asked for among 2"):
        find_nearest(rows, [rows], 3)


def test_pixel_distances_are_root_mean_squares():
    a, b = torch.full((1, 3, 64, 64), 100, dtype=torch.uint8), torch.full((1, 3, 64, 64), 130, dtype=torch.uint8)
    rows = np.concatenate([describe_pixels(a), describe_pixels(b)])
    assert rows.shape == (2, 3 * 32 * 32)
    assert np.linalg.norm(rows[0] - rows[1]) == pytest.approx(30)
