"""Measures chroma and hue of photos once, caches the result, and filters photos by it."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from colorjax import color
from colorjax.data.decode import decode_reduced, decode_rgb
from colorjax.data.selection import hues
from colorjax.data.selection.parallel_map import in_portions
from colorjax.data.sources import source as sources
from colorjax.data.sources.source import LOW_CHROMA, Source, digest
from colorjax.data.sources.subsets import evenly_spaced, fractions
from colorjax.errors import RequestError, UnreadablePhoto, unknown_name
from colorjax.runtime import atomic, waiting

log = logging.getLogger(__name__)

_SHORT_SIDE = 64  # pixels; chroma and hue are measured at this size
_SAMPLE = 32  # photos that `check_color` looks at
_NO_CHROMA = 1.0  # Lab units; the compression of a gray JPEG file stays below
# Part of the cache key: increase the number when the cached content changes.
_MEASURE = f"mean chroma and hues at {_SHORT_SIDE} px, exactly grey; 2"


class _Colors(NamedTuple):
    """Color statistics of each photo of a source."""

    chroma: np.ndarray  # (N,) float32, the mean over pixels, in Lab units; NaN: unreadable
    is_gray: np.ndarray  # (N,) bool, R = G = B everywhere
    arithmetic: np.ndarray  # (N,) float64, arithmetic mean hue in [0, 1); NaN: unreadable
    circular: np.ndarray  # (N,) float64, circular mean hue in [0, 1); NaN: unreadable


def find_colored(
    source: Source, *, drop_grey: bool, min_chroma: float, low_chroma_rate: float = 0.0
) -> np.ndarray:
    """Returns the indices of photos with enough color, and logs how many are left out.

    The chroma of a photo is the mean over pixels of sqrt(a^2 + b^2), shrunk to a short side of
    64 px. Measurements are cached on disk by the fingerprint of the source, so that later calls,
    also with other limits, decode nothing.

    Args:
        source: the photos.
        drop_grey: leave out photos with R = G = B in all of their pixels.
        min_chroma: leave out photos whose mean chroma, in Lab units, is below this.
        low_chroma_rate: share of the low-chroma photos to keep, 0 to 1, chosen by a hash of the
            name.

    Returns:
        (M,) int64, ascending: indices of the kept photos. Unreadable photos are kept; the code that
        reads them reports them.

    Raises:
        RequestError: `min_chroma` is negative or not finite, `low_chroma_rate` is not in
            [0, 1], or no photo is kept.
    """
    if not 0 <= low_chroma_rate <= 1:
        raise RequestError(f"data.low_chroma_rate must be from 0 to 1, not {low_chroma_rate}")
    if not (math.isfinite(min_chroma) and min_chroma >= 0):
        raise RequestError(f"data.min_chroma must be at least 0, not {min_chroma}")
    if not drop_grey and min_chroma == 0:
        return np.arange(len(source))
    chroma, is_gray, *_ = _cached_colors(source)
    gray = is_gray & drop_grey
    dull = (chroma < min_chroma) & ~gray
    if low_chroma_rate:
        dull &= fractions(source, LOW_CHROMA) >= low_chroma_rate
    left_out, remedies = [], []
    if drop_grey:
        left_out.append(f"{gray.sum()} exactly gray")
        remedies.append("set data.drop_grey=False")
    if min_chroma:
        left_out.append(f"{dull.sum()} with a mean chroma below {min_chroma:g}")
        remedies.append("lower data.min_chroma")
    kept = np.flatnonzero(~(gray | dull))
    if not len(kept):
        raise RequestError(
            f"none of {len(source)} photos remains for training: {', '.join(left_out)}; "
            f"{' and '.join(remedies)}"
        )
    log.info(
        "training photos left out: %s; %d of %d remain", ", ".join(left_out), len(kept), len(source)
    )
    return kept


def find_hues(source: Source, mean: str = "arithmetic") -> np.ndarray:
    """Returns the mean hue of each photo; cached together with the measurements of `find_colored`.

    Photos with a short side above 64 px are shrunk to it first.

    Args:
        source: the photos.
        mean: "arithmetic" or "circular"; see `colorjax.data.selection.hues`.

    Returns:
        (N,) float64 in [0, 1); NaN: unreadable.

    Raises:
        RequestError: unknown mean.
    """
    if mean not in hues.MEANS:
        raise unknown_name("data.hue_mean", mean, hues.MEANS)
    return getattr(_cached_colors(source), mean)


def check_color(source: Source) -> None:
    """Checks that the training photos have color; warns if half of a sample has none.

    Looks at 32 evenly spaced photos. If none has color, it looks for one among the others.

    Raises:
        RequestError: no photo has color.
    """
    sample = evenly_spaced(len(source), _SAMPLE)
    without = [index for index in sample if _has_color(source, index) is False]
    if len(without) < max(len(sample), 1):
        if 2 * len(without) >= len(sample):
            log.warning(
                "%d of %d sampled training photos have no color; a network learns gray from them. "
                "--config.data.min_chroma=3 leaves them out",
                len(without),
                len(sample),
            )
        return
    others = (index for index in range(len(source)) if index not in set(sample))
    if any(_has_color(source, index) for index in others):
        log.warning(
            "nearly all training photos have no color; a network learns gray from them. "
            "--config.data.min_chroma=3 leaves them out"
        )
        return
    raise RequestError(
        f"none of the {len(source)} training photos has color, so there is nothing to learn; give "
        "color photos as data.path. Colorize gray photos with `colorjax colorize`"
    )


def _has_color(source: Source, index: int) -> bool | None:
    """Returns whether the mean chroma is above that of gray with rounding errors; None: unread."""
    with contextlib.suppress(UnreadablePhoto, OSError):
        ab = color.rgb_u8_to_lab(decode_reduced(sources.read(source, index).image, _SHORT_SIDE))
        return bool(np.hypot(ab[..., 1], ab[..., 2]).mean() > _NO_CHROMA)
    return None


def _cached_colors(source: Source) -> _Colors:
    name = digest(_MEASURE, source.fingerprint())
    path = _cache_folder() / f"colors-{name}.npz"
    known = _load(path, name, len(source))
    if known is not None:
        return known
    log.info("measuring the colors of %d photos, once", len(source))
    with (
        tqdm(total=len(source), desc="colors", unit="photo", disable=None) as bar,
        waiting.ticking(bar),
    ):
        portions = [_measure(source, 0, 0), *in_portions(source, _measure, bar.update)]
    measured = _Colors(*map(np.concatenate, zip(*portions, strict=True)))
    try:
        _save(path, name, measured)
    except OSError as error:
        log.warning(
            "the color measurements cannot be cached in %s (%s); the next start repeats them",
            path.parent,
            error.strerror or error,
        )
    return measured


def _measure(source: Source, first: int, last: int) -> _Colors:
    chroma = np.full(last - first, np.nan, np.float32)
    is_gray = np.zeros(last - first, bool)
    arithmetic, circular = np.full((2, last - first), np.nan)
    for index in range(first, last):
        with contextlib.suppress(UnreadablePhoto, OSError):
            image = sources.read(source, index).image
            reduced = decode_reduced(image, _SHORT_SIDE)
            # A photo that is gray after shrinking may contain small colored spots.
            gray = is_exactly_gray(reduced) and is_exactly_gray(decode_rgb(image))
            ab = color.rgb_u8_to_lab(reduced)[..., 1:]
            is_gray[index - first] = gray
            # Rounding errors give gray a chroma of up to 0.005.
            chroma[index - first] = 0 if gray else np.sqrt(np.square(ab).sum(-1)).mean()
            arithmetic[index - first], circular[index - first] = hues.mean_hues(reduced)
    return _Colors(chroma, is_gray, arithmetic, circular)


def is_exactly_gray(rgb: np.ndarray) -> bool:
    """Returns whether R = G = B in all pixels (H, W, 3)."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    return bool((red == green).all() and (green == blue).all())


def _cache_folder() -> Path:
    above = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore relative paths.
    folder = Path(above) if os.path.isabs(above) else Path(os.path.expanduser("~/.cache"))
    return folder / "colorjax"


def _load(path: Path, name: str, number: int) -> _Colors | None:
    """Loads a file of `_save`; None if it is missing, damaged or does not match."""
    try:
        with np.load(path, allow_pickle=False) as file:
            stored = _Colors(*(file[field] for field in _Colors._fields))
            is_ours = str(file["name"]) == name
    except Exception:  # zipfile raises errors of any type on damaged files
        return None
    fits = [(array.shape, array.dtype.str[1:]) for array in stored] == [
        ((number,), kind) for kind in ("f4", "b1", "f8", "f8")
    ]
    return stored if is_ours and fits else None


def _save(path: Path, name: str, colors: _Colors) -> None:
    """Writes a file atomically; of several writers the last one wins."""
    if not path.is_absolute():  # expanduser did not resolve ~
        raise FileNotFoundError(errno.ENOENT, "there is no home folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, name=name, **colors._asdict())
    atomic.write_bytes(path, buffer.getvalue())
