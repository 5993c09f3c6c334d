"""Film writing with PyAV: encodes parts, and joins them with the other streams of the source.

Parts have no reordered frames (B-frames), so that they join without a gap in time.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from colorjax.inference.film import acm, streams
from colorjax.inference.film.av_package import import_av
from colorjax.inference.film.clock import steady_packets
from colorjax.inference.film.read import FilmInfo, Frame, is_cover, main_video, open_input, url
from colorjax.runtime.atomic import replacing

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_WARM_UP = Fraction(1, 4)  # seconds of unheard sound that decoders need before the start
_QUALITY = "16"  # CRF of x264: nearly no visible loss
# Keys with their own atoms in MP4 and MOV; other keys need the metadata list of QuickTime.
_COMMON_KEYS = {
    *("title", "artist", "album_artist", "album", "composer", "date", "comment", "genre"),
    *("copyright", "description", "synopsis", "show", "network", "lyrics", "creation_time"),
}


class UnwritableFilm(Exception):
    """A film cannot be written; the text is a one-line reason."""


class PartEncoder:
    """Encodes frames in memory as a part: H.264 in NUT."""

    def __init__(self, info: FilmInfo):
        """Opens an encoder for upright frames of a film."""
        self._av = import_av()
        self._info = info
        self._bytes = io.BytesIO()
        self._container = self._av.open(self._bytes, "w", format="nut")
        self._stream = _add_video(self._container, info)

    def add(self, frame: Frame) -> None:
        """Encodes one frame; timestamps must increase."""
        kinds = self._av.video.reformatter.Interpolation
        picture = self._av.VideoFrame.from_ndarray(frame.rgb, "rgb24").reformat(
            format=self._info.pixel_format,
            dst_colorspace=self._info.written_matrix,
            dst_color_range=self._info.tags.range or 1,
            interpolation=kinds.BICUBIC | kinds.ACCURATE_RND | kinds.FULL_CHR_H_INP,
        )
        picture.pts, picture.time_base = frame.timestamp, self._info.time_base
        self._container.mux(self._stream.encode(picture))

    def finish(self) -> bytes:
        """Returns the encoded part."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._bytes.getvalue()


class Plan(NamedTuple):
    """How the streams besides the picture are stored.

    Attributes:
        forms: form of each stream that is kept, by its index in the source: see `streams.add`.
        notes: messages for the user.
    """

    forms: dict[int, str]
    notes: tuple[str, ...]


def join(
    parts: Sequence[Path], source: Path, target: Path, info: FilmInfo, mark: str, plan: Plan
) -> None:
    """Writes a film from parts and the other streams of the source.

    Sound, subtitles, other streams, chapters and metadata are copied as planned.

    Args:
        parts: at least one, in order.
        source: film with the other streams.
        target: file to write, atomically; its suffix is one of `CONTAINERS`.
        info: metadata of the source.
        mark: added to the film's comment.
        plan: from `trial.plan`.

    Raises:
        UnwritableFilm: the file cannot be written, for example on a full disk.
    """
    format_name = CONTAINERS[target.suffix.lower()]
    try:
        with (
            replacing(target) as partial,
            open(partial, "w+b") as file,
            open_input(source) as given,
        ):
            taken = [s for s in given.streams if s.index in plan.forms and s.type != "attachment"]
            packets = _until_damage(steady_packets(given, taken) if taken else iter(()))
            mux(file, format_name, map(url, parts), given, packets, info, mark, plan.forms)
    except (import_av().FFmpegError, OSError) as error:
        raise UnwritableFilm(f"{target.name} cannot be written: {reason(error)}") from None


def mux(
    file: BinaryIO,
    format_name: str,
    parts: Iterable[str | BinaryIO],
    given: Any,
    packets: Iterable[Any],
    info: FilmInfo,
    mark: str,
    forms: dict[int, str],
) -> None:
    """Writes parts and packets of the source to a file, which stays open.

    Args:
        file: empty; is read and written.
        format_name: name of the container.
        parts: URLs or files of the parts, in order.
        given: the opened source.
        packets: packets of its streams in `forms`.
        info: metadata of the source.
        mark: added to the film's comment.
        forms: form of each stream that is kept: see `Plan`.

    Raises:
        FFmpegError, OSError, ValueError: the file cannot be written.
    """
    metadata = _metadata(given.metadata, mark)
    options = _options(format_name, metadata, given)
    written = _Written(file)
    with import_av().open(written, "w", format=format_name, options=options) as made:
        made.metadata.update(metadata)
        made.set_chapters(_chapters(given, info))
        video, others = None, {}
        for stream in given.streams:  # in the same order
            if stream is main_video(given):
                video = _add_video(made, info)  # keeps the rate, unlike a copy
                streams.describe(video, stream)
            elif stream.index in forms:
                others[stream.index] = streams.add(made, stream, forms[stream.index])
        for _, packet in heapq.merge(
            _of_parts(parts, video), _of_source(packets, others, info), key=lambda item: item[0]
        ):
            made.mux_one(packet)
            written.check()
    written.check()
    if not file.tell():  # FFmpeg writes no header without a packet
        raise OSError(errno.EIO, "none of its frames can be stored")
    if streams.ACM in forms.values():
        acm.finish(file)


