"""SSIM against scikit-image with the Gaussian window."""

import jax
import numpy as np
import pytest
import skimage.data
import skimage.metrics

from colorjax import metrics


def reference(a: np.ndarray, b: np.ndarray, **options) -> float:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False} | options
    return skimage.metrics.structural_similarity(a, b, data_range=255, channel_axis=-1, **options)


def pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    photo = skimage.data.astronaut()[:80, 100:200]
    noise = rng.integers(0, 256, photo.shape, dtype=np.uint8)
    gray = np.repeat(photo.mean(axis=-1, keepdims=True).astype(np.uint8), 3, axis=-1)
    return {
        "noise": (noise, noise[::-1].copy()),
        "photo and gray": (photo, gray),
        "photo and noise": (photo, noise),
        "flat": (np.full_like(photo, 250), np.full_like(photo, 251)),
    }


@pytest.mark.parametrize("name", pairs())
def test_equals_scikit_image(name):
    a, b = pairs()[name]
    expected = reference(a, b)
    np.testing.assert_allclose(metrics.ssim(a, b), expected, atol=5e-5)
    np.testing.assert_allclose(jax.jit(metrics.ssim)(a, b), expected, atol=5e-5)
    in_float64 = metrics.ssim(a.astype(np.float64), b.astype(np.float64))
    np.testing.assert_allclose(in_float64, expected, atol=1e-11)


def test_differs_from_the_uniform_window():
    a, b = pairs()["photo and gray"]
    uniform = skimage.metrics.structural_similarity(a, b, data_range=255, channel_axis=-1)
    assert abs(metrics.ssim(a, b) - uniform) > 5e-4


def test_batch_equals_single_and_equal_images_give_one():
    batch_a, batch_b = (np.stack(images) for images in zip(*pairs().values(), strict=True))
    singles = [metrics.ssim(a, b) for a, b in pairs().values()]
    np.testing.assert_allclose(metrics.ssim(batch_a, batch_b), singles, atol=1e-6)
    np.testing.assert_allclose(metrics.ssim(batch_a, batch_a), np.ones(4), atol=1e-6)


def test_smallest_image_and_smaller():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 11, 11, 3), dtype=np.uint8)
    np.testing.assert_allclose(metrics.ssim(a, b), reference(a, b), atol=5e-5)
    with pytest.raises(ValueError, match="at least 11 pixels high and wide for ssim, got 10 x 11"):
        metrics.ssim(a[:10], b[:10])
