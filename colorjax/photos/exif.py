"""EXIF as bytes: reads and rebuilds image file directories (IFDs) without changing values.

An EXIF blob is a small TIFF: byte order, offset of IFD0, and in IFD0 the pointers to the EXIF, GPS
and interoperability IFDs. The tags of a TIFF file have the same layout and are also read here.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

ORIENTATION = 274
EXIF_IFD, GPS_IFD, INTEROP_IFD = 34665, 34853, 40965
_POINTERS = (EXIF_IFD, GPS_IFD, INTEROP_IFD)
_PIXEL_OFFSETS = (273, 324, 513)  # of strips, of tiles, of a JPEG
SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height
# Tags that describe pixels or layout of the old file, not the photo; also XMP (700) and ICC
# (34675), which are handled separately.
_X_RESOLUTION, _Y_RESOLUTION = 282, 283
STRUCTURE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284),
    *(288, 289, 290, 291, 292, 293, 301, 317, 318, 319, 320, 321, 322, 323, 324),
    *(325, 330, 332, 333, 334, 336, 337, 338, 339, 340, 341, 342, 347, 512, 513, 514, 515, 517),
    *(518, 519, 520, 521, 529, 530, 531, 532, 559, 700, 34675, 50838, 50839),
}
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_ITEM_BYTES |= {16: 8, 17: 8, 18: 8}  # BigTIFF's LONG8, SLONG8, IFD8
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MOST_ENTRIES = 2**16  # of a directory, as in a TIFF with 32-bit offsets


Bytes: TypeAlias = bytes | memoryview | mmap.mmap


class Entry(NamedTuple):
    """One tag: its TIFF type, number of items and their bytes in the directory's byte order."""

    tag: int
    type: int
    count: int
    value: bytes
    offset: int = 0  # of the value's bytes in the file


class Directories(NamedTuple):
    """The directories of a TIFF or EXIF blob.

    Attributes:
        order: byte order, "<" or ">".
        big: whether it is a BigTIFF.
        main: IFD0.
        below: the EXIF, GPS and interoperability IFDs, by the tag that points to them.
        is_damaged: whether entries are missing because they point outside the blob, or because
            the values together are larger than the blob: entries that share one value would take
            thousands of times the memory of the file.
    """

    order: str
    big: bool
    main: list[Entry]
    below: dict[int, list[Entry]]
    is_damaged: bool = False


class Row(NamedTuple):
    """One entry of a directory, without its value.

    Attributes:
        tag: number of the tag.
        type: TIFF type.
        count: number of items.
        num_bytes: size of the value; 0 for an unknown type.
        offset: of the value's bytes, which may be outside the blob.
        position: of the entry.
    """

    tag: int
    type: int
    count: int
    num_bytes: int
    offset: int
    position: int


class Rows(NamedTuple):
    """The entries of a directory.

    Attributes:
        rows: in the order of the file.
        next: offset of the next directory; 0: none.
        is_damaged: whether the directory ends outside the blob.
    """

    rows: list[Row]
    next: int
    is_damaged: bool


