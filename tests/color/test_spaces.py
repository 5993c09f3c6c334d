import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.color import lab2rgb

from colorjax import color

LAB = color.rgb_u8_to_lab(
    np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
).astype(np.float32)


def test_values_are_what_networks_predict():
    np.testing.assert_allclose(color.lab_to_space(LAB, "ab"), LAB[..., 1:] / 110, atol=1e-6)
    lab = color.lab_to_space(LAB, "lab")
    np.testing.assert_allclose(lab[..., 0], LAB[..., 0] / 50 - 1, atol=1e-6)
    np.testing.assert_allclose(lab[..., 1:], LAB[..., 1:] / 110, atol=1e-6)
    np.testing.assert_allclose(color.lab_to_space(LAB, "rgb"), 2 * lab2rgb(LAB) - 1, atol=2e-3)


@pytest.mark.parametrize("space", color.SPACES)
def test_there_and_back(space):
    values = color.lab_to_space(LAB, space)
    assert values.shape == (5, 7, color.SPACES[space])
    assert np.abs(values).max() <= 1
    back = color.space_to_lab(values, space, LAB[..., :1])
    np.testing.assert_allclose(back, LAB, atol=2e-2)
    on_device = color.space_to_lab(jnp.asarray(values), space, jnp.asarray(LAB[..., :1]))
    assert isinstance(on_device, jax.Array)
    np.testing.assert_allclose(on_device, back, atol=2e-2)


def test_gradients_are_finite_at_the_ends_of_rgb():
    ends = jnp.float32([[-1, -1, -1], [1, 1, 1], [-1, 1, 0], [0, 0, 0]])
    gradient = jax.grad(lambda x: color.space_to_lab(x, "rgb", None).sum())(ends)
    assert np.isfinite(gradient).all()


def test_unknown_space():
    for convert in (
        lambda: color.lab_to_space(LAB, "yuv"),
        lambda: color.space_to_lab(LAB, "yuv", None),
    ):
        with pytest.raises(ValueError, match="ab, lab, rgb"):
            convert()
