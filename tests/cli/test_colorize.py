import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax import photos
from colorjax.cli import main as cli
from colorjax.inference.batch.own_colors import own_colors
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
        "0 colorized, 2 skipped (2 done before), 0 failed; "
        "--overwrite makes existing results again\n",
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
    again = f"colorjax: 1 of 3 photos could not be processed:\ncolorjax:   {message}\n"
    assert err == f"colorjax: {message}\n{again}"
    assert "2 colorized, 0 skipped, 1 failed" in out
    assert tree(album) == ["0.png", "a.color.jpg", "a.jpg", "old/b.color.png", "old/b.png"]


def test_gif_becomes_png(colorize, album):
    Image.open(album / "a.jpg").save(album / "c.gif")
    _, _, err = colorize(album / "c.gif")
    assert Image.open(album / "c.color.png").format == "PNG"
    assert "the photo is a GIF, the result a PNG" in err
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
    (album / "a.color.jpg").write_bytes(b"done")
    (album / "old" / "b.color.png").write_bytes(b"done")
    for more in ([], ["--dry-run"]):  # nothing is skipped either
        status = cli.run(["colorize", str(album), "--checkpoint", str(tmp_path), *more])
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


@pytest.fixture
def mixed(album):
    """An album with a photo in color."""
    Image.fromarray(synthetic_images(1, 40)[0]).save(album / "c.png")
    return album


def test_photos_in_color_are_skipped(colorize, mixed):
    status, out, err = colorize(mixed, "--contact-sheet", mixed / "sheet.png")
    assert status == 0
    assert f"colorjax: {mixed / 'c.png'}: already in color: skipped; --recolor replaces" in err
    assert "2 colorized, 1 skipped (1 already in color), 0 failed" in out
    assert not (mixed / "c.color.png").exists()
    assert Image.open(mixed / "sheet.png").height == 2 * (174 + 8) + 8  # no row for it
    status, out, _ = colorize(mixed / "c.png")
    assert status == 0
    assert out == (
        "0 colorized, 1 skipped (1 already in color), 0 failed; --recolor colorizes color photos\n"
    )
    *_, row, last = colorize(mixed, "--json")[1].splitlines()
    summary = json.loads(last)["summary"]
    assert summary["skipped_by_reason"] == {"exists": 2, "in color": 1}
    row = json.loads(colorize(mixed / "c.png", "--json")[1].splitlines()[0])
    assert (row["status"], row["reason"]) == ("skipped", "in color")


def test_results_of_colorjax_are_in_color_however_pale(colorize, tmp_path):
    y, x = np.mgrid[0:60, 0:60]
    gray = np.repeat((x * 4).astype(np.uint8)[..., None], 3, 2)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    photo = photos.read(tmp_path / "gray.png")
    photo.paint(slice(0, 60), gray + np.stack([y // 20, x % 3 // 2, -y // 30 + 2], -1).astype("u1"))
    photos.write(tmp_path / "pale.png", photo, "PNG", mark={"by": "w", "tool": "colorjax 0"})
    assert 0.05 < own_colors(photos.read(tmp_path / "pale.png")).spread < 1
    assert "1 skipped (1 already in color)" in colorize(tmp_path / "pale.png")[1]
    assert cli.run(["decolorize", str(tmp_path / "pale.png"), "--output", str(tmp_path / "g")]) == 0
    assert "1 colorized" in colorize(tmp_path / "g" / "pale.png")[1]


@pytest.mark.parametrize("flags", [["--recolor"], ["--strength", "0.5"], ["--hint", "3,4,#c03040"]])
def test_photos_in_color_are_colorized_on_demand(colorize, mixed, flags):
    assert "1 colorized, 0 skipped, 0 failed" in colorize(mixed / "c.png", *flags)[1]
    assert (mixed / "c.color.png").exists()


def test_a_colored_part_is_replaced_with_a_note(colorize, tmp_path):
    pixels = np.repeat(np.linspace(0, 255, 60, dtype=np.uint8)[:, None, None], 60, 1)
    pixels = np.repeat(pixels, 3, 2)
    pixels[5:14, 5:14] = (190, 40, 40)
    Image.fromarray(pixels).save(tmp_path / "stamped.png")
    status, out, err = colorize(tmp_path / "stamped.png")
    assert (status, err.count("\n")) == (0, 1)
    assert "3% of it has colors of its own, which are replaced; --strength" in err
    assert "1 colorized" in out


def test_a_photo_in_color_passes_through_a_pipe(workdir, mixed):
    given = (mixed / "c.png").read_bytes()
    args = [sys.executable, "-m", "colorjax", "colorize", "-", "--checkpoint", workdir]
    done = subprocess.run(args, input=given, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, given)
    assert b"passed on unchanged; --recolor" in done.stderr


def test_a_result_made_with_other_settings_is_named(colorize, album):
    note = f"colorjax: {album / 'a.jpg'}: the result was made with other settings "
    advice = "; --overwrite replaces it\n"
    assert colorize(album)[0] == 0
    status, out, err = colorize(album / "a.jpg", "--saturation", 1.3, "--size", 32)
    assert status == 0
    changes = "saturation 1.0 instead of 1.3, size not set instead of 32"
    assert err == f"{note}({changes}){advice}"
    assert out == (
        "0 colorized, 1 skipped (1 made with other settings), 0 failed; "
        "--overwrite makes existing results again\n"
    )
    assert "(1 made with other settings)" in colorize(album / "a.jpg", "--size=32", "--dry-run")[1]
    assert colorize(album / "a.jpg", "--jobs", 1, "--recolor")[2] == ""  # no effect on this photo
    assert colorize(album, "--saturation", 1.3, "--overwrite")[0] == 0
    assert colorize(album / "a.jpg", "--saturation", 1.3)[2] == ""
    assert f"{album / 'a.jpg'} and 1 more: the result was made" in colorize(album, "--size=32")[2]
    # A photo that is only newer is the same photo; one with other content is not.
    (album / "a.jpg").touch()
    assert colorize(album / "a.jpg", "--saturation", 1.3)[2] == ""
    Image.open(album / "old" / "b.png").save(album / "a.jpg")
    os.utime(album / "a.jpg", (1, 1))  # as a file that was copied with its time
    err = colorize(album / "a.jpg", "--saturation", 1.3)[2]
    assert err == f"{note}(another version of this photo){advice}"


def test_a_result_of_other_weights_is_named(workdir, zhang16_workdir, album, capsys):
    def run(checkpoint):
        assert cli.run(["colorize", str(album / "a.jpg"), "--checkpoint", str(checkpoint)]) == 0
        return capsys.readouterr().err

    run(workdir)
    names = f"weights {workdir.name} instead of {zhang16_workdir.name}"
    assert names in run(zhang16_workdir)
    assert run(workdir) == ""
    copy = album / workdir.name
    shutil.copytree(workdir, copy)
    assert run(copy) == ""
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"seed": 9}))
    assert f"an earlier version of the weights {workdir.name}" in run(copy)


