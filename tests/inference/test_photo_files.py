import numpy as np
import pytest
from PIL import Image, ImageCms
from synthetic import synthetic_images

from colorjax.data.decode import UnreadablePhoto
from colorjax.inference import photo_files
from colorjax.inference.photo_files import UnwritablePhoto

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def rgb():
    return Image.fromarray(synthetic_images(1, 40)[0][:, :24])


def rewritten(path):
    """Reads a photo and writes it again under its output name."""
    photo = photo_files.read(path)
    output = path.with_name("out-" + photo_files.output_name(path.name))
    notes = photo_files.write(output, photo.image, photo.metadata)
    return Image.open(output), photo.notes + notes


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_orientation_is_applied_and_exif_kept(rgb, tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "someone"
    rgb.save(tmp_path / f"a.{suffix}", exif=exif)
    found, notes = rewritten(tmp_path / f"a.{suffix}")
    assert found.size == (40, 24)
    assert notes == ()
    assert found.getexif().get(0x0112, 1) == 1
    assert found.getexif()[0x013B] == "someone"
    error = np.abs(np.asarray(found.convert("RGB")).astype(int) - np.rot90(np.asarray(rgb), -1))
    assert error.mean() < 10  # JPEG and WebP share chroma between pixels


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp"])
def test_resolution_is_kept(rgb, tmp_path, suffix):
    rgb.save(tmp_path / f"a.{suffix}", dpi=(300, 300))
    found, _ = rewritten(tmp_path / f"a.{suffix}")
    assert found.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_only_rgb_profiles_are_kept(rgb, tmp_path):
    rgb.save(tmp_path / "rgb.jpg", icc_profile=SRGB)
    assert rewritten(tmp_path / "rgb.jpg")[0].info["icc_profile"] == SRGB
    grey = SRGB[:16] + b"GRAY" + SRGB[20:]
    rgb.convert("L").save(tmp_path / "grey.jpg", icc_profile=grey)
    assert "icc_profile" not in rewritten(tmp_path / "grey.jpg")[0].info


def test_grey_tiff_becomes_a_sound_color_tiff(rgb, tmp_path):
    rgb.convert("L").save(tmp_path / "a.tif", compression="tiff_lzw")
    found, _ = rewritten(tmp_path / "a.tif")
    assert (found.mode, found.info["compression"]) == ("RGB", "tiff_lzw")
    np.testing.assert_array_equal(np.asarray(found), np.asarray(rgb.convert("L").convert("RGB")))


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_alpha_is_kept(rgb, tmp_path, suffix):
    rgb.putalpha(Image.linear_gradient("L").resize(rgb.size))
    rgb.save(tmp_path / f"a.{suffix}")
    found, notes = rewritten(tmp_path / f"a.{suffix}")
    assert (found.mode, notes) == ("RGBA", ())
    np.testing.assert_array_equal(np.asarray(found)[..., 3], np.asarray(rgb)[..., 3])


def test_formats_without_full_color_become_png(rgb, tmp_path):
    for name in ("a.gif", "b.pgm", "c"):
        rgb.convert("L").save(tmp_path / name, "GIF" if name == "a.gif" else "PPM")
        assert rewritten(tmp_path / name)[0].format == "PNG"


def test_jpeg_keeps_full_chroma(rgb, tmp_path):
    from PIL import JpegImagePlugin

    rgb.convert("L").save(tmp_path / "a.jpg")
    assert JpegImagePlugin.get_sampling(rewritten(tmp_path / "a.jpg")[0]) == 0  # 4:4:4


def test_what_is_lost_is_said(rgb, tmp_path):
    Image.fromarray(np.full((9, 9), 40000, np.uint16)).save(tmp_path / "deep.png")
    found, notes = rewritten(tmp_path / "deep.png")
    assert notes == ("more than 8 bits a channel became 8",)
    assert abs(int(np.asarray(found)[0, 0, 0]) - 40000 / 257) <= 0.5
    rgb.save(tmp_path / "film.gif", save_all=True, append_images=[rgb.rotate(90, expand=False)])
    assert "only the first of 2 pictures was taken" in rewritten(tmp_path / "film.gif")[1]
    rgb.putalpha(128)
    rgb.save(tmp_path / "really-png.jpg", "PNG")
    assert rewritten(tmp_path / "really-png.jpg")[1] == ("JPEG holds no alpha: dropped",)


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_no_image_is_unreadable(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UnreadablePhoto, match="cannot identify image file"):
        photo_files.read(tmp_path / "a.jpg")


def test_cut_files_are_unreadable(rgb, tmp_path):
    rgb.save(tmp_path / "whole.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:500])
    with pytest.raises(UnreadablePhoto):
        photo_files.read(tmp_path / "a.jpg")


@pytest.mark.parametrize("limit", [400, 600])  # an error above twice the limit, a warning above it
def test_decompression_bombs_are_unreadable(rgb, tmp_path, monkeypatch, limit):
    rgb.save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(UnreadablePhoto, match="too many pixels"):
        photo_files.read(tmp_path / "a.png")


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failing_write_leaves_the_folder_as_it_was(rgb, tmp_path, monkeypatch, error):
    (tmp_path / "a.png").write_bytes(b"old")

    def fail(self, file, *args, **options):
        file.write(b"half")
        raise error

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises((UnwritablePhoto, KeyboardInterrupt)):
        photo_files.write(tmp_path / "a.png", rgb, {})
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"
