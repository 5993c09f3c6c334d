"""Photos of 10, 12 or 14 bits in files of 16 bits: a note, and the level of white."""

import io

import imagecodecs
import numpy as np
import pytest
from helpers.photos import conformance, readers, zoo

from colorjax import photos
from colorjax.cli import main as cli


def levels(top, channels=1, dtype=np.uint16):
    """Returns (H, W, C) values from 0 to `top`."""
    ramp = np.linspace(0, top, zoo.HEIGHT * zoo.WIDTH).reshape(zoo.HEIGHT, zoo.WIDTH, 1)
    ramp = ramp if np.dtype(dtype).kind == "f" else np.rint(ramp)
    return ramp.repeat(channels, 2).astype(dtype)


def png(values):
    return imagecodecs.png_encode(zoo.squeezed(values))


def tiff(values):
    return zoo.tiff(values, photometric="rgb" if values.shape[2] == 3 else "minisblack")


def ppm(values):
    head = b"P5\n%d %d\n65535\n" % (values.shape[1], values.shape[0])
    return head + values.astype(">u2").tobytes()


def jpeg_2000(values):
    return bytes(
        imagecodecs.jpeg2k_encode(
            zoo.squeezed(values), level=0, codecformat="jp2", reversible=True, bitspersample=16
        )
    )


@pytest.mark.parametrize("make", [png, tiff, ppm, jpeg_2000])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_a_dark_photo_gets_a_note_and_the_option_stretches_it(make, bits):
    top = 2**bits - 1
    data = make(levels(top))
    photo = photos.read(data)
    assert [f"--white {top} " in note for note in photo.notes] == [True]
    assert photo.srgb(slice(0, photo.height)).max() < 0.26
    bright = photos.read(data, white=top)
    assert bright.notes == ()
    wanted = levels(top) / top
    srgb = bright.srgb(slice(0, bright.height))
    np.testing.assert_allclose(srgb, np.broadcast_to(wanted, srgb.shape), atol=1e-5)
    bright.paint(slice(0, bright.height), srgb.copy())
    made = io.BytesIO()
    photos.write(made, bright, bright.kind, mark=None)
    again = photos.read(made.getvalue())
    assert again.notes == ()
    np.testing.assert_allclose(again.srgb(slice(0, again.height)), srgb, atol=1e-4)


def test_values_above_the_level_become_white_and_alpha_stays():
    values = np.concatenate([levels(8000, 3), levels(65535)], -1)
    photo = photos.read(png(values), white=4095)
    stored = photo.pixels
    np.testing.assert_array_equal(stored[..., 3], values[..., 3])
    wanted = np.minimum(np.rint(values[..., :3] * (65535 / 4095)), 65535)
    np.testing.assert_array_equal(stored[..., :3], wanted)


@pytest.mark.parametrize(
    ("values", "level"),
    [
        (levels(65535, 3, np.uint32), "65535"),
        (levels(4095.0, 3, np.float32), "4095"),
        (levels(0.0625, 3, np.float32), "0.0625"),
    ],
)
def test_other_depths_of_tiff(values, level):
    data = tiff(values)
    assert any(f"--white {level} " in note for note in photos.read(data).notes)
    bright = photos.read(data, white=float(level))
    srgb = bright.srgb(slice(0, bright.height))
    np.testing.assert_allclose(srgb, values / values.max(), atol=1e-5)


def test_ordinary_photos_get_no_note():
    black = np.zeros((zoo.HEIGHT, zoo.WIDTH, 1), np.uint16)
    for data in (png(levels(40000)), png(black), tiff(levels(1.0, 3, np.float32))):
        assert photos.read(data).notes == ()
    dark = np.full((zoo.HEIGHT, zoo.WIDTH, 3), 15, np.uint8)
    assert photos.read(zoo.pillow(dark, "PNG")).notes == ()


def test_a_level_above_the_photos_own_white_is_not_used():
    photo = photos.read(zoo.pillow(zoo.scene(3), "PNG"), white=4095)
    assert photo.notes == ("--white 4095 is above its own white 255: not used",)
    np.testing.assert_array_equal(photo.pixels, zoo.scene(3))


def test_the_command_stretches(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(png(levels(4095)))
    assert cli.run(["decolorize", str(tmp_path), "--output", str(tmp_path / "dark")]) == 0
    assert "--white 4095" in capsys.readouterr().err
    assert (
        cli.run(["decolorize", str(tmp_path), "--output", str(tmp_path / "o"), "--white", "4095"])
        == 0
    )
    assert "--white" not in capsys.readouterr().err
    made = readers.pixels((tmp_path / "o/a.png").read_bytes(), "PNG")
    wanted = levels(4095) / 4095 * 65535
    np.testing.assert_allclose(made.astype(float), wanted, atol=40)  # L of gray, as float32


@pytest.mark.parametrize("level", ["0", "-4", "nan", "x"])
def test_a_wrong_level_is_refused(tmp_path, capsys, level):
    (tmp_path / "a.png").write_bytes(png(levels(4095)))
    arguments = ["decolorize", str(tmp_path), "--output", str(tmp_path / "o")]
    assert cli.run([*arguments, f"--white={level}"]) == 2
    assert "--white" in capsys.readouterr().err


def test_the_note_is_not_lost_with_colors():
    notes, _ = conformance.colorize(tiff(levels(4095, 3)), "TIFF")
    assert any("--white 4095" in note for note in notes)
