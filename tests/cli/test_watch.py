"""`colorjax watch`."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from helpers.films import gray_frames, read_frames, write_film
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax.cli import colorize_film
from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.inference.batch import plan
from colorjax.inference.batch.work import PhotoWork
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.film.painter import FramePainter

QUIET = 0.2  # seconds

load = Colorizer.load


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "old").mkdir(parents=True)
    first, second = (Image.fromarray(image).convert("L") for image in synthetic_images(2, 40))
    first.save(tmp_path / "in" / "a.jpg")
    second.save(tmp_path / "in" / "old" / "b.png")
    return tmp_path / "in"


@pytest.fixture
def watch(workdir, colorizer, folder, monkeypatch, capsys):
    """Runs `colorjax watch` in this process, while a thread does the steps; SIGTERM ends it."""
    monkeypatch.setattr(Colorizer, "load", lambda path, **_: colorizer)

    def run(*args, steps=(), number=signal.SIGTERM, checkpoint=workdir):
        out = folder.parent / "out"

        def act():
            try:
                for step in steps:
                    step()
                    time.sleep(4 * QUIET)
            finally:
                os.kill(os.getpid(), number)

        arguments = [folder, "--output", out, "--quiet", QUIET, *args]
        arguments += ["--checkpoint", checkpoint]
        thread = threading.Thread(target=act)
        thread.start()
        try:
            status = cli.run(["watch", *map(str, arguments)])
        finally:
            thread.join()
        return status, *capsys.readouterr()

    return run


def tree(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def until(test, seconds=120.0):
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def exists(path):
    return lambda: until(path.is_file)


def test_what_is_there_and_what_arrives_is_colorized_once(watch, folder):
    out = folder.parent / "out"
    new = folder / "new.png"
    steps = [
        exists(out / "old" / "b.png"),
        lambda: Image.new("L", (40, 40), 70).save(new),
        exists(out / "new.png"),
    ]
    status, lines, err = watch(steps=steps)
    assert status == 0, err
    assert tree(out) == ["a.jpg", "new.png", "old/b.png"]
    assert lines.splitlines()[:3] == [
        f"{folder / 'a.jpg'} -> {out / 'a.jpg'}",
        f"{folder / 'old' / 'b.png'} -> {out / 'old' / 'b.png'}",
        f"{new} -> {out / 'new.png'}",
    ]
    assert "3 colorized, 0 skipped, 0 failed; " in lines
    assert err.startswith(f"colorjax: watching {folder}; Ctrl-C ends it\n")
    last = f"colorjax: stopped watching {folder} (SIGTERM); the same command continues\n"
    assert err.endswith(last)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}
    status, lines, _ = watch(steps=[lambda: None], number=signal.SIGINT)
    assert (status, lines.splitlines()[0][:39]) == (0, "0 colorized, 3 skipped (3 done before),")
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}


def test_the_results_are_those_of_colorize(watch, folder, workdir):
    out, same = folder.parent / "out", folder.parent / "same"
    watch("--saturation", 1.5, steps=[exists(out / "old" / "b.png")])
    options = ["--saturation", "1.5", "--checkpoint", str(workdir)]
    assert cli.run(["colorize", str(folder), "--output", str(same), *options]) == 0
    assert {name: (out / name).read_bytes() for name in tree(out)} == {
        name: (same / name).read_bytes() for name in tree(same)
    }


def test_a_bad_file_is_one_line_until_it_changes(watch, folder):
    out = folder.parent / "out"
    bad = folder / "bad.png"
    bad.write_bytes(b"no photo")

    def mend():
        time.sleep(10 * QUIET)
        Image.new("L", (30, 30), 99).save(bad)

    status, lines, err = watch(steps=[exists(out / "old" / "b.png"), mend, exists(out / "bad.png")])
    assert status == 1
    named = [line for line in err.splitlines() if line.startswith(f"colorjax: {bad}: ")]
    assert len(named) == 1
    assert "3 colorized, 0 skipped, 1 failed" in lines
    status, lines, err = watch(steps=[lambda: None])
    assert status == 0
    assert str(bad) not in err


def test_a_stalled_upload_fails_and_is_colorized_when_it_is_whole(watch, folder):
    out = folder.parent / "out"
    whole = (folder / "a.jpg").read_bytes()
    part = folder / "part.jpg"
    part.write_bytes(whole[: len(whole) // 2])
    steps = [
        exists(out / "old" / "b.png"),
        lambda: time.sleep(4 * QUIET),
        lambda: part.write_bytes(whole),
        exists(out / "part.jpg"),
    ]
    status, _, err = watch(steps=steps)
    assert status == 1
    assert "part.jpg: the file is cut off" in err
    assert Image.open(out / "part.jpg").size == (40, 40)


def test_photos_that_fail_as_a_drive_is_lost_are_tried_again(watch, folder, monkeypatch):
    out = folder.parent / "out"
    read, tries = PhotoWork.__call__, []

    def lost_for_a_while(work, job):
        tries.append(job.source.name)
        if job.source.name == "a.jpg" and tries.count("a.jpg") < 3:
            folder.rename(folder.parent / "away")
            try:
                return read(work, job)
            finally:
                (folder.parent / "away").rename(folder)
        return read(work, job)

    monkeypatch.setattr(PhotoWork, "__call__", lost_for_a_while)
    (folder / "damaged.png").write_bytes((folder / "old" / "b.png").read_bytes()[:200])
    status, lines, err = watch(
        "--jobs", 1, steps=[exists(out / "a.jpg"), exists(out / "old/b.png")]
    )
    assert status == 1
    assert tries.count("a.jpg") == 3
    assert tries.count("damaged.png") == 1
    assert "2 colorized, 0 skipped, 1 failed; " in lines
    assert err.count(f"{folder / 'a.jpg'}: No such file or directory\n") == 1
    assert "1 of 3 photos could not be processed:" in err


def test_a_photo_that_stays_unreadable_counts_as_failed_once(watch, folder, monkeypatch):
    def fail(work, job):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(PhotoWork, "__call__", fail)
    (folder / "old" / "b.png").unlink()
    status, lines, err = watch("--json", steps=[lambda: time.sleep(15 * QUIET)])
    *rows, last = map(json.loads, lines.splitlines())
    assert status == 1
    assert 2 <= len(rows) <= 5  # the pause becomes longer
    assert (last["summary"]["failed"], last["summary"]["to_go"]) == (1, 0)
    assert err.count("a.jpg: OSError: [Errno 5] Input/output error\n") == 1


def test_a_changed_photo_is_noted_and_replaced_on_demand(watch, folder):
    out = folder.parent / "out"
    new = folder / "a.jpg"
    first = [exists(out / "old" / "b.png")]

    def change():
        Image.new("L", (50, 50), 70).save(new)
        time.sleep(6 * QUIET)

    status, _, err = watch(steps=[*first, change])
    assert status == 0
    assert f"{new}: the result was made with other settings (another version of this photo)" in err
    assert Image.open(out / "a.jpg").size == (40, 40)
    kept = (out / "old" / "b.png").stat().st_mtime_ns
    replaced = [lambda: until(lambda: Image.open(out / "a.jpg").size == (50, 50))]
    status, lines, _ = watch("--overwrite", steps=replaced)
    assert "1 colorized, 1 skipped" in lines
    assert (out / "old" / "b.png").stat().st_mtime_ns == kept


def test_json_has_an_object_for_each_photo_and_a_summary(watch, folder):
    out = folder.parent / "out"
    _, lines, _ = watch("--json", steps=[exists(out / "old" / "b.png")])
    *rows, last = map(json.loads, lines.splitlines())
    assert [row["status"] for row in rows] == ["done", "done"]
    assert (last["summary"]["done"], last["summary"]["to_go"]) == (2, 0)


def test_a_signal_in_the_middle_leaves_the_rest_for_the_next_start(watch, folder, monkeypatch):
    out = folder.parent / "out"
    work = PhotoWork.__call__

    def interrupted(*args):
        result = work(*args)
        os.kill(os.getpid(), signal.SIGTERM)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(PhotoWork, "__call__", interrupted)
        status, _, err = watch("--jobs", 1, steps=[exists(out / "a.jpg")], number=0)
    assert status == 75
    assert "with 1 to go (SIGTERM); the same command continues" in err
    assert tree(out) == ["a.jpg"]
    status, lines, _ = watch(steps=[exists(out / "old" / "b.png")])
    assert status == 0
    assert "1 colorized, 1 skipped (1 done before), 0 failed" in lines


def test_a_film_that_arrives_is_colorized(watch, folder):
    pytest.importorskip("av")
    out = folder.parent / "out"
    write_film(folder / "old" / "film.mp4", gray_frames(2))
    (folder / "broken.mp4").write_bytes(b"no film")
    status, lines, err = watch(steps=[exists(out / "old" / "film.mp4")])
    assert status == 1
    assert f"{folder / 'old' / 'film.mp4'} -> {out / 'old' / 'film.mp4'}" in lines
    assert err.count("broken.mp4") == 1


def test_a_film_whose_upload_goes_on_is_colorized_again(watch, folder):
    pytest.importorskip("av")
    out = folder.parent / "out"
    whole = write_film(folder.parent / "whole.mkv", gray_frames(20), gop_size=4).read_bytes()
    films = [folder / name for name in ("a.mkv", "b.mkv", "c.mkv")]
    results = [out / film.name for film in films]
    out.mkdir()
    results[2].write_bytes(b"of an earlier run")
    for film in films:
        film.write_bytes(whole[: len(whole) * 6 // 10])

    def go_on():
        results[1].write_bytes(b"mine")  # another program has replaced it
        for film in films:
            film.write_bytes(whole)

    def is_whole():
        return len(read_frames(results[0])) == 20

    steps = [exists(results[0]), exists(results[1]), go_on, lambda: until(is_whole)]
    status, lines, err = watch(steps=steps)
    assert status == 0, err
    assert [line.split(": ")[1][:2] for line in lines.splitlines() if "a.mkv" in line][1:] == ["20"]
    assert results[1].read_bytes() == b"mine"
    assert results[2].read_bytes() == b"of an earlier run"
    assert all(film.read_bytes() == whole for film in films)


def test_a_stop_before_a_result_is_replaced_says_what_to_remove(watch, folder, monkeypatch):
    pytest.importorskip("av")
    result, paint, calls = folder.parent / "out" / "a.mkv", colorize_film.paint, []
    write_film(folder / "a.mkv", gray_frames(2))

    def stopped(jobs, args, *others):
        calls.append(args.overwrite)
        if not args.overwrite:
            return paint(jobs, args, *others)
        os.kill(os.getpid(), signal.SIGTERM)
        return 75, {"done": 0}

    monkeypatch.setattr(colorize_film, "paint", stopped)
    steps = [
        exists(result),
        lambda: write_film(folder / "a.mkv", gray_frames(3)),
        lambda: until(lambda: len(calls) == 2),
    ]
    status, _, err = watch(steps=steps, number=0)
    assert (status, calls) == (75, [False, True])
    says = "was made from an earlier version of the film; remove it before the same command"
    assert err.count(f"colorjax: {result} {says} continues\n") == 1


@pytest.mark.parametrize("stops_in", [PhotoWork, FramePainter])
def test_films_that_a_signal_leaves_are_to_go(watch, folder, monkeypatch, stops_in):
    pytest.importorskip("av")
    out = folder.parent / "out"
    (folder / "a.jpg").unlink()
    write_film(folder / "a.mkv", gray_frames(1))
    write_film(folder / "b.mkv", gray_frames(1))
    name = "__call__" if stops_in is PhotoWork else "paint"
    work = getattr(stops_in, name)

    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return work(*args)

    monkeypatch.setattr(stops_in, name, interrupted)
    status, _, err = watch(steps=[exists(out / "old" / "b.png")], number=0)
    assert status == 75, err
    assert tree(out) == (["old/b.png"] if stops_in is PhotoWork else ["a.mkv", "old/b.png"])


def test_two_films_of_one_result_are_refused_as_by_colorize(watch, folder, workdir, capsys):
    pytest.importorskip("av")
    out = folder.parent / "out"
    for name in ("a.avi", "a.mkv"):
        write_film(folder / name, gray_frames(2), codec="mpeg4")
    status, lines, err = watch(steps=[exists(out / "a.mkv"), lambda: time.sleep(4 * QUIET)])
    assert status == 1
    assert f"{folder / 'a.avi'} -> {out / 'a.mkv'}: 2 frames" in lines
    films = [str(folder / name) for name in ("a.avi", "a.mkv")]
    arguments = [*films, "--output", str(out), "--checkpoint", str(workdir)]
    assert cli.run(["colorize", *arguments]) == 2
    message = capsys.readouterr().err.removeprefix("colorjax: ")
    assert err.count(f"colorjax: {folder / 'a.mkv'}: {message}") == 1


def test_photos_whose_samples_collide_are_refused_and_the_others_are_not(
    watch, folder, zhang16_workdir, monkeypatch
):
    painter = load(zhang16_workdir)  # the usual network of these tests draws no samples
    monkeypatch.setattr(Colorizer, "load", lambda path, **_: painter)
    out = folder.parent / "out"
    Image.new("L", (40, 40), 70).save(folder / "c.png")
    Image.new("L", (40, 40), 80).save(folder / "c.1.png")
    steps = [
        exists(out / "a.1.jpg"),
        (folder / "c.1.png").unlink,
        lambda: Image.new("L", (40, 40), 70).save(folder / "d.png"),
        exists(out / "d.1.png"),
        exists(out / "c.1.png"),
    ]
    status, lines, err = watch("--samples", 1, steps=steps, checkpoint=zhang16_workdir)
    assert status == 1
    reason = (
        f"{str(out / 'c.1.png')!r} is another photo or result of this run and would be replaced"
    )
    for name in ("c.png", "c.1.png"):
        assert err.count(f"colorjax: {folder / name}: {reason}; give another --output\n") == 1
    assert "4 colorized, 0 skipped, 2 failed" in lines
    names = ["a.1.jpg", "a.jpg", "c.1.png", "c.png", "d.1.png", "d.png", "old/b.1.png", "old/b.png"]
    assert tree(out) == names


def test_photos_of_a_folder_that_cannot_be_planned_are_left(watch, folder, monkeypatch):
    def refuse(*_, **__):
        raise RequestError("two of a name")

    monkeypatch.setattr(plan, "with_own_outputs", refuse)
    status, lines, err = watch("--json", steps=[lambda: time.sleep(4 * QUIET)])
    assert (status, err.count("colorjax: two of a name\n")) == (75, 2)
    assert json.loads(lines)["summary"]["to_go"] == 2


def test_two_watches_of_one_folder_are_refused(watch, folder, workdir, capsys):
    args = [folder, "--output", folder.parent / "out", "--checkpoint", workdir]
    other = []

    def second():
        until((folder.parent / "out" / "old" / "b.png").is_file)
        command = [sys.executable, "-m", "colorjax", "watch", *args]
        other.append(subprocess.run(command, capture_output=True, text=True, timeout=120))

    watch(steps=[second])
    assert (other[0].returncode, other[0].stderr.count("\n")) == (2, 1)
    assert f"(process {os.getpid()}) is watching this folder" in other[0].stderr


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["in", "--output", "in"], "holds the watched folder"),
        (["in", "--output", "."], "holds the watched folder"),
        (["in", "--output", "x.jpg"], "names a picture"),
        (["in", "--quiet", "0"], "--quiet must be above 0"),
        (["in", "--quiet", "nan"], "--quiet must be above 0"),
        (["in/a.jpg"], "is not a folder"),
        (["none"], "is not a folder"),
        (["in", "--checkpoint", "none"], "none"),
        (["in", "--hint", "1,2,#ff0000"], "--hint"),
    ],
)
def test_wrong_requests_are_one_line(folder, monkeypatch, capsys, args, text):
    monkeypatch.chdir(folder.parent)
    assert cli.run(["watch", *args]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert text in err


@pytest.mark.slow
def test_a_kill_leaves_nothing_half_written_and_the_next_start_does_the_rest(folder, workdir):
    out = folder.parent / "out"
    for n in range(12):
        Image.new("L", (60, 60 + n), 70).save(folder / f"{n:02d}.png")
    args = [sys.executable, "-m", "colorjax", "watch", folder, "--output", out, "--quiet", "0.2"]
    args += ["--checkpoint", workdir, "--jobs", "1"]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as program:
        until((out / "02.png").is_file)
        program.kill()
    done = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if path.suffix != ".partial"}
    assert 3 <= len(done) < 14
    for path in done:
        Image.open(path).load()
    program = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until((out / "old" / "b.png").is_file)
    program.terminate()
    lines, err = program.communicate(timeout=60)
    assert program.returncode == 0, err
    assert f"{14 - len(done)} colorized, {len(done)} skipped ({len(done)} done before)" in lines
    assert len(tree(out)) == 14  # no partial file either
    assert done == {path: path.stat().st_mtime_ns for path in done}
