"""Film writing with PyAV: encodes parts, and joins them with the other streams of the source.

Parts have no reordered frames (B-frames), so that they join without a gap in time.
"""

from __future__ import annotations

import contextlib
import heapq
import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from colorjax.inference.film.read import FilmInfo, Frame, import_av, main_video, open_input
from colorjax.runtime.atomic import replacing

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_QUALITY = "16"  # CRF of x264: nearly no visible loss
# Metadata of the source container, not of the film; the muxer sets its own.
_OF_THE_CONTAINER = {"major_brand", "minor_version", "compatible_brands", "encoder"}
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
            dst_colorspace=self._info.swscale_matrix,
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


def join(
    parts: Sequence[Path], source: Path, target: Path, info: FilmInfo, mark: str
) -> tuple[str, ...]:
    """Writes a film from parts and the other streams of the source, without re-encoding.

    Sound, subtitles, other streams, chapters and metadata are copied.

    Args:
        parts: at least one, in order.
        source: film with the other streams.
        target: file to write, atomically; its suffix is one of `CONTAINERS`.
        info: metadata of the source.
        mark: added to the film's comment.

    Returns:
        Notes on streams that the container cannot store.

    Raises:
        UnwritableFilm: the file cannot be written, for example on a full disk.
    """
    try:
        with replacing(target) as partial, open(partial, "wb") as file:
            notes = _joined(parts, source, file, CONTAINERS[target.suffix.lower()], info, mark)
    except (import_av().FFmpegError, OSError) as error:
        raise UnwritableFilm(f"{target.name} cannot be written: {reason(error)}") from None
    return notes


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


def _joined(
    parts: Sequence[Path], source: Path, file: Any, format_name: str, info: FilmInfo, mark: str
) -> tuple[str, ...]:
    av = import_av()
    with contextlib.ExitStack() as stack:
        given = stack.enter_context(open_input(source))
        metadata = _metadata(given.metadata, mark)
        options = _options(format_name, metadata)
        copied, notes = _copied_streams(given, info, format_name)
        made = stack.enter_context(av.open(file, "w", format=format_name, options=options))
        made.metadata.update(metadata)
        made.set_chapters(_chapters(given, info))
        video, others = None, {}
        for stream in given.streams:  # in the same order
            if stream is main_video(given):
                video = _add_video(made, info)  # keeps the rate, unlike a copy
                _describe(video, stream)
            elif stream in copied:
                others[stream.index] = _add_copy(made, stream)
        packets = heapq.merge(
            _of_parts(parts, video), _of_source(given, others, info), key=lambda item: item[0]
        )
        for _, packet in packets:
            made.mux_one(packet)
    return notes


def _of_parts(parts: Sequence[Path], stream: Any) -> Iterator[tuple[float, Any]]:
    """Yields (seconds, packet) of all parts, assigned to a stream."""
    for part in parts:
        with import_av().open(str(part)) as container:
            for packet in container.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    yield float(packet.dts * packet.time_base), packet


def _of_source(
    container: Any, streams: dict[int, Any], info: FilmInfo
) -> Iterator[tuple[float, Any]]:
    """Yields (seconds, packet) of the copied streams, up to the first damage."""
    taken = [s for s in container.streams if s.index in streams and s.type != "attachment"]
    if not taken:
        return
    start = info.start * info.time_base
    last: dict[int, int] = {}
    with contextlib.suppress(import_av().FFmpegError):  # the end of the file is damaged
        for packet in container.demux(taken):
            if packet.pts is None and packet.dts is None:
                continue
            shift = round(start / packet.time_base)
            number = packet.stream.index
            dts = (packet.pts if packet.dts is None else packet.dts) - shift
            dts = max(dts, last.get(number, dts - 1) + 1)  # muxers refuse timestamps that decrease
            packet.pts = dts if packet.pts is None else max(dts, packet.pts - shift)
            packet.dts = last[number] = dts
            packet.stream = streams[number]
            yield float(packet.dts * packet.time_base), packet


def _copied_streams(
    given: Any, info: FilmInfo, format_name: str
) -> tuple[set[Any], tuple[str, ...]]:
    """Returns the streams besides the video that a container can store, and notes on the rest."""
    copied, notes = set(), []
    for stream in given.streams:
        # MP4 and MOV also store the list of chapters as a stream; it is written from `chapters`.
        is_list = stream.type == "data" and stream.name == "bin_data" and given.chapters()
        if stream is main_video(given) or is_list:
            continue
        if _is_carried(stream, info, format_name):
            copied.add(stream)
        else:
            kind = f"{stream.type} stream {stream.index} ({stream.name or 'unknown'})"
            notes.append(f"{kind} is left out, as {format_name} cannot store it")
    return copied, tuple(notes)


def _is_carried(stream: Any, info: FilmInfo, format_name: str) -> bool:
    """Whether a container accepts a stream, by a trial header: PyAV has no better query."""
    av = import_av()
    try:
        with av.open(io.BytesIO(), "w", format=format_name) as trial:
            _add_video(trial, info)
            _add_copy(trial, stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError, OSError):
        return False
    return True


def _add_copy(container: Any, stream: Any) -> Any:
    copy = container.add_stream_from_template(stream, opaque=True)
    _describe(copy, stream)
    return copy


def _describe(stream: Any, like: Any) -> None:
    kept = {key: value for key, value in like.metadata.items() if key not in _OF_THE_CONTAINER}
    kept.pop("rotate", None)  # frames are upright
    stream.metadata.update(kept)
    stream.disposition = like.disposition


def _metadata(given: dict[str, str], mark: str) -> dict[str, str]:
    kept = {key: value for key, value in given.items() if key.lower() not in _OF_THE_CONTAINER}
    name = next((key for key in kept if key.lower() == "comment"), "comment")
    kept[name] = f"{kept[name]}; {mark}" if name in kept else mark
    return kept


def _options(format_name: str, metadata: dict[str, str]) -> dict[str, str]:
    if format_name == "matroska" or {key.lower() for key in metadata} <= _COMMON_KEYS:
        return {}
    return {"movflags": "use_metadata_tags"}


def _chapters(given: Any, info: FilmInfo) -> list[Any]:
    chapters = given.chapters()
    for chapter in chapters:
        base = chapter["time_base"] or Fraction(1)
        shift = round(info.start * info.time_base / base)
        chapter["start"], chapter["end"] = chapter["start"] - shift, chapter["end"] - shift
    return chapters
