"""Reads the weights in a file of `torch.save`, without PyTorch and without executing the file.

Such a file contains a pickle, which describes the tensors (see `pickle`), and raw numbers: as a zip
archive since PyTorch 1.6, as one stream before. Numbers are read last, and only for the returned
tensors.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from colorjax.errors import RequestError
from colorjax.weights import tensor_file
from colorjax.weights.torch.pickle import Machine, Refused, Storage, Tensor, of_type, quoted

# Names under which training programs save a state dict, preferred first: an average of the weights
# ("params_ema") before the weights themselves.
_WRAPPERS = ("state_dict", "model", "params_ema", "params")
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001  # at the start of a stream of pickles
_MOST_PICKLE = 4 * 2**20  # bytes; one tensor takes about 250
_MOST_GROWTH = 16  # bytes of arrays per byte of the file; tied weights and bfloat16 need a few

_OTHER_KINDS = {
    b"<": "is a web page or an error message, not weights: the download failed; download it again",
    b"{": "is JSON text, not weights: the download failed; download it again",
    b"version https://git-lfs": "is a pointer of Git LFS, not the weights; run git lfs pull",
    b"\xff\xd8\xff": "is a JPEG photo, not weights; give a file of torch.save",
    b"\x89PNG": "is a PNG photo, not weights; give a file of torch.save",
    b"\x89HDF": "is an HDF5 file, not weights of PyTorch; give a file of torch.save",
    b"\x1f\x8b": "is packed by gzip; unpack it first",
}
_TAR = "is in the tar format of the first PyTorch versions; load it with PyTorch and save it again"
_TORCH_SCRIPT = "is a TorchScript archive; load it with torch.jit.load and save its state_dict()"
_NOT_SAVED = "is not a file of torch.save, or only the start of one; download or save it again"
_Order = Literal["<", ">"]
# Errors of zipfile, pickletools, struct and NumPy on damaged data.
_DAMAGE = (
    zipfile.BadZipFile,
    struct.error,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    OSError,
    RuntimeError,
)


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads a state dict saved by `torch.save`, as zip archive or older stream; or .safetensors.

    A mapping with "state_dict", "model", "params_ema" or "params" is unwrapped once. The prefix
    "module." (of DataParallel) is removed if all names have it. Values that are not tensors are
    ignored.

    Args:
        path: the file.

    Returns:
        Arrays by name, in the file's order, each C-contiguous, writable and with separate memory,
        with the tensor's shape and dtype; bfloat16 becomes float32.

    Raises:
        RequestError: no such file; a truncated, damaged or different kind of file; a pickle that
            uses anything but tensors (nothing in it is executed); no tensors; a zip archive that is
            compressed or has no CRC-32.
    """
    path = Path(path).expanduser()
    try:
        with _open(path) as file:
            size = os.fstat(file.fileno()).st_size
            if tensor_file.looks_like_one(file.peek(9), size):
                return tensor_file.read(path)
            return _read(file, size)
    except RequestError:
        raise
    except Refused as error:
        raise RequestError(f"{str(path)!r} {error}") from None
    except _DAMAGE as error:
        raise RequestError(
            f"{str(path)!r} is truncated or damaged ({quoted(str(error))}); download or save it "
            "again"
        ) from error


def sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file, 64 hexadecimal digits, without loading the whole file.

    Raises:
        RequestError: no such file, or an unreadable one.
    """
    path = Path(path).expanduser()
    with _open(path) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise RequestError(f"{str(path)!r} cannot be read ({error.strerror})") from None


def _open(path: Path) -> io.BufferedReader:
    try:
        if path.is_file():
            return path.open("rb")
        wrong = "is not a file" if path.exists() else "does not exist"
    except OSError as error:
        wrong = f"cannot be read ({error.strerror})"
    raise RequestError(f"{str(path)!r} {wrong}; give a file of torch.save")


def _read(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    head = file.read(512)
    file.seek(0)
    if not head:
        raise Refused("is empty; download or save it again")
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(file, size)
    if head.startswith(b"\x80"):
        return _read_stream(file, size)
    if head[257:262] == b"ustar":
        raise Refused(_TAR)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for start, reason in _OTHER_KINDS.items():
        if text.startswith(start):
            raise Refused(reason)
    raise Refused(_NOT_SAVED)


def _read_zip(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        root = _root(archive)
        machine = Machine()
        program = _entry(archive, f"{root}/data.pkl", range(_MOST_PICKLE))
        tensors = _named_tensors(machine.run(io.BytesIO(program)))
        needed = {key: machine.storages[key].nbytes for key in _keys(tensors)}
        _check_growth(sum(needed.values()), size, 1)  # entries may overlap in the archive
        raw = (
            (key, _entry(archive, f"{root}/data/{key}", range(nbytes, nbytes + 1)))
            for key, nbytes in needed.items()
        )
        return _arrays(tensors, raw, size, _byte_order(archive, root))


def _root(archive: zipfile.ZipFile) -> str:
    """Returns the top folder in a saved archive."""
    names = archive.namelist()
    roots = [name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise Refused("is a zip archive, but not one of torch.save; give a file of torch.save")
    (root,) = roots
    if any(name.startswith((f"{root}/code/", f"{root}/constants.pkl")) for name in names):
        raise Refused(_TORCH_SCRIPT)
    return root


def _entry(archive: zipfile.ZipFile, name: str, sizes: range) -> bytes:
    """Reads an entry after checking its size."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise Refused("is compressed, which torch.save never does; unpack or save it again")
    if entry.file_size != entry.compress_size or entry.file_size not in sizes:
        raise ValueError(f"{name} has {entry.file_size} bytes")
    return archive.read(entry)


