"""Files of strangers: no more memory than they need, and one type of error."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from colorjax.data import prior
from colorjax.errors import RequestError
from colorjax.runtime import foreign_files


def peak(act):
    """Returns the largest number of bytes that Python and NumPy took for a call."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_small_file_takes_little_memory(tmp_path):
    """`file.read(n)` takes n bytes, whatever the size of the file."""
    (tmp_path / "a").write_bytes(b"abc")
    assert foreign_files.read_bytes(tmp_path / "a") == b"abc"
    assert peak(lambda: foreign_files.read_bytes(tmp_path / "a")) < 2**20


@pytest.fixture
def bomb(tmp_path):
    """64 MiB of zeros in 64 kB."""
    path = tmp_path / "prior.npz"
    np.savez_compressed(path, prior=np.zeros(2**23))
    assert path.stat().st_size < 2**17
    return path


def test_what_unpacks_to_more_than_the_limit_is_not_unpacked(bomb):
    def read():
        with pytest.raises(ValueError, match="it unpacks to 67108992 bytes"):
            foreign_files.read_arrays(bomb, most=2**24)

    assert peak(read) < 2**21
    assert foreign_files.read_arrays(bomb)["prior"].shape == (2**23,)


def test_a_prior_is_no_bomb(bomb):
    def read():
        with pytest.raises(RequestError, match="is not an NPZ or NPY file of a prior"):
            prior.load(bomb)

    assert peak(read) < 2**22


def archive(method=zipfile.ZIP_STORED, **entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in entries.items():
            file.writestr(f"{name}.npy", content)
    return bytearray(buffer.getvalue())


def unknown_method():
    content = archive(a=b"x")
    content[content.index(b"PK\1\2") + 10] = content[8] = 77
    return content


def damaged_deflate():
    content = archive(zipfile.ZIP_DEFLATED, a=bytes(999))
    content[35:40] = b"\xff" * 5
    return content


def test_a_header_that_is_no_python_is_no_prior(tmp_path):
    path = tmp_path / "prior.npy"
    np.save(path, np.zeros(313))
    path.write_bytes(path.read_bytes().replace(b"), }", b"((\n "))
    with pytest.raises(RequestError, match="is not an NPZ or NPY file of a prior"):
        prior.load(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", archive(a=b"\x93NUMPY"), unknown_method(), damaged_deflate()],
    ids=["empty", "start", "header", "method", "deflate"],
)
def test_damaged_arrays_are_a_value_error(content, tmp_path):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r".*"):
        foreign_files.read_arrays(tmp_path / "a.npz")
