"""Axes of plots: the range of values that is shown, and round numbers along it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEW_DECADES = 2.5  # below, a logarithmic axis marks 2 and 5 as well as 1
SAME = 1e-9  # relative difference up to which values count as one
STEPS = (1, 2, 5, 10)  # between ticks, times a power of ten


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high`, linear or logarithmic, with the `ticks` among them that bear a number."""

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    def fractions(self, values: np.ndarray | Sequence[float]) -> np.ndarray:
        """Where values lie along the axis: 0 at `low`, 1 at `high`."""
        values = np.asarray(values)
        if self.log:
            return np.log10(values / self.low) / math.log10(self.high / self.low)
        return (values - self.low) / (self.high - self.low)

    def labels(self) -> list[str]:
        """The ticks as text, with the digits that tell neighbours apart."""
        spacing = min(np.diff(self.ticks), default=1.0)
        largest = max(abs(tick) for tick in self.ticks)
        digits = 6 if self.log else max(6, math.ceil(math.log10(max(largest / spacing, 1))) + 1)
        return [_short(tick, digits) for tick in self.ticks]


def make_axis(values: np.ndarray, log: bool, num_ticks: int, padding: float = 0.0) -> Axis:
    """An axis that shows all of `values` (finite, above 0 if `log`), with about `num_ticks` ticks.

    `padding` is the part of the range to add at either end.
    """
    low, high = float(values.min()), float(values.max())
    if high - low <= SAME * max(abs(low), abs(high)):
        around = abs(low) / 2 or 1.0
        low, high = low - around, high + around
    if log:
        reach = (high / low) ** padding
        low, high = low / reach, high * reach
        return Axis(low, high, log, tuple(_log_ticks(low, high, num_ticks)))
    reach = (high - low) * padding
    low, high = low - reach, high + reach
    return Axis(low, high, log, tuple(_linear_ticks(low, high, num_ticks)))


def _linear_ticks(low: float, high: float, num_ticks: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten: the fewest that are about `num_ticks`, and at least one."""
    rough = (high - low) / num_ticks
    magnitude = 10 ** math.floor(math.log10(rough))
    fitting = next(index for index, factor in enumerate(STEPS) if factor * magnitude >= rough * 0.999)
    for factor in reversed(STEPS[: fitting + 1]):  # a range just short of two multiples may hold none
        step = magnitude * factor
        slack = step * 1e-6  # an end that is a multiple counts, whatever its last bit says
        numbers = range(math.ceil((low - slack) / step), math.floor((high + slack) / step) + 1)
        if numbers:
            break
    return [number * step for number in numbers]


def _log_ticks(low: float, high: float, num_ticks: int) -> list[float]:
    """Powers of ten, with twice and five times between them if they are few; over less than a decade, linear ticks."""
    decades = math.log10(high / low)
    if decades < 1:
        return _linear_ticks(low, high, num_ticks)
    factors = (1, 2, 5) if decades < FEW_DECADES else (1,)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1, max(1, round(decades / num_ticks)))
    ticks = [factor * 10.0**exponent for exponent in exponents for factor in factors]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]


def _short(value: float, digits: int) -> str:
    """0.5 -> '0.5', 1e-05 -> '1e-5', 1e+06 -> '1e6'."""
    mantissa, e, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}{e}{int(exponent)}" if e else mantissa
