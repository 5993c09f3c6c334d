"""Figures: gray photos, cells, titles."""

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

from colorjax import color
from colorjax.evaluate import figure


def test_gray_photos_keep_lightness():
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    gray = color.gray_photo(photo)
    assert np.ptp(gray, axis=-1).max() == 0
    away = rgb2lab(gray)[..., 0] - rgb2lab(photo)[..., 0]
    assert np.abs(away).max() < 0.3  # half a level of 8 bits is up to 0.25 in L near black


def test_cells_are_shrunk_and_enlarged_to_one_width():
    small = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    np.testing.assert_array_equal(figure.fitted(small, 8), small.repeat(2, 0).repeat(2, 1))
    assert figure.fitted(np.zeros((300, 400, 3), np.uint8), 100).shape == (75, 100, 3)
    assert figure.fitted(np.zeros((1, 400, 3), np.uint8), 10).shape == (1, 10, 3)


def test_a_long_title_stays_in_its_column():
    black = np.zeros((10, 60, 3), np.uint8)
    columns = {"a": [black], "W" * 80: [black], "b": [black]}
    drawn = np.asarray(figure.lay_out(columns, 60))
    without_title = np.asarray(figure.lay_out({"a": [black], "": [black], "b": [black]}, 60))
    np.testing.assert_array_equal(drawn[:, :60], without_title[:, :60])
    np.testing.assert_array_equal(drawn[:, 128:], without_title[:, 128:])
    assert (drawn[:22, 64:124] < 128).any()
    assert Image.fromarray(drawn).size == (3 * 64 - 4, 22 + 10 + 4)
