"""Filters of other programs, against them where they are installed and against recorded values."""

import numpy as np
import pytest
from skimage import transform

from colorjax.data import resampling
from colorjax.data.resampling import opencv_bilinear, resized, skimage_bilinear

# cv2.resize(ramp(height, width), (side, side)) of OpenCV 4.14.0 and 5.0.0, two channels.
RECORDED = {
    (7, 11, 4): [
        [[102, 15], [124, 62], [146, 109], [155, 156]],
        [[167, 32], [169, 132], [114, 200], [200, 76]],
        [[232, 49], [93, 202], [179, 98], [69, 27]],
        [[72, 65], [98, 111], [84, 161], [106, 151]],
    ],
    (3, 5, 8): [
        [[0, 0], [44, 6], [107, 14], [170, 22], [153, 30], [56, 38], [104, 46], [148, 52]],
        [[2, 0], [46, 6], [110, 14], [173, 23], [156, 31], [59, 40], [106, 49], [150, 55]],
        [[16, 0], [60, 8], [123, 19], [187, 30], [170, 41], [73, 52], [120, 63], [164, 71]],
        [[30, 0], [74, 10], [137, 23], [200, 37], [184, 51], [87, 64], [134, 78], [178, 88]],
        [[44, 0], [88, 11], [148, 27], [181, 44], [164, 60], [98, 77], [148, 93], [192, 104]],
        [[58, 0], [102, 13], [156, 32], [129, 51], [112, 70], [105, 89], [162, 107], [206, 121]],
        [[72, 0], [116, 15], [164, 36], [77, 58], [60, 79], [113, 101], [175, 122], [220, 137]],
        [[74, 0], [118, 15], [165, 37], [68, 59], [51, 81], [115, 103], [178, 124], [222, 140]],
    ],
    (12, 9, 5): [
        [[66, 8], [197, 45], [174, 83], [115, 120], [128, 157]],
        [[155, 19], [81, 104], [7, 188], [188, 63], [114, 102]],
        [[142, 29], [144, 162], [96, 38], [73, 170], [126, 98]],
        [[77, 40], [207, 168], [184, 143], [115, 119], [138, 109]],
        [[165, 50], [91, 165], [17, 172], [199, 159], [125, 146]],
    ],
    (1, 1, 3): [[[0, 0], [0, 0], [0, 0]], [[0, 0], [0, 0], [0, 0]], [[0, 0], [0, 0], [0, 0]]],
}


def ramp(height, width):
    """A picture that any library reproduces."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(37 * y + 101 * x) % 256, (11 * y * x + 13 * x) % 256], -1).astype(np.uint8)


@pytest.mark.parametrize("shape", RECORDED)
def test_opencv_bilinear_equals_recorded_values(shape):
    height, width, side = shape
    np.testing.assert_array_equal(opencv_bilinear(ramp(height, width), side), RECORDED[shape])


def test_opencv_bilinear_equals_opencv():
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    rng = np.random.default_rng(0)
    for _ in range(60):
        height, width, side = rng.integers(1, 300, 3)
        rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
        np.testing.assert_array_equal(
            opencv_bilinear(rgb, side), cv2.resize(rgb, (int(side), int(side)))
        )


def test_opencv_bilinear_does_not_prevent_aliasing():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::4] = 255  # a quarter white: 64 on average
    here, smooth = opencv_bilinear(stripes, 128), resized(stripes, 128, "bilinear")
    assert set(np.unique(here)) == {0}  # between two black columns
    assert abs(smooth.mean() - 64) < 1


@pytest.mark.parametrize(("height", "width", "shrinks"), [(90, 120, True), (20, 120, False)])
def test_skimage_bilinear_truncates(height, width, shrinks):
    """As CT2's script: antialiased only where both sides shrink."""
    rgb = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    unit = transform.resize(rgb, (32, 32), mode="reflect", anti_aliasing=shrinks)
    np.testing.assert_array_equal(skimage_bilinear(rgb, 32), np.floor(unit * 255).astype(np.uint8))
    assert (skimage_bilinear(rgb, 32) != np.rint(unit * 255)).mean() > 0.3


@pytest.mark.parametrize("name", resampling.RESAMPLINGS)
def test_a_photo_of_that_size_is_unchanged(name):
    rgb = np.random.default_rng(2).integers(0, 256, (8, 8, 3), np.uint8)
    assert resized(rgb, 8, name) is rgb
    assert resized(rgb, 0, name) is rgb
    small = resized(rgb, 5, name)
    assert (small.shape, small.dtype) == ((5, 5, 3), np.uint8)
