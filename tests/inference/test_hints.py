import json

import jax
import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax import color
from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.inference import hints
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.hints import Hint

GRAY = color.rgb_u8_to_lab(np.stack(synthetic_images(1, 64, seed=5)))[0, :40, :, 0]
PHOTO = np.round(2.55 * GRAY).astype(np.uint8)  # 40 rows of 64
RED = Hint(50, 10, "#c02020")


@pytest.fixture(scope="module")
def hinted(zhang17_workdir):
    return Colorizer.load(zhang17_workdir)


@pytest.fixture(scope="module")
def binned(zhang16_workdir):
    return Colorizer.load(zhang16_workdir)


def test_paint_puts_the_color_where_the_pixel_is():
    # A photo of 400 x 100 (h x w) seen at 256 x 64: 0.64 of its size, hints of 3 px.
    result = hints.paint([Hint(99, 0, "#0000ff"), Hint(50, 200, "#ff0000")], (400, 100), (256, 64))
    rows, columns = np.nonzero(result["hint_mask"][0, :, :, 0])
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {
        *((row, column) for row in (0, 1) for column in (62, 63)),
        *((row, column) for row in (127, 128, 129) for column in (31, 32, 33)),
    }
    # CIE Lab of sRGB blue and red under D65: (79.19, -107.86) and (80.11, 67.22).
    np.testing.assert_allclose(110 * result["hint_ab"][0, 0, 63], (79.19, -107.86), atol=0.02)
    np.testing.assert_allclose(110 * result["hint_ab"][0, 128, 32], (80.11, 67.22), atol=0.02)
    assert not result["hint_ab"][result["hint_mask"][..., 0] == 0].any()


def test_hints_have_five_pixels_at_256_and_the_last_counts():
    result = hints.paint([RED, Hint(51, 10, "#00ff00")], (256, 256), (256, 256))
    assert result["hint_mask"].sum() == 5 * 6
    assert result["hint_ab"][0, 10, 50, 0] < 0 < result["hint_ab"][0, 10, 48, 0]


def test_a_hint_changes_the_colors(hinted):
    plain, red = hinted.colorize(PHOTO), hinted.colorize(PHOTO, hints=[RED])
    assert plain.shape == red.shape == (40, 64, 3)
    assert np.abs(plain.astype(int) - red).max() > 3
    same = hinted.colorize(PHOTO, hints=[(50, 10, "#C02020")])
    assert np.array_equal(red, same)


def test_other_hints_need_no_compilation(hinted):
    hinted.colorize(PHOTO, hints=[RED])
    before = hinted.compile_seconds
    hinted.colorize(PHOTO, hints=[Hint(1, 2, "#102030"), RED])
    hinted.colorize(PHOTO)
    assert hinted.compile_seconds == before


def test_lightness_stays_with_hints_and_saturation(hinted):
    colored = hinted.colorize(PHOTO, hints=[RED], saturation=3.0)
    lightness = color.rgb_u8_to_lab(colored)[..., 0]
    wanted = color.rgb_u8_to_lab(np.repeat(PHOTO[..., None], 3, -1))[..., 0]
    assert np.abs(lightness - wanted).max() <= 100 / 255


def test_saturation_scales_and_zero_is_gray(binned):
    assert np.ptp(binned.colorize(PHOTO, saturation=0.0).astype(int), axis=-1).max() <= 1
    floats = PHOTO / np.float32(255)
    half, full = (color.rgb_to_lab(binned.colorize(floats, saturation=s)) for s in (0.05, 0.1))
    assert np.abs(full[..., 1:]).max() > 1
    np.testing.assert_allclose(2 * half[..., 1:], full[..., 1:], atol=0.05)


