"""Writes photos as array_record shards: in parallel, and again from where it was stopped."""

from __future__ import annotations

import functools
import io
import json
import multiprocessing
import os
import posixpath
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from colorjax import paths
from colorjax.data import labels as label_names
from colorjax.data.decode import UnreadablePhoto, decode_rgb
from colorjax.data.records import CLASSES_FILE, HASHES, INDEX_FILE, pack
from colorjax.data.sources import PHOTO_SUFFIXES, FolderSource, digest, file_stamp, hash_name
from colorjax.errors import RequestError

PLAN_FILE = "plan.json"
_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")


class Archive(Protocol):
    """Photos by name, each as the bytes of a file."""

    @property
    def keys(self) -> Sequence[str]:
        """Names of the photos, sorted."""
        ...

    def read(self, key: str) -> bytes:
        """Returns the bytes of a photo."""
        ...

    def stamp(self) -> str:
        """Names what is in it; changes once that does."""
        ...


class FolderOfPhotos:
    """The photos below a folder."""

    def __init__(self, root: Path):
        """Lists them."""
        source = FolderSource.open(root, labels="none")
        self.keys: Sequence[str] = source.keys
        self._root = source.root

    def read(self, key: str) -> bytes:
        """Returns the bytes of a photo."""
        return (self._root / key).read_bytes()

    def stamp(self) -> str:
        """Names the photos by path, size and time of change."""
        return digest(*(f"{key} {file_stamp(self._root / key)}" for key in self.keys))


class ZipOfPhotos:
    """The photos in a zip file; each process opens it anew."""

    def __init__(self, path: Path):
        """Reads the directory at its end."""
        self._path = path
        self._file: zipfile.ZipFile | None = None
        self.keys = sorted(name for name in self._opened().namelist() if _is_photo(name))

    def _opened(self) -> zipfile.ZipFile:
        if self._file is None:
            self._file = zipfile.ZipFile(self._path)
        return self._file

    def read(self, key: str) -> bytes:
        """Returns the bytes of a photo, checked by the zip's own sum."""
        return self._opened().read(key)

    def stamp(self) -> str:
        """Names the zip by path, size and time of change."""
        return f"{self._path.resolve()} {file_stamp(self._path)}"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_file": None}


class TarOfPhotos:
    """The photos in a plain tar file, by where their bytes begin."""

    def __init__(self, path: Path):
        """Goes through it once, from header to header."""
        self._path = path
        with tarfile.open(path, "r:") as file:
            self._places = {
                posixpath.normpath(member.name): (member.offset_data, member.size)
                for member in file
                if member.isreg() and not member.issparse() and _is_photo(member.name)
            }
        self.keys = sorted(self._places)

    def read(self, key: str) -> bytes:
        """Returns the bytes of a photo."""
        offset, size = self._places[key]
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def stamp(self) -> str:
        """Names the tar by path, size and time of change."""
        return f"{self._path.resolve()} {file_stamp(self._path)}"


class Prepared(NamedTuple):
    """What was written.

    Attributes:
        paths: of the shards.
        num_photos: in all of them.
        num_written: by this call; the others were there.
        kept_whole: names of photos that could not be decoded, and so not made smaller.
    """

    paths: list[Path]
    num_photos: int
    num_written: int
    kept_whole: list[str]


def open_archive(path: str | os.PathLike[str]) -> Archive:
    """Opens a folder, a zip or a plain tar of photos.

    Raises:
        RequestError: none of these, or no photo in it.
    """
    path = paths.local(path)
    if path.is_dir():
        return FolderOfPhotos(path)
    if not path.is_file():
        raise RequestError(f"{str(path)!r} does not exist; give a folder, a zip or a tar of photos")
    try:
        if zipfile.is_zipfile(path):
            found: Archive = ZipOfPhotos(path)
        else:
            found = TarOfPhotos(path)
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise RequestError(
            f"{str(path)!r} is no folder, zip or plain tar ({error}); unpack a compressed tar first"
        ) from None
    if not found.keys:
        raise RequestError(f"no photo in {str(path)!r}; wanted files ending in .jpg, .png, ...")
    return found


def _is_photo(name: str) -> bool:
    stem = name.rpartition("/")[2]
    return os.path.splitext(stem)[1].lower() in PHOTO_SUFFIXES and not stem.startswith(".")


