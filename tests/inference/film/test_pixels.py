"""Orientation, range, matrix and gamut of frames, against the planes of the files."""

import itertools
import struct
from fractions import Fraction

import numpy as np
import pytest
from helpers.films import gray_frames, write_film

from colorjax import color
from colorjax.inference.film.pixels import rgb_of
from colorjax.inference.film.run import colorize_film

av = pytest.importorskip("av")

# a, b, c, d of the display matrix (ISO/IEC 14496-12: x' = a x + c y, y' = b x + d y, y down) and
# the same as NumPy operations on (H, W) arrays.
ORIENTATIONS = {
    "upright": ((1, 0, 0, 1), lambda x: x),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "half turn": ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
    "upside down": ((1, 0, 0, -1), np.flipud),
    "transposed": ((0, 1, 1, 0), lambda x: np.swapaxes(x, 0, 1)),
    "clockwise": ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
    "anti-transposed": ((0, -1, -1, 0), lambda x: np.rot90(np.swapaxes(x, 0, 1), 2)),
    "counterclockwise": ((0, -1, 1, 0), np.rot90),
}


class Unchanged:
    """Paints nothing."""

    settings = "unchanged"
    compile_seconds = 0.0

    def predict_ab(self, rgb):
        return np.zeros((12, 16, 2), np.float32)

    def paint(self, rgb, ab):
        return rgb


def colorized(path, output):
    return colorize_film(path, output, Unchanged(), weights="tiny")


def turned_header(path, matrix):
    """Replaces the matrix in the track header, as telephones write it."""
    content = path.read_bytes()
    one = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    a, b, c, d = (x << 16 for x in matrix)
    at = content.index(one, content.index(b"tkhd"))
    turned = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content[:at] + turned + content[at + len(one) :])


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["mp4", "mov", "m4v", "mkv"])
def test_all_orientations_become_upright(tmp_path, suffix, name):
    matrix, turn = ORIENTATIONS[name]
    frames = list(gray_frames(2))
    source = tmp_path / f"r.{suffix}"
    if suffix == "mkv":
        plain = write_film(tmp_path / "p.mp4", frames, sample_aspect_ratio=Fraction(4, 3))
        turned_header(plain, matrix)
        with av.open(str(plain)) as given, av.open(str(source), "w") as made:
            copy = made.add_stream_from_template(given.streams.video[0], opaque=True)
            for packet in given.demux(video=0):
                if packet.size:
                    packet.stream = copy
                    made.mux(packet)
    else:
        write_film(source, frames, sample_aspect_ratio=Fraction(4, 3))
        turned_header(source, matrix)
    with av.open(str(source)) as given:
        side_data = next(given.decode(video=0)).side_data.get("DISPLAYMATRIX")
    assert (side_data is None) == (name == "upright")  # the container kept it
    colorized(source, tmp_path / f"o.{suffix}")
    with av.open(str(tmp_path / f"o.{suffix}")) as made:
        aspect = made.streams.video[0].sample_aspect_ratio
        assert aspect == (Fraction(4, 3) if matrix[0] else Fraction(3, 4))
        decoded = list(made.decode(video=0))
    for given, frame in zip(frames, decoded, strict=True):
        assert frame.side_data.get("DISPLAYMATRIX") is None
        result = frame.to_ndarray(format="rgb24")[..., 0].astype(int)
        assert np.abs(result - turn(given[..., 0])).mean() < 2


def film_of_luma(path, pixel_format, range_, codec="ffv1"):
    """Writes a film whose luma has every value of the range, without chroma.

    Returns:
        The mean of luma, in units of 8 bits.
    """
    bits = av.VideoFormat(pixel_format).components[0].bits
    low, high = (16, 235) if range_ == 1 else (0, 255)
    scale = 2 ** (bits - 8)
    kind = np.uint8 if bits == 8 else np.uint16
    top = high * scale if range_ == 1 else 2**bits - 1
    luma = np.linspace(low * scale, top, 64 * 48).round().reshape(48, 64).astype(kind)
    frame = av.VideoFrame(64, 48, pixel_format)
    for number, plane in enumerate(frame.planes):
        width = plane.line_size // np.dtype(kind).itemsize
        rows = np.full((plane.height, width), 2 ** (bits - 1), kind)
        if number == 0:
            rows[:, :64] = luma
        plane.update(rows.tobytes())
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        stream.codec_context.time_base = Fraction(1, 25)
        stream.codec_context.color_range = range_
        if codec == "libx265":
            stream.options = {"x265-params": "log-level=none:lossless=1:bframes=0"}
        frame.color_range, frame.pts, frame.time_base = range_, 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return luma.mean() / scale


def mean_luma(path):
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        plane = np.frombuffer(bytes(frame.planes[0]), np.uint8)
        rows = plane.reshape(-1, frame.planes[0].line_size)[: frame.height, : frame.width]
        return rows.mean(), int(frame.color_range)


