"""Batches for training and evaluation, loaded with grain.

The position in the data is a function of the step: element `step * batch_size + row` is one photo
and one crop, drawn from the seed and that index only. So resuming is exact, and neither the number
of workers nor the number of hosts changes a batch.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Collection
from typing import Any, TypeAlias

import grain
import numpy as np
from ml_collections import ConfigDict

from colorjax.data import crops, hints
from colorjax.data.aging import age
from colorjax.data.decode import decode_region
from colorjax.data.edges import EdgeDetector
from colorjax.data.selection import weighting
from colorjax.data.sources import source as sources
from colorjax.data.sources.source import Source
from colorjax.data.targets import TargetEncoder
from colorjax.errors import Interrupted, RequestError, UnreadablePhoto, unknown_name

Batch: TypeAlias = dict[str, Any]  # name -> NumPy array

MAX_TRIES = 32  # consecutive unreadable photos after which training stops with an error
_BUFFERED_BATCHES = 4


def check(data: ConfigDict) -> None:
    """Checks the values of `config.data` that control how photos are prepared.

    Raises:
        RequestError: an invalid value.
    """
    if data.targets not in ("host", "device"):
        raise unknown_name("data.targets", data.targets, ("host", "device"))
    low, high = data.crop_scale
    if not 0 < low <= high <= 1:
        raise RequestError(f"data.crop_scale must be (low, high) in (0, 1], not {data.crop_scale}")
    low, high = data.crop_ratio
    if not 0 < low <= high:
        raise RequestError(f"data.crop_ratio must be (low, high) above 0, not {data.crop_ratio}")
    low, high = data.hint_sides
    if not (0 < data.hint_stop <= 1 and 1 <= low <= high):
        raise RequestError(
            "data.hint_stop must be in (0, 1] and data.hint_sides (low, high) at least 1, not "
            f"{data.hint_stop} and {data.hint_sides}"
        )
    if not 0 <= data.aged <= 1:
        raise RequestError(f"data.aged must be a share from 0 to 1, not {data.aged}")
    if data.num_workers < 0:
        raise RequestError(f"data.num_workers must be at least 0, not {data.num_workers}")


class LoadForTraining:
    """Random crop and flip of one photo; an unreadable photo is replaced by another."""

    def __init__(self, source: Source, data: ConfigDict, inputs: Collection[str] = ()):
        """Reads sizes and augmentation from `config.data`; computes edges if they are an input."""
        self._source = source
        self._size = data.image_size
        self._scale = tuple(data.crop_scale)
        self._ratio = tuple(data.crop_ratio)
        self._flip = data.flip
        self._aged = data.aged
        self._on_host = data.targets == "host"
        self._encode = TargetEncoder.from_config(data)
        self._hints = (data.hint_stop, tuple(data.hint_sides)) if data.hints else None
        self._detect = EdgeDetector.from_config(data) if "edges" in inputs else None
        self._with_rgb = "rgb" in inputs or not self._on_host

    def __call__(self, index: int, rng: np.random.Generator) -> Batch:
        """Returns one element; `skipped` holds the indices of unreadable photos, padded with -1."""
        skipped = np.full(MAX_TRIES, -1, np.int32)
        for attempt in range(MAX_TRIES):
            try:
                photo = sources.read(self._source, index)
                rgb = decode_region(photo.image, self._box(rng), self._size)
            except (UnreadablePhoto, OSError):
                skipped[attempt] = index
                index = int(rng.integers(len(self._source)))
                continue
            if self._flip and rng.random() < 0.5:
                rgb = rgb[:, ::-1]
            fields = self._fields(np.ascontiguousarray(rgb), rng)
            return fields | {"label": np.int32(photo.label), "skipped": skipped}
        raise RequestError(
            f"{MAX_TRIES} consecutive photos cannot be read, the last is "
            f"{self._source.keys[skipped[-1]]!r}; check data.path"
        )

    def _fields(self, rgb: np.ndarray, rng: np.random.Generator) -> Batch:
        encoded = self._encode(rgb) if self._on_host or self._hints else {}
        fields = dict(encoded) if self._on_host else {}
        if self._with_rgb:
            fields["rgb"] = rgb
        if self._hints:
            drawn = hints.draw_for_training(rng, self._size, *self._hints)
            hint_ab, order = hints.reveal(encoded["ab"], drawn)
            fields["hint_ab"] = hint_ab
            fields["hint_mask"] = (order < hints.NO_HINT).astype(np.float32)
        if self._aged or self._detect:
            gray = self._gray(rgb, encoded, rng)
            if self._aged:
                fields["gray"] = gray
            if self._detect:
                fields["edges"] = self._detect(gray)
        return fields

    def _gray(self, rgb: np.ndarray, encoded: Batch, rng: np.random.Generator) -> np.ndarray:
        """Returns the gray input; draws last, so that data.aged changes no crop, flip or hint."""
        if rng.random() < self._aged:
            return self._encode.gray_input(age(rgb, rng))
        return encoded["gray"] if encoded else self._encode.gray_input(rgb)

    def _box(self, rng: np.random.Generator):
        return lambda width, height: crops.random_resized(
            width, height, rng, self._scale, self._ratio
        )


class LoadForEvaluation:
    """Center crop of one photo; the mask is 0 past the end and for unreadable photos."""

    def __init__(
        self,
        source: Source,
        data: ConfigDict,
        inputs: Collection[str] = (),
        *,
        hint_places: str = "",
    ):
        """Reads `config.data`; computes edges if they are an input, and hints at `hint_places`."""
        self._source = source
        self._size = data.image_size
        self._hint_places = hint_places
        self._encode = TargetEncoder.from_config(data)
        self._detect = EdgeDetector.from_config(data) if "edges" in inputs else None

    def __call__(self, index: int) -> Batch:
        """Returns one element with the fields that `eval_batches` describes."""
        rgb = np.zeros((self._size, self._size, 3), np.uint8)
        label, mask, skipped = -1, 0.0, -1
        if index < len(self._source):
            try:
                photo = sources.read(self._source, index)
                rgb = decode_region(photo.image, crops.center_square, self._size)
                label, mask = photo.label, 1.0
            except (UnreadablePhoto, OSError):
                skipped = index
        fields: Batch = {}
        if self._detect:
            fields["edges"] = self._detect(self._encode.gray_input(rgb))
        if self._hint_places:
            rng = np.random.default_rng(index)
            drawn = hints.draw_for_evaluation(rng, self._size, self._hint_places)
            truth = TargetEncoder()(rgb)["ab"]
            fields["hint_ab"], fields["hint_order"] = hints.reveal(truth, drawn)
        return fields | {
            "rgb": np.ascontiguousarray(rgb),
            "label": np.int32(label),
            "mask": np.float32(mask),
            "skipped": np.array([skipped], np.int32),
        }


class HostRows:
    """One host's rows of every global batch, as a sequence for `grain.MapDataset.source`."""

    def __init__(self, elements: grain.MapDataset, batch_size: int, host: int, hosts: int):
        """Takes rows [host, host + 1) * batch_size / hosts of each global batch."""
        self._elements = elements
        self._batch_size = batch_size
        self._host = host
        self._rows = batch_size // hosts

    def __len__(self) -> int:
        return sys.maxsize // 2 // self._batch_size * self._rows

    def __getitem__(self, index: int) -> Batch | None:
        step, row = divmod(index, self._rows)
        return self._elements[step * self._batch_size + self._host * self._rows + row]


