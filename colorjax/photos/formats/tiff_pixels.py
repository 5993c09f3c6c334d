"""Decodes the pixels of a TIFF page, for all depths and interpretations of photos."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
import tifffile

from colorjax.errors import UnreadablePhoto
from colorjax.photos import color_space, exif
from colorjax.photos.formats import inner_streams

_WHITE_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 2, 3, 5, 6, (8, 9)
_CHANNELS = {0: 1, 1: 1, _RGB: 3, _CMYK: 4, _YCBCR: 3}  # of color
_JPEG = (6, 7)  # compressions that decode YCbCr to RGB


def decode(page: Any, data: bytes) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """Decodes a page of tifffile.

    Args:
        page: a page with a valid size.
        data: bytes of the whole file.

    Returns:
        (H, W, C) in stored order, not turned, with 0 as black; the model, "gray", "rgb" or "cmyk";
        notes.

    Raises:
        UnreadablePhoto: not a photo. Errors of tifffile are not converted.
    """
    kind = int(page.photometric)
    compression = int(page.compression)
    if compression not in tifffile.TIFF.DECOMPRESSORS or compression in inner_streams.UNCHECKED:
        raise UnreadablePhoto(
            f"a TIFF with compression {compression} cannot be read: save it without"
        )
    if kind == _YCBCR and compression not in _JPEG:
        return _rgb_of_ycbcr(page, data), "rgb", ()
    if kind not in (*_CHANNELS, _PALETTE, *_LAB):
        raise UnreadablePhoto(
            f"a TIFF of photometric interpretation {kind} is not a finished photo"
        )
    pixels = page.asarray()
    if pixels.dtype.kind not in "buf" or pixels.dtype.itemsize > 8:
        raise UnreadablePhoto(f"a TIFF of {pixels.dtype} values is not a photo")
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False).reshape(page.shaped)
    pixels = np.moveaxis(pixels[:, 0], 0, 2).reshape(*pixels.shape[2:4], -1)
    if kind == _PALETTE:
        return _looked_up(page, pixels), "rgb", ("its palette colors became RGB",)
    if pixels.dtype == np.bool_:
        gray = (pixels != (kind == _WHITE_IS_ZERO)).astype(np.uint8) * np.uint8(255)
        return gray[..., :1], "gray", ("its 1-bit pixels became RGB",)
    notes: tuple[str, ...] = ()
    if pixels.dtype.kind == "u":
        pixels, notes = _whole_bytes(pixels, page.bitspersample)
    if kind in _LAB:
        return _rgb_of_lab(pixels, kind), "rgb", (*notes, "its Lab became RGB")
    if pixels.shape[2] < _CHANNELS[kind]:
        raise UnreadablePhoto("a TIFF with fewer channels than colors")
    if not pixels.flags.writeable:
        pixels = pixels.copy()
    if kind == _WHITE_IS_ZERO:
        full = white(pixels, "gray")[0]
        pixels[..., 0] = pixels.dtype.type(full) - pixels[..., 0]
    return pixels, {1: "gray", 3: "rgb", 4: "cmyk"}[_CHANNELS[kind]], notes


def white(pixels: np.ndarray, model: str) -> tuple[float, tuple[str, ...]]:
    """Returns the value of white (the largest of an integer type; 1, 255 or more for floats)."""
    if pixels.dtype.kind != "f":
        return float(np.iinfo(pixels.dtype).max), ()
    colors = pixels[..., : {"gray": 1, "rgb": 3, "cmyk": 4}[model]]
    top = max(float(np.nanmax(c, initial=0, where=np.isfinite(c))) for c in _bands_of(colors))
    broken = not all(np.isfinite(c).all() for c in _bands_of(colors))
    notes = ("some of its values are not finite: replaced by black",) if broken else ()
    if top <= 1:
        return 1.0, notes
    full = 255.0 if top <= 255 else 65535.0 if top <= 65535 else top
    return full, (*notes, f"its largest value is {top:.6g}: {full:.6g} was used as white")


def _bands_of(pixels: np.ndarray) -> list[np.ndarray]:
    return [pixels[rows] for rows in color_space.bands(pixels)]


def rgb_of_cmyk(pixels: np.ndarray, full: float) -> np.ndarray:
    """Converts (H, W, 4 and more) CMYK without a profile: RGB = (1 - ink) (1 - black)."""
    rgb = np.empty((*pixels.shape[:2], pixels.shape[2] - 1), pixels.dtype)
    for rows in color_space.bands(pixels):
        paper = 1 - pixels[rows, :, :4].astype(np.float64) / full
        value = paper[..., :3] * paper[..., 3:] * full
        rgb[rows, :, :3] = np.rint(value) if pixels.dtype.kind == "u" else value
    rgb[..., 3:] = pixels[..., 4:]
    return rgb


def _rgb_of_ycbcr(page: Any, data: bytes) -> np.ndarray:
    """Decodes YCbCr, also with subsampled chroma, which tifffile does not decode, by libtiff.

    libtiff turns pixels by some orientations: it gets a file whose orientation is 1. It reports no
    damage: strips are checked first.
    """
    _check_ycbcr(page, data)
    directories = exif.read_directories(data, page.offset)
    upright = bytearray(data)
    for entry in directories.main:
        if entry.tag == exif.ORIENTATION:
            exif.overwrite_number(upright, entry, directories.order, 1)
    return imagecodecs.tiff_decode(bytes(upright), index=page.index, asrgb=True)[..., :3].copy()


def _check_ycbcr(page: Any, data: bytes) -> None:
    """Rejects strips that cannot be decompressed to their full size."""
    decompress = tifffile.TIFF.DECOMPRESSORS[page.compression]
    subsampling = page.tags.get("YCbCrSubSampling")
    across, down = subsampling.value if subsampling else (2, 2)  # TIFF's default
    columns = -(-(page.tilewidth if page.is_tiled else page.imagewidth) // across)
    rows = -(-page.imagelength // down)
    tall = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    most = (across * down + 2) * columns * -(-tall // down)  # bytes of a strip
    units = 0  # blocks of `across` x `down` pixels: their luma, then Cb and Cr
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        strip = data[offset : offset + count]
        is_raw = inner_streams.is_picture(int(page.compression)) or not decompress
        content = memoryview(strip if is_raw else decompress(strip, out=most))
        units += content.nbytes // (across * down + 2)
    if units < columns * rows:
        raise UnreadablePhoto("the pixels of the file are damaged")


def _looked_up(page: Any, pixels: np.ndarray) -> np.ndarray:
    colormap = page.colormap
    if colormap is None or pixels.dtype.kind == "f":
        raise UnreadablePhoto("a TIFF without its palette")
    table = np.asarray(colormap).reshape(3, -1).T
    table = (table >> 8 if table.max(initial=0) > 255 else table).astype(np.uint8)
    return table[np.minimum(pixels[..., 0].astype(np.int64), len(table) - 1)]


def _whole_bytes(pixels: np.ndarray, bits: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Scales values of 2, 4, 6, 10, 12, 14 or 24 bits to the full range of their dtype."""
    bits = max(bits) if isinstance(bits, tuple) else int(bits)
    if bits == pixels.dtype.itemsize * 8:
        return pixels, ()
    full, wanted = 2**bits - 1, np.iinfo(pixels.dtype).max
    stretched = np.empty(pixels.shape, pixels.dtype)
    for rows in color_space.bands(pixels):
        stretched[rows] = np.rint(np.minimum(pixels[rows], full) * (wanted / full))
    return stretched, (f"its {bits} bits per channel became {pixels.dtype.itemsize * 8}",)


def _rgb_of_lab(pixels: np.ndarray, kind: int) -> np.ndarray:
    """Converts CIE Lab (ab signed) or ICC Lab (ab with an offset) of 8 or 16 bits to RGB."""
    if pixels.shape[2] < 3 or pixels.dtype not in (np.uint8, np.uint16):
        raise UnreadablePhoto(f"a TIFF of Lab in {pixels.dtype} values cannot be read")
    full = np.iinfo(pixels.dtype).max
    rgb = pixels.copy()
    for rows in color_space.bands(pixels):
        lightness = pixels[rows, :, :1].astype(np.float32) * (100 / full)
        ab = pixels[rows, :, 1:3]
        if kind == _LAB[0]:
            ab = ab.view(np.dtype(f"i{pixels.dtype.itemsize}")).astype(np.float32)
        else:
            ab = ab.astype(np.float32) - (full + 1) // 2
        lab = np.concatenate([lightness, ab / ((full + 1) // 256)], -1)
        rgb[rows, :, :3] = np.rint(color_space.srgb_from_lab_d50(lab) * full)
    return rgb
