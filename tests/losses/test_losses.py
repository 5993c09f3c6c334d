import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorjax import losses
from colorjax.errors import RequestError

RNG = np.random.default_rng(0)
PREDICTION, TARGET = RNG.normal(size=(2, 3, 4, 5, 2)).astype(np.float32)
DIFFERENCE = (PREDICTION.astype(np.float64) - TARGET).ravel()


def smooth(d, delta):
    return np.where(abs(d) < delta, d**2 / (2 * delta), abs(d) - delta / 2)


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("mse", {}, DIFFERENCE**2),
        ("l1", {}, abs(DIFFERENCE)),
        ("smooth_l1", {}, smooth(DIFFERENCE, 1 / 110)),
        ("smooth_l1", {"delta": 0.5}, smooth(DIFFERENCE, 0.5)),
    ],
)
def test_regression_against_numpy(name, options, expected, transform):
    loss = losses.create(name, **options)
    terms = transform(loss)({"ab": jnp.asarray(PREDICTION)}, {"ab": jnp.asarray(TARGET)})
    total, count = terms[name]
    assert count == DIFFERENCE.size
    np.testing.assert_allclose(total, expected.sum(), rtol=1e-5)
    np.testing.assert_allclose(loss.total(terms), expected.mean(), rtol=1e-5)


@pytest.mark.parametrize("name", ["mse", "l1", "smooth_l1"])
def test_shapes_are_never_broadcast(name):
    with pytest.raises(ValueError, match="prediction has shape"):
        losses.create(name)({"ab": jnp.zeros((2, 4, 4, 2))}, {"ab": jnp.zeros((1, 4, 4, 2))})


def test_class_cross_entropy_leaves_unlabeled_photos_out():
    logits = RNG.normal(size=(4, 3))
    labels = np.array([2, -1, 0, -1])
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    total, count = losses.class_cross_entropy(jnp.asarray(logits, jnp.float32), jnp.asarray(labels))
    assert count == 2
    np.testing.assert_allclose(total, -(log_p[0, 2] + log_p[2, 0]), rtol=1e-5)


def test_unknown_name_lists_the_known():
    with pytest.raises(
        RequestError,
        match="known: adversarial, ce, class_cross_entropy, feature, hinted_l1, l1, mse, mse_and",
    ):
        losses.create("l3")


def test_a_loss_leaves_the_options_of_others():
    terms = losses.create("mse", delta=3.0)({"ab": PREDICTION}, {"ab": TARGET})
    np.testing.assert_allclose(terms["mse"][0], (DIFFERENCE**2).sum(), rtol=1e-5)
