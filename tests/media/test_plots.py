"""Line plots and their axes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sgcli.media.axes import make_axis
from sgcli.media.plots import PALETTE, Series, line_plot


def count(plot: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((plot == np.array(color).reshape(3, 1, 1)).all(axis=0).sum())


def test_plot():
    plot = line_plot(
        [Series("falling", [0, 1, 2], [3, 2, 1]), Series("rising", [0, 2], [1, 3])],
        title="Two lines",
        x_label="kimg",
        y_label="FID",
    )
    assert plot.shape == (3, 500, 900) and plot.dtype == np.uint8
    assert count(plot, PALETTE[0]) > 500 and count(plot, PALETTE[1]) > 500
    assert count(plot, PALETTE[2]) == 0
    assert count(plot, (255, 255, 255)) > plot[0].size / 2


def test_gaps():
    y = np.linspace(0, 1, 100)
    whole = line_plot([Series("", range(100), y)])
    y[20:80] = np.nan
    assert count(line_plot([Series("", range(100), y)]), PALETTE[0]) < 0.6 * count(whole, PALETTE[0])


@pytest.mark.parametrize("log", [False, True])
def test_a_single_point_is_seen(log):
    plot = line_plot([Series("", [5], [7])], log_x=log, log_y=log, size=(300, 200))
    assert plot.shape == (3, 200, 300) and count(plot, PALETTE[0]) > 10


def test_nothing_above_zero_on_a_log_axis():
    line_plot([Series("", [1, 2], [0, -1])])
    with pytest.raises(ValueError, match="at least one finite point"):
        line_plot([Series("", [1, 2], [0, -1])], log_y=True)
    with pytest.raises(ValueError, match="at least one finite point"):
        line_plot([])


@pytest.mark.parametrize(
    ("low", "high", "log", "labels"),
    [
        (0, 1, False, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (0, 25000, False, ["0", "5000", "10000", "15000", "20000", "25000"]),
        (-0.3, 0.1, False, ["-0.3", "-0.2", "-0.1", "0", "0.1"]),
        (1000001, 1000003, False, ["1000001", "1000001.5", "1000002", "1000002.5", "1000003"]),
        (1e-5, 1, True, ["1e-5", "0.0001", "0.001", "0.01", "0.1", "1"]),
        (1, 128, True, ["1", "2", "5", "10", "20", "50", "100"]),
        (2, 4, True, ["2", "2.5", "3", "3.5", "4"]),
    ],
)
def test_ticks_are_round(low, high, log, labels):
    assert make_axis(np.array([low, high]), log, num_ticks=5).labels() == labels


@given(
    st.lists(st.floats(-1e12, 1e12, allow_subnormal=False), min_size=1, max_size=5),
    st.booleans(),
    st.integers(2, 12),
    st.sampled_from([0, 0.05]),
)
@example([-500000500001.0, -900400900402.0], False, 2, 0)  # just short of two multiples of 5e11
def test_axes_hold_all_values_and_some_ticks(values, log, num_ticks, padding):
    values = np.array(values)
    if log:
        values = np.abs(values) + 1e-12
    axis = make_axis(values, log, num_ticks, padding)
    assert axis.low <= values.min() and values.max() <= axis.high
    assert 1 <= len(axis.ticks) <= 3 * num_ticks + 2
    assert len(set(axis.labels())) == len(axis.ticks)
    fractions = axis.fractions(axis.ticks)
    assert (fractions > -1e-3).all() and (fractions < 1 + 1e-3).all()


def test_bands_are_tinted_and_in_view():
    line = Series("D(x)", [0, 1, 2], [0, 1, 0], bands=[([-5, -5, -5], [5, 5, 5])])
    plain, banded = line_plot([Series("D(x)", [0, 1, 2], [0, 1, 0])]), line_plot([line])
    tint = tuple(round(255 + (c - 255) * 50 / 255) for c in PALETTE[0])
    assert count(plain, tint) == 0
    assert count(banded, tint) > 100_000  # almost all of the plot
    assert 0 < count(banded, PALETTE[0]) < count(plain, PALETTE[0])  # the line lies on top, and flatter
