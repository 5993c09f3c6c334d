import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import KDTree

from colorjax import color, losses
from colorjax.errors import RequestError

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(3, 2, 4, 313)).astype(np.float32)
AB = RNG.uniform(-0.4, 0.4, (3, 8, 16, 2)).astype(np.float32)  # ab / 110
AB[2] *= 0.02  # a gray photo: |ab| below 5
PRIOR = RNG.dirichlet(np.ones(313))
TRUTH = 110.0 * AB[:, ::4, ::4]


def encoded(ab, k=5, sigma=5.0):
    """Returns the soft encoding from a KD-tree over the bins, in float64."""
    distances, bins = KDTree(color.ab_bins()).query(ab, k)
    weights = np.exp(-(distances**2) / (2 * sigma**2))
    shares = np.zeros((*ab.shape[:-1], 313))
    np.put_along_axis(shares, bins, weights / weights.sum(-1, keepdims=True), axis=-1)
    return shares


def weights_of(prior, lam):
    """Zhang et al. 2016, equation 4, for the bins nearest to TRUTH."""
    weights = 1 / ((1 - lam) * prior + lam / 313)
    nearest = KDTree(color.ab_bins()).query(TRUTH)[1]
    return (weights / np.sum(prior * weights))[nearest]


TARGET = encoded(TRUTH)
LOG_SHARES = LOGITS - np.log(np.exp(LOGITS.astype(np.float64)).sum(-1, keepdims=True))
ERRORS = -(TARGET * LOG_SHARES).sum(-1)
IS_COLORED = np.array([1.0, 1.0, 0.0])[:, None, None]
OUTPUTS, BATCH = {"bin_logits": jnp.asarray(LOGITS)}, {"ab": jnp.asarray(AB)}


def test_cross_entropy_against_numpy():
    total, count = losses.create("ce")(OUTPUTS, BATCH)["ce"]
    assert count == 24  # the pixels of the gray photo count
    np.testing.assert_allclose(total, (ERRORS * IS_COLORED).sum(), rtol=1e-5)


def test_rebalanced_cross_entropy_against_numpy():
    loss = losses.create("rebalanced_ce", prior=PRIOR, lam=0.5)
    terms = loss(OUTPUTS, BATCH)
    weights = weights_of(PRIOR, 0.5)
    wanted = (ERRORS * IS_COLORED * weights).sum()
    np.testing.assert_allclose(terms["rebalanced_ce"][0], wanted, rtol=1e-5)
    np.testing.assert_allclose(terms["ce"][0], (ERRORS * IS_COLORED).sum(), rtol=1e-5)
    np.testing.assert_allclose(loss.total(terms), wanted / 24, rtol=1e-5)  # ce is only logged


def test_gradient_is_the_weight_times_softmax_minus_target():
    loss = losses.create("rebalanced_ce", prior=PRIOR, lam=0.5)

    def total(logits):
        return loss.total(loss({"bin_logits": logits}, BATCH))

    weights = weights_of(PRIOR, 0.5) * IS_COLORED
    wanted = weights[..., None] * (np.exp(LOG_SHARES) - TARGET) / 24
    np.testing.assert_allclose(jax.grad(total)(OUTPUTS["bin_logits"]), wanted, atol=1e-6)


def test_lambda_one_is_plain_classification():
    terms = losses.create("rebalanced_ce", prior=PRIOR, lam=1.0)(OUTPUTS, BATCH)
    np.testing.assert_allclose(terms["rebalanced_ce"][0], terms["ce"][0], rtol=1e-5)


@pytest.mark.parametrize("name", ["ce", "rebalanced_ce"])
def test_only_every_fourth_pixel_counts(name):
    loss = losses.create(name, prior=PRIOR)
    others = np.ones((8, 16, 1), bool)
    others[::4, ::4] = False
    changed = jnp.asarray(np.where(others, -AB, AB))
    before, after = loss(OUTPUTS, BATCH)[name][0], loss(OUTPUTS, {"ab": changed})[name][0]
    assert before == after
    moved = jnp.asarray(np.where(others, AB, -AB))
    assert loss(OUTPUTS, {"ab": moved})[name][0] != before


def test_k_and_sigma_are_those_of_the_encoding():
    total, _ = losses.create("ce", soft_k=10, soft_sigma=7.0)(OUTPUTS, BATCH)["ce"]
    target = encoded(TRUTH, 10, 7.0)
    wanted = (-(target * LOG_SHARES).sum(-1) * IS_COLORED).sum()
    np.testing.assert_allclose(total, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("pixel", "ab", "is_colored"),
    [
        ((4, 8), (0.3, -5.1), True),
        ((0, 0), (5.1, 0.3), True),
        (
            (4, 8),
            (4.9, -4.9),
            False,
        ),  # its chroma is 6.9: the threshold applies to |a| and |b| separately
        ((5, 8), (80.0, 60.0), False),  # not among the subsampled pixels
        ((3, 3), (80.0, 60.0), False),
    ],
)
@pytest.mark.parametrize("name", ["ce", "rebalanced_ce"])
def test_one_pixel_above_five_makes_a_photo_colored(name, pixel, ab, is_colored):
    truth = np.zeros((2, 8, 16, 2), np.float32)
    truth[(0, *pixel)] = np.divide(ab, 110)
    terms = losses.create(name, prior=PRIOR)(
        {"bin_logits": jnp.asarray(LOGITS[:2])}, {"ab": jnp.asarray(truth)}
    )
    for total, count in terms.values():
        assert count == 16
        assert (total > 0) == is_colored
    if is_colored:  # then its gray pixels count too
        errors = -(encoded(110.0 * truth[:1, ::4, ::4]) * LOG_SHARES[:1]).sum(-1)
        np.testing.assert_allclose(terms["ce"][0], errors.sum(), rtol=1e-5)


