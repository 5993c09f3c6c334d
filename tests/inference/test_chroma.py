"""Upsampling of predicted colors."""

import numpy as np
import pytest
import torch
from helpers.samples import sample_photos
from scipy import ndimage
from skimage.transform import resize

from colorjax import color
from colorjax.inference import chroma as upsampling
from colorjax.inference.chroma import Chroma, bands, nearest


def enlarge(colors, lightness, guided=True, pixels=10**9):
    chroma = Chroma(colors, lightness.shape)
    if guided:
        chroma.guide(lightness)
    parts = [chroma.rows(rows, lightness[rows]) for rows in bands(*lightness.shape, pixels)]
    return np.moveaxis(np.concatenate(parts, axis=1), 0, -1)


def box(planes, factor):
    height, width, depth = planes.shape
    return planes.reshape(height // factor, factor, width // factor, factor, depth).mean((1, 3))


@pytest.fixture(scope="module")
def photo():
    """Two surfaces whose colors differ with their lightness, and a border across cells."""
    y, x = np.mgrid[0:96, 0:128]
    inside = ndimage.gaussian_filter(((x - 70) ** 2 + (y - 41) ** 2 < 900) * 1.0, 0.7)[..., None]
    lab = inside * np.array([70.0, 40, 20]) + (1 - inside) * np.array([35.0, -10, -30])
    return lab.astype(np.float32)


def test_bilinear_is_that_of_scikit_image(photo):
    small = box(photo[..., 1:], 8)
    result = enlarge(small, photo[..., 0], guided=False)
    expected = resize(small, photo.shape[:2], order=1, mode="edge")
    np.testing.assert_allclose(result, expected, atol=1e-3)


def test_nearest_repeats_pixels_as_pytorch_does():
    """Acceptance test 16 of DDColor's specification: its program enlarges so."""
    assert nearest(3, 7).tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert nearest(7, 3).tolist() == [0, 2, 4]
    small = np.random.default_rng(0).normal(0, 20, (3, 5, 2)).astype(np.float32)
    wanted = torch.nn.functional.interpolate(torch.tensor(small).permute(2, 0, 1)[None], (7, 13))
    chroma = Chroma(small, (7, 13), repeats_pixels=True)
    parts = [chroma.rows(rows, np.zeros((2, 13))) for rows in (slice(0, 4), slice(4, 7))]
    actual = np.concatenate(parts, axis=1)
    np.testing.assert_array_equal(actual, wanted[0].numpy())


@pytest.mark.parametrize("factor", [4, 8])
def test_edges_of_lightness_are_edges_of_color(photo, factor):
    truth, small = photo[..., 1:], box(photo[..., 1:], factor)
    errors = [
        np.abs(enlarge(small, photo[..., 0], guided) - truth).mean() for guided in (False, True)
    ]
    assert errors[1] < 0.7 * errors[0]


def test_what_was_predicted_is_what_the_enlarged_colors_become_when_made_small(photo):
    small = ndimage.gaussian_filter(
        np.random.default_rng(0).normal(0, 20, (24, 32, 2)), (2, 2, 0)
    ).astype(np.float32)
    back = [box(enlarge(small, photo[..., 0], guided), 4) for guided in (False, True)]
    errors = [np.abs(result - small)[2:-2, 2:-2].mean() for result in back]
    assert errors[1] < 0.5 * errors[0]


def test_flat_lightness_adds_nothing(photo):
    small = box(photo[..., 1:], 8)
    result = enlarge(small, np.full(photo.shape[:2], 50.0, np.float32))
    smooth = enlarge(np.full_like(small, 7.0), photo[..., 0])
    assert np.abs(result).max() < np.abs(small).max() * 1.3
    np.testing.assert_allclose(smooth, 7, atol=1e-3)


def test_bands_meet_without_a_seam(photo):
    small = box(photo[..., 1:], 8)
    np.testing.assert_allclose(
        enlarge(small, photo[..., 0], pixels=700), enlarge(small, photo[..., 0]), atol=1e-3
    )


def test_a_working_size_as_large_as_the_photo_is_unchanged(photo):
    np.testing.assert_array_equal(enlarge(photo[..., 1:], photo[..., 0]), photo[..., 1:])


def test_predicted_lightness_is_enlarged_without_a_guide(photo):
    result = enlarge(box(photo, 8), photo[..., 0])
    assert result.shape == photo.shape
    np.testing.assert_allclose(result, enlarge(box(photo, 8), photo[..., 0], guided=False))


@pytest.mark.parametrize(("factor", "least"), [(4, 0.06), (8, 0.06)])
def test_real_chroma_is_restored_better_than_bilinearly(factor, least):
    errors = []
    for rgb in sample_photos():
        height, width = (side // factor * factor for side in rgb.shape[:2])
        lab = color.rgb_u8_to_lab(rgb[:height, :width])
        small = box(lab[..., 1:], factor)
        errors.append(
            [np.abs(enlarge(small, lab[..., 0], g) - lab[..., 1:]).mean() for g in (False, True)]
        )
    bilinear, guided = np.mean(errors, axis=0)
    assert guided < (1 - least) * bilinear


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (300, 250)])
@pytest.mark.parametrize("scale", [0.01, 100])
def test_filters_are_those_of_scipy_bit_for_bit(size, scale):
    plane = np.random.default_rng(0).normal(0, scale, size).astype(np.float32)
    mean = ndimage.uniform_filter(plane, 3, mode="nearest")
    np.testing.assert_array_equal(upsampling._window(plane), mean)
    blurred = plane
    for axis in (0, 1):
        blurred = ndimage.convolve1d(blurred, (1 / 8, 6 / 8, 1 / 8), axis=axis, mode="nearest")
    np.testing.assert_array_equal(upsampling.sharpened(plane), 2 * plane - blurred)
