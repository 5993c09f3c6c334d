"""Synthetic films, colored by a painter with known chroma, read back with PyAV."""

import contextlib
import itertools
from fractions import Fraction

import numpy as np
import pytest
from helpers.films import HEIGHT, WIDTH, NoisyPainter, gray_frames, packets, read_frames, write_film

from colorjax import color
from colorjax.errors import Interrupted
from colorjax.inference.film import run as film
from colorjax.inference.film.run import colorize_film
from colorjax.runtime.file_names import is_film

av = pytest.importorskip("av")


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
        gray_frames(30),
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


def test_frames_keep_their_number_time_and_lightness_and_gain_color(talkie):
    source, output, report = talkie
    given, made = read_frames(source), read_frames(output)
    assert len(given) == len(made) == report.frames == 30
    assert [t for t, _ in made] == [t for t, _ in given]
    for (_, before), (_, after) in zip(given, made, strict=True):
        assert _lightness_error(before, after) < 1.0  # 4:2:0 and x264 at crf 16
        assert np.linalg.norm(color.rgb_u8_to_lab(after)[..., 1:], axis=-1).mean() > 12
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
        assert made.metadata["comment"].startswith("1926; colors predicted by colorjax")
        assert made.metadata["comment"].endswith("with weights tiny")
        assert [c["metadata"]["title"] for c in made.chapters()] == ["One", "Two"]
        starts, expected = (
            [c["start"] * c["time_base"] for c in film.chapters()] for film in (made, given)
        )
        assert starts == expected
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
    source = write_film(tmp_path / "v.mp4", gray_frames(20), times=times, base=Fraction(1, 90000))
    colorized(source, tmp_path / "o.mp4")
    expected = [t for t, _ in read_frames(source)]
    assert [t for t, _ in read_frames(tmp_path / "o.mp4")] == expected
    assert len({round(b - a, 4) for a, b in itertools.pairwise(expected)}) > 10


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
    source = write_film(tmp_path / name, gray_frames(12), codec=codec, audio=audio)
    assert is_film(source)
    output = tmp_path / "out" / film.output_name(name)
    output.parent.mkdir()
    assert output.name == expected
    report = colorized(source, output)
    given, made = read_frames(source), read_frames(output)
    assert len(made) == len(given) == report.frames == 12
    # Matroska has milliseconds; MPEG starts late, which is subtracted from sound and picture.
    with av.open(str(output)) as container:
        assert container.streams.video[0].average_rate == 25
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
    frames = list(gray_frames(3, height, width))
    source = write_film(tmp_path / "o.mkv", frames, codec="ffv1", pix_fmt=stored)
    colorized(source, tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as made:
        video = made.streams.video[0]
        assert (video.height, video.width, video.pix_fmt) == (height, width, expected)
    for given, (_, made) in zip(frames, read_frames(tmp_path / "out.mkv"), strict=True):
        assert _lightness_error(given, made) < 1.5


def test_ten_bits_become_eight_and_a_note_says_so(tmp_path):
    source = write_film(tmp_path / "t.mkv", gray_frames(3), codec="ffv1", pix_fmt="yuv420p10le")
    report = colorized(source, tmp_path / "o.mkv")
    assert report.notes == ("its 10 bits per channel are reduced to 8",)


@pytest.mark.parametrize(("matrix", "range_"), [(1, 1), (6, 1), (1, 2), (5, 2)])
def test_luma_goes_through_the_matrix_and_range_of_the_film(tmp_path, matrix, range_):
    """The written planes match the painted colors by the formula."""
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


def test_a_resumed_run_comes_to_the_same_film(tmp_path, monkeypatch):
    monkeypatch.setattr(film, "PART_FRAMES", 8)
    source = write_film(
        tmp_path / "s.mp4", [*gray_frames(11), *gray_frames(14, seed=5)], audio=True
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
    assert seen == [13, 10, 9]  # parts of 8: resumed at frame 8, then at frame 16
    assert reports[0].frames == whole.frames == 25
    for name in ("scenes", "flicker", "raw_flicker"):
        assert getattr(reports[0], name) == getattr(whole, name)
    made = [(tmp_path / name).read_bytes() for name in ("whole.mp4", "pieces.mp4")]
    assert made[0] == made[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pieces.mp4", "s.mp4", "whole.mp4"]
