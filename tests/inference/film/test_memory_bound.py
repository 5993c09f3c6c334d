"""The memory per megapixel that docs/film.md states, and the limit on pixels before decoding."""

import re
import subprocess
import sys
import textwrap

import imagecodecs
import numpy as np
import pytest
from helpers.films import write_film
from helpers.program import ROOT, command

from colorjax.inference.film.read import FilmReader

av = pytest.importorskip("av")

FIXED = 512  # MiB: threads and tables of FFmpeg, x264 and the network, as docs/film.md says

CHILD = """
import resource, sys
from pathlib import Path
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.film.painter import FramePainter
from colorjax.inference.film.run import UnreadableFilm, colorize_film

mebibytes, most, weights = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
painter = FramePainter(Colorizer.load(weights))
peak = 0


def size():
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def note(*_):
    global peak
    peak = max(peak, size())


def colorize(name):
    return colorize_film(
        name, "made.mov", painter, weights="w", overwrite=True, max_pixels=most, progress=note
    )


colorize("small.mov")  # loads the libraries
start = size()
limit = int(start + mebibytes * 2**20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    print(colorize("large.mov").frames, (peak - start) / 2**20)
except UnreadableFilm as error:
    print(error)
"""


def run(mebibytes, most, folder, weights):
    small = np.zeros((64, 64, 3), np.uint8)
    write_film(folder / "small.mov", [small] * 2, codec="mjpeg", pix_fmt="yuvj420p")
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(mebibytes), str(most), str(weights)],
        cwd=folder,
        env=command()["env"] | {"PYTHONPATH": str(ROOT), "MALLOC_ARENA_MAX": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert not result.stderr
    return result.stdout.strip()


def bound():
    """MiB per megapixel, of docs/film.md."""
    text = " ".join((ROOT / "docs/film.md").read_text().split())
    return int(re.search(r"(\d+) MiB per megapixel of a frame", text)[1])


def colorized(megapixels, frames, folder, weights):
    """Returns MiB per megapixel."""
    side = round((megapixels * 1e6) ** 0.5) // 2 * 2
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    times = -(-side // 64)
    frame = np.tile(noise, (times, times, 1))[:side, :side]
    fields = {"codec": "mjpeg", "pix_fmt": "yuvj420p"}
    write_film(folder / "large.mov", [frame] * frames, **fields)
    limit = FIXED + bound() * megapixels
    made, peak = run(limit, 2**28, folder, weights).split()
    assert int(made) == frames
    return float(peak) / megapixels


def test_a_megapixel(workdir, tmp_path):
    assert colorized(1, 8, tmp_path, workdir) > 20  # else nothing was measured


@pytest.mark.slow
def test_a_megapixel_of_more_frames_than_the_encoder_looks_ahead(workdir, tmp_path):
    assert colorized(1, 80, tmp_path, workdir) > 100


@pytest.mark.slow
@pytest.mark.parametrize("megapixels", [24, 100])
def test_large_frames(megapixels, workdir, tmp_path):
    assert colorized(megapixels, 3, tmp_path, workdir) > 20


@pytest.mark.parametrize("side", [16000, 64])
@pytest.mark.parametrize("suffix", [".mov", ".avi"])
def test_frames_of_256_megapixels_are_not_decoded(suffix, side, workdir, tmp_path):
    """A file below 1 MB, which took 5.9 GB; also if its header says 64x64."""
    picture = imagecodecs.png_encode(np.zeros((16000, 16000), np.uint8), level=9)
    assert len(picture) < 2**20
    with av.open(str(tmp_path / f"large{suffix}"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width = stream.height = side
        stream.pix_fmt = "gray"
        container.start_encoding()
        for time in range(3):
            packet = av.Packet(picture)
            packet.stream, packet.pts, packet.dts = stream, time, time
            packet.time_base = stream.time_base
            container.mux(packet)
    (tmp_path / f"large{suffix}").rename(tmp_path / "large.mov")
    said = run(256, 2**24, tmp_path, workdir)
    assert said == "no frame of at most 16777216 pixels (--max-pixels) can be decoded"


def test_frames_of_av1_that_grow_are_not_decoded(tmp_path):
    """The header has the size of the first frame; the decoder has a limit of its own."""
    parts = []
    for number, side in enumerate((64, 256)):
        path = tmp_path / f"{number}.ivf"
        frame = np.full((side, side, 3), 60 * number, np.uint8)
        write_film(path, [frame] * 8, codec="libsvtav1")
        parts.append(path.read_bytes()[32 * (number > 0) :])
    (tmp_path / "in.mkv").write_bytes(b"".join(parts))
    reader = FilmReader(tmp_path / "in.mkv", 2**20)
    assert sum(1 for _ in reader.frames()) == 16
    assert reader.damaged == 0
    reader = FilmReader(tmp_path / "in.mkv", 2**15)
    assert (reader.info.width, reader.info.height) == (64, 64)
    assert 0 < sum(1 for _ in reader.frames()) <= 8
    assert reader.damaged >= 8
