"""Color prior of a data set: the share of its pixels in each color bin."""

from __future__ import annotations

import dataclasses
import functools
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from colorjax import color
from colorjax.data.decode import decode_reduced
from colorjax.errors import RequestError, UnreadablePhoto
from colorjax.runtime import atomic, foreign_files, paths

if TYPE_CHECKING:
    from colorjax.data.sources.source import Source

SHIPPED = Path(__file__).with_name("tinyimagenet_prior.npz")
EPSILON = 1e-9  # minimum share of a bin; the rarest bin of ImageNet has 6e-9

_COLORS = 2**24
_CHUNK = 2**15  # colors encoded at once


@dataclasses.dataclass(frozen=True)
class Prior:
    """Result of `count`.

    Attributes:
        prior: (313,) float64, share of pixels in each bin of `colorjax.color.ab_bins()`; sums to 1.
        num_photos: number of photos counted.
        num_unreadable: number of photos skipped because they cannot be decoded.
        num_pixels: number of pixels counted.
        num_empty: number of bins without pixels; their share was raised to `EPSILON`.
    """

    prior: np.ndarray
    num_photos: int
    num_unreadable: int
    num_pixels: int
    num_empty: int

    def flaws(self) -> list[str]:
        """Returns warnings about properties that are unusual for photos, one line each."""
        messages = []
        if self.num_empty:
            messages.append(
                f"{self.num_empty} of 313 bins are nearly empty and were raised to {EPSILON:g}; "
                "train with loss.lam of at least 0.25, or count more photos"
            )
        top = color.ab_bins()[np.argmax(self.prior)]
        if top.any():
            messages.append(
                f"the most frequent bin is ab = ({top[0]}, {top[1]}), not gray; check that "
                "the data are color photos"
            )
        if self.num_unreadable:
            messages.append(f"{self.num_unreadable} photos cannot be read and were skipped")
        return messages


def count(
    source: Source,
    *,
    short_side: int = 256,
    k: int = 5,
    sigma: float = 5.0,
    progress: Callable[[int], Any] = lambda photos: None,
) -> Prior:
    """Computes the prior of a data set: the mean soft encoding of its pixels.

    As in Zhang et al. 2016, section 2.2, the Gaussian of the soft encoding smooths the distribution
    over bins. Equal colors are encoded once.

    Args:
        source: the photos.
        short_side: photos with a longer short side, in pixels, are shrunk to it.
        k: number of bins of the soft encoding.
        sigma: its width in ab units.
        progress: called with the number of photos of each finished portion.

    Returns:
        The prior; check its `flaws()`.

    Raises:
        RequestError: no photo can be read.
    """
    from colorjax.data.selection.parallel_map import in_portions

    counts = np.zeros(_COLORS, np.int64)
    photos = unreadable = 0
    decode = functools.partial(_decode, short_side=short_side)
    for pixels, read, failed in in_portions(source, decode, progress):
        np.add.at(counts, pixels, 1)  # twice as fast as bincount, whose result has 2^24 values
        photos, unreadable = photos + read, unreadable + failed
    if not photos:
        raise RequestError("none of the photos can be read; give a folder of readable photos")
    shares = _encode(counts, k, sigma)
    num_pixels = int(counts.sum())
    shares /= num_pixels
    is_empty = shares < EPSILON
    shares[is_empty] = EPSILON
    return Prior(shares / shares.sum(), photos, unreadable, num_pixels, int(is_empty.sum()))


def _decode(
    source: Source, first: int, last: int, *, short_side: int
) -> tuple[np.ndarray, int, int]:
    """Returns (24-bit colors of photos [first, last), photos read, photos unreadable)."""
    pixels, failed = [np.zeros(0, np.int32)], 0
    for index in range(first, last):
        try:
            rgb = decode_reduced(source[index].image, short_side).reshape(-1, 3)
        except (UnreadablePhoto, OSError):
            failed += 1
            continue
        packed = rgb[:, 0].astype(np.int32) << 16
        pixels.append(packed | (rgb[:, 1].astype(np.int32) << 8) | rgb[:, 2])
    return np.concatenate(pixels), last - first - failed, failed


