"""`colorjax choose-size`: the rows against the Colorizer, what is stored, and refusals."""

import json

import numpy as np
import pytest
from inference.conftest import fresh_workdir
from PIL import Image
from synthetic import synthetic_images, tiny_config

from colorjax import choose_size, cli, metrics
from colorjax.errors import RequestError
from colorjax.figures import grey_of
from colorjax.inference.colorizer import Colorizer
from colorjax.train.workdir import Workdir


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
    assert cli.run(["choose-size", run, "--data", album, "--sizes", "24,16"]) == 0
    stored = Workdir(run).read_config().inference.size
    rows = json.loads((Workdir(run).root / choose_size.RECORD).read_text())["sizes"]
    assert [row["size"] for row in rows] == [16, 24]
    photos = synthetic_images(3, 40, seed=5)
    for row in rows:
        colorizer = Colorizer.load(run, size=row["size"])
        pictures = [colorizer.colorize(grey_of(photo)) for photo in photos]
        pairs = list(zip(pictures, photos, strict=True))
        psnr = np.mean(
            [10 * np.log10(255**2 / np.square(a - b.astype(float)).mean()) for a, b in pairs]
        )
        assert row["psnr"] == pytest.approx(psnr, abs=1e-3)
        colourful = np.mean([metrics.colorfulness(picture) for picture in pictures])
        assert row["colorfulness"] == pytest.approx(colourful, rel=1e-5)
    assert stored == max(rows, key=lambda row: row["psnr"])["size"]
    assert Colorizer.load(run).working_size.side == stored
    assert f"stored with the weights: {stored} px" in capsys.readouterr().out


def test_of_equal_sizes_the_smallest_is_best():
    rows = [{"size": 64, "psnr": 22.0}, {"size": 48, "psnr": 22.0}, {"size": 32, "psnr": 21.0}]
    assert choose_size.best_of(rows) == 48


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sizes", "64,x"], "each at least 1, not '64,x'"),
        (["--sizes", "0"], "each at least 1, not '0'"),
        (["--photos", "0"], "--photos is at least 1, not 0"),
    ],
)
def test_requests_that_mean_nothing(run, album, capsys, words, said):
    assert cli.run(["choose-size", run, "--data", album, *words]) == 2
    assert said in capsys.readouterr().err
    assert Workdir(run).read_config().inference.size == 0


def test_grey_photos_choose_nothing(run):
    with pytest.raises(RequestError, match="none of the photos has colour"):
        choose_size.measure_sizes(run, [grey_of(synthetic_images(1, 24)[0])], [16])
