"""`--shard I/N` of the commands that process many photos."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from colorjax.cli import main as cli
from colorjax.inference.batch import contact_sheet

# Same names of results (s.gif, s.png), a broken photo, and a file that is no photo.
PHOTOS = ("a.png", "b.png", "s.gif", "s.png", "old/c.png", "old/d.png", "old/s.png")


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for n, name in enumerate(PHOTOS):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4), (20 * n, 90, 40)).save(path)
    (tmp_path / "album" / "broken.jpg").write_bytes(b"no photo")
    (tmp_path / "album" / "film.mp4").write_bytes(b"no film")
    return tmp_path


@pytest.fixture
def run(capsys):
    def run(*args):
        status = cli.run([str(arg) for arg in args])
        return status, *capsys.readouterr()

    return run


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def rows(text):
    lines = [json.loads(line) for line in text.splitlines()]
    return [x for x in lines if "summary" not in x], [x["summary"] for x in lines if "summary" in x]


def test_parts_together_are_the_whole(album, run):
    assert run("decolorize", "album", "--output", "whole", "--json")[0] == 1
    outs = []
    for part in (3, 1, 2):
        status, out, _ = run(
            "decolorize", "album", "--output", "parts", "--shard", f"{part}/3", "--json"
        )
        has_broken = any(row["status"] == "failed" for row in rows(out)[0])
        assert status == has_broken
        outs.append(out)
    assert contents(album / "parts") == contents(album / "whole")
    done, summaries = rows("".join(outs))
    inputs = [row["input"] for row in done]
    assert sorted(inputs) == sorted([f"album/{name}" for name in (*PHOTOS, "broken.jpg")])
    assert sum(summary["done"] for summary in summaries) == len(PHOTOS)
    assert sum(summary["failed"] for summary in summaries) == 1
    assert [summary["shard"] for summary in summaries] == ["3/3", "1/3", "2/3"]
    assert sum(summary["passed_over"].get("film", 0) for summary in summaries) == 1


def test_an_empty_part_is_no_error(album, run):
    sheet = album / "sheet.png"
    args = ("colorize", "album/a.png", "--shard", "4/8", "--contact-sheet", sheet)  # a.png: 7/8
    status, out, err = run(*args)
    assert (status, err) == (0, "")
    assert out == "part 4/8: 0 colorized, 0 skipped, 0 failed\n"
    status, out, _ = run(*args, "--json")
    assert status == 0
    assert rows(out)[1][0]["shard"] == "4/8"
    assert not list(album.glob("*sheet*"))


def test_contact_sheets_of_parts_are_files_of_their_own(album, run):
    (album / "album" / "broken.jpg").unlink()
    args = ("colorize", "album", "--recolor", "--dry-run", "--json")
    sheets = ("--contact-sheet", "album/sheet.png")
    before = [row["input"] for row in rows(run(*args)[1])[0]]
    # Sheets that other parts have written are no photos.
    for part in (1, 2):
        contact_sheet.write(album / "album" / f"sheet.{part}-of-2.png", [])
    parts = [rows(run(*args, *sheets, "--shard", f"{part}/2")[1])[0] for part in (1, 2)]
    assert sorted(row["input"] for part in parts for row in part) == sorted(before)


def test_films_are_divided_by_their_names(album, run):
    for name in "abcdef":
        (album / f"{name}.mp4").write_bytes(b"no film")
    films = [f"{name}.mp4" for name in "abcdef"]
    found = []
    for part in (1, 2, 3):
        status, out, _ = run("colorize", *films, "--shard", f"{part}/3", "--dry-run", "--json")
        assert status == 0
        done, (summary,) = rows(out)
        assert summary["shard"] == f"{part}/3"
        found += [row["input"] for row in done]
    assert sorted(found) == films
    one = [run("colorize", "a.mp4", "--shard", f"{part}/2", "--dry-run") for part in (1, 2)]
    assert all(status == 0 and text.count("\n") == 1 for status, text, _ in one)
    assert sorted("no film" in text for _, text, _ in one) == [False, True]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["album", "--shard", "5/4"], "part I of N must be from 1 to N"),
        (["album", "--shard", "x"], "--shard must be I/N"),
        (["-", "--shard", "1/2"], "leave it out with -"),
    ],
)
@pytest.mark.parametrize("command", ["colorize", "decolorize"])
def test_wrong_parts_are_refused(album, run, command, args, says):
    status, out, err = run(command, *args, "--output", "out")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert says in err
    assert not (album / "out").exists()


def test_parts_may_run_at_once(album):
    (album / "album" / "broken.jpg").unlink()
    program = "import sys; from colorjax.cli import main; "
    program += "sys.exit(main.run(sys.argv[1:]))"
    args = [sys.executable, "-c", program, "decolorize", "album", "--output", "out", "--shard"]
    parts = [subprocess.Popen([*args, f"{part}/2"]) for part in (1, 2)]
    assert [part.wait() for part in parts] == [0, 0]
    assert len(contents(album / "out")) == len(PHOTOS)
