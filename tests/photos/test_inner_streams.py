"""Pictures inside of files: their own headers count, before anything is decoded."""

import io
import itertools
import re
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from helpers.photos import zoo
from PIL import Image

from colorjax import photos
from colorjax.photos.formats import heif_items, inner_streams

RGB = zoo.scene(3)
CODECS = {
    7: lambda pixels: imagecodecs.jpeg_encode(pixels, level=95),
    34712: lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k"),
    33003: lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2"),
    34933: imagecodecs.png_encode,
    50001: lambda pixels: imagecodecs.webp_encode(pixels, lossless=True),
    34927: lambda pixels: imagecodecs.webp_encode(pixels, level=80),
}


def tiff_of(stream, compression, height=64, width=64, tables=b""):
    """A TIFF of RGB whose only strip is a stream."""
    rows = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, 8), (259, 3, 1, compression),
        (262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, height),
        (279, 4, 1, len(stream)),
    ]  # fmt: skip
    if tables:
        rows.append((347, 7, len(tables), 8 + len(stream)))
    data = b"II*\0" + struct.pack("<I", 8 + len(stream) + len(tables)) + stream + tables
    data += struct.pack("<H", len(rows))
    return data + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4)


def with_jpeg_size(data, height, width):
    at = re.search(rb"\xff[\xc0-\xc2]\0", data).start()
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


SHAPES = [(64, 64, 3), (33, 21, 3), (8, 48, 4), (9, 300, 3), (75, 100, 3)]


@pytest.mark.parametrize(
    ("compression", "shape"),  # JPEG has no alpha
    [pair for pair in itertools.product(CODECS, SHAPES) if (pair[0], pair[1][2]) != (7, 4)],
)
def test_sizes_are_those_of_the_encoder(compression, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    size = inner_streams._SIZES[compression](CODECS[compression](pixels))
    assert size[:2] == (shape[1], shape[0])
    assert shape[2] <= size.channels <= 4


@pytest.mark.parametrize("compression", CODECS)
def test_strips_that_are_pictures_are_read(compression):
    pixels = np.ascontiguousarray(RGB[:32, :48])
    photo = photos.read(tiff_of(CODECS[compression](pixels), compression, 32, 48))
    wanted = tifffile.TIFF.DECOMPRESSORS[compression](CODECS[compression](pixels))
    np.testing.assert_array_equal(photo.pixels, wanted)


@pytest.mark.parametrize("compression", CODECS)
def test_a_strip_that_is_larger_than_it_says_is_refused(compression):
    stream = CODECS[compression](np.zeros((900, 1200, 3), np.uint8))
    with pytest.raises(photos.UnreadablePhoto, match="64x64 pixels holds a picture of 1200x900"):
        photos.read(tiff_of(stream, compression))


def test_a_strip_of_4_gigapixels_is_refused():
    stream = with_jpeg_size(CODECS[7](np.zeros((8, 8, 3), np.uint8)), 65500, 65500)
    data = tiff_of(stream, 7)
    assert len(data) < 1000
    with pytest.raises(photos.UnreadablePhoto, match="holds a picture of 65500x65500"):
        photos.read(data)


def test_sizes_cannot_hide():
    """Junk before the frame, two frames, and a frame among the tables."""
    stream = CODECS[7](np.zeros((64, 64, 3), np.uint8))
    large = with_jpeg_size(stream, 65500, 65500)
    frame = large[large.index(b"\xff\xc0") : large.index(b"\xff\xc4")]
    start = stream.index(b"\xff\xc0")
    junk = stream[:start] + b"junk" + large[start:]
    for strip, tables in (
        (stream[:start] + frame + stream[start:], b""),
        (junk, b""),
        (stream, b"\xff\xd8" + frame + b"\xff\xd9"),
        (stream, b"\xff\xd8junk" + frame + b"\xff\xd9"),
    ):
        with pytest.raises(photos.UnreadablePhoto, match="damaged"):
            photos.read(tiff_of(strip, 7, tables=tables))


@pytest.mark.parametrize("compression", [22610, 34887, 34934, 50002, 52546, 65000])
def test_streams_whose_size_is_not_checked_are_refused(compression):
    with pytest.raises(photos.UnreadablePhoto, match=f"compression {compression} cannot be read"):
        photos.read(tiff_of(bytes(100), compression))


def test_strips_of_ycbcr_are_decompressed_up_to_their_size(monkeypatch):
    ycbcr = np.zeros((64, 64, 3), np.uint8)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, ycbcr, photometric="ycbcr", compression="deflate", metadata=None)
    assert photos.read(buffer.getvalue()).pixels.shape == (64, 64, 3)
    stream = imagecodecs.deflate_encode(bytes(2**26))
    data = bytearray(tiff_of(stream, 8))
    kind = data.index(struct.pack("<HHII", 262, 3, 1, 2))
    data[kind : kind + 12] = struct.pack("<HHII", 262, 3, 1, 6)
    largest = []
    decode = tifffile.TIFF.DECOMPRESSORS[8]

    def spy(data, out=None, **options):
        largest.append(out)
        return decode(data, out=out, **options)

    monkeypatch.setitem(tifffile.TIFF.DECOMPRESSORS._codecs, 8, spy)
    with pytest.raises(photos.UnreadablePhoto):
        photos.read(bytes(data))
    assert largest
    assert max(largest) <= 64 * 64 * 3


