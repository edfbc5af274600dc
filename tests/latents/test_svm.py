"""The linear support vector machine, against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from sgcli.latents.svm import fit_linear_svm


def objective(v: np.ndarray, x: np.ndarray, y: np.ndarray, C: float) -> tuple[float, np.ndarray]:
    signs = np.where(y, 1.0, -1.0)
    rows = np.column_stack([x.astype(np.float64), np.ones(len(x))])
    hinge = np.maximum(1 - signs * (rows @ v), 0)
    return v @ v / 2 + C * (hinge @ hinge), v - 2 * C * (signs * hinge) @ rows


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_it_is_the_minimum(C, noise):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 7)).astype(np.float32)
    y = x[:, 0] - 0.5 * x[:, 3] + 0.4 + noise * rng.standard_normal(400) > 0
    weights, bias = fit_linear_svm(x, y, C)
    found = objective(np.append(weights, bias), x, y, C)[0]
    best = minimize(objective, np.zeros(8), (x, y, C), jac=True, options={"maxiter": 2000, "gtol": 1e-8}).fun
    assert found <= best * (1 + 1e-6)
    assert weights.dtype == np.float32 and weights.shape == (7,)


def test_a_known_direction_is_found():
    rng = np.random.default_rng(1)
    direction = rng.standard_normal(32)
    direction /= np.linalg.norm(direction)
    x = rng.standard_normal((20_000, 32)).astype(np.float32)  # more than are computed at a time
    weights, bias = fit_linear_svm(x, x @ direction > 0.5)
    assert weights @ direction / np.linalg.norm(weights) > 0.999
    assert -bias / np.linalg.norm(weights) == pytest.approx(0.5, abs=0.02)


def test_few_rows_of_many_values():
    rng = np.random.default_rng(2)
    x = (rng.standard_normal((40, 300)) * 30 + 100).astype(np.float32)
    y = rng.random(40) > 0.5
    weights, bias = fit_linear_svm(x, y)
    assert ((x @ weights + bias > 0) == y).all()


def test_what_cannot_be_separated():
    x = np.zeros((4, 2), np.float32)
    for y in (np.ones(4, bool), np.zeros(4, bool)):
        with pytest.raises(ValueError, match="of one"):
            fit_linear_svm(x, y)
    with pytest.raises(ValueError, match=r"\[4, 2\] and \[3\]"):
        fit_linear_svm(x, np.array([True, False, True]))
    with pytest.raises(ValueError, match="C must be"):
        fit_linear_svm(x, np.array([True, False, True, False]), C=0)
    weights, bias = fit_linear_svm(x, np.array([True, True, True, False]))  # no two rows differ: the larger side wins
    assert not weights.any() and bias > 0
