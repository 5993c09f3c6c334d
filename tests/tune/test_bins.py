"""Calibration of the color bins on made-up predictions, and its storage."""

import json
import shutil

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax import color
from colorjax.cli import main as cli
from colorjax.color import gray_photo
from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.tune import bins, calibrate
from colorjax.weights import pack
from colorjax.weights.named import WeightsFile
from colorjax.weights.open import open_weights


def softmax(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def positions(number=6000, photos=30, bias=None, temperature=1.0):
    """Truths drawn from softmax((logits + bias) / temperature)."""
    rng = np.random.default_rng(0)
    favored = rng.normal(0, 2, 313)
    logits = (favored + rng.normal(0, 1.5, (number, 313))).astype(np.float32)
    shares = softmax((logits + (0 if bias is None else bias)) / temperature)
    truth = (np.cumsum(shares, -1) < rng.random((number, 1))).sum(-1).clip(0, 312)
    return bins.Positions(logits, truth, np.arange(number) % photos)


def test_a_bias_is_recovered():
    bias = np.zeros(313)
    often = positions().logits.mean(0).argsort()[-5:]
    bias[often] = [1.5, -1.5, 1.5, -1.5, 1.0]
    data = positions(bias=bias)
    fit = bins.fit(data)
    assert fit.strength >= 0.75
    got, own = fit.bias[often] - np.median(fit.bias), bias[often]
    assert np.corrcoef(got, own)[0, 1] > 0.97
    assert np.abs(got - fit.strength * own).max() < 0.45  # pseudo counts shrink it
    assert fit.bias.mean() == pytest.approx(0, abs=1e-6)
    assert fit.bits_per_pixel[1] < fit.bits_per_pixel[0] - 0.05
    assert fit.ece[1] < fit.ece[0]


def test_the_marginals_match():
    data = positions(bias=np.random.default_rng(1).normal(0, 1, 313))
    bias = bins._match_marginals(data)
    predicted = softmax(data.logits + bias).sum(0)
    counts = np.bincount(data.bins, minlength=313)
    many = counts > 200
    assert many.sum() >= 3
    np.testing.assert_allclose(predicted[many], counts[many], rtol=0.05)


def test_a_temperature_is_recovered():
    fit = bins.fit(positions(temperature=1.4))
    assert fit.temperature == pytest.approx(1.4, abs=0.11)


def test_calibrated_predictions_stay_as_they_are():
    fit = bins.fit(positions())
    assert np.abs(fit.bias).max() < 0.3
    assert fit.temperature == pytest.approx(1, abs=0.06)
    assert fit.bits_per_pixel[1] <= fit.bits_per_pixel[0]


def test_one_photo_is_not_enough():
    with pytest.raises(ValueError, match="two photos or more, got 1"):
        bins.fit(positions(photos=1))


@pytest.fixture
def colorful():
    """Saturated photos: the mean chroma is above the least."""
    photos = []
    for photo in synthetic_images(3, 48, seed=5):
        vivid = color.scale_saturation(photo.astype(np.float32) / 255, 3.0)
        photos.append((np.asarray(vivid) * 255).round().astype(np.uint8))
    return photos


def test_positions_are_pixels_of_colorful_photos(zhang16_workdir, colorful):
    colorizer = Colorizer.load(zhang16_workdir)
    data = bins.collect(colorizer, [gray_photo(colorful[0]), *colorful])
    assert sorted(set(data.photo)) == [1, 2, 3]
    assert data.logits.shape == (3 * bins.POSITIONS, 313)
    shares = colorizer.predict_distribution(gray_photo(colorful[0])).reshape(-1, 313)
    first = np.exp(data.logits[0])
    assert np.abs(shares - first).max(-1).min() < 1e-5
    with pytest.raises(RequestError, match="two photos or more with a mean chroma of 12, but 1 of"):
        bins.collect(colorizer, [gray_photo(colorful[0]), colorful[1]])


def test_calibrate_stores_the_bins(tmp_path, zhang16_workdir, colorful, capsys):
    run = tmp_path / "run"
    shutil.copytree(zhang16_workdir, run)
    (tmp_path / "album").mkdir()
    for number, photo in enumerate(colorful):
        Image.fromarray(photo).save(tmp_path / "album" / f"{number}.png")
    arguments = ["calibrate", str(run), "--data", str(tmp_path / "album"), "--sizes", "32"]
    assert cli.run(arguments) == 0
    assert "color bins, 3 colorful photos: calibration error" in capsys.readouterr().out
    stored = open_weights(run)
    photos = calibrate.read_photos(stored, str(tmp_path / "album"), 200)[0]
    wanted = calibrate.Calibrator(str(run), photos).fit_bins(32)  # what is stored does not count
    assert len(stored.config.inference.bin_bias) == 313
    np.testing.assert_allclose(stored.config.inference.bin_bias, wanted.bias, atol=1e-4)
    assert stored.method.bin_temperature == wanted.temperature
    record = json.loads((run / calibrate.RECORD).read_text())["bins"]
    assert record["photos"] == 3
    assert record["temperature"] == wanted.temperature


def test_too_few_colorful_photos_leave_the_bins(tmp_path, zhang16_workdir, capsys):
    run = tmp_path / "run"
    shutil.copytree(zhang16_workdir, run)
    (tmp_path / "album").mkdir()
    pale = color.scale_saturation(synthetic_images(1, 48)[0].astype(np.float32) / 255, 0.2)
    Image.fromarray((np.asarray(pale) * 255).astype(np.uint8)).save(tmp_path / "album" / "a.png")
    arguments = ["calibrate", str(run), "--data", str(tmp_path / "album"), "--sizes", "32"]
    assert cli.run(arguments) == 0
    assert "the color bins stay as they are: bins are calibrated" in capsys.readouterr().err
    assert list(open_weights(run).config.inference.get("bin_bias", ())) == []


@pytest.mark.parametrize(
    "inference", [{"bin_bias": [0.0]}, {"bin_bias": [float("nan")] * 313}, {"bin_temperature": 0.0}]
)
def test_a_damaged_calibration_is_refused(zhang16_workdir, inference):
    weights = open_weights(zhang16_workdir)
    with weights.config.unlocked():
        weights.config.inference.update(inference)
    with pytest.raises(RequestError, match=f"inference.{next(iter(inference))} must be"):
        _ = weights.method


def test_repacked_weights_have_the_same_arrays(tmp_path):
    file = tmp_path / "x.npz"
    about = {"config": {"inference": {"saturation": 1.1}}, "card": {"step": 3}}
    np.savez_compressed(file, about=json.dumps(about), **{"params/a": np.float16([1, 2])})
    pack.repack(file, {"bin_bias": [0.5] * 313, "bin_temperature": 1.1}, {"photos": 7})
    new = WeightsFile(file.read_bytes())
    assert new.config.inference.saturation == 1.1
    assert list(new.config.inference.bin_bias) == [0.5] * 313
    assert new.config.inference.bin_temperature == 1.1
    assert new.card == {"step": 3, "calibration": {"bins": {"photos": 7}}}
    assert np.array_equal(new.variables()["params"]["a"], np.float32([1, 2]))


def test_the_bundled_weights_are_calibrated():
    method = open_weights("semantic-lite0").method
    assert len(method.bin_bias) == 313
    assert np.mean(method.bin_bias) == pytest.approx(0, abs=1e-3)
    assert 0.8 <= method.bin_temperature <= 1.2
