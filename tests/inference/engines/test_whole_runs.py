"""Folders, films, killed runs and the photo zoo through ONNX Runtime and OpenVINO."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.films import gray_frames, packets, read_frames, write_film
from helpers.photos import conformance, zoo
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax.cli.main import run
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.film import run as film_run
from colorjax.inference.film import write as film_write
from colorjax.inference.options import Options
from colorjax.weights import store

ROOT = Path(__file__).parents[3]
ENGINES = [
    pytest.param("onnx", marks=pytest.mark.slow),
    pytest.param("openvino", marks=pytest.mark.slow),
]
SLOWLY = """
import sys, time
from colorjax import photos
from colorjax.cli.main import run
write = photos.write
def slowly(*args, **options):
    time.sleep(0.3)
    return write(*args, **options)
photos.write = slowly
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.FOLDER, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def album(tmp_path):
    root = tmp_path / "album"
    root.mkdir()
    sizes = [(40, 40), (33, 47), (64, 48), (50, 21), (40, 40), (40, 40)]
    for number, (size, pixels) in enumerate(zip(sizes, synthetic_images(6, 40), strict=True)):
        Image.fromarray(pixels).convert("L").resize(size).save(root / f"{number}.png")
    deep = np.linspace(0, 65535, 40 * 30).reshape(30, 40).astype(np.uint16)
    Image.fromarray(deep).save(root / "deep.png")
    return root


def command(source, output, weights, engine):
    words = ["colorize", source, "--output", output, "--checkpoint", weights, "--engine", engine]
    return [str(word) for word in words]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def share_within(one, two, levels):
    assert one.shape == two.shape
    return (np.abs(one.astype(int) - two).max(axis=-1) <= levels).mean()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_folder_has_the_same_files(engine, album, tmp_path, semantic_workdir):
    for each in ("jax", engine):
        assert run(command(album, tmp_path / each, semantic_workdir, each)) == 0
    assert names(tmp_path / engine) == names(tmp_path / "jax") == names(album)
    for name in names(album):
        pair = [np.asarray(Image.open(tmp_path / each / name)) for each in ("jax", engine)]
        assert np.ptp(pair[0].astype(int), axis=-1).max() > 3
        assert share_within(*pair, 1) >= 0.999, name


@pytest.fixture
def encoded(monkeypatch):
    """Collects the frames that a film's encoder gets: (time, RGB)."""
    frames = []

    class Noting(film_write.PartEncoder):
        def add(self, frame):
            frames.append((frame.timestamp, np.frombuffer(frame.rgb, np.uint8)))
            super().add(frame)

    monkeypatch.setattr(film_run, "PartEncoder", Noting)
    return frames


@pytest.mark.parametrize("engine", ENGINES)
def test_a_film_has_the_same_frames_times_and_sound(engine, tmp_path, semantic_workdir, encoded):
    """Before encoding: x264 turns 1 level into other decisions, see docs/engines.md."""
    film = write_film(tmp_path / "film.mkv", gray_frames(8, 64, 80), audio=True)
    frames, sounds, times = {}, {}, {}
    for each in ("jax", engine):
        encoded.clear()
        folder = tmp_path / each
        assert run(command(film, folder, semantic_workdir, each)) == 0
        (path,) = folder.iterdir()
        frames[each] = sorted(encoded, key=lambda frame: frame[0])
        sounds[each] = packets(path, "audio")
        times[each] = [time for time, _ in read_frames(path)]
    assert sounds["jax"] == sounds[engine] != []
    assert times["jax"] == times[engine]
    assert len(times[engine]) == len(frames[engine]) == 8
    for (when, ours), (own, theirs) in zip(frames["jax"], frames[engine], strict=True):
        assert when == own
        assert share_within(ours.reshape(-1, 3), theirs.reshape(-1, 3), 1) >= 0.999


@pytest.mark.parametrize("engine", [pytest.param("jax", marks=pytest.mark.slow), ENGINES[0]])
def test_a_killed_run_is_resumed(engine, album, tmp_path, semantic_workdir):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(command(album, whole, semantic_workdir, engine)) == 0  # exports, compiles
    with subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *command(album, killed, semantic_workdir, engine)],
        # Compiled as in this process: otherwise a value may round to another level.
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert "->" in process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    done = {path.name: path.stat().st_mtime_ns for path in killed.glob("*.png")}
    assert 1 <= len(done) < len(names(album))
    assert run(command(album, killed, semantic_workdir, engine)) == 0
    assert names(killed) == names(whole) == names(album)
    for path in killed.iterdir():
        assert path.read_bytes() == (whole / path.name).read_bytes()
        assert path.stat().st_mtime_ns == done.get(path.name, path.stat().st_mtime_ns)


@pytest.mark.slow
def test_the_conformance_table_is_the_same(semantic_workdir, monkeypatch):
    """Every file of the zoo, painted by ONNX Runtime instead of with made-up colors."""
    animals = zoo.animals()
    wanted = [conformance.check(animal) for animal in animals]
    colorizer = Colorizer.load(semantic_workdir, engine="onnx")
    painted = []

    def paint(photo):
        colorizer.paint(photo, Options())
        painted.append(photo)

    monkeypatch.setattr(conformance, "paint", paint)
    found = [conformance.check(animal) for animal in animals]
    assert len(painted) >= 50
    for animal, one, two in zip(animals, wanted, found, strict=True):
        assert False not in two.values(), (animal.name, two)
        promises = [{k: v for k, v in row.items() if v in (True, "-")} for row in (one, two)]
        assert promises[0] == promises[1], animal.name
