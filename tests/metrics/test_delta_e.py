"""CIEDE2000 against the published pairs of Sharma, Wu and Dalal (2005) and scikit-image."""

import jax
import numpy as np
import pytest
import skimage.color

from colorjax import metrics

# Table 1 of "The CIEDE2000 color-difference formula: Implementation notes, supplementary test data,
# and mathematical observations", Color Research and Application 30(1).
SHARMA = np.array(
    [
        [50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425],
        [50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615],
        [50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412],
        [50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669],
        [50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0010, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0012, 7.2195],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0010, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0011, -2.4900, 4.7461],
        [50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065],
        [50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492],
        [50.0000, 2.5000, 0.0000, 61.0000, -5.0000, 29.0000, 22.8977],
        [50.0000, 2.5000, 0.0000, 56.0000, -27.0000, -3.0000, 31.9030],
        [50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.1736, 0.5854, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2972, 0.0000, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 1.8634, 0.5757, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2592, 0.3350, 1.0000],
        [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
        [63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630],
        [61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731],
        [35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645],
        [22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373],
        [36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146],
        [90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441],
        [90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381],
        [6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377],
        [2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082],
    ]
)
LAB_A, LAB_B, PUBLISHED = SHARMA[:, :3], SHARMA[:, 3:6], SHARMA[:, 6]

METHODS = [metrics.delta_e_2000_pixels, jax.jit(metrics.delta_e_2000_pixels)]


def random_lab(*shape: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform([0, -110, -110], [100, 110, 110], (*shape, 3))


def test_the_published_pairs():
    assert SHARMA.shape == (34, 7)
    reference = skimage.color.deltaE_ciede2000(LAB_A, LAB_B)
    np.testing.assert_allclose(reference, PUBLISHED, rtol=0, atol=1e-4)
    np.testing.assert_allclose(
        metrics.delta_e_2000_pixels(LAB_A, LAB_B), PUBLISHED, rtol=0, atol=1e-4
    )
    np.testing.assert_allclose(
        metrics.delta_e_2000_pixels(LAB_B, LAB_A), PUBLISHED, rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_published_pairs_in_float32_opposite_hues_among_them(method):
    lab_a, lab_b = LAB_A.astype(np.float32), LAB_B.astype(np.float32)
    np.testing.assert_allclose(method(lab_a, lab_b), PUBLISHED, rtol=0, atol=1e-4)
    np.testing.assert_allclose(method(lab_b, lab_a), PUBLISHED, rtol=0, atol=1e-4)


@pytest.mark.parametrize("spread", [None, 5.0, 0.1])
def test_equals_scikit_image_on_random_colors(spread):
    lab_a = random_lab(50, 60, seed=0)
    lab_b = random_lab(50, 60, seed=1)
    if spread is not None:
        lab_b = lab_a + np.random.default_rng(2).normal(0, spread, lab_a.shape)
    expected = skimage.color.deltaE_ciede2000(lab_a, lab_b)
    np.testing.assert_allclose(metrics.delta_e_2000_pixels(lab_a, lab_b), expected, rtol=1e-9)
    lab_a, lab_b = lab_a.astype(np.float32), lab_b.astype(np.float32)
    expected = skimage.color.deltaE_ciede2000(lab_a.astype(np.float64), lab_b.astype(np.float64))
    for method in METHODS:
        np.testing.assert_allclose(method(lab_a, lab_b), expected, rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
def test_gray_has_no_nan(method, dtype):
    gray = np.array([[50, 0, 0], [0, 0, 0], [100, 0, 0], [50, 0, -0.0], [50, -0.0, 0]], dtype)
    np.testing.assert_array_equal(method(gray, gray), np.zeros(5))
    np.testing.assert_array_equal(method(gray[:1], gray[3:4]), [0.0])
    # From gray to a color only lightness and chroma count: dC' / SC = 30 / (1 + 0.045 * 15).
    colored = np.array([[50, 0, 30], [50, 0, -30], [50, -0.0, 30]], dtype)
    for signed in gray[[0, 3, 4]]:
        value = method(np.stack([signed] * 3), colored)
        np.testing.assert_allclose(value, [30 / 1.675] * 3, rtol=1e-6)
    tiny = np.array([[50, 1e-20, -1e-20]], dtype)
    assert np.isfinite(method(tiny, -tiny)).all()


def test_black_to_white_is_one_hundred():
    """dL / SL = 100 / 1: the mean lightness is 50, where SL is 1."""
    black, white = np.zeros((1, 3)), np.array([[100.0, 0.0, 0.0]])
    np.testing.assert_allclose(metrics.delta_e_2000_pixels(black, white), [100.0])


def test_an_image_has_the_mean_of_its_pixels():
    lab_a, lab_b = random_lab(2, 3, 8, 9, seed=3), random_lab(2, 3, 8, 9, seed=4)
    expected = skimage.color.deltaE_ciede2000(lab_a, lab_b).mean(axis=(2, 3))
    value = metrics.delta_e_2000(lab_a, lab_b)
    assert isinstance(value, np.ndarray)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    assert np.ptp(expected) > 0.1
    on_device = jax.jit(metrics.delta_e_2000)(lab_a.astype(np.float32), lab_b.astype(np.float32))
    assert isinstance(on_device, jax.Array)
    np.testing.assert_allclose(on_device, expected, rtol=1e-5)


def test_wrong_input_is_refused():
    lab = np.zeros((1, 4, 4, 3))
    for metric in (metrics.delta_e_2000, metrics.delta_e_2000_pixels):
        with pytest.raises(ValueError, match=r"^lab_a and lab_b must have the same shape"):
            metric(lab, np.zeros((2, 4, 4, 3)))
        with pytest.raises(ValueError, match=r"^lab_b must have shape"):
            metric(lab, np.zeros((1, 4, 4, 2)))
    with pytest.raises(ValueError, match=r"^lab_a must have shape"):
        metrics.delta_e_2000(lab[0, 0], lab[0, 0])
    with pytest.raises(ValueError, match=r"^lab_a must hold floating-point"):
        metrics.delta_e_2000_pixels(np.zeros((4, 3), np.uint8), np.zeros((4, 3)))


def test_the_ninetieth_percentile_of_an_image():
    lab_a, lab_b = random_lab(2, 8, 9, seed=3), random_lab(2, 8, 9, seed=4)
    for a, b, value in zip(lab_a, lab_b, metrics.delta_e_2000_p90(lab_a, lab_b), strict=True):
        pixels = np.sort(skimage.color.deltaE_ciede2000(a, b).ravel())
        rank = 0.9 * (len(pixels) - 1)  # 63.9 of 0 ... 71
        expected = pixels[63] + (rank - 63) * (pixels[64] - pixels[63])
        assert value == pytest.approx(expected, rel=1e-9)
    on_device = jax.jit(metrics.delta_e_2000_p90)(
        lab_a.astype(np.float32), lab_b.astype(np.float32)
    )
    np.testing.assert_allclose(on_device, metrics.delta_e_2000_p90(lab_a, lab_b), rtol=1e-5)
