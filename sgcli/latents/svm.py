"""Linear support vector machine: the hyperplane that best separates two kinds of latents (spec progan-stylegan1 §6.3).

Solved by Newton's method in the primal (Keerthi and DeCoste 2005, "A Modified Finite Newton Method for Fast Solution of
Large Scale Linear SVMs"): 200,000 latents of 512 values take seconds, where dual coordinate descent takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq

ROWS_AT_A_TIME = 8192  # bounds memory beyond x itself to some tens of megabytes
MAX_STEPS = 100  # about ten are usual


def fit_linear_svm(
    x: np.ndarray,             # [N, F], of any real type; computed in float64, a part at a time
    y: np.ndarray,             # [N] bool: which side each row belongs to
    C: float = 1.0,            # weight of the errors against the width of the margin
    tolerance: float = 1e-6,   # of the gradient's length, relative to its length at the start
) -> tuple[np.ndarray, float]:  # fmt: skip
    """The weights `[F]` (float32) and bias for which `x @ weights + bias > 0` tells y best.

    They are the one minimum over w and b of  ½(‖w‖² + b²) + C Σ max(0, 1 - s·(w·x + b))²,  s = ±1 for y: a squared
    hinge, with the bias penalised like a weight. That is what `sklearn.svm.LinearSVC` minimises by default.
    (`SVC(kernel="linear")` takes the plain hinge and spares the bias, and ends elsewhere.) x is not scaled.

    Raises ValueError where y does not hold both kinds, or shapes do not fit.
    """
    y = np.asarray(y, bool)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"x must be [N, F] and y [N], got {list(x.shape)} and {list(y.shape)}")
    if y.all() or not y.any():
        raise ValueError("a hyperplane separates two kinds, and all latents are of one")
    if not (np.isfinite(C) and C > 0):
        raise ValueError(f"C must be above 0, got {C}")
    signs = np.where(y, 1.0, -1.0)
    v = np.zeros(x.shape[1] + 1)  # w, then b
    margins = np.zeros(len(x))  # s·(w·x + b)
    start = None
    for _ in range(MAX_STEPS):
        gradient, hessian = _derivatives(x, signs, v, margins, C)
        length = np.linalg.norm(gradient)
        start = length if start is None else start
        if length <= tolerance * start:
            break
        step = -cho_solve(cho_factor(hessian, overwrite_a=True), gradient)
        changes = signs * _project(x, step)
        t = _line_minimum(v, step, margins, changes, C)
        v += t * step
        margins += t * changes
    return v[:-1].astype(np.float32), float(v[-1])


def _rows(x: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Some rows at a time, float64, with a last column of ones for the bias."""
    for start in range(0, len(x), ROWS_AT_A_TIME):
        part = slice(start, start + ROWS_AT_A_TIME)
        yield part, np.pad(np.asarray(x[part], np.float64), ((0, 0), (0, 1)), constant_values=1)


def _project(x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """w·x + b of every row, `[N]`."""
    return np.concatenate([rows @ v for _, rows in _rows(x)])


def _derivatives(
    x: np.ndarray, signs: np.ndarray, v: np.ndarray, margins: np.ndarray, C: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient `[F+1]` and Hessian `[F+1, F+1]`. Only rows inside the margin take part."""
    gradient, hessian = v.copy(), np.eye(len(v))
    for part, rows in _rows(x):
        inside = margins[part] < 1
        near = rows[inside]
        gradient -= 2 * C * ((signs[part] * (1 - margins[part]))[inside] @ near)
        hessian += 2 * C * (near.T @ near)
    return gradient, hessian


def _line_minimum(v: np.ndarray, step: np.ndarray, margins: np.ndarray, changes: np.ndarray, C: float) -> float:
    """The t for which v + t·step is best. The objective is convex: its slope along the step rises through zero once."""
    linear, quadratic = v @ step, step @ step

    def slope(t: float) -> float:
        hinge = np.maximum(1 - margins - t * changes, 0)
        return linear + t * quadratic - 2 * C * (hinge @ changes)

    end = 1.0
    while slope(end) < 0:
        end *= 2
    return brentq(slope, 0.0, end, xtol=1e-12) if slope(0.0) < 0 else 0.0
