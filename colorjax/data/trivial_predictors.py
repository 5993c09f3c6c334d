"""Counts the colors to which the trivial predictors of `colorjax.metrics.baselines` are fitted."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from colorjax import color, metrics
from colorjax.data.selection.parallel_map import in_portions
from colorjax.data.sources import source as sources
from colorjax.data.sources.source import Source
from colorjax.errors import RequestError, UnreadablePhoto
from colorjax.metrics.baselines import NUM_LEVELS


def count(
    source: Source, decode: Callable[[bytes | np.ndarray], np.ndarray]
) -> tuple[np.ndarray, int]:
    """Counts the colors of photos; `metrics.fit_color_tables` fits the predictors to the result.

    Args:
        source: the photos.
        decode: image file or pixels of a photo -> (H, W, 3) uint8, its pixels to count; picklable.

    Returns:
        The sum of `metrics.color_sums` over the photos, (101, 3) float64, and the number of photos
        counted. Unreadable photos are skipped.

    Raises:
        RequestError: no photo can be read.
    """
    sums, num_photos = np.zeros((NUM_LEVELS, 3)), 0
    for portion, read in in_portions(source, functools.partial(_count, decode=decode)):
        sums, num_photos = sums + portion, num_photos + read
    if not num_photos:
        raise RequestError("none of the photos can be read; give a folder of readable photos")
    return sums, num_photos


def _count(
    source: Source, first: int, last: int, *, decode: Callable[[bytes | np.ndarray], np.ndarray]
) -> tuple[np.ndarray, int]:
    sums, num_photos = np.zeros((NUM_LEVELS, 3)), 0
    for index in range(first, last):
        try:
            rgb = decode(sources.read(source, index).image)
        except (UnreadablePhoto, OSError):
            continue
        sums += metrics.color_sums(np.asarray(color.rgb_u8_to_lab(rgb)))
        num_photos += 1
    return sums, num_photos