def test_temperature_goes_from_the_mode_to_the_mean(zhang16_workdir, binned):
    mode, mean = (Colorizer.load(zhang16_workdir, temperature=t) for t in (0.0, 1.0))
    chroma = [
        np.linalg.norm(color.rgb_u8_to_lab(c.colorize(PHOTO))[..., 1:], axis=-1).mean()
        for c in (mode, binned, mean)
    ]
    assert chroma[0] > chroma[1] > chroma[2]


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_wrong_temperatures(temperature, zhang16_workdir):
    with pytest.raises(RequestError, match="temperature must be at least 0"):
        Colorizer.load(zhang16_workdir, temperature=temperature)


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (Hint(64, 0, "#c02020"), "outside the photo of 64x40"),
        (Hint(0, 40, "#c02020"), "outside the photo of 64x40"),
        (Hint(-1, 0, "#c02020"), "whole numbers from 0"),
        (Hint(1.5, 0, "#c02020"), "whole numbers from 0"),
        (Hint(0, 0, "red"), "give the color as #rrggbb"),
        ((0, 0), "give \\(x, y, '#rrggbb'\\)"),
    ],
)
def test_wrong_hints_from_python(hint, text, hinted):
    with pytest.raises(RequestError, match=text):
        hinted.colorize(PHOTO, hints=[hint])


@pytest.fixture
def gray(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "grey.png")
    return tmp_path / "grey.png"


def colorize(*args):
    return cli.run(["colorize", *map(str, args)])


def test_hints_from_arguments_and_from_a_file_are_the_same(gray, zhang17_workdir, hinted, tmp_path):
    entries = [{"x": 50, "y": 10, "color": "#c02020"}, "3,4,#00ff00"]
    (tmp_path / "hints.json").write_text(json.dumps(entries))
    flags = ["--checkpoint", zhang17_workdir, "--output"]
    args = ["--hint", "50,10,#c02020", "--hint", "3,4,#00ff00"]
    assert colorize(gray, *flags, tmp_path / "a", *args) == 0
    assert colorize(gray, *flags, tmp_path / "b", "--hints", tmp_path / "hints.json") == 0
    a, b = (np.asarray(Image.open(tmp_path / name / "grey.png")) for name in "ab")
    wanted = hinted.colorize(PHOTO, hints=[RED, Hint(3, 4, "#00ff00")])
    assert np.array_equal(a, b)
    assert np.array_equal(a, wanted)


