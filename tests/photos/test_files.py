"""Reading and writing photos: limits, atomic writes, marks, exact bytes, and JPEG's tables."""

import contextlib
import io
import os
import re
import struct
import threading
import warnings
import zlib

import exiv2
import imagecodecs
import numpy as np
import pytest
from helpers.photos import conformance, readers, zoo
from helpers.samples import sample_photos
from PIL import Image

from colorjax import color, photos
from colorjax.photos import color_space, exif, xmp
from colorjax.photos.formats import jpeg, jpeg_parts, png_chunks
from colorjax.photos.library_warnings import complaints


def animal(name):
    return next(animal for animal in zoo.animals() if animal.name == name)


def repainted(data):
    """Returns a photo whose own colors were painted onto it."""
    photo = photos.read(data)
    rows = slice(0, photo.height)
    photo.paint(rows, photo.srgb(rows).copy())
    return photo


def written(photo, kind, **options):
    target = io.BytesIO()
    photos.write(target, photo, kind, mark=options.pop("mark", None), **options)
    return target.getvalue()


@pytest.mark.parametrize("name", ["png 16 rgb", "png 16 rgba", "tiff 16 rgb", "tiff 32 rgb"])
def test_what_is_painted_unchanged_comes_back_bit_for_bit(name):
    was = animal(name)
    made = readers.pixels(written(repainted(was.data), was.output), was.output)
    np.testing.assert_array_equal(made[..., :3], was.scene)


def test_every_16_bit_value_comes_back():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, 2)
    made = imagecodecs.png_decode(written(repainted(imagecodecs.png_encode(values)), "PNG"))
    np.testing.assert_array_equal(made, values)


def test_16_bits_come_back_through_a_profile():
    was = animal("png 16 icc adobergb")
    photo = photos.read(was.data)
    assert not photo.is_8_bit
    made = readers.pixels(written(repainted(was.data), "PNG"), "PNG")
    srgb = photo.srgb(slice(0, photo.height))
    inside = ((srgb > 0) & (srgb < 1)).all(-1)
    assert inside.mean() > 0.5
    error = np.abs(made.astype(int) - was.scene)[inside]
    assert error.max() <= 1


def test_8_bits_through_a_profile_are_as_near_as_floats():
    values = np.arange(256, dtype=np.uint8)
    values = np.stack(np.meshgrid(values[::5], values[::5], values[::5]), -1).reshape(1, -1, 3)
    fast = color_space.Space(np.dtype(np.uint8), 255, "rgb", zoo.ADOBE)
    exact = color_space.to_srgb_through(np.float32(values / 255), zoo.ADOBE, "rgb")
    assert color_space.is_fast_exact(zoo.ADOBE)
    srgb = fast.to_srgb(values)
    assert np.abs(srgb - exact).max() < 0.4 / 255
    back = np.empty_like(values)
    fast.from_srgb(srgb, back)
    inside = ((srgb > 0.01) & (srgb < 1)).all(-1)
    assert np.abs(back.astype(int) - values)[inside].max() <= 1


def test_sRGB_and_no_profile_have_the_pixels_themselves():
    for name in ("png 8 rgb", "jpeg icc srgb"):
        photo = photos.read(animal(name).data)
        assert photo.is_8_bit
        assert np.shares_memory(photo.srgb(slice(0, 5)), photo.pixels)
    assert not photos.read(animal("jpeg icc adobergb").data).is_8_bit


@pytest.mark.parametrize("turned", range(1, 9))
def test_pixels_come_upright(turned):
    was = animal(f"png orientation {turned}")
    np.testing.assert_array_equal(photos.read(was.data).pixels, was.scene)


def test_exif_changes_in_its_orientation_alone():
    was = animal("jpeg orientation 3").data
    before = next(p.content for p in jpeg_parts.segments(was) if p.content.startswith(b"Exif"))
    made = written(repainted(was), "JPEG")
    after = next(p.content for p in jpeg_parts.segments(made) if p.content.startswith(b"Exif"))
    differ = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert len(differ) == 1
    assert (before[differ[0]], after[differ[0]]) == (3, 1)


