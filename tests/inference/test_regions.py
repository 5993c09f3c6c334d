import numpy as np
import pytest
from skimage.draw import polygon2mask

from colorjax.errors import RequestError
from colorjax.inference.regions import Area, area_of, scaled


def mask_of(region, height=40, width=60):
    result = np.zeros((height, width), bool)
    area_of(region, height, width).fill(slice(0, height), result, True)
    return result


def test_a_polygon_is_that_of_scikit_image_but_for_its_edge():
    corners = [[5, 5], [50, 10], [30, 35]]
    wanted = polygon2mask((40, 60), np.array(corners)[:, ::-1])
    differ = mask_of(corners) != wanted
    assert differ.sum() < 100  # pixels on the edge
    assert mask_of({"polygon": corners}).sum() == mask_of(corners).sum()


def test_a_brush_colors_what_lies_within_half_its_width():
    mask = mask_of({"brush": [[10, 20], [40, 20]], "width": 10})
    y, x = np.mgrid[0:40, 0:60]
    distance = np.hypot(np.maximum(np.maximum(10 - x, x - 40), 0), y - 20)
    assert mask[distance < 4].all()
    assert not mask[distance > 6].any()


def test_a_dot_is_a_brush_of_one_point():
    mask = mask_of({"brush": [[10, 20]], "width": 1})
    assert mask[20, 10]
    assert mask.sum() <= 9


def test_what_leaves_the_photo_is_cut():
    mask = mask_of({"brush": [[-50, 20], [500, 20]], "width": 3})
    assert mask[20].all()
    assert mask_of([[-100, -100], [500, -100], [500, 500], [-100, 500]]).all()
    assert not mask_of({"brush": [[900, 900]], "width": 9}).any()


def test_rows_are_filled_as_the_whole():
    area = area_of([[5, 5], [50, 10], [30, 35]], 40, 60)
    whole = np.zeros((40, 60, 2))
    area.fill(slice(0, 40), whole, (1, 2))
    parts = np.zeros((40, 60, 2))
    for top in range(0, 40, 7):
        rows = slice(top, min(top + 7, 40))
        area.fill(rows, parts[rows], (1, 2))
    np.testing.assert_array_equal(parts, whole)


def test_an_area_keeps_only_its_box():
    area = area_of({"brush": [[30, 20]], "width": 4}, 4000, 6000)
    assert area.mask.size < 200
    x, y = area.first_pixel()
    assert area.contains(x, y)
    assert not area.contains(0, 0)
    assert Area(0, 0, np.zeros((3, 3), bool)).first_pixel() is None


def test_scaled_regions_are_the_same_part_of_a_smaller_photo():
    region = {"brush": [[10, 20], [40, 20]], "width": 10}
    small, large = mask_of(scaled(region, 0.5), 20, 30), mask_of(region)
    shrunk = large.reshape(20, 2, 30, 2).mean((1, 3)) > 0.5
    np.testing.assert_allclose(np.argwhere(small).mean(0), np.argwhere(shrunk).mean(0), atol=0.6)
    assert small.sum() == pytest.approx(shrunk.sum(), rel=0.1)
    assert scaled([[1, 1], [3, 1], [1, 3]], 2)["polygon"][0] == (2.5, 2.5)


@pytest.mark.parametrize(
    "region",
    [[], [[1, 2]], "x", 5, {"brush": [], "width": 2}, {"brush": [[1, 1]], "width": 0},
     {"brush": [[1, 1]]}, {"brush": [[1]], "width": 2}, {"polygon": [[1, 1], [2, 2]]},
     {"brush": [[1e9, 1]], "width": 2}, {"brush": [[1, 1]], "width": float("nan")},
     np.zeros((3, 3), bool)],
)  # fmt: skip
def test_wrong_regions_are_named(region):
    with pytest.raises(RequestError, match="lasso"):
        area_of(region, 40, 60, "lasso")
