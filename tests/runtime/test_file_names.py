"""File names of any bytes: every command works with them, and none forges a line of output."""

import hashlib
import logging
import os

import numpy as np
import pytest
from helpers.platforms import linux_only
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax.cli import main as cli
from colorjax.data.selection import part_lists
from colorjax.data.sources.records import ArrayRecordSource, pack, unpack
from colorjax.data.sources.source import FolderSource, hash_name
from colorjax.data.sources.subsets import fractions
from colorjax.errors import RequestError
from colorjax.runtime import jax_setup
from colorjax.runtime.file_names import printable, to_bytes
from colorjax.train.skipped import SkippedPhotos
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.workdir import Workdir

NAME = "caf\udce9.png"  # Latin-1, as Python reads it on Linux
FORGED = "a.png\ncolorjax: forged\x1b[2J.png"


@pytest.fixture
def photos(tmp_path):
    """Photos whose folder and names are not UTF-8, and one whose name has a newline."""
    assert os.fsencode(NAME) == b"caf\xe9.png"
    folder = tmp_path / "gar\udce7on"
    folder.mkdir()
    for number, image in enumerate(synthetic_images(6, 40)):
        Image.fromarray(image).save(folder / f"{number}.png")
        (folder / f"{number}.png").rename(folder / f"{number}{NAME}")
    (folder / FORGED).write_bytes(b"no photo")
    return folder.parent


def test_bytes_of_names_are_those_of_the_file_system():
    for raw in (b"caf\xc3\xa9.png", b"caf\xe9.png", b"\xff\xfe"):
        assert to_bytes(raw.decode(errors="surrogateescape")) == raw
    # The hash decides the split: that of UTF-8 names is as ever.
    sha256 = hashlib.sha256("café.png".encode()).digest()
    assert hash_name("café.png") == int.from_bytes(sha256[:8], "big")
    assert hash_name(NAME) != hash_name("caf\\xe9.png")


def test_records_keep_such_names():
    assert unpack(pack(b"x", 1, NAME)) == {"image": b"x", "label": 1, "key": NAME}


@linux_only("names on macOS are UTF-8, and names on Windows have no newlines")
def test_shards_split_such_photos_as_the_folder(photos, tmp_path, capsys):
    output = tmp_path / "shards"
    assert cli.run(["prepare", str(photos), "--output", str(output), "--shards", "2"]) == 0
    source, folder = ArrayRecordSource(output), FolderSource.open(photos, labels="folder")
    assert source.class_names == folder.class_names
    assert sorted(fractions(source)) == sorted(fractions(folder))
    assert capsys.readouterr().out.isascii()


@linux_only("names on macOS are UTF-8, and names on Windows have no newlines")
def test_prepare_prints_one_line_for_each_name(photos, tmp_path, capsys):
    arguments = [str(photos), "--output", str(tmp_path / "s"), "--size", "16", "--min-side", "16"]
    arguments += ["--shards", "1"]
    assert cli.run(["prepare", *arguments, "--jobs", "1"]) == 0  # left out by --min-side
    assert "gar\\xe7on" in capsys.readouterr().out
    arguments = [str(photos), "--output", str(tmp_path / "t"), "--size", "16"]
    assert cli.run(["prepare", *arguments, "--jobs", "1"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "forged" in line]
    assert line.startswith("colorjax: gar\\xe7on/a.png\\ncolorjax: forged\\x1b[2J.png cannot be")


def test_lists_of_parts_keep_such_names(tmp_path):
    parts = {"train": [NAME], "validation": [FORGED], "eval": []}
    part_lists.write(tmp_path / "parts.json", parts)
    assert part_lists.read(tmp_path / "parts.json") == parts


def test_a_name_is_one_line_of_the_list_of_skipped_photos(tmp_path, caplog):
    class Source:
        keys = (FORGED, NAME)

    for _ in range(2):  # a restart lists none again
        skipped = SkippedPhotos(tmp_path / "skipped.txt")
        assert skipped.note(Source(), np.array([0, 1, -1], np.int32)) == 2
    lines = (tmp_path / "skipped.txt").read_bytes().decode().splitlines()
    assert lines == ["a.png\\ncolorjax: forged\\x1b[2J.png", "caf\\xe9.png"]
    assert len(caplog.records) == 2


def test_a_damaged_list_of_skipped_photos_is_no_obstacle(tmp_path):
    (tmp_path / "skipped.txt").write_bytes(b"\xff\n")
    SkippedPhotos(tmp_path / "skipped.txt")


def test_log_lines_are_one_line(capsys):
    logger = logging.getLogger("colorjax")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers.clear()  # those of other tests
    try:
        jax_setup.log_to_stderr()
        logger.info("resuming from step 3 of %s", FORGED)
        logger.info("the workdir %s", NAME)
    finally:
        logger.handlers[:], logger.level, logger.propagate = before
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("a.png\\ncolorjax: forged\\x1b[2J.png")
    assert second.endswith("caf\\xe9.png")


@pytest.mark.parametrize("error", [RequestError(FORGED), OSError(28, "full", FORGED)])
def test_errors_are_one_line(error, monkeypatch, capsys):
    def fail(argv):
        raise error

    monkeypatch.setattr(cli, "parse", fail)
    assert cli.run([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("colorjax: a.png\\ncolorjax: forged\\x1b[2J.png")


def test_a_workdir_whose_path_is_not_utf8_is_refused(tmp_path):
    root = tmp_path / NAME
    for use in (Checkpoints, lambda root: Workdir(root).prepare(None)):
        with pytest.raises(RequestError, match="is not UTF-8; rename the folder"):
            use(root)
    assert not list(tmp_path.iterdir())


def test_plain_names_are_printed_as_they_are():
    assert printable("Fotos/Zoë 1.jpg") == "Fotos/Zoë 1.jpg"
