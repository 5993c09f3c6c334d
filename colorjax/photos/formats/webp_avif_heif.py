"""WebP, AVIF, HEIF, GIF and BMP: 8-bit pixels and metadata, read and written by Pillow."""

from __future__ import annotations

import contextlib
import io
import re
import struct
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from colorjax.errors import UnreadablePhoto
from colorjax.photos import color_code, derivatives, exif
from colorjax.photos.formats import bmp, containers, heif_items, jpeg2000, pillow
from colorjax.photos.photo import Metadata, Photo, UnwritablePhoto

_QUALITY = 95
_NCLX = re.compile(rb"colrnclx(.{4})", re.DOTALL)
_MOST_PIXELS_A_SIDE = {"WEBP": 16383, "AVIF": 65536, "HEIF": 65535}


def has_heif() -> bool:
    """Returns whether HEIF can be read; registers it with Pillow."""
    try:
        import pillow_heif
    except ImportError:
        return False
    if "HEIF" not in Image.OPEN:
        pillow_heif.register_heif_opener(thumbnails=False)
    return True


def read(data: bytes, kind: str, max_pixels: int) -> Photo:
    """Reads a photo that Pillow opens as `kind`; see `colorjax.photos.read`."""
    data, notes = containers.repaired(data, kind)
    if kind in ("AVIF", "HEIF"):
        heif_items.check(data, max_pixels)
    try:
        image = pillow.open_image(data, kind, max_pixels)
        metadata = _metadata(image, data, kind)
        turned = pillow.make_upright(metadata)
        if kind == "HEIF":  # Pillow returns HEIF pixels upright, independent of EXIF
            turned = 1
        photo = pillow.to_photo(image, kind, metadata, turned)
    except UnreadablePhoto:
        raise
    except Exception:  # of Pillow
        containers.explain(data, kind)
        raise
    photo.encoding = {"lossless": kind == "WEBP" and b"VP8L" in _chunk_names(data)}
    if color_code.is_hdr(_color_code(data, kind)[1]):
        notes += ("its HDR brightness was compressed: the result is SDR",)
    photo.notes = (*notes, *photo.notes, *_dropped(data, kind))
    deep = _bits(data, kind, image)
    if deep > 8:
        photo.notes = (*photo.notes, f"its {deep} bits per channel became 8")
    return photo


def _metadata(image: Any, data: bytes, kind: str) -> Metadata:
    info = image.info
    packet = info.get("xmp") or b""
    comment = info.get("comment") or b""
    return Metadata(
        exif=exif.without_prefix(info.get("exif") or b""),
        xmp=packet.encode() if isinstance(packet, str) else packet.rstrip(b"\0"),
        icc=_profile(info.get("icc_profile") or b"", data, kind),
        dpi=pillow.dpi_of(image),
        comment=comment.encode() if isinstance(comment, str) else comment,
    )


def _profile(icc: bytes, data: bytes, kind: str) -> bytes:
    if kind == "BMP":
        return bmp.embedded_profile(data)
    primaries, transfer = _color_code(data, kind)
    return icc or color_code.of_code(primaries, transfer)


def _color_code(data: bytes, kind: str) -> tuple[int, int]:
    """Returns the codes of primaries and transfer in the nclx box of AVIF and HEIF; else sRGB.

    The curve of BT.709 is read as that of sRGB, as browsers do.
    """
    match = _NCLX.search(data) if kind in ("AVIF", "HEIF") else None
    primaries, transfer = struct.unpack(">HH", match[1]) if match else (1, 13)
    if transfer in (1, 2, 6, 14, 15):
        transfer = 13
    primaries = 1 if primaries == 2 else primaries
    return (primaries, transfer) if color_code.is_known(primaries, transfer) else (1, 13)