def jp2(pixels):
    return imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2")


def test_the_size_of_a_jpeg_2000_is_that_of_the_stream_that_is_decoded():
    small = jp2(np.zeros((64, 64, 3), np.uint8))
    large = jp2(np.zeros((1500, 1500, 3), np.uint8))
    stream = small[small.index(b"\xffO\xffQ") :]
    box = struct.pack(">I4s", 8 + len(stream), b"free") + stream
    start = large.index(b"jp2c") - 4
    for data in (large[:start] + box + large[start:], large[:12] + box + large[12:]):
        with pytest.raises(photos.UnreadablePhoto, match="1500x1500 pixels are more than the lim"):
            photos.read(data, max_pixels=2**20)
    start = small.index(b"jp2c") - 4
    assert photos.read(small[:start] + box + small[start:], max_pixels=2**12).width == 64


def test_the_header_of_a_jpeg_2000_behind_a_damaged_box_is_that_of_what_is_decoded():
    """A decoder may pass over a box of a wrong size in another way: it gets the stream alone."""
    small, large = (jp2(np.zeros((n, n, 3), np.uint8)) for n in (64, 1500))
    stream = small[small.index(b"\xffO\xffQ") :]
    start = large.index(b"jp2c") - 4
    for size in (3, 2**31):
        box = struct.pack(">I4s", size, b"free") + stream
        data = large[:start] + box + large[start:]
        photo = photos.read(data, max_pixels=2**20)
        assert (photo.width, photo.height) == (64, 64)


def test_a_jpeg_2000_of_many_tiles_is_refused():
    data = bytearray(jp2(np.zeros((64, 64, 3), np.uint8)))
    at = data.index(b"\xffO\xffQ") + 8 + 16
    data[at : at + 8] = struct.pack(">II", 1, 1)
    with pytest.raises(photos.UnreadablePhoto, match="4096 tiles"):
        photos.read(bytes(data))


def with_precincts(data, size):
    """Returns a JPEG 2000 whose header says that all precincts have 2^size pixels a side."""
    at = data.index(b"\xff\x52")
    (length,) = struct.unpack_from(">H", data, at + 2)
    content = bytes((data[at + 4] | 1,)) + data[at + 5 : at + 2 + length]
    sizes = bytes((size << 4 | size,)) * (content[5] + 1)
    segment = struct.pack(">HH", 0xFF52, length + len(sizes)) + content + sizes
    return data[:at] + segment + data[at + 2 + length :]


def test_tiny_precincts_are_refused():
    data = imagecodecs.jpeg2k_encode(np.zeros((64, 64, 3), np.uint8), level=0, codecformat="j2k")
    with pytest.raises(photos.UnreadablePhoto, match="tiny precincts"):
        photos.read(with_precincts(data, 1))
    tile = data.index(b"\xff\x90") + 12
    header = with_precincts(data, 1)
    at = header.index(b"\xff\x52")
    (length,) = struct.unpack_from(">H", header, at + 2)
    cod = header[at : at + 2 + length]
    with pytest.raises(photos.UnreadablePhoto, match="tiny precincts"):
        photos.read(data[:tile] + cod + data[tile:])
    assert photos.read(with_precincts(data, 15)).width == 64


