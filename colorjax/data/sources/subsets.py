"""Subsets of a source, selected by the hashes of photo names."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from colorjax.data.sources.records import ArrayRecordSource
from colorjax.data.sources.source import LIMIT, ChosenKeys, Photo, Source, digest, hash_name


@dataclasses.dataclass(frozen=True)
class Subset:
    """Some photos of a source, in the given order."""

    source: Source
    indices: np.ndarray

    @property
    def keys(self) -> Sequence[str]:
        """Names of the photos."""
        return ChosenKeys(self.source.keys, self.indices)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of the whole source."""
        return self.source.class_names

    def labels(self) -> np.ndarray | None:
        """Returns the class ids, or None if unknown without reading the photos."""
        labels = self.source.labels()
        return None if labels is None else labels[self.indices]

    def fingerprint(self) -> str:
        """Returns a digest of the source and the selected indices."""
        return digest(self.source.fingerprint(), self.indices.astype("<i8").tobytes())

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Photo:
        return self.source[int(self.indices[index])]


def hash_fraction(key: str) -> float:
    """Returns a stable hash of a photo's name as a number in [0, 1).

    >>> 0 <= hash_fraction("a/1.jpg") < 1
    True
    """
    return hash_name(key) / 2**64


def fractions(source: Source, prefix: str = "") -> np.ndarray:
    """Returns `hash_fraction(prefix + NAME)` of all photos, (N,) float64 in [0, 1)."""
    if isinstance(source, Subset):
        return fractions(source.source, prefix)[source.indices]
    hashes = source.hashes(prefix) if isinstance(source, ArrayRecordSource) else None
    if hashes is None:
        computed = (hash_name(prefix + key) for key in source.keys)
        hashes = np.fromiter(computed, np.uint64, len(source))
    return hashes / 2**64


def hold_out(source: Source, lower: float, upper: float) -> tuple[Source, Source]:
    """Splits a source into two parts by the hashes of its keys.

    Args:
        source: the photos.
        lower: hashes in [lower, upper) are held out.
        upper: at most 1.

    Returns:
        (kept, held out), each in the source's order. A photo's part depends only on its name, so
        adding photos does not move existing ones.
    """
    hashes = fractions(source)
    held = (lower <= hashes) & (hashes < upper)
    return Subset(source, np.flatnonzero(~held)), Subset(source, np.flatnonzero(held))


def evenly_spaced(length: int, number: int) -> list[int]:
    """Returns up to `number` indices evenly spaced over a sequence; neighbors often share a class.

    >>> evenly_spaced(10, 3), evenly_spaced(2, 5)
    ([0, 4, 9], [0, 1])
    """
    return sorted({round(index) for index in np.linspace(0, length - 1, min(number, length))})


def limit(source: Source, number: int) -> Source:
    """Returns the `number` photos with the lowest hashes, in the source's order; 0: all."""
    if not 0 < number < len(source):
        return source
    order = np.argsort(fractions(source, LIMIT), kind="stable")
    return Subset(source, np.sort(order[:number]))
