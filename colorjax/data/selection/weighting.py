"""Sampling weights of sources in training: `data.weights`."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TypeAlias

import grain
import numpy as np

from colorjax.data.sources.records import ArrayRecordSource
from colorjax.data.sources.source import FolderSource, Source, source_of
from colorjax.data.sources.subsets import Subset
from colorjax.errors import RequestError, unknown_name

Weights: TypeAlias = Sequence[tuple[str, float]]  # (source, how often a photo is used per pass)


class Passes:
    """The photos of each pass over weighted sources.

    A source of n photos and weight w is a circular queue in an order drawn from the seed. Each pass
    takes its next m = round(w n) photos, at least one if w is above 0. So every pass has the same
    length, and after P passes each photo was used P m / n times, rounded down or up. Sources
    without a weight have weight 1.
    """

    def __init__(self, source: Source, weights: Weights, seed: int = 0):
        """Draws the queues.

        Args:
            source: the photos.
            weights: weights of some sources, at least 0.
            seed: seed of the order of the queues.

        Raises:
            RequestError: a weight is invalid, a source is unknown, all weights are 0, or the data
                has no information on sources.
        """
        wanted = _checked(weights)
        names, ids = _sources(source)
        for name in wanted.keys() - set(names):
            raise unknown_name("source in data.weights", name, names)
        self._queues: list[np.ndarray] = []
        counts = []
        for number, name in enumerate(names):
            photos = np.flatnonzero(ids == number)
            weight = wanted.get(name, 1.0)
            if not len(photos) or weight == 0:
                continue
            self._queues.append(np.random.default_rng([seed, number]).permutation(photos))
            counts.append(max(1, round(weight * len(photos))))
        if not counts:
            raise RequestError("data.weights excludes all photos; give one source a weight above 0")
        self._ends = np.cumsum(counts)
        self._counts = np.array(counts)

    def __len__(self) -> int:
        """Number of photos in a pass."""
        return int(self._ends[-1])

    def photo(self, number: int, slot: int) -> int:
        """Returns the photo in a slot, 0 to `len(self)` - 1, of pass `number`."""
        queue = int(np.searchsorted(self._ends, slot, side="right"))
        count, photos = self._counts[queue], self._queues[queue]
        offset = slot - (self._ends[queue] - count)
        return int(photos[(number * count + offset) % len(photos)])


class Order:
    """Photo indices of all training elements: endless passes, each shuffled differently."""

    def __init__(self, passes: Passes, seed: int):
        """Shuffles the slots of each pass by the seed."""
        self._passes = passes
        self._slots = grain.MapDataset.range(len(passes)).seed(seed).shuffle().repeat(None)

    def __len__(self) -> int:
        return sys.maxsize // 2

    def __getitem__(self, index: int) -> int:
        slot = self._slots[index]
        assert slot is not None  # the dataset has no filter
        return self._passes.photo(index // len(self._passes), slot)


def pass_length(source: Source, weights: Weights) -> int:
    """Returns the number of photos in a pass; raises as `Passes`."""
    return len(Passes(source, weights)) if weights else len(source)


def first_pass(source: Source, weights: Weights) -> Source:
    """Returns the photos of the first pass, in the source's order; a prior is counted on them."""
    passes = Passes(source, weights)
    numbers = [passes.photo(0, slot) for slot in range(len(passes))]
    return Subset(source, np.sort(numbers))


def _checked(weights: Weights) -> dict[str, float]:
    wanted: dict[str, float] = {}
    for pair in weights:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise RequestError(f"data.weights must be pairs (source, weight), not {pair!r}")
        name, weight = pair
        if not isinstance(weight, int | float) or not (math.isfinite(weight) and weight >= 0):
            raise RequestError(
                f"weights in data.weights must be at least 0, not {weight!r} of {name}"
            )
        if name in wanted:
            raise RequestError(f"data.weights names {name!r} twice; give one weight")
        wanted[name] = weight
    return wanted


def _sources(source: Source) -> tuple[list[str], np.ndarray]:
    """Returns the names of the sources, and (N,) int32: the source of each photo."""
    if isinstance(source, Subset):
        names, ids = _sources(source.source)
        return names, ids[source.indices]
    if isinstance(source, ArrayRecordSource):
        return source.sources()
    if isinstance(source, FolderSource):
        names, ids = np.unique([source_of(key) for key in source.keys], return_inverse=True)
        return names.tolist(), ids.astype(np.int32)
    raise RequestError("data.weights needs data.name=folder or array_record")