def _dropped(data: bytes, kind: str) -> tuple[str, ...]:
    """Returns notes on the parts of AVIF and HEIF that are not written again."""
    if kind not in ("AVIF", "HEIF"):
        return ()
    boxes = jpeg2000.boxes(data)
    meta = b"".join(box.content for box in boxes if box.name == b"meta")
    notes = (derivatives.THUMBNAIL_NOTE,) if b"thmb" in meta else ()
    if b"hdrgainmap" in meta or b"tmap" in meta:
        notes += (derivatives.GAIN_MAP_NOTE,)
    if b"aux:depth" in meta or b"auxid:2" in meta:
        notes += ("its depth map was dropped",)
    if any(box.name == b"mpvd" for box in boxes):
        notes += (derivatives.FILM_NOTE,)
    return notes


def _chunk_names(data: bytes) -> set[bytes]:
    """Returns the names of the chunks of a WebP, and of those in animation frames."""
    names, offset = set(), 12
    while offset + 8 <= len(data):
        names.add(data[offset : offset + 4])
        if data[offset : offset + 4] == b"ANMF":
            names.add(data[offset + 24 : offset + 28])
        size = int.from_bytes(data[offset + 4 : offset + 8], "little")
        offset += 8 + size + size % 2
    return names


def _bits(data: bytes, kind: str, image: Any) -> int:
    """Returns the bits per channel of AVIF and HEIF, 8 for other kinds."""
    if kind == "HEIF":
        return int(image.info.get("bit_depth", 8))
    offset = data.find(b"av1C", 0, 2**14) if kind == "AVIF" else -1
    flags = data[offset + 6] if 0 <= offset < len(data) - 6 else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def write(file: BinaryIO, photo: Photo, kind: str, quality: int | None) -> tuple[str, ...]:
    """Encodes a photo as WebP, AVIF or HEIF; see `colorjax.photos.write`."""
    pillow.rgb_only(photo, kind)
    most = _MOST_PIXELS_A_SIDE[kind]
    if max(photo.height, photo.width) > most:
        raise UnwritablePhoto(f"{kind} allows at most {most} pixels per side: write it as PNG")
    pixels, notes = pillow.eight_bits(photo, kind, alpha=True)
    if photo.is_gray:  # these formats have no gray with alpha
        pixels = pixels[..., [0, 0, 0, *range(1, pixels.shape[2])]]
    image = pillow.to_image(np.ascontiguousarray(pixels[..., :4]), photo)
    image.save(file, kind, **_options(photo, kind, image.mode == "RGBA", quality))
    return notes


def _options(photo: Photo, kind: str, alpha: bool, quality: int | None) -> dict[str, Any]:
    metadata, options = photo.metadata, dict[str, Any]()
    if metadata.exif:
        options["exif"] = b"Exif\0\0" + metadata.exif
    if metadata.xmp:
        options["xmp"] = metadata.xmp
    if metadata.icc:
        options["icc_profile"] = metadata.icc
    if kind == "WEBP":
        lossless = photo.encoding.get("lossless", photo.kind != "WEBP") and quality is None
        if lossless:
            return options | {"lossless": True, "exact": True, "quality": 75, "method": 4}
        return options | {"quality": quality or _QUALITY, "exact": True, "use_sharp_yuv": True}
    if kind == "AVIF":  # its encoder uses the same quality for alpha and color
        return options | {
            "quality": quality or (100 if alpha else _QUALITY),
            "subsampling": "4:4:4",
        }
    return options | {"quality": quality or (-1 if alpha else _QUALITY), "chroma": 444}


def heif_writer() -> None:
    """Checks that HEIF can be written.

    Raises:
        UnwritablePhoto: pillow_heif or its encoder is missing.
    """
    with contextlib.suppress(Exception):
        if has_heif():
            Image.new("RGB", (8, 8)).save(io.BytesIO(), "HEIF")
            return
    raise UnwritablePhoto("HEIF needs an encoder: pip install 'colorjax[heif]', or write it as PNG")


def refuse_heif() -> None:
    """Checks that HEIF can be read.

    Raises:
        UnreadablePhoto: the package for HEIF is not installed.
    """
    if not has_heif():
        raise UnreadablePhoto("HEIF needs a package: pip install 'colorjax[heif]'")
