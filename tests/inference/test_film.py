"""Films that are made here, coloured by a painter whose chroma is known, read back by PyAV."""

import contextlib
import io
import os
import resource
import signal
import struct
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from colorjax import color
from colorjax.errors import Interrupted, RequestError
from colorjax.inference import film
from colorjax.inference.film import UnreadableFilm, UnwritableFilm, colorize_film
from colorjax.inference.film_paint import FramePainter

av = pytest.importorskip("av")

HEIGHT, WIDTH = 48, 64


class NoisyPainter:
    """Predicts orange everywhere, and noise that depends on the frame alone."""

    settings = "noisy"
    compile_seconds = 0.0

    def __init__(self, noise=8.0):
        self.noise = noise
        self.predicted = 0

    def predict_ab(self, rgb):
        self.predicted += 1
        rng = np.random.default_rng(rgb[::4, ::4].astype(np.uint32).ravel())
        return rng.normal((20, 30), self.noise, (12, 16, 2)).astype(np.float32)

    def paint(self, rgb, ab):
        planes = [Image.fromarray(np.ascontiguousarray(ab[..., i])) for i in (0, 1)]
        size = rgb.shape[1::-1]
        a, b = (np.asarray(p.resize(size, Image.Resampling.BILINEAR)) for p in planes)
        lab = np.stack([color.rgb_u8_to_lab(rgb)[..., 0], a, b], -1)
        return np.asarray(color.lab_to_rgb_u8(lab, gamut="shrink_chroma"))


def grey_frames(number, height=HEIGHT, width=WIDTH, seed=0, step=1):
    """A smooth random scene that a bright square crosses."""
    rng = np.random.default_rng(seed)
    scene = Image.fromarray(rng.integers(40, 200, (6, 8), np.uint8))
    scene = np.asarray(scene.resize((width, height), Image.Resampling.BICUBIC))
    for i in range(number):
        frame = scene.copy()
        left = 2 + i * step % max(1, width - 12)
        frame[10:18, left : left + 8] = 230
        frame[:4, :4] = i % 200  # no two frames are the same
        yield np.repeat(frame[..., None], 3, -1)


def write_film(path, frames, *, times=None, rate=25, base=None, audio=False, **fields):
    """Encodes frames; `times` are timestamps in `base`, else the rate's."""
    metadata = fields.pop("metadata", {})
    codec = fields.pop("codec", "libx264")
    chapters = fields.pop("chapters", None)
    frames = list(frames)
    base = base or Fraction(1, rate)
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata)
        if chapters:
            container.set_chapters(chapters)
        options = {"crf": "4"} if codec == "libx264" else {}
        video = container.add_stream(codec, rate=rate, options=options)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = fields.pop("pix_fmt", "yuv420p")
        video.codec_context.time_base = base
        for name, value in fields.items():
            setattr(video.codec_context, name, value)
        sound = container.add_stream("aac" if audio is True else audio, rate=48000) if audio else 0
        if sound:
            sound.metadata["language"] = "deu"
        for i, array in enumerate(frames):
            matrix = {1: 1}.get(fields.get("colorspace"), 5)
            picture = av.VideoFrame.from_ndarray(array, "rgb24").reformat(
                format=video.pix_fmt,
                dst_colorspace=matrix,
                dst_color_range=fields.get("color_range", 1),
            )
            picture.pts, picture.time_base = (times[i] if times else i), base
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if sound:
            _write_tone(container, sound, len(frames) / rate)
    return path


