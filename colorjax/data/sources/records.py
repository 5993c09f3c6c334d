"""Colorjax's array_record shards: one photo per record, with its label and name."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from colorjax.data.sources.labels import NO_LABEL
from colorjax.data.sources.source import LIMIT, LOW_CHROMA, NumberedKeys, Photo, digest, file_stamp
from colorjax.errors import RequestError, UnreadablePhoto
from colorjax.runtime import foreign_files, paths
from colorjax.runtime.file_names import RAW_BYTES

CLASSES_FILE = "classes.json"
INDEX_FILE = "index.npz"
# Hash prefix -> field of the index.
HASHES = {"": "hashes", LIMIT: "limit_hashes", LOW_CHROMA: "low_chroma_hashes"}


def pack(image: bytes, label: int, key: str) -> bytes:
    """Serializes one photo as a record (msgpack of image, label, key)."""
    return msgpack.packb({"image": image, "label": label, "key": key}, unicode_errors=RAW_BYTES)  # pyrefly: ignore


def unpack(record: bytes) -> dict[str, Any]:
    """Parses a record: image (bytes), label (int), key (str).

    Raises:
        UnreadablePhoto: the record was not written by `pack`.
    """
    try:
        fields = msgpack.unpackb(record, unicode_errors=RAW_BYTES)
        return {
            "image": bytes(fields["image"]),
            "label": int(fields["label"]),
            "key": fields["key"],
        }
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise UnreadablePhoto(f"not a colorjax record: {error}") from error


def _check_whole(shards: Sequence[Path]) -> None:
    """Raises a RequestError if shards are missing; file names contain the number of shards."""
    matches = [re.fullmatch(r".*-\d{5}-of-(\d{5})\.array_record", path.name) for path in shards]
    wanted = {int(match[1]) for match in matches if match}
    if wanted and (not all(matches) or wanted != {len(shards)}):
        raise RequestError(
            f"{str(shards[0].parent)!r} has {len(shards)} shards, but their names say "
            f"{' and '.join(map(str, sorted(wanted)))}; run the same colorjax prepare "
            "again, or copy all shards"
        )


class ArrayRecordSource:
    """Shards written by `colorjax prepare`."""

    def __init__(self, path: str | os.PathLike[str], *, with_labels: bool = True):
        """Opens the shards of a folder (all its `*.array_record` files), or one file.

        Raises:
            RequestError: no shards, or shards that are missing or damaged.
        """
        from grain.sources import ArrayRecordDataSource

        if paths.is_remote(path):
            raise RequestError(
                f"data.path={os.fspath(path)!r}: array_record must be on a disk; mount the bucket "
                "(gcsfuse) or copy the shards"
            )
        path = Path(path).expanduser()
        shards = [path] if path.is_file() else sorted(path.glob("*.array_record"))
        if not shards:
            raise RequestError(
                f"data.path={str(path)!r} has no *.array_record file; write shards with "
                "colorjax prepare"
            )
        if not path.is_file():
            _check_whole(shards)
        self._shards = shards
        self._records = ArrayRecordDataSource([str(shard) for shard in shards])
        classes = shards[0].parent / CLASSES_FILE
        self._with_labels = with_labels and classes.is_file()
        try:
            names = foreign_files.read_json(classes) if self._with_labels else []
            assert isinstance(names, list)
            assert all(isinstance(name, str) for name in names)
        except (RequestError, AssertionError):
            raise RequestError(
                f"{str(classes)!r} is damaged; run the same colorjax prepare again"
            ) from None
        self.class_names = tuple(names)
        self.keys = NumberedKeys(len(self._records))
        try:
            self[0]
        except (UnreadablePhoto, IndexError):
            raise RequestError(
                f"{str(shards[0])!r} was not written by colorjax prepare; for TFDS data "
                "set data.name=tfds:NAME"
            ) from None

    def labels(self) -> np.ndarray | None:
        """Returns the class id of every photo, int32, from `index.npz`.

        None without labels, without an index, and for a single shard of several: then the labels
        are only in the records.
        """
        return self._indexed("labels") if self._with_labels else None

    def hashes(self, prefix: str) -> np.ndarray | None:
        """Returns `hash_name(prefix + NAME)` of every photo, uint64, for the original file names.

        The hashes come from `index.npz`, so that photos are split as they are in a folder. None for
        a single shard of several, and for shards of earlier versions.

        Args:
            prefix: a key of `HASHES`.
        """
        return self._indexed(HASHES[prefix])

    def sources(self) -> tuple[list[str], np.ndarray]:
        """Returns the names of the sources, and (N,) int32: the source of each photo.

        Raises:
            RequestError: a single shard of several, or shards of an earlier version.
        """
        names, ids = self._indexed("source_names", whole=False), self._indexed("sources")
        if names is None or ids is None:
            raise RequestError(
                f"{str(self._shards[0].parent)!r} does not contain the sources of its photos; run "
                "the same colorjax prepare again (written shards stay), and open the whole folder"
            )
        return names.tolist(), ids

    def _indexed(self, name: str, *, whole: bool = True) -> np.ndarray | None:
        """Returns a field of the index; None if missing or, with `whole`, of another length."""
        index = self._shards[0].parent / INDEX_FILE
        if not index.is_file():
            return None
        try:
            with np.load(index, allow_pickle=False) as file:
                values = file.get(name)
        except Exception:  # zipfile raises errors of any type on damaged files
            raise RequestError(
                f"{str(index)!r} is damaged; run the same colorjax prepare again"
            ) from None
        return values if values is not None and (len(values) == len(self) or not whole) else None

    def fingerprint(self) -> str:
        """Returns a digest of path, size and modification time of each shard."""
        stamps = (part for shard in self._shards for part in (shard.resolve(), file_stamp(shard)))
        return digest("array_record", *stamps)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Photo:
        record = unpack(self._records[index])
        return Photo(record["image"], record["label"] if self._with_labels else NO_LABEL)