def start_of(blob: Bytes) -> tuple[str, bool, int]:
    """Returns byte order, whether it is a BigTIFF, and the offset of IFD0.

    Raises:
        ValueError: the blob has no TIFF header.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(blob[:2]))
    if order is None or len(blob) < 8:
        raise ValueError("no TIFF header")
    (magic,) = struct.unpack_from(order + "H", blob, 2)
    big = magic == 43
    if big and len(blob) < 16:
        raise ValueError("no TIFF header")
    return order, big, struct.unpack_from(order + ("Q" if big else "I"), blob, 8 if big else 4)[0]


def rows(blob: Bytes, start: int, order: str, big: bool, most: int = _MOST_ENTRIES) -> Rows | None:
    """Reads the directory at an offset, without its values; None: it is outside the blob.

    Args:
        blob: the blob.
        start: offset of the directory.
        order: byte order.
        big: whether it is a BigTIFF.
        most: entries that are read.
    """
    head, size, inline = ("Q", 20, 8) if big else ("H", 12, 4)
    first = start + struct.calcsize(order + head)
    if start <= 0 or first > len(blob):
        return None
    (count,) = struct.unpack_from(order + head, blob, start)
    end = first + size * count
    code = order + ("Q" if big else "I")
    (following,) = struct.unpack_from(code, blob, end) if end + inline <= len(blob) else (0,)
    result = []
    last = min(end, first + size * most, len(blob) - size + 1)
    for position in range(first, last, size):
        tag, kind = struct.unpack_from(order + "HH", blob, position)
        (items,) = struct.unpack_from(code, blob, position + 4)
        num_bytes = items * _ITEM_BYTES.get(kind, 0)
        offset = position + size - inline
        if num_bytes > inline:
            (offset,) = struct.unpack_from(code, blob, offset)
        result.append(Row(tag, kind, items, num_bytes, offset, position))
    return Rows(result, following, end > len(blob))


def read_directories(blob: Bytes, start: int | None = None) -> Directories:
    """Reads IFD0 of a TIFF or EXIF blob and the EXIF, GPS and interoperability IFDs.

    Damaged entries are skipped.

    Args:
        blob: bytes starting with the TIFF header.
        start: offset of the directory to read instead of IFD0.

    Raises:
        ValueError: the blob has no TIFF header, or IFD0 is outside the blob.
    """
    order, big, first = start_of(blob)
    main, is_damaged = _read_entries(blob, first if start is None else start, order, big, len(blob))
    room = len(blob) - sum(len(entry.value) for entry in main)
    if not main:
        raise ValueError("no directory")
    below: dict[int, list[Entry]] = {}
    pending = list(main)
    while pending:
        entry = pending.pop()
        if entry.tag in _POINTERS and entry.tag not in below:
            entries, has_lost = _read_entries(blob, number(entry, order), order, big, room)
            room -= sum(len(entry.value) for entry in entries)
            is_damaged |= has_lost
            below[entry.tag] = entries
            pending.extend(entries)
    return Directories(order, big, main, below, is_damaged)


def _read_entries(
    blob: Bytes, start: int, order: str, big: bool, room: int
) -> tuple[list[Entry], bool]:
    """Returns the entries of a directory inside the blob, and whether others are left out.

    Args:
        blob: the blob.
        start: offset of the directory.
        order: byte order.
        big: whether it is a BigTIFF.
        room: bytes that the values may have together.
    """
    found = rows(blob, start, order, big)
    if found is None:
        return [], True
    entries, is_damaged = [], found.is_damaged
    for row in found.rows:
        if row.num_bytes > room or row.offset + row.num_bytes > len(blob):
            is_damaged = True
        elif row.num_bytes:
            value = bytes(blob[row.offset : row.offset + row.num_bytes])
            entries.append(Entry(row.tag, row.type, row.count, value, row.offset))
            room -= row.num_bytes
    return entries, is_damaged


def repaired(blob: bytes) -> bytes:
    """Returns the blob; if entries point outside it, a new one of the others; b"" if all do."""
    try:
        directories = read_directories(blob)
    except ValueError:
        return b""
    return serialize(directories, directories.main) if directories.is_damaged else blob


def number(entry: Entry, order: str) -> int:
    """Returns the first item of an integer entry, 0 for other types."""
    code = _INTEGERS.get(entry.type)
    return struct.unpack_from(order + code, entry.value)[0] if code else 0


def number_at(blob: Bytes, row: Row, order: str) -> int:
    """Returns the first item of an integer entry, 0 for other types and outside the blob."""
    code = _INTEGERS.get(row.type)
    if not code or not row.num_bytes or row.offset + struct.calcsize(code) > len(blob):
        return 0
    return struct.unpack_from(order + code, blob, row.offset)[0]


def overwrite_number(blob: bytearray, entry: Entry, order: str, value: int) -> None:
    """Overwrites the first item of an integer entry in the blob; other types are not changed."""
    code = {1: "B", 3: "H", 4: "I"}.get(entry.type)
    if code:
        struct.pack_into(order + code, blob, entry.offset, value)


def orientation(blob: bytes) -> int:
    """Returns IFD0's orientation, 1 to 8; 1 if it is missing or unreadable."""
    try:
        directories = read_directories(blob)
    except ValueError:
        return 1
    for entry in directories.main:
        if entry.tag == ORIENTATION:
            value = number(entry, directories.order)
            return value if 1 <= value <= 8 else 1
    return 1


def upright(blob: bytes, turned: int) -> bytes:
    """Returns the blob for pixels rotated upright; all offsets stay the same.

    Args:
        blob: EXIF starting with the TIFF header.
        turned: the orientation of the stored pixels; 5 to 8 swap the entries of width and height.
    """
    try:
        directories = read_directories(blob)
    except ValueError:
        return blob
    patched, order = bytearray(blob), directories.order
    for entry in directories.main:
        if entry.tag == ORIENTATION:
            overwrite_number(patched, entry, order, 1)
    if turned in SIDEWAYS:
        for entries, pair in (
            (directories.main, (256, 257)),
            (directories.below.get(EXIF_IFD, []), (40962, 40963)),
        ):
            _swap_values(patched, {entry.tag: entry for entry in entries if entry.tag in pair})
    return bytes(patched)


def without_thumbnail(blob: bytes) -> bytes:
    """Returns the blob without the directories after IFD0, which describe a thumbnail.

    All other offsets stay the same. The bytes of the thumbnail are cut off if nothing follows them.
    """
    try:
        directories = read_directories(blob)
    except ValueError:
        return blob
    order = directories.order
    if directories.big:
        return blob
    (start,) = struct.unpack_from(order + "I", blob, 4)
    (count,) = struct.unpack_from(order + "H", blob, start)
    link = start + 2 + 12 * count
    if link + 4 > len(blob):
        return blob
    (thumbnail,) = struct.unpack_from(order + "I", blob, link)
    if not thumbnail:
        return blob
    patched = bytearray(blob)
    patched[link : link + 4] = bytes(4)
    ends, starts = [link + 4], [thumbnail]
    for entries in (directories.main, *directories.below.values()):
        ends += [entry.offset + len(entry.value) for entry in entries]
    for entry in _read_entries(blob, thumbnail, order, False, len(blob))[0]:
        if entry.tag in _PIXEL_OFFSETS:
            starts.append(number(entry, order))
    return bytes(patched[: min(starts)] if min(starts) >= max(ends) else patched)


