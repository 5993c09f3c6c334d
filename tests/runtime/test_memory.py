"""The default of --max-pixels depends on the memory of the machine."""

import os
import subprocess
import sys

import pytest
from helpers.platforms import linux_only

from colorjax.runtime import memory

GIB = 2**30


@pytest.mark.parametrize(
    ("num_bytes", "pixels"),
    [(0, 2**28), (GIB // 16, 2**22), (GIB, 2**24), (8 * GIB, 2**27), (10**15, 2**28)],
)
def test_half_of_the_memory_is_enough_for_the_largest_photo(num_bytes, pixels):
    assert memory.max_pixels(num_bytes, 32) == pixels


@linux_only("macOS does not keep RLIMIT_AS, and Windows has none")
def test_a_limit_on_the_address_space_counts():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31));"
        "from colorjax.runtime import memory; print(memory.total_bytes(), memory.MAX_PIXELS)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == [str(2**31), str(2**25)]


def test_a_limit_of_the_container_counts(tmp_path, monkeypatch):
    file = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CGROUPS", (file,))
    machine = memory.total_bytes()
    file.write_text("max\n")
    assert memory.total_bytes() == machine
    assert machine > 0 or os.name == "nt"  # where it is unknown
    file.write_text(f"{GIB // 2}\n")
    assert memory.total_bytes() == GIB // 2
