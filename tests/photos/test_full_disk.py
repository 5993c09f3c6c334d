"""A full disk: no cut file under a final name, and no earlier result lost, at any size."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from helpers.platforms import posix_only
from helpers.program import ROOT

STEP = 4096

# RLIMIT_FSIZE acts as a full disk does: the last write is short, and the next one raises.
CHILD = """
import io, json, resource, sys
from pathlib import Path
import numpy as np
from PIL import Image
from colorjax import photos
from colorjax.inference.batch import contact_sheet
from colorjax.photos.header import SUFFIXES
from colorjax.runtime import atomic

STEP, HARD = 4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
noise = np.random.default_rng(0).integers(0, 256, (72, 96, 3), np.uint8)
buffer = io.BytesIO()
Image.fromarray(noise).save(buffer, "PNG")


def photo(path):
    photos.write(path, painted, path.suffix, mark={"by": "x", "tool": "t"})


def sheet(path):
    contact_sheet.write(path, [("a", Path("a.png"), Path("a.png"))] * 4)


def journal(path):
    atomic.write_text(path, json.dumps(list(range(5000))))


def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, HARD))


painted = photos.read(buffer.getvalue())
painted.paint(slice(0, painted.height), painted.srgb(slice(0, painted.height)).copy())
Path("a.png").write_bytes(buffer.getvalue())
formats = {kind: suffixes[0] for kind, suffixes in SUFFIXES.items()}
writers = {kind: (f"result{suffix}", photo) for kind, suffix in formats.items()}
writers |= {"sheet png": ("sheet.png", sheet), "sheet jpg": ("sheet.jpg", sheet)}
writers |= {"journal": ("journal.json", journal)}
report = {}
for kind, (name, write) in writers.items():
    path = Path(name)
    try:
        write(path)
    except photos.UnwritablePhoto as error:
        report[kind] = f"no encoder: {error}"
        continue
    whole = path.read_bytes()
    wrong, refused = [], 0
    for size in [*range(STEP, len(whole), STEP), len(whole) - 1, len(whole)]:
        for before in (None, b"an earlier result"):
            path.unlink(missing_ok=True)
            if before:
                path.write_bytes(before)
            limit(size)
            try:
                write(path)
                has_failed = False
            except (photos.UnwritablePhoto, OSError) as error:
                has_failed = True
                refused += 1
            limit(HARD)
            now = path.read_bytes() if path.exists() else None
            if has_failed != (size < len(whole)) or now != (before if has_failed else whole):
                wrong.append((size, has_failed, None if now is None else len(now)))
            partials = list(Path().glob(".colorjax-*"))
            if partials:
                wrong.append((size, "left behind", len(partials)))
    report[kind] = [len(whole), refused, wrong]
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD)],
        cwd=tmp_path_factory.mktemp("disk"),
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


@posix_only("Windows has no RLIMIT_FSIZE")
@pytest.mark.parametrize(
    "kind",
    [
        *("JPEG", "PNG", "TIFF", "WEBP", "BMP", "AVIF", "HEIF", "JPEG2000", "PPM"),
        *("sheet png", "sheet jpg", "journal"),
    ],
)
def test_a_full_disk_leaves_no_cut_file_and_loses_no_earlier_result(report, kind):
    assert not isinstance(report[kind], str), report[kind]  # an encoder is missing
    size, refused, wrong = report[kind]
    assert size > 3 * STEP
    assert refused >= 2 * 4
    assert not wrong
