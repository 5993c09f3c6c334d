"""Damage that touches no pixel is accepted with a note; missing pixels are refused in words."""

import functools
import io
import itertools
import re
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from helpers.photos import conformance, zoo
from PIL import Image

from colorjax import photos
from colorjax.photos import exif, xmp
from colorjax.photos.formats import jpeg_parts

RGB, RGB16 = zoo.scene(3), zoo.scene(3, 16)
XMP = xmp.marked(b"", {"by": "a", "tool": "b"})[0].replace(b"colorjax", b"other")
END = "end marker"


def pillow(kind, pixels=RGB, **options):
    return zoo.pillow(pixels, kind, **options)


tiff = functools.partial(zoo.tiff, photometric="rgb", rowsperstrip=6)
WHOLE = {
    "JPEG": lambda: pillow("JPEG", quality=95),
    "JPEG gray": lambda: pillow("JPEG", zoo.scene(1)),
    "JPEG progressive": lambda: pillow("JPEG", progressive=True),
    "PNG 8": lambda: pillow("PNG"),
    "PNG 16": lambda: imagecodecs.png_encode(RGB16),
    "TIFF 8": lambda: tiff(RGB),
    "TIFF 16 LZW": lambda: tiff(RGB16, compression="lzw"),
    "TIFF YCbCr": lambda: tiff(RGB, photometric="ycbcr"),
    "TIFF one strip": lambda: tiff(RGB, rowsperstrip=36),
    "WebP": lambda: pillow("WEBP"),
    "WebP lossless": lambda: pillow("WEBP", lossless=True),
    "GIF": lambda: pillow("GIF", zoo.scene(1)),
    "BMP": lambda: pillow("BMP", RGB[:, :51].copy()),
    "JPEG 2000 8": lambda: bytes(
        imagecodecs.jpeg2k_encode(RGB, level=0, codecformat="jp2", reversible=True)
    ),
    "JPEG 2000 16": lambda: bytes(
        imagecodecs.jpeg2k_encode(RGB16, level=0, codecformat="jp2", reversible=True)
    ),
    "PPM": lambda: pillow("PPM"),
    "PPM text": lambda: b"P2 52 36 255\n" + b"\n".join(b"%d" % v for v in RGB[..., 0].ravel()),
    "AVIF": lambda: pillow("AVIF"),
    "HEIF": lambda: pillow("HEIF"),
}
whole = functools.cache(lambda name: WHOLE[name]())


@pytest.fixture(autouse=True)
def _heif(request):
    if "HEIF" in request.node.name:
        pytest.importorskip("pillow_heif").register_heif_opener()


def same_pixels(data, name):
    """Reads a damaged file; checks its pixels against those of the whole one, and its result."""
    photo, wanted = photos.read(data), photos.read(whole(name))
    np.testing.assert_array_equal(photo.pixels, wanted.pixels)
    kind = {"GIF": "PNG"}.get(photo.kind, photo.kind)
    _, made = conformance.colorize(data, kind)
    assert not [note for note in photos.read(made).notes if "damaged" in note]
    return photo.notes


