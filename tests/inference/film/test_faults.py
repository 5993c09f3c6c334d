"""Damaged films, full disks, killed runs, and streams other than video."""

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.films import NoisyPainter, gray_frames, note_frames, packets, read_frames, write_film

from colorjax.errors import Interrupted, RequestError
from colorjax.inference.film import run as film
from colorjax.inference.film import write as film_write
from colorjax.inference.film.painter import FramePainter
from colorjax.inference.film.run import UnreadableFilm, UnwritableFilm, colorize_film

av = pytest.importorskip("av")


def colorized(path, output, painter=None, **options):
    return colorize_film(path, output, painter or NoisyPainter(), weights="tiny", **options)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "s.mkv"
    return write_film(path, gray_frames(20), audio="pcm_s16le", gop_size=4)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_frames_are_painted_as_the_colorizer_paints_photos(colorizer):
    frame = next(gray_frames(1, 50, 71))
    painter = FramePainter(colorizer)
    ab = painter.predict_ab(frame)
    assert ab.dtype == np.float32
    np.testing.assert_array_equal(painter.paint(frame, ab), colorizer.colorize(frame))
    half = FramePainter(colorizer, saturation=0.5)
    np.testing.assert_allclose(half.predict_ab(frame), ab / 2, atol=1e-5)
    assert half.settings != painter.settings
    assert painter.compile_seconds == colorizer.compile_seconds > 0
    with pytest.raises(RequestError, match="saturation"):
        FramePainter(colorizer, saturation=-1)


def test_a_frame_is_looked_at_once(colorizer, monkeypatch):
    looked = []
    look = type(colorizer).look
    monkeypatch.setattr(
        type(colorizer), "look", lambda self, pixels: looked.append(1) or look(self, pixels)
    )
    first, other = gray_frames(2)
    painter = FramePainter(colorizer)
    ab = painter.predict_ab(first)
    painted = painter.paint(first, ab)
    assert len(looked) == 1
    np.testing.assert_array_equal(painter.paint(first.copy(), ab), painted)
    np.testing.assert_array_equal(painter.paint(other, ab), colorizer.paint_ab(other, ab))
    assert len(looked) == 4  # L is cached only for the last predicted frame


def test_an_existing_output_stays_unless_it_is_to_be_replaced(source, tmp_path):
    output = tmp_path / "o.mkv"
    output.write_bytes(b"mine")
    assert colorized(source, output) is None
    assert output.read_bytes() == b"mine"
    assert colorized(source, output, overwrite=True).frames == 20
    assert len(read_frames(output)) == 20


def test_requests_that_cannot_be(source, tmp_path, monkeypatch):
    with pytest.raises(RequestError, match="the film itself"):
        colorized(source, source, overwrite=True)
    with pytest.raises(RequestError, match=r"\.mkv"):
        colorized(source, tmp_path / "o.avi")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(RequestError, match=r"pip install colorjax\[film\]"):
        colorized(source, tmp_path / "o.mkv")
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"no film at all" * 99, None, "half", "sound"])
def test_what_is_no_film_is_one_line(tmp_path, content):
    path = tmp_path / "x.mp4"
    if content == "sound":
        write_film(tmp_path / "s.mp4", gray_frames(3), audio=True)
        with av.open(str(tmp_path / "s.mp4")) as given, av.open(str(path), "w") as made:
            sound = made.add_stream_from_template(given.streams.audio[0])
            for packet in given.demux(audio=0):
                packet.stream = sound
                made.mux(packet) if packet.size else None
    elif content == "half":  # the index of an MP4 is at its end
        write_film(path, gray_frames(9))
        path.write_bytes(path.read_bytes()[:600])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableFilm) as caught:
        colorized(path, tmp_path / "o.mp4")
    assert len(str(caught.value)) > 10
    assert "\n" not in str(caught.value)
    assert not [name for name in names(tmp_path) if "o.mp4" in name]


def test_of_a_film_that_ends_early_the_rest_is_kept(source, tmp_path):
    content = source.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) * 6 // 10])
    report = colorized(tmp_path / "cut.mkv", tmp_path / "o.mkv")
    assert 5 < report.frames < 20
    assert len(read_frames(tmp_path / "o.mkv")) == report.frames
    assert len(packets(tmp_path / "o.mkv", "audio")) > 5


