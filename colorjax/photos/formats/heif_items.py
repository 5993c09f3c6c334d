"""Sizes of the coded pictures in AVIF and HEIF files: ISO/IEC 14496-12, 23008-12, H.265, AV1.

Decoders allocate what the coded stream says, whatever the file says about it.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

from colorjax.errors import UnreadablePhoto
from colorjax.photos.formats import inner_streams, pillow

_SEQUENCE_HEADER, _FRAME_HEADERS = 1, (3, 6, 7)  # types of an OBU of AV1
_KEY_FRAME, _SWITCH_FRAME = 0, 3
_SPS = 33  # type of a NAL unit of HEVC
_UNCHECKED = (b"unci", b"j2k1", b"vvc1", b"avc1", b"evc1", b"lhv1", b"mski")
_MOST_EXTENTS = 2**16


class _Box(NamedTuple):
    name: bytes
    start: int  # of the content
    end: int


class _Bits:
    """Reads bits, the highest of each byte first; zeros after the end."""

    def __init__(self, data: bytes):
        self._value = int.from_bytes(data[:256].ljust(256, b"\0"), "big")
        self._left = 2048

    def read(self, number: int) -> int:
        self._left = max(self._left - number, 0)
        return self._value >> self._left & ((1 << number) - 1)

    def exp_golomb(self) -> int:
        """Returns a number of variable length: ue(v) of H.265."""
        zeros = 0
        while zeros < 32 and not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)


def check(data: bytes, max_pixels: int) -> None:
    """Rejects a file with a coded picture that is too large.

    Raises:
        UnreadablePhoto: more than `max_pixels`, or of a codec whose size is not known.
    """
    with contextlib.suppress(struct.error, IndexError):  # damage, which the decoder reports
        for width, height in _sizes(data):
            pillow.check_size(max(width, 1), max(height, 1), max_pixels)


def _sizes(data: bytes) -> Iterator[tuple[int, int]]:
    for box in _boxes(data, 0, len(data)):
        if box.name == b"meta":
            yield from _sizes_of_items(data, box)
        if box.name == b"moov":
            yield from _sizes_of_tracks(data, box)


def _boxes(data: bytes, start: int, end: int) -> Iterator[_Box]:
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        size = end - start if size == 0 else size
        if size < head:
            return
        yield _Box(name, start + head, min(start + size, end))
        start += size


def _below(data: bytes, box: _Box, *names: bytes) -> Iterator[_Box]:
    """Yields the boxes at the end of a path of names."""
    for inner in _boxes(data, box.start, box.end):
        if inner.name == names[0]:
            if len(names) == 1:
                yield inner
            else:
                yield from _below(data, inner, *names[1:])


def _sizes_of_items(data: bytes, meta: _Box) -> Iterator[tuple[int, int]]:
    meta = meta._replace(start=meta.start + 4)
    lengths = set[int]()  # bytes of the length of a NAL unit
    for box in _below(data, meta, b"iprp", b"ipco", b"hvcC"):
        content = data[box.start : box.end]
        lengths.add(1 + (content[21] & 3))
        yield from _sizes_of_configuration(content)
    idat = next(_below(data, meta, b"idat"), _Box(b"", 0, 0))
    kinds = {}
    for box in _below(data, meta, b"iinf"):
        kinds |= _kinds(data, box)
    extents = {}
    for box in _below(data, meta, b"iloc"):
        extents |= _extents(data, box, idat)
    room = len(data)  # items that share their bytes would take many times those of the file
    for number, kind in kinds.items():
        if kind in _UNCHECKED:
            name = kind.decode("latin-1")
            raise UnreadablePhoto(f"a picture with items of type {name!r} cannot be read")
        if kind not in (b"av01", b"hvc1", b"grid", b"iovl", b"jpeg"):
            continue
        pieces = extents.get(number, [])
        room -= sum(end - start for start, end in pieces)
        if room < 0:
            raise UnreadablePhoto("the items of the file are larger than the file")
        content = b"".join(data[start:end] for start, end in pieces)
        if kind == b"av01":
            yield from _sizes_of_av1(content)
        elif kind == b"hvc1":
            for length in lengths or {4}:
                yield from _sizes_of_hevc(content, length)
        elif kind == b"jpeg" and content:
            yield inner_streams.size_of_jpeg(content)[:2]
        elif content:
            yield _size_of_canvas(content, kind)


def _kinds(data: bytes, box: _Box) -> dict[int, bytes]:
    """Returns the type of each item."""
    start = box.start + (6 if data[box.start] == 0 else 8)
    kinds = {}
    for entry in _boxes(data, start, box.end):
        version = data[entry.start]
        if entry.name == b"infe" and version >= 2:
            code = ">H" if version == 2 else ">I"
            (number,) = struct.unpack_from(code, data, entry.start + 4)
            at = entry.start + 4 + struct.calcsize(code) + 2
            kinds[number] = data[at : at + 4]
    return kinds


def _extents(data: bytes, box: _Box, idat: _Box) -> dict[int, list[tuple[int, int]]]:
    """Returns where the bytes of each item start and end in the file."""
    version, at = data[box.start], box.start + 4
    offset_size, length_size = data[at] >> 4, data[at] & 15
    base_size, index_size = data[at + 1] >> 4, data[at + 1] & 15 if version else 0
    at += 2

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > box.end:
            raise struct.error
        return int.from_bytes(data[at - size : at], "big")

    items, count = {}, 0
    for _ in range(number(4 if version == 2 else 2)):
        item = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else 0
        number(2)
        base = number(base_size)
        pieces = items.setdefault(item, [])
        for _ in range(number(2)):
            count += 1
            number(index_size)
            start, length = base + number(offset_size), number(length_size)
            if method > 1 or count > _MOST_EXTENTS:
                raise UnreadablePhoto("the items of the file are of a rare kind")
            first, last = (idat.start, idat.end) if method else (0, len(data))
            end = min(first + start + length, last) if length else last
            pieces.append((first + start, max(end, first + start)))
    return items


def _size_of_canvas(content: bytes, kind: bytes) -> tuple[int, int]:
    """Returns the size of a grid or overlay of other items."""
    code = ">II" if content[1] & 1 else ">HH"
    return struct.unpack_from(code, content, 4 if kind == b"grid" else 10)  # type: ignore[return-value]


def _sizes_of_tracks(data: bytes, moov: _Box) -> Iterator[tuple[int, int]]:
    """Yields the sizes in the first samples of the tracks of an image sequence."""
    tables = [b"trak", b"mdia", b"minf", b"stbl"]
    for name, code in ((b"stco", ">I"), (b"co64", ">Q")):
        for box in _below(data, moov, *tables, name):
            (count,) = struct.unpack_from(">I", data, box.start + 4)
            if count:
                (offset,) = struct.unpack_from(code, data, box.start + 8)
                yield from _sizes_of_av1(data[offset : offset + 4096])
    for box in _below(data, moov, *tables, b"stsd"):
        start = data.find(b"hvcC", box.start, box.end)
        if start >= 0:
            yield from _sizes_of_configuration(data[start + 4 : box.end])


def _sizes_of_av1(content: bytes) -> Iterator[tuple[int, int]]:
    """Yields the largest frame size of each sequence header; frames may not have larger ones."""
    sequence = None
    at = 0
    while at < len(content):
        flags = content[at]
        at += 1 + (flags >> 2 & 1)
        size = len(content) - at
        if flags & 2:
            size = shift = 0
            while True:
                byte = content[at]
                at += 1
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128 or shift > 56:
                    break
        bits = _Bits(content[at : at + min(size, 256)])
        if flags >> 3 & 15 == _SEQUENCE_HEADER:
            sequence = _read_sequence(bits)
            yield sequence.width, sequence.height
        elif flags >> 3 & 15 in _FRAME_HEADERS and sequence and _has_own_size(bits, sequence):
            raise UnreadablePhoto("a picture whose frames have sizes of their own cannot be read")
        at += size


class _Sequence(NamedTuple):
    """What sequence_header_obu of AV1 says about sizes, and about where frames say theirs.

    Attributes:
        width: largest one of a frame, in pixels.
        height: likewise.
        is_reduced: frames have no sizes of their own.
        time_bits: bits of the presentation time in a frame.
        id_bits: bits of the number of a frame.
        tools: whether frames use the tools for screen content; 2: each frame says so.
        whole_vectors: whether their motion vectors are whole numbers; 2: each frame says so.
    """

    width: int
    height: int
    is_reduced: bool
    time_bits: int
    id_bits: int
    tools: int
    whole_vectors: int


def _read_sequence(bits: _Bits) -> _Sequence:
    """Reads sequence_header_obu of AV1 (5.5.1) up to the fields of `_Sequence`."""
    bits.read(4)
    is_reduced = bool(bits.read(1))
    time_bits = 0
    if is_reduced:
        bits.read(5)
    else:
        delay_bits = 0
        if bits.read(1):  # timing
            bits.read(64)
            has_equal_intervals = bits.read(1)
            if has_equal_intervals:
                bits.exp_golomb()
            if bits.read(1):  # decoder model
                delay_bits = 1 + bits.read(5)
                bits.read(37)
                time_bits = (1 + bits.read(5)) * (not has_equal_intervals)
        has_display_delay = bits.read(1)
        for _ in range(1 + bits.read(5)):
            bits.read(12)
            if bits.read(5) > 7:
                bits.read(1)
            if delay_bits and bits.read(1):
                bits.read(2 * delay_bits + 1)
            if has_display_delay and bits.read(1):
                bits.read(4)
    width_bits, height_bits = 1 + bits.read(4), 1 + bits.read(4)
    width, height = 1 + bits.read(width_bits), 1 + bits.read(height_bits)
    id_bits = 0
    if not is_reduced and bits.read(1):
        id_bits = 2 + bits.read(4)
        id_bits += 1 + bits.read(3)
    bits.read(3)
    tools = whole_vectors = 2
    if not is_reduced:
        bits.read(4)
        if bits.read(1):  # order hints
            bits.read(2)
        if not bits.read(1):
            tools = bits.read(1)
        if tools and not bits.read(1):
            whole_vectors = bits.read(1)
    return _Sequence(width, height, is_reduced, time_bits, id_bits, tools, whole_vectors)


def _has_own_size(bits: _Bits, sequence: _Sequence) -> bool:
    """Reads uncompressed_header of AV1 (5.9.2) up to frame_size_override_flag."""
    if sequence.is_reduced or bits.read(1):  # a frame that exists is shown again
        return False
    kind = bits.read(2)
    if bits.read(1):  # it is shown
        bits.read(sequence.time_bits)
        is_resilient = kind == _KEY_FRAME
    else:
        bits.read(1)
        is_resilient = False
    if kind == _SWITCH_FRAME:
        return True
    if not is_resilient:
        bits.read(1)
    bits.read(1)
    uses_tools = bits.read(1) if sequence.tools == 2 else sequence.tools
    if uses_tools and sequence.whole_vectors == 2:
        bits.read(1)
    bits.read(sequence.id_bits)
    return bool(bits.read(1))


def _sizes_of_configuration(content: bytes) -> Iterator[tuple[int, int]]:
    """Yields the size of each sequence parameter set of an hvcC box."""
    at = 23
    for _ in range(content[22]):
        (count,) = struct.unpack_from(">H", content, at + 1)
        at += 3
        for _ in range(count):
            (size,) = struct.unpack_from(">H", content, at)
            yield from _sizes_of_unit(content[at + 2 : at + 2 + size])
            at += 2 + size


def _sizes_of_hevc(content: bytes, length: int) -> Iterator[tuple[int, int]]:
    """Yields the size of each sequence parameter set among the NAL units of an item."""
    at = 0
    while at + length < len(content):
        size = int.from_bytes(content[at : at + length], "big")
        yield from _sizes_of_unit(content[at + length : at + length + min(size, 512)])
        at += length + size


def _sizes_of_unit(unit: bytes) -> Iterator[tuple[int, int]]:
    """Yields the size of a NAL unit that is a sequence parameter set."""
    if len(unit) < 3 or unit[0] >> 1 & 63 != _SPS:
        return
    bits = _Bits(unit[2:].replace(b"\0\0\3", b"\0\0"))
    bits.read(4)
    sub_layers = bits.read(3)
    bits.read(1)
    bits.read(96)  # profile, tier and level
    present = [bits.read(2) for _ in range(sub_layers)]
    bits.read(2 * (8 - sub_layers) if sub_layers else 0)
    for flags in present:
        bits.read(88 * (flags >> 1) + 8 * (flags & 1))
    bits.exp_golomb()
    if bits.exp_golomb() == 3:
        bits.read(1)
    yield bits.exp_golomb(), bits.exp_golomb()
