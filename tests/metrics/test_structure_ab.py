"""SSIM and MS-SSIM of ab against scikit-image and PyTorch."""

import jax
import numpy as np
import pytest
import skimage.color
import skimage.data
import skimage.metrics
import torch

from colorjax import metrics


def scikit_image(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of signed a and b: data_range sets the constants only."""
    return skimage.metrics.structural_similarity(
        a,
        b,
        data_range=255,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )


def in_torch(a: np.ndarray, b: np.ndarray, scales: int = 5) -> float:
    """MS-SSIM by grouped 2-D convolutions and pooling, in float64."""
    weights = torch.tensor([0.0448, 0.2856, 0.3001, 0.2363, 0.1333], dtype=torch.float64)[:scales]
    x, y = (torch.tensor(t, dtype=torch.float64).permute(2, 0, 1)[None] for t in (a, b))
    line = torch.exp(-0.5 * ((torch.arange(11, dtype=torch.float64) - 5) / 1.5) ** 2)
    window = (torch.outer(line, line) / line.sum() ** 2).expand(2, 1, 11, 11)

    def mean(t: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(t, window, groups=2)

    c1, c2, result = 2.55**2, 7.65**2, torch.ones(2, dtype=torch.float64)
    for scale, weight in enumerate(weights / weights.sum()):
        mx, my = mean(x), mean(y)
        cs = (2 * (mean(x * y) - mx * my) + c2) / (mean(x**2) - mx**2 + mean(y**2) - my**2 + c2)
        luminance = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        value = luminance * cs if scale == scales - 1 else cs
        result *= torch.relu(value.mean((0, 2, 3))) ** weight
        x, y = (torch.nn.functional.avg_pool2d(t, 2) for t in (x, y))
    return float(result.mean())


def pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    lab = skimage.color.rgb2lab(skimage.data.astronaut()[:179, 100:300])
    ab = lab[..., 1:].astype(np.float32)
    noise = rng.normal(0, 8, ab.shape).astype(np.float32)
    return {
        "noise": (ab, ab + noise),
        "pale": (ab, 0.4 * ab),
        "moved": (ab, np.roll(ab, 9, axis=1)),
        "tinted": (ab, ab + np.float32(12)),
        "opposite": (ab, -ab),
        "gray": (ab, np.zeros_like(ab)),
    }


@pytest.mark.parametrize("name", pairs())
def test_equals_scikit_image_and_torch(name):
    a, b = pairs()[name]
    np.testing.assert_allclose(metrics.ssim_ab(a, b), scikit_image(a, b), atol=5e-5)
    np.testing.assert_allclose(metrics.ms_ssim_ab(a, b), in_torch(a, b), atol=5e-5)


def test_in_jax_and_in_batches():
    batch_a, batch_b = (np.stack(images) for images in zip(*pairs().values(), strict=True))
    for metric in (metrics.ssim_ab, metrics.ms_ssim_ab):
        singles = [metric(a, b) for a, b in pairs().values()]
        np.testing.assert_allclose(metric(batch_a, batch_b), singles, atol=1e-6)
        np.testing.assert_allclose(jax.jit(metric)(batch_a, batch_b), singles, atol=5e-5)
        np.testing.assert_allclose(metric(batch_a, batch_a), np.ones(6), atol=1e-5)


def test_opposite_colors_are_dissimilar():
    a, b = pairs()["opposite"]
    assert metrics.ssim_ab(a, b) < 0.3
    # Shifted as in 8-bit Lab, flat opposite colors look alike: that is what signed floats avoid.
    flat = np.full((20, 20, 2), 20.0)
    assert metrics.ssim_ab(flat, -flat) < -0.9
    assert scikit_image(flat + 128, 128 - flat) > 0.9


@pytest.mark.parametrize(("side", "scales"), [(11, 1), (21, 1), (22, 2), (175, 4), (176, 5)])
def test_small_images_have_fewer_scales(side, scales):
    rng = np.random.default_rng(side)
    a, noise = rng.normal(0, 20, (2, side, side, 2))
    for number in range(1, scales + 1):
        alike = metrics.ms_ssim_ab(a, a + noise) == pytest.approx(
            in_torch(a, a + noise, number), abs=1e-6
        )
        assert alike == (number == scales)


def test_refuses_images_without_a_window():
    ab = np.zeros((10, 30, 2))
    for metric in (metrics.ssim_ab, metrics.ms_ssim_ab):
        with pytest.raises(ValueError, match=f"for {metric.__name__}, got 10 x 30"):
            metric(ab, ab)
