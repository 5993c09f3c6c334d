"""TIFF of all bit depths: tifffile reads and writes pixels, tags are copied as bytes."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile

from colorjax.errors import UnreadablePhoto
from colorjax.photos import color_space, derivatives, exif, xmp
from colorjax.photos.exif import Entry
from colorjax.photos.formats import inner_streams, pillow, tiff_directories, tiff_pixels
from colorjax.photos.formats.containers import cut_off
from colorjax.photos.formats.png import gray_as_rgb
from colorjax.photos.formats.tiff_directories import Page
from colorjax.photos.photo import Metadata, Photo

XMP, ICC, PHOTOSHOP, _LAYERS = 700, 34675, 34377, 37724
_SMALLER_PICTURES, _OLD_JPEG = 330, 513  # SubIFDs, JPEGInterchangeFormat
_DESCRIPTION, _X_DPI, _Y_DPI, _DPI_UNIT = 270, 282, 283, 296
_COMPRESSION = {1: None, 5: "lzw", 32773: "packbits", 50000: "zstd", 34925: "lzma"}  # else deflate
_DAMAGE_NOTE = "some of its metadata is damaged: dropped"
# tifffile reads all pages of some formats of microscopes.
_NOT_OF_MICROSCOPES: dict[str, Any] = {
    f"is_{name}": False
    for name in tifffile.TIFF.FILE_FLAGS
    # A property without a setter cannot be given, in newer versions.
    if getattr(getattr(tifffile.TiffFile, f"is_{name}", None), "fset", True) is not None
}
_TILE = 2**20  # pixels of a tile that a smaller picture may have
_MOST_CLASSIC_BYTES = 2**32 - 2**25


def read(data: bytes, max_pixels: int) -> Photo:
    """Reads a TIFF; see `colorjax.photos.read`."""
    number, offsets, notes = _first_picture(tiff_directories.pages(data))
    data, has_shared = tiff_directories.without_shared_values(data, offsets)
    if has_shared:
        notes += (_DAMAGE_NOTE,)
    with _quiet(), tifffile.TiffFile(io.BytesIO(data), **_NOT_OF_MICROSCOPES) as file:
        page = file.pages[number].aspage()
        if page.offset not in offsets:
            raise UnreadablePhoto("the directories of the file are damaged")
        pillow.check_size(
            *(page.imagewidth, page.imagelength, max_pixels, page.samplesperpixel),
            num_bytes=page.samplesperpixel * np.max(page.bitspersample) // 8,
        )
        _check_whole(page, len(data))
        _check_streams(page, data)
        metadata, turned, dropped = _metadata(data, page)
        stored, model, more = tiff_pixels.decode(page, data)
        encoding = {
            "compression": _COMPRESSION.get(int(page.compression), "deflate"),
            "predictor": int(page.predictor) in (2, 3),
            "separate": int(page.planarconfig) == 2,
            "extrasamples": tuple(int(kind) for kind in page.extrasamples),
            "big": file.is_bigtiff,
            "order": file.byteorder,
        }
    full, scaled = tiff_pixels.white(stored, model)
    icc = metadata.icc
    colors, metadata.icc, of_profile = color_space.choose(icc, model, stored.dtype, full)
    notes += dropped + more + scaled + of_profile
    if colors is None:
        stored, colors = (
            tiff_pixels.rgb_of_cmyk(stored, full),
            color_space.Space(stored.dtype, full),
        )
        notes += (pillow.CMYK_NOTE,)
    pixels = gray_as_rgb(stored, turned) if model == "gray" else pillow.turn(stored, turned)
    return Photo(pixels, colors, kind="TIFF", metadata=metadata, encoding=encoding, notes=notes)


_of_thread = threading.local()  # .readings: number of active reads in this thread


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses tifffile's log messages about damaged files in this thread."""
    readings = getattr(_of_thread, "readings", 0)
    _of_thread.readings = readings + 1
    try:
        yield
    finally:
        _of_thread.readings = readings


def _is_of_others(_: logging.LogRecord) -> bool:
    return not getattr(_of_thread, "readings", 0)


# A filter, not a level: a level affects the whole process, and several threads read photos.
logging.getLogger("tifffile").addFilter(_is_of_others)


