"""Films whose clock jumps: joined recordings, gaps, wraps and edit lists."""

import struct
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.films import NoisyPainter, gray_frames, packets, read_frames, write_film

from colorjax.inference.film.clock import Clock
from colorjax.inference.film.run import colorize_film, output_name

av = pytest.importorskip("av")


def broadcast(path, start=0.0, number=25, audio="mp2"):
    """A recording of 25 frames per second; `start` is its first time in seconds."""
    codec = {"ogv": "libtheora", "webm": "libvpx"}.get(path.suffix[1:], "mpeg2video")
    plain = write_film(
        path.with_name(f"plain{path.suffix}"), gray_frames(number), codec=codec, audio=audio
    )
    with av.open(str(plain)) as given, av.open(str(path), "w") as made:
        copies = [made.add_stream_from_template(s, opaque=True) for s in given.streams]
        for packet in given.demux():
            if packet.size:
                shift = round(start / packet.time_base)
                packet.stream = copies[packet.stream.index]
                packet.pts += shift
                packet.dts = packet.pts if packet.dts is None else packet.dts + shift
                made.mux(packet)
    return path


def joined(tmp_path, suffix, *starts, audio="mp2"):
    """Recordings one after the other in a file, as by `cat`."""
    files = [
        broadcast(tmp_path / f"{i}{suffix}", start, audio=audio) for i, start in enumerate(starts)
    ]
    path = tmp_path / f"in{suffix}"
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    return path


def colorized(source):
    output = source.parent / "out" / output_name(source.name)
    output.parent.mkdir()
    report = colorize_film(source, output, NoisyPainter(), weights="tiny")
    return output, report


@pytest.mark.parametrize(
    ("suffix", "audio", "starts"),
    [
        (".ts", "mp2", (0, 0)),
        (".ts", "aac", (0, 0, 0)),
        (".ts", "mp2", (0, 3600)),
        (".ts", "mp2", (3600, 0)),
        (".mpg", "mp2", (0, 0)),
        (".webm", "libopus", (0, 0)),
    ],
)
def test_joined_recordings_follow_each_other(tmp_path, suffix, audio, starts):
    source = joined(tmp_path, suffix, *starts, audio=audio)
    output, report = colorized(source)
    assert report.frames == 25 * len(starts)
    times = np.array([t for t, _ in read_frames(output)])
    sound = np.array([t for t, _ in packets(output, "audio")])
    assert len(sound) == len(packets(source, "audio"))
    # One second each; sound may end some frames after the picture, which then waits for it.
    steps = np.diff(times)
    assert steps.min() > 0.03
    assert steps.max() < 0.3
    assert np.diff(sound).max() < 0.3
    assert times[-1] - times[0] == pytest.approx(len(starts) - 0.04, abs=0.2 * len(starts))
    for number in range(len(starts)):  # each recording keeps its sound beside its picture
        at = len(sound) * number // len(starts)
        assert abs(sound[at] - times[25 * number]) < 0.15


@pytest.mark.parametrize("start", [95_443.1, 95_370.0])
def test_a_clock_that_wraps_goes_on(tmp_path, start):
    """MPEG counts 2^33 steps of 1/90000 s, 26.5 hours; here 0.6 s, and 74 s, after the start."""
    number = 25 if start > 95_400 else 110
    plain = tmp_path / "p.ts"
    write_film(
        plain,
        gray_frames(number),
        codec="mpeg2video",
        audio="mp2",
        times=None if number == 25 else list(range(number)),
        rate=25,
    )
    stretch = 1 if number == 25 else 20  # a still now and then, so that the test is fast
    source = tmp_path / "in.ts"
    with av.open(str(plain)) as given, av.open(str(source), "w") as made:
        copies = [made.add_stream_from_template(s, opaque=True) for s in given.streams]
        for packet in given.demux():
            if packet.size:
                shift = round(start / packet.time_base)
                packet.stream = copies[packet.stream.index]
                packet.pts = packet.pts * stretch + shift
                packet.dts = packet.dts * stretch + shift
                made.mux(packet)
    output, report = colorized(source)
    times = np.array([t for t, _ in read_frames(output)])
    assert report.frames == number
    np.testing.assert_allclose(np.diff(times), 0.04 * stretch, atol=0.002)
    assert abs(packets(output, "audio")[0][0] - times[0]) < 0.1 * stretch
    assert times[0] < 0.1 * stretch


def box(name, *parts):
    content = b"".join(parts)
    return struct.pack(">I4s", len(content) + 8, name) + content


