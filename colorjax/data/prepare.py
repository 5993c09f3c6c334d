"""Writes photos as array_record shards, in parallel and resumable."""

from __future__ import annotations

import functools
import io
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from colorjax.data.decode import decode_rgb
from colorjax.data.selection import duplicates
from colorjax.data.selection.duplicates import Reason
from colorjax.data.sources import labels as label_names
from colorjax.data.sources.archives import Archive, ChosenPhotos, open_archive
from colorjax.data.sources.records import CLASSES_FILE, HASHES, INDEX_FILE, pack
from colorjax.data.sources.source import digest, hash_name, source_of
from colorjax.errors import RequestError, UnreadablePhoto
from colorjax.runtime import atomic, foreign_files, paths

PLAN_FILE = "plan.json"
SELECTION_FILE = "selection.npz"
DEFAULT_QUALITY = 95
_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
_JPEG_START = b"\xff\xd8\xff"


class Prepared(NamedTuple):
    """Result of `prepare`.

    Attributes:
        paths: paths of the shards.
        num_photos: number of photos in all shards.
        num_written: number of photos written by this call; the others already existed.
        kept_whole: names of photos that could not be decoded and so were not resized.
        counts: photos of each source by `Reason`; empty without a selection.
    """

    paths: list[Path]
    num_photos: int
    num_written: int
    kept_whole: list[str]
    counts: dict[str, list[int]]


def prepare(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    num_shards: int = 1,
    size: int = 0,
    quality: int = 0,
    exclude: Sequence[str | os.PathLike[str]] = (),
    min_side: int = 0,
    labels: str = "folder",
    jobs: int = 0,
    selecting: Callable[[int], Any] = lambda photos: None,
    progress: Callable[[int], Any] = lambda photos: None,
) -> Prepared:
    """Writes photos as shards that `data.name=array_record` reads.

    Photo i of the sorted names goes to shard i % num_shards. Each shard is written to a temporary
    name and renamed when complete; the same call again writes the missing ones. Finally,
    `index.npz` stores the label and source of every photo, so that training need not read all
    records at the start.

    With `exclude` or `min_side` all photos are first read once. Photos that are unreadable, too
    small, or near duplicates (`colorjax.data.selection.duplicates`) are left out. The selection is
    stored in `selection.npz`.

    Args:
        source: a folder, a zip or a plain tar.
        output: a folder for `photos-00000-of-00004.array_record` ..., `classes.json`, `index.npz`.
        num_shards: at least 1; also the maximum number of shards written at the same time.
        size: shrink photos whose short side is longer to this many pixels: as JPEG of quality 95
            without subsampling for JPEG files, else as PNG. 0: keep the bytes of every file.
        quality: with `size`: store every photo as JPEG; photos that are resized or not JPEG are
            encoded with this quality, without subsampling.
        exclude: folders, zips or tars of photos whose near duplicates are left out.
        min_side: photos whose shorter side is below this many pixels are left out.
        labels: as `data.labels`.
        jobs: number of processes; 0: one per core.
        selecting: called with the number of photos read by the selection.
        progress: called with the number of photos written, shard by shard.

    Raises:
        RequestError: no photos, invalid values, or an output folder with the shards of other data.
    """
    if num_shards < 1 or size < 0:
        raise RequestError(
            f"--shards must be at least 1 and --size at least 0, not {num_shards} and {size}"
        )
    if not 0 <= quality <= 100 or (quality and not size) or min_side < 0:
        raise RequestError(
            "--quality must be from 1 to 100 and needs --size, and --min-side must be at least 0, "
            f"not {quality} and {min_side}"
        )
    archive = open_archive(source)
    excluded = [open_archive(path) for path in exclude]
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
    if quality:
        plan["quality"] = quality
    selects = bool(excluded or min_side)
    if selects:
        stamps = (part for other in excluded for part in (other.stamp(), *other.keys))
        plan |= {"exclude": digest(*stamps), "min_side": min_side}
    _keep_plan(output, plan)
    counts = {}
    if selects:
        reasons = _selection(
            output / SELECTION_FILE,
            lambda: duplicates.select(
                archive, excluded, min_side=min_side, jobs=jobs, progress=selecting
            ),
            len(archive),
        )
        counts = duplicates.count_by_source(archive.keys, reasons)
        kept = np.flatnonzero(reasons == Reason.KEPT)
        if len(kept) < num_shards:
            raise RequestError(
                f"only {len(kept)} of {len(archive)} photos remain for {num_shards} shards; lower "
                "--shards or --min-side, or give fewer --exclude"
            )
        archive, ids = ChosenPhotos(archive, kept), ids[kept]
    files = [
        output / f"photos-{shard:05d}-of-{num_shards:05d}.array_record"
        for shard in range(num_shards)
    ]
    missing = [shard for shard, path in enumerate(files) if not path.is_file()]
    kept_whole: list[str] = []
    num_written = 0
    with _pool(min(jobs or os.cpu_count() or 1, max(1, len(missing)))) as pool:
        work = functools.partial(_write_shard, archive, ids, num_shards, size, quality)
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
    atomic.write_bytes(output / CLASSES_FILE, json.dumps(list(classes)).encode())
    atomic.write_bytes(output / INDEX_FILE, _index(archive.keys, ids, num_shards))
    return Prepared(files, len(archive.keys), num_written, sorted(kept_whole), counts)


