"""`colorjax colorize` on films."""

import json

import pytest
from helpers.films import gray_frames, read_frames, write_film

from colorjax.cli import main as cli
from colorjax.inference.colorizer import Colorizer


@pytest.fixture
def film(tmp_path):
    return write_film(tmp_path / "a.mp4", gray_frames(12), audio=True)


@pytest.fixture
def run(workdir, capsys):
    def run(*args):
        status = cli.run(["colorize", *map(str, args), "--checkpoint", str(workdir)])
        return status, capsys.readouterr()

    return run


def test_a_film_is_colored_once(film, run, monkeypatch):
    status, said = run(film)
    output = film.with_name("a.color.mp4")
    assert status == 0, said.err
    assert "12 frames in 1 scenes" in said.out
    assert len(read_frames(output)) == 12
    assert not list(film.parent.glob(".colorjax-*"))
    monkeypatch.setattr(Colorizer, "load", None)  # nothing is left to do
    before = output.stat()
    status, said = run(film, "--json")
    assert status == 0
    row, summary = map(json.loads, said.out.splitlines())
    assert row["status"] == "skipped"
    assert summary == {"summary": {"done": 0, "skipped": 1, "failed": 0, "planned": 0}}
    assert output.stat() == before


def test_what_fails_is_reported_and_the_rest_is_done(film, run):
    broken = film.with_name("b.mp4")
    broken.write_bytes(b"no film")
    status, said = run(broken, film, "--output", film.parent / "out")
    assert status == 1
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"colorjax: {broken}: ")
    assert [path.name for path in (film.parent / "out").iterdir()] == ["a.mp4"]


def test_a_dry_run_makes_nothing(film, run):
    status, said = run(film, "--dry-run")
    assert (status, said.out) == (0, f"{film} -> {film.with_name('a.color.mp4')}: planned\n")
    assert [path.name for path in film.parent.iterdir()] == ["a.mp4"]


def test_options_of_photos_are_refused(film, run):
    for args, says in (
        (["--tile", "64"], "films take no tiling"),
        (["--quality", "best"], "films take no quality"),
        (["--contact-sheet", "s.png"], "films take no contact_sheet"),
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--output", film.parent], "a.mp4 is an input and would be replaced"),
        ([film.with_name("missing.jpg")], "does not exist"),
    ):
        status, said = run(film, *args)
        assert status == 2
        assert says in said.err
    assert [path.name for path in film.parent.iterdir()] == ["a.mp4"]