def test_a_gif_frame_may_be_larger_than_its_screen():
    """35 bytes that say 1x1, whose frame has 16384x16384 pixels."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 16384, 16384, 0) + b"\x02\x01\x44\0;"
    with pytest.raises(photos.UnreadablePhoto, match="16384x16384 pixels are more than the limit"):
        photos.read(head + frame, max_pixels=2**20)


def test_wide_pixels_count_as_several():
    data = io.BytesIO()
    tifffile.imwrite(
        data,
        np.zeros((8, 8, 40), np.float32),
        photometric="rgb",
        planarconfig="contig",
        metadata=None,
    )
    assert photos.read(data.getvalue(), max_pixels=640).pixels.shape == (8, 8, 40)
    with pytest.raises(photos.UnreadablePhoto, match="8x8 pixels of 160 bytes are more"):
        photos.read(data.getvalue(), max_pixels=639)


def picture(kind, height, width, **options):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize("size", [(64, 64), (33, 71), (130, 500), (520, 264)])
def test_sizes_of_coded_pictures(kind, size):
    sizes = list(heif_items._sizes(picture(kind, *size)))
    assert sizes
    for width, height in sizes:  # HEVC is coded in whole blocks
        assert size[1] <= width < size[1] + 64
        assert size[0] <= height < size[0] + 64
    assert kind == "HEIF" or set(sizes) == {size[::-1]}


def test_sizes_of_a_sequence():
    frames = [Image.fromarray(np.full((48, 80, 3), v, np.uint8)) for v in (0, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "AVIF", save_all=True, append_images=frames[1:])
    sizes = set(heif_items._sizes(buffer.getvalue()))
    assert sizes == {(80, 48)}
    assert photos.read(buffer.getvalue()).width == 80


def test_a_frame_of_av1_has_no_size_of_its_own():
    """It could be larger than the largest size of the sequence header."""
    frames = [Image.fromarray(np.full((48, 80, 3), v, np.uint8)) for v in (0, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "AVIF", save_all=True, append_images=frames[1:])
    data = bytearray(buffer.getvalue())
    header = data.rindex(b"\x0a", 0, data.index(b"\x32", data.index(b"mdat")))
    frame = header + 2 + data[header + 1]
    assert data[frame] == 0x32  # an OBU with a frame, and its size
    frame += 1
    while data[frame] > 127:
        frame += 1
    assert data[frame + 1] >> 1 == 0b0001000  # a key frame, shown, up to its override flag
    data[frame + 1] |= 2
    with pytest.raises(photos.UnreadablePhoto, match="frames have sizes of their own"):
        photos.read(bytes(data))


@pytest.mark.parametrize(
    ("written", "is_own"),
    [
        # (value, bits): shown again; kind; shown; [time]; [resilient]; no adapting; [id]; own size
        ([(1, 1), (0, 9), (1, 1)], False),
        ([(0, 1), (0, 2), (1, 1), (7, 3), (0, 1), (9, 5), (1, 1)], True),
        ([(0, 1), (0, 2), (1, 1), (7, 3), (0, 1), (9, 5), (0, 1)], False),
        ([(0, 1), (1, 2), (0, 1), (1, 1), (0, 1), (1, 1), (31, 5), (1, 1)], True),
        ([(0, 1), (1, 2), (0, 1), (1, 1), (1, 1), (1, 1), (31, 5), (0, 1)], False),
        ([(0, 1), (3, 2), (1, 1), (0, 20)], True),
    ],
)
def test_the_flag_of_a_size_of_its_own(written, is_own):
    """With presentation times of 3 bits, numbers of 5, and no tools for screen content."""
    text = "".join(format(value, f"0{bits}b") for value, bits in written)
    data = int(text.ljust(64, "0"), 2).to_bytes(8, "big")
    sequence = heif_items._Sequence(64, 64, False, 3, 5, 0, 2)
    assert heif_items._has_own_size(heif_items._Bits(data), sequence) is is_own


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_a_coded_picture_larger_than_the_file_says_is_refused(kind):
    data = picture(kind, 1024, 2048)
    small = re.sub(rb"(ispe\0{4}).{8}", rb"\1" + struct.pack(">II", 64, 64), data, flags=re.DOTALL)
    assert small != data
    with pytest.raises(photos.UnreadablePhoto, match="2048x1024 pixels are more than the limit"):
        photos.read(small, max_pixels=2**20)


def test_a_grid_larger_than_the_limit_is_refused():
    content = b"\0\1\0\0" + struct.pack(">II", 60_000, 50_000)
    assert heif_items._size_of_canvas(content, b"grid") == (60_000, 50_000)
    content = b"\0\0\0\0" + struct.pack(">HH", 600, 500)
    assert heif_items._size_of_canvas(content, b"grid") == (600, 500)


def test_items_of_other_codecs_are_refused():
    data = picture("HEIF", 64, 64).replace(b"hvc1", b"unci")
    with pytest.raises(photos.UnreadablePhoto, match="items of type 'unci' cannot be read"):
        photos.read(data)
