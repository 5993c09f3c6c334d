"""Best of n samples and their diversity, against scikit-image and loops."""

import numpy as np
import pytest
import skimage.color
import skimage.metrics

from colorjax import metrics


def pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    noise = [rng.integers(-width, width + 1, truth.shape) for width in (40, 5, 90)]
    return np.clip(truth + np.array(noise), 0, 255).astype(np.uint8), truth


def test_equals_scikit_image_and_loops():
    samples, truth = pictures()
    psnrs = [skimage.metrics.peak_signal_noise_ratio(truth, each) for each in samples]
    ab = [skimage.color.rgb2lab(each)[..., 1:] for each in samples]
    distances = [
        np.hypot(*(ab[i][y, x] - ab[j][y, x]))
        for i, j in ((0, 1), (0, 2), (1, 2))
        for y, x in np.ndindex(truth.shape[:2])
    ]
    result = metrics.best_of_n(samples, truth)
    assert result["psnr_best_of_n"] == pytest.approx(psnrs[1], abs=1e-4)
    assert result["psnr_worst_of_n"] == pytest.approx(psnrs[2], abs=1e-4)
    assert result["psnr_mean_of_n"] == pytest.approx(np.mean(psnrs), abs=1e-4)
    assert result["diversity"] == pytest.approx(np.mean(distances), rel=1e-3)


def test_one_sample_and_equal_samples_have_no_diversity():
    samples, truth = pictures()
    alone = metrics.best_of_n(samples[:1], truth)
    assert alone["diversity"] == 0
    assert alone["psnr_best_of_n"] == alone["psnr_worst_of_n"]
    assert metrics.best_of_n(samples[[0, 0, 0]], truth)["diversity"] == 0


def test_diversity_by_hand():
    """Two photos of one color each, 5 apart; the third equals the first: pairs 5, 0, 5."""
    first, second = np.zeros((4, 4, 2)), np.broadcast_to([3.0, -4.0], (4, 4, 2))
    assert metrics.diversity(np.stack([first, second, first])) == pytest.approx(10 / 3)


def test_refuses_wrong_input():
    samples, truth = pictures()
    with pytest.raises(ValueError, match="must be \\(n, H, W, 3\\)"):
        metrics.best_of_n(samples[:, :5], truth)
    with pytest.raises(ValueError, match="must be uint8"):
        metrics.best_of_n(samples / 255.0, truth)
    with pytest.raises(ValueError, match="\\(n, H, W, 2\\)"):
        metrics.diversity(np.zeros((4, 4, 2)))