def test_other_segments_are_the_same_bytes():
    was = animal("jpeg icc adobergb").data
    made = written(repainted(was), "JPEG")
    kinds = (b"ICC_PROFILE\0", b"Photoshop 3.0\0", b"http://ns.adobe.com/xap/1.0/\0", b"Exif\0\0")
    for kind in kinds:
        before = [p for p in jpeg_parts.segments(was) if p.content.startswith(kind)]
        assert before
        assert before == [p for p in jpeg_parts.segments(made) if p.content.startswith(kind)]


def test_makernote_and_thumbnail_stay():
    blob = exif.serialize(
        exif.Directories(">", False, [], {exif.EXIF_IFD: [exif.Entry(37500, 7, 9, b"MakerNote")]}),
        [exif.Entry(274, 3, 1, b"\0\6")],
    )
    blob += b"thumbnail"
    upright = exif.upright(blob, 6)
    assert exif.orientation(upright) == 1
    assert sum(a != b for a, b in zip(blob, upright, strict=True)) == 1


def test_the_mark_is_xmp_and_is_not_doubled():
    data = animal("jpeg orientation 1").data
    for _ in range(2):
        _, data = conformance.colorize(data, "JPEG")
    assert data.count(b"colorjax:ColorsPredictedBy") == 1
    image = exiv2.ImageFactory.open(data)
    image.readMetadata()
    properties = {item.key(): item.toString() for item in image.xmpData()}
    assert properties["Xmp.iptcExt.DigitalSourceType"] == xmp.SOURCE_TYPE
    assert properties["Xmp.dc.title"].endswith("The old mill")
    assert b'ColorsPredictedBy="test-weights"' in data


def test_a_source_type_in_the_photo_is_replaced():
    packet = xmp.marked(b"", {"by": "a", "tool": "b"})[0].replace(b"colorjax", b"other")
    packet = packet.replace(xmp.SOURCE_TYPE.encode(), b"http://cv.iptc.org/digitalCapture")
    packet, kept = xmp.marked(packet, {"by": 'new <&">', "tool": "b"})
    assert kept
    assert packet.count(b"DigitalSourceType") == 1
    assert xmp.SOURCE_TYPE.encode() in packet
    assert b"new &lt;&amp;" in packet


@pytest.mark.parametrize("padding", [b" ", b"x"])
def test_xmp_of_a_full_segment_is_kept(padding):
    packet = xmp.marked(b"", {"by": "old", "tool": "old"})[0].replace(b"colorjax", b"other")
    middle = packet.index(b"<?xpacket end")
    content = padding * (65533 - 29 - len(packet) - 7)
    content = content if padding == b" " else b"<!--" + content + b"-->"
    packet = packet[:middle] + content + packet[middle:]
    part = b"http://ns.adobe.com/xap/1.0/\0" + packet
    data = animal("jpeg gray").data
    data = data[:2] + struct.pack(">BBH", 0xFF, 0xE1, len(part) + 2) + part + data[2:]
    photo = repainted(data)
    target = io.BytesIO()
    notes = photos.write(target, photo, "JPEG", mark=conformance.MARK)
    assert b"other:ColorsPredictedBy" in target.getvalue()
    assert (b"test-weights" in target.getvalue()) == (padding == b" ")
    assert any("no space" in note for note in notes) == (padding != b" ")


def test_formats_without_xmp_say_so():
    photo = repainted(animal("bmp rgb").data)
    notes = photos.write(io.BytesIO(), photo, "BMP", mark=conformance.MARK)
    assert "cannot store the mark" in " ".join(notes)
    assert b"test-weights" in photos.sidecar_xmp(conformance.MARK)


def test_alpha_stays_and_color_under_it_is_painted():
    was = animal("png 8 rgba")
    _, made = conformance.colorize(was.data, "PNG")
    pixels = readers.pixels(made, "PNG")
    np.testing.assert_array_equal(pixels[..., 3], was.alpha)
    assert (pixels[was.alpha == 0][:, :3] != was.scene[was.alpha == 0]).any()


def test_max_pixels_is_named_and_nothing_is_decoded():
    data = animal("png 8 rgb").data
    with pytest.raises(photos.UnreadablePhoto, match="limit of 1000; raise --max-pixels"):
        photos.read(data, max_pixels=1000)
    limit = Image.MAX_IMAGE_PIXELS
    photos.read(data)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_missing_file_and_a_folder_are_unreadable(tmp_path):
    with pytest.raises(photos.UnreadablePhoto, match="No such file"):
        photos.read(tmp_path / "none.jpg")
    with pytest.raises(photos.UnreadablePhoto, match="not a file"):
        photos.read(tmp_path)


