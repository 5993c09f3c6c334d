"""Sound in Matroska that has a WAV format tag and no Matroska name, such as WMA and ADPCM.

Matroska stores it as "A_MS/ACM", with the format header of WAV as its private data. PyAV refuses
these codecs, as the table of its library lists Matroska's own names only. So the track is written
under the name of another codec, and the name is replaced in the finished file.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, BinaryIO

from colorjax.inference.film.av_package import import_av

_MP2_TAG = 0x50
_MP2_NAME, _ACM_NAME = b"A_MPEG/L2", b"A_MS/ACM\0"  # of the same length
# Names of EBML elements.
_SEGMENT, _TRACKS, _TRACK = b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae"
_NAME, _PRIVATE, _CHECKSUM = b"\x86", b"\x63\xa2", b"\xbf"


def wav_format(stream: Any) -> bytes:
    """Returns the format header of WAV (WAVEFORMATEX) of an audio stream.

    Raises:
        FFmpegError, ValueError: the codec has no WAV format tag.
    """
    file = io.BytesIO()
    with import_av().open(file, "w", format="wav") as container:
        container.add_stream_from_template(stream, opaque=True)
        container.start_encoding()
    return _chunk(file.getvalue(), b"fmt ")


def add_track(container: Any, stream: Any) -> Any:
    """Adds a copy of an audio stream to a Matroska file; `finish` completes it.

    Raises:
        FFmpegError, ValueError: the codec has no WAV format tag.
    """
    header = wav_format(stream)
    other = struct.pack("<H", _MP2_TAG) + header[2:16] + struct.pack("<H", len(header)) + header
    body = b"WAVEfmt " + struct.pack("<I", len(other)) + other + b"data" + bytes(4)
    wav = io.BytesIO(b"RIFF" + struct.pack("<I", len(body)) + body)
    with import_av().open(wav, format="wav") as template:
        return container.add_stream_from_template(template.streams.audio[0], opaque=True)


def finish(file: BinaryIO) -> None:
    """Replaces the codec names of the tracks from `add_track` in a closed Matroska file."""
    segment = _children(file, 0, file.seek(0, io.SEEK_END))[_SEGMENT][0]
    tracks = _children(file, *segment, until=_TRACKS)[_TRACKS][0]
    content = _children(file, *tracks)
    for track in content[_TRACK]:
        fields = _children(file, *track)
        if _PRIVATE in fields and _read(file, *fields[_NAME][0]) == _MP2_NAME:
            file.seek(fields[_NAME][0][0])
            file.write(_ACM_NAME)
    for start, end in content.get(_CHECKSUM, []):  # of all that follows it
        value = zlib.crc32(_read(file, end, tracks[1]))
        file.seek(start)
        file.write(struct.pack("<I", value))


def _children(
    file: BinaryIO, start: int, end: int, until: bytes | None = None
) -> dict[bytes, list[tuple[int, int]]]:
    """Returns the ranges of the contents of the EBML elements in a range, by their names."""
    contents: dict[bytes, list[tuple[int, int]]] = {}
    while start < end and until not in contents:
        name, content = _number(file, start)
        size, content = _number(file, content)
        length = int.from_bytes(size) & ((1 << 7 * len(size)) - 1)
        start = content + length
        contents.setdefault(name, []).append((content, start))
    return contents


def _number(file: BinaryIO, start: int) -> tuple[bytes, int]:
    """Returns an EBML number, whose first bit set gives its length, and where it ends."""
    end = start + 9 - _read(file, start, start + 1)[0].bit_length()
    return _read(file, start, end), end


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _chunk(riff: bytes, name: bytes) -> bytes:
    at = 12
    while riff[at : at + 4] != name:
        at += 8 + struct.unpack_from("<I", riff, at + 4)[0]
    size = struct.unpack_from("<I", riff, at + 4)[0]
    return riff[at + 8 : at + 8 + size]
