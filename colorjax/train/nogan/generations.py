"""Colorizes training photos and saves them as training data for the critic (NoGAN)."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Sequence

import jax
import numpy as np
from etils import epath
from ml_collections import ConfigDict
from PIL import Image

from colorjax.data import pipeline
from colorjax.data.selection import splits
from colorjax.data.sources.source import FolderSource, Photo, Source, digest
from colorjax.errors import RequestError
from colorjax.methods.method import Method, Variables
from colorjax.parallel import mesh as parallel
from colorjax.runtime import atomic
from colorjax.train import evaluator

log = logging.getLogger(__name__)

GENERATED, TRUE = 0, 1  # labels
_WHOLE = "whole.txt"  # completion marker, written last


class TrueAndGenerated:
    """True and generated photos as one source; the labels distinguish them."""

    def __init__(self, generated: Source, true: Source):
        """Combines the sources; the generated photos come first."""
        self._parts = (generated, true)
        self.class_names = ("generated", "true")

    @property
    def keys(self) -> Sequence[str]:
        """Names of the photos, prefixed with "generated/" or "true/"."""
        return [
            f"{name}/{key}"
            for name, part in zip(self.class_names, self._parts, strict=True)
            for key in part.keys
        ]

    def labels(self) -> np.ndarray:
        """0 for generated photos, 1 for true ones; int32."""
        return np.repeat([GENERATED, TRUE], [len(part) for part in self._parts]).astype(np.int32)

    def fingerprint(self) -> str:
        """Returns a digest of both parts' fingerprints."""
        return digest(*(part.fingerprint() for part in self._parts))

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def __getitem__(self, index: int) -> Photo:
        generated, true = self._parts
        if index < len(generated):
            return Photo(generated[index].image, GENERATED)
        return Photo(true[index - len(generated)].image, TRUE)


def open_source(
    folder: epath.Path,
    method: Method,
    variables: Variables,
    photos: Source,
    config: ConfigDict,
    layout: parallel.Layout,
    should_stop: Callable[[], bool],
) -> Source | None:
    """Opens the photos of a critic's pre-training; generates missing ones.

    A share `nogan.generated` of the photos, drawn by a hash of their names, is colorized; the same
    number of other photos is used unchanged.

    Args:
        folder: of the generated photos, PNG files.
        method: the colorizer.
        variables: of its network.
        photos: the training photos.
        config: `data`, `evaluation` and `nogan` are read.
        layout: the devices.
        should_stop: called after every batch; finished photos are not generated again.

    Returns:
        A source with labels `GENERATED` and `TRUE`; None if the generation ended early.

    Raises:
        RequestError: `nogan.generated` is not in (0, 0.5], or gives no photo.
    """
    share = config.nogan.generated
    if not 0 < share <= 0.5:
        raise RequestError(f"nogan.generated must be above 0 and at most 0.5, not {share}")
    number = round(share * len(photos))
    if not number:
        raise RequestError(f"nogan.generated={share} of {len(photos)} photos is 0; increase it")
    drawn = splits.limit(photos, 2 * number)  # by a hash of their names
    models, true = (splits.Subset(drawn, np.arange(first, len(drawn), 2)) for first in (0, 1))
    if not parallel.any_host((folder / _WHOLE).is_file()):
        _generate(folder, method, variables, models, config, layout, should_stop)
        if should_stop():
            return None
        if parallel.is_first():
            atomic.write_text(folder / _WHOLE, f"{len(models)} photos\n")
        parallel.barrier("generations")
    return TrueAndGenerated(FolderSource.open(folder, labels="none"), true)


def _generate(
    folder: epath.Path,
    method: Method,
    variables: Variables,
    photos: Source,
    config: ConfigDict,
    layout: parallel.Layout,
    should_stop: Callable[[], bool],
) -> None:
    log.info("colorizing %d training photos for the critic", len(photos))
    done = 0
    if parallel.is_first():
        folder.mkdir(parents=True, exist_ok=True)
        done = max((int(path.stem) + 1 for path in folder.glob("*.png")), default=0)
    done = parallel.any_host(done)
    if done == len(photos):
        return
    step = evaluator.build_steps(method).method
    size = config.evaluation.batch_size
    batches = pipeline.eval_batches(
        splits.Subset(photos, np.arange(done, len(photos))),
        config.data,
        batch_size=size,
        inputs=method.network.inputs,
        host=jax.process_index(),
        hosts=jax.process_count(),
    )
    with contextlib.closing(batches):
        for first, batch in zip(itertools.count(done, size), batches, strict=False):
            if should_stop():
                return
            fields = {name: batch[name] for name in evaluator.FIELDS if name in batch}
            on_devices = parallel.to_global(fields, layout)
            _, rgb, _ = step(variables, on_devices)
            rgb, mask = parallel.to_host((rgb, on_devices["mask"]))
            for row in np.flatnonzero(mask) if parallel.is_first() else ():
                picture = Image.fromarray(rgb[row])
                atomic.write_png(folder / f"{first + row:06d}.png", picture)