def _selection(file: Path, select: Callable[[], np.ndarray], number: int) -> np.ndarray:
    """Loads the stored reasons of all photos, or computes and stores them."""
    try:
        reasons = foreign_files.read_arrays(file)["reasons"]
        if reasons.shape == (number,):
            return reasons
    except (OSError, ValueError, KeyError):
        pass  # missing or damaged: computed again, with the same result
    reasons = select()
    content = io.BytesIO()
    np.savez(content, reasons=reasons)
    atomic.write_bytes(file, content.getvalue())
    return reasons


def _index(keys: Sequence[str], ids: np.ndarray, num_shards: int) -> bytes:
    """Returns `index.npz`: data on all photos that training needs at its start, in record order."""
    order = np.concatenate([np.arange(shard, len(keys), num_shards) for shard in range(num_shards)])
    fields = {"labels": ids[order]}
    for prefix, name in HASHES.items():
        hashes = (hash_name(prefix + keys[number]) for number in order)
        fields[name] = np.fromiter(hashes, np.uint64, len(keys))
    names, sources = np.unique([source_of(keys[number]) for number in order], return_inverse=True)
    fields |= {"source_names": names, "sources": sources.astype(np.int32)}
    content = io.BytesIO()
    np.savez(content, **fields)  # pyrefly: ignore
    return content.getvalue()


def _keep_plan(output: Path, plan: dict[str, Any]) -> None:
    """Writes the plan of the shards, or checks that existing shards have the same plan."""
    file = output / PLAN_FILE
    try:
        output.mkdir(parents=True, exist_ok=True)
        known = json.loads(file.read_text()) if file.is_file() else None
        if known is None and any(output.glob("*.array_record")):
            known = {}
        if known not in (None, plan):
            raise RequestError(
                f"{str(output)!r} holds shards of other photos, or of another --shards, --size, "
                "--quality, --exclude, --min-side or --labels; give an empty folder"
            )
        atomic.write_bytes(file, json.dumps(plan).encode())
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
    archive: Archive,
    ids: np.ndarray,
    num_shards: int,
    size: int,
    quality: int,
    path: Path,
    shard: int,
) -> tuple[int, list[str]]:
    """Writes one shard; returns its number of photos and the names of those not resized."""
    kept_whole = []

    def records() -> Iterator[bytes]:
        for key, label in _of_shard(archive.keys, ids, num_shards, shard):
            image = archive.read(key)
            if size:
                try:
                    is_jpeg = key.lower().endswith(_JPEG_SUFFIXES)
                    image = shrink(image, size, as_jpeg=is_jpeg, quality=quality)
                except UnreadablePhoto:
                    kept_whole.append(key)
            yield pack(image, label, key)

    return _write_records(path, records()), kept_whole


def _write_records(path: Path, records: Iterator[bytes]) -> int:
    """Writes a file of records atomically; returns the number of records."""
    try:
        from array_record.python import array_record_module
    except ImportError:  # no wheels for Windows
        raise RequestError(
            "shards need the package array-record, which Windows lacks; use Linux, macOS or WSL"
        ) from None

    count = 0
    try:
        with atomic.replacing(path) as partial:
            # One record per chunk: required for random access.
            writer = array_record_module.ArrayRecordWriter(str(partial), "group_size:1")
            for record in records:
                writer.write(record)
                count += 1
            writer.close()
    except RuntimeError as error:  # array_record raises it for all failures
        reason = str(error).split(";")[0][:200]
        raise RequestError(
            f"{str(path)!r} cannot be written ({reason}); free disk space and run the same command "
            "again: finished shards are kept"
        ) from None
    return count


def _of_shard(
    keys: Sequence[str], ids: np.ndarray, num_shards: int, shard: int
) -> Iterator[tuple[str, int]]:
    for index in range(shard, len(keys), num_shards):
        yield keys[index], int(ids[index])


def shrink(image: bytes, size: int, *, as_jpeg: bool, quality: int = 0) -> bytes:
    """Returns the photo with a short side of at most `size` pixels, upright if it was resized.

    Args:
        image: the bytes of a file.
        size: maximum of the short side, in pixels.
        as_jpeg: encode a resized photo as JPEG, else as PNG.
        quality: 1 to 100: encode photos that are resized or not JPEG as JPEG of this quality;
            0: `DEFAULT_QUALITY` for resized JPEG photos; others keep their format.

    Raises:
        UnreadablePhoto: the photo cannot be decoded.
    """
    rgb = decode_rgb(image)
    height, width = rgb.shape[:2]
    photo = Image.fromarray(rgb)
    if min(height, width) > size:
        factor = size / min(height, width)
        sides = (max(size, round(width * factor)), max(size, round(height * factor)))
        photo = photo.resize(sides, Image.Resampling.LANCZOS)
    elif not quality or image.startswith(_JPEG_START):
        return image
    buffer = io.BytesIO()
    if as_jpeg or quality:
        photo.save(buffer, "JPEG", quality=quality or DEFAULT_QUALITY, subsampling=0)
    else:
        photo.save(buffer, "PNG")
    return buffer.getvalue()
