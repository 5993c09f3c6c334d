"""Color structure against SciPy filters and plain regressions."""

import jax
import numpy as np
import pytest
import skimage.color
import skimage.data
from scipy import ndimage

from colorjax import metrics


def photo() -> np.ndarray:
    """A cup of coffee, (100, 148, 3): large enough to be reduced by 2."""
    return skimage.color.rgb2lab(skimage.data.coffee()[::4, :592:4])


def independent(lab: np.ndarray, truth: np.ndarray) -> float:
    """One weighted regression at each position of a picture that is reduced by 2."""
    reduced = [
        np.stack([ndimage.uniform_filter(t[..., k], 2, origin=-1)[::2, ::2] for k in range(3)], -1)
        for t in (lab, truth)
    ]
    height, width = reduced[0].shape[:2]
    sigma, total, weights = max(height, width) / 20, 0.0, 0.0
    delta = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        delta[:] = 0
        delta[y, x] = 1
        window = ndimage.gaussian_filter(delta, sigma, truncate=3)  # reflects at the borders
        light = reduced[1][..., 0]
        light = light - (window * light).sum() / window.sum()
        residuals = []
        for ab in (reduced[0][..., 1:], reduced[1][..., 1:]):
            ab = ab - (window[..., None] * ab).sum((0, 1)) / window.sum()
            variance = (window * light**2).sum()
            slope = (window[..., None] * light[..., None] * ab).sum((0, 1)) / (variance + 1)
            residuals.append((ab, slope, variance))
        (a, p, variance), (b, q, _) = residuals

        def trace(one, other, u, v, window=window, variance=variance):
            shared = (window[..., None] * one * other).sum()
            return shared - (u * v).sum() * (variance + 1)

        v_x, v_y, c = trace(a, a, p, p), trace(b, b, q, q), trace(a, b, p, q)
        similarity = (2 * c + 400) / (v_x + v_y + 400)
        loss = max(np.sqrt(v_y) - np.sqrt(v_x), 0) / np.sqrt(v_y + 400)
        offset = np.array([(y - (height - 1) / 2) / height, (x - (width - 1) / 2) / width])
        weight = np.exp(-(offset**2).sum() / (2 * 0.15**2))
        total += weight * (similarity - 0.3 * loss)
        weights += weight
    return total / weights


@pytest.mark.parametrize("kind", ["pale", "moved", "noise"])
def test_equals_regressions_at_each_position(kind):
    truth = photo()
    lab = truth.copy()
    if kind == "pale":
        lab[..., 1:] *= 0.4
    elif kind == "moved":
        lab[..., 1:] = np.roll(lab[..., 1:], 10, axis=1)
    else:
        lab[..., 1:] += ndimage.gaussian_filter(
            np.random.default_rng(0).normal(0, 160, (100, 148, 2)), (6, 6, 0)
        )
    value = metrics.color_structure(lab, truth)
    assert value < 0.97
    assert value == pytest.approx(independent(lab, truth), abs=1e-4)


def test_what_it_forgives_and_what_not():
    truth = photo()

    def value(ab):
        return float(metrics.color_structure(np.concatenate([truth[..., :1], ab], -1), truth))

    ab = truth[..., 1:]
    assert value(ab) == pytest.approx(1)
    assert value(ab + 15) == pytest.approx(1)  # a tint of the whole picture
    by_lightness = ab + 0.3 * (truth[..., :1] - 50)
    assert value(by_lightness) > 0.98
    assert value(np.roll(ab, 8, axis=1)) < 0.9
    assert value(0.3 * ab) < value(1.7 * ab) - 0.05  # lost color costs more than added color
    assert value(0 * ab) < value(0.3 * ab)


def test_in_jax_in_batches_and_at_any_size():
    truth = np.stack([photo(), photo()[::-1]]).astype(np.float32)
    lab = truth * np.array([1, 0.5, 1.2], np.float32)
    singles = [metrics.color_structure(a, b) for a, b in zip(lab, truth, strict=True)]
    np.testing.assert_allclose(metrics.color_structure(lab, truth), singles, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(metrics.color_structure)(lab, truth), singles, rtol=1e-4)
    for shape in ((1, 1), (3, 500), (31, 33), (301, 199)):
        rng = np.random.default_rng(0)
        one, other = rng.uniform(0, 60, (2, *shape, 3))
        assert np.isfinite(metrics.color_structure(one, other))
        assert metrics.color_structure(one, one) == pytest.approx(1)


def test_refuses_other_shapes():
    with pytest.raises(ValueError, match="must have the same shape"):
        metrics.color_structure(np.zeros((8, 8, 3)), np.zeros((8, 9, 3)))
