"""Separate processes that are stopped, killed, or whose output is closed."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax.inference.batch import contact_sheet

# Slow enough for signals to arrive during a photo: `decolorize` takes less than a millisecond.
_SLOWLY = """
import sys, time
from colorjax import cli
from colorjax import photos
write = photos.write
def slowly(*args, **options):
    time.sleep({seconds})
    return write(*args, **options)
photos.write = slowly
sys.exit(cli.run(sys.argv[1:]))
"""


@pytest.fixture
def album(tmp_path):
    root = tmp_path / "album"
    root.mkdir()
    for number, pixels in enumerate(synthetic_images(8, 16)):
        Image.fromarray(pixels).save(root / f"{number}.png")
    return root


def start(folder, *args, seconds=0.0):
    program = ["-c", _SLOWLY.format(seconds=seconds)] if seconds else ["-m", "colorjax"]
    return subprocess.Popen(
        [sys.executable, *program, *map(str, args)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_a_line(process):
    assert "->" in process.stdout.readline()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_signal_ends_after_the_photos_under_way(album, tmp_path):
    args = ["decolorize", "album", "--output", "out"]
    with start(tmp_path, *args, seconds=0.3) as process:
        wait_for_a_line(process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 75
    done = names(tmp_path / "out")
    assert 1 <= len(done) <= 5
    assert f"stopped with {8 - len(done)} to go; the same command continues" in err
    assert f"{len(done)} turned gray" in out
    with start(tmp_path, *args) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert f"{8 - len(done)} turned gray, {len(done)} skipped" in out
    assert names(tmp_path / "out") == names(album)


def test_a_second_signal_ends_at_once(album, tmp_path):
    with start(tmp_path, "decolorize", "album", "--output", "out", seconds=5) as process:
        while not (tmp_path / "out").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.stderr.readline() == "\n"
        assert "SIGTERM" in process.stderr.readline()
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 3
    assert process.returncode == 75
    assert err == "\ncolorjax: interrupted; the same command continues\n"
    assert names(tmp_path / "out") == []


def test_nobody_has_to_listen(album, tmp_path):
    with start(tmp_path, "decolorize", "album", "--output", "out", seconds=0.1) as process:
        wait_for_a_line(process)
        process.stdout.close()
        err = process.stderr.read()
        process.wait(60)
    assert (process.returncode, err) == (0, "")
    assert names(tmp_path / "out") == names(album)


def test_nobody_has_to_be_there_at_all(album, tmp_path):
    done = subprocess.run(
        [
            "sh",
            "-c",
            'exec "$0" -m colorjax decolorize album --output out >&- 2>&-',
            sys.executable,
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    assert done.returncode == 0
    assert names(tmp_path / "out") == names(album)


def kill_and_resume(folder, args, photos, kills, longest):
    """Kills runs at random, then lets one end; returns its summary and the number of kills."""
    rng = random.Random(0)
    met = 0
    for _ in range(kills):
        with start(folder, *args) as process:
            wait_for_a_line(process)
            time.sleep(rng.uniform(0, longest))
            process.kill()
            process.communicate()
        met += process.returncode == -signal.SIGKILL
        for path in (folder / "out").rglob("*.png"):
            Image.open(path).load()
    with start(folder, *args, "--json") as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    outputs = sorted(p.relative_to(folder / "out") for p in (folder / "out").rglob("*.*"))
    assert outputs == sorted(path.relative_to(folder / "album") for path in photos)
    for path in outputs:
        Image.open(folder / "out" / path).load()
    return json.loads(out.splitlines()[-1])["summary"], met


@pytest.mark.slow
@pytest.mark.parametrize("command", ["colorize", "decolorize"])
def test_whatever_is_killed_the_last_run_completes(tmp_path, command):
    photos = []
    for number, pixels in enumerate(synthetic_images(200, 256)):
        path = tmp_path / "album" / str(number % 7) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        photos.append(path)
    args = [command, "album", "--output", "out"]
    args += ["--recolor", "--contact-sheet", "sheet.png"] if command == "colorize" else []
    longest = 1.0 if command == "colorize" else 0.1
    summary, met = kill_and_resume(tmp_path, args, photos, 10, longest)
    assert met == 10
    assert summary["done"] + summary["skipped"] == 200
    assert summary["skipped"] >= 10
    if command == "colorize":
        contact_sheet.check(tmp_path / "sheet.png", overwrite=False)
