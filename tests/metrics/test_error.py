"""PSNR and the ab errors against values computed another way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
import skimage.metrics

from colorjax import metrics

RGB_METRICS = [metrics.mse, metrics.psnr, metrics.mae_rgb]
AB_METRICS = [metrics.mae_ab, metrics.rmse_ab]


def rgb_pair() -> tuple[np.ndarray, np.ndarray]:
    photo = skimage.data.astronaut()[:96, :128]
    noise = np.random.default_rng(0).integers(-20, 21, photo.shape)
    return photo, np.clip(photo + noise, 0, 255).astype(np.uint8)


def ab_pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(0, 30, (2, 3, 8, 9, 2)), rng.normal(0, 30, (2, 3, 8, 9, 2))


def test_mse_and_psnr_equal_scikit_image():
    a, b = rgb_pair()
    expected = skimage.metrics.mean_squared_error(a, b)
    np.testing.assert_allclose(metrics.mse(a, b), expected, rtol=1e-5)
    expected = skimage.metrics.peak_signal_noise_ratio(a, b, data_range=255)
    np.testing.assert_allclose(metrics.psnr(a, b), expected, rtol=1e-5)


def test_mae_of_rgb_equals_numpy():
    a, b = rgb_pair()
    expected = np.abs(a.astype(int) - b.astype(int)).mean()
    np.testing.assert_allclose(metrics.mae_rgb(a, b), expected, rtol=1e-6)


def test_psnr_of_equal_images_is_finite():
    a, _ = rgb_pair()
    np.testing.assert_allclose(metrics.psnr(a, a), 20 * np.log10(255) + 100, rtol=1e-6)


def test_psnr_of_black_against_white_is_zero():
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert metrics.psnr(black, white) == 0.0


def test_ab_errors_by_hand():
    a, b = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    b[0, 0] = [3.0, -4.0]
    assert metrics.mae_ab(a, b) == pytest.approx(7 / 8)
    assert metrics.rmse_ab(a, b) == pytest.approx(np.sqrt(25 / 4))


def test_ab_errors_equal_numpy_per_image():
    a, b = ab_pair()
    for index in np.ndindex(2, 3):
        distance = np.linalg.norm(a[index] - b[index], axis=-1)
        np.testing.assert_allclose(metrics.rmse_ab(a, b)[index], np.sqrt((distance**2).mean()))
        np.testing.assert_allclose(metrics.mae_ab(a, b)[index], np.abs(a - b)[index].mean())


@pytest.mark.parametrize("metric", RGB_METRICS)
def test_batch_equals_single_and_jit_equals_numpy(metric):
    a, b = rgb_pair()
    batch_a, batch_b = np.stack([a, b, a]), np.stack([b, b // 2, a // 3])
    singles = [metric(x, y) for x, y in zip(batch_a, batch_b, strict=True)]
    np.testing.assert_allclose(metric(batch_a, batch_b), singles, rtol=1e-6)
    on_device = jax.jit(metric)(batch_a, batch_b)
    assert isinstance(on_device, jax.Array)
    np.testing.assert_allclose(on_device, singles, rtol=1e-5)


@pytest.mark.parametrize("metric", AB_METRICS)
def test_ab_jit_equals_numpy(metric):
    a, b = ab_pair()
    np.testing.assert_allclose(
        jax.jit(metric)(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)),
        metric(a, b),
        rtol=1e-5,
    )


def test_dtype_of_the_8_bit_values_does_not_matter():
    a, b = rgb_pair()
    expected = metrics.psnr(a, b)
    for dtype in (np.int32, np.float32, np.float64):
        np.testing.assert_allclose(metrics.psnr(a.astype(dtype), b.astype(dtype)), expected, 1e-5)


@pytest.mark.parametrize(
    ("metric", "names", "channels"),
    [(metric, ("rgb_a", "rgb_b"), 3) for metric in [*RGB_METRICS, metrics.ssim]]
    + [(metric, ("ab_a", "ab_b"), 2) for metric in AB_METRICS],
)
def test_wrong_shapes_are_refused_and_never_broadcast(metric, names, channels):
    image = np.zeros((1, 16, 16, channels))
    with pytest.raises(ValueError, match=f"^{names[0]} and {names[1]} must have the same shape"):
        metric(image, np.zeros((4, 16, 16, channels)))
    with pytest.raises(ValueError, match=f"^{names[0]} and {names[1]} must have the same shape"):
        metric(image, image[0])
    with pytest.raises(ValueError, match=f"^{names[1]} must have shape"):
        metric(image, np.zeros((1, 16, 16, 1)))
    with pytest.raises(ValueError, match=f"^{names[0]} must have shape"):
        metric(image[0, 0], image[0, 0])
    with pytest.raises(ValueError, match=f"^{names[0]} must hold"):
        metric(image.astype(bool), image)
