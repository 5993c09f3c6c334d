"""Contact sheet: one picture of many photos, each before and after."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from colorjax import photos
from colorjax.errors import RequestError
from colorjax.photos import UnreadablePhoto
from colorjax.runtime import atomic
from colorjax.runtime.file_names import printable

MAX_PAIRS = 100

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_MARK = "colorjax contact sheet"  # in the file: without --overwrite only a marked file is replaced
_SIDE = 160  # pixels of a thumbnail's box
_GAP = 8
_TEXT = 14
_PAPER, _INK, _NOTHING = "white", "black", "lightgrey"
_BAND_PIXELS = 2**22  # of a photo, downsampled at a time

Strip = tuple[str, *tuple[Path, ...]]  # name, before, after, further versions


def check(path: Path, *, overwrite: bool) -> None:
    """Checks that a contact sheet may be written to a path.

    Raises:
        RequestError: the name does not end in .png or .jpg, or another file exists there.
    """
    if path.suffix.lower() not in _FORMATS:
        raise RequestError(f"--contact-sheet {str(path)!r} must end in .png or .jpg")
    if path.exists() and not overwrite and not _is_ours(path):
        raise RequestError(
            f"--contact-sheet {str(path)!r} exists and is not a contact sheet; give another file, "
            "or --overwrite"
        )


def draw(pairs: Sequence[Strip]) -> Image.Image:
    """Returns a picture of pairs, or longer strips, in rows, each with its name below.

    Args:
        pairs: at most `MAX_PAIRS`; a file that cannot be read becomes a gray box.

    Returns:
        Mode RGB; about square.
    """
    longest = max((len(pair) - 1 for pair in pairs), default=2)
    cell = (longest * (_SIDE + _GAP) - _GAP, _SIDE + _TEXT)
    columns = max(1, round(math.sqrt(len(pairs) * cell[1] / cell[0])))
    rows = max(1, math.ceil(len(pairs) / columns))
    size = [n * (side + _GAP) + _GAP for n, side in zip((columns, rows), cell, strict=True)]
    sheet = Image.new("RGB", (size[0], size[1]), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT - 4)
    for number, (name, *files) in enumerate(pairs):
        row, column = divmod(number, columns)
        left, top = (_GAP + n * (s + _GAP) for n, s in zip((column, row), cell, strict=True))
        for place, path in enumerate(files):
            sheet.paste(_thumbnail(path), (left + place * (_SIDE + _GAP), top))
        pen.text((left, top + _SIDE + 1), _fitting(printable(name), font, cell[0]), _INK, font)
    return sheet


def write(path: Path, pairs: Sequence[Strip]) -> None:
    """Writes the contact sheet of the first `MAX_PAIRS` pairs, atomically.

    Raises:
        OSError: the file cannot be written.
    """
    sheet, kind = draw(pairs[:MAX_PAIRS]), _FORMATS[path.suffix.lower()]
    marks = PngImagePlugin.PngInfo()
    marks.add_text("Software", _MARK)
    options = {"pnginfo": marks} if kind == "PNG" else {"comment": _MARK, "quality": 90}
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    sheet.save(buffer, kind, **options)
    atomic.write_bytes(path, buffer.getvalue())


def _thumbnail(path: Path) -> Image.Image:
    """Returns a square of `_SIDE` pixels with the photo in it."""
    box = Image.new("RGB", (_SIDE, _SIDE), _PAPER)
    try:
        photo = photos.read(path)
    except UnreadablePhoto:
        return Image.new("RGB", (_SIDE, _SIDE), _NOTHING)
    small = shrunk(photo)
    small.thumbnail((_SIDE, _SIDE))
    box.paste(small, ((_SIDE - small.width) // 2, (_SIDE - small.height) // 2))
    return box


def shrunk(photo: photos.Photo) -> Image.Image:
    """Returns a photo downsampled to a few times `_SIDE` pixels, read in bands of rows."""
    factor = max(1, max(photo.height, photo.width) // (2 * _SIDE))
    step = max(1, _BAND_PIXELS // (photo.width * factor)) * factor
    bands = []
    for top in range(0, photo.height, step):
        srgb = photo.srgb(slice(top, min(top + step, photo.height)))
        pixels = srgb if photo.is_8_bit else (srgb * 255).round().astype("uint8")
        bands.append(Image.fromarray(pixels).reduce(factor))
    whole = Image.new("RGB", (bands[0].width, sum(band.height for band in bands)))
    top = 0
    for band in bands:
        whole.paste(band, (0, top))
        top += band.height
    return whole


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Returns a name, or its end if the whole does not fit below its pair."""
    lengths = range(len(text), 0, -1)
    cut = (text if n == len(text) else f"...{text[-n:]}" for n in lengths)
    return next((part for part in cut if font.getlength(part) <= width), "")


def _is_ours(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            mark = image.info.get("Software") or image.info.get("comment", b"")
    except Exception:  # Pillow's plug-ins raise any exception for broken files
        return False
    return mark in (_MARK, _MARK.encode())
