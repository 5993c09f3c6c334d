"""Tables of matrix profiles next to LittleCMS."""

import imagecodecs
import numpy as np
import pytest
from helpers.photos import zoo

from colorjax.photos import color_space, matrix_profile

D65 = (0.3127, 0.3290, 1.0)
P3 = (0.680, 0.320, 1, 0.265, 0.690, 1, 0.150, 0.060, 1)
PROPHOTO = (0.7347, 0.2653, 1, 0.1596, 0.8404, 1, 0.0366, 0.0001, 1)
PROFILES = {
    "adobergb": zoo.ADOBE,
    "p3": imagecodecs.cms_profile("rgb", whitepoint=D65, primaries=P3, gamma=2.4),
    "prophoto": imagecodecs.cms_profile(
        "rgb", whitepoint=(0.3457, 0.3585, 1.0), primaries=PROPHOTO, gamma=1.8
    ),
}


@pytest.mark.parametrize("name", PROFILES)
def test_tables_write_what_LittleCMS_writes(name):
    """At most 1 level apart, and only where the exact value is half way between two levels."""
    profile = PROFILES[name]
    srgb = np.random.default_rng(0).random((64, 500, 3), np.float32)
    srgb[:8] /= 20
    srgb[8:10] = [[[0]], [[1]]]
    painted = np.zeros((64, 500, 4), np.uint8)
    color_space.Space(np.dtype(np.uint8), 255, "rgb", profile).from_srgb(srgb, painted[..., :3])
    exact = 255 * np.clip(color_space.from_profile_space(srgb, profile, "rgb"), 0, 1)
    assert color_space.matrix_tables(profile) is not None
    assert np.abs(painted[..., :3] - exact).max() < 0.53
    assert (painted[..., :3] != np.rint(exact)).mean() < 0.004
    assert not painted[..., 3].any()  # alpha


def test_values_outside_sRGB_are_clipped():
    srgb = np.array([[[-0.5, 0.5, 1.5], [np.float32(1.0), 0, 0]]], np.float32)
    space = color_space.Space(np.dtype(np.uint8), 255, "rgb", zoo.ADOBE)
    wanted, painted = np.empty((1, 2, 3), np.uint8), np.empty((1, 2, 3), np.uint8)
    space.from_srgb(srgb, painted)
    space.from_srgb(np.clip(srgb, 0, 1), wanted)
    np.testing.assert_array_equal(painted, wanted)


def test_a_profile_that_is_no_matrix_has_no_tables():
    """It may have colorants and a table, which LittleCMS prefers."""

    def crossed(srgb):
        return srgb[..., [1, 0, 2]]

    sRGB = color_space.srgb_profile()
    assert matrix_profile.read(zoo.ADOBE, sRGB, crossed) is None
    assert matrix_profile.read(sRGB, sRGB, lambda srgb: srgb) is not None
    for damaged in (b"", zoo.ADOBE[:140], zoo.ADOBE.replace(b"rXYZ", b"rxyz")):
        assert matrix_profile.read(damaged, sRGB, lambda srgb: srgb) is None


def test_other_depths_use_LittleCMS(monkeypatch):
    monkeypatch.setattr(color_space, "matrix_tables", lambda profile: pytest.fail("tables"))
    for dtype, full in ((np.uint16, 65535), (np.uint8, 200), (np.float32, 1)):
        space = color_space.Space(np.dtype(dtype), full, "rgb", zoo.ADOBE)
        space.from_srgb(np.full((1, 2, 3), 0.5, np.float32), np.empty((1, 2, 3), dtype))


def test_grays_of_8_bits_are_those_of_LittleCMS():
    space = color_space.Space(np.dtype(np.uint8), 255, "rgb", zoo.ADOBE)
    gray = np.random.default_rng(0).integers(0, 256, (20, 30, 1), np.uint8)
    colors = np.repeat(gray, 3, axis=2)
    by_table = space.to_srgb(colors)
    wanted = color_space._converted(colors, zoo.ADOBE)
    np.testing.assert_array_equal(by_table, wanted)
    colors[7, 9, 2] ^= 1  # a single pixel with a color
    np.testing.assert_array_equal(space.to_srgb(colors), color_space._converted(colors, zoo.ADOBE))
    assert (space.to_srgb(colors) != wanted).any()