def test_hints_speak_of_the_upright_photo(zhang17_workdir, hinted, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated: turned clockwise for display
    Image.fromarray(np.rot90(PHOTO)).save(tmp_path / "turned.png", exif=exif)
    args = ["--checkpoint", zhang17_workdir, "--hint", "50,10,#c02020"]
    assert colorize(tmp_path / "turned.png", *args) == 0
    result = np.asarray(Image.open(tmp_path / "turned.color.png"))
    assert np.array_equal(result, hinted.colorize(PHOTO, hints=[RED]))


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--hint", "64,0,#c02020"], "outside the photo of 64x40 pixels"),
        (["--hint", "1,2"], "give x,y,#rrggbb"),
        (["--hint", "1,2,#c0202"], "give the color as #rrggbb"),
        (["--hint=-1,2,#c02020"], "give x,y,#rrggbb"),
        (["--hints", "absent.json"], "cannot be read"),
        (["--hints", "bad.json"], "number 2: hint '1,2': give x,y,#rrggbb"),
        (["--hints", "list.json"], "must be a list"),
        (["--hints", "text.json"], "are not valid JSON"),
        (["--temperature", "0.5"], "have no temperature"),
        (["--decode", "annealed"], "zhang17 predicts no color bins: set decode"),
        (["--decode", "mode"], "invalid choice: 'mode'"),
        (["--temperature", "-1"], "--temperature must be at least 0"),
        (["--saturation", "nan"], "--saturation must be at least 0"),
        (["--temperature", "warm"], "invalid float value"),
        (["--saturation", "inf"], "--saturation must be at least 0"),
        (["--saturation", "-1"], "--saturation must be at least 0"),
        (["--hints", "keys.json"], "number 1: hint"),
        (["--hints", "half.json"], "x and y must be whole numbers"),
        (["--hint", "1.5,2,#c02020"], "give x,y,#rrggbb"),
        (["--hints", "none.json", "--hints", "none.json"], "--hints is given twice"),
        (["--temperature", "1", "--temperature", "1"], "--temperature is given twice"),
        (["--saturation", "1", "--saturation", "1"], "--saturation is given twice"),
        (["second.png", "--hint", "1,2,#c02020"], "hints are for one photo, not for 2"),
    ],
)
def test_wrong_requests_are_one_line(
    args, text, gray, zhang17_workdir, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("second.png")
    (tmp_path / "bad.json").write_text('["1,2,#c02020", "1,2"]')
    (tmp_path / "list.json").write_text('{"x": 1, "y": 2, "color": "#c02020"}')
    (tmp_path / "text.json").write_text("1,2,#c02020")
    (tmp_path / "keys.json").write_text('[{"x": 1, "y": 2, "colour": "#c02020"}]')
    (tmp_path / "half.json").write_text('[{"x": 1.5, "y": 2, "color": "#c02020"}]')
    (tmp_path / "none.json").write_text("[]")
    before = {path.name for path in tmp_path.iterdir()}
    # Also with --output: a refused request creates no folder.
    assert colorize("--checkpoint", zhang17_workdir, "--output", "out", gray, *args) == 2
    message = capsys.readouterr().err.strip()
    assert text in message
    assert "\n" not in message
    assert {path.name for path in tmp_path.iterdir()} == before


def test_hints_for_a_network_that_shows_no_features(gray, zhang16_workdir, monkeypatch, capsys):
    colorizer = Colorizer.load(zhang16_workdir)
    monkeypatch.setattr(type(colorizer._engine.method.network), "feature_layers", ())
    args = ["--checkpoint", zhang16_workdir, "--hint", "1,2,#c02020"]
    assert colorize(gray, *args) == 2
    message = capsys.readouterr().err.strip()
    assert "names no feature_layers" in message
    assert "\n" not in message
    assert not gray.with_name("grey.color.png").exists()
    region = np.zeros(PHOTO.shape, bool)
    region[:9, :9] = True
    result = colorizer.colorize(PHOTO, hints=[(3, 3, "#a06060", region)]).astype(int)
    assert result[3, 3, 0] - result[3, 3, 2] > 20


def test_hints_for_a_folder_are_refused(gray, zhang17_workdir, capsys):
    args = ["--checkpoint", zhang17_workdir, "--hint", "1,2,#c02020"]
    assert colorize(gray.parent, *args) == 2  # although it has only one photo
    assert "not for a folder" in capsys.readouterr().err
    assert [path.name for path in gray.parent.iterdir()] == ["grey.png"]


def test_a_hint_acts_most_where_it_is(hinted):
    flat = np.full((64, 64), 120, np.uint8)
    plain = hinted.colorize(flat).astype(int)
    for x, y in ((4, 4), (59, 20)):
        change = np.abs(hinted.colorize(flat, hints=[(x, y, "#2020ff")]) - plain).sum(-1)
        near = change[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4].mean()
        assert near > 1.5 * change.mean() > 0


def test_temperature_zero_is_the_mode(zhang16_workdir):
    mode = Colorizer.load(zhang16_workdir, temperature=0)
    square = PHOTO[:32, :32]  # of the working size: nothing is resized
    lightness = color.rgb_u8_to_lab(np.repeat(square[..., None], 3, -1))[..., :1]
    fields = {"gray": lightness[None] / 50 - 1}
    logits = jax.jit(mode._engine.method.predict)(mode._engine.variables, fields)["bin_logits"][0]
    bins = color.ab_bins()[np.asarray(logits).argmax(-1)].astype(np.float32)
    planes = [
        np.asarray(Image.fromarray(bins[..., i]).resize((32, 32), Image.Resampling.BILINEAR))
        for i in (0, 1)
    ]
    lab = np.dstack([lightness[..., 0], *planes])
    expected = color.lab_to_rgb_u8(lab, gamut="shrink_chroma").astype(int)
    assert np.abs(mode.colorize(square) - expected).max() <= 1
    assert (
        np.abs(Colorizer.load(zhang16_workdir, temperature=1).colorize(square) - expected).max() > 9
    )


def test_no_saturation_is_too_much(binned):
    much, more = (binned.colorize(PHOTO, saturation=s).astype(int) for s in (100.0, 1e300))
    assert np.ptp(more, axis=-1).mean() > 0.95 * np.ptp(much, axis=-1).mean() > 50
