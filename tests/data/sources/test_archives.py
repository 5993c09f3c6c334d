"""Damaged and hostile archives: what is opened is whole, and anything else is one line."""

import io
import struct
import tarfile
import zipfile

import pytest

from colorjax.cli import main as cli
from colorjax.data.sources import archives
from colorjax.data.sources import source as sources
from colorjax.data.sources.archives import open_archive
from colorjax.errors import RequestError

NAMES = ["a.png", "b.png", "c.jpg"]
CONTENT = {name: (name * 99).encode() for name in NAMES}


def write_tar(path, form=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=form) as file:
        for name, content in CONTENT.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def write_zip(path, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in CONTENT.items():
            file.writestr(name, content)
    return path


def prepare_fails(path, tmp_path, capsys):
    """Returns the only line of `colorjax prepare`, which is refused."""
    assert cli.run(["prepare", str(path), "--output", str(tmp_path / "s"), "--jobs", "1"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("colorjax: ")
    return line


@pytest.mark.parametrize(
    ("form", "step"),
    [(tarfile.USTAR_FORMAT, 1), (tarfile.GNU_FORMAT, 37), (tarfile.PAX_FORMAT, 37)],
)
def test_a_cut_tar_never_opens_with_fewer_photos(form, step, tmp_path):
    path = write_tar(tmp_path / "a.tar", form)
    archive = open_archive(path)
    assert list(archive.keys) == NAMES
    assert {key: archive.read(key) for key in NAMES} == CONTENT
    whole = path.read_bytes()
    photos = len(NAMES) * 1024  # a header and a block each
    assert any(whole[photos - 512 : photos])
    assert not any(whole[photos:])  # the end mark of two blocks, and padding
    for length in range(0, photos + 1024, step):
        path.write_bytes(whole[:length])
        with pytest.raises(RequestError, match="not a whole zip or uncompressed tar"):
            open_archive(path)
    path.write_bytes(whole[: photos + 1024])
    assert list(open_archive(path).keys) == NAMES


def test_a_damaged_header_does_not_end_a_tar(tmp_path):
    content = bytearray(write_tar(tmp_path / "a.tar", tarfile.USTAR_FORMAT).read_bytes())
    assert content[1024:1029] == b"b.png"
    content[1024] ^= 1  # the checksum of the second header is wrong
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(RequestError, match="its end mark is missing"):
        open_archive(tmp_path / "a.tar")


def test_a_tar_that_shrinks_is_reported(tmp_path):
    archive = open_archive(write_tar(tmp_path / "a.tar", tarfile.USTAR_FORMAT))
    with open(tmp_path / "a.tar", "r+b") as file:
        file.truncate(700)
    with pytest.raises(RequestError, match="is cut off"):
        archive.read("a.png")


def test_a_cut_zip_is_refused(tmp_path):
    whole = write_zip(tmp_path / "a.zip").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "a.zip").write_bytes(whole[:length])
        with pytest.raises(RequestError, match="not a whole zip"):
            open_archive(tmp_path / "a.zip")


def test_a_wrong_checksum_is_one_line(tmp_path, capsys):
    path = write_zip(tmp_path / "a.zip")
    path.write_bytes(path.read_bytes().replace(b"gb.pn" * 50, b"gb.po" * 50))
    line = prepare_fails(path, tmp_path, capsys)
    assert "'b.png' in" in line
    assert "is damaged (bad CRC-32)" in line
    assert "disk" not in line


@pytest.mark.parametrize(
    ("offset", "value", "says"),
    [
        (8, struct.pack("<H", 1), "is encrypted"),
        (10, struct.pack("<H", 9), "compressed by method 9"),  # Deflate64
        (24, struct.pack("<I", 2**32 - 2), "4096 MiB; a photo has at most 512 MiB"),
    ],
)
def test_members_that_cannot_be_read_are_named(offset, value, says, tmp_path, capsys):
    path = write_zip(tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2") + offset  # the first entry of the central directory
    content[at : at + len(value)] = value
    path.write_bytes(content)
    line = prepare_fails(path, tmp_path, capsys)
    assert "'a.png' in" in line
    assert says in line


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_of_6_gb_is_refused_unread(kind, tmp_path, capsys):
    size = 6 * 10**9
    path = tmp_path / f"a.{kind}"
    if kind == "tar":  # sparse: the disk holds a few blocks
        with open(path, "wb") as file:
            member = tarfile.TarInfo("big.png")
            member.size = size
            file.write(member.tobuf(tarfile.GNU_FORMAT))
            file.truncate(512 + -(-size // 512) * 512 + 1024)
    else:
        with zipfile.ZipFile(path, "w") as file:
            member = zipfile.ZipInfo("big.png")
            file.writestr(member, b"x")
            member.file_size = size  # as a bomb would say
    line = prepare_fails(path, tmp_path, capsys)
    assert "'big.png' in" in line
    assert "has 5722 MiB; a photo has at most 512 MiB" in line


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_streams_are_one_line(method, tmp_path):
    path = write_zip(tmp_path / "a.zip", method)
    content = bytearray(path.read_bytes())
    refused = 0
    for at in range(30 + len("a.png"), content.index(b"PK\3\4", 4)):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            read = open_archive(path).read("a.png")
        except RequestError as error:
            refused += "is damaged" in str(error)
        else:
            assert read == CONTENT["a.png"]  # LZMA has properties that do not matter
    assert refused > 10


def test_a_folder_of_devices_and_huge_files(tmp_path, monkeypatch):
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "big.png").write_bytes(b"x" * 100)
    monkeypatch.setattr(sources, "MAX_BYTES", 99)
    archive = open_archive(tmp_path)
    for name, says in (("zero.png", "not a file"), ("big.png", "0 MiB; a photo has at most")):
        with pytest.raises(RequestError, match=says):
            archive.read(name)


def test_a_photo_that_is_twice_in_a_zip_counts_once(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.png", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a.png", b"2")
    archive = open_archive(tmp_path / "a.zip")
    assert archive.keys == ["a.png"]
    assert archive.read("a.png") == b"2"


def test_errors_of_the_libraries_are_known():
    assert issubclass(NotImplementedError, archives._DAMAGED)  # zipfile: an unknown version
    assert issubclass(UnicodeDecodeError, archives._DAMAGED)
