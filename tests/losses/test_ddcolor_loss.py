"""The terms of DDColor's loss, by the numbers of its specification (section 6, test 14)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorjax import color, losses
from colorjax.losses.perceptual import missing_colorfulness

WEIGHTS = {"l1_weight": 11.0, "adversarial_weight": 0.0, "feature_weight": 0.0}


def of(rgb):
    total, count = missing_colorfulness(jnp.asarray(rgb, jnp.float32))
    return float(total / count)


def test_14_colorfulness_of_pure_red():
    red = np.zeros((1, 4, 4, 3))
    red[..., 0] = 1
    assert 1 - of(red) == pytest.approx(0.3354102, abs=2e-5)
    assert 0.5 * of(red) == pytest.approx(0.3322949, abs=1e-5)


def test_14_colorfulness_takes_the_unbiased_deviation():
    corners = np.array([[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 0]]], float)[None]
    assert 1 - of(corners) == pytest.approx(0.9192388, abs=1e-5)


def test_14_the_gradient_on_gray_is_finite():
    gray = jnp.full((2, 4, 4, 3), 0.4)
    gradient = jax.grad(lambda rgb: missing_colorfulness(rgb)[0])(gray)
    assert np.isfinite(gradient).all()


def test_14_the_blend():
    rgb = np.array([0.8, 0.4, 0.2])
    wanted = [0.860656, 0.380656, 0.140656]
    np.testing.assert_allclose(color.blend_saturation(rgb, 1.2), wanted, atol=1e-6)
    np.testing.assert_allclose(color.blend_saturation(jnp.float32(rgb), 1.2), wanted, atol=1e-6)
    np.testing.assert_array_equal(color.blend_saturation(rgb, 1.0), rgb)
    assert color.blend_saturation(np.array([1.0, 0, 0]), 2.0).tolist() == [1, 0, 0]


def test_14_l1_is_of_ab_units():
    loss = losses.create("adversarial", colorfulness_weight=0.0, **WEIGHTS)
    ab = jnp.zeros((1, 2, 2, 2))
    terms = loss({"ab": ab + 10 / 110}, {"ab": ab})
    assert float(loss.total(terms)) == pytest.approx(1.0)


def test_the_colorfulness_term_asks_for_the_picture():
    loss = losses.create("adversarial", colorfulness_weight=0.5, **WEIGHTS)
    assert loss.judges == {"picture"}
    rgb = jnp.zeros((2, 4, 4, 3)).at[..., 0].set(1.0)
    ab = jnp.zeros((2, 4, 4, 2))
    terms = loss({"ab": ab, "rgb": rgb}, {"ab": ab})
    assert float(loss.total(terms)) == pytest.approx(0.3322949, abs=1e-5)
