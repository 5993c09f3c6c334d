"""`colorjax calibrate`: the rows against the Colorizer, what is stored, and refusals."""

import json

import numpy as np
import pytest
from helpers.synthetic import synthetic_images, tiny_config
from helpers.workdirs import fresh_workdir
from PIL import Image

from colorjax import metrics
from colorjax.cli import main as cli
from colorjax.color import gray_photo
from colorjax.data.selection import splits
from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.metrics import picture, summary
from colorjax.tune import calibrate
from colorjax.weights.workdir import Workdir, write_json
from configs import semantic


@pytest.fixture
def run(tmp_path):
    return str(fresh_workdir(tmp_path / "run", tiny_config("unused"), deviation=0.1))


@pytest.fixture
def album(tmp_path):
    (tmp_path / "album").mkdir()
    for number, photo in enumerate(synthetic_images(3, 40, seed=5)):
        Image.fromarray(photo).save(tmp_path / "album" / f"{number}.png")
    return str(tmp_path / "album")


def test_the_best_size_is_measured_and_stored(run, album, capsys):
    assert cli.run(["calibrate", run, "--data", album, "--sizes", "24,16"]) == 0
    stored = Workdir(run).read_config().inference.size
    rows = json.loads((Workdir(run).root / calibrate.RECORD).read_text())["sizes"]
    assert [row["size"] for row in rows] == [16, 24, 32]
    photos, gains = synthetic_images(3, 40, seed=5), []
    for row in rows:
        colorizer = Colorizer.load(run, size=row["size"])
        pictures = [colorizer.colorize(gray_photo(photo)) for photo in photos]
        pairs = list(zip(pictures, photos, strict=True))
        psnr = np.mean([psnr_of(*pair) for pair in pairs])
        assert row["psnr"] == pytest.approx(psnr, abs=1e-3)
        colorful = np.mean([metrics.colorfulness(picture) for picture in pictures])
        assert row["colorfulness"] == pytest.approx(colorful, rel=1e-5)
        gains.append([psnr_of(picture, photo) for picture, photo in pairs])
    gains = np.array(gains[:2]) - gains[2]  # over the training size
    sure = [row["size"] for row, gain in zip(rows, gains, strict=False) if gain.min() > 0]
    for row, gain in zip(rows, gains, strict=False):
        assert gain.min() - 1e-3 <= row["better"] <= gain.mean()
    assert "better" not in rows[2]
    assert stored in [32, *sure]
    assert Colorizer.load(run).working_size.side == stored
    assert f"stored with the weights: {stored} px" in capsys.readouterr().out


def psnr_of(picture, photo):
    return 10 * np.log10(255**2 / np.square(picture - photo.astype(float)).mean())


