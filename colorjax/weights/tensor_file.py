"""Reads and writes .safetensors files: named arrays, nothing that could be executed."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from colorjax.errors import RequestError
from colorjax.runtime import atomic
from colorjax.runtime.file_names import printable

MOST_HEADER = 4 * 2**20  # bytes; one array takes about 100
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class About(NamedTuple):
    """Type and shape of an array, as the header states them."""

    dtype: str
    shape: tuple[int, ...]


def looks_like_one(head: bytes, size: int) -> bool:
    """Returns whether a file is of this format.

    Args:
        head: its first bytes, at least 9 of a valid file.
        size: of the file, in bytes.
    """
    return head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= size - 8


def describe(path: str | os.PathLike[str]) -> dict[str, About]:
    """Returns type and shape of all arrays, from the header; reads no numbers.

    The header is bounded, and its sizes are those of the file: all bytes belong to one array.

    Raises:
        RequestError: no such file; a truncated or damaged file, or one with a lying header.
    """
    with _opened(path) as file:
        return _about(file, path)


def read(
    path: str | os.PathLike[str], expected: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Reads all arrays; bfloat16 becomes float32.

    Args:
        path: the file.
        expected: arrays with the names, types and shapes that the file must have, compared before
            any array of the file is allocated. None: any arrays.

    Returns:
        Arrays by name, C-contiguous and writable.

    Raises:
        RequestError: see `describe`; or other arrays than expected.
    """
    with _opened(path) as file:
        about = _about(file, path)
        if expected is not None:
            _compare(path, about, expected)
        return {name: _array(file, name, about[name].dtype) for name in about}


def write(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes arrays atomically; the same arrays give the same bytes.

    Raises:
        OSError: the file cannot be written.
    """
    from safetensors.numpy import save_file

    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with atomic.replacing(path) as partial:
        partial.touch()
        mode = partial.stat().st_mode
        save_file(contiguous, partial, metadata=dict(metadata or {}))
        partial.chmod(mode)  # as of other files; the library's are readable by the owner only


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Context manager of an opened file, with a bounded header."""
    from safetensors import SafetensorError, safe_open

    shown = repr(os.fspath(path))
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise RequestError(f"{shown} is not a file; give a .safetensors file")
        with open(path, "rb") as raw:
            length = int.from_bytes(raw.read(8), "little")
        if length > MOST_HEADER:
            raise RequestError(
                f"{shown} is damaged (a header of {length} bytes); download or save it again"
            )
        with safe_open(path, framework="np") as file:
            yield file
    except SafetensorError as error:
        raise RequestError(
            f"{shown} is truncated or damaged ({printable(str(error))[:120]}); download or save "
            "it again"
        ) from None
    except OSError as error:
        raise RequestError(
            f"{shown} cannot be read ({error.strerror or error}); give a .safetensors file"
        ) from None


def _about(file: Any, path: str | os.PathLike[str]) -> dict[str, About]:
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    about = {name: About(x.get_dtype(), tuple(x.get_shape())) for name, x in slices.items()}
    for name, each in about.items():
        if each.dtype not in _DTYPES or not name.isprintable() or len(each.shape) > 32:
            what = ascii(f"{name[:60]}: {each.dtype}")[1:-1]
            raise RequestError(f"{os.fspath(path)!r} has an array of another kind ({what})")
    return about


def _compare(
    path: str | os.PathLike[str],
    about: Mapping[str, About],
    expected: Mapping[str, np.ndarray],
) -> None:
    wanted = {name: About(_NAMES[str(x.dtype)], x.shape) for name, x in expected.items()}
    wrong = [
        f"{name} {list(about[name].shape)} {about[name].dtype}, not {list(each.shape)} {each.dtype}"
        if name in about
        else f"{name} is missing"
        for name, each in wanted.items()
        if about.get(name) != each
    ]
    wrong += [f"{name} is unknown" for name in about if name not in expected]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise RequestError(
            f"{os.fspath(path)!r} has other arrays than the network of its config.json "
            f"({'; '.join(wrong[:3])}{more}); get both files from the same source"
        )


def _array(file: Any, name: str, dtype: str) -> np.ndarray:
    if dtype == "BF16":  # NumPy has no bfloat16
        return np.asarray(file.get_tensor(name)).astype(np.float32)
    return np.asarray(file.get_tensor(name), order="C")
