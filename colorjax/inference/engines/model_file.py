"""Reads the metadata of an exported model without a library for ONNX."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, BinaryIO

from colorjax.errors import RequestError

SUFFIX = ".onnx"
_KEY = b"colorjax"  # of the metadata entry
_METADATA = 14  # field number of ModelProto.metadata_props
_MOST = 2**20  # bytes of the metadata


def read_about(path: Path) -> dict[str, Any]:
    """Returns the metadata that `colorjax export` wrote into a file.

    An ONNX file is a protobuf message: fields of a number, a type and a content. The graph is
    skipped.

    Raises:
        RequestError: no such file, or not written by `colorjax export`.
    """
    try:
        with path.open("rb") as file:
            about = _search(file)
    except FileNotFoundError:
        raise RequestError(f"the model {str(path)!r} does not exist") from None
    except (OSError, ValueError):
        about = None
    if not isinstance(about, dict):
        raise RequestError(
            f"{str(path)!r} is no model of `colorjax export`; write one with `colorjax export "
            "WEIGHTS FILE.onnx`"
        )
    return about


def _search(file: BinaryIO) -> Any:
    while True:
        key = _varint(file)
        if key is None:
            return None
        number, kind = key >> 3, key & 7
        if kind == 0:
            _varint(file)
        elif kind in (1, 5):
            file.seek(8 if kind == 1 else 4, 1)
        elif kind == 2:
            length = _varint(file) or 0
            if number != _METADATA or length > _MOST:
                file.seek(length, 1)
                continue
            entry = _strings(file.read(length))
            if entry.get(1) == _KEY:
                return json.loads(entry.get(2, b""))
        else:
            raise ValueError("not a protobuf message")


def _varint(file: BinaryIO) -> int | None:
    """Returns the next number; None at the end of the file."""
    value = shift = 0
    while byte := file.read(1):
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
        shift += 7
        if shift > 63:
            raise ValueError("not a protobuf message")
    return None


def _strings(content: bytes) -> dict[int, bytes]:
    """Returns the strings of a message that has nothing else, by field number."""
    file, result = io.BytesIO(content), {}
    while (key := _varint(file)) is not None:
        result[key >> 3] = file.read(_varint(file) or 0)
    return result