@pytest.mark.parametrize("share", [0.6, 0.9])
@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_is_cut_off_is_refused_in_plain_words(name, share):
    data = whole(name)
    with pytest.raises(photos.UnreadablePhoto) as caught:
        photos.read(data[: int(share * len(data))])
    message = str(caught.value)
    wanted = r"the file is cut off (after \d+ % of its (rows|pixel data)|before its last rows)"
    assert re.fullmatch(wanted, message)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("PNG 8", 3), ("PNG 16", 3), ("TIFF 8", 3), ("TIFF one strip", 3), ("BMP", 3), ("PPM", 3)],
)
def test_the_share_of_the_rows_is_right(name, tolerance):
    data = whole(name)
    for share in (30, 60, 90):
        with pytest.raises(photos.UnreadablePhoto) as caught:
            photos.read(data[: len(data) * share // 100])
        percent = int(re.search(r"after (\d+) %", str(caught.value))[1])
        strips = 17 if name == "TIFF 8" else 0
        assert -tolerance - strips <= percent - share <= tolerance


def test_the_share_of_a_jpegs_rows_is_right():
    pixels = np.tile(np.random.default_rng(0).integers(0, 255, (400, 16), np.uint8), (1, 8))
    data = zoo.pillow(pixels[..., None], "JPEG", quality=90)
    scan = data.index(b"\xff\xda")
    for share in (30, 60, 90):
        end = scan + (len(data) - scan) * share // 100
        for after in (b"", b"\xff\xd9"):
            with pytest.raises(photos.UnreadablePhoto) as caught:
                photos.read(data[:end].rstrip(b"\xff") + after)
            percent = int(re.search(r"after (\d+) %", str(caught.value))[1])
            assert abs(percent - share) <= 4


@pytest.mark.parametrize(
    ("name", "removed"),
    [
        ("JPEG", 1),
        ("JPEG", 2),
        ("JPEG gray", 2),
        ("JPEG progressive", 2),
        ("PNG 8", 1),
        ("PNG 8", 12),
        ("PNG 16", 1),
        ("PNG 16", 12),
        ("GIF", 1),
        ("BMP", 3),
        ("JPEG 2000 8", 2),
        ("JPEG 2000 16", 1),
    ],
)
def test_a_missing_end_marker_is_accepted(name, removed):
    notes = same_pixels(whole(name)[:-removed], name)
    assert sum(END in note for note in notes) == 1


@pytest.mark.parametrize("name", ["JPEG", "JPEG progressive"])
def test_a_jpeg_with_a_few_bytes_missing_is_refused(name):
    data = whole(name)[:-2]
    for removed in (3, 6, 20):
        with pytest.raises(photos.UnreadablePhoto, match="cut off"):
            photos.read(data[:-removed])


def test_a_progressive_jpeg_without_its_last_scans_is_refused():
    data = whole("JPEG progressive")
    for start in [match.start() for match in re.finditer(rb"\xff[\xda\xc4]", data)][-3:]:
        for cut in (data[:start], data[: start - 9] + b"\xff\xd9"):
            with pytest.raises(photos.UnreadablePhoto, match="cut off"):
                photos.read(cut)


@pytest.mark.parametrize("value", [0, 200, 255])
def test_a_flat_jpeg_is_whole(value):
    photo = photos.read(zoo.pillow(np.full((40, 40, 3), value, np.uint8), "JPEG"))
    assert photo.notes == ()


def good_exif():
    entry = exif.Entry(36867, 2, 20, b"1936:07:01 12:00:00\0")
    below = {exif.EXIF_IFD: [entry]}
    directories = exif.Directories("<", False, [], below)
    return exif.serialize(directories, [exif.Entry(315, 2, 8, b"A. Mill\0")])


def moved(blob, tag, kind, count):
    """Returns EXIF in which the value or directory of a tag is outside."""
    start = blob.index(struct.pack("<HHI", tag, kind, count))
    return blob[: start + 8] + struct.pack("<I", 99999) + blob[start + 12 :]


BAD_EXIF = {
    "garbage": b"\x55" * 60,
    "cut": good_exif()[:14],
    "value outside": moved(good_exif(), 315, 2, 8),
    "directory outside": moved(good_exif(), exif.EXIF_IFD, 4, 1),
}
BAD_XMP = {"cut": XMP[:-50], "garbage": b"\xfe\x01" * 30, "not closed": XMP.replace(b"/>", b">")}
BAD_ICC = {"cut": zoo.ADOBE[:300], "garbage": b"x" * 200}


def with_block(name, block, content):
    """Returns the whole file with EXIF, XMP or ICC inserted as it is."""
    data = whole(name)
    if name.startswith("JPEG 2000"):
        uuid = {
            "EXIF": b"JpgTiffExif->JP2",
            "XMP": bytes.fromhex("be7acfcb97a942e89c71999491e3afac"),
        }
        body = uuid[block] + content
        start = data.index(b"jp2c") - 4
        return data[:start] + struct.pack(">I4s", len(body) + 8, b"uuid") + body + data[start:]
    if name.startswith("JPEG"):
        head = {"EXIF": b"Exif\0\0", "XMP": b"http://ns.adobe.com/xap/1.0/\0"}
        head["ICC"] = b"ICC_PROFILE\0\1\1"
        marker = 0xE2 if block == "ICC" else 0xE1
        body = head[block] + content
        return data[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + data[2:]
    if name.startswith("PNG"):
        chunk = {
            "EXIF": (b"eXIf", content),
            "XMP": (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + content),
            "ICC": (b"iCCP", b"p\0\0" + zlib.compress(content)),
        }
        return zoo.with_png_chunks(data, chunk[block])
    if name.startswith("TIFF"):
        tag = {"XMP": (700, 1, None, content, True), "ICC": (34675, 7, None, content, True)}
        return tiff(RGB, extratags=[tag[block]])
    options = {"EXIF": "exif", "XMP": "xmp", "ICC": "icc_profile"}
    prefix = b"Exif\0\0" if block == "EXIF" else b""
    extra = {"lossless": True} if name == "WebP lossless" else {}
    return pillow(photos.read(data).kind, **{options[block]: prefix + content}, **extra)


WITH_EXIF = ["JPEG", "PNG 8", "PNG 16", "WebP", "AVIF", "HEIF", "JPEG 2000 8"]


@pytest.mark.parametrize(
    ("name", "damage"),  # Pillow does not write an AVIF with garbage as EXIF
    [pair for pair in itertools.product(WITH_EXIF, BAD_EXIF) if pair != ("AVIF", "garbage")],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow while the file is made
def test_broken_exif_is_accepted(name, damage):
    notes = same_pixels(with_block(name, "EXIF", BAD_EXIF[damage]), name)
    assert sum("EXIF" in note and "damaged" in note for note in notes) == 1


@pytest.mark.parametrize("damage", BAD_XMP)
@pytest.mark.parametrize("name", [*WITH_EXIF, "TIFF 8"])
def test_broken_xmp_is_accepted(name, damage):
    notes = same_pixels(with_block(name, "XMP", BAD_XMP[damage]), name)
    assert notes == ("its XMP is damaged: dropped",)


@pytest.mark.parametrize("damage", BAD_ICC)
@pytest.mark.parametrize("name", [*WITH_EXIF[:-1], "TIFF 8"])
def test_a_broken_profile_is_accepted(name, damage):
    notes = same_pixels(with_block(name, "ICC", BAD_ICC[damage]), name)
    assert sum("color profile is damaged" in note for note in notes) == 1


def test_an_undamaged_part_of_exif_stays():
    data = with_block("JPEG", "EXIF", BAD_EXIF["directory outside"])
    _, made = conformance.colorize(data, "JPEG")
    with Image.open(io.BytesIO(made)) as image:
        assert image.getexif()[315] == "A. Mill"


@pytest.mark.parametrize("name", ["PNG 8", "PNG 16"])
@pytest.mark.parametrize(
    ("chunk", "note"),
    [
        ((b"tEXt", b"Title\0mill"), "its text is damaged: dropped"),
        ((b"zTXt", b"Title\0\0" + zlib.compress(b"mill")), "its text is damaged: dropped"),
        ((b"eXIf", good_exif()), "its EXIF is damaged: dropped"),
        ((b"gAMA", struct.pack(">I", 100000)), "its gAMA block is damaged: dropped"),
        ((b"iCCP", b"p\0\0" + zlib.compress(zoo.ADOBE)), "its color profile is damaged: dropped"),
        ((b"tRNS", bytes(6)), "its transparency is damaged: dropped"),
        ((b"prVt", b"private"), "its prVt block is damaged: dropped"),
    ],
)
def test_a_wrong_checksum_of_an_ancillary_chunk_is_accepted(name, chunk, note):
    data = bytearray(zoo.with_png_chunks(whole(name), chunk))
    data[33 + 8 + len(chunk[1])] ^= 0x55
    assert same_pixels(bytes(data), name) == (note,)


@pytest.mark.parametrize("name", ["PNG 8", "PNG 16"])
def test_checksums_of_pixels(name):
    data = bytearray(whole(name))
    for place in (29, len(data) - 13):  # of IHDR and IDAT: the pixels have a checksum of their own
        data[place] ^= 1
        assert same_pixels(bytes(data), name) == ("a checksum is wrong: all pixels are there",)
        data[place] ^= 1
    data[len(data) // 2] ^= 0x55
    with pytest.raises(photos.UnreadablePhoto, match="pixels of the file are damaged"):
        photos.read(bytes(data))


@pytest.mark.parametrize("name", ["PNG 8", "PNG 16"])
@pytest.mark.parametrize("length", [3, 500, 2**31 - 1])
def test_a_chunk_with_a_wrong_length_is_skipped(name, length):
    data = bytearray(zoo.with_png_chunks(whole(name), (b"tEXt", b"Title\0mill")))
    data[33:37] = struct.pack(">I", length)
    assert "a metadata block with a wrong length was dropped" in same_pixels(bytes(data), name)


def test_pixels_that_end_too_early_are_refused():
    """Found by damaging 1,208 files: the decompressor made no progress after its end."""
    header = zoo.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 19, 23, 8, 2, 0, 0, 0))
    pixels = zoo.png_chunk(b"IDAT", zlib.compress(bytes(600)) + b"more")
    with pytest.raises(photos.UnreadablePhoto, match="cut off after 44 % of its rows"):
        photos.read(b"\x89PNG\r\n\x1a\n" + header + pixels)


def test_an_interlaced_png_is_checked_in_full():
    pixels = np.random.default_rng(0).integers(0, 255, (23, 19, 3), np.uint8)
    passes = b""
    for left, top, across, down in (
        *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)),
        (0, 1, 1, 2),
    ):
        passes += b"".join(b"\0" + row.tobytes() for row in pixels[top::down, left::across])
    header = struct.pack(">IIBBBBB", 19, 23, 8, 2, 0, 0, 1)
    data = b"\x89PNG\r\n\x1a\n" + zoo.png_chunk(b"IHDR", header)
    data += zoo.png_chunk(b"IDAT", zlib.compress(passes))
    photo = photos.read(data)  # without an end marker
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert END in photo.notes[0]
    with pytest.raises(photos.UnreadablePhoto, match="% of its pixel data"):
        photos.read(data[: len(data) // 2])


@pytest.mark.parametrize("marker", [0xE1, 0xE5, 0xFE])
@pytest.mark.parametrize("error", [20, -5, 40000])
def test_a_jpeg_segment_with_a_wrong_length_is_repaired(marker, error):
    content = b"a comment of some words, " * 4
    data = whole("JPEG")
    segment = struct.pack(">BBH", 0xFF, marker, len(content) + 2 + error) + content
    notes = same_pixels(data[:2] + segment + data[2:], "JPEG")
    assert notes == ("a metadata block with a wrong length was repaired",)


def test_the_picture_is_found_behind_a_thumbnail_in_damaged_exif():
    thumbnail = zoo.pillow(zoo.scene(1)[::3, ::3], "JPEG")
    content = b"Exif\0\0" + good_exif() + thumbnail
    data = whole("JPEG")
    data = data[:2] + struct.pack(">BBH", 0xFF, 0xE1, 70) + content + data[2:]
    same_pixels(data, "JPEG")


def test_a_part_of_a_profile_in_a_jpeg():
    data = whole("JPEG")
    part = b"ICC_PROFILE\0\1\2" + zoo.ADOBE[:200]
    data = data[:2] + struct.pack(">BBH", 0xFF, 0xE2, len(part) + 2) + part + data[2:]
    assert "color profile is damaged" in same_pixels(data, "JPEG")[0]


def webp_with_metadata():
    return pillow("WEBP", exif=b"Exif\0\0" + good_exif(), xmp=XMP, icc_profile=zoo.SRGB)


@pytest.mark.parametrize("damage", ["cut in XMP", "cut in EXIF", "size too large", "too small"])
def test_webp_with_damage_around_its_pixels(damage):
    data = bytearray(webp_with_metadata())
    if damage == "cut in XMP":
        del data[-20:]
    elif damage == "cut in EXIF":
        del data[data.index(b"EXIF") + 12 :]
    else:
        data[4:8] = struct.pack("<I", len(data) + 100 if damage == "size too large" else 300)
    notes = same_pixels(bytes(data), "WebP")
    assert any("all pixels are there" in note for note in notes)


@pytest.mark.parametrize("size", [3, 9999, 2**31])
def test_jpeg_2000_with_a_wrong_box(size):
    data = whole("JPEG 2000 8")
    start = data.index(b"jp2c") - 4
    box = struct.pack(">I4s", size, b"uuid") + b"x" * 30
    notes = same_pixels(data[:start] + box + data[start:], "JPEG 2000 8")
    assert any("all pixels are there" in note for note in notes)


def test_a_gif_animation_whose_later_pictures_are_cut_off():
    frames = [Image.fromarray(zoo.scene(1)[..., 0]), Image.fromarray(255 - zoo.scene(1)[..., 0])]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    data = buffer.getvalue()
    notes = same_pixels(data[: int(0.8 * len(data))], "GIF")
    assert any("only the first" in note for note in notes)


def test_a_tiff_with_a_wrong_tag_or_a_wrong_next_page():
    data = bytearray(tiff(RGB, extratags=[(315, 2, None, "A. Mill by the river", True)]))
    start = data.index(struct.pack("<HH", 315, 2))
    data[start + 8 : start + 12] = struct.pack("<I", 99999)
    assert same_pixels(bytes(data), "TIFF 8") == ("some of its metadata is damaged: dropped",)
    data = bytearray(tiff(RGB))
    (offset,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, offset)
    struct.pack_into("<I", data, offset + 2 + 12 * count, 99999)
    same_pixels(bytes(data), "TIFF 8")


def test_a_tiff_whose_directory_is_cut_off():
    _, made = conformance.colorize(whole("TIFF 8"), "TIFF")  # its directory is at the end
    with pytest.raises(photos.UnreadablePhoto, match="cut off: the directory"):
        photos.read(made[: len(made) // 2])


def test_an_unknown_compression_is_named():
    data = bytearray(tiff(RGB))
    start = data.index(struct.pack("<HHIH", 259, 3, 1, 1))
    data[start + 8 : start + 10] = struct.pack("<H", 12345)
    with pytest.raises(photos.UnreadablePhoto, match="compression 12345 cannot be read"):
        photos.read(bytes(data))


def test_a_photo_has_a_few_notes_and_a_number():
    names = [bytes((97 + n % 26, 98 + n // 26, 65, 97)) for n in range(300)]
    data = whole("PNG 8")
    chunks = b"".join(zoo.png_chunk(name, b"text")[:-1] + b"?" for name in names)
    notes = photos.read(data[:33] + chunks + data[33:]).notes
    assert len(notes) == 11
    assert notes[0] == "its abAa block is damaged: dropped"
    assert notes[-1] == "and 290 more notes"


def test_no_message_names_a_python_object():
    rng = np.random.default_rng(0)
    for name in WHOLE:
        data = whole(name)
        for _ in range(6):
            damaged = bytearray(data[: rng.integers(20, len(data))])
            damaged[rng.integers(12, len(damaged))] ^= 0xFF
            try:
                notes = photos.read(bytes(damaged), max_pixels=2**20).notes
            except photos.UnreadablePhoto as error:
                notes = (str(error),)
            for note in notes:
                assert not re.search(r"Error\b|object at|<_io|0x[0-9a-f]{6}", note), note


def test_segments_are_as_before():
    assert [p.marker for p in jpeg_parts.segments(whole("JPEG"))] == [0xE0, 0xDB, 0xDB, 0xC0] + [
        0xC4
    ] * 4