def test_a_text_chunk_bomb_is_dropped():
    bomb = png_chunks.SIGNATURE + zoo.pillow(zoo.scene(), "PNG")[8:33]
    bomb += zoo.png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**24)))
    bomb += zoo.pillow(zoo.scene(), "PNG")[33:]
    photo = repainted(bomb)
    assert "its text is damaged: dropped" in photo.notes
    assert b"zTXt" not in written(photo, "PNG")


@pytest.mark.parametrize("name", [b"\x00Xtq", b"ABcd", b"a\xf0Cd"])
def test_chunks_that_readers_would_stop_at_are_left_out(name):
    """Found by damaging 20,000 files: libpng refused two outputs for such a chunk's name."""
    data = zoo.with_png_chunks(zoo.pillow(zoo.scene(3), "PNG"), (b"prVt", b"kept"))
    data = data[:-12] + zoo.png_chunk(name, b"dropped") + data[-12:]
    with contextlib.suppress(photos.UnreadablePhoto):
        made = written(repainted(data), "PNG")
        assert b"kept" in made
        assert b"dropped" not in made


def test_nothing_half_written(tmp_path, monkeypatch):
    target = tmp_path / "photo.jpg"
    target.write_bytes(b"old")
    photo = repainted(animal("jpeg rgb 4:2:0").data)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jpeg, "_copy_density", fail)
    with pytest.raises(photos.UnwritablePhoto, match="No space left"):
        photos.write(target, photo, "JPEG", mark=None)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["photo.jpg"]
    monkeypatch.undo()
    photos.write(target, photo, ".jpeg", mark=None)
    assert Image.open(target).format == "JPEG"
    assert os.listdir(tmp_path) == ["photo.jpg"]


def test_unpainted_rows_are_an_error():
    with pytest.raises(ValueError, match="painted"):
        photos.write(io.BytesIO(), photos.read(animal("png 8 rgb").data), "PNG", mark=None)


def test_too_large_for_a_format():
    photo = repainted(zoo.pillow(np.zeros((1, 17000, 3), np.uint8), "PNG"))
    with pytest.raises(photos.UnwritablePhoto, match="16383"):
        photos.write(io.BytesIO(), photo, "WEBP", mark=None)


@pytest.mark.parametrize("name", ["png 16 rgba", "tiff 8 cmyk icc", "jpeg icc adobergb", "ppm 16"])
def test_gray_copies_have_one_channel(name):
    was = animal(name)
    photo = photos.read(was.data)
    gray = np.linspace(0, 1, photo.height * photo.width, dtype=np.float32)
    gray = gray.reshape(photo.height, photo.width)
    for rows in (slice(0, 10), slice(10, photo.height)):
        photo.srgb(rows)
        photo.paint_gray(rows, gray[rows])
    made = readers.pixels(written(photo, was.output), was.output if name[:3] != "ppm" else "BMP")
    extra = 0 if was.alpha is None else 1
    assert made.shape[2] == 1 + extra
    full = np.iinfo(made.dtype).max
    tolerance = 0.02 if was.output == "JPEG" else 0.5 / full
    if made.dtype == np.int32:  # Pillow's 16-bit PGM
        full, tolerance = 65535, 1e-4
    assert np.abs(made[..., 0] / full - gray).max() <= tolerance + 1e-6
    if extra:
        np.testing.assert_array_equal(made[..., 1], was.alpha)


def test_probe_is_of_the_content(tmp_path):
    for name, suffix, kind, wanted in (
        ("jpeg gray", ".JPG", "JPEG", ".JPG"),
        ("jpeg gray", ".png", "JPEG", ".jpg"),
        ("gif", ".gif", "GIF", ".png"),
        ("png 1 bit", ".png", "PNG", ".png"),
        ("tiff 1 bit", ".tif", "TIFF", ".png"),
        ("tiff palette", ".tif", "TIFF", ".png"),
        ("tiff 16 rgb", ".tiff", "TIFF", ".tiff"),
        ("tiff 8 cmyk icc", ".tif", "TIFF", ".tif"),
        ("webp lossy", "", "WEBP", ".webp"),
        ("avif", ".avif", "AVIF", ".avif"),
        ("heif", ".heic", "HEIF", ".heic"),
        ("jpeg2000 16 rgb", ".jp2", "JPEG2000", ".jp2"),
        ("pgm 8", ".pgm", "PPM", ".ppm"),
        ("text", ".jpg", "", ".png"),
    ):
        path = tmp_path / f"photo{suffix}"
        path.write_bytes(animal(name).data)
        size = (0, 0) if not kind else (zoo.WIDTH, zoo.HEIGHT)
        assert photos.probe(path) == (kind, wanted, *size), name


