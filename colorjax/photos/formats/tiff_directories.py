"""The directories of a TIFF, read without their values: which picture, how large, which bombs."""

from __future__ import annotations

from typing import NamedTuple

from colorjax.photos import exif
from colorjax.photos.exif import Bytes

MOST_PAGES, _MOST_TAGS = 1000, 4096  # tifffile reads no more tags
_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _KIND = 254, 255, 256, 257, 258, 262
_PALETTE = 3
_NO_TYPE = b"\xff\xff"


class Page(NamedTuple):
    """Offset of a page's directory, and whether it is a smaller version of another page."""

    offset: int
    is_reduced: bool


class Look(NamedTuple):
    """Size of the first page, and whether its pixels are 1 bit or a palette's."""

    width: int
    height: int
    becomes_rgb: bool


def pages(data: Bytes) -> list[Page]:
    """Returns the pages of a TIFF, up to any damage; at most `MOST_PAGES`."""
    order, big, offset = exif.start_of(data)
    result = list[Page]()
    seen = set[int]()
    while offset and offset not in seen and len(result) < MOST_PAGES:
        seen.add(offset)
        found = exif.rows(data, offset, order, big, _MOST_TAGS)
        if found is None:
            break
        kinds = {}
        for row in found.rows:
            if row.tag > _OLD_SUBFILE:  # the tags are in order
                break
            kinds[row.tag] = exif.number_at(data, row, order)
        is_reduced = kinds.get(_SUBFILE, 0) & 1 or kinds.get(_OLD_SUBFILE) == 2
        result.append(Page(offset, bool(is_reduced)))
        offset = found.next
    return result


def look(data: Bytes) -> Look:
    """Returns what the first page looks like.

    Raises:
        ValueError: the file has no directory.
    """
    order, big, offset = exif.start_of(data)
    found = exif.rows(data, offset, order, big, _MOST_TAGS)
    if found is None:
        raise ValueError("no directory")
    rows = {row.tag: row for row in found.rows}
    values = {tag: exif.number_at(data, row, order) for tag, row in rows.items() if tag < 300}
    has_bits = _BITS in rows
    is_1_bit = not has_bits or (rows[_BITS].count == 1 and values[_BITS] == 1)
    becomes_rgb = is_1_bit or values.get(_KIND) == _PALETTE
    return Look(values.get(_WIDTH, 0), values.get(_HEIGHT, 0), becomes_rgb)


def without_shared_values(data: bytes, offsets: set[int]) -> tuple[bytes, bool]:
    """Returns the file without entries whose values are together larger than the file.

    Libraries copy the value of each entry, and store numbers in ten times the bytes: without this,
    entries that share one value would take thousands of times the memory of the file.

    Args:
        data: the file.
        offsets: of the directories that will be read.

    Returns:
        The file, in which such entries have no valid type; whether there were any.
    """
    order, big, _ = exif.start_of(data)
    patched = None
    for offset in sorted(offsets):
        found = exif.rows(data, offset, order, big, _MOST_TAGS)
        if found is None:
            continue
        room, tags = len(data), set[int]()
        for row in found.rows:
            if row.offset + row.num_bytes > len(data):
                continue  # reported as damage, and not read
            is_repeated = row.tag in tags
            tags.add(row.tag)
            if row.num_bytes <= room and not is_repeated:
                room -= row.num_bytes
                continue
            patched = patched or bytearray(data)
            patched[row.position + 2 : row.position + 4] = _NO_TYPE
    return (data, False) if patched is None else (bytes(patched), True)