def boxes(content):
    at = 0
    while at < len(content):
        size, name = struct.unpack_from(">I4s", content, at)
        yield name, content[at + 8 : at + size]
        at += size


def edited(content, cuts):
    """Replaces the edit lists of an MP4 by (start, duration) in seconds (ISO/IEC 14496-12)."""

    def track(parts, movie):
        scale = struct.unpack_from(">I", parts[b"mdia"], parts[b"mdia"].index(b"mdhd") + 16)[0]
        first = struct.unpack_from(">i", parts[b"edts"], 8 + 12)[0]
        rows = [(round(d * movie), round(s * scale) + first, 1 << 16) for s, d in cuts]
        table = box(
            b"elst", struct.pack(">II", 0, len(rows)), *(struct.pack(">Iii", *r) for r in rows)
        )
        return box(b"trak", *(box(k, table if k == b"edts" else v) for k, v in parts.items()))

    made = []
    for name, inner in boxes(content):
        if name == b"moov":
            movie = struct.unpack_from(">I", dict(boxes(inner))[b"mvhd"], 12)[0]
            inner = b"".join(
                track(dict(boxes(v)), movie) if k == b"trak" else box(k, v) for k, v in boxes(inner)
            )
        made.append(box(name, inner))
    return b"".join(made)


@pytest.mark.parametrize(
    "cuts", [[(0.44, 0.52)], [(0, 0.4), (0.8, 0.4)], [(0.8, 0.4), (0, 0.4)]], ids=str
)
def test_edit_lists_of_mp4(tmp_path, cuts):
    plain = write_film(tmp_path / "p.mp4", gray_frames(30), audio=True, gop_size=10)
    source = tmp_path / "in.mp4"
    source.write_bytes(edited(plain.read_bytes(), cuts))
    wanted = [t for t, _ in read_frames(source)]
    total = sum(duration for _, duration in cuts)
    assert len(wanted) == pytest.approx(25 * total, abs=2)
    output, _ = colorized(source)
    np.testing.assert_allclose([t for t, _ in read_frames(output)], wanted, atol=1e-3)
    with av.open(str(source)) as given, av.open(str(output)) as made:
        lengths = [sum(f.samples for f in film.decode(audio=0)) for film in (given, made)]
    assert abs(lengths[0] - lengths[1]) <= 2 * 1024
    assert lengths[1] == pytest.approx(48000 * total, abs=3 * 1024)


def test_streams_reach_a_jump_at_different_packets():
    """Sound of the recording before still comes after the first picture of the next one."""
    second = Fraction(1)
    streams = [SimpleNamespace(index=i, type=kind) for i, kind in enumerate(("video", "audio"))]
    streams.append(SimpleNamespace(index=2, type="subtitle"))
    clock = Clock(SimpleNamespace(format=SimpleNamespace(flags=0)))
    rows = [(0, 10), (1, 10), (0, 11), (1, 11), (0, 3), (2, 11), (1, 12), (2, 3), (1, 3), (0, 4)]
    shifted = []
    for index, time in rows:
        packet = SimpleNamespace(
            stream=streams[index], pts=time, dts=time, duration=1, time_base=second
        )
        clock.shift(packet)
        shifted.append((index, packet.pts))
    expected = [10, 10, 11, 11, 12, 11, 12, 12, 12, 13]
    assert [time for _, time in shifted] == expected


def test_small_steps_back_are_no_jump():
    """AVI and ASF may give times of display, in the order of decoding."""
    clock = Clock(SimpleNamespace(format=SimpleNamespace(flags=0)))
    stream = SimpleNamespace(index=0, type="video")
    for time in (0, 12, 4, 8, 24, 16, 20):
        packet = SimpleNamespace(
            stream=stream, pts=time, dts=time, duration=4, time_base=Fraction(1, 25)
        )
        clock.shift(packet)
        assert packet.dts == time


def test_a_gap_stays_in_containers_without_a_clock_and_closes_in_broadcasts():
    for flags, expected in ((0, [0, 1, 20]), (0x200, [0, 1, 2])):
        clock = Clock(SimpleNamespace(format=SimpleNamespace(flags=flags)))
        stream = SimpleNamespace(index=0, type="video")
        times = []
        for time in (0, 1, 20):
            packet = SimpleNamespace(
                stream=stream, pts=time, dts=time, duration=1, time_base=Fraction(1)
            )
            clock.shift(packet)
            times.append(packet.dts)
        assert times == expected