def _encode(counts: np.ndarray, k: int, sigma: float) -> np.ndarray:
    """Returns (313,) float64: the sum of the soft encodings of counted colors."""

    @jax.jit
    def encode(rgb: jax.Array, weights: jax.Array) -> jax.Array:
        encoded = color.soft_encode(color.rgb_u8_to_lab(rgb)[..., 1:], k, sigma)
        return jnp.matmul(weights, encoded, precision=jax.lax.Precision.HIGHEST)

    total = np.zeros(color.NUM_BINS)
    present = np.flatnonzero(counts)
    for first in range(0, len(present), _CHUNK):
        codes = present[first : first + _CHUNK]
        padded = np.zeros(_CHUNK, codes.dtype)
        padded[: len(codes)] = codes
        weights = np.zeros(_CHUNK)
        weights[: len(codes)] = counts[codes]
        rgb = np.stack([padded >> 16, padded >> 8 & 255, padded & 255], -1).astype(np.uint8)
        scale = weights.max()  # float32 is precise enough relative to the largest count
        total += scale * np.asarray(encode(rgb, (weights / scale).astype(np.float32)), np.float64)
    return total


def save(path: Path, prior: Prior, description: str) -> None:
    """Writes a prior as NPZ, atomically.

    Raises:
        RequestError: the file cannot be written.
    """
    fields: dict[str, Any] = dataclasses.asdict(prior)
    fields |= {"bins": color.ab_bins(), "description": description}
    buffer = io.BytesIO()
    np.savez(buffer, **fields)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(path, buffer.getvalue())
    except OSError as error:
        raise RequestError(f"{str(path)!r} cannot be written: {error.strerror}") from None


def load(path: str | os.PathLike[str], field: str = "prior") -> np.ndarray:
    """Reads a prior.

    Args:
        path: a file written by `colorjax prior`, or a .npy file with 313 numbers such as the
            published prior_probs.npy; empty: the prior of Tiny ImageNet that ships with colorjax.
        field: that gave the path, for errors.

    Returns:
        (313,) float64, above 0, with sum 1.

    Raises:
        RequestError: the file does not exist or does not contain a prior.
    """
    return _load(str(path) or str(SHIPPED), field)


_MOST_BYTES = 2**24  # of a file with 313 numbers


@functools.cache
def _load(path: str, field: str) -> np.ndarray:
    make = "make one with `colorjax prior DATA --output FILE.npz`"
    try:
        content = foreign_files.read_bytes(paths.locate(path), _MOST_BYTES)
        if content.startswith(b"PK"):
            prior = foreign_files.read_arrays(paths.locate(path), _MOST_BYTES)["prior"]
        else:
            prior = np.load(io.BytesIO(content), allow_pickle=False)
    except OSError as error:
        raise RequestError(
            f"{field}={path!r} cannot be read ({error.strerror or error}); {make}"
        ) from None
    except Exception:  # NumPy raises many types of errors for a damaged header
        raise RequestError(
            f"{field}={path!r} is not an NPZ or NPY file of a prior; {make}"
        ) from None
    if prior.shape != (color.NUM_BINS,) or prior.dtype.kind != "f":
        raise RequestError(
            f"{field}={path!r} holds {prior.dtype} of shape {prior.shape}, not 313 shares; {make}"
        )
    if not (np.isfinite(prior).all() and prior.min() > 0 and abs(prior.sum() - 1) < 1e-3):
        raise RequestError(f"{field}={path!r} must be above 0 everywhere, with sum 1; {make}")
    prior = prior / prior.sum()
    prior.setflags(write=False)  # cached: every caller gets the same array
    return prior