def _write_tone(container, sound, seconds):
    kind = sound.codec_context.format.name
    for start in range(0, int(48000 * seconds), 1024):
        t = np.arange(start, start + 1024) / 48000
        wave = 0.3 * np.sin(2 * np.pi * 440 * t)
        both = np.stack([wave, wave])
        if kind.startswith("s16"):
            both = (both * 32767).astype(np.int16)
        both = (both * 2**31).astype(np.int32) if kind.startswith("s32") else both
        both = both.astype(np.float32) if kind.startswith("flt") else both
        data = both if kind.endswith("p") else np.ascontiguousarray(both.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(data, kind, "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(sound.encode(frame))
    container.mux(sound.encode(None))


def read_frames(path):
    """Returns (seconds, RGB) of each frame."""
    with av.open(str(path)) as container:
        return [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def packets(path, kind):
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        found = [p for p in container.demux(stream) if p.size]
        return [(float(p.pts * p.time_base), bytes(p)) for p in found]


def _lightness_error(before, after):
    before, after = (color.rgb_u8_to_lab(np.ascontiguousarray(x))[..., 0] for x in (before, after))
    return np.abs(before - after).mean()


def colorized(path, output, painter=None, **options):
    return colorize_film(path, output, painter or NoisyPainter(), weights="tiny", **options)


@pytest.fixture(scope="module")
def talkie(tmp_path_factory):
    """30 frames with a tone, tags, aspect, metadata and chapters; and its output and report."""
    folder = tmp_path_factory.mktemp("film")
    source = write_film(
        folder / "talkie.mp4",
        grey_frames(30),
        audio=True,
        sample_aspect_ratio=Fraction(16, 15),
        colorspace=1,
        color_primaries=1,
        color_trc=1,
        color_range=1,
        metadata={"title": "A walk", "comment": "1926"},
        chapters=[
            {
                "id": 1,
                "start": 0,
                "end": 600,
                "time_base": Fraction(1, 1000),
                "metadata": {"title": "One"},
            },
            {
                "id": 2,
                "start": 600,
                "end": 1200,
                "time_base": Fraction(1, 1000),
                "metadata": {"title": "Two"},
            },
        ],
    )
    report = colorized(source, folder / "out.mp4")
    return source, folder / "out.mp4", report


def test_frames_keep_their_number_time_and_lightness_and_gain_colour(talkie):
    source, output, report = talkie
    given, made = read_frames(source), read_frames(output)
    assert len(given) == len(made) == report.frames == 30
    assert [t for t, _ in made] == [t for t, _ in given]
    for (_, before), (_, after) in zip(given, made, strict=True):
        assert _lightness_error(before, after) < 1.0  # 4:2:0 and x264 at crf 16
        assert np.linalg.norm(color.rgb_u8_to_lab(after)[..., 1:], axis=-1).mean() > 20
    assert report.scenes == 1
    assert report.notes == ()


def test_sound_is_copied_bit_for_bit(talkie):
    source, output, _ = talkie
    assert packets(output, "audio") == packets(source, "audio")
    assert len(packets(output, "audio")) > 50
    with av.open(str(output)) as made:
        assert made.streams.audio[0].language == "deu"


def test_what_describes_the_film_is_kept(talkie):
    source, output, _ = talkie
    with av.open(str(source)) as given, av.open(str(output)) as made:
        for container in (given, made):
            assert container.metadata["title"] == "A walk"
        assert made.metadata["comment"].startswith("1926; colours predicted by colorjax")
        assert made.metadata["comment"].endswith("with weights tiny")
        assert [c["metadata"]["title"] for c in made.chapters()] == ["One", "Two"]
        assert [c["start"] for c in made.chapters()] == [c["start"] for c in given.chapters()]
        a, b = given.streams.video[0], made.streams.video[0]
        assert a.sample_aspect_ratio == b.sample_aspect_ratio == Fraction(16, 15)
        assert (a.average_rate, a.time_base, a.duration) == (
            b.average_rate,
            b.time_base,
            b.duration,
        )
        for tag in ("colorspace", "color_primaries", "color_trc", "color_range"):
            assert getattr(a.codec_context, tag) == getattr(b.codec_context, tag) == 1
        assert [s.type for s in made.streams] == [s.type for s in given.streams]


def test_the_output_appears_whole_and_nothing_else_stays(talkie):
    _, output, _ = talkie
    assert sorted(p.name for p in output.parent.iterdir()) == ["out.mp4", "talkie.mp4"]


def test_variable_frame_rate_keeps_every_timestamp(tmp_path):
    rng = np.random.default_rng(1)
    times = [0, *np.cumsum(rng.integers(1, 9000, 19)).tolist()]
    source = write_film(tmp_path / "v.mp4", grey_frames(20), times=times, base=Fraction(1, 90000))
    colorized(source, tmp_path / "o.mp4")
    expected = [t for t, _ in read_frames(source)]
    assert [t for t, _ in read_frames(tmp_path / "o.mp4")] == expected
    assert len({round(b - a, 4) for a, b in zip(expected, expected[1:], strict=False)}) > 10


@pytest.mark.parametrize(
    ("name", "codec", "audio", "expected"),
    [
        ("a.mkv", "libx264", "pcm_s16le", "a.mkv"),
        ("a.mov", "libx264", "pcm_s16le", "a.mov"),
        ("a.avi", "mpeg4", "mp3", "a.mkv"),
        ("a.webm", "libvpx", "libopus", "a.mkv"),
        ("a.mpg", "mpeg1video", "mp2", "a.mkv"),
        ("a.ts", "mpeg2video", "mp2", "a.mkv"),
    ],
)
def test_containers(tmp_path, name, codec, audio, expected):
    source = write_film(tmp_path / name, grey_frames(12), codec=codec, audio=audio)
    assert film.is_film(source)
    output = tmp_path / "out" / film.output_name(name)
    output.parent.mkdir()
    assert output.name == expected
    report = colorized(source, output)
    given, made = read_frames(source), read_frames(output)
    assert len(made) == len(given) == report.frames == 12
    # Matroska has milliseconds; MPEG starts late, which is taken off sound and picture alike.
    late = given[0][0] - made[0][0]
    steps = [a - b - late for (a, _), (b, _) in zip(given, made, strict=True)]
    assert np.abs(steps).max() <= 0.0011
    sounds = packets(source, "audio"), packets(output, "audio")
    assert [p for _, p in sounds[0]] == [p for _, p in sounds[1]]
    assert np.abs([a[0] - b[0] - late for a, b in zip(*sounds, strict=True)]).max() <= 0.0021


@pytest.mark.parametrize(
    ("height", "width", "stored", "expected"),
    [
        (48, 64, "yuv422p", "yuv422p"),
        (48, 64, "yuv444p", "yuv444p"),
        (48, 64, "gray", "yuv420p"),
        (47, 64, "yuv444p", "yuv444p"),
        (47, 64, "gray", "yuv422p"),
        (48, 63, "gray", "yuv444p"),
        (47, 63, "gray", "yuv444p"),
    ],
)
def test_pixel_formats_and_odd_sizes(tmp_path, height, width, stored, expected):
    frames = list(grey_frames(3, height, width))
    source = write_film(tmp_path / "o.mkv", frames, codec="ffv1", pix_fmt=stored)
    colorized(source, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as made:
        video = made.streams.video[0]
        assert (video.height, video.width, video.pix_fmt) == (height, width, expected)
    for given, (_, made) in zip(frames, read_frames(tmp_path / "out.mkv"), strict=True):
        assert _lightness_error(given, made) < 1.5


def test_ten_bits_become_eight_and_a_note_says_so(tmp_path):
    source = write_film(tmp_path / "t.mkv", grey_frames(3), codec="ffv1", pix_fmt="yuv420p10le")
    report = colorized(source, tmp_path / "o.mkv")
    assert report.notes == ("its 10 bits per channel become 8",)


@pytest.mark.parametrize(("matrix", "range_"), [(1, 1), (6, 1), (1, 2), (5, 2)])
def test_luma_goes_through_the_matrix_and_range_of_the_film(tmp_path, matrix, range_):
    """Against the formula: the colours that were painted, from the planes that were written."""
    flat = [np.full((HEIGHT, WIDTH, 3), 128, np.uint8)] * 3
    source = write_film(tmp_path / "m.mkv", flat, colorspace=matrix, color_range=range_)
    painter = NoisyPainter(noise=0)
    colorized(source, tmp_path / "o.mkv", painter)
    red, green, blue = painter.paint(flat[0], painter.predict_ab(flat[0]))[24, 32] / 255
    kr, kb = (0.2126, 0.0722) if matrix == 1 else (0.299, 0.114)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    expected = np.array([luma, (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)])
    expected = (219, 224, 224) * expected + (16, 128, 128)
    if range_ == 2:
        expected = 255 * (expected - (16, 128, 128)) / (219, 224, 224) + (0, 128, 128)
    with av.open(str(tmp_path / "o.mkv")) as made:
        frame = next(made.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (matrix, range_)
        planes = frame.to_ndarray()  # rows of Y, then of Cb, then of Cr
        stored = [planes[rows].mean() for rows in (slice(48), slice(48, 60), slice(60, 72))]
    np.testing.assert_allclose(stored, expected, atol=1.5)


@pytest.mark.parametrize(
    ("turns", "matrix"), [(1, (0, 1, -1, 0)), (3, (0, -1, 1, 0)), (2, (-1, 0, 0, -1))]
)
def test_rotated_films_become_upright(tmp_path, turns, matrix):
    """The matrix is that of the track header, as telephones write it (ISO/IEC 14496-12)."""
    frames = list(grey_frames(4))
    source = write_film(tmp_path / "r.mp4", frames, sample_aspect_ratio=Fraction(4, 3))
    content = source.read_bytes()
    one = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    a, b, c, d = (x << 16 for x in matrix)
    at = content.index(one, content.index(b"tkhd"))
    turned = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    source.write_bytes(content[:at] + turned + content[at + len(one) :])
    colorized(source, tmp_path / "o.mp4")
    # a positive b turns the x axis to y, which points down: clockwise by a quarter
    clockwise = {1: 3, 3: 1, 2: 2}[turns]
    with av.open(str(tmp_path / "o.mp4")) as made:
        aspect = made.streams.video[0].sample_aspect_ratio
        assert aspect == (Fraction(3, 4) if turns % 2 else Fraction(4, 3))
        shown = [(f.rotation, f.to_ndarray(format="rgb24")) for f in made.decode(video=0)]
    for given, (rotation, frame) in zip(frames, shown, strict=True):
        assert rotation == 0
        assert _lightness_error(np.rot90(given, clockwise), frame) < 1.5


def test_a_resumed_run_comes_to_the_same_film(tmp_path, monkeypatch):
    monkeypatch.setattr(film, "PART_FRAMES", 8)
    source = write_film(
        tmp_path / "s.mp4", [*grey_frames(11), *grey_frames(14, seed=5)], audio=True
    )
    whole = colorized(source, tmp_path / "whole.mp4")
    seen, reports = [], []
    for stop_at in (13, 10, None):
        painter = NoisyPainter()
        with contextlib.suppress(Interrupted):
            report = colorized(
                source,
                tmp_path / "pieces.mp4",
                painter,
                stop=lambda painter=painter, stop_at=stop_at: painter.predicted == stop_at,
            )
            reports.append(report)
        seen.append(painter.predicted)
    assert seen == [13, 10, 9]  # parts of 8: on from frame 8, then from frame 16
    assert reports[0].frames == whole.frames == 25
    for name in ("scenes", "flicker", "raw_flicker"):
        assert getattr(reports[0], name) == getattr(whole, name)
    made = [(tmp_path / name).read_bytes() for name in ("whole.mp4", "pieces.mp4")]
    assert made[0] == made[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pieces.mp4", "s.mp4", "whole.mp4"]
