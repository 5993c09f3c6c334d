"""Hints for networks without a hint input, and hints with a region."""

import json

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image
from skimage.color import rgb2lab

from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.hints import Hint

PHOTO = np.array(
    Image.fromarray(synthetic_images(1, 64, seed=5)[0]).convert("L").resize((90, 70))
).clip(90, 190)  # lightness at which the colors below are in gamut
GREEN, BLUE = "#7a9a6a", "#707aa8"


def ab_of(rgb):
    return rgb2lab(rgb[..., :3])[..., 1:]


def color_of(code):
    return ab_of(np.array([[list(bytes.fromhex(code[1:]))]], np.uint8))[0, 0]


@pytest.fixture(scope="module")
def colorizer(zhang16_workdir):
    return Colorizer.load(zhang16_workdir)


def test_the_pixel_of_each_hint_has_its_color(colorizer):
    hints = [Hint(10, 12, GREEN), Hint(80, 60, BLUE), Hint(81, 60, GREEN), Hint(40, 12, BLUE)]
    for options in ({}, {"saturation": 2.0}, {"strength": 0.4}, {"quality": "draft"}):
        result = ab_of(colorizer.colorize(PHOTO, hints=hints, **options))
        for x, y, code, _ in hints:
            assert np.abs(result[y, x] - color_of(code)).max() < 1, (x, y, options)


def test_saturation_and_strength_do_not_change_a_hint_of_a_color_photo(colorizer):
    photo = np.stack([PHOTO, PHOTO // 2, PHOTO // 3], axis=-1)
    result = ab_of(colorizer.colorize(photo, hints=[(20, 20, GREEN)], strength=0.5))
    assert np.abs(result[20, 20] - color_of(GREEN)).max() < 1
    far = ab_of(photo)[60, 80] - result[60, 80]
    assert np.abs(far).max() > 1


def test_no_hint_leaves_the_automatic_picture(colorizer):
    plain = colorizer.colorize(PHOTO)
    assert np.array_equal(plain, colorizer.colorize(PHOTO, hints=[]))
    assert np.array_equal(plain, colorizer.prepare(PHOTO).colorize())


def test_the_last_hint_of_one_pixel_counts(colorizer):
    result = ab_of(colorizer.colorize(PHOTO, hints=[(10, 12, GREEN), (10, 12, BLUE)]))
    assert np.abs(result[12, 10] - color_of(BLUE)).max() < 1


def test_the_network_runs_once_for_a_prepared_photo(colorizer, monkeypatch):
    runs = []
    run = colorizer._engine.run
    monkeypatch.setattr(
        colorizer._engine, "run", lambda name, *args: (runs.append(name), run(name, *args))[1]
    )
    prepared = colorizer.prepare(PHOTO)
    first = prepared.colorize([(10, 12, GREEN)])
    both = prepared.colorize([(10, 12, GREEN), (70, 50, BLUE)])
    assert runs == ["keyed", "spread", "spread"]
    monkeypatch.undo()
    assert np.array_equal(first, colorizer.colorize(PHOTO, hints=[(10, 12, GREEN)]))
    assert np.array_equal(first, prepared.colorize([(10, 12, GREEN)]))
    assert not np.array_equal(first, both)


def test_a_prepared_pillow_image_stays_one(colorizer):
    result = colorizer.prepare(Image.fromarray(PHOTO)).colorize([(10, 12, GREEN)])
    assert isinstance(result, Image.Image)
    assert np.array_equal(np.asarray(result), colorizer.colorize(PHOTO, hints=[(10, 12, GREEN)]))


def test_a_prepared_photo_of_a_network_with_an_input_for_hints(zhang17_workdir):
    hinted = Colorizer.load(zhang17_workdir)
    result = hinted.prepare(PHOTO).colorize([(10, 12, GREEN)])
    assert np.array_equal(result, hinted.colorize(PHOTO, hints=[(10, 12, GREEN)]))


def test_best_and_exact_tiles_take_hints(colorizer):
    for options in ({"quality": "best"}, {"tiling": "exact"}):
        result = ab_of(colorizer.colorize(PHOTO, hints=[(10, 12, GREEN)], **options))
        assert np.abs(result[12, 10] - color_of(GREEN)).max() < 1, options


def test_a_photo_padded_to_a_square_has_hints_where_they_are(zhang16_workdir):
    padded = Colorizer.load(zhang16_workdir, aspect="pad_square")
    change = np.abs(
        ab_of(padded.colorize(PHOTO, hints=[(80, 60, GREEN)])) - ab_of(padded.colorize(PHOTO))
    ).sum(-1)
    near = change[56:65, 76:85].mean()
    assert near > 0.6 * change.max()
    assert near > 1.5 * change.mean() > 0


@pytest.mark.parametrize(
    "fixture", ["workdir", "iizuka_workdir", "edge_fusion_workdir", "semantic_workdir"]
)
def test_other_networks_take_hints_too(fixture, request):
    other = Colorizer.load(request.getfixturevalue(fixture))
    result = ab_of(other.colorize(PHOTO, hints=[(10, 12, GREEN)]))
    assert np.abs(result[12, 10] - color_of(GREEN)).max() < 1


REGION = np.zeros(PHOTO.shape, bool)
REGION[20:50, 30:60] = True


@pytest.mark.parametrize("fixture", ["zhang16_workdir", "zhang17_workdir"])
def test_a_hint_with_a_region_colors_all_of_it_and_nothing_else(fixture, request):
    colorizer = Colorizer.load(request.getfixturevalue(fixture))
    plain = colorizer.colorize(PHOTO)
    result = colorizer.colorize(PHOTO, hints=[Hint(40, 30, GREEN, REGION)])
    assert np.array_equal(result[~REGION], plain[~REGION])
    assert np.abs(ab_of(result)[REGION] - color_of(GREEN)[None]).max() < 1.5


def test_other_hints_stay_out_of_a_region_and_the_last_region_counts(colorizer):
    inner = np.zeros(PHOTO.shape, bool)
    inner[30:40, 40:50] = True
    hints = [Hint(31, 21, GREEN, REGION), Hint(45, 35, BLUE, inner), Hint(28, 30, "#a06060")]
    result = ab_of(colorizer.colorize(PHOTO, hints=hints))
    assert np.abs(result[inner] - color_of(BLUE)[None]).max() < 1.5
    assert np.abs(result[REGION & ~inner] - color_of(GREEN)[None]).max() < 1.5
    assert np.abs(result[30, 28] - color_of("#a06060")).max() < 1


def test_a_hint_in_a_region_of_another_has_its_place(colorizer):
    hints = [Hint(40, 30, GREEN, REGION), Hint(50, 40, BLUE)]
    result = ab_of(colorizer.colorize(PHOTO, hints=hints))
    assert np.abs(result[40, 50] - color_of(BLUE)).max() < 1
    assert np.abs(result[20, 30] - color_of(GREEN)).max() < 1.5


def test_a_polygon_is_a_region(colorizer, zhang16_workdir, tmp_path):
    corners = [[30, 20], [59, 20], [59, 49], [30, 49]]
    wanted = colorizer.colorize(PHOTO, hints=[Hint(40, 30, GREEN, REGION)])
    assert np.array_equal(colorizer.colorize(PHOTO, hints=[(40, 30, GREEN, corners)]), wanted)
    Image.fromarray(PHOTO).save(tmp_path / "grey.png")
    entry = {"x": 40, "y": 30, "color": GREEN, "region": corners}
    (tmp_path / "hints.json").write_text(json.dumps([entry]))
    text = ["--checkpoint", str(zhang16_workdir), "--hints", str(tmp_path / "hints.json")]
    assert cli.run(["colorize", str(tmp_path / "grey.png"), *text]) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "grey.color.png")), wanted)


