import io
import tarfile
import zipfile

import numpy as np
import pytest
from array_record.python import array_record_module
from PIL import Image

from colorjax.cli import main as cli
from colorjax.data import prepare as preparing
from colorjax.data.decode import decode_rgb
from colorjax.data.prepare import prepare, shrink
from colorjax.data.sources import subsets
from colorjax.data.sources.records import ArrayRecordSource
from colorjax.data.sources.source import FolderSource
from colorjax.errors import RequestError


def as_zip(photos, path):
    with zipfile.ZipFile(path, "w") as file:
        for photo in sorted(photos.rglob("*.png")):
            file.write(photo, photo.relative_to(photos).as_posix())
        file.writestr("notes.txt", "no photo")
        file.writestr("beach/.hidden.png", "none either")


def as_tar(photos, path):
    with tarfile.open(path, "w") as file:
        file.add(photos, ".", filter=lambda x: x)


def contents(source):
    return sorted(tuple(source[i]) for i in range(len(source)))


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_shards_hold_the_photos(kind, jobs, photos, tmp_path):
    source = photos if kind == "folder" else tmp_path / f"photos.{kind}"
    if kind != "folder":
        {"zip": as_zip, "tar": as_tar}[kind](photos, source)
    prepared = prepare(source, tmp_path / "shards", num_shards=3, labels="folder", jobs=jobs)
    assert prepared.paths[0].name == "photos-00000-of-00003.array_record"
    assert (prepared.num_photos, prepared.num_written, prepared.kept_whole) == (40, 40, [])
    folder = FolderSource.open(photos, labels="folder")
    records = ArrayRecordSource(tmp_path / "shards")
    assert contents(records) == contents(folder)
    assert records.class_names == folder.class_names
    np.testing.assert_array_equal(records.labels(), [records[i].label for i in range(40)])
    again = prepare(source, tmp_path / "shards", num_shards=3, jobs=jobs)
    assert again.num_written == 0


def test_a_photo_is_held_out_whether_it_lies_in_a_folder_or_in_shards(photos, tmp_path):
    prepare(photos, tmp_path / "shards", num_shards=3, labels="folder", jobs=1)
    folder = FolderSource.open(photos, labels="folder")
    records = ArrayRecordSource(tmp_path / "shards")
    for draw in (lambda x: subsets.hold_out(x, 0.2, 0.5)[1], lambda x: subsets.limit(x, 7)):
        one, other = draw(folder), draw(records)
        assert 0 < len(one) < 40
        assert contents(one) == contents(other)
    older = dict(np.load(tmp_path / "shards/index.npz"))
    np.savez(tmp_path / "shards/index.npz", labels=older["labels"])
    held = subsets.hold_out(records, 0.2, 0.5)[1]
    assert [records.keys[i] for i in held.indices] == [
        str(i) for i in range(40) if 0.2 <= subsets.hash_fraction(str(i)) < 0.5
    ]


def test_part_of_the_shards_is_refused(photos, tmp_path):
    prepare(photos, tmp_path / "shards", num_shards=3, labels="folder", jobs=1)
    index = tmp_path / "shards/index.npz"
    index.write_bytes(index.read_bytes()[:-40])
    with pytest.raises(RequestError, match=r"index.npz' is damaged; run the same colorjax prepare"):
        ArrayRecordSource(tmp_path / "shards").labels()
    for left in (2, 1):
        next((tmp_path / "shards").glob("*.array_record")).unlink()
        with pytest.raises(RequestError, match=f"has {left} shards, but their names say 3; run"):
            ArrayRecordSource(tmp_path / "shards")
    (shard,) = (tmp_path / "shards").glob("*.array_record")
    assert 10 < len(ArrayRecordSource(shard)) < 15  # asked for by name