def test_a_film_that_changes_meanwhile_gives_no_result(source, tmp_path):
    """As an upload that goes on after a stall: formats such as .mkv read well when cut off."""
    content = source.read_bytes()
    path = tmp_path / "s.mkv"
    path.write_bytes(content[: len(content) * 6 // 10])

    def go_on(done, total):
        path.write_bytes(content)

    with pytest.raises(UnreadableFilm, match=r"^s.mkv changed while it was colorized; "):
        colorized(path, tmp_path / "o.mkv", progress=go_on)
    assert names(tmp_path) == ["s.mkv"]
    assert colorized(path, tmp_path / "o.mkv").frames == 20


def test_damaged_packets_are_passed_over_and_counted(tmp_path):
    path = write_film(tmp_path / "s.mov", gray_frames(20), codec="png", pix_fmt="rgb24")
    content = bytearray(path.read_bytes())
    at = content.index(b"\x89PNG", len(content) // 2)
    content[at : at + 33] = bytes(33)  # its header
    path.write_bytes(content)
    report = colorized(path, tmp_path / "o.mkv")
    assert report.frames == 19
    assert report.notes == ("1 damaged packets were skipped; the rest is kept",)
    assert len(read_frames(tmp_path / "o.mkv")) == 19


@pytest.mark.parametrize("limit", [500, 20_000])
def test_a_full_disk_is_one_line_and_the_run_goes_on_later(source, tmp_path, limit):
    """A limit on file size; the smaller one hits a part, the larger one the whole film."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # Python ignores SIGXFSZ
    try:
        with pytest.raises(UnwritableFilm, match=r"^o.mkv cannot be written: File too large$"):
            colorized(source, tmp_path / "o.mkv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert names(tmp_path) == [".colorjax-o.mkv.parts"]
    painter = NoisyPainter()
    assert colorized(source, tmp_path / "o.mkv", painter).frames == 20
    assert painter.predicted == (20 if limit == 500 else 0)
    assert names(tmp_path) == ["o.mkv"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_a_full_disk_at_any_size_leaves_no_film(suffix, tmp_path, monkeypatch, capfd):
    """Also with `overwrite`; and neither PyAV nor FFmpeg prints anything."""
    monkeypatch.setattr(film, "PART_FRAMES", 4)
    given = write_film(tmp_path / f"s{suffix}", gray_frames(20), audio="aac", gop_size=4)
    output = tmp_path / f"o{suffix}"
    colorized(given, output)
    whole = output.read_bytes()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in [*range(1024, len(whole), 2048), len(whole) - 1]:
        for before in (None, b"an earlier result"):
            output.unlink(missing_ok=True)
            if before:
                output.write_bytes(before)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
            try:
                with pytest.raises(UnwritableFilm, match=r"^o\.\w+ cannot be written: File too"):
                    colorized(given, output, overwrite=True)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            assert (output.read_bytes() if output.exists() else None) == before
            left = {name for name in names(tmp_path) if "partial" in name}
            assert not left
    assert capfd.readouterr() == ("", "")
    assert colorized(given, output, overwrite=True).frames == 20
    assert len(output.read_bytes()) == len(whole)


def test_parts_of_other_settings_are_not_taken_up(source, tmp_path, monkeypatch):
    monkeypatch.setattr(film, "PART_FRAMES", 4)
    stopping = NoisyPainter()
    with pytest.raises(Interrupted, match="stopped at frame 9; the same command continues at 8"):
        colorized(source, tmp_path / "o.mkv", stopping, stop=lambda: stopping.predicted == 9)
    painter = NoisyPainter()
    colorized(source, tmp_path / "o.mkv", painter, settings="temperature 0.2")
    assert painter.predicted == 20


def test_subtitles_and_attachments_are_copied(source, tmp_path):
    rich = tmp_path / "rich.mkv"
    line = b"Good evening."
    with av.open(str(source)) as given, av.open(str(rich), "w") as made:
        copies = {s.index: made.add_stream_from_template(s, opaque=True) for s in given.streams}
        text = made.add_mux_stream("subrip")
        text.metadata["language"] = "eng"
        made.add_attachment("font.ttf", "font/ttf", b"a font")
        for packet in given.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                made.mux(packet)
        packet = av.Packet(line)
        packet.stream, packet.pts, packet.dts, packet.duration = text, 200, 200, 300
        made.mux(packet)
    report = colorized(rich, tmp_path / "o.mkv")
    assert report.notes == ()
    with av.open(str(tmp_path / "o.mkv")) as made:
        assert [s.type for s in made.streams] == ["video", "audio", "subtitle", "attachment"]
        assert made.streams[2].language == "eng"
        assert (made.streams[3].mimetype, made.streams[3].data) == ("font/ttf", b"a font")
    assert packets(tmp_path / "o.mkv", "subtitle") == [(0.2, line)]


def test_a_clock_of_the_sound_that_steps_back_is_corrected():
    """Muxers refuse such packets, which occur in damaged broadcasts."""
    stream = SimpleNamespace(index=1, type="audio")
    times = [(100, 100), (120, None), (110, 110), (None, 115), (None, None), (160, 160)]
    given = [
        SimpleNamespace(
            pts=pts, dts=dts, stream=stream, time_base=Fraction(1, 10), size=0, is_discard=False
        )
        for pts, dts in times
    ]
    info = SimpleNamespace(start=50, time_base=Fraction(1, 10))
    copied = SimpleNamespace(packets=lambda packet: [] if packet is None else [packet])
    result = list(film_write._of_source(given, {1: copied}, info))
    assert [(p.pts, p.dts) for _, p in result] == [(x, x) for x in (50, 70, 71, 72, 110)]
    assert [seconds for seconds, _ in result] == [5.0, 7.0, 7.1, 7.2, 11.0]


def with_klv(tmp_path, *payloads):
    """Writes a film with a data stream, as drones do."""
    path = tmp_path / "s.ts"
    write_film(tmp_path / "p.ts", gray_frames(4), codec="mpeg2video", audio="mp2")
    with av.open(str(tmp_path / "p.ts")) as given, av.open(str(path), "w") as made:
        copies = {s.index: made.add_stream_from_template(s, opaque=True) for s in given.streams}
        data = made.add_mux_stream("klv")
        for payload in payloads:
            packet = av.Packet(payload)
            packet.stream, packet.pts, packet.dts = data, 0, 0
            packet.time_base = Fraction(1, 90000)
            made.mux(packet)
        for packet in given.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                made.mux(packet)
    return path


def test_an_empty_stream_is_left_out_with_a_note(tmp_path):
    report = colorized(with_klv(tmp_path), tmp_path / "o.mkv")
    assert report.notes == ("data stream 2 (klv) is empty and is left out",)
    assert len(read_frames(tmp_path / "o.mkv")) == 4


def test_what_the_container_cannot_carry_is_named(tmp_path):
    path = with_klv(tmp_path, b"\x06\x0e+4 a position")
    painter = NoisyPainter()
    with pytest.raises(UnwritableFilm) as caught:
        colorized(path, tmp_path / "o.mkv", painter)
    wish = "give --drop-streams to leave it out"
    assert str(caught.value) == f".mkv cannot store data stream 2 (klv); {wish}"
    assert painter.predicted == 0
    assert names(tmp_path) == ["p.ts", "s.ts"]
    said = []
    report = colorized(
        path,
        tmp_path / "o.mkv",
        painter,
        drop_streams=True,
        notify=lambda notes: said.append((painter.predicted, *notes)),
    )
    note = "data stream 2 (klv) is left out, as .mkv cannot store it"
    assert report.notes == (note,)
    assert said == [(0, note)]
    assert len(read_frames(tmp_path / "o.mkv")) == 4


_PROGRAM = textwrap.dedent(
    """
    import sys, time
    from helpers.films import NoisyPainter, note_frames
    from colorjax.inference.film import run as film
    pause, film.PART_FRAMES = float(sys.argv[3]), int(sys.argv[4])
    note_frames(film, sys.argv[2] + ".frames")
    report = film.colorize_film(
        sys.argv[1], sys.argv[2], NoisyPainter(), weights="tiny",
        progress=lambda done, total: time.sleep(pause),
    )
    print(report.frames)
    """
)


def start(source, output, pause, part_frames):
    root = Path(__file__).parents[3]
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *map(str, (source, output, pause, part_frames))],
        env=os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_frames_that_grow_beyond_the_limit_are_damaged(tmp_path):
    """Only the first size is known before frames are decoded."""
    parts = []
    for number, size in enumerate((32, 96)):
        frames = gray_frames(2, size, size)
        path = write_film(tmp_path / f"{number}.ts", frames, codec="mpeg2video", gop_size=1)
        parts.append(path.read_bytes())
    (tmp_path / "in.ts").write_bytes(b"".join(parts))
    # libavcodec drops the last frame before the size of MPEG-2 changes, in ffmpeg as well.
    assert colorized(tmp_path / "in.ts", tmp_path / "all.mkv").frames == 3
    report = colorized(tmp_path / "in.ts", tmp_path / "o.mkv", max_pixels=5000)
    assert report.frames == 1
    assert "damaged packets" in report.notes[0]


def test_a_film_that_another_process_colorizes_is_refused(source, tmp_path, monkeypatch):
    output = tmp_path / "o.mkv"
    process = start(source, output, 0.05, 5)
    lock = tmp_path / ".colorjax-o.mkv.parts" / "lock"
    while not (lock.is_file() and lock.read_text()):
        assert process.poll() is None
        time.sleep(0.01)
    painter = NoisyPainter()
    with pytest.raises(RequestError) as caught:
        colorized(source, output, painter)
    assert str(caught.value) == (
        f"another colorjax (process {process.pid}) is colorizing this film; wait until it is "
        "done, or give another --output"
    )
    assert process.wait() == 0
    assert painter.predicted == 0
    assert len(read_frames(output)) == 20
    assert names(tmp_path) == ["o.mkv", "o.mkv.frames"]


def test_the_lock_of_a_killed_process_is_free(source, tmp_path):
    process = start(source, tmp_path / "o.mkv", 1, 5)
    lock = tmp_path / ".colorjax-o.mkv.parts" / "lock"
    while not (lock.is_file() and lock.read_text()):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert colorized(source, tmp_path / "o.mkv").frames == 20


@pytest.mark.parametrize("name", ["Interview: mother.mp4", "a?b#c%20.mp4", "concat:x|y.mp4"])
def test_names_that_look_like_urls_are_paths(tmp_path, monkeypatch, name):
    write_film(tmp_path / "s.mp4", gray_frames(3), audio=True).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for output in (f"out: {name}", tmp_path / f"again: {name}"):
        assert colorized(name, output).frames == 3
        assert len(read_frames(f"file:{output}")) == 3


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {}\n",
        '<?xml version="1.0"?><MPD><Period><BaseURL>{}</BaseURL></Period></MPD>',
    ],
    ids=["hls", "concat", "dash"],
)
def test_playlists_open_no_other_file(tmp_path, content):
    write_film(tmp_path / "other.ts", gray_frames(3), codec="mpeg2video")
    (tmp_path / "list.mp4").write_text(content.format("other.ts"))
    with pytest.raises(UnreadableFilm, match="cannot be read as a film"):
        colorized(tmp_path / "list.mp4", tmp_path / "o.mp4")


@pytest.mark.faults
@pytest.mark.slow
def test_a_film_that_is_killed_ten_times_is_the_same(tmp_path, monkeypatch):
    """x264 gets the same frames; its bytes differed slightly on a busy machine."""
    path = write_film(tmp_path / "s.mp4", gray_frames(100), audio=True)
    parts = tmp_path / ".colorjax-o.mp4.parts"
    rng = np.random.default_rng(0)
    for number in range(10):
        process = start(path, tmp_path / "o.mp4", 0.02, 5)
        while len(list(parts.glob("*.nut"))) <= number and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "o.mp4").exists()
    monkeypatch.setattr(film, "PART_FRAMES", 5)
    monkeypatch.setattr(film, "PartEncoder", film.PartEncoder)
    painter = NoisyPainter()
    note_frames(film, tmp_path / "o.mp4.frames")
    report = colorized(path, tmp_path / "o.mp4", painter)
    assert painter.predicted < 60
    note_frames(film, tmp_path / "whole.mp4.frames")
    whole = colorized(path, tmp_path / "whole.mp4")
    assert (report.frames, report.scenes, report.flicker) == (100, whole.scenes, whole.flicker)
    once, again = (
        (tmp_path / f"{name}.mp4.frames").read_text().splitlines() for name in ("whole", "o")
    )
    assert len(once) == 100
    assert len(again) > 100  # some were painted again after a kill
    assert set(again) == set(once)
    result, expected = (read_frames(tmp_path / name) for name in ("o.mp4", "whole.mp4"))
    assert [seconds for seconds, _ in result] == [seconds for seconds, _ in expected]
    for (_, rgb), (_, wanted) in zip(result, expected, strict=True):
        assert np.abs(rgb.astype(int) - wanted).mean() < 0.3
    assert packets(tmp_path / "o.mp4", "audio") == packets(tmp_path / "whole.mp4", "audio")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_the_film(tmp_path):
    """With the painter of the command, in a warm process, for films of different lengths."""
    program = textwrap.dedent(
        """
        import sys
        from colorjax.inference.film import run as film
        from colorjax.inference.colorizer import Colorizer
        from colorjax.inference.film.painter import FramePainter
        sizes = []
        def note(done, total):
            if done % 200 == 0:
                sizes.append(int(open("/proc/self/statm").read().split()[1]) * 4)
        film.colorize_film(
            sys.argv[1], sys.argv[2], FramePainter(Colorizer.load()), weights="w", progress=note
        )
        print(*sizes)
        """
    )
    path = write_film(tmp_path / "long.mp4", gray_frames(2000, 96, 128), audio=True)
    root = Path(__file__).parents[3]
    result = subprocess.run(
        [sys.executable, "-c", program, path, tmp_path / "o.mp4"],
        env=os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    sizes = [int(arg) for arg in result.stdout.split()]
    assert len(sizes) == 10
    # KiB. The allocator keeps blocks of 12 MiB at times; a leak of each frame would be 63 MiB.
    assert min(sizes[5:]) < min(sizes[:5]) + 30_000
