"""`colorjax colorize --samples --uncertainty`: names, skipping, report, contact sheet."""

import json

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax.cli import main as cli
from colorjax.inference.batch import uncertainty_map
from colorjax.inference.batch.inputs import Results, find
from colorjax.inference.batch.plan import plan, with_more_files
from colorjax.inference.colorizer import Colorizer


@pytest.fixture
def album(tmp_path):
    root = tmp_path / "album"
    root.mkdir()
    first, second = (Image.fromarray(image).convert("L") for image in synthetic_images(2, 40))
    first.save(root / "a.png")
    second.save(root / "b.png")
    return root


@pytest.fixture(scope="module")
def loaded(zhang16_workdir):
    return Colorizer.load(zhang16_workdir)


@pytest.fixture
def colorize(zhang16_workdir, loaded, monkeypatch, capsys):
    monkeypatch.setattr(Colorizer, "load", lambda path, **_: loaded)

    def run(*args):
        root = str(zhang16_workdir)
        status = cli.run(["colorize", *map(str, args), "--checkpoint", root])
        return status, *capsys.readouterr()

    return run


def names(root):
    return sorted(path.name for path in root.iterdir())


def test_samples_and_maps_lie_beside_the_result(colorize, album, loaded):
    options = [album, "--samples", "2", "--seed", "3", "--uncertainty"]
    sheet = album.parent / "sheet.png"
    status, out, _ = colorize(*options, "--json", "--contact-sheet", sheet)
    assert status == 0
    wanted = ["a.color.1.png", "a.color.2.png", "a.color.png", "a.png", "a.uncertainty.png"]
    assert [name for name in names(album) if name.startswith("a")] == wanted
    gray = Image.open(album / "a.png")
    for number, picture in enumerate(loaded.sample(gray, 2, 3), start=1):
        with Image.open(album / f"a.color.{number}.png") as written:
            assert np.array_equal(np.asarray(written), np.asarray(picture))
    with Image.open(album / "a.color.png") as written:
        assert np.array_equal(np.asarray(written), np.asarray(loaded.colorize(gray)))
    first, second, summary = map(json.loads, out.splitlines())
    assert first["uncertainty"] == pytest.approx(loaded.uncertainty(gray).mean(), abs=1e-4)
    assert first["uncertainty_map"] == str(album / "a.uncertainty.png")
    assert first["samples"] == [str(album / f"a.color.{n}.png") for n in (1, 2)]
    assert second["input"] == str(album / "b.png")
    assert summary["summary"]["done"] == 2
    with Image.open(sheet) as strips:
        assert strips.width == 4 * 168 + 8  # before, after, two samples

    # The same command does nothing; missing files alone are written again.
    before = {path.name: path.stat().st_mtime_ns for path in album.iterdir()}
    assert "2 done before" in colorize(*options)[1]
    (album / "a.color.2.png").unlink()
    assert colorize(*options)[0] == 0
    after = {path.name: path.stat().st_mtime_ns for path in album.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"a.color.2.png"}
    _, out, err = colorize(album, "--samples", "2", "--seed", "4", "--uncertainty")
    assert "2 made with other settings" in out
    assert "samples drawn as 2 with seed 3); --overwrite replaces it" in err
    _, out, err = colorize(album, "--samples", "3", "--seed", "3", "--uncertainty")
    kept = "existing samples drawn as 2 with seed 3 are kept and do not belong to this set"
    assert (out + err).count(kept) == 2
    (album / "a.color.3.png").unlink()
    (album / "b.color.3.png").unlink()
    colorize(*options, "--overwrite")
    again = {path.name: path.stat().st_mtime_ns for path in album.iterdir()}
    assert {name for name in again if again[name] == before[name]} == {"a.png", "b.png"}


def test_results_are_no_inputs(album):
    for name in ("a.color.png", "a.color.1.png", "a.color.12.png", "a.uncertainty.png"):
        Image.new("RGB", (8, 8)).save(album / name)
    found = [photo.source.name for photo in find([album], Results()).photos]
    assert found == ["a.png", "b.png"]


def test_maps_of_photos_that_differ_in_the_suffix_are_numbered(album):
    Image.new("L", (8, 8)).save(album / "a.jpg")
    jobs = with_more_files(plan([album], None).jobs, 1, with_map=True)
    assert [job.map.name for job in jobs] == [
        "a.uncertainty.png",
        "a-2.uncertainty.png",
        "b.uncertainty.png",
    ]
    assert [job.samples[0].name for job in jobs] == [
        "a.color.1.jpg",
        "a.color.1.png",
        "b.color.1.png",
    ]


def test_a_sample_replaces_no_other_photo(album, tmp_path, colorize):
    Image.new("L", (8, 8)).save(album / "a.1.png")
    status, _, err = colorize(album, "--samples", "1", "--output", tmp_path / "out")
    assert status == 2
    assert "a.1.png' is another photo or result of this run and would be replaced" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--samples", "13"], "--samples must be from 0 to 12, not 13"),
        (["--samples", "-1"], "--samples must be from 0 to 12, not -1"),
        (["--samples", "2", "--seed", "-1"], "--seed must be at least 0, not -1"),
    ],
)
def test_refusals(colorize, album, arguments, says):
    status, out, err = colorize(album, *arguments)
    assert (status, out) == (2, "")
    assert says in err
    assert names(album) == ["a.png", "b.png"]


def test_weights_without_bins_are_refused(workdir, album, capsys):
    status = cli.run(["colorize", str(album), "--uncertainty", "--checkpoint", str(workdir)])
    assert status == 2
    assert "predict no distribution over color bins" in capsys.readouterr().err
    assert names(album) == ["a.png", "b.png"]


def test_the_map_is_blue_where_certain_and_red_where_not():
    lightness = np.full((40, 60), 50, np.float32)
    uncertainty = np.zeros((4, 6), np.float32)
    uncertainty[:, 3:] = 0.9
    picture = np.asarray(uncertainty_map.draw(lightness, uncertainty)).astype(int)
    assert picture.shape == (40, 60, 3)
    assert picture[20, 5, 2] > picture[20, 5, 0] + 40
    assert picture[20, 55, 0] > picture[20, 55, 2] + 40
    assert uncertainty_map.draw(np.zeros((30, 4000), np.float32), uncertainty).size == (1024, 8)
