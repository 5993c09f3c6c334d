"""Damages many films: `python tests/helpers/film_fuzz.py COUNT SEED LOG FOLDER`; a crash ends it.

Each case is a line of LOG: its number and name before it runs, the outcome after it. A run that was
ended continues after the last case in the log. FOLDER has the whole films, from `write_originals`.
"""

import faulthandler
import os
import resource
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np

SECONDS = 30  # for one film
MEBIBYTES = 1024  # of address space, on top of that of the libraries
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
    from helpers.films import gray_frames, write_film

    for name, (video, sound, fields) in FILMS.items():
        size = SIZES.get(video, (32, 48))
        frames = gray_frames(3, *size)
        write_film(folder / name, frames, codec=video, audio=sound or False, **fields)


def damaged(name, folder, rng):
    """Returns a film with damage, a third of them with a piece of another one in it."""
    from helpers.photos import damage

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
    """Colorizes a film; "refused", or "written" if the result opens and is whole.

    Any other exception goes to the caller, and so does a file that a refused film left.
    """
    from helpers.films import NoisyPainter

    from colorjax.errors import RequestError
    from colorjax.inference.film.run import UnreadableFilm, UnwritableFilm, colorize_film

    complaint = ""
    try:
        report = colorize_film(
            path, output, NoisyPainter(), weights="w", drop_streams=True, max_pixels=MAX_PIXELS
        )
    except (UnreadableFilm, UnwritableFilm, RequestError) as error:
        complaint = str(error)
    left = {p.name for p in path.parent.iterdir()} - {path.name, output.name}
    assert len(left) <= 1, left  # at most the parts of an unfinished film
    if complaint:
        assert "\n" not in complaint
        assert len(complaint) < 500
        assert not output.exists(), "a refused film has an output"
        return "refused"
    assert not left, left
    assert count_frames(output) == report.frames
    return "written"


def count_frames(path):
    import av

    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def limit_memory(mebibytes):
    """Bounds the address space of this process from now on."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + mebibytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(count, seed, log, folder):
    from colorjax.inference.film.run import output_name

    names = list(FILMS)
    first = len(log.read_text().splitlines()) if log.exists() else 0
    with log.open("a") as file, tempfile.TemporaryDirectory() as temporary:
        for case in range(first, count):
            if case == first + 1:
                limit_memory(MEBIBYTES)  # the libraries are loaded
            rng = np.random.default_rng((seed, case))
            name = names[rng.integers(len(names))]
            print(case, name, end=" ", file=file, flush=True)
            work = Path(temporary) / str(case)
            work.mkdir()
            path = work / f"film{Path(name).suffix}"
            path.write_bytes(damaged(name, folder, rng))
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            try:
                outcome = survives(path, work / output_name(f"made{path.suffix}"))
            except Exception:
                outcome = "failed " + " | ".join(traceback.format_exc()[-900:].splitlines())
            faulthandler.cancel_dump_traceback_later()
            print(outcome, file=file, flush=True)
            subprocess.run(["rm", "-rf", work], check=True)


def run(count, seed, log, folder):
    """Runs the cases, goes on after a crash, and returns the outcomes and the error output."""
    said = []
    while True:
        result = subprocess.run(
            [sys.executable, __file__, str(count), str(seed), str(log), str(folder)],
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            check=False,
        )
        said.append(result.stderr)
        if result.returncode == 0:
            break
        with log.open("a") as file:
            print(f"failed ended with status {result.returncode}", file=file)
    return [line.split(" ", 2) for line in log.read_text().splitlines()], "".join(said)


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    faulthandler.enable()
    warnings.simplefilter("ignore")
    main(*(int(text) for text in sys.argv[1:3]), *map(Path, sys.argv[3:5]))
