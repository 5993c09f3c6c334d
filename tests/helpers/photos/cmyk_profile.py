"""An ICC profile of a naive CMYK printer, for tests: RGB = (1 - ink) (1 - black)."""

import functools
import struct

import numpy as np

# Linear sRGB to XYZ under D50 (brucelindbloom.com).
_XYZ_D50 = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
_WHITE = np.array([0.96422, 1.0, 0.82521])


def _lab(rgb):
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    t = linear @ _XYZ_D50.T / _WHITE
    f = np.where(t > 216 / 24389, np.cbrt(t), t * 841 / 108 + 4 / 29)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )


def _rgb(lab):
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    t = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 108 / 841)
    linear = np.clip(t * _WHITE @ np.linalg.inv(_XYZ_D50).T, 0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def _grid(channels, steps):
    axes = np.meshgrid(*[np.linspace(0, 1, steps)] * channels, indexing="ij")
    return np.stack(axes, -1).reshape(-1, channels)


def _table(inputs, outputs, steps, values):
    head = struct.pack(">4sIBBBB", b"mft2", 0, inputs, outputs, steps, 0)
    matrix = struct.pack(">9i", *(np.eye(3, dtype=int).ravel() * 65536))
    line = struct.pack(">HH", 0, 65535)
    clut = np.clip(np.rint(values), 0, 65535).astype(">u2").tobytes()
    return head + matrix + struct.pack(">HH", 2, 2) + line * inputs + clut + line * outputs


@functools.cache
def cmyk_profile():
    cmyk = _grid(4, 9)
    lab = _lab((1 - cmyk[:, :3]) * (1 - cmyk[:, 3:]))
    forth = _table(4, 3, 9, (lab * [1, 1, 1] + [0, 128, 128]) * [652.8, 256, 256])
    lab = _grid(3, 33) * [65535 / 652.8, 65535 / 256, 65535 / 256] - [0, 128, 128]
    rgb = _rgb(lab)
    black = 1 - rgb.max(-1, keepdims=True)
    ink = (1 - rgb - black) / np.maximum(1 - black, 1e-9)
    back = _table(3, 4, 33, np.concatenate([ink, black], -1) * 65535)
    text = b"naive CMYK\0"
    desc = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)
    tags = {
        b"desc": desc,
        b"cprt": b"text" + bytes(4) + b"public domain\0",
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
        b"A2B0": forth,
        b"B2A0": back,
    }
    place, index, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        index += struct.pack(">4sII", name, place + len(body), len(content))
        body += content
    size = place + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"test", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + index + body