def test_a_stopped_writer_goes_on(photos, tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    pack, calls = preparing.pack, []

    def stop(*args):
        calls.append(1)
        if len(calls) == 25:
            raise Stopped
        return pack(*args)

    monkeypatch.setattr(preparing, "pack", stop)
    with pytest.raises(Stopped):
        prepare(photos, tmp_path / "s", num_shards=4, jobs=1)
    whole = {path: path.read_bytes() for path in (tmp_path / "s").glob("*.array_record")}
    assert 2 <= len(whole) <= 3  # of ten photos each
    assert not (tmp_path / "s/index.npz").exists()
    prepared = prepare(photos, tmp_path / "s", num_shards=4, jobs=1)
    assert prepared.num_written == 40 - 10 * len(whole)
    assert {path: path.read_bytes() for path in whole} == whole
    assert contents(ArrayRecordSource(tmp_path / "s")) == contents(
        FolderSource.open(photos, labels="folder")
    )
    assert not list((tmp_path / "s").glob("*.partial"))


def test_a_full_disk_is_told_in_one_line(photos, tmp_path, monkeypatch):
    class Full(array_record_module.ArrayRecordWriter):
        def write(self, record):
            raise RuntimeError("write() failed: No space left on device; writing /a/b/c; [src]")

    monkeypatch.setattr(array_record_module, "ArrayRecordWriter", Full)
    with pytest.raises(
        RequestError,
        match=r"photos-00000-of-00002.array_record' cannot be written "
        r"\(write\(\) failed: No space left on device\); free disk space",
    ):
        prepare(photos, tmp_path / "s", num_shards=2, jobs=1)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["plan.json"]


def test_larger_photos_are_made_smaller(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name, size in (("wide.jpg", (90, 60)), ("small.png", (20, 30)), ("tall.png", (50, 120))):
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(
            tmp_path / "in" / name
        )
    (tmp_path / "in/broken.jpg").write_bytes(b"no photo")
    prepared = prepare(tmp_path / "in", tmp_path / "out", size=32, labels="none", jobs=1)
    assert prepared.kept_whole == ["broken.jpg"]
    records = ArrayRecordSource(tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "in").iterdir())
    by_name = {name: records[number] for number, name in enumerate(names)}
    assert by_name["broken.jpg"].image == b"no photo"
    assert by_name["small.png"].image == (tmp_path / "in/small.png").read_bytes()
    assert decode_rgb(by_name["wide.jpg"].image).shape == (32, 48, 3)
    assert decode_rgb(by_name["tall.png"].image).shape == (77, 32, 3)
    with Image.open(io.BytesIO(by_name["wide.jpg"].image)) as image:
        assert image.format == "JPEG"


def test_shrinking_is_lanczos():
    photo = np.full((64, 64, 3), 50, np.uint8)
    photo[:, 32:] = 200
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "PNG")
    expected = np.asarray(Image.fromarray(photo).resize((16, 16), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(
        decode_rgb(shrink(buffer.getvalue(), 16, as_jpeg=False)), expected
    )


def test_what_cannot_be_prepared(photos, tmp_path):
    (tmp_path / "text").write_text("x" * 2000)
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as file:
        file.writestr("notes.txt", "x")
    for source, says in (
        (tmp_path / "nothing", "does not exist"),
        (tmp_path / "text", "not a whole zip or uncompressed tar"),
        (tmp_path / "none.zip", "no photo in"),
    ):
        with pytest.raises(RequestError, match=says):
            prepare(source, tmp_path / "out")
    with pytest.raises(RequestError, match="--shards must be at least 1"):
        prepare(photos, tmp_path / "out", num_shards=0)
    prepare(photos, tmp_path / "out", num_shards=2, jobs=1)
    for changes in ({"num_shards": 3}, {"size": 16, "num_shards": 2}):
        with pytest.raises(RequestError, match="holds shards of other photos"):
            prepare(photos, tmp_path / "out", **changes)
    (tmp_path / "out/plan.json").write_text("{")
    with pytest.raises(RequestError, match="is damaged"):
        prepare(photos, tmp_path / "out", num_shards=2)
    with pytest.raises(RequestError, match="colorjax prepare"):
        ArrayRecordSource(tmp_path)


def test_the_command(photos, tmp_path, capsys):
    arguments = [str(photos), "--output", str(tmp_path / "s"), "--shards", "2", "--jobs", "1"]
    assert cli.run(["prepare", *arguments]) == 0
    assert "40 photos in 2 shards, 40 written now" in capsys.readouterr().out
    assert cli.run(["prepare", *arguments]) == 0
    assert "0 written now" in capsys.readouterr().out
    assert cli.run(["prepare", str(tmp_path / "none"), "--output", str(tmp_path / "t")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_an_error_of_the_disk_is_one_line(photos, tmp_path, monkeypatch, capsys):
    def full(path, content):
        if path.name == "index.npz":
            raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(preparing.atomic, "write_bytes", full)
    assert cli.run(["prepare", str(photos), "--output", str(tmp_path / "s")]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("colorjax: ")
    assert said.endswith("No space left on device; the same command continues once that is fixed")
