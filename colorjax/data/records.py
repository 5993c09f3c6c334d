"""Our own array_record shards: one photo a record, its bytes as they are, its label and name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgpack

from colorjax.data.decode import UnreadablePhoto
from colorjax.data.labels import NO_LABEL
from colorjax.data.sources import FolderSource, NumberedKeys, Photo, digest, file_stamp
from colorjax.errors import RequestError

CLASSES_FILE = "classes.json"


def pack(image: bytes, label: int, key: str) -> bytes:
    """Serializes one photo as a record (msgpack of image, label, key)."""
    return msgpack.packb({"image": image, "label": label, "key": key})  # pyrefly: ignore


def unpack(record: bytes) -> dict[str, Any]:
    """Reads a record back: image (bytes), label (int), key (str).

    Raises:
        UnreadablePhoto: it was not written by `pack`.
    """
    try:
        found = msgpack.unpackb(record)
        return {"image": bytes(found["image"]), "label": int(found["label"]), "key": found["key"]}
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise UnreadablePhoto(f"no record of colorjax: {error}") from error


class ArrayRecordSource:
    """Shards written by `write_array_record`."""

    def __init__(self, path: str | os.PathLike[str], *, with_labels: bool = True):
        """Opens the shards of a folder (all its `*.array_record` files), or one file.

        Raises:
            RequestError: no shard there.
        """
        from grain.sources import ArrayRecordDataSource

        path = Path(path).expanduser()
        shards = [path] if path.is_file() else sorted(path.glob("*.array_record"))
        if not shards:
            raise RequestError(
                f"data.path={str(path)!r} holds no *.array_record file; write some with "
                "colorjax.data.records.write_array_record"
            )
        self._shards = shards
        self._records = ArrayRecordDataSource([str(shard) for shard in shards])
        classes = shards[0].parent / CLASSES_FILE
        self._with_labels = with_labels and classes.is_file()
        names = json.loads(classes.read_text(encoding="utf-8")) if self._with_labels else ()
        self.class_names = tuple(names)
        self.keys = NumberedKeys(len(self._records))
        try:
            self[0]
        except (UnreadablePhoto, IndexError):
            raise RequestError(
                f"{str(shards[0])!r} was not written by write_array_record; data of TFDS is read "
                "with data.name=tfds:NAME"
            ) from None

    def labels(self) -> None:
        """Labels are stored in the records; they are known once a photo is read."""
        return

    def fingerprint(self) -> str:
        """Names the photos by each shard's path, size and time of change."""
        stamps = (part for shard in self._shards for part in (shard.resolve(), file_stamp(shard)))
        return digest("array_record", *stamps)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Photo:
        record = unpack(self._records[index])
        return Photo(record["image"], record["label"] if self._with_labels else NO_LABEL)


def write_array_record(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    num_shards: int = 1,
    labels: str = "folder",
) -> list[Path]:
    """Writes a folder of photos as array_record shards that `data.name=array_record` reads.

    Photos keep their bytes. Photo i goes to shard i % num_shards. Records are stored one a chunk
    (`group_size:1`), which random access needs.

    Args:
        folder: searched for photos at any depth.
        output: a folder for `photos-00000-of-00004.array_record` ... and `classes.json`.
        num_shards: at least 1.
        labels: as `data.labels`.

    Returns:
        The shards' paths.

    Raises:
        RequestError: no photo in the folder, or the output already holds shards.

    Example:
        write_array_record("photos", "shards", num_shards=4), then
        `--config.data.name=array_record --config.data.path=shards`.
    """
    from array_record.python import array_record_module

    source = FolderSource.open(folder, labels=labels)
    output = Path(output)
    if any(output.glob("*.array_record")):
        raise RequestError(f"{output} already holds shards; give an empty folder")
    output.mkdir(parents=True, exist_ok=True)
    paths = [
        output / f"photos-{shard:05d}-of-{num_shards:05d}.array_record"
        for shard in range(num_shards)
    ]
    unfinished = [path.with_suffix(".partial") for path in paths]
    writers = [array_record_module.ArrayRecordWriter(str(p), "group_size:1") for p in unfinished]
    for index, key in enumerate(source.keys):
        image = (source.root / key).read_bytes()
        writers[index % num_shards].write(pack(image, int(source.ids[index]), key))
    for writer, partial, path in zip(writers, unfinished, paths, strict=True):
        writer.close()
        partial.rename(path)
    (output / CLASSES_FILE).write_text(json.dumps(list(source.class_names)), encoding="utf-8")
    return paths
