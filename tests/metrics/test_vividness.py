"""Colorfulness and chroma, without a reference image."""

import jax
import numpy as np
import pytest
import skimage.data

from colorjax import metrics


def photo() -> np.ndarray:
    return skimage.data.astronaut()[:64, :96]


def by_the_formula(rgb: np.ndarray, fold) -> float:
    red, green, blue = np.moveaxis(rgb.astype(np.float64), -1, 0)
    rg, yb = fold(red - green), fold((red + green) / 2 - blue)
    return np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())


@pytest.mark.parametrize("metric", [metrics.colorfulness, metrics.colorfulness_abs])
def test_colorfulness_of_constant_images(metric):
    image = np.zeros((5, 4, 3), np.uint8)
    image[..., 0] = 255
    assert metric(image) == pytest.approx(0.3 * np.hypot(255, 127.5))  # 85.53
    assert metric(np.full((5, 4, 3), 77, np.uint8)) == 0.0


def test_colorfulness_equals_the_formula():
    assert metrics.colorfulness(photo()) == pytest.approx(
        by_the_formula(photo(), lambda x: x), 1e-5
    )
    assert metrics.colorfulness_abs(photo()) == pytest.approx(by_the_formula(photo(), np.abs), 1e-5)
    assert metrics.colorfulness(photo()) - metrics.colorfulness_abs(photo()) > 1.0


def test_mean_chroma_by_hand():
    ab = np.zeros((2, 2, 2, 2))
    ab[1, 0, 0] = [3.0, 4.0]
    np.testing.assert_allclose(metrics.mean_chroma(ab), [0.0, 1.25])


@pytest.mark.parametrize(
    ("metric", "batch"),
    [
        (metrics.colorfulness, np.stack([photo(), photo() // 2])),
        (metrics.colorfulness_abs, np.stack([photo(), photo() // 2])),
        (metrics.mean_chroma, np.random.default_rng(0).normal(0, 30, (2, 8, 8, 2))),
    ],
)
def test_batch_equals_single_and_jit_equals_numpy(metric, batch):
    singles = [metric(image) for image in batch]
    np.testing.assert_allclose(metric(batch), singles, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(metric)(batch.astype(np.float32)), singles, rtol=1e-5)
    assert singles[0] != singles[1]


@pytest.mark.parametrize(
    ("metric", "name"),
    [(metrics.colorfulness, "rgb"), (metrics.colorfulness_abs, "rgb"), (metrics.mean_chroma, "ab")],
)
def test_wrong_shapes_name_the_argument(metric, name):
    with pytest.raises(ValueError, match=f"^{name} must have shape"):
        metric(np.zeros((4, 4, 4)))
    with pytest.raises(ValueError, match=f"^{name} must have shape"):
        metric(np.zeros((4, 3)))
