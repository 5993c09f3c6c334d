"""Damages films of every container: see `fuzzing`."""

import tempfile
from pathlib import Path

from helpers import fuzzing
from helpers.films import NoisyPainter, gray_frames, write_film
from helpers.photos import damage

from colorjax.errors import RequestError
from colorjax.inference.film.run import (
    UnreadableFilm,
    UnwritableFilm,
    colorize_film,
    output_name,
)

try:
    import av
except ImportError:  # tests skip then
    av = None

MAX_PIXELS = 2**19
# name -> (video, sound, other fields of `films.write_film`)
FILMS = {
    "h264.mp4": ("libx264", "aac", {}),
    "hevc.mp4": ("libx265", "alac", {}),
    "av1.mp4": ("libsvtav1", None, {}),
    "mpeg4.m4v": ("mpeg4", "aac", {}),
    "mjpeg.mov": ("mjpeg", "pcm_s16le", {"pix_fmt": "yuvj420p"}),
    "png.mov": ("png", None, {"pix_fmt": "rgb24"}),
    "prores.mov": ("prores_ks", None, {"pix_fmt": "yuv422p10le"}),
    "qtrle.qt": ("qtrle", None, {"pix_fmt": "rgb24", "format": "mov"}),
    "h264.mkv": ("libx264", "flac", {"metadata": {"title": "t"}}),
    "ffv1.mkv": ("ffv1", "libopus", {}),
    "vp8.webm": ("libvpx", "libopus", {}),
    "vp9.webm": ("libvpx-vp9", "libopus", {}),
    "av1.webm": ("libsvtav1", None, {}),
    "mpeg4.avi": ("mpeg4", "pcm_s16le", {}),
    "huffyuv.avi": ("huffyuv", None, {"pix_fmt": "yuv422p"}),
    "mpeg4.divx": ("mpeg4", "libmp3lame", {"format": "avi"}),
    "wmv2.wmv": ("wmv2", "wmav2", {}),
    "msmpeg4.asf": ("msmpeg4", "wmav1", {}),
    "mpeg2.ts": ("mpeg2video", "mp2", {}),
    "h264.mts": ("libx264", "aac", {"format": "mpegts"}),
    "h264.m2ts": ("libx264", "ac3", {}),
    "mpeg2.m2t": ("mpeg2video", "mp2", {"format": "mpegts"}),
    "mpeg1.mpg": ("mpeg1video", "mp2", {}),
    "mpeg1.mpeg": ("mpeg1video", None, {}),
    "mpeg1.mpe": ("mpeg1video", "mp2", {"format": "mpeg"}),
    "mpeg2.vob": ("mpeg2video", "ac3", {}),
    "mpeg1.m1v": ("mpeg1video", None, {}),
    "mpeg2.m2v": ("mpeg2video", None, {}),
    "flv1.flv": ("flv", "libmp3lame", {}),
    "h264.f4v": ("libx264", "aac", {}),
    "mpeg4.3gp": ("mpeg4", "aac", {}),
    "mpeg4.3g2": ("mpeg4", "aac", {}),
    "vp8.ogv": ("libvpx", "libopus", {}),
    "vp8.ogm": ("libvpx", "libopus", {"format": "ogg"}),
    "mpeg2.mxf": ("mpeg2video", "pcm_s16le", {}),
    "rv10.rm": ("rv10", None, {}),
    "rv20.rmvb": ("rv20", None, {"format": "rm"}),
    "dvvideo.dv": ("dvvideo", None, {}),
}
# The smallest ones: x265 corrupts its memory below.
SIZES = {"libsvtav1": (64, 64), "libx265": (64, 64), "dvvideo": (576, 720)}  # height, width


def write_originals(folder):
    """Writes the whole films, each of 3 frames."""
    for name, (video, sound, fields) in FILMS.items():
        size = SIZES.get(video, (32, 48))
        frames = gray_frames(3, *size)
        write_film(folder / name, frames, codec=video, audio=sound or False, **fields)


def _damaged(name, folder, rng):
    """Returns a film with damage, a third of them with a piece of another one in it."""
    data = (folder / name).read_bytes()
    if rng.random() < 0.3:
        names = list(FILMS)
        other = (folder / names[rng.integers(len(names))]).read_bytes()
        start = int(rng.integers(0, len(other)))
        piece = other[start : start + int(rng.integers(1, 4000))]
        at, end = sorted(int(i) for i in rng.integers(0, len(data), 2))
        data = data[:at] + piece + data[at if rng.random() < 0.5 else end :]
    return damage.damaged(data, rng)


def survives(path, output):
    """Colorizes a film; "refused", or "accepted" if the result opens and is whole.

    Any other exception goes to the caller, and so does a file that a refused film left.
    """
    report = None
    try:
        report = colorize_film(
            path, output, NoisyPainter(), weights="w", drop_streams=True, max_pixels=MAX_PIXELS
        )
    except (UnreadableFilm, UnwritableFilm, RequestError) as error:
        fuzzing.check_line(error)
    left = {p.name for p in path.parent.iterdir()} - {path.name}
    if report is None:
        assert len(left) <= 1, left  # at most the parts of an unfinished film
        assert not output.exists()
        return "refused"
    assert left == {output.name}
    assert _count_frames(output) == report.frames
    return "accepted"


def _count_frames(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def _case_of(rng, folder):
    names = list(FILMS)
    name = names[rng.integers(len(names))]
    data = _damaged(name, folder, rng)

    def run():
        with tempfile.TemporaryDirectory() as work:
            path = Path(work) / f"film{Path(name).suffix}"
            path.write_bytes(data)
            return survives(path, path.with_name(output_name(f"made{path.suffix}")))

    return name, run


if __name__ == "__main__":
    fuzzing.main(_case_of)
