"""The 313 bins, their encoding and decoding, against a KD-tree and the published arrays."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import KDTree
from skimage.color import rgb2lab

from colorjax import color

# Of richzhang/colorization, BSD-2-Clause: resources/pts_in_hull.npy and prior_probs.npy.
REFERENCE = Path(__file__).parent
# a: smallest and largest b of the published bins; every row is contiguous.
TABLE = {
    -90: (50, 90),
    -80: (20, 90),
    -70: (0, 90),
    -60: (-20, 90),
    -50: (-30, 100),
    -40: (-40, 100),
    -30: (-50, 100),
    -20: (-50, 100),
    -10: (-60, 100),
    0: (-70, 100),
    10: (-80, 90),
    20: (-80, 90),
    30: (-90, 90),
    40: (-100, 90),
    50: (-100, 80),
    60: (-110, 80),
    70: (-110, 80),
    80: (-110, 70),
    90: (-110, 70),
    100: (-90, 0),
}
BINS = np.array([(a, b) for a, (low, high) in TABLE.items() for b in range(low, high + 1, 10)])
TREE = KDTree(BINS)
RNG = np.random.default_rng(0)
SRGB = np.concatenate(
    [RNG.random((100_000, 3)), np.stack(np.meshgrid(*[[0.0, 1.0]] * 3), -1).reshape(-1, 3)]
)
IN_GAMUT = rgb2lab(SRGB)[:, 1:]
FAR = RNG.uniform(-300, 300, (2_000, 2))


def in_float32(function):
    """The JAX form under jit, with its argument in float32."""
    jitted = jax.jit(function)
    return lambda values: np.asarray(jitted(jnp.asarray(values, jnp.float32)))


def reference(name):
    return np.load(REFERENCE / name)


def soft(ab, k, sigma):
    """The soft encoding in float64, by a KD-tree."""
    distances, bins = (part.reshape(len(ab), k) for part in TREE.query(ab, k=k))
    weights = np.exp((distances[:, :1] ** 2 - distances**2) / (2 * sigma**2))
    encoded = np.zeros((len(ab), len(BINS)))
    np.put_along_axis(encoded, bins, weights / weights.sum(-1, keepdims=True), axis=-1)
    return encoded


def test_bins_are_those_of_the_table():
    bins = color.ab_bins()
    assert len(BINS) == color.NUM_BINS == 313
    assert bins.dtype == np.int64
    np.testing.assert_array_equal(bins, BINS)
    with pytest.raises(ValueError, match="read-only"):
        bins[0] = 0


def test_bins_are_the_published_ones():
    published = reference("pts_in_hull.npy")
    assert color.ab_bins().dtype == published.dtype
    np.testing.assert_array_equal(color.ab_bins(), published)


@pytest.mark.parametrize("ab", [IN_GAMUT, FAR], ids=["srgb", "far outside"])
@pytest.mark.parametrize("nearest", [color.nearest_bin, in_float32(color.nearest_bin)])
def test_nearest_bin_is_that_of_a_tree(nearest, ab):
    bins = nearest(ab)
    distances, expected = TREE.query(ab)
    assert bins.dtype == np.int32
    # By distance: float32 may round two bins that are equally far to either.
    np.testing.assert_allclose(np.linalg.norm(BINS[bins] - ab, axis=-1), distances, atol=1e-4)
    assert np.mean(bins == expected) > 0.999


def test_srgb_is_rounded_to_tens():
    np.testing.assert_array_equal(BINS[color.nearest_bin(IN_GAMUT)], 10 * np.round(IN_GAMUT / 10))
    distances = np.linalg.norm(BINS[color.nearest_bin(IN_GAMUT)] - IN_GAMUT, axis=-1)
    # Over all sRGB colors the mean distance is 3.83, the largest 7.06.
    assert distances.mean() == pytest.approx(3.83, abs=0.02)
    assert distances.max() <= 7.0711


@pytest.mark.parametrize("k", [1, 5, 10])
def test_soft_encoding_is_that_of_a_tree(k):
    ab = IN_GAMUT[:2_000]
    encoded = color.soft_encode(ab, k)
    assert encoded.dtype == np.float64
    np.testing.assert_allclose(encoded, soft(ab, k, 5.0), atol=1e-12)
    np.testing.assert_allclose(encoded.sum(-1), 1)
    assert (np.count_nonzero(encoded, axis=-1) == k).all()


def test_soft_encoding_has_the_papers_defaults():
    np.testing.assert_allclose(color.soft_encode(FAR), soft(FAR, 5, 5.0), atol=1e-12)
    np.testing.assert_allclose(
        color.soft_encode(IN_GAMUT[:500], 7, 9.0), soft(IN_GAMUT[:500], 7, 9.0), atol=1e-12
    )


@pytest.mark.parametrize("k", [1, 5, 10])
@pytest.mark.parametrize("scale", [1.0, 3.0], ids=["srgb", "far outside"])
def test_soft_encoding_of_jax_equals_numpy(k, scale):
    """In sRGB by the neighbors of a bin; further out by all bins."""
    ab = (scale * IN_GAMUT[:2_000]).astype(np.float32)
    encoded = in_float32(lambda ab: color.soft_encode(ab.reshape(4, 500, 2), k))(ab)
    assert encoded.shape == (4, 500, 313)
    assert encoded.dtype == color.soft_encode(ab, k).dtype == np.float32
    encoded = encoded.reshape(2_000, 313)
    np.testing.assert_allclose(encoded, soft(ab, k, 5.0), atol=1e-3)
    np.testing.assert_allclose(encoded, color.soft_encode(ab, k), atol=1e-4)
    np.testing.assert_allclose(encoded.sum(-1), 1, atol=1e-6)
    count = np.count_nonzero(encoded, axis=-1)
    assert (count == k if scale == 1 else count <= k).all()


def test_one_far_color_does_not_change_its_neighbors():
    near = IN_GAMUT[:100]
    mixed = in_float32(color.soft_encode)(np.concatenate([near, [[250.0, -250.0]]]))
    np.testing.assert_allclose(mixed[:100], in_float32(color.soft_encode)(near), atol=1e-6)


# Decoding by the expectation: 0.2 ab units, where the nearest bin alone is 3.2 to 4.2 away.
@pytest.mark.parametrize(("k", "mean", "largest"), [(5, 0.3, 0.75), (10, 0.3, 0.4)])
def test_decoding_undoes_encoding(k, mean, largest):
    with np.errstate(divide="ignore"):
        logits = np.log(color.soft_encode(IN_GAMUT[:5_000], k))
    errors = np.linalg.norm(color.annealed_mean(logits, 1.0) - IN_GAMUT[:5_000], axis=-1)
    assert errors.mean() < mean
    assert errors.max() < largest


@pytest.mark.parametrize("temperature", [0.14, 0.38, 1.0])
@pytest.mark.parametrize("centers", [None, RNG.normal(size=(313, 2))], ids=["bins", "custom"])
def test_annealed_mean_is_equation_5(temperature, centers):
    probabilities = RNG.dirichlet(np.full(313, 0.1), 50) + 1e-12
    sharpened = probabilities ** (1 / temperature)
    points = BINS if centers is None else centers
    expected = sharpened / sharpened.sum(-1, keepdims=True) @ points
    logits = np.log(probabilities) + RNG.normal(size=(50, 1))  # a constant decides nothing
    decoded = color.annealed_mean(logits, temperature, centers)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, expected, atol=2e-3)
    jitted = in_float32(lambda z: color.annealed_mean(z, temperature, centers))
    np.testing.assert_allclose(jitted(logits), expected, atol=2e-3)


def test_annealed_mean_goes_from_the_mean_to_the_mode():
    logits = RNG.normal(0, 3, (20, 313))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    mode = BINS[logits.argmax(-1)]
    np.testing.assert_allclose(color.annealed_mean(logits, 1.0), probabilities @ BINS, atol=1e-3)
    np.testing.assert_allclose(color.annealed_mean(logits, 1e-4), mode, atol=0.1)
    np.testing.assert_array_equal(color.annealed_mean(logits, 0), mode)
    np.testing.assert_array_equal(in_float32(lambda z: color.annealed_mean(z, 0))(logits), mode)
    np.testing.assert_array_equal(
        color.annealed_mean(logits), color.annealed_mean(logits, temperature=0.38)
    )


def test_chroma_grows_as_the_temperature_falls():
    # A peak at (60, 40) over a broad hill at gray; temperatures of the paper's figure.
    logits = -np.sum(BINS**2, axis=-1) / 2e3
    logits[BINS.tolist().index([60, 40])] += 5
    temperatures = (1.0, 0.77, 0.58, 0.38, 0.29, 0.14, 0.0)
    chroma = [np.linalg.norm(color.annealed_mean(logits, t)) for t in temperatures]
    assert (np.diff(chroma) > 0).all()
    assert chroma[0] < 40
    assert chroma[-1] == pytest.approx(np.hypot(60, 40))


@pytest.mark.parametrize("shift", [1e4, -1e4])
@pytest.mark.parametrize("decode", [color.annealed_mean, in_float32(color.annealed_mean)])
def test_large_logits_stay_finite(decode, shift):
    logits = np.zeros(313)
    np.testing.assert_allclose(decode(logits + shift), BINS.mean(0), atol=1e-3)
    logits[7] = 1e4
    np.testing.assert_allclose(decode(logits), BINS[7], atol=1e-3)


def weights_by_hand(prior, lam):
    used = [p for p in prior if p > 0]
    raw = [1 / ((1 - lam) * p + lam / len(used)) for p in prior]
    return np.array(raw) / sum(p * w for p, w in zip(prior, raw, strict=True))


@pytest.mark.parametrize("lam", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("empty", [0, 10])
def test_weights_are_equation_4(lam, empty):
    prior = RNG.dirichlet(np.full(313, 0.3))
    prior[:empty] = 0
    prior /= prior.sum()
    weights = color.rebalancing_weights(prior, lam)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, weights_by_hand(prior, lam), rtol=1e-5)
    np.testing.assert_allclose(np.sum(prior * weights), 1, rtol=1e-5)
    np.testing.assert_allclose(color.rebalancing_weights(8 * prior, lam), weights, rtol=1e-6)


def test_weights_at_the_ends_of_lambda():
    prior = RNG.dirichlet(np.ones(313))
    np.testing.assert_allclose(color.rebalancing_weights(prior, 1.0), 1, rtol=1e-6)
    np.testing.assert_allclose(color.rebalancing_weights(prior, 0.0), 1 / prior / 313, rtol=1e-5)
    np.testing.assert_array_equal(
        color.rebalancing_weights(prior), color.rebalancing_weights(prior, lam=0.5)
    )


# Smallest and largest weight under the published prior, from the specification of Zhang 2016.
@pytest.mark.parametrize(
    ("lam", "smallest", "largest"),
    [(0.5, 0.0965, 6.1749), (0.25, 0.063, 11.93), (0.75, 0.159, 3.505), (0.0, 0.016, 526215)],
)
def test_weights_of_the_published_prior(lam, smallest, largest):
    weights = color.rebalancing_weights(reference("prior_probs.npy"), lam)
    np.testing.assert_allclose([weights.min(), weights.max()], [smallest, largest], rtol=1e-2)
    if lam == 0.5:
        statistics = [weights.min(), weights.max(), weights.mean(), np.median(weights)]
        np.testing.assert_allclose(statistics, [0.0965, 6.1749, 5.1749, 5.9987], atol=5e-5)
        np.testing.assert_array_equal(BINS[weights.argmin()], [0, 0])


@pytest.mark.parametrize("cell", [color.grid_cell, in_float32(color.grid_cell)])
def test_grid_cell_is_the_formula(cell):
    ab = RNG.uniform(-110, 110, (1_000, 2))
    rows, columns = np.round((ab + 110) / 10).astype(int).T
    cells = cell(ab)
    assert cells.dtype == np.int32
    np.testing.assert_array_equal(cells, 23 * rows + columns)
    corners = [[-110.0, -110.0], [-110.0, 110.0], [0.0, 0.0], [110.0, 110.0], [400.0, -400.0]]
    np.testing.assert_array_equal(cell(np.array(corners)), [0, 22, 264, 528, 22 * 23])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: color.nearest_bin(np.zeros((2, 2), np.int64)), "ab must hold floating-point"),
        (lambda: color.nearest_bin(np.zeros((2, 3))), r"ab must have shape \(\.\.\., 2\)"),
        (lambda: color.grid_cell(np.zeros((4, 3))), r"ab must have shape \(\.\.\., 2\)"),
        (lambda: color.soft_encode(np.zeros((2, 1))), r"ab must have shape \(\.\.\., 2\)"),
        (lambda: color.soft_encode(np.zeros((2, 2)), 0), r"k must be in 1 \.\.\. 313, got 0"),
        (lambda: color.soft_encode(np.zeros((2, 2)), 314), r"k must be in 1 \.\.\. 313, got 314"),
        (lambda: color.soft_encode(np.zeros((2, 2)), sigma=0.0), "sigma must be above 0"),
        (lambda: color.annealed_mean(np.zeros(529)), r"logits must have shape \(\.\.\., 313\)"),
        (lambda: color.annealed_mean(np.zeros(313), -0.1), "temperature must be at least 0"),
        (lambda: color.annealed_mean(np.zeros(313), float("nan")), "must be at least 0"),
        (lambda: color.rebalancing_weights(np.ones(529)), r"shape \(313,\), got \(529,\)"),
        (lambda: color.rebalancing_weights(np.zeros(313)), "not all 0"),
        (lambda: color.rebalancing_weights(-np.ones(313)), "at least 0"),
        (lambda: color.rebalancing_weights(np.full(313, np.nan)), "finite"),
        (lambda: color.rebalancing_weights(np.ones(313), 1.5), r"lam must be in \[0, 1\], got 1.5"),
        (lambda: color.rebalancing_weights(np.eye(313)[0], 0.0), "empty bins"),
    ],
)
def test_wrong_arguments_are_named(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16])
def test_half_precision_becomes_float32(dtype):
    assert color.soft_encode(np.zeros((2, 2), dtype)).dtype == np.float32
    assert color.annealed_mean(jnp.zeros(313, dtype)).dtype == np.float32