@pytest.mark.parametrize("name", ["ce", "rebalanced_ce"])
def test_gray_photos_have_no_gradient(name):
    loss = losses.create(name, prior=PRIOR)
    gradient = jax.jit(jax.grad(lambda z: loss.total(loss({"bin_logits": z}, BATCH))))
    size = np.abs(gradient(OUTPUTS["bin_logits"])).max(axis=(1, 2, 3))
    np.testing.assert_array_equal(size > 0, [True, True, False])


def test_names_and_weights_of_the_terms():
    rebalanced = losses.create("rebalanced_ce", prior=PRIOR)
    assert set(rebalanced(OUTPUTS, BATCH)) == {"rebalanced_ce", "ce"}
    assert rebalanced.weights == {"rebalanced_ce": 1.0}
    assert losses.create("ce").weights == {"ce": 1.0}
    both = losses.create("smooth_l1_and_grid", class_weight=0.25)
    assert both.weights == {"smooth_l1": 20.0, "grid_ce": 0.25}


def test_smooth_l1_and_grid_is_the_loss_of_the_released_code():
    """10 mean(|da| + |db|) + cross-entropy, with delta small enough that Huber's loss is L1."""
    prediction = RNG.uniform(-1, 1, AB.shape).astype(np.float32)
    logits = np.zeros((3, 2, 4, 529), np.float32)  # evenly spread: the cross-entropy is log 529
    loss = losses.create("smooth_l1_and_grid", delta=1e-6)
    terms = loss({"ab": jnp.asarray(prediction), "grid_logits": jnp.asarray(logits)}, BATCH)
    wanted = 10 * np.abs(prediction - AB).sum(-1).mean() + np.log(529)
    np.testing.assert_allclose(loss.total(terms), wanted, rtol=1e-5)


def test_grid_cross_entropy_and_its_sum_with_smooth_l1():
    logits = RNG.normal(size=(3, 2, 4, 529)).astype(np.float32)
    cells = 23 * np.round((TRUTH[..., 0] + 110) / 10) + np.round((TRUTH[..., 1] + 110) / 10)
    log_shares = logits - np.log(np.exp(logits.astype(np.float64)).sum(-1, keepdims=True))
    wanted = -np.take_along_axis(log_shares, cells[..., None].astype(int), -1).mean()
    loss = losses.create("smooth_l1_and_grid", class_weight=0.5)
    prediction = jnp.asarray(AB + 0.1)
    outputs = {"grid_logits": jnp.asarray(logits), "ab": prediction}
    terms = loss(outputs, BATCH)
    np.testing.assert_allclose(terms["grid_ce"][0] / terms["grid_ce"][1], wanted, rtol=1e-5)
    smooth = 0.1 - 0.5 / 110
    np.testing.assert_allclose(loss.total(terms), 20 * smooth + 0.5 * wanted, rtol=1e-4)


@pytest.mark.parametrize(
    "shape", [(3, 9, 16, 2), (3, 8, 15, 2), (2, 8, 16, 2), (3, 1, 2, 2), (3, 8, 16, 3)]
)
def test_shapes_that_do_not_fit(shape):
    for name, output, size in (
        ("ce", "bin_logits", 313),
        ("smooth_l1_and_grid", "grid_logits", 529),
    ):
        outputs = {output: jnp.zeros((3, 2, 4, size)), "ab": jnp.zeros(shape)}
        with pytest.raises(ValueError, match="do not divide"):
            losses.create(name)(outputs, {"ab": jnp.zeros(shape)})


def test_wrong_priors_are_reported():
    with pytest.raises(RequestError, match=r"rebalanced_ce needs a prior; set loss\.prior"):
        losses.create("rebalanced_ce")
    for options in ({"lam": 2.0}, {"prior": -PRIOR}, {"prior": PRIOR[:-1]}):
        with pytest.raises(RequestError, match=r"loss\.prior, loss\.lam: "):
            losses.create("rebalanced_ce", **({"prior": PRIOR} | options))


@pytest.mark.parametrize("name", ["ce", "rebalanced_ce"])
@pytest.mark.parametrize("options", [{"soft_k": 0}, {"soft_k": 314}, {"soft_sigma": 0.0}])
def test_wrong_encodings_are_reported_before_the_run(name, options):
    with pytest.raises(
        RequestError, match=r"loss\.soft_k must be in 1 \.\.\. 313 and loss\.soft_sigma"
    ):
        losses.create(name, prior=PRIOR, **options)


@pytest.mark.parametrize("options", [{"delta": 0.0}, {"class_weight": -1.0}])
def test_weights_and_widths_that_mean_nothing(options):
    with pytest.raises(RequestError, match=next(iter(options))):
        losses.create("smooth_l1_and_grid", **options)
