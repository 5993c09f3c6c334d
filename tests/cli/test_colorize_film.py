"""`colorjax colorize` on films."""

import contextlib
import errno
import json
from pathlib import Path

import pytest
from helpers.films import gray_frames, read_frames, write_film

from colorjax.cli import colorize_film
from colorjax.cli import main as cli
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.film import run as film_run
from colorjax.inference.film import streams, trial
from colorjax.inference.film import write as film_write
from colorjax.inference.film.painter import FramePainter
from colorjax.inference.film.read import FilmReader
from colorjax.runtime import memory
from colorjax.runtime.locks import lock_of


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
    assert "12 frames, scenes: 1" in said.out
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
        (["--warmth", "0.5"], "films take no warmth"),
        (["--contact-sheet", "s.png"], "films take no contact_sheet"),
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--output", film.parent], "a.mp4 is an input and would be replaced"),
        ([film.with_name("missing.jpg")], "does not exist"),
    ):
        status, said = run(film, *args)
        assert status == 2
        assert says in said.err
    assert [path.name for path in film.parent.iterdir()] == ["a.mp4"]


def test_what_happens_to_sound_is_said_before_painting(film, run, monkeypatch):
    source = write_film(
        film.with_name("b.mpg"), gray_frames(3), codec="mpeg1video", audio="pcm_dvd"
    )
    order = []
    paint = FramePainter.paint
    monkeypatch.setattr(FramePainter, "paint", lambda *a: order.append("paint") or paint(*a))
    monkeypatch.setattr(
        colorize_film, "_print_notes", lambda film, notes: order.extend(map(str, notes))
    )
    status, said = run(source)
    assert status == 0, said.err
    note = "audio stream 1 (pcm_dvd) is rewritten without loss as flac, as .mkv cannot store it"
    assert order == [note, "paint", "paint", "paint"]


def test_a_stream_is_never_lost_with_status_0_unless_asked(film, run, monkeypatch):
    refuse = streams.forms
    monkeypatch.setattr(
        trial, "forms", lambda s, name: [] if s.type == "audio" else refuse(s, name)
    )
    status, said = run(film)
    assert status == 1
    wish = "give --drop-streams to leave it out"
    assert said.err == f"colorjax: {film}: .mp4 cannot store audio stream 1 (aac); {wish}\n"
    assert [path.name for path in film.parent.iterdir()] == ["a.mp4"]
    status, said = run(film, "--drop-streams")
    assert status == 0
    note = "audio stream 1 (aac) is left out, as .mp4 cannot store it"
    assert said.err == f"colorjax: {film}: {note}\n"


def test_a_film_in_work_is_a_wrong_request(film, run):
    folder = film.parent / ".colorjax-a.color.mp4.parts"
    with lock_of(folder / "lock") as lock:
        lock.write(b"77")
        lock.flush()
        status, said = run(film)
    assert status == 2
    assert said.err == (
        "colorjax: another colorjax (process 77) is colorizing this film; wait until it is done, "
        "or give another --output\n"
    )


def test_large_frames_are_refused_before_they_are_decoded(film, run, monkeypatch):
    monkeypatch.setattr(FilmReader, "_decoded", None)
    status, said = run(film, "--max-pixels", 3000)
    assert status == 1
    limit = "64x48 pixels are more than the limit of 3000; raise --max-pixels"
    assert said.err == f"colorjax: {film}: {limit}\n"
    assert [path.name for path in film.parent.iterdir()] == ["a.mp4"]


def test_asf_is_a_film(film, run):
    source = write_film(film.with_name("b.asf"), gray_frames(3), codec="wmv2", audio="wmav2")
    status, said = run(source)
    assert status == 0, said.err
    assert len(read_frames(film.with_name("b.color.mkv"))) == 3


def test_a_full_disk_ends_the_run_as_it_does_for_photos(film, run, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    other = film.with_name("b.mp4")
    other.write_bytes(film.read_bytes())
    monkeypatch.setattr(film_run.atomic, "write_bytes", full)
    status, said = run(film, other)
    assert status == 2
    assert said.err == (
        "colorjax: a.color.mp4 cannot be written: No space left on device; the same command "
        "continues once that is fixed\n"
    )


def test_a_full_disk_while_parts_are_joined_is_one_line(film, workdir, monkeypatch, capfd):
    """The device /dev/full has no room; PyAV and FFmpeg would print to the descriptor."""
    command = ["colorize", str(film), "--checkpoint", str(workdir)]
    with monkeypatch.context() as patched:
        full = contextlib.nullcontext(Path("/dev/full"))
        patched.setattr(film_write, "replacing", lambda path: full)
        assert cli.run(command) == 2
    assert capfd.readouterr().err == (
        "colorjax: a.color.mp4 cannot be written: No space left on device; the same command "
        "continues once that is fixed\n"
    )
    output = film.with_name("a.color.mp4")
    assert not output.exists()
    assert cli.run(command) == 0
    assert len(read_frames(output)) == 12


@pytest.mark.parametrize(
    ("args", "most"),
    [([], memory.MAX_FILM_PIXELS), (["--max-pixels", str(memory.MAX_PIXELS)], memory.MAX_PIXELS)],
)
def test_the_limit_on_pixels_depends_on_the_memory(args, most, film, run, monkeypatch):
    """A limit that equals the default of photos is a limit as well."""
    seen = []

    def colorize(*_, max_pixels, **options):
        seen.append(max_pixels)

    monkeypatch.setattr(colorize_film, "colorize_film", colorize)
    assert run(film, *args)[0] == 0
    assert seen == [most]
    assert memory.MAX_FILM_PIXELS <= memory.MAX_PIXELS
