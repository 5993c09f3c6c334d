import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax.cli import main as cli
from colorjax.inference.batch.work import PhotoWork
from colorjax.inference.colorizer import Colorizer


@pytest.fixture
def album(tmp_path):
    root = tmp_path / "album"
    (root / "old").mkdir(parents=True)
    first, second = (Image.fromarray(image).convert("L") for image in synthetic_images(2, 40))
    first.save(root / "a.jpg")
    second.save(root / "old" / "b.png")
    return root


@pytest.fixture
def colorize(workdir, colorizer, monkeypatch, capsys):
    """Runs `colorjax colorize` in this process, with the weights loaded once."""
    monkeypatch.setattr(Colorizer, "load", lambda path, **_: colorizer)

    def run(*args):
        status = cli.run(["colorize", *map(str, args), "--checkpoint", str(workdir)])
        return status, *capsys.readouterr()

    return run


def tree(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def assert_refused(result, *says):
    status, out, err = result
    assert status == 2
    assert out == ""
    assert err.startswith("colorjax: ")
    assert err.count("\n") == 1
    for text in says:
        assert text in err


def test_results_lie_beside_and_are_not_colorized_again(colorize, album):
    status, out, err = colorize(album)
    assert (status, err) == (0, "")
    wanted = ["a.color.jpg", "a.jpg", "old/b.color.png", "old/b.png"]
    assert tree(album) == wanted
    assert "2 colorized, 0 skipped, 0 failed; " in out
    status, out, _ = colorize(album)
    assert (status, out) == (
        0,
        "0 colorized, 2 skipped, 0 failed; --overwrite replaces existing results\n",
    )
    assert tree(album) == wanted
    assert Image.open(album / "a.color.jpg").mode == "RGB"


def test_output_keeps_the_tree(colorize, album, tmp_path):
    status, out, _ = colorize(album, album / "old" / "b.png", "--output", tmp_path / "out")
    assert status == 0
    assert tree(tmp_path / "out") == ["a.jpg", "b.png", "old/b.png"]
    assert f"{album / 'a.jpg'} -> {tmp_path / 'out' / 'a.jpg'}" in out


def test_an_output_folder_inside_the_input_is_skipped(colorize, album):
    for _ in range(2):
        assert colorize(album, "--output", album / "out")[0] == 0
        assert tree(album / "out") == ["a.jpg", "old/b.png"]


def test_existing_results_are_replaced_on_demand_only(colorize, album):
    (album / "a.color.jpg").write_bytes(b"mine")
    assert "1 colorized, 1 skipped" in colorize(album)[1]
    assert (album / "a.color.jpg").read_bytes() == b"mine"
    assert "2 colorized, 0 skipped" in colorize(album, "--overwrite")[1]
    assert Image.open(album / "a.color.jpg").size == (40, 40)


def test_a_bad_photo_is_named_and_the_rest_is_done(colorize, album):
    (album / "0.png").write_bytes(b"no image")
    status, out, err = colorize(album)
    assert status == 1
    message = err.splitlines()[0].removeprefix("colorjax: ")
    assert message.startswith(f"{album / '0.png'}: ")
    again = f"colorjax: 1 of 3 photos failed:\ncolorjax:   {message}\n"
    assert err == f"colorjax: {message}\n{again}"
    assert "2 colorized, 0 skipped, 1 failed" in out
    assert tree(album) == ["0.png", "a.color.jpg", "a.jpg", "old/b.color.png", "old/b.png"]


def test_gif_becomes_png(colorize, album):
    Image.open(album / "a.jpg").save(album / "c.gif")
    _, _, err = colorize(album / "c.gif")
    assert Image.open(album / "c.color.png").format == "PNG"
    assert "the GIF became a PNG" in err
    Image.open(album / "a.jpg").save(album / "d.jpg", "PNG")
    _, _, err = colorize(album / "d.jpg")
    assert Image.open(album / "d.color.png").format == "PNG"
    assert "its content is PNG: written as d.color.png" in err


def test_wrong_requests_are_refused_before_anything_is_done(colorize, album, tmp_path):
    out = tmp_path / "out"
    assert_refused(colorize(album, tmp_path / "none", "--output", out), "does not exist")
    (tmp_path / "empty").mkdir()
    assert_refused(colorize(tmp_path / "empty"), "no photos in")
    shutil.copytree(album, tmp_path / "album2")
    both = colorize(album, tmp_path / "album2", "--output", out)
    assert_refused(both, str(album / "a.jpg"), str(tmp_path / "album2" / "a.jpg"))
    assert_refused(colorize(album, "--output", album, "--overwrite"), "would be replaced")
    assert not out.exists()
    out.write_text("a file")
    assert_refused(colorize(album, "--output", out), "cannot be written")
    assert tree(album) == ["a.jpg", "old/b.png"]


def test_missing_checkpoints_are_refused(album, tmp_path, capsys):
    status = cli.run(["colorize", str(album), "--checkpoint", str(tmp_path)])
    message = "workdir of a run", "imported weights", "zhang16-small"
    assert_refused((status, *capsys.readouterr()), *message)


def test_without_a_checkpoint_the_shipped_weights_color(album, tmp_path):
    assert cli.run(["colorize", str(album / "a.jpg"), "--output", str(tmp_path)]) == 0
    assert Image.open(tmp_path / "a.jpg").size == Image.open(album / "a.jpg").size


@pytest.mark.parametrize(
    "args",
    [
        ["colorize"],
        ["colorize", "a.jpg", "--sise=3"],
        ["colorize", "a.jpg", "--size=big"],
        ["colorize", "a.jpg", "--size=0"],
    ],
)
def test_wrong_usage_is_one_line(args, capsys):
    assert_refused((cli.run(args), *capsys.readouterr()), "--help")


def test_help_and_version(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("colorjax ")
    assert cli.run(["colorize", "--help"]) == 0
    assert "examples:" in capsys.readouterr().out


def test_a_signal_ends_the_run_between_photos(colorize, album, monkeypatch):
    import os
    import signal

    work = PhotoWork.__call__

    def interrupted(*args):
        result = work(*args)
        os.kill(os.getpid(), signal.SIGINT)
        return result

    monkeypatch.setattr(PhotoWork, "__call__", interrupted)
    status, out, err = colorize(album, "--jobs", 1)
    assert status == 75
    assert "stopped with 1 to go; the same command continues" in err
    assert "1 colorized" in out
    assert tree(album) == ["a.color.jpg", "a.jpg", "old/b.png"]


def test_the_command_from_a_shell(workdir, album):
    args = [sys.executable, "-m", "colorjax", "colorize", album, "--checkpoint", workdir]
    done = subprocess.run(args, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert np.asarray(Image.open(album / "a.color.jpg")).shape == (40, 40, 3)
    args.insert(4, "none.jpg")
    missing = subprocess.run(args, capture_output=True, text=True, timeout=60)
    assert_refused((missing.returncode, missing.stdout, missing.stderr), "'none.jpg'")


def test_a_bmp_has_its_mark_beside(colorize, tmp_path):
    Image.fromarray(synthetic_images(1, 24)[0]).save(tmp_path / "a.bmp")
    status, *said = colorize(tmp_path / "a.bmp")
    assert status == 0
    assert b"colorjax:ColorsPredictedBy" in (tmp_path / "a.color.bmp.xmp").read_bytes()
    assert "the mark is in a.color.bmp.xmp" in str(said)


def test_the_seconds_of_a_photo_are_all_of_them(colorize, colorizer, album, monkeypatch):
    paint = colorizer.paint

    def slowly(pixels, options):
        paint(pixels, options)
        time.sleep(0.5)

    monkeypatch.setattr(colorizer, "paint", slowly)
    status, said, _ = colorize(album / "a.jpg", "--json")
    row = json.loads(said.splitlines()[0])
    assert status == 0
    assert row["network_seconds"] < 0.5 < row["seconds"]
