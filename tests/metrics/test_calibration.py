"""Top-1 calibration error over bins of equal mass, against loops and known cases."""

import jax
import numpy as np
import pytest

from colorjax import color, metrics


def by_loops(confidence: np.ndarray, is_hit: np.ndarray, num_bins: int) -> tuple[float, list]:
    """The same by plain loops, for distinct confidences."""
    answers = sorted(zip(confidence.ravel().tolist(), is_hit.ravel().tolist(), strict=True))
    small, larger = divmod(len(answers), num_bins)
    error, points, start = 0.0, [], 0
    for number in range(num_bins):
        part = answers[start : start + small + (number < larger)]
        start += len(part)
        mean = sum(c for c, _ in part) / len(part)
        accuracy = sum(hit for _, hit in part) / len(part)
        points.append((mean, accuracy, len(part)))
        error += len(part) / len(answers) * abs(accuracy - mean)
    return error, points


def answers(number: int, power: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Returns confidences c, right with probability c ** power."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.05, 1, number)
    return confidence, rng.uniform(size=number) < confidence**power


@pytest.mark.parametrize("number", [15, 16, 1009])
def test_equals_loops(number):
    confidence, is_hit = answers(number)
    error, points = by_loops(confidence, is_hit, 15)
    assert metrics.ece(confidence, is_hit) == pytest.approx(error, rel=1e-12)
    got = metrics.reliability_points(confidence, is_hit)
    np.testing.assert_allclose(np.stack(got, axis=-1), points, rtol=1e-12)
    order = np.random.default_rng(1).permutation(number)
    assert metrics.ece(confidence[order], is_hit[order]) == pytest.approx(error, rel=1e-12)


def test_a_calibrated_predictor_is_near_zero_and_an_overconfident_one_is_not():
    assert metrics.ece(*answers(200_000)) < 0.005
    # E[c - c^2] of c uniform on [0.05, 1].
    expected = (0.5 * (1 - 0.05**2) - (1 - 0.05**3) / 3) / 0.95
    assert metrics.ece(*answers(200_000, power=2.0)) == pytest.approx(expected, abs=0.005)


def test_one_confidence_for_all_gives_its_gap_in_any_order():
    """The bins of equal mass must not sort ties by chance: all right answers come first here."""
    is_hit = np.arange(1000) < 300
    assert metrics.ece(np.full(1000, 0.3), is_hit) == pytest.approx(0, abs=1e-12)
    assert metrics.ece(np.full(1000, 0.5), is_hit) == pytest.approx(0.2)


def test_fewer_answers_than_bins():
    points = metrics.reliability_points([0.2, 0.8], [False, True])
    np.testing.assert_array_equal(points.count, [1, 1])
    np.testing.assert_array_equal(points.accuracy, [0, 1])


def test_confidence_of_logits_equals_the_softmax():
    rng = np.random.default_rng(0)
    truth = color.rgb_to_lab(rng.uniform(0, 1, (2, 3, 5, 3)))[..., 1:].astype(np.float32)
    logits = rng.normal(0, 3, (2, 3, 5, 313)).astype(np.float32)
    bins = color.ab_bins().astype(np.float64)
    logits[0, 0, 0, np.argmin(np.square(bins - truth[0, 0, 0]).sum(-1))] = 20  # one right answer
    for move in (0.0, 500.0):
        confidence, is_hit = metrics.top_confidence(logits + np.float32(move), truth)
        for position in np.ndindex(2, 3, 5):
            shares = np.exp(logits[position].astype(np.float64))
            shares /= shares.sum()
            nearest = np.argmin(np.square(bins - truth[position]).sum(-1))
            assert confidence[position] == pytest.approx(shares.max(), rel=1e-4)
            assert is_hit[position] == (shares.argmax() == nearest)
    assert is_hit[0, 0, 0]
    in_jax = jax.jit(metrics.top_confidence)(logits, truth)
    np.testing.assert_allclose(in_jax[0], confidence, rtol=1e-4)
    np.testing.assert_array_equal(in_jax[1], is_hit)


def test_refuses_wrong_input():
    with pytest.raises(ValueError, match="one shape and at least one answer"):
        metrics.ece([0.5, 0.5], [True])
    with pytest.raises(ValueError, match="at least one answer"):
        metrics.ece([], [])
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        metrics.ece([1.5], [True])
    with pytest.raises(ValueError, match="subsample the truth"):
        metrics.top_confidence(np.zeros((4, 4, 313)), np.zeros((8, 8, 2)))