def _first_picture(pages: list[Page]) -> tuple[int, set[int], tuple[str, ...]]:
    """Selects the first page that is not a thumbnail.

    Returns:
        Its number; the offsets of the directories that tifffile reads; a note if there are more.
    """
    full = [number for number, page in enumerate(pages) if not page.is_reduced] or [0][: len(pages)]
    if not full:
        raise UnreadablePhoto("the file is cut off: the directory of its pixels is missing")
    count = len(full)
    notes = (f"only the first of {count} pictures was used",) if count > 1 else ()
    if count < len(pages):
        notes += (derivatives.THUMBNAIL_NOTE,)
    return full[0], {pages[0].offset, pages[full[0]].offset}, notes


def _check_streams(page: Any, data: bytes) -> None:
    """Rejects strips and tiles that are compressed pictures of another size."""
    width = page.tilewidth if page.is_tiled else page.imagewidth
    height = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    compression = int(page.compression)
    if page.jpegtables is not None:
        inner_streams.check_jpeg_tables(page.jpegtables)
    if inner_streams.is_picture(compression):
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            inner_streams.check(data[offset : offset + count], compression, width, height)


def _check_whole(page: Any, size: int) -> None:
    """Rejects files that tifffile would fill with zeros, or allocate beyond their header."""
    if len(page.dataoffsets) != len(page.databytecounts) or not page.dataoffsets:
        raise UnreadablePhoto("a TIFF whose list of strips is damaged")
    ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if min(page.dataoffsets) < 8 or min(page.databytecounts) < 1:
        raise UnreadablePhoto("the pixels of the file are damaged")
    if page.imagedepth != 1:
        raise UnreadablePhoto("a TIFF with depth is a volume, not a photo")
    if page.is_tiled:
        if page.tilewidth * page.tilelength > 4 * page.imagewidth * page.imagelength + _TILE:
            raise UnreadablePhoto("a TIFF whose tiles are larger than its picture")
        tiles = -(-page.imagewidth // page.tilewidth) * -(-page.imagelength // page.tilelength)
    else:
        tiles = -(-page.imagelength // max(1, page.rowsperstrip))
    planes = page.samplesperpixel if int(page.planarconfig) == 2 else 1
    if len(page.dataoffsets) < tiles * planes:
        raise UnreadablePhoto("a TIFF whose list of strips is damaged")
    if max(ends) > size:
        number = next(number for number, end in enumerate(ends) if end > size)
        present = max(0, size - page.dataoffsets[number]) / page.databytecounts[number]
        raise cut_off(number % tiles + present, tiles)


def _metadata(data: bytes, page: Any) -> tuple[Metadata, int, tuple[str, ...]]:
    """Returns the metadata, the orientation of the pixels, and notes on what is dropped."""
    directories = exif.read_directories(data, page.offset)
    tags = {entry.tag: entry for entry in directories.main}
    xmp_, icc, photoshop = (tags[t].value if t in tags else b"" for t in (XMP, ICC, PHOTOSHOP))
    metadata = Metadata(xmp=xmp_, icc=icc, photoshop=photoshop, dpi=_dpi(tags, directories.order))
    orientation = tags.get(exif.ORIENTATION)
    turned = exif.number(orientation, directories.order) if orientation else 1
    turned = turned if 1 <= turned <= 8 else 1
    entries = [e for e in exif.photo_entries(directories, turned) if not _is_of_tifffile(e)]
    entries = [entry for entry in entries if entry.tag not in (PHOTOSHOP, _LAYERS)]
    if entries or any(directories.below.values()):
        metadata.exif = exif.upright(exif.serialize(directories, entries), turned)
    metadata.xmp = xmp.upright(metadata.xmp, turned)
    if turned in exif.SIDEWAYS and metadata.dpi:
        metadata.dpi = metadata.dpi[::-1]
    has_preview = _SMALLER_PICTURES in tags or (_OLD_JPEG in tags and int(page.compression) != 6)
    notes = (derivatives.THUMBNAIL_NOTE,) if has_preview else ()
    if directories.is_damaged:
        notes += (_DAMAGE_NOTE,)
    if _LAYERS in tags:
        notes += ("its Photoshop layers were dropped: they show the old photo",)
    return metadata, turned, notes


def _is_of_tifffile(entry: Entry) -> bool:
    """Returns whether an entry is a layout description of the old file by tifffile or ImageJ."""
    return entry.tag == _DESCRIPTION and entry.value.startswith((b'{"shape"', b"ImageJ="))


def _dpi(tags: dict[int, Entry], order: str) -> tuple[float, float] | None:
    values = []
    for tag in (_X_DPI, _Y_DPI):
        if tag not in tags or tags[tag].type != 5:
            return None
        above, below = struct.unpack_from(order + "II", tags[tag].value)
        values.append(above / below if below else 0.0)
    unit = exif.number(tags[_DPI_UNIT], order) if _DPI_UNIT in tags else 2
    scale = {2: 1.0, 3: 2.54}.get(unit, 0.0)
    x, y = (value * scale for value in values)
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None


def write(file: io.BytesIO, photo: Photo, quality: int | None) -> tuple[str, ...]:
    """Encodes a photo losslessly; `quality` is ignored. See `colorjax.photos.write`.

    tifffile writes the pixels and the tags that describe them. A directory with these tags and the
    photo's own tags is appended to the file and replaces the first one.
    """
    pixels = pillow.output_pixels(photo)
    if pixels.dtype in (np.uint8, np.uint16):
        pixels = pillow.stretched(pixels, photo, np.iinfo(pixels.dtype).max)
    metadata, encoding = photo.metadata, photo.encoding if photo.kind == "TIFF" else {}
    tags = _tags(metadata, encoding.get("order", "<"))
    big = encoding.get("big", False) or pixels.nbytes > _MOST_CLASSIC_BYTES
    colors = 1 if photo.is_gray else photo.space.num_colors
    extras = pixels.shape[2] - colors
    kinds = encoding.get("extrasamples", ())[:extras] or ((2,) if extras else ())
    kinds += (0,) * (extras - len(kinds))
    separate = encoding.get("separate", False) and pixels.shape[2] > 1
    if pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    compression = encoding.get("compression", "deflate")
    with tifffile.TiffWriter(
        file, bigtiff=big, byteorder="<" if tags.order == "<" else ">"
    ) as writer:
        writer.write(
            pixels.transpose(2, 0, 1) if separate else pixels,
            photometric={1: "minisblack", 3: "rgb", 4: "separated"}[colors],
            planarconfig=("separate" if separate else "contig") if extras or colors > 1 else None,
            extrasamples=kinds or None,
            compression=compression,
            predictor=_predictor(encoding, compression, pixels),
            rowsperstrip=max(1, 2**18 // max(1, photo.width * photo.pixels.itemsize * 4)),
            resolution=metadata.dpi if metadata.dpi else None,
            resolutionunit=2 if metadata.dpi else None,
            metadata=None,
            software=False,
            maxworkers=1,
        )
    _replace_directory(file, tags, big)
    return ()


def _predictor(encoding: dict[str, Any], compression: str | None, pixels: Any) -> bool:
    wanted = encoding.get("predictor", not encoding)
    return bool(wanted) and compression in ("lzw", "deflate", "zstd") and pixels.itemsize <= 4


def _tags(metadata: Metadata, order: str) -> exif.Directories:
    """Returns the photo's own tags, including XMP, ICC and Photoshop blocks.

    Without EXIF, `order` is the byte order.
    """
    try:
        tags = exif.read_directories(metadata.exif)
        main = exif.photo_entries(tags)
    except ValueError:
        tags, main = exif.Directories(order, False, [], {}), []
    for tag, kind, value in (
        (XMP, 1, metadata.xmp),
        (ICC, 7, metadata.icc),
        (PHOTOSHOP, 7, metadata.photoshop),
    ):
        if value and not any(entry.tag == tag for entry in main):
            main.append(Entry(tag, kind, len(value), value))
    return tags._replace(main=main)


def _replace_directory(file: io.BytesIO, tags: exif.Directories, big: bool) -> None:
    """Appends a directory with tifffile's tags and `tags`, and points the header to it."""
    with file.getbuffer() as blob:
        written = exif.read_directories(blob)
    entries = {entry.tag: entry for entry in written.main}
    entries |= {entry.tag: entry for entry in tags.main}
    start = file.seek(0, io.SEEK_END)
    start += file.write(b"\0" * (start % 8 and 8 - start % 8))
    tree = tags._replace(big=big, main=list(entries.values()))
    file.write(exif.directory_tree(tree, start))
    file.seek(8 if big else 4)
    file.write(struct.pack(tags.order + ("Q" if big else "I"), start))
    file.seek(0, io.SEEK_END)
