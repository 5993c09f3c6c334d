"""Distributions on a grid, suggestions, questions and samples, against plain NumPy."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from skimage.color import rgb2lab

from colorjax import color
from colorjax.color.hint_spreading import Keys, exponents
from colorjax.inference import questions, samples, suggestions
from colorjax.inference.beliefs import (
    EPSILON,
    EVIDENCE_WIDTH,
    Beliefs,
    Known,
    entropy,
    squared_distances,
)

BINS = color.ab_bins().astype(np.float64)


def bin_of(a, b):
    return int(color.nearest_bin(np.array([a, b], np.float32)))


def made(rng, grid=(6, 8), guide=False):
    features = rng.normal(size=(*grid, 5)).astype(np.float32)
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    extra = rng.normal(0, 0.1, (*grid, 18)).astype(np.float32) if guide else None
    logits = rng.normal(0, 2, (*grid, 313)).astype(np.float32)
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    ab = rng.normal(0, 15, (*grid, 2)).astype(np.float32)
    lightness = rng.uniform(20, 80, grid).astype(np.float32)
    return Beliefs(logits, ab, lightness, np.zeros(grid, np.float32), Keys(features, extra))


@pytest.fixture
def beliefs():
    return made(np.random.default_rng(0))


def weight_by_loops(beliefs, at, hint):
    """w_ij of the module docstring of hint_spreading, for two cells."""
    features = beliefs.keys.features
    height, width = beliefs.grid
    pairs = features.reshape(-1, features.shape[-1])
    spread = 1 - np.mean(pairs @ pairs.T) + 1e-4
    cosine = features[at] @ features[hint]
    distance = np.hypot(at[0] - hint[0], at[1] - hint[1]) / min(height, width)
    step = (beliefs.lightness[at] - beliefs.lightness[hint]) / 100
    exponent = (max(1 - cosine, 0) / (0.8 * spread)) ** 2
    return np.exp(-exponent - distance**2 / (2 * 0.8**2) - step**2 / (2 * 0.2**2))


@pytest.mark.parametrize("guide", [False, True])
def test_exponents_of_numpy_are_those_of_jax(guide):
    beliefs = made(np.random.default_rng(1), guide=guide)
    cells = np.array([[0, 0], [3, 5], [5, 7]])
    own = exponents(beliefs.keys, beliefs.lightness, cells)
    keys = Keys(*(None if each is None else jnp.asarray(each) for each in beliefs.keys))
    of_jax = exponents(keys, jnp.asarray(beliefs.lightness), jnp.asarray(cells))
    np.testing.assert_allclose(own, of_jax, rtol=1e-4, atol=1e-5)


def test_weights_are_those_of_the_formula(beliefs):
    weights = beliefs.weights(np.array([[2, 3], [0, 7]]))
    for at in ((0, 0), (2, 3), (5, 1)):
        assert weights[at][0] == pytest.approx(weight_by_loops(beliefs, at, (2, 3)), rel=1e-3)
        assert weights[at][1] == pytest.approx(weight_by_loops(beliefs, at, (0, 7)), rel=1e-3)


def test_a_known_color_changes_the_distribution_as_stated(beliefs):
    known = Known(np.array([[2, 3]]), np.array([[40.0, 30.0]], np.float32))
    given = beliefs.given(known)
    delta = known.ab[0] - beliefs.ab[2, 3]
    for at in ((0, 0), (2, 4), (5, 7)):
        weight = weight_by_loops(beliefs, at, (2, 3))
        precision = weight / (1 - weight + EPSILON) / EVIDENCE_WIDTH**2
        squared = np.sum((BINS - (beliefs.ab[at] + delta)) ** 2, axis=-1)
        shares = np.exp(beliefs.log_shares[at] - precision * squared / 2)
        np.testing.assert_allclose(
            np.exp(given.log_shares[at]), shares / shares.sum(), rtol=2e-3, atol=1e-7
        )
        np.testing.assert_allclose(given.ab[at], beliefs.ab[at] + weight * delta, rtol=1e-3)
        assert given.reliability[at] == pytest.approx(weight, rel=1e-3)
    assert given.log_shares[2, 3].argmax() == bin_of(40, 30)
    assert given.reliability[2, 3] == pytest.approx(1, abs=1e-3)
    assert beliefs.given(Known(known.cells[:0], known.ab[:0])) is beliefs


def test_entropy_is_that_of_scipy():
    shares = np.random.default_rng(2).dirichlet(np.full(313, 0.1), size=(2, 3))
    wanted = stats.entropy(shares, axis=-1) / np.log(313)
    np.testing.assert_allclose(entropy(np.log(np.maximum(shares, 1e-30))), wanted, rtol=1e-5)
    assert entropy(np.full((1, 313), -np.log(313), np.float32)) == pytest.approx(1)


def test_squared_distances(beliefs):
    squared = squared_distances(beliefs.ab)
    np.testing.assert_allclose(
        squared[1, 2], np.sum((BINS - beliefs.ab[1, 2]) ** 2, axis=-1), rtol=1e-3, atol=1e-2
    )


def test_coarse_beliefs_are_every_nth_cell():
    rng = np.random.default_rng(3)
    grid = (61, 90)
    logs = np.broadcast_to(np.float32(0), (*grid, 313))
    ab = rng.normal(size=(*grid, 2)).astype(np.float32)
    plane = rng.normal(size=grid).astype(np.float32)
    keys = Keys(rng.normal(size=(*grid, 2)).astype(np.float32))
    fine = Beliefs(logs, ab, plane, plane, keys)
    coarse = fine.coarse()
    assert coarse.grid == (31, 45)
    assert np.array_equal(coarse.ab, ab[::2, ::2])
    assert np.array_equal(coarse.keys.features, keys.features[::2, ::2])
    assert coarse.coarse() is coarse


# suggestions


def shares_at(*pairs):
    shares = np.full(313, 1e-9)
    for (a, b), share in pairs:
        shares[bin_of(a, b)] = share
    return np.log(shares / shares.sum())


def test_suggestions_are_the_modes_at_the_own_lightness():
    logs = shares_at(((0, 0), 0.5), ((30, 20), 0.3), ((-20, 20), 0.2))
    result = suggestions.suggest(logs, 50.0, 3)
    rgb = np.array([[list(bytes.fromhex(each.color[1:])) for each in result]], np.uint8)
    lab = rgb2lab(rgb)[0]
    np.testing.assert_allclose(lab[:, 0], 50, atol=0.5)
    np.testing.assert_allclose(lab[:, 1:], [[0, 0], [30, 20], [-20, 20]], atol=1.0)
    # A suggestion covers the colors of its bin, a square of 10 units, except for none of them.
    assert [each.probability for each in result] == pytest.approx([0.5, 0.3, 0.2], abs=0.01)


def ab_of(result):
    codes = np.array([list(bytes.fromhex(each.color[1:])) for each in result], np.uint8)
    return rgb2lab(codes[None])[0, :, 1:]


def test_suggestions_are_means_of_the_colors_nearest_to_them():
    rng = np.random.default_rng(4)
    shares = np.exp(-np.sum((BINS - [20, 20]) ** 2, axis=-1) / 200)
    shares += 0.5 * np.exp(-np.sum((BINS - [-10, -10]) ** 2, axis=-1) / 50)
    shares *= rng.uniform(0.5, 1.5, 313)
    shares /= shares.sum()
    found = ab_of(suggestions.suggest(np.log(shares), 60.0, 4))
    nearest = np.linalg.norm(BINS[:, None] - found, axis=-1).argmin(-1)
    means = [np.average(BINS[nearest == n], axis=0, weights=shares[nearest == n]) for n in range(4)]
    np.testing.assert_allclose(found, means, atol=2.5)

    def error(centers):
        return shares @ np.min(np.sum((BINS[:, None] - centers) ** 2, axis=-1), axis=-1)

    first = suggestions._first_means(shares, suggestions._inside(BINS, 60.0)[1], 4)
    assert error(found) < 0.95 * error(BINS[first])


def test_the_probability_is_that_of_the_colors_near_a_suggestion():
    logs = np.log(np.random.default_rng(4).dirichlet(np.full(313, 0.3)))
    first = suggestions.suggest(logs, 60.0, 6)[0]
    at = ab_of([first])[0]
    inside = np.zeros(313)
    for a in range(-4, 5, 2):
        for b in range(-4, 5, 2):
            inside += np.linalg.norm(BINS + np.array([a, b]) - at, axis=-1) <= 10
    lab = np.concatenate([np.full((313, 1), 60.0), BINS], axis=-1).astype(np.float32)
    ab = color.rgb_u8_to_lab(np.asarray(color.lab_to_rgb_u8(lab, "shrink_chroma")))[:, 1:]
    mass = np.zeros(313)
    for place, share in zip(color.nearest_bin(np.asarray(ab)), np.exp(logs), strict=True):
        mass[place] += share
    assert first.probability == pytest.approx(inside / 25 @ mass, rel=1e-3)


@pytest.mark.parametrize("lightness", [3.0, 50.0, 97.0])
def test_suggestions_are_apart_and_sum_to_one_at_most(lightness):
    logs = np.log(np.random.default_rng(5).dirichlet(np.ones(313)))
    result = suggestions.suggest(logs, lightness, 6)
    codes = np.array([list(bytes.fromhex(each.color[1:])) for each in result], np.uint8)
    ab = np.asarray(color.rgb_u8_to_lab(codes))[:, 1:]
    for n, one in enumerate(ab):
        for other in ab[:n]:
            assert np.linalg.norm(one - other) >= suggestions.APART
    assert sum(each.probability for each in result) <= 1 + 1e-6
    probabilities = [each.probability for each in result]
    assert probabilities == sorted(probabilities, reverse=True)
    assert len(result) == 6 or lightness != 50


# questions


def test_expected_changes(beliefs):
    at = 3, 4
    shares = np.exp(beliefs.log_shares[at].astype(np.float64))
    wanted = np.sum(shares * np.linalg.norm(BINS - beliefs.ab[at], axis=-1))
    assert questions.expected_changes(beliefs)[at] == pytest.approx(wanted, rel=1e-3)


def test_the_first_question_is_that_of_a_search(beliefs):
    changes = questions.expected_changes(beliefs)
    best, most = None, -1.0
    for row in range(1, 6, 3):
        for column in range(1, 8, 3):
            gain = sum(
                changes[row, column]
                * changes[at]
                * weight_by_loops(beliefs, at, (row, column)) ** 2
                for at in np.ndindex(beliefs.grid)
            )
            if gain > most:
                best, most = (row, column), gain
    ((row, column, change),) = questions.choose(beliefs, 1)
    assert (row, column) == best
    weights = [weight_by_loops(beliefs, at, best) for at in np.ndindex(beliefs.grid)]
    assert change == pytest.approx(changes[best] * np.mean(weights), rel=1e-3)


def test_an_answered_question_is_not_asked_again(beliefs):
    (row, column, change), *_ = questions.choose(beliefs, 3)
    known = Known(np.array([[row, column]]), beliefs.ab[row, column][None])
    again = questions.choose(beliefs.given(known), 1)[0]
    assert again[:2] != (row, column)
    assert again[2] < change


def test_a_certain_photo_has_nothing_to_ask(beliefs):
    logs = np.full((*beliefs.grid, 313), -60.0, np.float32)
    logs[..., bin_of(10, 20)] = 0
    ab = np.broadcast_to(np.array([10, 20], np.float32), (*beliefs.grid, 2))
    certain = dataclasses.replace(beliefs, log_shares=logs, ab=ab)
    assert questions.choose(certain, 2)[0][2] == pytest.approx(0, abs=0.1)


# samples


def test_samples_depend_on_the_seed_only(beliefs):
    first, again, other = (samples.draw(beliefs, 4, np.random.default_rng(n)) for n in (0, 0, 1))
    for one, two in zip(first, again, strict=True):
        assert np.array_equal(one.ab, two.ab)
    assert any(not np.array_equal(one.ab, two.ab) for one, two in zip(first, other, strict=True))
    assert len({sample.ab.tobytes() for sample in first}) == 4


def test_draws_follow_the_distribution():
    """One cell: shares of bins times the normal distribution around the chosen saturation."""
    own = np.zeros((1, 2), np.float32)  # any saturation of no color is no color
    logs = np.log(np.random.default_rng(6).dirichlet(np.full(313, 0.5)))
    changes, weights = samples._draw_changes(
        logs[None], own, np.zeros((1, 1)), 4000, np.random.default_rng(7)
    )
    assert weights.sum() == pytest.approx(1)
    drawn = np.bincount(color.nearest_bin(changes[:, 0].astype(np.float32)), minlength=313) / 4000
    casts = np.random.default_rng(8).normal(0, samples._CAST, (3000, 2))
    squared = np.sum((BINS - casts[:, None]) ** 2, axis=-1)
    shares = np.exp(logs - squared / (2 * samples._OWN**2))
    wanted = (shares / shares.sum(-1, keepdims=True)).mean(0)
    assert np.abs(drawn - wanted).max() < 0.04
    assert 0.5 * np.abs(drawn - wanted).sum() < 0.08


def test_a_second_cell_that_is_the_same_gets_the_same_color():
    logs = np.log(np.random.default_rng(9).dirichlet(np.full(313, 0.5), size=2))
    logs[1] = logs[0]
    own, same = np.zeros((2, 2), np.float32), np.zeros((2, 2))
    changes, _ = samples._draw_changes(logs, own, same, 500, np.random.default_rng(0))
    apart = np.linalg.norm(changes[:, 0] - changes[:, 1], axis=-1)
    assert np.mean(apart < 15) > 0.95
    strange = np.full((2, 2), 50.0)
    changes, _ = samples._draw_changes(logs, own, strange, 500, np.random.default_rng(0))
    assert np.linalg.norm(changes[:, 0] - changes[:, 1], axis=-1).mean() > apart.mean()


def test_the_weight_of_a_draw_is_the_probability_of_its_choices():
    """Likely colors far to the red: draws with a red cast have larger weights."""
    logs = np.log(np.exp(-np.sum((BINS - [15, 0]) ** 2, axis=-1) / 50) + 1e-12)[None]
    logs -= np.log(np.exp(logs).sum())
    changes, weights = samples._draw_changes(
        logs, np.zeros((1, 2), np.float32), np.zeros((1, 1)), 500, np.random.default_rng(11)
    )
    rng = np.random.default_rng(11)
    rng.choice(samples._SATURATIONS, size=(500, 1), p=samples._SHARES)
    casts = rng.normal(0, samples._CAST, (500, 2))
    squared = np.sum((BINS - casts[:, None]) ** 2, axis=-1)
    likely = np.sum(np.exp(logs - squared / (2 * samples._OWN**2)), axis=-1)
    wanted = likely**samples._EVIDENCE
    np.testing.assert_allclose(weights, wanted / wanted.sum(), rtol=1e-3)
    assert len(changes) == 500


def test_representatives_are_the_means_of_clusters_the_heaviest_first():
    rng = np.random.default_rng(10)
    centers = np.array([[[30.0, 0], [0, 0]], [[-30.0, 0], [0, 20]], [[0.0, 40], [0, -20]]])
    cluster = rng.choice(3, size=60, p=[0.2, 0.5, 0.3])
    changes = centers[cluster] + rng.normal(0, 0.5, (60, 2, 2))
    weights = rng.uniform(0.5, 1, 60) * np.array([6, 1, 1])[cluster]
    spread = rng.uniform(0.5, 1, (20, 2)) * [1, 0.7]
    found = samples._representatives(changes, weights, spread, 3)
    mass = np.bincount(cluster, weights)
    assert mass.argmax() != np.bincount(cluster).argmax()
    for mean, number in zip(found, np.argsort(-mass), strict=True):
        inside = cluster == number
        wanted = np.average(changes[inside], axis=0, weights=weights[inside])
        np.testing.assert_allclose(mean, wanted, atol=1e-6)


def test_far_pictures_are_pulled_toward_the_predicted_one():
    rng = np.random.default_rng(12)
    centers, spread = rng.normal(0, 20, (3, 4, 2)), rng.uniform(0, 1, (50, 4))
    pulled = samples._pulled(centers, spread, 10.0)
    reach = samples._REACH * 10
    for before, after in zip(centers, pulled, strict=True):
        change, rest = (
            np.sqrt(np.mean(np.sum((spread @ each) ** 2, axis=-1))) for each in (before, after)
        )
        assert rest == pytest.approx(change / np.hypot(1, change / reach), rel=1e-3)
        np.testing.assert_allclose(after / before, rest / change, rtol=1e-3)


def test_the_expected_error_is_that_of_a_loop(beliefs):
    squares = [
        np.exp(beliefs.log_shares[at]) @ np.sum((BINS - beliefs.ab[at]) ** 2, axis=-1)
        for at in np.ndindex(beliefs.grid)
    ]
    assert samples._error(beliefs) == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-3)
