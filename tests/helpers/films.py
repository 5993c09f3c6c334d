"""Films that tests encode, read back, and colour without a network."""

import zlib
from fractions import Fraction

import numpy as np
from PIL import Image

from colorjax import color
from colorjax.inference.film import write as film_write

try:
    import av
except ImportError:  # tests skip then
    av = None

HEIGHT, WIDTH = 48, 64
_OPTIONS = {"libx264": {"crf": "4"}, "libx265": {"x265-params": "log-level=none"}}


class NoisyPainter:
    """Predicts orange everywhere, and noise that depends on the frame alone."""

    settings = "noisy"
    compile_seconds = 0.0

    def __init__(self, noise=4.0):
        self.noise = noise
        self.predicted = 0

    def predict_ab(self, rgb):
        self.predicted += 1
        rng = np.random.default_rng(rgb[::4, ::4].astype(np.uint32).ravel())
        return rng.normal((10, 15), self.noise, (12, 16, 2)).astype(np.float32)

    def paint(self, rgb, ab):
        planes = [Image.fromarray(np.ascontiguousarray(ab[..., i])) for i in (0, 1)]
        size = rgb.shape[1::-1]
        a, b = (np.asarray(p.resize(size, Image.Resampling.BILINEAR)) for p in planes)
        lab = np.stack([color.rgb_u8_to_lab(rgb)[..., 0], a, b], -1)
        return np.asarray(color.lab_to_rgb_u8(lab, gamut="clip"))


def gray_frames(number, height=HEIGHT, width=WIDTH, seed=0, step=1):
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
    with av.open(str(path), "w", format=fields.pop("format", None)) as container:
        container.metadata.update(metadata)
        if chapters:
            container.set_chapters(chapters)
        options = _OPTIONS.get(codec, {})
        video = container.add_stream(codec, rate=rate, options=options)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = fields.pop("pix_fmt", "yuv420p")
        video.codec_context.time_base = base
        for name, value in fields.items():
            setattr(video.codec_context, name, value)
        sound = container.add_stream("aac" if audio is True else audio, rate=48000) if audio else 0
        if sound:
            sound.metadata["language"] = "deu"
            sound.bit_rate = 128_000 if str(audio).startswith("wma") else 0  # it has no default
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


def note_frames(film, path):
    """Lets the module `film` write a line for each frame that it encodes: time and checksum."""

    class Noting(film_write.PartEncoder):
        def add(self, frame):
            with open(path, "a") as file:
                file.write(f"{frame.timestamp} {zlib.crc32(frame.rgb)}\n")
            super().add(frame)

    film.PartEncoder = Noting
