"""sRGB <-> Lab against scikit-image, on NumPy and on JAX."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.color

from colorjax import color

TOLERANCE = 1e-3


def rgb_grid(size: int = 33) -> np.ndarray:
    axis = np.linspace(0.0, 1.0, size)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def random_u8(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def all_colors_u8(red: int) -> np.ndarray:
    """The 65,536 colors of one red level."""
    green, blue = np.divmod(np.arange(65536), 256)
    return np.stack([np.full(65536, red), green, blue], axis=-1).astype(np.uint8)


def reference_rgb(lab: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-image warns where it clamps Z
        return skimage.color.lab2rgb(lab)


@pytest.mark.parametrize("convert", [color.rgb_to_lab, jax.jit(color.rgb_to_lab)])
@pytest.mark.parametrize("rgb", [rgb_grid(), random_u8(100_000) / 255.0], ids=["grid", "random"])
def test_rgb_to_lab_equals_scikit_image(convert, rgb):
    lab = np.asarray(convert(rgb.astype(np.float32)))
    assert lab.dtype == np.float32
    assert np.abs(lab - skimage.color.rgb2lab(rgb)).max() < TOLERANCE


def test_rgb_to_lab_equals_scikit_image_closely_in_float64():
    rgb = rgb_grid()
    np.testing.assert_allclose(color.rgb_to_lab(rgb), skimage.color.rgb2lab(rgb), atol=1e-11)


@pytest.mark.parametrize("convert", [color.rgb_to_lab, jax.jit(color.rgb_to_lab)])
def test_rgb_to_lab_follows_scikit_image_outside_the_unit_cube(convert):
    rgb = rgb_grid(17) * 2.6 - 0.8
    lab = np.asarray(convert(rgb.astype(np.float32)))
    np.testing.assert_allclose(lab, skimage.color.rgb2lab(rgb), atol=2e-3)


@pytest.mark.parametrize("convert", [color.lab_to_rgb, jax.jit(color.lab_to_rgb)])
def test_lab_to_rgb_equals_scikit_image_inside_and_outside_srgb(convert):
    lab = rgb_grid() * [100.0, 256.0, 256.0] - [0.0, 128.0, 128.0]
    rgb = np.asarray(convert(lab.astype(np.float32)))
    assert rgb.dtype == np.float32
    assert np.abs(rgb - reference_rgb(lab)).max() < 1e-4
    assert rgb.min() == 0.0
    assert rgb.max() == 1.0


def test_rgb_u8_to_lab_equals_scikit_image():
    rgb_u8 = random_u8(400, 250)
    expected = skimage.color.rgb2lab(rgb_u8)
    for lab in (color.rgb_u8_to_lab(rgb_u8), jax.jit(color.rgb_u8_to_lab)(rgb_u8)):
        assert lab.shape == rgb_u8.shape
        assert lab.dtype == np.float32
        assert np.abs(np.asarray(lab) - expected).max() < TOLERANCE


def test_rgb_u8_to_lab_treats_every_pixel_alike():
    rgb_u8 = random_u8(3, 101, 67)  # more than one block, and a part of one
    lab = color.rgb_u8_to_lab(rgb_u8)
    for pixel in [(0, 0, 0), (1, 50, 33), (2, 100, 66)]:
        np.testing.assert_allclose(lab[pixel], color.rgb_u8_to_lab(rgb_u8[pixel]), atol=1e-4)


def test_rgb_u8_to_lab_accepts_views_and_empty_batches():
    rgb_u8 = random_u8(20, 30)
    expected = color.rgb_u8_to_lab(rgb_u8)
    np.testing.assert_array_equal(color.rgb_u8_to_lab(rgb_u8[::-1, ::2]), expected[::-1, ::2])
    assert color.rgb_u8_to_lab(rgb_u8[:0]).shape == (0, 30, 3)


def test_known_colors():
    rgb = np.array([[0.0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    expected = [
        [0.0, 0.0, 0.0],
        [100.0, -0.00245, 0.00465],
        [53.2406, 80.0923, 67.2028],
        [87.7351, -86.1830, 83.1797],
        [32.2957, 79.1856, -107.8573],
    ]
    np.testing.assert_allclose(color.rgb_to_lab(rgb), expected, atol=1e-4)


def test_extremes_of_srgb():
    lab = color.rgb_to_lab(rgb_grid())
    np.testing.assert_allclose(lab.min(axis=0), [0.0, -86.18, -107.86], atol=0.01)
    np.testing.assert_allclose(lab.max(axis=0), [100.0, 98.23, 94.48], atol=0.01)


def test_round_trip_of_random_8_bit_colors_is_exact():
    rgb_u8 = random_u8(100_000)
    np.testing.assert_array_equal(color.lab_to_rgb_u8(color.rgb_u8_to_lab(rgb_u8)), rgb_u8)
    there_and_back = jax.jit(lambda rgb: color.lab_to_rgb_u8(color.rgb_u8_to_lab(rgb)))
    np.testing.assert_array_equal(there_and_back(rgb_u8), rgb_u8)


@pytest.mark.slow
def test_round_trip_of_all_8_bit_colors_is_exact_on_numpy():
    for red in range(256):
        rgb_u8 = all_colors_u8(red)
        np.testing.assert_array_equal(color.lab_to_rgb_u8(color.rgb_u8_to_lab(rgb_u8)), rgb_u8)


@pytest.mark.slow
def test_round_trip_of_all_8_bit_colors_is_exact_on_jax():
    there_and_back = jax.jit(lambda rgb: color.lab_to_rgb_u8(color.rgb_u8_to_lab(rgb)))
    for red in range(256):
        rgb_u8 = all_colors_u8(red)
        np.testing.assert_array_equal(there_and_back(rgb_u8), rgb_u8)


def test_lab_to_rgb_u8_rounds_to_the_nearest_level():
    lab = color.rgb_to_lab(np.array([[100.4, 100.6, 7.45], [0.4, 254.6, 255.0]]) / 255.0)
    np.testing.assert_array_equal(color.lab_to_rgb_u8(lab), [[100, 101, 7], [0, 255, 255]])


@pytest.mark.parametrize("convert", [color.rgb_to_lab, color.lab_to_rgb])
def test_kind_and_dtype_are_preserved(convert):
    for dtype in (np.float32, np.float64):
        result = convert(np.full((2, 3), 0.5, dtype))
        assert isinstance(result, np.ndarray)
        assert result.dtype == dtype
    on_device = convert(jnp.full((2, 3), 0.5))
    assert isinstance(on_device, jax.Array)
    assert on_device.dtype == jnp.float32


@pytest.mark.parametrize("convert", [color.rgb_to_lab, color.lab_to_rgb])
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_computed_in_float32(convert, dtype):
    half = np.array([0.25, 0.5, 0.75], dtype)  # exact in both dtypes
    expected = convert(half.astype(np.float32))
    for result in (convert(half), convert(jnp.asarray(half))):
        assert result.dtype == jnp.float32
        np.testing.assert_allclose(result, expected, atol=1e-4)


def test_jax_kind_of_8_bit_functions():
    lab = color.rgb_u8_to_lab(jnp.zeros((2, 2, 3), jnp.uint8))
    assert isinstance(lab, jax.Array)
    rgb_u8 = color.lab_to_rgb_u8(lab)
    assert isinstance(rgb_u8, jax.Array)
    assert rgb_u8.dtype == jnp.uint8
    assert isinstance(color.lab_to_rgb_u8(np.zeros((2, 3))), np.ndarray)


@pytest.mark.parametrize("gamut", ["clip", "shrink_chroma"])
@pytest.mark.parametrize("level", [0.0, 1.0, 0.5, 0.04045, 0.0031308])
def test_gradients_are_finite_on_the_gray_axis(level, gamut):
    rgb = jnp.full((3,), level, jnp.float32)
    jacobian = jax.jacobian(color.rgb_to_lab)(rgb)
    assert np.isfinite(jacobian).all()
    assert np.abs(jacobian).max() > 1.0
    lab = color.rgb_to_lab(rgb)
    assert np.isfinite(jax.jacobian(lambda lab: color.lab_to_rgb(lab, gamut))(lab)).all()


def test_gradient_equals_finite_differences():
    rgb, step = np.array([0.2, 0.6, 0.9]), 1e-5
    for channel, unit in enumerate(np.eye(3)):
        ahead, behind = color.rgb_to_lab(rgb + step * unit), color.rgb_to_lab(rgb - step * unit)
        jacobian = jax.jacobian(color.rgb_to_lab)(jnp.asarray(rgb, jnp.float32))
        np.testing.assert_allclose(jacobian[:, channel], (ahead - behind) / (2 * step), rtol=1e-3)


def test_vmap_equals_batch():
    rgb = jnp.asarray(random_u8(4, 5) / 255.0, jnp.float32)
    mapped = jax.vmap(jax.vmap(color.rgb_to_lab))(rgb)
    np.testing.assert_allclose(mapped, color.rgb_to_lab(rgb), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("function", "name", "dtype"),
    [
        (color.rgb_to_lab, "rgb", np.float32),
        (color.lab_to_rgb, "lab", np.float32),
        (color.lab_to_rgb_u8, "lab", np.float32),
        (color.rgb_u8_to_lab, "rgb_u8", np.uint8),
    ],
)
@pytest.mark.parametrize("shape", [(), (4,), (3, 4), (3, 1)])
def test_wrong_shapes_name_the_argument(function, name, dtype, shape):
    with pytest.raises(ValueError, match=rf"^{name} must have shape \(\.\.\., 3\), got"):
        function(np.zeros(shape, dtype))


def test_wrong_dtypes_say_what_to_do():
    with pytest.raises(ValueError, match=r"^rgb must hold floating-point.*uint8.*divide"):
        color.rgb_to_lab(np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"^lab must hold floating-point"):
        color.lab_to_rgb(jnp.zeros((2, 3), jnp.int32))
    with pytest.raises(ValueError, match=r"^rgb_u8 must be uint8, got float32.*rgb_to_lab"):
        color.rgb_u8_to_lab(np.zeros((2, 3), np.float32))


def test_unknown_gamut_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'clip' or 'shrink_chroma', got 'shrink'"):
        color.lab_to_rgb(np.zeros(3), gamut="shrink")
