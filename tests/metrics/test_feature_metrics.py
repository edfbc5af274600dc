"""FID, KID, precision/recall and IS on features: goldens, closed forms, and independent libraries."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats
import torch

from sgcli.errors import UsageError
from sgcli.metrics.fid import Statistics, cholesky_root, frechet_distance
from sgcli.metrics.inception_score import inception_score
from sgcli.metrics.kid import kernel_distance, squared_mmd, standard_error
from sgcli.metrics.precision_recall import precision_recall, share_inside
from sgcli.metrics.resampling import jackknife
from tests.golden_files import Golden

RNG = np.random.default_rng(0)


def features(count: int, width: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((count, width)) + shift).astype(np.float32)


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("metrics-from-features")


def test_goldens(golden):
    real, fake, expected = golden["real"].numpy(), golden["fake"].numpy(), golden.info["cases"]
    assert frechet_distance(Statistics.of(real), Statistics.of(fake)) == pytest.approx(expected["fid"], rel=1e-9)
    kid = squared_mmd(golden["real"][:300], golden["fake"][:300])
    assert kid == pytest.approx(expected["kid_one_subset_first_300"], rel=1e-9)
    found = precision_recall(real, fake)
    assert found == pytest.approx((expected["precision"], expected["recall"]), rel=1e-6)


def test_fid_of_two_gaussians_in_closed_form():
    a = Statistics(np.zeros(3), np.diag([1.0, 4.0, 9.0]), 0)
    b = Statistics(np.array([1.0, 2.0, 2.0]), np.diag([4.0, 4.0, 1.0]), 0)
    assert frechet_distance(a, b) == pytest.approx(9 + 1 + 0 + 4)  # |Δμ|² + Σ (σ₁ - σ₂)²


@pytest.mark.parametrize("count", [7, 40, 300])  # fewer than features, and more
def test_fid_agrees_with_scipys_matrix_square_root(count):
    mix = np.random.default_rng(5).standard_normal((30, 30))
    a = Statistics.of((features(count, 30) @ mix).astype(np.float32), ddof=1)
    b = Statistics.of((features(count, 30, 0.2, seed=1) @ mix * 1.3).astype(np.float32), ddof=1)
    root = scipy.linalg.sqrtm(a.sigma @ b.sigma).real
    expected = np.square(a.mu - b.mu).sum() + np.trace(a.sigma + b.sigma - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-9)
    assert np.allclose(a.sigma, np.cov((features(count, 30) @ mix).astype(np.float32), rowvar=False), rtol=1e-5)


def test_fid_of_a_set_with_itself_is_zero():
    a = Statistics.of(features(50, 20))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    constant = Statistics.of(np.ones((5, 4), np.float32))
    assert frechet_distance(constant, constant) == 0


def test_cholesky_root_of_a_singular_matrix():
    x = RNG.standard_normal((6, 3))
    root = cholesky_root(x @ x.T)
    assert root.shape == (6, 3)
    assert np.allclose(root @ root.T, x @ x.T)


def test_kid_agrees_with_scikit_learn():
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    a, b = features(60, 12), features(60, 12, 0.3, seed=1)
    kernel = {"degree": 3, "gamma": 1 / 12, "coef0": 1}
    within = [pairwise.polynomial_kernel(x, **kernel) for x in (a, b)]
    across = pairwise.polynomial_kernel(a, b, **kernel).mean()
    m = len(a)
    expected = sum((k.sum() - np.trace(k)) / (m * (m - 1)) for k in within) - 2 * across
    assert squared_mmd(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-4)


def test_kid_is_unbiased():
    values = [
        squared_mmd(torch.from_numpy(features(40, 8, seed=2 * i)), torch.from_numpy(features(40, 8, seed=2 * i + 1)))
        for i in range(400)
    ]
    deviation = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * deviation
    assert np.mean(values) < 0.2 * np.std(values)  # a biased estimate would be above 0 in every case
    assert np.mean(np.array(values) < 0) > 0.3


def test_kid_subsets_follow_the_seed():
    a, b = features(50, 8), features(70, 8, 0.5, seed=1)
    subsets = kernel_distance(a, b, seed=3, num_subsets=5, subset_size=20)
    assert subsets.shape == (5,)
    assert np.array_equal(subsets, kernel_distance(a, b, seed=3, num_subsets=5, subset_size=20))
    assert not np.array_equal(subsets, kernel_distance(a, b, seed=4, num_subsets=5, subset_size=20))


def test_standard_error_of_kid_is_its_scatter():
    values, errors = [], []
    for i in range(60):
        a, b = features(400, 8, seed=2 * i), features(400, 8, 0.5, seed=2 * i + 1)
        values.append(squared_mmd(torch.from_numpy(a), torch.from_numpy(b)))
        errors.append(standard_error(a, b))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.4)
    with pytest.raises(UsageError, match="needs 40 pictures"):
        standard_error(a[:39], b)


def test_precision_and_recall_are_not_the_same_thing():
    """Fakes within one of the two modes of the reals: all are like real ones, half of the real ones are missed."""
    modes = [features(200, 6, -10.0, seed=1), features(200, 6, 10.0, seed=2)]
    precision, recall = precision_recall(np.concatenate(modes), features(200, 6, -10.0, seed=3) * 1.0)
    assert precision > 0.8
    assert 0.3 < recall < 0.5
    recall_swapped, precision_swapped = precision_recall(features(200, 6, -10.0, seed=3), np.concatenate(modes))
    assert (precision, recall) == pytest.approx((precision_swapped, recall_swapped), abs=0.01)


def test_precision_agrees_with_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    real, fake = features(150, 10), features(120, 10, 0.4, seed=1)
    real, fake = (x.astype(np.float16).astype(np.float32) for x in (real, fake))
    radii = neighbors.NearestNeighbors(n_neighbors=4).fit(real).kneighbors(real)[0][:, 3]
    inside = [(np.linalg.norm(real - row, axis=1) <= radii).any() for row in fake]
    assert share_inside(torch.from_numpy(fake), torch.from_numpy(real)) == pytest.approx(np.mean(inside), abs=1e-9)


def test_precision_of_a_set_with_itself_is_one():
    assert precision_recall(features(30, 5), features(30, 5)) == (1.0, 1.0)
    assert precision_recall(features(30, 5), features(30, 5, 100.0)) == (0.0, 0.0)


def test_inception_score_in_closed_form():
    sure = np.eye(4)[np.arange(400) % 4]
    assert inception_score(sure) == pytest.approx(np.full(10, 4.0))  # every class as often, no doubt: their number
    assert inception_score(np.full((100, 4), 0.25)) == pytest.approx(np.ones(10))
    assert inception_score(np.eye(4)[np.zeros(100, int)]) == pytest.approx(np.ones(10))  # one class only


def test_inception_score_agrees_with_scipy():
    probabilities = scipy.special.softmax(features(200, 7).astype(float), axis=1)
    parts = probabilities.reshape(10, 20, 7)
    expected = [np.exp(np.mean([scipy.stats.entropy(row, part.mean(axis=0)) for row in part])) for part in parts]
    assert inception_score(probabilities) == pytest.approx(expected, rel=1e-4)


def test_standard_error_of_a_mean_is_known():
    rows = features(2000, 1, seed=7)
    assert jackknife(lambda part: float(part.mean()), rows) == pytest.approx(rows.std() / np.sqrt(2000), rel=0.5)
    with pytest.raises(UsageError, match="needs 40 pictures"):
        jackknife(lambda part: 0.0, rows[:39])


def test_agreement_with_torch_fidelity(golden):
    fidelity = pytest.importorskip("torch_fidelity.metric_fid", exc_type=ImportError)
    real, fake = golden["real"], golden["fake"]
    a, b = (fidelity.fid_features_to_statistics(x) for x in (real, fake))
    expected = fidelity.fid_statistics_to_metric(a, b, verbose=False)["frechet_inception_distance"]
    found = frechet_distance(*(Statistics.of(x.numpy(), ddof=1) for x in (real, fake)))
    assert found == pytest.approx(expected, rel=1e-4)
