import numpy as np
import pytest
from scipy import linalg

from colorjax.metrics.frechet import FeatureMoments, frechet_distance, small_sample_warning


def features(number, size, seed):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(0, 1, (size, size)) / np.sqrt(size)
    return np.maximum(rng.normal(0.3, 1, (number, size)) @ mixing + 0.2, 0).astype(np.float32)


def by_scipy(a, b):
    """The textbook form with the root of the unsymmetric product."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(cov_a @ cov_b).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)


def distance(a, b):
    return frechet_distance(FeatureMoments.of(a), FeatureMoments.of(b))


def test_equal_to_scipys_root():
    a, b = features(400, 24, 0), features(300, 24, 1) + 0.1
    assert by_scipy(a, b) > 1
    assert distance(a, b) == pytest.approx(by_scipy(a, b), rel=1e-9)
    assert distance(b, a) == pytest.approx(distance(a, b), rel=1e-9)


def test_a_set_is_at_no_distance_from_itself():
    """With fewer photos than features as well, where the covariance is singular."""
    for number in (200, 20):
        a = features(number, 48, 2)
        assert abs(distance(a, a[::-1])) < 1e-6 * np.trace(np.cov(a, rowvar=False))


def test_gaussians_with_diagonal_covariances():
    """(m1 - m2)^2 + (s1 - s2)^2 summed, for moments given exactly."""
    mean_a, mean_b = np.array([1.0, -2, 0.5]), np.array([0.0, 1, 0.5])
    std_a, std_b = np.array([1.0, 0.5, 2]), np.array([3.0, 0.5, 0])
    a, b = (
        FeatureMoments(11, 11 * m, 10 * np.diag(s**2) + 11 * np.outer(m, m))
        for m, s in ((mean_a, std_a), (mean_b, std_b))
    )
    expected = ((mean_a - mean_b) ** 2).sum() + ((std_a - std_b) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)
    assert expected == 18


def test_parts_add_to_the_whole():
    whole = features(100, 16, 3)
    parts = [FeatureMoments.of(part) for part in np.split(whole, [7, 8, 60])]
    summed = FeatureMoments.empty(16)
    for part in parts:
        summed = summed + part
    assert summed.count == 100
    assert np.allclose(summed.mean, whole.astype(np.float64).mean(0), rtol=1e-13)
    covariance = np.cov(whole.astype(np.float64), rowvar=False)
    assert np.allclose(summed.covariance, covariance, rtol=1e-10, atol=1e-12)
    assert summed.total.dtype == summed.outer.dtype == np.float64


def test_few_photos_are_warned_of():
    few, enough = FeatureMoments.of(features(15, 16, 0)), FeatureMoments.of(features(16, 16, 0))
    assert small_sample_warning(enough, enough) == ""
    assert "15 and 16 photos" in small_sample_warning(few, enough)
    assert "16 and 15 photos" in small_sample_warning(enough, few)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: FeatureMoments.of(np.zeros(3)), "photos, features"),
        (lambda: FeatureMoments.of(np.full((2, 3), np.nan)), "finite"),
        (lambda: FeatureMoments.empty(3) + FeatureMoments.empty(4), "differ"),
        (lambda: distance(np.zeros((2, 3)), np.zeros((2, 4))), "differ"),
        (lambda: distance(np.zeros((1, 3)), np.zeros((2, 3))), "at least 2"),
        (lambda: FeatureMoments.empty(3).mean, "no photos"),
    ],
)
def test_what_means_nothing_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