FORMATS = [
    *((kind, "ffv1") for kind in ("gray", "gray10le", "gray12le", "gray16le")),
    *(
        (f"yuv{chroma}p{bits}", "ffv1")
        for chroma, bits in itertools.product((420, 422, 444), ("", "10le", "12le"))
    ),
    *((kind, "libx265") for kind in ("gray", "gray10le", "gray12le", "yuv420p10le")),
    ("yuv422p10le", "prores_ks"),
]


@pytest.mark.parametrize(
    ("pixel_format", "codec", "range_"),  # 1: limited, 2: full, which ProRes does not have
    [
        (*each, range_)
        for each in FORMATS
        for range_ in (1, 2)
        if (each[1], range_) != ("prores_ks", 2)
    ],
)
def test_the_mean_of_luma_stays(tmp_path, pixel_format, codec, range_):
    source = tmp_path / ("s.mov" if codec == "prores_ks" else "s.mkv")
    given = film_of_luma(source, pixel_format, range_, codec)
    with av.open(str(source)) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == pixel_format
        assert frame.color_range in ((0, 1) if codec == "prores_ks" else (range_,))
    colorized(source, tmp_path / "o.mkv")
    made, made_range = mean_luma(tmp_path / "o.mkv")
    assert made_range in (0, range_)
    assert abs(made - given) < 1


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_limited_gray_by_the_formula(bits):
    """8-bit value = (code / 2^(bits - 8) - 16) 255 / 219 (ITU-R BT.709)."""
    scale = 2 ** (bits - 8)
    codes = (np.arange(16, 236) * scale).astype(np.uint8 if bits == 8 else np.uint16)
    frame = av.VideoFrame(220, 1, "gray" if bits == 8 else f"gray{bits}le")
    line = np.zeros(frame.planes[0].line_size // codes.itemsize, codes.dtype)
    line[:220] = codes
    frame.planes[0].update(line.tobytes())
    frame.color_range = 1
    rgb = rgb_of(frame, 220, 1, 1)
    expected = (np.arange(16, 236) - 16) * 255 / 219
    assert np.abs(rgb[0, :, 0] - expected).max() <= (0.5 if bits == 8 else 1.5)
    assert (rgb[0, 0, 0], rgb[0, -1, 0]) == (0, 255)


def test_wide_gamuts_become_srgb():
    """Against chromaticities and white points (ITU-R BT.2020, SMPTE EG 432-1)."""

    def to_xyz(corners):
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in corners]).T
        white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
        return columns * np.linalg.solve(columns, white)

    srgb = to_xyz([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)])
    for code, corners in {
        9: [(0.708, 0.292), (0.170, 0.797), (0.131, 0.046)],
        12: [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)],
    }.items():
        rgb = np.array([[[200, 150, 100], [90, 120, 130], [77, 77, 77], [255, 255, 255]]], np.uint8)
        frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
        frame.color_primaries = code
        linear = np.where(rgb > 10, ((rgb / 255 + 0.055) / 1.055) ** 2.4, 0)
        linear = np.clip(linear @ np.linalg.solve(srgb, to_xyz(corners)).T, 0.0032, 1)
        expected = (1.055 * linear ** (1 / 2.4) - 0.055) * 255
        assert np.abs(rgb_of(frame, 4, 1, 1) - expected).max() < 1


@pytest.mark.parametrize(
    ("transfer", "note"),
    [
        (16, "it is HDR (PQ) and is read as SDR: "),
        (18, "it is HDR (HLG) and is read as SDR: "),
        (14, "its wide color gamut is converted to BT.709"),
    ],
)
def test_hdr_and_wide_gamuts_are_written_as_bt_709(tmp_path, transfer, note):
    source = write_film(
        tmp_path / "s.mkv",
        gray_frames(3),
        codec="ffv1",
        pix_fmt="yuv420p10le",
        colorspace=9,
        color_primaries=9,
        color_trc=transfer,
        color_range=1,
    )
    report = colorized(source, tmp_path / "o.mp4")
    assert len(report.notes) == 2  # and 10 bits
    assert report.notes[0].startswith(note)
    with av.open(str(tmp_path / "o.mp4")) as made:
        context = made.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
        frame = next(made.decode(video=0))
        assert frame.side_data.get("MASTERING_DISPLAY_METADATA") is None
        assert frame.side_data.get("CONTENT_LIGHT_LEVEL") is None
    given = next(gray_frames(1))
    result = frame.to_ndarray(format="rgb24", src_colorspace=1)
    lightness = [color.rgb_u8_to_lab(x)[..., 0] for x in (given, result)]
    assert np.abs(lightness[0] - lightness[1]).mean() < 1.5
