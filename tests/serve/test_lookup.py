import numpy as np

from colorjax import color
from colorjax.serve import lookup


def converted(lab):
    return lookup.to_rgbx(tuple(np.moveaxis(lab.astype(np.float32), -1, 0)))


def test_colors_of_srgb_come_back_within_a_step():
    rgb = np.random.default_rng(0).integers(0, 256, (100, 90, 3)).astype(np.uint8)
    lab = color.rgb_u8_to_lab(rgb)
    result = converted(lab)
    assert (result[..., 3] == 255).all()
    again = color.rgb_u8_to_lab(np.ascontiguousarray(result[..., :3]))
    distance = np.linalg.norm(again - lab, axis=-1)
    assert distance.mean() < 0.8
    assert distance.max() < 2


def test_grays_stay_gray():
    gray = np.arange(256, dtype=np.uint8)
    rgb = np.repeat(gray[None, :, None], 3, axis=-1)
    result = converted(color.rgb_u8_to_lab(rgb) * [1, 0, 0])[0, :, :3].astype(int)
    assert np.abs(result - gray[:, None]).max() <= 1
    assert np.ptp(result, axis=-1).max() <= 1  # as in `lab_to_rgb_u8`


def test_colors_outside_srgb_keep_lightness_and_hue():
    rng = np.random.default_rng(1)
    lab = np.stack([rng.uniform(5, 95, 5000), *rng.uniform(-100, 100, (2, 5000))], axis=-1)[None]
    got = color.rgb_u8_to_lab(np.ascontiguousarray(converted(lab)[..., :3]))
    wanted = color.rgb_u8_to_lab(np.asarray(color.lab_to_rgb_u8(lab, "shrink_chroma")))
    assert np.abs(got - wanted)[..., 0].max() < 2
    assert np.percentile(np.linalg.norm(got - wanted, axis=-1), [50, 99]).tolist() < [1, 7]


def test_values_beyond_the_table_are_limited():
    lab = np.array([[[-5, 0, 0], [105, 0, 0], [50, 1e6, -1e6]]])
    result = converted(lab)[0, :, :3]
    assert result[0].tolist() == [0, 0, 0]
    assert result[1].tolist() == [255, 255, 255]
