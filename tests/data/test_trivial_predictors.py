import numpy as np
import pytest
from helpers.synthetic import Arrays, synthetic_images
from skimage.color import rgb2lab

from colorjax import metrics
from colorjax.data import trivial_predictors
from colorjax.data.decode import decode_rgb
from colorjax.data.sources.source import FolderSource
from colorjax.data.sources.subsets import Subset
from colorjax.errors import RequestError


def top_half(pixels):
    return pixels[:4]


def test_portions_add_up_to_the_mean_color_of_each_level():
    photos = synthetic_images(70, 8)  # two portions
    sums, num_photos = trivial_predictors.count(Arrays(photos), top_half)
    lab = np.concatenate([rgb2lab(photo[:4]).reshape(-1, 3) for photo in photos])
    level = round(float(np.median(lab[:, 0])))
    of_level = lab[np.rint(lab[:, 0]) == level]
    table = metrics.fit_color_tables(sums)["per_lightness"].ab
    assert num_photos == 70
    assert sums[:, 2].sum() == 70 * 4 * 8
    np.testing.assert_allclose(table[level], of_level[:, 1:].mean(axis=0), atol=0.05)


def test_unreadable_photos_are_skipped(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no photo")
    source = FolderSource.open(tmp_path, labels="none")
    with pytest.raises(RequestError, match="none of the photos can be read"):
        trivial_predictors.count(source, decode_rgb)
    mixed = Arrays([np.full((8, 8, 3), 100, np.uint8), None])

    def decode(pixels):
        if pixels is None:
            raise OSError("lost")
        return pixels

    sums, num_photos = trivial_predictors.count(Subset(mixed, np.array([0, 1, 0])), decode)
    assert num_photos == 2
    assert sums[:, 2].sum() == 2 * 64
