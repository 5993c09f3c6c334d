"""Sessions as JSON, their hints at any size, and `colorize --hints` with them."""

import json

import numpy as np
import pytest
from PIL import Image

from colorjax import color
from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.inference import session
from colorjax.inference.hints import Hint
from colorjax.inference.options import WARM, Options
from colorjax.inference.session import Session, Source, State, Variant

RED = "#c04030"
BRUSH = {"brush": [[10, 10], [30, 10]], "width": 6}
SQUARE = {"polygon": [[40, 20], [60, 20], [60, 40], [40, 40]]}
STROKES = [
    {"kind": "hint", "x": 10, "y": 30, "color": RED, "region": None, "id": "s1"},
    {"kind": "hint", "x": 50, "y": 30, "color": "#3050a0", "region": SQUARE},
    {"kind": "erase", "region": BRUSH},
]


def test_a_session_survives_its_json():
    state = State.from_json(
        {
            "strokes": STROKES,
            "warmth": 0.5,
            "reference": {"digest": "a" * 64, "name": "sun.jpg"},
            "variant": {"seed": 1, "index": 2, "hints": [{"x": 3, "y": 4, "color": RED}]},
        }
    )
    content = Session(Source("a.png", "b" * 64, 64, 48), Source("w", "c" * 64), state, [1])
    stored = json.loads(json.dumps(content.to_json("colorjax 1")))
    assert Session.from_json(stored) == content
    assert stored["strokes"][0]["id"] == "s1"
    assert stored["program"] == "colorjax 1"


def test_hints_are_those_of_the_variant_then_the_strokes():
    variant = Variant(0, 0, (Hint(1, 2, "#00ff00"),))
    hints = State(tuple(STROKES), variant=variant).hints(48, 64)
    assert hints[0] == Hint(1, 2, "#00ff00")
    assert hints[1] == Hint(10, 30, RED)
    assert hints[2].region == SQUARE
    assert hints[3].color == session.GRAY
    assert (7 <= hints[3].x <= 33, 7 <= hints[3].y <= 13) == (True, True)


def test_hints_of_a_smaller_picture_lie_at_the_same_places():
    hints = State(tuple(STROKES)).hints(24, 32, 0.5)
    assert (hints[0].x, hints[0].y) == (5, 15)
    assert hints[1].region["polygon"][0] == (19.75, 9.75)  # whole numbers are centers of pixels
    assert hints[2].region["width"] == 3


def test_an_erasure_outside_the_photo_is_left_out():
    state = State(({"kind": "erase", "region": {"brush": [[900, 900]], "width": 5}},))
    assert state.hints(48, 64) == []


def test_an_erasure_is_exactly_gray(colorizer):
    image = np.random.default_rng(0).integers(0, 256, (48, 64)).astype(np.uint8)
    state = State(tuple(STROKES), saturation=2.0, warmth=1.0)
    result = colorizer.colorize(
        np.repeat(image[..., None], 3, -1), **state.coloring(state.hints(48, 64))
    )
    assert np.ptp(result[8:13, 8:32].astype(int), axis=-1).max() == 0
    ab = color.rgb_u8_to_lab(result[25:36, 45:56])[..., 1:]
    wanted = color.rgb_u8_to_lab(np.array([0x30, 0x50, 0xA0], np.uint8))[1:]
    inside = np.abs(image[25:36, 45:56].astype(int) - 90) < 30  # where sRGB has this color
    assert np.abs(ab - wanted)[inside].max() < 3


def test_warmth_adds_its_color_to_the_prediction_and_not_to_hints(colorizer):
    image = np.full((48, 64, 3), 128, np.uint8)
    hints = [(10, 10, RED)]
    lab = [
        color.rgb_u8_to_lab(colorizer.colorize(image, hints=hints, warmth=warmth))
        for warmth in (0.0, 0.5)
    ]
    difference = lab[1] - lab[0]
    np.testing.assert_allclose(difference[10, 10], 0, atol=0.5)
    plain = [color.rgb_u8_to_lab(colorizer.colorize(image, warmth=warmth)) for warmth in (0.0, 0.5)]
    shift = (plain[1] - plain[0])[..., 1:].mean((0, 1))
    np.testing.assert_allclose(shift, 0.5 * np.array(WARM), atol=0.5)


def test_warm_is_the_white_of_d50():
    white = {"D50": (0.96422, 1, 0.82521), "D65": (0.95047, 1, 1.08883)}
    x, y, z = (np.cbrt(own / seen) for own, seen in zip(white["D50"], white["D65"], strict=True))
    np.testing.assert_allclose(WARM, (500 * (x - y), 200 * (y - z)), atol=0.05)


@pytest.mark.parametrize("warmth", [1.1, -2, "hot", None, float("nan"), True])
def test_wrong_warmth(warmth):
    with pytest.raises(RequestError, match="warmth must be from -1 to 1"):
        Options(warmth=warmth)


def stored(folder, digest, **changes):
    content = Session(
        Source("a.png", "b" * 64, 64, 48), Source("plain", digest), State(tuple(STROKES))
    )
    path = folder / "a.color.png.json"
    path.write_text(json.dumps(content.to_json("colorjax 1") | changes))
    return path


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def refused(capsys, *args):
    assert cli.run(["colorize", *map(str, args)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_other_weights_are_refused_in_one_line(photo, tmp_path, capsys):
    path = stored(tmp_path, "c" * 64)
    error = refused(capsys, photo, "--hints", path, "--checkpoint", "semantic-lite0")
    assert "other weights than 'semantic-lite0': 'plain'" in error
    assert "--checkpoint" in error


def test_what_contradicts_a_session_is_refused(photo, tmp_path, capsys, workdir):
    from colorjax.weights.open import open_weights

    path = stored(tmp_path, open_weights(str(workdir)).digest())
    given = (photo, "--hints", path, "--checkpoint", workdir)
    assert "leave --saturation out" in refused(capsys, *given, "--saturation", "2")
    assert "leave --warmth out" in refused(capsys, *given, "--warmth", "0.5")
    assert "no reference photo" in refused(capsys, *given, "--global-image", photo)
    Image.new("L", (30, 30)).save(tmp_path / "other.png")
    error = refused(capsys, tmp_path / "other.png", *given[1:])
    assert "64x48" in error
    Image.new("L", (48, 64)).save(tmp_path / "b.png")
    assert "one photo, not for 2" in refused(capsys, tmp_path / "b.png", *given)


@pytest.mark.parametrize("change", [{"version": 9}, {"strokes": 1}, {"photo": None}])
def test_a_wrong_session_names_its_file(change, photo, tmp_path, capsys):
    path = stored(tmp_path, "c" * 64, **change)
    assert "a.color.png.json" in refused(capsys, photo, "--hints", path)


@pytest.mark.parametrize("warmth", ["1.5", "nan", "-2"])
def test_warmth_of_the_command_line_is_checked(warmth, photo, capsys):
    assert "--warmth must be from -1 to 1" in refused(capsys, photo, "--warmth", warmth)
