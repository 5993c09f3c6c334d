"""Selects the photos of an archive that are readable, large enough and not duplicates."""

from __future__ import annotations

import contextlib
import enum
import io
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from colorjax.data.decode import decode_reduced
from colorjax.data.selection.cleaning import MAX_BITS, difference_hash
from colorjax.data.selection.parallel_map import in_portions
from colorjax.data.sources.archives import Archive
from colorjax.data.sources.source import source_of
from colorjax.errors import UnreadablePhoto

# Of 128 bits. A missed copy of a test photo spoils a result, and a false alarm costs one photo, so
# this limit is looser than that of duplicates. docs/data.md has the counts behind both.
MAX_BITS_EXCLUDED = 24
_SHORT_SIDE = 64  # pixels; photos are hashed at this size


class Reason(enum.IntEnum):
    """Why a photo is left out; the values are stored in `selection.npz`."""

    KEPT = 0
    UNREADABLE = 1
    TOO_SMALL = 2
    EXCLUDED = 3  # near duplicate of an excluded photo
    DUPLICATE = 4  # near duplicate of an earlier photo that is kept


class _Looks(NamedTuple):
    short_side: np.ndarray  # (N,) int32, pixels; 0: unreadable
    hashes: np.ndarray  # (N, 2, 2) uint64: of the photo and its mirror image, across and down


def select(
    archive: Archive,
    excluded: Sequence[Archive] = (),
    *,
    min_side: int = 0,
    jobs: int = 0,
    progress: Callable[[int], Any] = lambda photos: None,
) -> np.ndarray:
    """Returns for each photo why it is left out, or `Reason.KEPT`.

    Args:
        archive: the photos.
        excluded: photos that must not be in the data, such as test sets.
        min_side: minimum of the shorter side, in pixels.
        jobs: processes; 0: one per core.
        progress: called with the number of photos read, portion by portion.

    Returns:
        (N,) uint8 of `Reason`, in the order of `archive.keys`.
    """
    forbidden = [np.empty((0, 2), np.uint64)]
    for other in excluded:
        looks = _look_at(other, jobs, progress)
        forbidden.append(looks.hashes[looks.short_side > 0, 0])
    looks = _look_at(archive, jobs, progress)
    reasons = np.full(len(archive), Reason.KEPT, np.uint8)
    reasons[looks.short_side < min_side] = Reason.TOO_SMALL
    reasons[looks.short_side == 0] = Reason.UNREADABLE
    candidates = np.flatnonzero(reasons == Reason.KEPT)
    reasons[candidates] = find_duplicates(looks.hashes[candidates], np.concatenate(forbidden))
    return reasons


def find_duplicates(hashes: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """Returns which photos are near duplicates of excluded photos or of earlier photos.

    Two photos are near duplicates if the hash of one, or of its mirror image, differs from that of
    the other by at most `MAX_BITS` of 128 bits; `MAX_BITS_EXCLUDED` for excluded photos. The first
    photo of a group is kept.

    Args:
        hashes: (N, 2, 2) uint64, `difference_hash` of each photo and of its mirror image.
        excluded: (M, 2) uint64, `difference_hash` of the excluded photos.

    Returns:
        (N,) uint8: `Reason.KEPT`, `Reason.EXCLUDED` or `Reason.DUPLICATE`.
    """
    reasons = np.full(len(hashes), Reason.KEPT, np.uint8)
    kept = np.empty((2, len(hashes)), np.uint64)
    excluded = np.ascontiguousarray(excluded.T)
    num_kept = 0
    for number, either_way in enumerate(hashes):
        if _is_near(excluded, either_way, MAX_BITS_EXCLUDED):
            reasons[number] = Reason.EXCLUDED
        elif _is_near(kept[:, :num_kept], either_way, MAX_BITS):
            reasons[number] = Reason.DUPLICATE
        else:
            kept[:, num_kept] = either_way[0]
            num_kept += 1
    return reasons


def _is_near(known: np.ndarray, either_way: np.ndarray, max_bits: int) -> bool:
    """Returns whether a hash of known (2, N) is near that of a photo or its mirror image (2, 2)."""
    for across, down in either_way:
        near = np.flatnonzero(np.bitwise_count(known[0] ^ across) <= max_bits)
        bits = np.bitwise_count(known[0, near] ^ across) + np.bitwise_count(known[1, near] ^ down)
        if (bits <= max_bits).any():
            return True
    return False


def count_by_source(keys: Sequence[str], reasons: np.ndarray) -> dict[str, list[int]]:
    """Counts the photos of each source (`source_of`) by `Reason`, sources sorted by name."""
    counts: dict[str, Counter[int]] = {}
    for key, reason in zip(keys, reasons.tolist(), strict=True):
        counts.setdefault(source_of(key), Counter())[reason] += 1
    return {name: [counts[name][reason] for reason in Reason] for name in sorted(counts)}


def _look_at(archive: Archive, jobs: int, progress: Callable[[int], Any]) -> _Looks:
    portions = in_portions(archive, _look, progress, jobs=jobs)
    return _Looks(*map(np.concatenate, zip(*portions, strict=True)))


def _look(archive: Archive, first: int, last: int) -> _Looks:
    looks = _Looks(np.zeros(last - first, np.int32), np.zeros((last - first, 2, 2), np.uint64))
    for number, key in enumerate(archive.keys[first:last]):
        image = archive.read(key)
        with contextlib.suppress(UnreadablePhoto):
            rgb = decode_reduced(image, _SHORT_SIDE)
            looks.hashes[number] = difference_hash(rgb), difference_hash(rgb[:, ::-1])
            with Image.open(io.BytesIO(image)) as opened:
                looks.short_side[number] = min(opened.size)
    return looks
