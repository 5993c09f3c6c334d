"""The memory per megapixel that docs/photos.md states holds for each format."""

import functools
import io
import os
import re
import subprocess
import sys
import textwrap

import imagecodecs
import numpy as np
import pytest
import tifffile
from helpers.platforms import linux_only
from helpers.program import ROOT
from PIL import Image

pytestmark = linux_only("macOS does not keep RLIMIT_AS, and Windows has none")

FIXED = 256  # MiB: threads and tables of the codecs, as docs/photos.md says

CHILD = """
import resource, sys
from pathlib import Path
from colorjax import photos


def colorize(path):
    photo = photos.read(path)
    for top in range(0, photo.height, 256):
        rows = slice(top, min(top + 256, photo.height))
        photo.paint(rows, photo.srgb(rows).copy())
    kind = {"GIF": "PNG"}.get(photo.kind, photo.kind)
    photos.write(path.with_name("made"), photo, kind, mark=None)
    return photo


small, large, mebibytes = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
colorize(small)  # loads the libraries
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = int(pages * resource.getpagesize() + mebibytes * 2**20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
photo = colorize(large)
print(photo.width * photo.height)
"""


def noise(side, channels, dtype=np.uint8):
    """A picture that no encoder makes small."""
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (256, 256, channels), dtype)
    times = -(-side // 256)
    return np.ascontiguousarray(np.tile(values, (times, times, 1))[:side, :side])


def smooth(side, channels):
    """For HEIF, whose encoder takes minutes for 24 megapixels of noise."""
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(ramp[:, None, None], (side, side, channels)))


def pillow(kind, channels, content=noise, **options):
    def encode(side):
        if kind == "HEIF":
            pytest.importorskip("pillow_heif").register_heif_opener()
        buffer = io.BytesIO()
        Image.fromarray(content(side, channels)).save(buffer, kind, **options)
        return buffer.getvalue()

    return encode


def tiff(channels, dtype, **options):
    def encode(side):
        buffer = io.BytesIO()
        pixels = noise(side, channels, np.uint8 if dtype == np.float32 else dtype).astype(dtype)
        tifffile.imwrite(
            buffer, pixels, photometric="rgb", planarconfig="contig", metadata=None, **options
        )
        return buffer.getvalue()

    return encode


def ppm(side):
    return b"P6 %d %d 65535\n" % (side, side) + noise(side, 3, np.uint16).tobytes()


def text(side):
    return b"P3 %d %d 255\n" % (side, side) + b" 77" * (side * side * 3)


def jpeg2000(channels, dtype):
    return lambda side: imagecodecs.jpeg2k_encode(
        noise(side, channels, dtype), level=0, codecformat="jp2"
    )


# name -> (row of the table in docs/photos.md, encoder)
FILES = {
    "jpeg": ("JPEG", pillow("JPEG", 3)),
    "jpeg progressive": ("JPEG", pillow("JPEG", 3, progressive=True, subsampling=0, quality=50)),
    "png 8": ("PNG", pillow("PNG", 4, compress_level=1)),
    "png 16": ("PNG", lambda side: imagecodecs.png_encode(noise(side, 4, np.uint16), level=1)),
    "tiff 8": ("TIFF", tiff(3, np.uint8)),
    "tiff 16": ("TIFF", tiff(4, np.uint16, compression="deflate")),
    "tiff float": ("TIFF of floats", tiff(4, np.float32)),
    "webp": ("WebP", pillow("WEBP", 4, method=0)),
    "bmp": ("BMP", pillow("BMP", 3)),
    "gif": ("GIF", pillow("GIF", 3)),
    "avif": ("AVIF", pillow("AVIF", 4, speed=10, quality=60)),
    "heif": ("HEIF", pillow("HEIF", 4, smooth, quality=30)),
    "jpeg 2000 8": ("JPEG 2000", jpeg2000(3, np.uint8)),
    "jpeg 2000 16": ("JPEG 2000", jpeg2000(4, np.uint16)),
    "ppm 16": ("PPM, PGM", ppm),
    "ppm text": ("PPM, PGM as text", text),
}
QUICK = ("jpeg", "tiff 8", "bmp", "ppm 16")


@functools.cache
def bounds():
    """The table of docs/photos.md: MiB per megapixel."""
    lines = (ROOT / "docs/photos.md").read_text().partition("MiB per megapixel |\n")[2].splitlines()
    rows = [re.fullmatch(r"\| ([^|]+) \| (\d+) \|", line) for line in lines[1:]]
    return {row[1]: int(row[2]) for row in rows if row}


def colorized(name, megapixels, folder):
    row, encode = FILES[name]
    side = round((megapixels * 1e6) ** 0.5)
    for file, size in (("small", 64), ("large", side)):
        (folder / file).write_bytes(encode(size))
    limit = FIXED + bounds()[row] * megapixels
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), "small", "large", str(limit)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert int(result.stdout) == side * side


@pytest.mark.parametrize("name", FILES)
def test_a_megapixel(name, tmp_path):
    colorized(name, 1, tmp_path)


@pytest.mark.parametrize("name", QUICK)
def test_24_megapixels_of_quick_formats(name, tmp_path):
    colorized(name, 24, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES if name not in QUICK])
def test_24_megapixels(name, tmp_path):
    colorized(name, 24, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_100_megapixels(name, tmp_path):
    colorized(name, 100, tmp_path)


def test_the_bound_bites(tmp_path, monkeypatch):
    """With a part of the memory, the same photo fails: else the limit would measure nothing."""
    monkeypatch.setattr(sys.modules[__name__], "FIXED", 0)
    monkeypatch.setattr(sys.modules[__name__], "bounds", lambda: {"PNG": 2})
    with pytest.raises(AssertionError, match=r"not enough memory|MemoryError|cannot be"):
        colorized("png 8", 6, tmp_path)
