"""Linear separability: known attributes, shuffled ones, and the parts of the protocol."""

from __future__ import annotations

import numpy as np
import pytest

from sgcli.metrics.separability import (
    Hyperplane,
    Separability,
    conditional_entropy,
    measure_separability,
    separate,
    surest_half,
)


def table(counts) -> tuple[np.ndarray, np.ndarray]:
    """Two series of booleans with the joint counts [[x0y0, x0y1], [x1y0, x1y1]]."""
    x = np.repeat([False, False, True, True], np.ravel(counts))
    y = np.repeat([False, True, False, True], np.ravel(counts))
    return x, y


def test_entropy_of_a_known_table():
    assert conditional_entropy(*table([[4, 1], [1, 4]])) == pytest.approx(0.72193, abs=1e-5)  # spec §6.3
    assert conditional_entropy(*table([[5, 0], [0, 5]])) == 0
    assert conditional_entropy(*table([[5, 5], [5, 5]])) == pytest.approx(1)
    # Not symmetric: x tells y, y does not tell x.
    x, y = table([[5, 0], [5, 10]])
    assert conditional_entropy(x, y) == pytest.approx(15 / 20 * -(1 / 3 * np.log2(1 / 3) + 2 / 3 * np.log2(2 / 3)))
    assert conditional_entropy(y, x) == pytest.approx(10 / 20)


def test_the_surest_half():
    logits = np.array([0.1, -3, 2, -0.2, 0.5, -1], np.float32)
    assert surest_half(logits).tolist() == [1, 2, 5]
    # Probabilities that round to 1 are ties: the first ones win, however large the others' logits.
    assert surest_half(np.array([1, 10, 100, 20, 50, 2], np.float32)).tolist() == [1, 2, 3]


@pytest.fixture(scope="module")
def latents() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((4000, 16)).astype(np.float32)


def test_a_linear_attribute_gives_one(latents):
    direction = np.random.default_rng(1).standard_normal((16, 3))
    logits = latents @ direction + [0.0, 1.0, -1.0]
    found = measure_separability(latents, logits, ["a", "b", "c"], "planes")
    assert found.score == pytest.approx(1, abs=0.02)
    for plane, true in zip(found.hyperplanes, direction.T, strict=True):
        assert plane.normal @ true / np.linalg.norm(true) > 0.999
        assert plane.right > 0.999


def test_a_shuffled_attribute_gives_the_maximum(latents):
    logits = np.random.default_rng(2).permutation(latents @ np.ones((16, 2)))
    found = measure_separability(latents, logits, ["a", "b"], "planes")
    assert found.score == pytest.approx(4, rel=0.02)  # 2 for every attribute as frequent as not


def test_a_curved_space_gives_more_than_a_straight_one(latents):
    """The attribute is the sign of the first axis; the map bends it away."""
    logits = latents[:, :1]
    bent = latents.copy()
    bent[:, 0] = np.abs(latents[:, 0]) * np.sign(latents[:, 1] * latents[:, 0])
    straight, curved = (measure_separability(x, logits, ["a"], "planes").score for x in (latents, bent))
    assert straight < 1.01 and curved > 1.5


def test_an_attribute_that_all_have_is_no_reason_to_fail(latents):
    plane = separate(latents, np.full(len(latents), 3.0), "all")
    assert (plane.entropy, plane.share, plane.normal) == (0.0, 1.0, None)


def test_the_score_is_exp_of_the_sum_in_nats():
    planes = [Hyperplane("a", 0.3, 0.5, 0.9, None), Hyperplane("b", 0.5, 0.5, 0.9, None)]
    assert Separability(planes).score == pytest.approx(np.exp(0.8 * np.log(2)))


def test_scikit_learn_finds_the_same_hyperplanes(latents):
    svm = pytest.importorskip("sklearn.svm")
    rng = np.random.default_rng(3)
    logits = latents[:, 0] + 0.7 * latents[:, 1] ** 2 + 0.5 * rng.standard_normal(len(latents))
    rows = surest_half(logits)
    theirs = svm.LinearSVC(dual=True, max_iter=20000, tol=1e-7).fit(latents[rows], logits[rows] >= 0)
    says = theirs.predict(latents[rows])
    ours = separate(latents, logits, "a")
    assert ours.entropy == pytest.approx(conditional_entropy(says, logits[rows] >= 0), abs=2e-3)
    assert ours.normal @ theirs.coef_[0] / np.linalg.norm(theirs.coef_) == pytest.approx(1, abs=1e-5)
