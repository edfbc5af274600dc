"""Grids and tables of pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sgcli.errors import UsageError
from sgcli.media.grid import make_grid, make_table, parse_grid
from sgcli.media.text import spell_out, text_size


def numbered(num: int, channels: int = 3, height: int = 4, width: int = 5) -> np.ndarray:
    return np.arange(num, dtype=np.uint8).reshape(num, 1, 1, 1).repeat(channels, 1).repeat(height, 2).repeat(width, 3)


def test_parse_grid():
    assert parse_grid("8x4") == (8, 4)
    assert parse_grid(" 1X1000 ") == (1, 1000)


@pytest.mark.parametrize(
    "text", ["", "8", "8x", "x4", "8x4x2", "-8x4", "0x4", "4x0", "1001x1", "8.5x4", "axb", "9" * 5000 + "x1"]
)
def test_bad_grids(text):
    with pytest.raises(UsageError, match="--grid") as raised:
        parse_grid(text)
    assert raised.value.hint == "--grid 8x4"


def test_grid_is_filled_row_by_row():
    grid = make_grid(numbered(6), columns=3, rows=2)
    assert grid.shape == (3, 8, 15)
    assert grid[0, ::4, ::5].tolist() == [[0, 1, 2], [3, 4, 5]]
    np.testing.assert_array_equal(make_grid(torch.from_numpy(numbered(6)), 3, 2), grid)


@pytest.mark.parametrize(("channels", "fill"), [(1, [128]), (3, [128] * 3), (4, [128, 128, 128, 0])])
def test_empty_cells(channels, fill):
    grid = make_grid(numbered(1, channels), columns=2, rows=1)
    assert grid[:, 0, 0].tolist() == [0] * channels
    assert grid[:, 0, 5].tolist() == fill


def test_too_many_pictures():
    with pytest.raises(ValueError, match=r"7 pictures .* 3x2"):
        make_grid(numbered(7), 3, 2)


def find(table: np.ndarray, picture: np.ndarray) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(table, picture.shape)[0]
    return bool((windows == picture).all(axis=(2, 3, 4)).any())


@pytest.mark.parametrize("dark", [False, True])
def test_table_shows_every_picture(dark):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (3, 16, 16), np.uint8) for _ in range(3)]
    table = make_table(
        [[None, pictures[0]], pictures[1:]], ["a long caption", "b"], ["one", "two\nlines"], "title", dark
    )
    assert table.dtype == np.uint8 and len(table) == 3
    assert all(find(table, picture) for picture in pictures)
    assert (table[:, 0, 0] < 40).all() if dark else (table[:, 0, 0] == 255).all()


def test_captions_fit():
    picture = numbered(1, height=16, width=16)[0]
    plain = make_table([[picture, picture]])
    wide = make_table([[picture, picture]], ["a caption of many words", ""])
    titled = make_table([[picture]], title="a title of many more words than that")
    assert wide.shape[2] > plain.shape[2] and wide.shape[1] > plain.shape[1]
    assert titled.shape[2] > text_size("a title of many more words than that", 12)[0]


def test_grey_and_alpha_in_tables():
    opaque, clear = numbered(1, 4)[0], numbered(1, 4)[0]
    opaque[3] = 255
    assert find(make_table([[opaque]]), opaque[:3])
    assert (make_table([[clear]]) == 255).all()
    assert find(make_table([[numbered(1, 1)[0]]]), opaque[:3])


@pytest.mark.parametrize("cells", [[[None]], [[numbered(1)[0], numbered(1, height=6)[0]]]])
def test_tables_that_cannot_be_drawn(cells):
    with pytest.raises(ValueError, match="one size"):
        make_table(cells)


def test_spell_out():
    assert spell_out("ψ = −0.5, 4×4, naïve, 漢") == "psi = -0.5, 4x4, naive, ?"
    assert text_size("two\nlines", 16)[1] == 2 * text_size("one", 16)[1]