def test_quality_is_no_coarser_than_the_sources():
    was = animal("jpeg rgb q100 4:4:4")
    made = written(repainted(was.data), "JPEG")
    with Image.open(io.BytesIO(made)) as image, Image.open(io.BytesIO(was.data)) as source:
        assert image.quantization[0] == source.quantization[0]
        assert set(image.quantization[1]) == {1}
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3
    coarse = written(repainted(was.data), "JPEG", quality=50)
    assert len(coarse) < len(made) / 2


def test_decoded_lightness_is_as_near_as_in_gray_photos():
    """L of a color JPEG, against L of the gray original encoded with quality 95."""
    errors = []
    for rgb in sample_photos():
        image = Image.fromarray(rgb)
        gray = np.asarray(image.convert("L").reduce(max(1, min(image.size) // 150)))
        was = color.rgb_u8_to_lab(gray[..., None].repeat(3, 2))[..., 0]
        _, made = conformance.colorize(zoo.pillow(gray[..., None], "PNG"), "JPEG")
        now = readers.pixels(made, "JPEG")
        again = readers.pixels(zoo.pillow(gray[..., None], "JPEG", quality=95), "JPEG")
        errors.append(
            [
                np.abs(color.rgb_u8_to_lab(now)[..., 0] - was).mean(),
                np.abs(color.rgb_u8_to_lab(again.repeat(3, 2))[..., 0] - was).mean(),
            ]
        )
    color_error, encoded_grey = np.mean(errors, 0)
    assert color_error <= encoded_grey, errors


def test_profiles_near_srgb_are_srgb_and_others_are_not():
    assert color_space.is_srgb(zoo.SRGB)
    assert not color_space.is_srgb(zoo.ADOBE)
    assert color_space.usable(zoo.cmyk_profile(), "cmyk")
    assert not color_space.usable(zoo.ADOBE[:300], "rgb")


def test_a_cyclic_directory_ends():
    order = "<"
    entry = exif.Entry(exif.EXIF_IFD, 4, 1, struct.pack("<I", 8))
    blob = b"II*\0" + struct.pack("<I", 8) + exif.write_directory([entry], 8, order)
    assert exif.read_directories(blob).below.keys() == {exif.EXIF_IFD}
    assert exif.upright(blob, 6) == blob


def test_messages_are_one_line():
    for was in zoo.animals():
        if was.output is None:
            with pytest.raises(photos.UnreadablePhoto) as caught:
                photos.read(was.data)
            assert re.fullmatch(r"[^\n]{5,250}", str(caught.value)), was.name


def test_complaints_belong_to_the_photo_of_their_thread():
    both = threading.Barrier(2)
    heard = {}

    def listen(name):
        with complaints() as collected:
            both.wait(10)
            warnings.warn(f"about {name}", UserWarning, stacklevel=1)
            both.wait(10)
        heard[name] = list(collected)

    filters, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    threads = [threading.Thread(target=listen, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {"one": ["about one"], "two": ["about two"]}
    assert (list(warnings.filters), Image.MAX_IMAGE_PIXELS) == (filters, limit)


def test_a_large_photo_is_probed_without_a_word(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # a warning above it, an error above twice
    for side in (24, 48):
        Image.new("L", (side, side)).save(tmp_path / "a.png")
        assert photos.probe(tmp_path / "a.png")[2:] == (side, side)


def test_a_detailed_progressive_jpeg_is_written_as_a_sequential_one(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    photo = photos.read(zoo.pillow(noise // 2, "JPEG", progressive=True, quality=60))
    photo.paint(slice(0, 300), noise)
    notes = photos.write(tmp_path / "a.jpg", photo, "JPEG", mark=None)
    assert "written as a sequential one" in notes[0]
    assert np.abs(np.asarray(Image.open(tmp_path / "a.jpg")) - noise.astype(int)).mean() < 3
