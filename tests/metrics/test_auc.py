"""AuC against trapezoids and against loops over pixels."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorjax import color, metrics


def ab_pair(*shape: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Colors of random RGB and others at every distance from them, some beyond 150."""
    rng = np.random.default_rng(seed)
    truth = color.rgb_to_lab(rng.uniform(0, 1, (*shape, 3)))[..., 1:]
    angle, distance = rng.uniform(0, 2 * np.pi, shape), rng.uniform(0, 180, shape)
    offset = distance[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return truth + offset, truth


def steep_prior() -> np.ndarray:
    """A distribution over the bins that falls from gray outwards by five powers of ten."""
    prior = np.exp(-np.linalg.norm(color.ab_bins(), axis=-1) / 12.0)
    assert prior.max() / prior.min() > 1e5
    return prior / prior.sum()


def slow_bin(ab: np.ndarray) -> int:
    return int(np.argmin(((color.ab_bins() - ab) ** 2).sum(axis=-1)))


def trapezoids(ab: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> float:
    """The usual computation: the curve at t = 0, 1, ..., 150, joined by straight lines."""
    distance = np.linalg.norm(ab - truth, axis=-1)
    curve = [(weights * (distance <= t)).sum() / weights.sum() for t in range(151)]
    return sum((low + high) / 2 for low, high in itertools.pairwise(curve)) / 150


def test_closed_form_equals_the_trapezoids():
    ab, truth = ab_pair(200, 200)
    even = np.ones(truth.shape[:-1])
    assert metrics.auc(ab, truth) == pytest.approx(trapezoids(ab, truth, even), abs=2e-4)
    prior = steep_prior()
    weights = np.array([1 / prior[slow_bin(pixel)] for pixel in truth.reshape(-1, 2)])
    expected = trapezoids(ab, truth, weights.reshape(even.shape))
    assert metrics.auc(ab, truth, prior=prior) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("prior", [None, steep_prior()])
def test_the_truth_scores_one_and_the_farthest_colors_score_zero(prior):
    _, truth = ab_pair(2, 16, 16)
    np.testing.assert_allclose(metrics.auc(truth, truth, prior=prior), [1.0, 1.0], rtol=1e-12)
    far = metrics.auc(truth + 300.0, truth, prior=prior)
    np.testing.assert_allclose(far, [0.0, 0.0], atol=1e-12)


def test_gray_scores_one_minus_the_mean_chroma():
    _, truth = ab_pair(3, 16, 16)
    chroma = np.hypot(truth[..., 0], truth[..., 1])
    assert chroma.max() < 150
    expected = 1 - chroma.mean(axis=(1, 2)) / 150
    np.testing.assert_allclose(metrics.auc(np.zeros_like(truth), truth), expected, rtol=1e-12)


def test_a_distance_beyond_150_counts_as_150():
    truth = np.zeros((1, 2, 2))
    ab = truth + np.array([[90.0, 120.0], [0.0, 75.0]])  # 150 and 75 away
    assert metrics.auc(ab, truth) == pytest.approx(0.25)
    ab[0, 0] = [200.0, 0.0]
    assert metrics.auc(ab, truth) == pytest.approx(0.25)


def test_rebalancing_takes_the_bin_of_the_true_color():
    """A gray pixel that is right, and one of a rare color that was left gray."""
    prior = np.full(313, 0.1 / 312)
    prior[slow_bin(np.zeros(2))] = 0.9
    truth, gray = np.array([[[0.0, 0.0], [60.0, 45.0]]]), np.zeros((1, 2, 2))
    common, rare = 1 / 0.9, 312 / 0.1
    expected = (common + rare * (1 - 75 / 150)) / (common + rare)
    value = metrics.auc(gray, truth, prior=prior)
    assert value == pytest.approx(expected, rel=1e-12)
    assert value < 0.501
    # Both predicted colors are in one bin: by the prediction's bins, nothing would be rebalanced.
    assert metrics.auc(gray, truth) == pytest.approx(0.75)


def test_rebalancing_equals_a_loop_over_the_pixels():
    ab, truth = ab_pair(2, 3, 12, 10)
    prior = steep_prior()
    values = metrics.auc(ab, truth, prior=prior)
    totals, weights = metrics.auc_sums(ab, truth, prior)
    for index in np.ndindex(2, 3):
        total = weight = 0.0
        for pixel, true_pixel in zip(
            ab[index].reshape(-1, 2), truth[index].reshape(-1, 2), strict=True
        ):
            pixel_weight = 1 / (313 * prior[slow_bin(true_pixel)])
            distance = min(np.hypot(*(pixel - true_pixel)), 150.0)
            total += pixel_weight * (1 - distance / 150)
            weight += pixel_weight
        np.testing.assert_allclose(totals[index], total, rtol=1e-10)
        np.testing.assert_allclose(weights[index], weight, rtol=1e-10)
        np.testing.assert_allclose(values[index], total / weight, rtol=1e-10)
    assert np.abs(values - metrics.auc(ab, truth)).min() > 1e-3


def test_the_weights_have_mean_one_under_the_prior_whatever_its_scale():
    prior = steep_prior()
    every_bin = color.ab_bins().astype(np.float64)[:, None, None]
    _, weights = metrics.auc_sums(every_bin, every_bin, prior)
    assert weights.shape == (313,)
    assert (prior * weights).sum() == pytest.approx(1.0)
    _, of_counts = metrics.auc_sums(every_bin, every_bin, 1e6 * prior)
    np.testing.assert_allclose(of_counts, weights, rtol=1e-12)


def test_an_even_prior_changes_nothing():
    ab, truth = ab_pair(2, 8, 8)
    rebalanced = metrics.auc_sums(ab, truth, np.full(313, 1 / 313))
    for value, expected in zip(rebalanced, metrics.auc_sums(ab, truth), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_a_data_set_is_one_big_image_and_not_the_mean_over_its_images():
    ab, truth = ab_pair(4, 8, 8)
    truth[:2] /= 20.0  # two photos without color, badly colored, that weigh next to nothing
    ab[2:] = truth[2:] + (ab[2:] - truth[2:]) / 10.0
    prior = steep_prior()
    sums = {}
    for batch in (slice(0, 3), slice(3, 4)):
        totals, weights = metrics.auc_sums(ab[batch], truth[batch], prior)
        sums = metrics.merge(sums, {"auc": (totals.sum(), weights.sum())})
    whole = metrics.means(sums)["auc"]
    big_image = metrics.auc(ab.reshape(1, -1, 2), truth.reshape(1, -1, 2), prior=prior)
    assert whole == pytest.approx(big_image, rel=1e-12)
    assert whole - metrics.auc(ab, truth, prior=prior).mean() > 0.1


def test_without_a_prior_the_weight_is_the_number_of_pixels():
    ab, truth = ab_pair(3, 6, 7)
    totals, weights = metrics.auc_sums(ab, truth)
    np.testing.assert_array_equal(weights, [42.0] * 3)
    np.testing.assert_allclose(totals / 42, metrics.auc(ab, truth), rtol=1e-12)


@pytest.mark.parametrize("prior", [None, steep_prior()])
def test_jit_in_float32_equals_numpy(prior):
    ab, truth = ab_pair(2, 64, 64)
    ab, truth = ab.astype(np.float32), truth.astype(np.float32)
    expected = metrics.auc(ab.astype(np.float64), truth.astype(np.float64), prior=prior)
    in_numpy = metrics.auc(ab, truth, prior=prior)
    assert isinstance(in_numpy, np.ndarray)
    assert in_numpy.dtype == np.float32
    on_device = jax.jit(lambda ab, truth: metrics.auc(ab, truth, prior=prior))(ab, truth)
    assert isinstance(on_device, jax.Array)
    assert on_device.dtype == jnp.float32
    np.testing.assert_allclose(in_numpy, expected, rtol=1e-5)
    np.testing.assert_allclose(on_device, expected, rtol=1e-5)


@pytest.mark.parametrize("metric", [metrics.auc, metrics.auc_sums])
def test_wrong_input_is_refused(metric):
    ab = np.zeros((1, 4, 4, 2))
    with pytest.raises(ValueError, match=r"^ab and true_ab must have the same shape"):
        metric(ab, ab[0])
    with pytest.raises(ValueError, match=r"^true_ab must have shape"):
        metric(ab, np.zeros((1, 4, 4, 3)))
    with pytest.raises(ValueError, match=r"^prior must have shape \(313,\), got \(529,\)"):
        metric(ab, ab, prior=np.full(529, 1 / 529))
    for bad in (0.0, -1e-3, np.nan, np.inf):
        prior = np.full(313, 1 / 313)
        prior[7] = bad
        with pytest.raises(ValueError, match=r"^prior must be finite and above 0"):
            metric(ab, ab, prior=prior)
