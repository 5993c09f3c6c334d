"""A complete small film, written before a film is painted, decides how its streams are stored."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from colorjax.inference.film.av_package import import_av
from colorjax.inference.film.clock import steady_packets
from colorjax.inference.film.read import FilmInfo, Frame, is_cover, main_video, open_input, open_url
from colorjax.inference.film.streams import COPIES, change, forms
from colorjax.inference.film.write import (
    CONTAINERS,
    PartEncoder,
    Plan,
    UnwritableFilm,
    lost_metadata,
    mux,
    reason,
)
from colorjax.runtime.notes import listed

_SEARCHED = 20_000  # packets that are searched for the first ones of each stream
_ENOUGH = 8  # packets of sound that decode to some samples


def plan(source: Path, target: Path, info: FilmInfo, mark: str, *, drop_streams: bool) -> Plan:
    """Returns how the other streams of a film are stored, by trial films.

    A trial film has a header, one frame, the first packets of each stream, and an end. It is read
    again, and the streams must be there.

    Args:
        source: the film.
        target: file to write later; its suffix is one of `CONTAINERS`.
        info: metadata of the film.
        mark: added to the film's comment.
        drop_streams: whether streams that the container cannot store are left out.

    Raises:
        UnwritableFilm: the container cannot store a stream, and `drop_streams` is False; or the
            trial film with all streams fails.
    """
    suffix = target.suffix.lower()
    kept: dict[int, str] = {}
    refused, notes = [], []
    with open_input(source) as given:
        trial = _Trial(given, CONTAINERS[suffix], info, mark)
        for stream in given.streams:
            if stream is main_video(given) or _is_of_the_container(stream, given):
                continue
            name = _name(stream)
            form = next((f for f in trial.forms(stream) if trial.accepts({stream.index: f})), None)
            if form is None:
                if trial.is_empty(stream):
                    notes.append(f"{name} is empty and is left out")
                else:
                    refused.append(name)
                continue
            kept[stream.index] = form
            if form not in COPIES:
                how = change(stream, form)
                notes.append(f"{name} is {how}, as {suffix} cannot store it")
        if refused and not drop_streams:
            raise UnwritableFilm(
                f"{suffix} cannot store {listed(refused)}; give --drop-streams to leave "
                f"{'it' if len(refused) == 1 else 'them'} out"
            )
        lost = lost_metadata(CONTAINERS[suffix], given)
        if lost:
            notes.append(f"the metadata {listed(lost)} is left out, as the film has a cover")
        if not trial.accepts(kept):
            raise UnwritableFilm(f"{target.name} cannot be written: {trial.error}")
    notes += [f"{name} is left out, as {suffix} cannot store it" for name in refused]
    return Plan(kept, tuple(notes))


def _name(stream: Any) -> str:
    kind = "cover" if stream.type == "video" and is_cover(stream) else stream.type
    codec = getattr(stream, "name", None) or "unknown"
    return f"{kind} stream {stream.index} ({codec})"


def _is_of_the_container(stream: Any, given: Any) -> bool:
    """Returns whether a stream is part of the container of the source, not of the film.

    Chapters and timecodes are written by the muxer, from the metadata. The navigation packets of a
    DVD hold positions on the disc.
    """
    if stream.type != "data":
        return False
    is_list = stream.name == "bin_data" and bool(given.chapters())
    return is_list or "timecode" in stream.metadata or stream.name == "dvd_nav_packet"


class _Sample(NamedTuple):
    packet: Any
    pts: int | None
    dts: int | None
    time_base: Any


class _Trial:
    """Trial films of one source."""

    def __init__(self, given: Any, format_name: str, info: FilmInfo, mark: str):
        self._given, self._format, self._info, self._mark = given, format_name, info, mark
        self.error = ""
        encoder = PartEncoder(info)
        encoder.add(Frame(0, np.zeros((info.height, info.width, 3), np.uint8)))
        self._part = encoder.finish()
        self._samples = _first_packets(given)

    def forms(self, stream: Any) -> list[str]:
        return forms(stream, self._format)

    def is_empty(self, stream: Any) -> bool:
        """Returns whether a stream has no packet at all; reads the whole film to be sure."""
        if stream.type == "attachment" or self._samples[stream.index]:
            return False
        with open_url(self._given.name) as again:
            packets = again.demux(again.streams[stream.index])
            with contextlib.suppress(import_av().FFmpegError, IndexError):  # see `clock`
                return not any(packet.size for packet in packets)
        return False

    def accepts(self, kept: dict[int, str]) -> bool:
        """Returns whether a film with these streams can be written and read again."""
        av = import_av()
        file = io.BytesIO()
        parts = [io.BytesIO(self._part)]
        try:
            mux(
                file,
                self._format,
                parts,
                self._given,
                self._packets(kept),
                self._info,
                self._mark,
                kept,
            )
            file.seek(0)
            with av.open(file) as made:
                missing = self._expected(kept) - Counter(map(_kind, made.streams))
        except (av.FFmpegError, ValueError, OSError) as error:
            self.error = reason(error)
            return False
        self.error = f"its {', '.join(kind for kind, _ in missing)} is missing" if missing else ""
        return not missing

    def _packets(self, kept: dict[int, str]) -> Iterator[Any]:
        for index in kept:
            stream = self._given.streams[index]
            if stream.codec_context is not None:
                stream.codec_context.flush_buffers()  # it is decoded in each trial
            for packet, pts, dts, base in self._samples.get(index, []):
                packet.stream, packet.time_base = stream, base
                packet.pts, packet.dts = pts, dts
                yield packet

    def _expected(self, kept: dict[int, str]) -> Counter[tuple[str, str]]:
        kinds = []
        for index, form in kept.items():
            kind, codec = _kind(self._given.streams[index])
            kinds.append((kind, codec if form in COPIES else form))
        return Counter(kinds)


def _kind(stream: Any) -> tuple[str, str]:
    """Returns type and codec of a stream; the codec of sound and subtitles only."""
    if stream.type == "video" and is_cover(stream):
        return "cover", ""
    has_codec = stream.type in ("audio", "subtitle") and stream.codec_context is not None
    return stream.type, stream.codec_context.codec.canonical_name if has_codec else ""


def _first_packets(given: Any) -> dict[int, list[_Sample]]:
    wanted = {
        s.index: _ENOUGH if s.type == "audio" else 1
        for s in given.streams
        if s.type != "attachment"
    }
    samples_of: dict[int, list[_Sample]] = {index: [] for index in wanted}
    with contextlib.suppress(import_av().FFmpegError):  # damage after the first packets
        packets = steady_packets(given, list(given.streams))
        for packet in itertools.islice(packets, _SEARCHED):
            samples = samples_of[packet.stream.index]
            if packet.size and not packet.is_discard and len(samples) < wanted[packet.stream.index]:
                samples.append(_Sample(packet, packet.pts, packet.dts, packet.time_base))
            if all(len(samples_of[index]) == number for index, number in wanted.items()):
                break
    return samples_of
