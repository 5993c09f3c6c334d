"""Files of torch.save as PyTorch writes them, and by hand with a pickle of the test's choice."""

import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

from colorjax.errors import RequestError
from colorjax.weights.torch import file as torch_file

ZIP, STREAM = True, False
CONTAINERS = pytest.mark.parametrize("container", [ZIP, STREAM], ids=["zip", "stream"])
MAGIC = 0x1950A86A20F9469CFC6C


def saved(path, state, container=ZIP, **options):
    torch.save(state, path, _use_new_zipfile_serialization=container, **options)
    return path


def written(path, content):
    path.write_bytes(content)
    return path


def in_container(path, program, container, storages=None, before=None, after=None):
    """Writes a file of torch.save around a pickle; a storage is (elements, bytes)."""
    storages = storages or {}
    if container:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", program)
            archive.writestr("archive/version", "3\n")
            for key, (_, numbers) in storages.items():
                archive.writestr(f"archive/data/{key}", numbers)
        return path
    begin = before or [pickle.dumps(value, 2) for value in (MAGIC, 1001, {"little_endian": True})]
    parts = [*begin, program, after or pickle.dumps(list(storages), 2)]
    for elements, numbers in storages.values():
        parts += [struct.pack("<q", elements), numbers]
    return written(path, b"".join(parts))


def text(string):
    return b"X" + struct.pack("<I", len(string)) + string.encode()


def integer(number):
    return pickle.dumps(number, 2)[2:-1]


def tensor(shape=(2,), strides=(1,), offset=0, numel=2, key="0", view=None, kind="FloatStorage"):
    """The instructions that make a tensor."""
    storage = b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key)
    storage += text("cpu") + integer(numel) + (view or b"") + b"tQ"
    sizes = [b"(" + b"".join(map(integer, numbers)) + b"t" for numbers in (shape, strides)]
    start = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(offset)
    return start + b"".join(sizes) + b"\x89}tR"


def state_of(*items):
    """A pickle of {"a": item, "b": item...}."""
    names = (text(chr(ord("a") + index)) for index in range(len(items)))
    pairs = b"".join(name + item for name, item in zip(names, items, strict=True))
    return b"\x80\x02}(" + pairs + b"u."


NUMBERS = {"0": (2, np.array([1.5, -2], "<f4").tobytes())}


def hand_made(path, *items, container=ZIP, storages=NUMBERS):
    return in_container(path, state_of(*items), container, storages)


def refusal(path):
    """The words of the refusal, one line that begins with the file's name."""
    with pytest.raises(RequestError) as caught:
        torch_file.read_state_dict(path)
    words = str(caught.value)
    assert words.isprintable()
    assert words.startswith(repr(str(path)) + " ")
    assert len(words) < len(str(path)) + 240
    return words.removeprefix(repr(str(path)) + " ")


def outcome(path):
    """Reads a damaged file: True for arrays, False for a refusal; all else is a failure."""
    try:
        state = torch_file.read_state_dict(path)
    except RequestError as error:
        return not str(error).isprintable() and pytest.fail(ascii(error))
    assert all(isinstance(array, np.ndarray) for array in state.values())
    return True
