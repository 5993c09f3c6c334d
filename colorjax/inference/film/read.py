"""Film reading with PyAV: metadata and upright frames one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from colorjax.inference.film.av_package import import_av
from colorjax.inference.film.clock import clock_may_jump, steady_packets
from colorjax.inference.film.pixels import (
    WIDE_GAMUTS,
    Orientation,
    orientation_of,
    rgb_of,
)

_HDR = {16: "PQ", 18: "HLG"}  # curves, by ISO/IEC 23091-2 code


class UnreadableFilm(Exception):
    """A file is not a film or has no decodable frame; the text is a one-line reason."""


class ColorTags(NamedTuple):
    """Color tags of a film: ISO/IEC 23091-2 codes, 2 is "unspecified"."""

    matrix: int
    primaries: int
    transfer: int
    range: int


class FilmInfo(NamedTuple):
    """Metadata of a film; sizes and aspect are those of upright frames.

    Attributes:
        height: in pixels.
        width: in pixels.
        orientation: what makes a stored frame upright.
        aspect: width of a pixel over its height; None: unknown.
        time_base: seconds per step of a timestamp.
        rate: frames per second, of films with constant rate.
        start: timestamp, in `time_base`, of the start of playback.
        frames: approximate number of frames; None: unknown.
        pixel_format: pixel format of the output.
        tags: color tags of the output.
        read_matrix: YCbCr matrix of the film: the number that swscale gives it.
        written_matrix: the same of the output.
        notes: messages for the user.
    """

    height: int
    width: int
    orientation: Orientation
    aspect: Fraction | None
    time_base: Fraction
    rate: Fraction
    start: int
    frames: int | None
    pixel_format: str
    tags: ColorTags
    read_matrix: int
    written_matrix: int
    notes: tuple[str, ...]


class Frame(NamedTuple):
    """One upright frame: its timestamp in `time_base` from `start`, and sRGB uint8 (H, W, 3)."""

    timestamp: int
    rgb: np.ndarray


# Demuxers of films. Playlists, which open other files, are not among them.
_FORMATS = (
    *("mov", "matroska", "avi", "mpeg", "mpegts", "mpegvideo", "asf", "flv", "ogg", "mxf", "dv"),
    *("nut", "rm", "wtv", "gxf", "m4v", "h264", "hevc", "h263", "ivf", "av1", "obu", "vc1"),
    *("yuv4mpegpipe", "mjpeg", "mpjpeg", "dirac", "bink", "smk", "roq", "vivo", "nsv", "pva"),
)


def url(path: str | os.PathLike[str]) -> str:
    """Returns a URL of a local file, whose name may look like another URL."""
    return f"file:{os.path.abspath(path)}"


def open_input(path: str | os.PathLike[str], max_pixels: int | None = None) -> Any:
    """Opens a film to read, also if its metadata is not UTF-8.

    Args:
        path: the film.
        max_pixels: FFmpeg decodes no larger frame to find out what the header does not say.

    Raises:
        FFmpegError, OSError: PyAV cannot open it, or it is a playlist.
    """
    return open_url(url(path), {} if max_pixels is None else {"max_pixels": str(max_pixels)})


def open_url(name: str, of_streams: dict[str, str] | None = None) -> Any:
    """Opens a film to read by the name that `url` returns; see `open_input`."""
    av = import_av()
    # PyAV 19 has no such option: it keeps the bytes, as surrogates.
    fields = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
    options = {"format_whitelist": ",".join(_FORMATS), "protocol_whitelist": "file"}
    return av.open(name, options=of_streams, container_options=options, **fields)


def is_cover(stream: Any) -> bool:
    """Returns whether a video stream is a cover picture."""
    return bool(stream.disposition & import_av().stream.Disposition.attached_pic)


def main_video(container: Any) -> Any:
    """Returns the first video stream that is not a cover picture, or None."""
    return next((s for s in container.streams.video if not is_cover(s)), None)


class FilmReader:
    """Frames of a film in display order; damaged parts are skipped.

    Attributes:
        info: metadata of the film.
        damaged: number of packets so far that could not be decoded.
    """

    def __init__(self, path: Path, max_pixels: int):
        """Opens a film and decodes its first frame.

        Args:
            path: the film.
            max_pixels: films with more pixels in a frame are refused.

        Raises:
            UnreadableFilm: the file is not a film, its frames are too large, or no frame can be
                decoded.
            RequestError: PyAV is not installed.
        """
        self._av = import_av()
        self._path = path
        self._max_pixels = max_pixels
        self.damaged = 0
        with self._open() as container:
            stream = main_video(container)
            if stream is None:
                raise UnreadableFilm("has no video stream")
            if stream.codec_context is None:
                raise UnreadableFilm("its video has a codec that FFmpeg does not know")
            width, height = stream.codec_context.width, stream.codec_context.height
            if width * height > max_pixels:
                raise UnreadableFilm(
                    f"{width}x{height} pixels are more than the limit of {max_pixels}; raise "
                    "--max-pixels"
                )
            first = next(self._decoded(container, stream), None)
            if first is None:
                raise UnreadableFilm(
                    f"no frame of at most {max_pixels} pixels (--max-pixels) can be decoded"
                )
            self.info = _info(container, stream, first)
            self._stored = first.width, first.height
        self.damaged = 0

    def frames(self, skip: int = 0) -> Iterator[Frame]:
        """Yields the frames from number `skip` on; decodes earlier ones, as seeking is inexact."""
        self.damaged = 0
        last = None
        with self._open() as container:
            stream = main_video(container)
            for number, frame in enumerate(self._decoded(container, stream)):
                last = self._timestamp(frame, last)
                if number >= skip:
                    yield Frame(last, self._rgb(frame))

    def _open(self) -> Any:
        try:
            return open_input(self._path, self._max_pixels)
        except (self._av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise UnreadableFilm(f"cannot be read as a film ({reason})") from None

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"max_pixels": str(self._max_pixels)}  # of later frames
        packets = steady_packets(container, [stream])
        while True:
            try:
                packet = next(packets, None)
            except self._av.FFmpegError:  # the end of the file is damaged
                self.damaged += 1
                packet = None
            try:
                yield from stream.decode(packet)
            except self._av.error.EOFError:
                return
            except self._av.FFmpegError:
                self.damaged += 1
            if packet is None:
                return

    def _timestamp(self, frame: Any, last: int | None) -> int:
        """Returns the timestamp of a frame, greater than `last`, in steps of the time base."""
        step = max(1, round(1 / (self.info.rate * self.info.time_base)))
        if frame.pts is None:
            return 0 if last is None else last + step
        known = frame.pts - self.info.start
        return known if last is None else max(known, last + 1)

    def _rgb(self, frame: Any) -> np.ndarray:
        # Frames of another size are resized.
        rgb = rgb_of(frame, *self._stored, self.info.read_matrix)
        return self.info.orientation.upright(rgb)


def _info(container: Any, stream: Any, frame: Any) -> FilmInfo:
    orientation = orientation_of(frame)
    transposed = orientation.transposed
    height, width = (frame.height, frame.width)[:: -1 if transposed else 1]
    aspect = stream.sample_aspect_ratio or None
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    start = container.start_time or 0  # in microseconds
    if start < 0 and not clock_may_jump(container):
        start = 0  # sound before the start, which players do not play
    return FilmInfo(
        height=height,
        width=width,
        orientation=orientation,
        aspect=1 / aspect if aspect and transposed else aspect,
        time_base=stream.time_base,
        rate=rate,
        start=round(Fraction(start, 1_000_000) / stream.time_base),
        frames=stream.frames or _estimate(container, rate),
        pixel_format=_written_format(frame.format, height, width, transposed),
        tags=_written_tags(frame),
        read_matrix=_swscale_matrix(frame, int(frame.colorspace)),
        written_matrix=_swscale_matrix(frame, _written_tags(frame).matrix),
        notes=tuple(_notes(frame, height, width)),
    )


def _estimate(container: Any, rate: Fraction) -> int | None:
    return round(container.duration / 1_000_000 * rate) if container.duration else None


def _written_format(stored: Any, height: int, width: int, transposed: bool) -> str:
    """Returns the 8-bit pixel format that keeps the film's chroma subsampling and size.

    x264 takes odd sizes only if chroma is not subsampled along that side.
    """
    by_row, by_column = stored.chroma_height(2) == 1, stored.chroma_width(2) == 1
    if len(stored.components) < 3:
        by_row = by_column = True
    if transposed:
        by_row, by_column = by_column, by_row
    if not by_column or width % 2:
        return "yuv444p"
    return "yuv420p" if by_row and height % 2 == 0 else "yuv422p"


def _written_tags(frame: Any) -> ColorTags:
    """Returns the tags of the 8-bit output: those of the film, but never of HDR or a wide gamut."""
    tags = ColorTags(
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        range=int(frame.color_range),
    )
    if tags.transfer in _HDR or tags.primaries in WIDE_GAMUTS:
        return ColorTags(matrix=1, primaries=1, transfer=1, range=tags.range)
    return tags


def _swscale_matrix(frame: Any, code: int) -> int:
    """Returns swscale's number of a YCbCr matrix; untagged films use the default of players.

    Args:
        frame: its size decides without a tag.
        code: by ISO/IEC 23091-2; 2 is unspecified.
    """
    known = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
    is_high_definition = frame.width >= 1280 or frame.height > 576
    return known.get(code, 1 if is_high_definition else 5)


def _notes(frame: Any, height: int, width: int) -> Iterator[str]:
    hdr = _HDR.get(int(frame.color_trc))
    if hdr:
        yield (
            f"it is HDR ({hdr}) and is read as SDR: light and contrast will differ from the "
            "original, and its HDR metadata is not kept; convert it to SDR first for better colors"
        )
    elif int(frame.color_primaries) in WIDE_GAMUTS:
        yield "its wide color gamut is converted to BT.709"
    depth = max(component.bits for component in frame.format.components)
    if depth > 8:
        yield f"its {depth} bits per channel are reduced to 8"
    if any(component.is_alpha for component in frame.format.components):
        yield "its transparency is not kept"
    if frame.interlaced_frame:
        yield "it is interlaced: both fields of a frame are colored and written as one picture"
    if height % 2 or width % 2:
        yield "it has an odd size, so chroma is not subsampled; some players cannot show that"
