"""How much a number would vary from one sample of pictures to the next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sgcli.errors import UsageError
from sgcli.progress import track

GROUPS = 20


def jackknife(measure: Callable[[np.ndarray], float], rows: np.ndarray) -> float:
    """Standard error of `measure(rows)` by leaving out one of 20 groups of rows at a time (Efron and Tibshirani 1993).

    Raises UsageError for fewer than 40 rows.
    """
    check_enough(len(rows))
    group = np.arange(len(rows)) % GROUPS
    values = np.array([measure(rows[group != left_out]) for left_out in track(range(GROUPS), "standard error")])
    return float(np.sqrt((GROUPS - 1) / GROUPS * np.square(values - values.mean()).sum()))


def check_enough(count: int) -> None:
    """Raise UsageError for fewer pictures than a standard error takes."""
    if count < 2 * GROUPS:
        raise UsageError(f"--stderr: needs {2 * GROUPS} pictures or more, not {count}", f"--num {2 * GROUPS}")
