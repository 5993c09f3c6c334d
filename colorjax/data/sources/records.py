"""Our own array_record shards: one photo a record, with its label and name."""

from __future__ import annotations

import json
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
from colorjax.runtime import paths

CLASSES_FILE = "classes.json"
INDEX_FILE = "index.npz"
# Fields of the index, by what is before a name.
HASHES = {"": "hashes", LIMIT: "limit_hashes", LOW_CHROMA: "low_chroma_hashes"}


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


def _check_whole(shards: Sequence[Path]) -> None:
    """Raises a RequestError where shards of a folder are missing; their names say how many."""
    found = [re.fullmatch(r".*-\d{5}-of-(\d{5})\.array_record", path.name) for path in shards]
    wanted = {int(match[1]) for match in found if match}
    if wanted and (not all(found) or wanted != {len(shards)}):
        raise RequestError(
            f"{str(shards[0].parent)!r} has {len(shards)} shards, and their names say "
            f"{' and '.join(map(str, sorted(wanted)))}; run the same colorjax prepare "
            "again, or copy all of them"
        )


class ArrayRecordSource:
    """Shards written by `colorjax prepare`."""

    def __init__(self, path: str | os.PathLike[str], *, with_labels: bool = True):
        """Opens the shards of a folder (all its `*.array_record` files), or one file.

        Raises:
            RequestError: no shard there.
        """
        from grain.sources import ArrayRecordDataSource

        if paths.is_remote(path):
            raise RequestError(
                f"data.path={os.fspath(path)!r}: array_record is read from disks; mount the bucket "
                "(gcsfuse) or copy the shards"
            )
        path = Path(path).expanduser()
        shards = [path] if path.is_file() else sorted(path.glob("*.array_record"))
        if not shards:
            raise RequestError(
                f"data.path={str(path)!r} holds no *.array_record file; write some with "
                "colorjax prepare"
            )
        if not path.is_file():
            _check_whole(shards)
        self._shards = shards
        self._records = ArrayRecordDataSource([str(shard) for shard in shards])
        classes = shards[0].parent / CLASSES_FILE
        self._with_labels = with_labels and classes.is_file()
        try:
            names = json.loads(classes.read_text(encoding="utf-8")) if self._with_labels else ()
        except ValueError:
            raise RequestError(
                f"{str(classes)!r} is damaged; run the same colorjax prepare again"
            ) from None
        self.class_names = tuple(names)
        self.keys = NumberedKeys(len(self._records))
        try:
            self[0]
        except (UnreadablePhoto, IndexError):
            raise RequestError(
                f"{str(shards[0])!r} was not written by colorjax prepare; data of TFDS is read "
                "with data.name=tfds:NAME"
            ) from None

    def labels(self) -> np.ndarray | None:
        """Class number of every photo, int32, from `index.npz`; without it one reads the records.

        A single shard of several has none.
        """
        return self._indexed("labels") if self._with_labels else None

    def hashes(self, prefix: str) -> np.ndarray | None:
        """`hash_name(prefix + NAME)` of every photo, uint64, by the names that the photos had.

        They come from `index.npz`, and put a photo into the part that it is in as a file of a
        folder. None for a single shard of several, and for shards of earlier versions.

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
                f"{str(self._shards[0].parent)!r} does not say from which source a photo is; run "
                "the same colorjax prepare again (written shards stay), and open the whole folder"
            )
        return names.tolist(), ids

    def _indexed(self, name: str, *, whole: bool = True) -> np.ndarray | None:
        """Reads a field of the index; None if it is missing or, with `whole`, of other photos."""
        index = self._shards[0].parent / INDEX_FILE
        if not index.is_file():
            return None
        try:
            with np.load(index, allow_pickle=False) as file:
                found = file.get(name)
        except Exception:  # zipfile raises whatever a damaged file leads it to
            raise RequestError(
                f"{str(index)!r} is damaged; run the same colorjax prepare again"
            ) from None
        return found if found is not None and (len(found) == len(self) or not whole) else None

    def fingerprint(self) -> str:
        """Names the photos by each shard's path, size and time of change."""
        stamps = (part for shard in self._shards for part in (shard.resolve(), file_stamp(shard)))
        return digest("array_record", *stamps)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Photo:
        record = unpack(self._records[index])
        return Photo(record["image"], record["label"] if self._with_labels else NO_LABEL)
