"""The six out-of-domain pictures: that they are made, always alike, and as their kind must be."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import out_of_domain

NAMES = {"ink_wash", "engraving", "worn_photo", "pencil_sketch", "newsprint", "moon"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures") / "new"
    assert out_of_domain.main(["--output", str(folder)]) == 0
    return folder


def read(folder, name):
    with Image.open(folder / f"{name}.png") as image:
        assert image.mode == "L"
        return np.asarray(image)


def test_six_files_and_nothing_else(folder):
    assert {path.name for path in folder.iterdir()} == {f"{name}.png" for name in NAMES}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_size_and_contrast(folder, name):
    gray = read(folder, name)
    assert min(gray.shape) == 384
    assert max(gray.shape) < 600
    low, high = np.percentile(gray, (1, 99))
    assert high - low > 50


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_same_whatever_was_made_before(folder, name):
    np.random.seed(1)  # noqa: NPY002  (the global state must make no difference)
    np.testing.assert_array_equal(out_of_domain.make(name), read(folder, name))


@pytest.mark.parametrize("name", ["engraving", "newsprint"])
def test_prints_are_ink_or_paper(folder, name):
    gray = read(folder, name)
    ink, paper = np.mean(gray < 70), np.mean(gray > 185)
    assert min(ink, paper) > 0.2
    assert ink + paper > 0.7


def test_a_photo_is_not_ink_or_paper(folder):
    gray = read(folder, "worn_photo")
    assert np.mean((gray >= 70) & (gray <= 185)) > 0.5


def test_sky_of_the_ink_wash_is_empty(folder):
    gray = read(folder, "ink_wash")
    assert gray[:180, :240].mean() > 215
    assert gray[:, 300:].min() < 60  # the bamboo


def test_refuses_to_overwrite(folder, capsys):
    kept = folder / "moon.png"
    before = kept.stat().st_mtime_ns
    with pytest.raises(SystemExit) as refused:
        out_of_domain.main(["--output", str(folder)])
    assert refused.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "exists; give another --output, or --overwrite" in line
    assert kept.stat().st_mtime_ns == before


def test_overwrites_when_told(folder, monkeypatch):
    monkeypatch.setattr(out_of_domain, "PICTURES", {"moon": out_of_domain.moon})
    before = (folder / "moon.png").stat().st_mtime_ns
    assert out_of_domain.main(["--output", str(folder), "--overwrite"]) == 0
    assert (folder / "moon.png").stat().st_mtime_ns > before


def test_output_that_is_a_file_is_one_line(tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    with pytest.raises(SystemExit) as refused:
        out_of_domain.main(["--output", str(tmp_path / "taken")])
    assert refused.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