def _byte_order(archive: zipfile.ZipFile, root: str) -> _Order:
    name = f"{root}/byteorder"
    if name not in archive.namelist():
        return "<"  # written before PyTorch 2.1
    orders: dict[bytes, _Order] = {b"little": "<", b"big": ">"}
    return orders[_entry(archive, name, range(8))]


def _read_stream(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    head = io.BytesIO(file.read(_MOST_PICKLE))
    if Machine().run(head) != _MAGIC:
        raise Refused(_NOT_SAVED)
    if Machine().run(head) != _VERSION:
        raise Refused("is of an unknown version of torch.save; save it with PyTorch 1.6 or later")
    of_type(dict, Machine().run(head))  # byte order; the numbers are always little-endian
    machine = Machine()
    tensors = _named_tensors(machine.run(head))
    keys = of_type(list, Machine().run(head))
    file.seek(head.tell())
    wanted = _keys(tensors)

    def raw() -> Iterator[tuple[str, bytes]]:
        for key in keys:
            nbytes = _next_storage(file, size, machine.storages[of_type(str, key)])
            if key in wanted:
                yield key, file.read(nbytes)
            else:
                file.seek(nbytes, os.SEEK_CUR)

    return _arrays(tensors, raw(), size, "<")


def _next_storage(file: BinaryIO, size: int, storage: Storage) -> int:
    """Reads a storage's length, checks it against the file, and returns it in bytes."""
    (count,) = struct.unpack("<q", file.read(8))
    if count != storage.size or storage.nbytes > size - file.tell():
        raise ValueError(f"storage {storage.key} of {storage.size} elements")
    return storage.nbytes


def _named_tensors(saved: Any) -> dict[str, Tensor]:
    """Returns the tensors of a state dict, or of the one in a mapping such as {"model": ...}."""
    if type(saved) is not dict:
        raise Refused("holds no mapping of names to tensors; save the state_dict()")
    for wrapper in _WRAPPERS:
        if type(saved.get(wrapper)) is dict:
            saved = saved[wrapper]
            break
    tensors = {name: value for name, value in saved.items() if type(value) is Tensor}
    if not tensors:
        held = quoted(", ".join(str(name) for name in list(saved)[:5])) or "nothing"
        raise Refused(f"holds no tensors (it holds {held}); save only the state_dict()")
    if not all(type(name) is str and name.isprintable() for name in tensors):
        raise Refused("holds tensors without names; save the state_dict()")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _keys(tensors: dict[str, Tensor]) -> set[str]:
    """Returns the keys of the storages to read."""
    return {tensor.storage.key for tensor in tensors.values() if 0 not in tensor.shape}


def _arrays(
    tensors: dict[str, Tensor], raw: Iterable[tuple[str, bytes]], size: int, order: _Order
) -> dict[str, np.ndarray]:
    """Returns the arrays; reads one storage at a time, so that memory is that of the arrays."""
    elements = [math.prod(tensor.shape) for tensor in tensors.values()]
    widths = [_array_dtype(tensor.storage.dtype).itemsize for tensor in tensors.values()]
    _check_growth(sum(n * width for n, width in zip(elements, widths, strict=True)), size)
    within: dict[str, list[str]] = {}  # key of a storage -> names of its tensors
    arrays = {}
    for name, tensor in tensors.items():
        if 0 in tensor.shape:
            arrays[name] = np.zeros(tensor.shape, _array_dtype(tensor.storage.dtype))
        else:
            within.setdefault(tensor.storage.key, []).append(name)
    for key, stored in raw:
        numbers = _numbers(stored, tensors[within[key][0]].storage, order)
        arrays |= {name: _array(name, tensors[name], numbers) for name in within.pop(key)}
    if within:
        raise ValueError(f"storage {next(iter(within))} is missing")
    return {name: arrays[name] for name in tensors}


def _check_growth(nbytes: int, size: int, most: int = _MOST_GROWTH) -> None:
    if nbytes > most * size:
        raise Refused(
            f"is refused: it declares {nbytes} bytes of numbers in a file of {size}; save the "
            "state_dict() again"
        )


def _array_dtype(name: str) -> np.dtype:
    return np.dtype("float32" if name == "bfloat16" else name)


def _numbers(raw: bytes, storage: Storage, order: _Order) -> np.ndarray:
    """Returns a whole storage, shape (elements,)."""
    stored = np.frombuffer(raw, storage.stored_dtype.newbyteorder(order))
    if storage.dtype == "bfloat16":  # the upper half of a float32
        return (stored.astype(np.uint32) << 16).view(np.float32)
    if storage.dtype == "bool":
        return stored != 0
    return stored.astype(storage.dtype, copy=False)


def _array(name: str, tensor: Tensor, numbers: np.ndarray) -> np.ndarray:
    dtype = _array_dtype(tensor.storage.dtype)
    axes = sorted(zip(tensor.strides, tensor.shape, strict=True))
    reach = 0  # of the axes so far, in elements
    for stride, length in axes:
        if length > 1 and stride <= reach:
            raise Refused(f"is refused: {quoted(name)} overlaps itself; save its clone()")
        reach += stride * (length - 1)
    if tensor.offset + reach >= tensor.storage.size:
        raise Refused(f"is refused: {quoted(name)} reaches outside its storage; save it again")
    view = np.ndarray(
        tensor.shape,
        dtype,
        buffer=numbers,
        offset=(tensor.storage.first + tensor.offset) * dtype.itemsize,
        strides=tuple(stride * dtype.itemsize for stride in tensor.strides),
    )
    return view.copy()
