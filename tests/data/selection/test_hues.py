import colorsys
import math

import numpy as np
import pytest
from helpers.synthetic import Arrays
from PIL import Image
from skimage.color import rgb2hsv

from colorjax.data.selection import color_filter, hues
from colorjax.errors import RequestError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "colorjax"


def photos(number, size=12, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (number, size, size, 3), np.uint8)


def flat(*colors):
    return np.array([colors], np.uint8)


def test_hue_is_that_of_scikit_image():
    """Every triple of a few values: grays, ties of two channels, black, white and pure colors."""
    few = np.array([0, 1, 2, 90, 127, 128, 254, 255], np.uint8)
    rgb = np.stack(np.meshgrid(few, few, few), axis=-1)
    wanted = rgb2hsv(rgb)[..., 0]
    result = hues.hue(rgb)
    np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(result == 0, wanted == 0)
    assert (result >= 0).all()
    assert (result < 1).all()
    assert result.dtype == np.float64


def test_arithmetic_mean_is_the_originals():
    for photo in photos(5):
        assert hues.mean_hues(photo).arithmetic == pytest.approx(
            rgb2hsv(photo)[..., 0].mean(), abs=1e-9
        )
    # red is 0, blue 2/3, gray 0
    assert hues.mean_hues(flat((255, 0, 0), (0, 0, 9))).arithmetic == pytest.approx(1 / 3)
    assert hues.mean_hues(flat((7, 7, 7), (0, 0, 9))).arithmetic == pytest.approx(1 / 3)


def slow_circular_mean(photo):
    x = y = 0.0
    for red, green, blue in photo.reshape(-1, 3).tolist():
        if not red == green == blue:
            angle = 2 * math.pi * colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)[0]
            x, y = x + math.cos(angle), y + math.sin(angle)
    return math.atan2(y, x) / (2 * math.pi) % 1


def test_circular_mean_is_the_angle_of_the_sum_of_unit_vectors():
    for photo in photos(5, seed=1):
        assert hues.mean_hues(photo).circular == pytest.approx(slow_circular_mean(photo), abs=1e-9)


def test_circular_mean_at_red_where_the_circle_closes():
    """Reds of hue 0.98 and 0.04: their mean is 0.01, not the cyan 0.51."""
    both = [round(255 * v) for hue in (0.98, 0.04) for v in colorsys.hsv_to_rgb(hue, 1, 1)]
    photo = flat(both[:3], both[3:])
    assert hues.mean_hues(photo).arithmetic == pytest.approx(0.51, abs=2e-3)
    assert hues.mean_hues(photo).circular == pytest.approx(0.01, abs=2e-3)
    # 0.98 and 0.02 to rounding: at 0, or just below 1, never 1 itself
    mirrored = flat((255, 30, 0), (255, 0, 30))
    assert 0 <= hues.mean_hues(mirrored).circular < 1
    assert math.cos(2 * math.pi * hues.mean_hues(mirrored).circular) == pytest.approx(1)


def test_gray_pixels_add_nothing_to_the_circular_mean():
    green = flat((0, 200, 0), (100, 100, 100), (0, 0, 0), (255, 255, 255))
    assert hues.mean_hues(green).circular == pytest.approx(1 / 3)
    assert hues.mean_hues(green).arithmetic == pytest.approx(1 / 12)


def test_photos_without_a_direction_have_hue_0():
    assert hues.mean_hues(flat((5, 5, 5), (200, 200, 200))).circular == 0
    assert hues.mean_hues(flat((255, 0, 0), (0, 255, 255))).circular == 0  # opposite
    assert hues.mean_hues(flat((255, 0, 0), (0, 255, 0), (0, 0, 255))).circular == 0


@pytest.mark.parametrize("mean", hues.MEANS)
def test_a_source_is_measured_once(mean, cache, monkeypatch):
    rgb = photos(70)
    source = Arrays(rgb)
    measured = color_filter.find_hues(source, mean)
    assert measured.dtype == np.float64
    np.testing.assert_array_equal(measured, [getattr(hues.mean_hues(photo), mean) for photo in rgb])
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(Arrays, "__getitem__", None)  # nothing more is read
    np.testing.assert_array_equal(color_filter.find_hues(source, mean), measured)
    for other in hues.MEANS:
        assert color_filter.find_hues(source, other).shape == (70,)
    assert len(color_filter.find_colored(source, drop_grey=True, min_chroma=0.0)) == 70


def test_photos_are_measured_as_they_are_up_to_64_px():
    small = photos(1, 64)[0]
    block = np.random.default_rng(2).integers(0, 2, (64, 64, 1)) * [255, 100, 0]
    large = block.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    measured = color_filter.find_hues(Arrays([small, large]))
    wanted = [rgb2hsv(photo)[..., 0].mean() for photo in (small, block.astype(np.uint8))]
    np.testing.assert_allclose(measured, wanted, rtol=0, atol=1e-9)


def test_an_unreadable_photo_has_no_hue():
    measured = color_filter.find_hues(Arrays([photos(1)[0], b"no photo"]))
    assert np.isnan(measured).tolist() == [False, True]


def test_an_unknown_mean():
    with pytest.raises(RequestError, match=r"data\.hue_mean 'mode'; known: arithmetic, circular"):
        color_filter.find_hues(Arrays([photos(1)[0]]), "mode")


def colors_of(picture):
    return {color for _, color in picture.getcolors(1 << 20)}


def test_histograms_draw_each_hue_in_its_color():
    """All training photos are green (bin 20 of 60), all validation photos blue (bin 40)."""
    picture = hues.histograms(np.full(30, 0.335), np.full(7, 0.67), caption="a caption")
    assert isinstance(picture, Image.Image)
    assert picture.mode == "RGB"
    assert picture.width == 960
    pixels = np.asarray(picture).astype(int)
    halves = pixels[: (len(pixels) - 30) // 2], pixels[(len(pixels) - 30) // 2 : -30]
    for half, hue, others in [(halves[0], 20, 40), (halves[1], 40, 20)]:
        width = (960 - 70 - 24) / 60
        for number, is_bar in [(hue, True), (others, False), (5, False)]:
            column = half[:, round(70 + width * (number + 0.5))]
            saturated = np.ptp(column, axis=-1) > 100
            # the bar has the full height of 220 px; else only the strip below the axis is colored
            assert (saturated.sum() > 200) == is_bar
            if is_bar:
                tone = colorsys.rgb_to_hsv(*(column[saturated][0] / 255))[0]
                assert tone == pytest.approx((number + 0.5) / 60, abs=0.01)


def test_bars_are_shares_on_one_scale():
    """A half of each part in one bin: bars of the same height for 10 photos and for 1,000."""
    few, many = (np.repeat([0.1, 0.6], number) for number in (5, 500))
    picture = np.asarray(hues.histograms(many, few)).astype(int)
    halves = picture[: len(picture) // 2], picture[len(picture) // 2 :]
    column = 70 + round((960 - 70 - 24) * 0.608)
    heights = [(np.ptp(half[:, column], axis=-1) > 100).sum() for half in halves]
    assert heights[0] == heights[1] > 100


def test_histograms_leave_unreadable_photos_out_and_stand_nothing():
    readable = hues.histograms(np.array([0.2, np.nan]), np.array([0.4]))
    assert readable.tobytes() == hues.histograms(np.array([0.2]), np.array([0.4])).tobytes()
    assert readable.tobytes() != hues.histograms(np.array([0.2] * 2), np.array([0.4])).tobytes()
    nothing = hues.histograms(np.array([]), np.array([np.nan]))
    assert nothing.size == readable.size
