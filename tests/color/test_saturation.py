"""Saturation scaling against the way through scikit-image's HSV."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.color

from colorjax import color

FACTORS = [0.0, 0.5, 1.0, 1.4, 1.8, 2.0]
EDGE_COLORS = np.array(
    [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 0, 1], [1e-6, 0, 0], [0.3, 0.3, 0.2]]
)


def random_rgb(dtype=np.float64) -> np.ndarray:
    return np.random.default_rng(0).random((5000, 3)).astype(dtype)


def through_hsv(rgb: np.ndarray, factor: float, clip: bool) -> np.ndarray:
    hsv = skimage.color.rgb2hsv(rgb)
    hsv[..., 1] *= factor
    if clip:
        hsv[..., 1] = np.minimum(hsv[..., 1], 1.0)
    return skimage.color.hsv2rgb(hsv)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("factor", FACTORS)
def test_equals_the_way_through_hsv(factor, clip):
    rgb = np.concatenate([random_rgb(), EDGE_COLORS])
    expected = through_hsv(rgb, factor, clip)
    np.testing.assert_allclose(color.scale_saturation(rgb, factor, clip), expected, atol=1e-12)
    on_device = jax.jit(color.scale_saturation, static_argnames="clip")(
        jnp.asarray(rgb, jnp.float32), factor, clip=clip
    )
    np.testing.assert_allclose(on_device, expected, atol=1e-5)


@pytest.mark.parametrize("clip", [True, False])
def test_a_factor_of_one_changes_no_bit(clip):
    rgb = np.concatenate([random_rgb(np.float32), EDGE_COLORS.astype(np.float32)])
    np.testing.assert_array_equal(color.scale_saturation(rgb, 1.0, clip), rgb)
    np.testing.assert_array_equal(color.scale_saturation(jnp.asarray(rgb), 1.0, clip), rgb)


def test_clip_bounds_the_result_and_no_clip_does_not():
    rgb = random_rgb(np.float32)
    clipped = color.scale_saturation(rgb, 1.8)
    assert clipped.min() >= 0.0
    assert clipped.max() <= 1.0
    unclipped = color.scale_saturation(rgb, 1.8, clip=False)
    assert -0.8 <= unclipped.min() < -0.7
    assert np.isfinite(color.rgb_to_lab(unclipped)).all()


@pytest.mark.parametrize("clip", [True, False])
def test_gradients_are_finite_and_not_zero_at_edge_colors(clip):
    def total(rgb):
        return color.scale_saturation(rgb, 1.8, clip).sum()

    for rgb in EDGE_COLORS.astype(np.float32):
        gradient = jax.grad(total)(jnp.asarray(rgb))
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0.1


def test_kind_and_dtype_are_preserved():
    for dtype in (np.float32, np.float64):
        result = color.scale_saturation(np.full((2, 3), 0.5, dtype), np.float64(1.4))
        assert isinstance(result, np.ndarray)
        assert result.dtype == dtype
    assert isinstance(color.scale_saturation(jnp.full((2, 3), 0.5), 1.4), jax.Array)


def test_wrong_input_names_the_argument():
    with pytest.raises(ValueError, match=r"^rgb must have shape"):
        color.scale_saturation(np.zeros((3, 4)), 1.4)
    with pytest.raises(ValueError, match=r"^rgb must hold floating-point"):
        color.scale_saturation(np.zeros((4, 3), np.uint8), 1.4)
    with pytest.raises(ValueError, match=r"^factor must be at least 0, got -1"):
        color.scale_saturation(np.zeros((4, 3)), -1)
    with pytest.raises(ValueError, match=r"^factor must be a scalar, got shape \(4,\)"):
        color.scale_saturation(np.zeros((4, 3)), np.ones(4))


# The factors that the published colorizer tried; 1.8 is the one it uses.
TRIED = [1.4, 1.6, 1.8, 2.0]


@pytest.fixture(scope="module")
def many():
    """Uniformly random colors, and the corners of the cube."""
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), -1).reshape(-1, 3)
    return np.concatenate([np.random.default_rng(1).random((100_000, 3)), corners])


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("factor", TRIED)
def test_the_closed_form_is_exact(factor, clip):
    rgb = random_rgb()
    error = np.abs(color.scale_saturation(rgb, factor, clip) - through_hsv(rgb, factor, clip))
    assert error.max() < 5e-15


@pytest.mark.parametrize("factor", [1.0, *TRIED])
def test_clipped_targets_are_colors_of_srgb(many, factor):
    """So b = -107.9 of pure blue bounds them, and ab / 110 lies within -1 and 1."""
    ab = color.rgb_to_lab(color.scale_saturation(many, factor))[..., 1:]
    assert 107.8 < np.abs(ab).max() <= 107.9


# Shares and ranges of uniformly random colors, computed once with scikit-image.
@pytest.mark.parametrize(("factor", "largest", "beyond"), [(1.8, 150, 0.006), (2.0, 187, 0.029)])
def test_unclipped_targets_pass_what_tanh_reaches(many, factor, largest, beyond):
    ab = color.rgb_to_lab(color.scale_saturation(many[:-8], factor, clip=False))[..., 1:]
    assert np.isfinite(ab).all()
    np.testing.assert_allclose(np.abs(ab).max(), largest, rtol=0.02)
    np.testing.assert_allclose(np.mean(np.abs(ab) > 128), beyond, rtol=0.1)


def test_share_of_colors_whose_saturation_passes_one(many):
    """69 % at 1.8: a channel below 0, which clipping puts at 0."""
    unclipped, clipped = (color.scale_saturation(many[:-8], 1.8, clip) for clip in (False, True))
    passes = unclipped.min(-1) < 0
    np.testing.assert_allclose(passes.mean(), 0.69, atol=0.005)
    np.testing.assert_allclose(clipped[passes].min(-1), 0, atol=1e-15)
    np.testing.assert_array_equal(clipped[~passes], unclipped[~passes])


@pytest.mark.parametrize(("factor", "change"), zip(TRIED, [3.2, 4.0, 4.5, 4.9], strict=True))
def test_a_larger_saturation_lowers_the_lightness(many, factor, change):
    """By 3 to 5 units on random colors: targets keep ab alone."""
    before, after = (
        color.rgb_to_lab(rgb)[..., 0]
        for rgb in (many[:-8], color.scale_saturation(many[:-8], factor))
    )
    np.testing.assert_allclose(np.abs(after - before).mean(), change, atol=0.06)
    assert after.mean() < before.mean()