@pytest.mark.parametrize(
    ("region", "text"),
    [
        (np.zeros((4, 4), bool), "the array must have the photo's shape"),
        (np.zeros(PHOTO.shape, bool), "does not contain the hint"),
        ([[1, 1], [2, 2]], "three corners or more"),
        ([[1, 1], [2, 2], [float("nan"), 0]], "three corners or more"),
        ("all", "three corners or more"),
        (7, "three corners or more"),
    ],
)
def test_wrong_regions(region, text, colorizer):
    with pytest.raises(RequestError, match=text):
        colorizer.colorize(PHOTO, hints=[Hint(40, 30, GREEN, region)])


@pytest.mark.slow
def test_the_default_weights_recolor_the_same_thing_and_leave_the_other(optimized):
    """Two checkered stripes, and a plain one between them."""
    y, x = np.mgrid[:96, :144]
    checks = 40 * np.sign(np.sin(np.pi * y / 9) * np.sin(np.pi * x / 9))
    photo = (120 + checks * (x // 48 != 1)).astype(np.uint8)
    prepared = Colorizer.load().prepare(photo)
    before, after = (ab_of(prepared.colorize(h)) for h in ([], [(24, 48, "#a05060")]))
    change = np.linalg.norm(after - before, axis=-1)
    same, far, other = (change[:, left : left + 32].mean() for left in (8, 104, 56))
    assert same > 5 * other
    assert far > 3 * other  # though it is three times as far away
