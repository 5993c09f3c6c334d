"""Photo files in and out: upright pixels, the metadata worth keeping, and whole files only."""

from __future__ import annotations

import dataclasses
import math
import os
import secrets
import warnings
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from colorjax.data.decode import UnreadablePhoto, to_rgb

# Formats that hold 8-bit RGB, by suffix; every other photo is written as PNG.
_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".jp2": "JPEG2000",
    ".avif": "AVIF",
}
_HOLDS_ALPHA = ("PNG", "WEBP", "TIFF", "JPEG2000", "AVIF")
_QUALITY: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
_LOSSLESS_TIFF = ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate")
# What a TIFF says about the photo; its other tags describe the old file's pixels. In order:
# DocumentName, ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, Copyright,
# and the EXIF and GPS directories.
_TIFF_TAGS = (269, 270, 271, 272, 305, 306, 315, 316, 33432, 34665, 34853)


class UnwritablePhoto(Exception):
    """The picture cannot be written: no room, no permission, or too large for the format."""


@dataclasses.dataclass(frozen=True)
class PhotoFile:
    """A photo read from a file.

    Attributes:
        image: upright, mode RGB or RGBA.
        metadata: EXIF, DPI, profile and compression, as arguments of Pillow's `save`.
        notes: what a user should know of what was not taken over.
    """

    image: Image.Image
    metadata: dict[str, Any]
    notes: tuple[str, ...]


def format_of(suffix: str) -> str:
    """Returns Pillow's name of the format that a suffix stands for; "": it holds no 8-bit RGB."""
    return _FORMATS.get(suffix.lower(), "")


def output_name(name: str) -> str:
    """Returns a photo's file name with the suffix of the format that it will be written in.

    >>> output_name("holiday.JPG"), output_name("scan.gif")
    ('holiday.JPG', 'scan.png')
    """
    path = Path(name)
    return name if path.suffix.lower() in _FORMATS else path.with_suffix(".png").name


def to_rgb_or_rgba(image: Image.Image) -> Image.Image:
    """Converts a Pillow image of any mode to RGBA where it has transparency, else to RGB.

    Raises:
        ValueError: Pillow cannot convert the mode (La, LAB).
    """
    if image.has_transparency_data and not image.mode.startswith(("I", "F")):
        return image.convert("RGBA")
    return to_rgb(image)


def read(path: Path) -> PhotoFile:
    """Reads a photo of any format that Pillow opens; of several pictures the first.

    Raises:
        UnreadablePhoto: not an image, cut short, or so large that Pillow suspects an attack.
    """
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                notes = _losses(opened)
                upright = ImageOps.exif_transpose(opened)
                photo = PhotoFile(to_rgb_or_rgba(upright), _metadata(opened, upright), notes)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadablePhoto(f"too many pixels: {error}") from None
    except OSError as error:
        raise UnreadablePhoto(error.strerror or _without_path(error, path)) from error
    except Exception as error:  # Pillow's plug-ins raise whatever a broken file leads them to
        raise UnreadablePhoto(f"{type(error).__name__}: {error}") from error
    complaints = [str(w.message) for w in heard if not issubclass(w.category, DeprecationWarning)]
    return dataclasses.replace(photo, notes=(*notes, *complaints))


def write(path: Path, image: Image.Image, metadata: dict[str, Any]) -> tuple[str, ...]:
    """Writes a picture in the format that the suffix names, whole or not at all.

    JPEG has quality 95 without chroma subsampling, WebP and AVIF quality 95; the rest is lossless.

    Args:
        path: of the new file, named by `output_name`; an existing one is replaced.
        image: mode RGB or RGBA.
        metadata: of the `PhotoFile`.

    Returns:
        Notes on what the format cannot hold.

    Raises:
        UnwritablePhoto: see there; the folder is as it was before.
    """
    kind = _FORMATS[path.suffix.lower()]
    notes: tuple[str, ...] = ()
    if image.mode == "RGBA" and kind not in _HOLDS_ALPHA:
        image, notes = image.convert("RGB"), (f"{kind} holds no alpha: dropped",)
    partial = path.with_name(f".colorjax-{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file:
            image.save(file, kind, **_options(kind, metadata))
        partial.replace(path)
    except Exception as error:  # as many kinds as Pillow has encoders
        raise UnwritablePhoto(f"cannot be written as {kind}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return notes


def _losses(image: Image.Image) -> tuple[str, ...]:
    """Says what of an opened, not yet loaded file will be lost."""
    notes = []
    modes = [str(tile[3]) for tile in getattr(image, "tile", ())]
    if image.mode[0] in "IF" or any(";16" in mode and "BGR" not in mode for mode in modes):
        notes.append("more than 8 bits a channel became 8")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # the further frames of an MPO are previews
        notes.append(f"only the first of {frames} pictures was taken")
    return tuple(notes)


def _metadata(opened: Image.Image, upright: Image.Image) -> dict[str, Any]:
    """Collects what goes along, from the loaded file and its upright copy, as `save` wants it."""
    found: dict[str, Any] = {}
    exif = _tiff_exif(opened) if opened.format == "TIFF" else upright.info.get("exif")
    if exif:
        found["exif"] = exif
    dpi = [float(value) for value in upright.info.get("dpi", ())]
    if len(dpi) == 2 and all(math.isfinite(value) and value > 0 for value in dpi):
        found["dpi"] = tuple(dpi)
    profile = upright.info.get("icc_profile") or b""
    if profile[16:20] == b"RGB ":  # one of a grey or CMYK file does not describe the new pixels
        found["icc_profile"] = profile
    if opened.format == "TIFF":
        kept = upright.info.get("compression")
        found["compression"] = kept if kept in _LOSSLESS_TIFF else "tiff_adobe_deflate"
    return found


def _tiff_exif(image: Image.Image) -> bytes:
    old, new = image.getexif(), Image.Exif()
    for tag in _TIFF_TAGS:
        value = old.get_ifd(tag) if tag in (34665, 34853) else old.get(tag)
        if value:
            new[tag] = value
    return new.tobytes() if len(new) else b""


def _options(kind: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of `save` for a format; Pillow ignores metadata it cannot place."""
    options = metadata | _QUALITY.get(kind, {})
    if kind == "TIFF":
        options.setdefault("compression", "tiff_adobe_deflate")
    else:
        options.pop("compression", None)
    return options


def _without_path(error: Exception, path: Path) -> str:
    return str(error).replace(f" {str(path)!r}", "")
