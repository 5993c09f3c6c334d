"""Commands over many photos, in this process, with `decolorize`, which needs no weights."""

import errno
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax import color, photos
from colorjax.cli import main as cli
from colorjax.inference.batch import run as batch
from colorjax.inference.batch.plan import plan
from colorjax.runtime import locks


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "album"
    (root / "old").mkdir(parents=True)
    for name, pixels in zip(("a.png", "b.jpg", "old/c.png"), synthetic_images(3, 40), strict=True):
        Image.fromarray(pixels).save(root / name)
    return root


@pytest.fixture
def run(capfd):
    def run(*args):
        status = cli.run([str(arg) for arg in args])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def decolorize(run):
    return lambda *args: run("decolorize", *args, "--output", "out")


def tree(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def parsed(out):
    *photos, summary = [json.loads(line) for line in out.splitlines()]
    return photos, summary["summary"]


@pytest.mark.parametrize("kind", color.GRAY_KINDS)
def test_gray_copies(album, run, kind):
    assert run("decolorize", "album/a.png", "--output", "out", "--gray", kind)[0] == 0
    before = np.asarray(Image.open("album/a.png"))
    after = np.asarray(Image.open("out/a.png").convert("RGB"))
    wanted = color.gray_from_rgb(before / 255, kind)[..., 0]
    if kind == "lightness":
        gray = color.rgb_u8_to_lab(after)[..., 0] / 100
        np.testing.assert_allclose(gray, wanted, atol=0.56 / 255)  # half a level where L is steep
    else:
        np.testing.assert_allclose(after[..., 0] / 255, wanted, atol=0.51 / 255)
    assert np.ptp(after, axis=-1).max() == 0
    assert np.ptp(before, axis=-1).max() > 50


def test_the_gray_is_one_of_three_and_the_folder_is_given(album, run):
    status, out, err = run("decolorize", "album", "--output", "out", "--grey", "green")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "lightness" in err
    assert "--output" in run("decolorize", "album")[2]


def test_results_do_not_depend_on_the_number_of_jobs(album, decolorize):
    result = []
    for number in (1, 3):
        _, out, _ = decolorize("album", "--jobs", number, "--overwrite")
        pictures = [(album.parent / "out" / name).read_bytes() for name in tree(album)]
        result.append((out.splitlines()[:3], pictures))
    assert result[0] == result[1]
    assert result[0][0][0] == "album/a.png -> out/a.png"


def test_scripts_read_json(album, decolorize):
    (album / "0.gif").write_bytes(b"no image")
    (album.parent / "out").mkdir()
    (album.parent / "out" / "b.jpg").write_bytes(b"old")
    status, out, err = decolorize("album", "--json")
    result, summary = parsed(out)
    assert status == 1
    assert [(one["input"], one["output"], one["status"]) for one in result] == [
        ("album/0.gif", "out/0.png", "failed"),
        ("album/a.png", "out/a.png", "done"),
        ("album/b.jpg", "out/b.jpg", "skipped"),
        ("album/old/c.png", "out/old/c.png", "done"),
    ]
    assert f"colorjax: album/0.gif: {result[0]['error']}\n" in err
    assert result[1]["seconds"] > 0
    counts = {"done": 2, "skipped": 1, "failed": 1, "planned": 0, "to_go": 0}
    assert counts.items() <= summary.items()
    assert "2 turned gray, 1 skipped (1 done before), 1 failed" in err


def test_a_terminal_shows_a_bar(album, decolorize, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    (album / "0.png").write_bytes(b"no image")
    _, out, _ = decolorize("album", "--max-pixels", 1600)
    assert "album/a.png -> out/a.png" in out
    message = sys.stderr.getvalue()
    assert "4/4 photos" in message
    assert "00:00 left" in message
    assert "\ncolorjax:   album/0.png: " in message.replace("\r", "\n")
    for number in range(12):
        (album / f"more{number}.png").write_bytes((album / "a.png").read_bytes())
    _, out, _ = decolorize("album", "--max-pixels", 1600)
    assert "->" not in out  # many photos have no lines beside a bar


def test_a_dry_run_writes_nothing(album, decolorize):
    (album / "0.png").write_bytes(b"no image")
    (album.parent / "out").mkdir()
    (album.parent / "out" / "b.jpg").write_bytes(b"old")
    before = tree(album.parent)
    args = ["album", "--dry-run", "--max-pixels", 2000]
    status, out, err = decolorize(*args)
    assert out.splitlines() == [
        "album/a.png -> out/a.png",
        "skipped album/b.jpg: out/b.jpg exists",
        "album/old/c.png -> out/old/c.png",
        "2 to do, 1 skipped (1 done before), 1 refused",
    ]
    assert (status, err) == (1, "colorjax: album/0.png: cannot be read as a photo\n")
    result, summary = parsed(decolorize(*args, "--json")[1])
    wanted = ["failed", "planned", "skipped", "planned"]
    assert [one["status"] for one in result] == wanted
    assert summary["planned"] == 2
    assert tree(album.parent) == before


def test_a_dry_run_loads_neither_weights_nor_jax(album, run):
    status, out, err = run("colorize", "album", "--dry-run", "--checkpoint", "none")
    assert (status, out) == (2, "")
    assert "weights 'none' not found" in err
    code = (
        "import sys; from colorjax import cli\n"
        "assert cli.run(['colorize', 'album', '--dry-run']) == 0\n"
        "sys.exit('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_large_photos_are_refused_with_the_limit_named(album, decolorize):
    status, out, err = decolorize("album", "--max-pixels", 1599)
    assert (status, out) == (1, "0 turned gray, 0 skipped, 3 failed\n")
    assert "album/a.png: 40x40 px are more than --max-pixels 1599 allows" in err
    assert not (album.parent / "out").exists()


@pytest.mark.parametrize("args", [["--jobs", "0"], ["--jobs", "x"], ["--max-pixels", "0"]])
def test_numbers_out_of_range_are_refused(album, decolorize, args):
    status, out, err = decolorize("album", *args)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert args[0] in err


@pytest.mark.parametrize("name", [b"two\nlines.png", b"caf\xe9.png", b"\x1b[31m.png"])
def test_odd_names_stay_one_line(album, decolorize, name):
    path = os.fsdecode(os.fsencode(album) + b"/" + name)
    os.rename(album / "a.png", path)
    with open(path, "ab") as file:
        file.truncate(60)
    assert decolorize("album")[1].count("\n") == 3
    status, _, err = decolorize(path)
    assert (status, err.count("\n")) == (1, 1)
    result, _ = parsed(decolorize(path, "--json")[1])
    assert os.fsencode(result[0]["input"]).endswith(name)
    assert all(character.isprintable() for character in err.rstrip("\n"))


def test_a_full_disk_ends_the_run_in_one_line(album, decolorize, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(photos, "write", full)
    status, out, err = decolorize("album", "--jobs", 1)
    assert (status, out) == (2, "0 turned gray, 0 skipped, 0 failed\n")
    assert err == (
        "colorjax: No space left on device; 3 to go; the same command continues once that is "
        "fixed\n"
    )


def test_a_photo_that_goes_away_is_one_failure(album, decolorize, monkeypatch):
    read = photos.read

    def vanishing(path, **options):
        (album / "b.jpg").unlink(missing_ok=True)
        return read(path, **options)

    monkeypatch.setattr(photos, "read", vanishing)
    status, _, err = decolorize("album", "--jobs", 1)
    assert status == 1
    assert err.splitlines()[0] == "colorjax: album/b.jpg: No such file or directory"
    assert tree(album.parent / "out") == ["a.png", "old/c.png"]


def test_a_folder_in_the_way_is_one_failure(album, decolorize):
    (album.parent / "out" / "a.png").mkdir(parents=True)
    (album.parent / "out" / "old").write_bytes(b"a file")
    status, out, err = decolorize("album")
    assert (status, out.splitlines()[-1].split(";")[0]) == (1, "1 turned gray, 0 skipped, 2 failed")
    assert err.count("\n") == 5
    assert tree(album.parent / "out") == ["b.jpg", "old"]


def test_standard_input_and_output(album, run, monkeypatch):
    class Standard:
        def __init__(self, content=b""):
            self.buffer = io.BytesIO(content)
            self.encoding = "utf-8"

        isatty = flush = write = fileno = lambda self, *_: False

    given = (album / "a.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", Standard(given))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Standard())
        assert cli.run(["colorize", "-"]) == 0
        picture = Image.open(io.BytesIO(sys.stdout.buffer.getvalue()))
    assert (picture.format, picture.size) == ("PNG", (40, 40))
    monkeypatch.setattr(sys, "stdin", Standard(given))
    status, out, _ = run("decolorize", "-", "--output", "out", "--json")
    assert (status, parsed(out)[0][0]["output"]) == (0, "out/stdin.png")
    for args, message in (["-", "-"], "given twice"), (["-", "--json"], "need standard output"):
        status, out, err = run("colorize", *args)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert message in err


def test_the_same_files_are_processed_by_one_process_at_a_time(album, run, decolorize):
    outputs = sorted(os.path.abspath(job.file) for job in plan(["album"], "out")[0])
    with batch.only_run(outputs):
        status, _, err = decolorize("album")
        assert status == 2
        assert err == (
            f"colorjax: another colorjax (process {os.getpid()}) is processing the same files; "
            "wait until it is done, or give another --output\n"
        )
        assert run("decolorize", "album", "--output", "other")[0] == 0
        assert decolorize("album/a.png")[0] == 0  # others in the same folder
    assert decolorize("album")[0] == 0
    assert tree(album.parent / "out") == ["a.png", "b.jpg", "old/c.png"]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users have numbers on POSIX only")
def test_a_user_without_a_name_can_run(album, decolorize, monkeypatch):
    """As in a container that runs as another user."""

    def unknown():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(locks.getpass, "getuser", unknown)
    assert decolorize("album")[0] == 0


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="links need rights on Windows")
def test_a_link_that_another_user_prepared_empties_no_file(tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.write_text("text")
    folder = tmp_path / f"colorjax-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    digest = hashlib.sha256(b"a").hexdigest()[:16]
    (folder / f"{digest}.lock").symlink_to(mine)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with batch.only_run(["a"]):
        assert (tmp_path / "cache" / "colorjax" / "locks" / f"{digest}.lock").is_file()
    assert mine.read_text() == "text"


def bad_entries():
    """EXIF of 5,300 entries, each of a value outside the file."""
    entries = b"".join(
        struct.pack("<HHII", 256 + n, 2 + n % 11, 2**31 - n, 2**31 + n) for n in range(5300)
    )
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 5300) + entries + bytes(4)
    return b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif


def bad_segments():
    """13,000 segments of 5 bytes, of every kind."""
    kinds = (b"\xff" + bytes([0xE0 + n % 16]) + b"\0\x03" + bytes([n % 251]) for n in range(13000))
    return b"".join(kinds)


def bad_photoshop():
    """Blocks of Photoshop, which a segment holds, each of a wrong length."""
    blocks = b"".join(b"8BIM" + struct.pack(">HHI", 1000 + n, 0, 2**31 + n) for n in range(5000))
    content = b"Photoshop 3.0\0" + blocks
    return b"\xff\xed" + struct.pack(">H", len(content) + 2) + content


@pytest.mark.parametrize("segments", [bad_entries, bad_segments, bad_photoshop])
def test_a_damaged_photo_has_a_few_lines(segments, album, decolorize):
    """Whatever the libraries print."""
    content = (album / "b.jpg").read_bytes()
    content = content[:2] + segments() + content[2:]
    assert 60_000 < len(content) < 70_000
    (album / "b.jpg").write_bytes(content)
    for args in (["album/b.jpg"], ["album/b.jpg", "--json", "--overwrite"]):
        status, out, err = decolorize(*args)
        assert status == 0
        assert len((out + err).splitlines()) <= 14
        assert len(out + err) < 4000
