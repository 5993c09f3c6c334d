"""suggest, uncertainty, ask, draw and sample of photos, with tiny networks."""

import json
import re
import shutil

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image
from skimage.color import rgb2lab

from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.hints import Hint

PHOTO = np.array(
    Image.fromarray(synthetic_images(1, 64, seed=5)[0]).convert("L").resize((90, 70))
).clip(90, 190)


@pytest.fixture(scope="module")
def colorizer(zhang16_workdir):
    return Colorizer.load(zhang16_workdir)


@pytest.fixture(scope="module")
def prepared(colorizer):
    return colorizer.prepare(PHOTO)


def test_the_network_runs_once(colorizer, monkeypatch):
    runs = []
    run = colorizer._engine.run
    monkeypatch.setattr(
        colorizer._engine, "run", lambda name, *args: (runs.append(name), run(name, *args))[1]
    )
    prepared = colorizer.prepare(PHOTO)
    prepared.suggest(3, 4)
    prepared.uncertainty()
    prepared.ask(2)
    prepared.draw(2, hints=[(5, 5, "#808060")])
    assert runs == ["keyed"]


def test_suggestions_have_the_lightness_of_the_pixel(prepared, colorizer):
    result = prepared.suggest(40, 30, k=4)
    codes = np.array([[list(bytes.fromhex(each.color[1:])) for each in result]], np.uint8)
    own = rgb2lab(np.repeat(PHOTO[30:31, 40:41, None], 3, axis=-1))[0, 0, 0]
    np.testing.assert_allclose(rgb2lab(codes)[0, :, 0], own, atol=0.5)
    assert result == colorizer.suggest(PHOTO, 40, 30, 4)
    assert prepared.suggest(40, 30, 1, [(40, 30, "#8a7a6a")]) != result[:1]
    with pytest.raises(RequestError, match="outside the photo of 90x70"):
        prepared.suggest(90, 0)


def test_a_hint_makes_its_place_certain(prepared, colorizer):
    plain = prepared.uncertainty()
    assert plain.dtype == np.float32
    assert 0 <= plain.min() <= plain.max() <= 1
    hinted = prepared.uncertainty([(40, 30, "#8a7a6a")])
    row, column = 30 * plain.shape[0] // 70, 40 * plain.shape[1] // 90
    assert hinted[row, column] < 0.1 < plain[row, column]
    assert np.array_equal(plain, colorizer.uncertainty(PHOTO))


def test_uncertainty_is_the_entropy_of_the_distribution(colorizer, prepared):
    """Of the network at its own grid; the distribution is that of the working size."""
    shares = colorizer.predict_distribution(PHOTO)
    nats = -np.sum(shares * np.log(np.maximum(shares, 1e-30)), axis=-1) / np.log(313)
    assert prepared.uncertainty().mean() == pytest.approx(nats.mean(), abs=0.02)


def test_questions(prepared):
    result = prepared.ask(4)
    places = [(each.x, each.y) for each in result]
    assert len(set(places)) == 4
    for question in result:
        assert 0 <= question.x < 90
        assert 0 <= question.y < 70
        assert question.suggestions == prepared.suggest(question.x, question.y)
        assert question.change >= 0
    for n, (x, y) in enumerate(places):
        for u, v in places[:n]:
            assert max(abs(x - u), abs(y - v)) > 4  # none beside another
    first = result[0]
    answered = prepared.ask(1, [(first.x, first.y, "#8a7a6a")])[0]
    assert (answered.x, answered.y) != places[0]


def test_samples_are_pictures_of_their_hints(prepared, colorizer):
    own = Hint(3, 3, "#8a7a6a")
    drawn = prepared.draw(3, seed=1, hints=[own])
    pictures = prepared.sample(3, seed=1, hints=[own])
    assert drawn == prepared.draw(3, seed=1, hints=[own])
    for hints, picture in zip(drawn, pictures, strict=True):
        assert hints[0] == own
        assert all(re.fullmatch("#[0-9a-f]{6}", hint.color) for hint in hints)
        assert np.array_equal(picture, colorizer.colorize(PHOTO, hints=hints))
    assert len({picture.tobytes() for picture in pictures}) == 3
    again = colorizer.sample(PHOTO, 3, 1)
    assert all(np.array_equal(a, b) for a, b in zip(again, prepared.sample(3, 1), strict=True))


def test_weights_that_cannot(workdir, zhang17_workdir):
    without_bins = Colorizer.load(workdir).prepare(PHOTO)
    for call in (lambda p: p.suggest(1, 1), lambda p: p.uncertainty()):
        with pytest.raises(RequestError, match="predict no distribution over color bins; use"):
            call(without_bins)
    with_input = Colorizer.load(zhang17_workdir).prepare(PHOTO)
    for call in (lambda p: p.ask(1), lambda p: p.draw(1)):
        with pytest.raises(RequestError, match="do not spread hints by their features; use"):
            call(with_input)


def test_calibration_leaves_the_colors_as_they_are(tmp_path, zhang16_workdir):
    run = tmp_path / "calibrated"
    shutil.copytree(zhang16_workdir, run)
    config = json.loads((run / "config.json").read_text())
    bias = np.linspace(-1, 1, 313).tolist()
    config["inference"] |= {"bin_bias": bias, "bin_temperature": 1.5}
    (run / "config.json").write_text(json.dumps(config))
    old, new = Colorizer.load(zhang16_workdir), Colorizer.load(run)
    raw = Colorizer.load(run, calibrated=False)
    for options in ({}, {"quality": "best"}, {"hints": [(3, 4, "#8a7a6a")]}):
        assert np.array_equal(old.colorize(PHOTO, **options), new.colorize(PHOTO, **options))
    assert old.digest() != new.digest()
    logs = np.asarray(raw.prepare(PHOTO)._beliefs.log_shares, np.float64)
    scaled = np.exp((logs + bias) / 1.5)
    wanted = scaled / scaled.sum(-1, keepdims=True)
    np.testing.assert_allclose(
        np.exp(new.prepare(PHOTO)._beliefs.log_shares), wanted, rtol=1e-3, atol=1e-6
    )
    assert np.array_equal(raw.uncertainty(PHOTO), old.uncertainty(PHOTO))
