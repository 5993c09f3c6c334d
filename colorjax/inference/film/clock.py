"""One steady clock for all streams of a film whose own clock jumps."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from colorjax.inference.film.av_package import import_av

# Seconds; smaller steps back are jitter, or times of display, which are not in order. MPEG-TS and
# MPEG-PS have both times; other containers may give the time of display as that of decoding.
_BACK = Fraction(1, 10)
_BACK_ELSEWHERE = Fraction(1, 2)
_BACK_BY_PTS = Fraction(2)
_AHEAD = 10  # seconds; a longer gap is a new recording, in containers whose clock may jump
_CLOCK_MAY_JUMP = 0x200  # AVFMT_TS_DISCONT: MPEG-TS and MPEG-PS


def clock_may_jump(container: Any) -> bool:
    """Returns whether the clock of a film may start anywhere and wrap, as in broadcasts."""
    return bool(container.format.flags & _CLOCK_MAY_JUMP)


class Clock:
    """Shifts the timestamps of packets so that time continues where the clock of a film jumps.

    The clock of joined recordings starts again in the middle. Such a jump shifts all streams by
    the same time, so that sound and picture stay together. The streams may reach the jump at
    different packets.
    """

    def __init__(self, container: Any):
        """Starts a clock for the packets of an opened film, in the order of the file."""
        self._closes_gaps = clock_may_jump(container)
        self._back = _BACK if self._closes_gaps else _BACK_ELSEWHERE
        self._shifts = [Fraction(0)]  # one for each recording, in seconds
        self._recording: dict[int, int] = {}  # of each stream
        # The last shifted time of each stream with sound or picture, of decoding or of display.
        self._last: dict[tuple[int, bool], Fraction] = {}
        self._end = Fraction(0)  # of all of them

    def shift(self, packet: Any) -> None:
        """Shifts a packet; all packets with sound or picture must pass, each once."""
        by_pts = packet.dts is None
        ticks = packet.pts if by_pts else packet.dts
        if ticks is None:
            return
        time = ticks * packet.time_base
        number = packet.stream.index
        first = self._recording.get(number, 0)
        nearest = min(
            range(first, len(self._shifts)), key=lambda i: abs(time + self._shifts[i] - self._end)
        )
        if packet.stream.type in ("audio", "video"):
            if self._jumps(number, time + self._shifts[nearest], by_pts):
                self._shifts.append(self._end - time)
                nearest = len(self._shifts) - 1
            last = self._last[number, by_pts] = time + self._shifts[nearest]
            self._end = max(self._end, last + (packet.duration or 0) * packet.time_base)
        self._recording[number] = nearest
        change = round(self._shifts[nearest] / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + change
        packet.dts = None if packet.dts is None else packet.dts + change

    def _jumps(self, number: int, time: Fraction, by_pts: bool) -> bool:
        if (number, by_pts) not in self._last:
            return False
        if time < self._last[number, by_pts] - (_BACK_BY_PTS if by_pts else self._back):
            return True
        # A long still with sound is no gap: the other streams go on.
        return self._closes_gaps and time > self._end + _AHEAD


def steady_packets(container: Any, streams: list[Any]) -> Iterator[Any]:
    """Yields the packets of some streams, with timestamps by a `Clock`.

    MP4 and MOV have no clock that could jump, as they store durations; steps back in them come
    from their edit lists, and are right. The clock sees all streams with sound or picture, so
    that every selection gets the same times.

    Raises:
        FFmpegError: the file is damaged.
    """
    if "mov" in container.format.name.split(","):
        yield from _demuxed(container, streams)
        return
    clock = Clock(container)
    seen = [s for s in container.streams if s in streams or s.type in ("audio", "video")]
    for packet in _demuxed(container, seen):
        clock.shift(packet)
        if packet.stream in streams:
            yield packet


def _demuxed(container: Any, streams: list[Any]) -> Iterator[Any]:
    """Yields packets up to the first of a stream that begins late, which PyAV does not know."""
    try:
        yield from container.demux(streams)
    except IndexError:
        raise import_av().error.InvalidDataError(errno.EINVAL, "a stream begins late") from None
