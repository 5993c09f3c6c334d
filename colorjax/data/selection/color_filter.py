"""Which photos have colour, and which hue: measured once, remembered in a cache folder."""

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
from colorjax.data.sources.subsets import fractions
from colorjax.errors import RequestError, UnreadablePhoto, unknown_name
from colorjax.runtime import atomic

log = logging.getLogger(__name__)

_SHORT_SIDE = 64  # pixels at which chroma and hue are measured
# Of the cache: counts up with what is in it.
_MEASURE = f"mean chroma and hues at {_SHORT_SIDE} px, exactly grey; 2"


class _Colors(NamedTuple):
    """What is known of each photo of a source."""

    chroma: np.ndarray  # (N,) float32, the mean over pixels, in Lab units; NaN: unreadable
    is_grey: np.ndarray  # (N,) bool, R = G = B everywhere
    arithmetic: np.ndarray  # (N,) float64, mean hue in [0, 1); NaN: unreadable
    circular: np.ndarray  # (N,) float64, likewise, as directions


def find_colored(
    source: Source, *, drop_grey: bool, min_chroma: float, low_chroma_rate: float = 0.0
) -> np.ndarray:
    """Finds the photos that have colour, and logs how many have none.

    The mean over pixels of sqrt(a^2 + b^2) is that of the photo shrunk to a short side of 64 px.
    What is measured is kept in a cache folder, by the source's fingerprint: the next call, with
    other limits too, decodes nothing.

    Args:
        source: the photos.
        drop_grey: leave out photos with R = G = B in all of their pixels.
        min_chroma: leave out photos whose mean chroma, in Lab units, is below this.
        low_chroma_rate: keep this share of them, 0 to 1, chosen by a hash of the name.

    Returns:
        (M,) int64, rising: numbers of the photos that stay. Unreadable ones do: who reads them
        names them.

    Raises:
        RequestError: `min_chroma` is negative or not finite, `low_chroma_rate` is not a share, or
            no photo stays.
    """
    if not 0 <= low_chroma_rate <= 1:
        raise RequestError(f"data.low_chroma_rate is from 0 to 1, not {low_chroma_rate}")
    if not (math.isfinite(min_chroma) and min_chroma >= 0):
        raise RequestError(f"data.min_chroma is at least 0, not {min_chroma}")
    if not drop_grey and min_chroma == 0:
        return np.arange(len(source))
    chroma, is_grey, *_ = _colors_of(source)
    grey = is_grey & drop_grey
    dull = (chroma < min_chroma) & ~grey
    if low_chroma_rate:
        dull &= fractions(source, LOW_CHROMA) >= low_chroma_rate
    left_out, mends = [], []
    if drop_grey:
        left_out.append(f"{grey.sum()} exactly grey")
        mends.append("set data.drop_grey=False")
    if min_chroma:
        left_out.append(f"{dull.sum()} with a mean chroma below {min_chroma:g}")
        mends.append("lower data.min_chroma")
    found = np.flatnonzero(~(grey | dull))
    if not len(found):
        raise RequestError(
            f"no photo is left to train on, of {len(source)}: {', '.join(left_out)}; "
            f"{' and '.join(mends)}"
        )
    log.info(
        "training photos left out: %s; %d of %d stay", ", ".join(left_out), len(found), len(source)
    )
    return found


def find_hues(source: Source, mean: str = "arithmetic") -> np.ndarray:
    """Finds the mean hue of each photo; kept in the cache with what `find_colored` measures.

    Photos are measured as they are up to a short side of 64 px, larger ones shrunk to it.

    Args:
        source: the photos.
        mean: "arithmetic" or "circular"; see `colorjax.data.selection.hues`.

    Returns:
        (N,) float64 in [0, 1); NaN: unreadable.

    Raises:
        RequestError: another mean.
    """
    if mean not in hues.MEANS:
        raise unknown_name("data.hue_mean", mean, hues.MEANS)
    return getattr(_colors_of(source), mean)


def _colors_of(source: Source) -> _Colors:
    name = digest(_MEASURE, source.fingerprint())
    path = _cache_folder() / f"colors-{name}.npz"
    known = _load(path, name, len(source))
    if known is not None:
        return known
    log.info("looking at %d photos for their colours, once", len(source))
    with tqdm(total=len(source), desc="colours", unit="photo", disable=None) as bar:
        portions = [_measure(source, 0, 0), *in_portions(source, _measure, bar.update)]
    measured = _Colors(*map(np.concatenate, zip(*portions, strict=True)))
    try:
        _save(path, name, measured)
    except OSError as error:
        log.warning(
            "the photos' colours cannot be kept in %s (%s); the next start measures them again",
            path.parent,
            error.strerror or error,
        )
    return measured


def _measure(source: Source, first: int, last: int) -> _Colors:
    chroma = np.full(last - first, np.nan, np.float32)
    is_grey = np.zeros(last - first, bool)
    arithmetic, circular = np.full((2, last - first), np.nan)
    for index in range(first, last):
        with contextlib.suppress(UnreadablePhoto, OSError):
            image = sources.read(source, index).image
            reduced = decode_reduced(image, _SHORT_SIDE)
            # What is grey once it is shrunk may have had a coloured speck.
            grey = is_exactly_grey(reduced) and is_exactly_grey(decode_rgb(image))
            ab = color.rgb_u8_to_lab(reduced)[..., 1:]
            is_grey[index - first] = grey
            # Rounding gives grey a chroma of up to 0.005.
            chroma[index - first] = 0 if grey else np.sqrt(np.square(ab).sum(-1)).mean()
            arithmetic[index - first], circular[index - first] = hues.mean_hues(reduced)
    return _Colors(chroma, is_grey, arithmetic, circular)


def is_exactly_grey(rgb: np.ndarray) -> bool:
    """Whether R = G = B in all pixels (H, W, 3)."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    return bool((red == green).all() and (green == blue).all())


def _cache_folder() -> Path:
    above = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG rules ignore a relative path.
    folder = Path(above) if os.path.isabs(above) else Path(os.path.expanduser("~/.cache"))
    return folder / "colorjax"


def _load(path: Path, name: str, number: int) -> _Colors | None:
    """Reads what `_save` wrote; None where there is nothing, or nothing to rely on."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = _Colors(*(file[field] for field in _Colors._fields))
            is_ours = str(file["name"]) == name
    except Exception:  # zipfile raises whatever a damaged file leads it to
        return None
    fits = [(array.shape, array.dtype.str[1:]) for array in found] == [
        ((number,), kind) for kind in ("f4", "b1", "f8", "f8")
    ]
    return found if is_ours and fits else None


def _save(path: Path, name: str, colors: _Colors) -> None:
    """Writes a file in one step; of several processes that do, the last one's stays."""
    if not path.is_absolute():  # expanduser has left the ~ as it is
        raise FileNotFoundError(errno.ENOENT, "there is no home folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, name=name, **colors._asdict())
    atomic.write_bytes(path, buffer.getvalue())