def train_batches(
    source: Source,
    data: ConfigDict,
    *,
    seed: int,
    batch_size: int,
    inputs: Collection[str] = (),
    weights: weighting.Weights = (),
    start_step: int = 0,
    host: int = 0,
    hosts: int = 1,
) -> Batches:
    """Iterates endlessly over this host's share of the training batches.

    Args:
        source: the photos to train on.
        data: `config.data`.
        seed: seed of order, crops and flips.
        batch_size: of the global batch; a multiple of `hosts`.
        inputs: inputs of the method in addition to gray and ab: "edges" are computed, "rgb" is
            included.
        weights: `data.weights`: how often a photo of each source is used per pass.
        start_step: completed steps; the first batch is that of step `start_step + 1`.
        host: index of this host.
        hosts: number of hosts that share each batch.

    Returns:
        An iterator with `close()`. Batches hold `gray` and `ab` (targets on the host) or `rgb`
        (targets on the device), or all three if `rgb` is an input. With data.aged they always hold
        `gray`, which in a share of the rows is that of an aged photo. `edges` (B, S, S, 1) uint8 if
        they are an input; with data.hints `hint_ab` (B, S, S, 2), ab / 110, and `hint_mask`
        (B, S, S, 1) float32; `label` (B,) int32; and `skipped` (B, MAX_TRIES) int32: indices of
        unreadable photos in the source, padded with -1.

    Raises:
        RequestError: `weights` that `colorjax.data.selection.weighting.Passes` rejects.
    """
    if weights:
        order = weighting.Order(weighting.Passes(source, weights, seed), seed)
        numbers = grain.MapDataset.source(order).seed(seed)
    else:
        numbers = grain.MapDataset.range(len(source)).seed(seed).shuffle().repeat(None)
    elements = numbers.random_map(LoadForTraining(source, data, inputs))
    rows = HostRows(elements, batch_size, host, hosts)
    batches = grain.MapDataset.source(rows).batch(batch_size // hosts)
    return _iterate(batches[start_step:], data.num_workers)


def eval_batches(
    source: Source,
    data: ConfigDict,
    *,
    batch_size: int,
    inputs: Collection[str] = (),
    hint_places: str = "",
    host: int = 0,
    hosts: int = 1,
) -> Batches:
    """Iterates once over this host's share of a source, padded to whole batches.

    Returns:
        An iterator with `close()` over ceil(len(source) / batch_size) batches: `rgb`
        (B, S, S, 3) uint8, `label` (B,) int32, `mask` (B,) float32, 0 for padding and for
        unreadable photos, and `skipped` (B, 1) int32 and `edges` as in `train_batches`. With
        `hint_places`, a key of `hints.PLACES`, also `hint_ab` (B, S, S, 2), ab / 110, and
        `hint_order` (B, S, S, 1) int16 (see `colorjax.data.hints.reveal`); a photo has the same
        hints each time.
    """
    num_batches = -(-len(source) // batch_size)
    elements = grain.MapDataset.range(num_batches * batch_size).map(
        LoadForEvaluation(source, data, inputs, hint_places=hint_places)
    )
    rows = HostRows(elements, batch_size, host, hosts)
    batches = grain.MapDataset.source(rows).batch(batch_size // hosts)
    return _iterate(batches[:num_batches], data.num_workers)


def _iterate(batches: grain.MapDataset, num_workers: int) -> Batches:
    threads = min(16, os.cpu_count() or 1)
    dataset = batches.to_iter_dataset(
        grain.ReadOptions(threads, prefetch_buffer_size=max(threads, _BUFFERED_BATCHES))
    )
    if num_workers:
        workers = grain.MultiprocessingOptions(num_workers=num_workers)
        start = functools.partial(_start_worker, os.getpid())
        dataset = dataset.mp_prefetch(workers, start)
    return Batches(iter(dataset))


class Batches:
    """Iterator over the batches of grain; raises `Interrupted` if a worker process has died."""

    def __init__(self, iterator: grain.DatasetIterator[Batch]):
        """Wraps the iterator; `close` closes it too."""
        self._iterator = iterator

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Batch:
        try:
            return next(self._iterator)
        except RuntimeError as error:
            if "terminated unexpectedly" not in str(error):  # grain has no specific error type
                raise
            match = re.search(r"exit code (-?\d+)", str(error))
            code = int(match[1]) if match else 0
            how = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
            raise Interrupted(
                f"a process that decodes photos has died ({how}); if the memory was full, lower "
                "data.num_workers"
            ) from None

    def close(self) -> None:
        """Stops the loader's threads and processes."""
        self._iterator.close()


def _start_worker(parent: int, worker: int, workers: int) -> None:
    """Ignores Ctrl-C, which the parent handles, and exits when the parent exits."""
    del worker, workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)  # shared memory is freed with the last process that uses it

    threading.Thread(target=watch, name="parent", daemon=True).start()


def numbers_of(skipped: np.ndarray) -> list[int]:
    """Returns the photo indices in a batch's `skipped`, without the padding."""
    return [int(number) for number in skipped.ravel() if number >= 0]