def test_another_size_has_to_be_better_by_more_than_chance():
    rows = [
        {"size": 32, "psnr": 21.0, "better": -0.5},
        {"size": 64, "psnr": 22.0},
        {"size": 96, "psnr": 22.9, "better": -0.01},
    ]
    assert calibrate.best_of(rows) == 64
    rows += [{"size": size, "psnr": 22.5, "better": 0.1} for size in (176, 128)]
    assert calibrate.best_of(rows) == 128  # the smaller of equal ones


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "64,x"], "each at least 1, not '64,x'"),
        (["--sizes", "0"], "each at least 1, not '0'"),
        (["--photos", "0"], "--photos must be at least 1, not 0"),
        (["--colorfulness", "0"], "--colorfulness must be above 0, not 0"),
    ],
)
def test_requests_that_mean_nothing(run, album, capsys, arguments, message):
    assert cli.run(["calibrate", run, "--data", album, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert Workdir(run).read_config().inference.size == 0


def test_gray_photos_cannot_calibrate(run):
    with pytest.raises(RequestError, match="none of the photos has color"):
        calibrate.Calibrator(run, [gray_photo(synthetic_images(1, 24)[0])]).measure(16)


def test_the_lowest_saturation_that_reaches_the_colorfulness_is_stored(run, album, capsys):
    photos = synthetic_images(3, 40, seed=5)
    raw = Colorizer.load(run, size=32)

    def mean_colorfulness(saturation):
        pictures = [raw.colorize(gray_photo(photo), saturation=saturation) for photo in photos]
        return float(np.mean([metrics.colorfulness(picture) for picture in pictures]))

    wanted = 0.5 * (mean_colorfulness(1.22) + mean_colorfulness(1.23))  # between multiples of 0.05
    arguments = ["calibrate", run, "--data", album, "--sizes", "32", "--colorfulness", f"{wanted}"]
    for _ in range(2):  # the stored saturation does not affect the second search
        assert cli.run(arguments) == 0
        config = Workdir(run).read_config()
        assert config.inference.saturation == 1.23
        assert "stored with the weights: 32 px, saturation 1.23" in capsys.readouterr().out
    stored = Colorizer.load(run)
    assert stored.saturation == 1.23
    assert stored.working_size == raw.working_size
    assert stored.digest() != raw.digest()
    for photo in photos:
        gray = gray_photo(photo)
        np.testing.assert_array_equal(stored.colorize(gray), raw.colorize(gray, saturation=1.23))
        np.testing.assert_allclose(
            stored.predict_ab(gray), 1.23 * raw.predict_ab(gray), rtol=1e-5, atol=1e-4
        )
    rows = json.loads((Workdir(run).root / calibrate.RECORD).read_text())["saturations"]
    assert [row["saturation"] for row in rows] == [1.0, 1.23]
    assert rows[0]["colorfulness"] == pytest.approx(mean_colorfulness(1.0), rel=1e-5)
    assert rows[-1]["colorfulness"] == pytest.approx(mean_colorfulness(1.23), rel=1e-5)


def test_colorfulness_out_of_reach(run, album, capsys):
    arguments = ["calibrate", run, "--data", album, "--sizes", "16", "--colorfulness", "500"]
    assert cli.run(arguments) == 2
    assert "--colorfulness 500 is out of reach" in capsys.readouterr().err
    assert Workdir(run).read_config().inference.saturation == 1


def test_the_photos_that_the_run_held_out(run, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for number, photo in enumerate(synthetic_images(12, 24, seed=6)):
        Image.fromarray(photo).save(tmp_path / "photos" / f"{number}.png")
    workdir = Workdir(run)
    config = workdir.read_config()
    config.data.update(name="folder", path="")
    write_json(workdir.config_file, config.to_dict())
    assert cli.run(["calibrate", run, "--sizes", "16"]) == 2
    assert "was not trained here; give --data FOLDER" in capsys.readouterr().err
    config.data.path = str(tmp_path / "photos")
    config.data.update(validation="random", validation_fraction=0.25, eval_fraction=0.0)
    write_json(workdir.config_file, config.to_dict())
    assert cli.run(["calibrate", run, "--sizes", "16", "--photos", "2"]) == 0
    names = json.loads((workdir.root / calibrate.RECORD).read_text())["photos"]["photos"]
    held_out = splits.open_splits(config.data).validation.keys
    assert len(held_out) == 3
    assert names == [held_out[0], held_out[2]]


@pytest.fixture
def two_heads(tmp_path):
    """A semantic network with different ab and bins."""
    config = semantic.get_config("encoder=tiny,size=32,width=0.125")
    config.optimizer.ema_decay = 0.0
    return str(fresh_workdir(tmp_path / "semantic", config))


@pytest.mark.slow
def test_the_best_decoding_at_a_colorfulness_is_stored(two_heads, album, capsys, monkeypatch):
    monkeypatch.setattr(calibrate, "TEMPERATURES", (0.3,))
    arguments = ["calibrate", two_heads, "--data", album, "--sizes", "32", "--colorfulness", "0.01"]
    assert cli.run(arguments) == 0
    record = json.loads((Workdir(two_heads).root / calibrate.RECORD).read_text())
    rows = {row["decode"]: row for row in record["saturations"]}
    assert [rows[way]["temperature"] for way in ("ab", "annealed", "blend")] == [None, 0.3, 0.3]
    best = max(rows, key=lambda way: rows[way]["psnr"])
    stored = Workdir(two_heads).read_config()
    assert stored.inference.decode == best
    assert stored.model.temperature == (0.38 if best == "ab" else 0.3)
    assert stored.inference.saturation == 0.5  # the least that is tried
    assert f"saturation 0.5, decode {best}" in capsys.readouterr().out
    # An evaluation takes the stored decoding, and the temperature that was chosen with it.
    stored.inference.decode, stored.model.temperature = "blend", 0.3
    write_json(Workdir(two_heads).config_file, stored.to_dict())
    command = semantic.get_config("encoder=tiny,size=32,width=0.125")
    evaluated = Workdir(two_heads).with_its_network(command)
    assert (evaluated.inference.decode, evaluated.model.temperature) == ("blend", 0.3)
    stored.inference.decode, stored.model.temperature = best, 0.38 if best == "ab" else 0.3
    write_json(Workdir(two_heads).config_file, stored.to_dict())
    colorizer, photos = Colorizer.load(two_heads), synthetic_images(3, 40, seed=5)
    assert colorizer.decode == best
    psnr = np.mean([psnr_of(colorizer.colorize(gray_photo(photo)), photo) for photo in photos])
    assert rows[best]["psnr"] == pytest.approx(psnr, abs=1e-3)
    truth = np.mean([metrics.colorfulness(photo) for photo in photos])
    assert record["photos"]["true_colorfulness"] == pytest.approx(truth, rel=1e-5)


def test_a_network_of_one_head_has_one_decoding(run):
    assert calibrate.candidates(Workdir(run).read_config()) == [calibrate.AS_STORED]


def test_calibration_has_the_values_of_an_evaluation():
    photos = [*synthetic_images(2, 24), gray_photo(synthetic_images(1, 24)[0])]
    colored = synthetic_images(4, 24)[1:]
    pairs = list(zip(colored, photos, strict=True))
    expected = summary.summarize_pictures([picture.measure(*pair) for pair in pairs])
    actual = calibrate._means([calibrate._record(*pair) for pair in pairs])
    assert actual == pytest.approx({name: expected[name] for name in calibrate.COLUMNS}, rel=1e-6)
