"""Shrinking chroma into sRGB keeps lightness and hue."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorjax import color

shrink_chroma_jit = jax.jit(color.shrink_chroma)
to_rgb_jit = jax.jit(lambda lab: color.lab_to_rgb(lab, "shrink_chroma"))


def far_colors() -> np.ndarray:
    """Lab over the whole range of L and ab, nearly all of it outside sRGB."""
    lightness = np.concatenate(
        [np.linspace(0, 2, 21), np.linspace(2, 98, 97), np.linspace(98, 100, 21)]
    )
    ab = np.linspace(-120, 120, 25)
    grid = np.meshgrid(lightness, ab, ab, indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 3).astype(np.float32)


@pytest.mark.parametrize("shrink", [color.shrink_chroma, shrink_chroma_jit])
def test_colors_inside_srgb_are_unchanged(shrink):
    axis = np.linspace(0, 255, 18).astype(np.uint8)
    rgb_u8 = np.stack(np.meshgrid(axis, axis, axis), axis=-1)
    lab = color.rgb_u8_to_lab(rgb_u8)
    np.testing.assert_array_equal(shrink(lab), np.clip(lab, [0, -200, -200], [100, 200, 200]))


@pytest.mark.parametrize("to_rgb", [lambda lab: color.lab_to_rgb(lab, "shrink_chroma"), to_rgb_jit])
def test_lightness_is_kept_in_float(to_rgb):
    lab = far_colors()
    back = color.rgb_to_lab(np.asarray(to_rgb(lab)).astype(np.float64))
    assert np.abs(back[:, 0] - lab[:, 0]).max() < 0.01


def test_clipping_does_not_keep_lightness():
    lab = far_colors()
    back = color.rgb_to_lab(color.lab_to_rgb(lab, "clip"))
    assert np.abs(back[:, 0] - lab[:, 0]).max() > 10


@pytest.mark.parametrize("to_array", [np.asarray, jnp.asarray])
def test_lightness_is_kept_in_8_bits(to_array):
    lab = far_colors()
    rgb_u8 = color.lab_to_rgb_u8(to_array(lab), "shrink_chroma")
    back = color.rgb_u8_to_lab(np.asarray(rgb_u8))
    assert np.abs(back[:, 0] - lab[:, 0]).max() < 100 / 255


def test_hue_is_kept_and_chroma_never_grows():
    lab = far_colors()
    shrunk = color.shrink_chroma(lab)
    cross = lab[:, 1] * shrunk[:, 2] - lab[:, 2] * shrunk[:, 1]
    assert np.abs(cross).max() < 2e-3
    assert (np.sum(lab[:, 1:] * shrunk[:, 1:], axis=1) >= 0).all()
    assert (np.abs(shrunk[:, 1:]) <= np.abs(lab[:, 1:])).all()
    np.testing.assert_array_equal(shrunk[:, 0], lab[:, 0])


def test_the_result_is_on_the_border_of_srgb():
    lab = np.array([[50.0, 200.0, 0.0], [70.0, -100.0, -100.0], [30.0, 10.0, 120.0]])
    rgb = color.lab_to_rgb(color.shrink_chroma(lab))
    to_border = np.minimum(rgb, 1 - rgb).min(axis=-1)
    assert to_border.max() < 2e-3


def test_lightness_outside_its_range_is_clipped():
    lab = np.array([[-3.0, 20.0, 20.0], [104.0, 20.0, 20.0]])
    np.testing.assert_allclose(color.shrink_chroma(lab)[:, 0], [0.0, 100.0])
    np.testing.assert_allclose(
        color.lab_to_rgb(lab, "shrink_chroma"), [[0] * 3, [1] * 3], atol=1e-4
    )


def test_jax_equals_numpy():
    lab = far_colors()[::7]
    np.testing.assert_allclose(shrink_chroma_jit(lab), color.shrink_chroma(lab), atol=0.02)


def test_gradient_scales_ab_by_the_factor():
    lab = jnp.array([50.0, 200.0, 0.0])
    factor = color.shrink_chroma(lab)[1] / lab[1]
    jacobian = jax.jacobian(color.shrink_chroma)(lab)
    np.testing.assert_allclose(jacobian, np.diag([1.0, factor, factor]), atol=1e-6)


def test_wrong_input_names_the_argument():
    with pytest.raises(ValueError, match=r"^lab must have shape"):
        color.shrink_chroma(np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"^lab must hold floating-point"):
        color.shrink_chroma(np.zeros((5, 3), np.int64))


def test_inside_is_what_keeps_its_chroma():
    rng = np.random.default_rng(0)
    lab = np.stack([rng.uniform(0, 100, 9999), *rng.normal(0, 40, (2, 9999))], axis=-1)
    inside = color.inside_srgb(lab)
    assert 0.2 < inside.mean() < 0.8
    np.testing.assert_array_equal(inside, (color.shrink_chroma(lab) == lab).all(-1))
    assert color.inside_srgb(color.rgb_to_lab(rng.random((999, 3)))).all()