class _Written:
    """A file that PyAV writes; keeps the first error, which PyAV itself would print.

    After an error, nothing is written. `check` raises it.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._error: OSError | None = None

    def write(self, content: bytes) -> int:
        self._try(self._file.write, content)
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._try(self._file.seek, offset, whence)
        return offset  # FFmpeg seeks from the start only

    def tell(self) -> int:
        return self._file.tell()

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def _try(self, act: Callable[..., object], *arguments: Any) -> None:
        if self._error is None:
            try:
                act(*arguments)
            except OSError as error:
                self._error = error


def _add_video(container: Any, info: FilmInfo) -> Any:
    """Adds the video stream of the colored frames; its header is the same for all parts."""
    options = {"crf": _QUALITY, "bf": "0"}  # no B-frames
    stream = container.add_stream("libx264", rate=info.rate, options=options)
    stream.width, stream.height, stream.pix_fmt = info.width, info.height, info.pixel_format
    stream.time_base = info.time_base
    context = stream.codec_context
    context.time_base = info.time_base
    context.flags |= import_av().codec.context.Flags.global_header
    if info.aspect is not None:
        context.sample_aspect_ratio = info.aspect
    context.colorspace = info.tags.matrix or 2  # 0 means RGB, but the output is YCbCr
    context.color_primaries = info.tags.primaries
    context.color_trc = info.tags.transfer
    context.color_range = info.tags.range
    return stream


def reason(error: BaseException) -> str:
    """Returns a short reason for an error."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _of_parts(parts: Iterable[str | BinaryIO], stream: Any) -> Iterator[tuple[float, Any]]:
    """Yields (seconds, packet) of all parts, assigned to a stream."""
    for part in parts:
        with import_av().open(part) as container:
            for packet in container.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    yield float(packet.dts * packet.time_base), packet


def _until_damage(packets: Iterator[Any]) -> Iterator[Any]:
    with contextlib.suppress(import_av().FFmpegError):  # the end of the file is damaged
        yield from packets


def _of_source(
    packets: Iterable[Any], made: dict[int, streams.OutputStream], info: FilmInfo
) -> Iterator[tuple[float, Any]]:
    """Yields (seconds, packet) of the other streams, from the start of playback on."""
    start = info.start * info.time_base
    last: dict[int, int] = {}
    time = 0.0
    for packet in packets:
        if packet.pts is None and packet.dts is None:
            if not packet.size or not is_cover(packet.stream):
                continue
            packet.pts = packet.dts = 0
        shift = round(start / packet.time_base)
        number = packet.stream.index
        dts = (packet.pts if packet.dts is None else packet.dts) - shift
        before = last.get(number, -1) < 0 and -_WARM_UP <= dts * packet.time_base < 0
        if packet.is_discard and not before:
            continue  # the edit list of MP4 leaves it out
        dts = max(dts, last.get(number, dts - 1) + 1)  # muxers refuse timestamps that decrease
        packet.pts = dts if packet.pts is None else max(dts, packet.pts - shift)
        packet.dts = last[number] = dts
        time = float(dts * packet.time_base)
        for part in made[number].packets(packet):
            yield time, part
    for stream in made.values():
        for part in stream.packets(None):
            yield time, part


def _metadata(given: dict[str, str], mark: str) -> dict[str, str]:
    kept = {
        key: value for key, value in given.items() if key.lower() not in streams.OF_THE_CONTAINER
    }
    name = next((key for key in kept if key.lower() == "comment"), "comment")
    kept[name] = f"{kept[name]}; {mark}" if name in kept else mark
    return kept


def _options(format_name: str, metadata: dict[str, str], given: Any) -> dict[str, str]:
    if format_name == "matroska" or _has_cover(given) or not _uncommon(metadata):
        return {}
    return {"movflags": "use_metadata_tags"}


def lost_metadata(format_name: str, given: Any) -> list[str]:
    """Returns the metadata keys that are not kept: MP4 stores either a cover or uncommon keys."""
    return _uncommon(given.metadata) if format_name != "matroska" and _has_cover(given) else []


def _has_cover(given: Any) -> bool:
    return any(is_cover(stream) for stream in given.streams.video)


def _uncommon(metadata: dict[str, str]) -> list[str]:
    known = _COMMON_KEYS | streams.OF_THE_CONTAINER
    return sorted(key for key in metadata if key.lower() not in known)


def _chapters(given: Any, info: FilmInfo) -> list[Any]:
    chapters = given.chapters()
    for chapter in chapters:
        base = chapter["time_base"] or Fraction(1)
        shift = round(info.start * info.time_base / base)
        chapter["start"], chapter["end"] = chapter["start"] - shift, chapter["end"] - shift
    return chapters
