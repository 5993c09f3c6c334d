"""Data cleaning: removes gray, duplicate, tiny and unreadable photos."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from colorjax import color
from colorjax.data.decode import decode_reduced, decode_rgb
from colorjax.data.selection.color_filter import is_exactly_gray
from colorjax.data.selection.parallel_map import in_portions
from colorjax.data.sources import source as sources
from colorjax.data.sources.source import Source
from colorjax.errors import UnreadablePhoto

MIN_SIDE = 64  # pixels
MIN_CHROMA = 3.0  # Lab units; the mean over pixels
# Of the 128 bits of a difference hash; unrelated photos differ in 64 bits on average.
MAX_BITS = 8
REASONS = {
    "unreadable": "cannot be read",
    "tiny": "are too small",
    "grey": "are exactly gray",
    "nearly_grey": "are nearly gray",
    "copies": "are byte-for-byte copies of an earlier photo",
    "near_copies": "are near duplicates of an earlier photo",
}
_SHORT_SIDE = 64  # pixels; chroma and hash are measured at this size


class Cleaned(NamedTuple):
    """Result of `clean`.

    Attributes:
        kept: indices of the kept photos, (M,) int64, ascending.
        left_out: reason (a key of `REASONS`) -> names of the photos; for copies and near copies
            "NAME (like OTHER)".
    """

    kept: np.ndarray
    left_out: dict[str, list[str]]


class _Seen(NamedTuple):
    short_side: int  # pixels
    chroma: float
    is_gray: bool
    content: bytes  # SHA-256 of the file
    likeness: np.ndarray  # (2,) uint64, of `difference_hash`


def clean(
    source: Source,
    *,
    min_side: int = MIN_SIDE,
    min_chroma: float = MIN_CHROMA,
    max_bits: int = MAX_BITS,
    progress: Callable[[int], Any] = lambda photos: None,
) -> Cleaned:
    """Selects the photos suitable for training; each rejected photo has exactly one reason.

    Of several copies the first in the source's order is kept. Mirrored, rotated or cropped copies
    are not detected.

    Args:
        source: the photos.
        min_side: minimum of the shorter side, in pixels.
        min_chroma: minimum of the mean of sqrt(a^2 + b^2) over the pixels of the photo shrunk to a
            short side of 64 px, in Lab units.
        max_bits: maximum number of differing bits of the `difference_hash` of near copies.
        progress: called with the number of photos examined.
    """
    left_out: dict[str, list[str]] = {reason: [] for reason in REASONS}
    kept: list[int] = []
    contents: dict[bytes, int] = {}
    likenesses = np.empty((len(source), 2), np.uint64)
    looks = (seen for portion in in_portions(source, _look, progress) for seen in portion)
    for number, seen in enumerate(looks):
        name = source.keys[number]
        if seen is None:
            left_out["unreadable"].append(name)
        elif seen.short_side < min_side:
            left_out["tiny"].append(name)
        elif seen.is_gray:
            left_out["grey"].append(name)
        elif seen.chroma < min_chroma:
            left_out["nearly_grey"].append(name)
        elif seen.content in contents:
            first = source.keys[contents[seen.content]]
            left_out["copies"].append(f"{name} (like {first})")
        else:
            contents[seen.content] = number
            bits = _differing_bits(likenesses[: len(kept)], seen.likeness)
            if len(kept) and bits.min() <= max_bits:
                first = source.keys[kept[int(bits.argmin())]]
                left_out["near_copies"].append(f"{name} (like {first})")
                continue
            likenesses[len(kept)] = seen.likeness
            kept.append(number)
    return Cleaned(np.array(kept, np.int64), left_out)


def difference_hash(rgb: np.ndarray) -> np.ndarray:
    """Returns a perceptual hash of a photo: dHash (Krawetz 2013), horizontal and vertical.

    The photo is shrunk to 9x8 and to 8x9 gray pixels. A bit is 1 if a pixel is brighter than the
    previous one.

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        (2,) uint64.
    """
    gray = Image.fromarray(rgb).convert("L")
    across, down = (
        np.asarray(gray.resize(size, Image.Resampling.BOX), np.int16) for size in ((9, 8), (8, 9))
    )
    bits = [np.diff(across, axis=1) > 0, np.diff(down, axis=0) > 0]
    return np.packbits(np.stack(bits).reshape(2, 64), axis=-1).view(np.uint64)[:, 0]


def _differing_bits(known: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Counts the bits by which each of (N, 2) uint64 differs from (2,) uint64."""
    return np.bitwise_count(known ^ other).sum(axis=-1, dtype=np.int64)


def _look(source: Source, first: int, last: int) -> list[_Seen | None]:
    return list(_looks(source, first, last))


def _looks(source: Source, first: int, last: int) -> Iterator[_Seen | None]:
    for index in range(first, last):
        seen = None
        with contextlib.suppress(UnreadablePhoto, OSError):
            seen = _seen(sources.read(source, index).image)
        yield seen


def _seen(image: bytes | np.ndarray) -> _Seen:
    reduced = decode_reduced(image, _SHORT_SIDE)
    if isinstance(image, np.ndarray):
        sides, content = image.shape[:2], np.ascontiguousarray(image).tobytes()
    else:
        content = image
        with Image.open(io.BytesIO(image)) as opened:
            sides = opened.size
    chroma = np.sqrt(np.square(color.rgb_u8_to_lab(reduced)[..., 1:]).sum(-1)).mean()
    # A photo that is gray after shrinking may contain small colored spots.
    is_gray = is_exactly_gray(reduced) and is_exactly_gray(decode_rgb(image))
    digest = hashlib.sha256(content).digest()
    return _Seen(min(sides), float(chroma), is_gray, digest, difference_hash(reduced))