def prepare(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    num_shards: int = 1,
    size: int = 0,
    labels: str = "folder",
    jobs: int = 0,
    progress: Callable[[int], Any] = lambda photos: None,
) -> Prepared:
    """Writes photos as shards that `data.name=array_record` reads.

    Photo i of the sorted names goes to shard i % num_shards. Each shard is written under another
    name and renamed when it is whole; the same call again writes the missing ones. Last comes
    `index.npz` with the label of every photo, so that no start has to read the records.

    Args:
        source: a folder, a zip or a plain tar.
        output: a folder for `photos-00000-of-00004.array_record` ..., `classes.json`, `index.npz`.
        num_shards: at least 1; also how many may be written at a time.
        size: make the short side this many pixels where it is longer: JPEG of quality 95 without
            subsampling for JPEG files, else PNG. 0: keep the bytes of every file.
        labels: as `data.labels`.
        jobs: processes; 0: one a core.
        progress: is told how many photos were written, shard by shard.

    Raises:
        RequestError: nothing to write, values that mean nothing, or an output that holds the shards
            of something else.
    """
    if num_shards < 1 or size < 0:
        raise RequestError(
            f"--shards is at least 1 and --size at least 0, not {num_shards} and {size}"
        )
    archive = open_archive(source)
    num_shards = min(num_shards, len(archive.keys))
    output = paths.local(output)
    names = label_names.names_of(labels, archive.keys)
    classes = label_names.known_classes(names)
    ids = label_names.to_ids(names, classes)
    plan = {
        "photos": digest(archive.stamp(), *archive.keys),
        "num_shards": num_shards,
        "size": size,
        "labels": digest(*ids.tolist()),
    }
    _keep_plan(output, plan)
    files = [
        output / f"photos-{shard:05d}-of-{num_shards:05d}.array_record"
        for shard in range(num_shards)
    ]
    missing = [shard for shard, path in enumerate(files) if not path.is_file()]
    kept_whole: list[str] = []
    num_written = 0
    with _pool(min(jobs or os.cpu_count() or 1, max(1, len(missing)))) as pool:
        work = functools.partial(_write_shard, archive, ids, num_shards, size)
        waiting = [pool.submit(work, files[shard], shard) for shard in missing]
        try:
            for done in as_completed(waiting):
                count, whole = done.result()
                kept_whole += whole
                num_written += count
                progress(count)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    paths.write_bytes(output / CLASSES_FILE, json.dumps(list(classes)).encode())
    paths.write_bytes(output / INDEX_FILE, _index(archive.keys, ids, num_shards))
    return Prepared(files, len(archive.keys), num_written, sorted(kept_whole))


def _index(keys: Sequence[str], ids: np.ndarray, num_shards: int) -> bytes:
    """What a run has to know of all photos before it starts, in the order of the records."""
    order = np.concatenate([np.arange(shard, len(keys), num_shards) for shard in range(num_shards)])
    fields = {"labels": ids[order]}
    for prefix, name in HASHES.items():
        found = (hash_name(prefix + keys[number]) for number in order)
        fields[name] = np.fromiter(found, np.uint64, len(keys))
    content = io.BytesIO()
    np.savez(content, **fields)  # pyrefly: ignore
    return content.getvalue()


def _keep_plan(output: Path, plan: dict[str, Any]) -> None:
    """Writes what the shards are of, or checks that those there are of the same."""
    file = output / PLAN_FILE
    try:
        output.mkdir(parents=True, exist_ok=True)
        known = json.loads(file.read_text()) if file.is_file() else None
        if known is None and any(output.glob("*.array_record")):
            known = {}
        if known not in (None, plan):
            raise RequestError(
                f"{str(output)!r} holds shards of other photos, or with another --shards, --size "
                "or --labels; give an empty folder"
            )
        paths.write_bytes(file, json.dumps(plan).encode())
    except ValueError as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{str(file)!r} is damaged; give an empty folder") from None
    except OSError as error:
        raise RequestError(
            f"{str(output)!r} cannot be written ({error.strerror}); give another folder"
        ) from None


def _pool(jobs: int) -> Executor:
    if jobs == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"))


def _write_shard(
    archive: Archive, ids: np.ndarray, num_shards: int, size: int, path: Path, shard: int
) -> tuple[int, list[str]]:
    """Writes one shard; returns how many photos it has, and those that could not be resized."""
    kept_whole = []

    def records() -> Iterator[bytes]:
        for key, label in _of_shard(archive.keys, ids, num_shards, shard):
            image = archive.read(key)
            if size:
                try:
                    image = shrink(image, size, as_jpeg=key.lower().endswith(_JPEG_SUFFIXES))
                except UnreadablePhoto:
                    kept_whole.append(key)
            yield pack(image, label, key)

    return _write_records(path, records()), kept_whole


def _write_records(path: Path, records: Iterator[bytes]) -> int:
    """Writes a file of records in one step; returns how many."""
    from array_record.python import array_record_module

    partial = path.with_suffix(".partial")
    count = 0
    try:
        # Records are stored one a chunk, which random access needs.
        writer = array_record_module.ArrayRecordWriter(str(partial), "group_size:1")
        for record in records:
            writer.write(record)
            count += 1
        writer.close()
        partial.rename(path)
    except RuntimeError as error:  # array_record's, whatever has gone wrong
        partial.unlink(missing_ok=True)
        reason = str(error).split(";")[0][:200]
        raise RequestError(
            f"{str(path)!r} cannot be written ({reason}); make room and run the same command "
            "again: finished shards stay"
        ) from None
    return count


def _of_shard(
    keys: Sequence[str], ids: np.ndarray, num_shards: int, shard: int
) -> Iterator[tuple[str, int]]:
    for index in range(shard, len(keys), num_shards):
        yield keys[index], int(ids[index])


def shrink(image: bytes, size: int, *, as_jpeg: bool) -> bytes:
    """Returns a photo whose short side is at most `size` pixels, upright; as it is if it was.

    Raises:
        UnreadablePhoto: it cannot be decoded.
    """
    rgb = decode_rgb(image)
    height, width = rgb.shape[:2]
    if min(height, width) <= size:
        return image
    factor = size / min(height, width)
    sides = (max(size, round(width * factor)), max(size, round(height * factor)))
    small = Image.fromarray(rgb).resize(sides, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if as_jpeg:
        small.save(buffer, "JPEG", quality=95, subsampling=0)
    else:
        small.save(buffer, "PNG")
    return buffer.getvalue()
