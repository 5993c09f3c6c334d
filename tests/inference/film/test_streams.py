"""Sound and other streams: copied if the container can store them, said before painting if not."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.films import NoisyPainter, gray_frames, packets, read_frames, write_film
from PIL import Image

from colorjax.inference.film import acm
from colorjax.inference.film.run import UnwritableFilm, colorize_film, output_name

av = pytest.importorskip("av")


def colorized(path, **options):
    output = Path(path).parent / "out" / output_name(Path(path).name)
    output.parent.mkdir()
    report = colorize_film(path, output, NoisyPainter(), weights="tiny", **options)
    return output, report


def samples(path):
    """Returns the decoded sound, float (channels, samples)."""
    with av.open(str(path)) as container:
        blocks = []
        for frame in container.decode(audio=0):
            block = frame.to_ndarray()
            if not frame.format.is_planar:
                block = block.reshape(-1, len(frame.layout.channels)).T
            scale = {"u1": 1, "i2": 2**15, "i4": 2**31}.get(block.dtype.str[1:], 1)
            blocks.append(block / scale)
    return np.concatenate(blocks, 1)


def codec(path):
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.name


@pytest.mark.parametrize(
    ("name", "video", "audio"),
    [
        ("a.wmv", "wmv2", "wmav2"),
        ("a.asf", "wmv2", "wmav1"),
        ("a.avi", "mjpeg", "adpcm_ms"),
        ("a.avi", "mjpeg", "adpcm_ima_wav"),
        ("a.avi", "mjpeg", "pcm_mulaw"),
        ("a.avi", "mjpeg", "pcm_alaw"),
        ("a.mov", "libx264", "pcm_s24be"),
        ("a.mov", "libx264", "adpcm_ima_qt"),
        ("a.mp4", "libx264", "ac3"),
        ("a.ts", "mpeg2video", "aac"),
    ],
)
def test_sound_is_copied_if_the_container_can_store_it(tmp_path, name, video, audio):
    pixels = "yuvj420p" if video == "mjpeg" else "yuv420p"
    source = write_film(tmp_path / name, gray_frames(6), codec=video, audio=audio, pix_fmt=pixels)
    output, report = colorized(source)
    assert report.notes == ()
    assert codec(output) == codec(source)
    if name != "a.ts":  # its packets have a header, which Matroska stores once
        assert [p for _, p in packets(output, "audio")] == [p for _, p in packets(source, "audio")]
    assert np.array_equal(samples(output), samples(source))


def test_wav_format_in_matroska(tmp_path):
    """The name and checksum are as the standard wants them, and chapters are kept."""
    one = {"id": 1, "start": 0, "end": 9, "time_base": Fraction(1, 100)}
    chapter = {**one, "metadata": {"title": "One"}}
    source = tmp_path / "a.mkv"
    write_film(tmp_path / "a.wmv", gray_frames(6), codec="wmv2", audio="wmav2")
    with (
        av.open(str(tmp_path / "a.wmv")) as given,
        av.open(str(source), "w") as made,
    ):
        made.set_chapters([chapter])
        video = made.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        sound = acm.add_track(made, given.streams.audio[0])
        for frame in gray_frames(3):
            made.mux(video.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        made.mux(video.encode(None))
        for packet in given.demux(audio=0):
            if packet.size:
                packet.stream = sound
                made.mux(packet)
    with open(source, "r+b") as file:
        acm.finish(file)
    output, report = colorized(source)
    assert report.notes == ()
    content = output.read_bytes()
    assert content.count(b"\x86\x89A_MS/ACM\0") == 1  # EBML: a string may end with zeros
    with av.open(str(output), options={"err_detect": "crccheck+explode"}) as made:
        assert made.chapters()[0]["metadata"]["title"] == "One"
        assert made.streams.audio[0].codec_context.name == "wmav2"
    assert np.array_equal(samples(output), samples(tmp_path / "a.wmv"))


def test_the_format_header_of_wav(tmp_path):
    """WAVEFORMATEX: tag, channels, rate, bytes per second, block, bits, extra bytes."""
    source = write_film(
        tmp_path / "a.avi", gray_frames(2), codec="mjpeg", pix_fmt="yuvj420p", audio="adpcm_ms"
    )
    with av.open(str(source)) as given:
        header = acm.wav_format(given.streams.audio[0])
    tag, channels, rate, _, block, bits, extra = struct.unpack_from("<HHIIHHH", header)
    assert (tag, channels, rate, bits) == (2, 2, 48000, 4)
    assert block == 1024
    assert extra == len(header) - 18 == 32


@pytest.mark.parametrize(
    ("name", "video", "audio", "suffix", "became", "how"),
    [
        ("a.mpg", "mpeg1video", "pcm_dvd", ".mkv", "flac", "rewritten without loss as flac"),
        ("a.avi", "mjpeg", "adpcm_ms", ".mov", "alac", "rewritten without loss as alac"),
        ("a.wmv", "wmv2", "wmav2", ".mp4", "alac", "decoded to 24 bits and stored as alac"),
        # Its layout has no name in Matroska, which MP4 needs.
        (
            "a.mkv",
            "libx264",
            "pcm_f64le",
            ".mp4",
            "pcm_f64le",
            "rewritten without loss as pcm_f64le",
        ),
    ],
)
def test_sound_that_the_container_refuses_is_rewritten_and_this_is_said_first(
    tmp_path, name, video, audio, suffix, became, how
):
    pixels = "yuvj420p" if video == "mjpeg" else "yuv420p"
    source = write_film(tmp_path / name, gray_frames(6), codec=video, audio=audio, pix_fmt=pixels)
    output = tmp_path / f"o{suffix}"
    painter, said = NoisyPainter(), []
    report = colorize_film(
        source, output, painter, weights="t", notify=lambda x: said.append((painter.predicted, *x))
    )
    note = f"audio stream 1 ({audio}) is {how}, as {suffix} cannot store it"
    assert report.notes == (note,)
    assert said == [(0, note)]
    assert codec(output) == became
    given, made = samples(source), samples(output)
    length = min(given.shape[1], made.shape[1])
    assert length > 8000
    assert np.abs(given - made[:, : given.shape[1]])[:, :length].max() <= 2**-23 * (video == "wmv2")


def test_timecode_is_written_by_the_muxer(tmp_path):
    for suffix in ("mov", "mp4"):
        (tmp_path / suffix).mkdir()
        source = tmp_path / suffix / f"a.{suffix}"
        write_film(source, gray_frames(5), audio=True, metadata={"timecode": "01:02:03:04"})
        with av.open(str(source)) as given:
            assert [s.type for s in given.streams] == ["video", "audio", "data"]
        output, report = colorized(source)
        assert report.notes == ()
        with av.open(str(output)) as made:
            assert [s.type for s in made.streams] == ["video", "audio", "data"]
            assert {s.metadata.get("timecode") for s in made.streams} == {"01:02:03:04", None}
        assert len(read_frames(output)) == 5


@pytest.fixture(scope="module")
def png():
    file = io.BytesIO()
    Image.new("L", (16, 16), 90).save(file, "png")
    return file.getvalue()


def with_cover(path, picture, **fields):
    """Writes a film with a cover, as music shops do."""
    write_film(path.with_name("plain.mkv"), gray_frames(5), audio=True)
    with (
        av.open(str(path.with_name("plain.mkv"))) as given,
        av.open(io.BytesIO(picture)) as other,
        av.open(str(path), "w") as made,
    ):
        made.metadata.update(fields)
        copies = {s.index: made.add_stream_from_template(s, opaque=True) for s in given.streams}
        if path.suffix == ".mkv":
            made.add_attachment("cover.png", "image/png", picture)
        else:
            cover = made.add_stream_from_template(other.streams.video[0], opaque=True)
            cover.disposition = av.stream.Disposition.attached_pic
            packet = next(other.demux(video=0))
            packet.stream = cover
            made.mux(packet)
        for packet in given.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                made.mux(packet)
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_covers_are_kept(tmp_path, png, suffix):
    output, report = colorized(with_cover(tmp_path / f"a.{suffix}", png))
    assert report.notes == ()
    assert report.frames == 5
    with av.open(str(output)) as made:
        cover = made.streams.video[1]
        assert cover.disposition & av.stream.Disposition.attached_pic
        assert bytes(next(p for p in made.demux(cover) if p.size)) == png


def test_a_cover_that_the_container_refuses_is_named(tmp_path, png):
    with_cover(tmp_path / "a.mp4", png).rename(tmp_path / "a.mov")
    with pytest.raises(UnwritableFilm, match=r"cover stream 2 \(png\); give --drop-streams"):
        colorized(tmp_path / "a.mov")


def test_navigation_of_a_dvd_is_no_stream_of_the_film(tmp_path):
    frames = gray_frames(3, 576, 720)
    plain = write_film(tmp_path / "a.mpg", frames, codec="mpeg2video", audio="ac3")
    source = tmp_path / "a.vob"
    with av.open(str(plain)) as given, av.open(str(source), "w", format="dvd") as made:
        copies = [made.add_stream_from_template(s, opaque=True) for s in given.streams]
        for packet in given.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                made.mux(packet)
    with av.open(str(source)) as given:
        assert "dvd_nav_packet" in {s.name for s in given.streams if s.type == "data"}
    output, report = colorized(source)
    assert report.notes == ()
    assert codec(output) == "ac3"


def test_a_film_of_many_streams_has_a_few_notes(tmp_path):
    """Of 20 streams that Matroska cannot store."""
    path = tmp_path / "s.ts"
    write_film(tmp_path / "p.ts", gray_frames(4), codec="mpeg2video", audio="mp2")
    with av.open(str(tmp_path / "p.ts")) as given, av.open(str(path), "w") as made:
        copy = made.add_stream_from_template(given.streams.video[0], opaque=True)
        others = [made.add_mux_stream("klv") for _ in range(20)]
        for stream in others:
            packet = av.Packet(b"\x06\x0e+4 a position")
            packet.stream, packet.pts, packet.dts = stream, 0, 0
            packet.time_base = Fraction(1, 90000)
            made.mux(packet)
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = copy
                made.mux(packet)
    with pytest.raises(UnwritableFilm) as caught:
        colorize_film(path, tmp_path / "o.mkv", NoisyPainter(), weights="w")
    assert str(caught.value).count("(klv)") == 10
    assert " and 10 more; give --drop-streams to leave them out" in str(caught.value)
    said = []
    report = colorize_film(
        path,
        tmp_path / "o.mkv",
        NoisyPainter(),
        weights="w",
        drop_streams=True,
        notify=said.extend,
    )
    assert len(report.notes) == 11
    assert report.notes[-1] == said[-1] == "and 10 more notes"
