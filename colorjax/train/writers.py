"""Where a run's numbers and pictures go: metrics.jsonl and TensorBoard, by clu's method names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np


class Writer(Protocol):
    """The methods of `clu.metric_writers.MetricWriter` that colorjax uses."""

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes named numbers."""
        ...

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Writes named pictures, (H, W, 3) uint8."""
        ...

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Writes named Markdown texts."""
        ...

    def flush(self) -> None:
        """Makes what was written visible to readers."""
        ...

    def close(self) -> None:
        """Flushes and lets go."""
        ...


class MetricsFile:
    """Appends one JSON line for each call: {"step": 3, "train/loss": 0.02, ...}."""

    def __init__(self, path: Path):
        """Opens the file at its end."""
        self._file = path.open("a", encoding="utf-8")

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes and flushes one line."""
        numbers = {name: float(value) for name, value in scalars.items()}
        self._file.write(json.dumps({"step": step, **numbers}) + "\n")
        self._file.flush()

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Leaves pictures to the other writers."""

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Leaves texts to the other writers."""

    def flush(self) -> None:
        """Does nothing: every line is flushed."""

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class TensorBoard:
    """Writes TensorBoard events by tensorboardX, without TensorFlow."""

    def __init__(self, folder: Path, first_step: int | None = None):
        """Starts an event file; events of `first_step` and later from earlier runs are purged."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes one curve point a number."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, float(value), step)

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Writes pictures, (H, W, 3) uint8."""
        for name, image in images.items():
            self._writer.add_image(name, image, step, dataformats="HWC")

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Writes Markdown texts."""
        for name, text in texts.items():
            self._writer.add_text(name, text, step)

    def flush(self) -> None:
        """Makes events visible to a TensorBoard that is open."""
        self._writer.flush()

    def close(self) -> None:
        """Flushes and closes the event file."""
        self._writer.close()


class Writers:
    """Writes to several writers."""

    def __init__(self, writers: Sequence[Writer]):
        """Takes the writers; none on hosts that only compute."""
        self._writers = writers

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes named numbers to all."""
        for writer in self._writers:
            writer.write_scalars(step, scalars)

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Writes named pictures to all."""
        for writer in self._writers:
            writer.write_images(step, images)

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Writes named texts to all."""
        for writer in self._writers:
            writer.write_texts(step, texts)

    def flush(self) -> None:
        """Flushes all."""
        for writer in self._writers:
            writer.flush()

    def close(self) -> None:
        """Closes all."""
        for writer in self._writers:
            writer.close()