def test_one_photo_can_be_written_to_a_file(colorize, album, tmp_path):
    status, _, err = colorize(album / "old" / "b.png", "--output", tmp_path / "new" / "x.jpg")
    assert (status, tree(tmp_path / "new")) == (0, ["x.jpg"])
    assert "the photo is a PNG, the result a JPEG" in err
    assert Image.open(tmp_path / "new" / "x.jpg").format == "JPEG"
    again = colorize(album / "old" / "b.png", "--output", tmp_path / "new" / "x.jpg")
    assert "0 colorized, 1 skipped" in again[1]
    assert_refused(colorize(album, "--output", tmp_path / "y.jpg"), "a folder is given")
    (album / "film.mp4").write_bytes(b"film")
    film = colorize(album / "film.mp4", "--output", tmp_path / "y.jpg")
    assert_refused(film, "names a picture, but the input is a film")


def test_pairs_with_one_result_are_both_colorized_once(colorize, album, tmp_path):
    for suffix in ("gif", "png"):
        Image.open(album / "a.jpg").save(album / f"s.{suffix}")
    shutil.copy(album / "a.jpg", album / "A.jpg")
    _, out, err = colorize(album, "--output", tmp_path / "out")
    assert tree(tmp_path / "out") == ["A.jpg", "a-2.jpg", "old/b.png", "s-2.png", "s.png"]
    assert "s.png has a result of this name: written as s-2.png" in err
    assert "5 colorized" in out
    status, out, err = colorize(album, "--output", tmp_path / "out")
    assert (status, err) == (0, "")
    assert "0 colorized, 5 skipped (5 done before), 0 failed" in out


def test_films_in_a_folder_are_named_with_their_command(colorize, album, tmp_path):
    for name in ("film.mp4", "scan.psd"):
        (album / name).write_bytes(b"")
    status, _, err = colorize(album, "--output", tmp_path)
    assert status == 0
    assert "colorjax: not processed: 1 Photoshop file, 1 film\n" in err
    assert f"names: colorjax colorize {album / 'film.mp4'} --output {tmp_path}\n" in err
    *_, last = colorize(album, "--json", "--output", tmp_path)[1].splitlines()
    assert json.loads(last)["summary"]["passed_over"] == {"Photoshop file": 1, "film": 1}


def test_the_command_from_a_shell(workdir, album):
    args = [sys.executable, "-m", "colorjax", "colorize", album, "--checkpoint", workdir]
    done = subprocess.run(args, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert np.asarray(Image.open(album / "a.color.jpg")).shape == (40, 40, 3)
    args.insert(4, "none.jpg")
    missing = subprocess.run(args, capture_output=True, text=True, timeout=60)
    assert_refused((missing.returncode, missing.stdout, missing.stderr), "'none.jpg'")


def test_a_bmp_does_not_replace_a_sidecar_of_others(colorize, tmp_path):
    Image.fromarray(synthetic_images(1, 24)[0]).convert("L").save(tmp_path / "a.bmp")
    sidecar = tmp_path / "a.color.bmp.xmp"
    own = photos.sidecar_xmp({"by": "x", "tool": "t"})
    edited = own.replace(b"</rdf:RDF>", b"<rdf:Description/></rdf:RDF>")
    for content in (b"mine", edited):
        sidecar.write_bytes(content)
        status, _, err = colorize(tmp_path / "a.bmp")
        assert status == 1
        assert "a.color.bmp.xmp' exists and has more than the mark: rename it, or give " in err
        assert sidecar.read_bytes() == content
        assert not (tmp_path / "a.color.bmp").exists()
        assert colorize(tmp_path / "a.bmp", "--overwrite")[0] == 0
        assert photos.read_mark(tmp_path / "a.color.bmp")
        (tmp_path / "a.color.bmp").unlink()
    sidecar.write_bytes(own)  # of a run that was killed between sidecar and picture
    assert colorize(tmp_path / "a.bmp")[0] == 0
    assert photos.read_mark(tmp_path / "a.color.bmp")["by"] != "x"


def test_a_bmp_has_its_mark_beside(colorize, tmp_path):
    Image.fromarray(synthetic_images(1, 24)[0]).convert("L").save(tmp_path / "a.bmp")
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
