"""Files made to be slow or large: time and memory stay in proportion to their bytes."""

import contextlib
import json
import os
import struct
import subprocess
import sys
import textwrap
import time

import pytest
from helpers.photos import zoo
from helpers.platforms import linux_only
from helpers.program import ROOT

from colorjax import photos
from colorjax.photos import derivatives, exif, xmp
from colorjax.photos.formats import containers, jpeg, jpeg_parts, png_chunks, webp_avif_heif

GAIN_MAP = b"http://ns.adobe.com/hdr-gain-map/1.0/"
DECLARED = b'<rdf:Description xmlns:p="' + GAIN_MAP + b'"'
MARK = {"by": "x", "tool": "t"}


def filled(head, piece, size, tail=b""):
    return head + piece * ((size - len(head) - len(tail)) // len(piece)) + tail


def numbered(piece, size, head=b""):
    """Pieces that each have a number of their own."""
    return head + b"".join(piece % n for n in range(size // len(piece)))


def cleaned(packet):
    return derivatives.removed(photos.photo.Metadata(xmp=packet))


def segments_of(content, size):
    segment = struct.pack(">BBH", 0xFF, 0xEB, len(content) + 2) + content
    return b"\xff\xd8" + segment * min(size // len(segment), 60_000)


def previews(data):
    parts = [jpeg_parts.Segment(0xEB, b"\xff\xd8\xff\xe0")]
    return jpeg._previews(parts + jpeg_parts.segments(data))


def scans_of(content):
    frame = jpeg_parts.Segment(0xC2, bytes((8, 0, 1, 0, 1, 4)))
    return jpeg_parts._has_all_scans(jpeg_parts.Parts([frame], content, b"", True, False))


def split_png(data):
    try:
        return png_chunks.split(b"\x89PNG\r\n\x1a\n" + data)
    except photos.UnreadablePhoto:
        return None


def webp(content):
    pixels = struct.pack("<4sI", b"VP8L", 2) + b"ab"
    return containers.repaired(b"RIFF\xff\xff\xff\x7fWEBP" + pixels + content, "WEBP")


# name -> (the function, the bytes of a size that are the worst for it)
ATTACKS = {
    "tags without an end": (xmp.find_mark, lambda n: filled(b"", b"<rdf:Description ", n)),
    "marks without an end": (
        xmp.find_mark,
        lambda n: filled(b"<rdf:Description ", b"xmlns:colorjax=", n),
    ),
    "tags and marks": (
        xmp.find_mark,
        lambda n: filled(b"<rdf:Description " * (n // 40), b"xmlns:colorjax=", n),
    ),
    "marks that are none": (xmp.find_mark, lambda n: filled(b"", b"xmlns:colorjax=>", n)),
    "marks again and again": (
        xmp.unmarked,
        lambda n: filled(b"", b"<rdf:Description xmlns:colorjax=''/>\n", n),
    ),
    "abouts": (
        lambda packet: xmp.marked(packet, MARK),
        lambda n: filled(b"", b'<rdf:Description rdf:about="', n),
    ),
    "empty RDF": (lambda packet: xmp.marked(packet, MARK), lambda n: filled(b"", b"<rdf:RDF ", n)),
    "blanks": (
        lambda packet: xmp.marked(packet, MARK),
        lambda n: b"Iptc4xmpExt:DigitalSourceType" + b" " * n,
    ),
    "orientations": (xmp.orientation, lambda n: filled(b"", b"tiff:Orientation" + b" " * 99, n)),
    "widths": (
        lambda packet: xmp.upright(packet, 6),
        lambda n: filled(b"tiff:ImageWidth=", b" ", n // 2) + b"tiff:ImageLength" * (n // 32),
    ),
    "elements without an end": (cleaned, lambda n: filled(DECLARED + b">", b"<p:Version>", n)),
    "elements of many names": (
        cleaned,
        lambda n: numbered(b"<p:Name%06d>", n, DECLARED + b">"),
    ),
    "quotes": (cleaned, lambda n: filled(DECLARED, b" p:a='", n // 2) + b' p:a="' * (n // 12)),
    "declarations": (
        cleaned,
        lambda n: numbered(b' xmlns:p%06d="' + GAIN_MAP + b'" p%%06d:a="1"', n, b"<a"),
    ),
    "previews without scans": (
        derivatives.exif_without_previews,
        lambda n: filled(b"II*\0", b"\xff\xd8\xff\xe0", n),
    ),
    "previews without an end": (
        derivatives.exif_without_previews,
        lambda n: filled(b"II*\0", b"\xff\xd8\xff\xe0", n // 2) + b"\xff\xda" * (n // 4),
    ),
    "fill bytes in a scan": (
        jpeg_parts.split,
        lambda n: filled(b"\xff\xd8\xff\xda\0\2", b"\xff", n, b"\0"),
    ),
    "segments of a preview": (previews, lambda n: segments_of(b"abcd", n)),
    "components of a scan": (
        scans_of,
        lambda n: filled(b"", b"\xff\xda\0\0\xff" + b"\0\x3f" * 10, n),
    ),
    "damaged chunks": (
        split_png,
        lambda n: filled(
            b"", struct.pack(">I4s", 8, b"abCd") + b"\x00\x01\xff\xffIDAT" + b"\0" * 4, n
        ),
    ),
    "chunks of a cut WebP": (webp, lambda n: filled(b"", b"abcd\0\0\0\0", n)),
}


def seconds(function, data):
    begin = time.process_time()
    function(data)
    return time.process_time() - begin


@pytest.mark.parametrize("name", ATTACKS)
def test_64_kb_take_less_than_a_second(name):
    function, build = ATTACKS[name]
    assert seconds(function, build(2**16)) < 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_time_grows_with_the_bytes(name):
    """Four times the bytes: 4 times the time if linear, 16 if quadratic, 64 if cubic."""
    function, build = ATTACKS[name]
    size = 2**18
    first = min(seconds(function, build(size)) for _ in range(3))
    second = min(seconds(function, build(4 * size)) for _ in range(3))
    assert second < 9 * first + 0.05


def shared_values(entries, size, *, tags=range(1000, 60000)):
    """Returns EXIF in which all entries have the same value of `size` bytes."""
    start = 8 + 2 + 12 * entries + 4
    blob = b"II*\0" + struct.pack("<IH", 8, entries)
    rows = [struct.pack("<HHII", tag, 7, size, start) for tag in tags[:entries]]
    return blob + b"".join(rows) + bytes(4) + bytes(size)


def test_values_together_are_no_larger_than_the_block():
    blob = shared_values(3000, 100_000)
    directories = exif.read_directories(blob)
    assert directories.is_damaged
    assert 0 < sum(len(entry.value) for entry in directories.main) <= len(blob)
    assert len(exif.repaired(blob)) <= len(blob)


def test_values_of_sub_directories_count_too():
    inner = [exif.Entry(tag, 7, 4000, bytes(4000)) for tag in range(40000, 40020)]
    below = {exif.EXIF_IFD: inner, exif.GPS_IFD: inner}
    blob = exif.serialize(exif.Directories("<", False, [], below), [])
    gps = blob.index(struct.pack("<HH", exif.GPS_IFD, 4))
    pointer = blob.index(struct.pack("<HH", exif.EXIF_IFD, 4))
    assert not exif.read_directories(blob).is_damaged
    shared = bytearray(blob)
    shared[gps + 8 : gps + 12] = shared[pointer + 8 : pointer + 12]
    directories = exif.read_directories(bytes(shared[: len(blob) // 2 + 4000]))
    values = [e.value for entries in directories.below.values() for e in entries]
    assert directories.is_damaged
    assert sum(map(len, values)) <= len(blob) // 2 + 4000


CHILD = """
import json, resource, sys
from pathlib import Path
from colorjax import photos
report = {}
photos.read(Path("small.png"))  # loads the libraries
pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 256 * 2**20,) * 2)
for path in map(Path, sys.argv[1:]):
    try:
        photo = photos.read(path)
        photo.paint(slice(0, photo.height), photo.srgb(slice(0, photo.height)).copy())
        target = path.with_name("made-" + path.name)
        photos.write(target, photo, photo.kind, mark={"by": "x", "tool": "t"})
        report[path.name] = list(photo.notes)
    except photos.UnreadablePhoto as error:
        report[path.name] = f"refused: {error}"
print(json.dumps(report))
"""


def in_256_mib(folder, files, seconds=60):
    """Reads, paints and writes files in a process that may take 256 MiB more."""
    for name, data in {"small.png": zoo.pillow(zoo.scene(3), "PNG"), **files}.items():
        (folder / name).write_bytes(data)
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), *files],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout)


def bombs_of_directories():
    """Files of about a megabyte whose directories have 6 GB of values."""
    blob = shared_values(12_000, 500_000)
    pixels = zoo.scene(3)
    files = {
        "exif.png": zoo.with_png_chunks(zoo.pillow(pixels, "PNG"), (b"eXIf", blob)),
        "exif.webp": zoo.pillow(pixels, "WEBP", exif=b"Exif\0\0" + blob),
        "exif.avif": zoo.pillow(pixels, "AVIF", exif=blob),
        "exif.jp2": with_jp2_box(zoo.pillow(pixels, "JPEG2000"), b"JpgTiffExif->JP2" + blob),
        "segment.jpg": zoo.pillow(pixels, "JPEG", exif=b"Exif\0\0" + shared_values(2700, 32000)),
        "tags.tif": tiff_bomb([]),
        "offsets.tif": tiff_bomb([], [273] * 4000),
        "below.tif": tiff_bomb([exif.EXIF_IFD]),
        "gps.tif": tiff_bomb([exif.GPS_IFD]),
        "lsm.tif": tiff_bomb([34412]),
        "pages.tif": pages_bomb(),
    }
    if webp_avif_heif.has_heif():
        with contextlib.suppress(KeyError):  # no encoder
            files["exif.heic"] = zoo.pillow(pixels, "HEIF", exif=b"Exif\0\0" + blob)
    return files


def with_jp2_box(data, body):
    start = data.index(b"jp2c") - 4
    return data[:start] + struct.pack(">I4s", len(body) + 8, b"uuid") + body + data[start:]


STRUCTURE = [
    (256, 3, 1, 32), (257, 3, 1, 32), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
    (273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, 32), (279, 4, 1, 1024),
]  # fmt: skip
PIXELS = bytes(range(256)) * 4


def tiff_directory(rows, following=0):
    rows = [struct.pack("<HHII", *row) for row in sorted(rows, key=lambda row: row[0])]
    return struct.pack("<H", len(rows)) + b"".join(rows) + struct.pack("<I", following)


def tiff_bomb(pointers, tags=range(40000, 44000)):
    """A TIFF of 32x32 pixels with 4,000 tags that share one value, maybe below pointers."""
    value, directory = 8 + 1024, 8 + 1024 + 600_000
    bomb = [(tag, 4, 150_000, value) for tag in tags]
    below = tiff_directory(bomb)
    rows = [*STRUCTURE, *[(tag, 4, 1, directory) for tag in pointers]]
    main = tiff_directory(rows if pointers else [*rows, *bomb])
    start = directory + len(below) if pointers else directory
    head = b"II*\0" + struct.pack("<I", start) + PIXELS + bytes(600_000)
    return head + (below if pointers else b"") + main


def pages_bomb():
    """A TIFF of 900 pages, whose lists of strips share one value."""
    value, start = 8 + 1024, 8 + 1024 + 400_000
    strips = [row for row in STRUCTURE if row[0] not in (273, 279)]
    strips += [(273, 4, 100_000, value), (279, 4, 100_000, value)]
    size = len(tiff_directory(STRUCTURE))
    first = tiff_directory(STRUCTURE, start + size)
    others = [tiff_directory(strips, start + n * size) for n in range(2, 901)]
    head = b"II*\0" + struct.pack("<I", start) + PIXELS + bytes(400_000)
    return head + first + b"".join(others) + tiff_directory(strips)


@linux_only("macOS does not keep RLIMIT_AS, and Windows has none")
@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow while the files are made
def test_directory_bombs_take_little_memory(tmp_path):
    report = in_256_mib(tmp_path, bombs_of_directories())
    for name, notes in report.items():
        assert not isinstance(notes, str), (name, notes)
        wanted = {"lsm.tif": "", "pages.tif": "only the first of"}.get(name, "damaged")
        assert any(wanted in note for note in notes) or not wanted, (name, notes)