def _swap_values(blob: bytearray, entries: dict[int, Entry]) -> None:
    """Swaps type, count and value of two entries whose values are stored inline."""
    if len(entries) != 2 or any(len(e.value) > 4 for e in entries.values()):
        return
    first, second = (slice(e.offset - 6, e.offset + 4) for e in entries.values())
    blob[first], blob[second] = blob[second], blob[first]


def photo_entries(directories: Directories, turned: int = 1) -> list[Entry]:
    """Returns the entries of IFD0 that describe the photo; `turned` 5 to 8 swaps resolutions."""
    kept = [e for e in directories.main if e.tag not in STRUCTURE and e.tag not in _POINTERS]
    if turned in SIDEWAYS:
        swapped = {_X_RESOLUTION: _Y_RESOLUTION, _Y_RESOLUTION: _X_RESOLUTION}
        kept = [entry._replace(tag=swapped.get(entry.tag, entry.tag)) for entry in kept]
    return kept


def serialize(directories: Directories, main: Iterable[Entry]) -> bytes:
    """Builds an EXIF blob from the given IFD0 entries and the sub-IFDs."""
    order = directories.order
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + directory_tree(directories._replace(big=False, main=list(main)), len(head))


def directory_tree(directories: Directories, offset: int) -> bytes:
    """Builds IFD0 and its sub-IFDs for position `offset` in a file."""
    order, big = directories.order, directories.big
    entries = [entry for entry in directories.main if entry.tag not in _POINTERS]
    pointers = [tag for tag in (EXIF_IFD, GPS_IFD) if directories.below.get(tag)]
    below_offset = offset + directory_size(
        [*entries, *(_pointer(tag, 0, order, big) for tag in pointers)], big
    )
    tail = b""
    for tag in pointers:
        entries.append(_pointer(tag, below_offset + len(tail), order, big))
        tail += _directory_below(directories, tag, below_offset + len(tail))
    return write_directory(entries, offset, order, big) + tail


def _pointer(tag: int, offset: int, order: str, big: bool) -> Entry:
    return Entry(tag, 16 if big else 4, 1, struct.pack(order + ("Q" if big else "I"), offset))


def _directory_below(directories: Directories, tag: int, offset: int) -> bytes:
    """Builds the EXIF (with interoperability) or GPS IFD for position `offset` in a file."""
    order, big = directories.order, directories.big
    entries = [e for e in directories.below[tag] if e.tag != INTEROP_IFD]
    interop = directories.below.get(INTEROP_IFD) if tag == EXIF_IFD else None
    if not interop:
        return write_directory(entries, offset, order, big)
    interop_offset = offset + directory_size([*entries, _pointer(INTEROP_IFD, 0, order, big)], big)
    entries.append(_pointer(INTEROP_IFD, interop_offset, order, big))
    return write_directory(entries, offset, order, big) + write_directory(
        interop, interop_offset, order, big
    )


def directory_size(entries: list[Entry], big: bool = False) -> int:
    """Returns the number of bytes that `write_directory` needs for entries."""
    inline = 8 if big else 4
    outside = sum(len(e.value) + len(e.value) % 2 for e in entries if len(e.value) > inline)
    return (16 if big else 6) + (20 if big else 12) * len(entries) + outside


def write_directory(entries: list[Entry], offset: int, order: str, big: bool = False) -> bytes:
    """Returns a directory and its out-of-line values for position `offset` in a file."""
    word, inline = (order + "Q", 8) if big else (order + "I", 4)
    value_offset = offset + (16 if big else 6) + (20 if big else 12) * len(entries)
    rows, values = [], []
    for tag, kind, count, value, _ in sorted(entries):
        if len(value) > inline:
            field = struct.pack(word, value_offset)
            values.append(value + b"\0" * (len(value) % 2))
            value_offset += len(values[-1])
        else:
            field = value.ljust(inline, b"\0")
        rows.append(struct.pack(order + "HH", tag, kind) + struct.pack(word, count) + field)
    number = struct.pack(order + ("Q" if big else "H"), len(entries))
    return number + b"".join(rows) + bytes(inline) + b"".join(values)


def without_prefix(blob: bytes) -> bytes:
    """Strips the "Exif" prefix that JPEG and some WebP files have before the TIFF header."""
    return blob[6:] if blob[:6] in (b"Exif\0\0", b"Exif\0\xff") else blob
