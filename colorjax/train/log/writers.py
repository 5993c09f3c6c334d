"""Writers of metrics and pictures: metrics.jsonl and TensorBoard, with clu's method names.

`colorjax.train.log.wandb` has the one for Weights & Biases.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from etils import epath
from ml_collections import ConfigDict

from colorjax.errors import DONE, STOPPED, Interrupted, RequestError, unknown_name
from colorjax.runtime import paths

_NONE: Mapping[str, float] = {}
NAMES = ("jsonl", "tensorboard", "wandb")
_DEFAULT = "jsonl,tensorboard"  # of configs of earlier versions


def names_of(config: ConfigDict) -> tuple[str, ...]:
    """Returns the names of the writers of a config, in the order of `NAMES`.

    Raises:
        RequestError: an unknown name, metrics.jsonl is left out, or a package is missing.
    """
    given = {name.strip() for name in str(config.get("writers", _DEFAULT)).split(",")} - {""}
    for name in given - set(NAMES):
        raise unknown_name("writer in config.writers", name, NAMES)
    if "jsonl" not in given:
        raise RequestError(
            "config.writers must have jsonl: a run resumes and is compared by its metrics.jsonl; "
            f"give --config.writers={','.join(name for name in NAMES if name in given | {'jsonl'})}"
        )
    if "wandb" in given:
        from colorjax.train.log import wandb

        wandb.require()
    return tuple(name for name in NAMES if name in given)


class Overview(NamedTuple):
    """What TensorBoard's pages HParams and Custom Scalars show, and the config.

    Attributes:
        hparams: fields of the config.
        metrics: names of the scalars that are shown with them.
        charts: title of a chart -> names of the scalars in it.
        config: all fields, as in config.json.
    """

    hparams: Mapping[str, float | str]
    metrics: Sequence[str]
    charts: Mapping[str, Sequence[str]]
    config: Mapping[str, Any]


class Writer(Protocol):
    """The methods of `clu.metric_writers.MetricWriter` that colorjax uses."""

    def write_scalars(
        self, step: int, scalars: Mapping[str, float], details: Mapping[str, float] = _NONE
    ) -> None:
        """Writes named numbers; `details` are left out where people read curves."""
        ...

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Writes named pictures, (H, W, 3) uint8."""
        ...

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Writes named Markdown texts."""
        ...

    def write_overview(self, overview: Overview) -> None:
        """Writes what TensorBoard's pages HParams and Custom Scalars show, or the config."""
        ...

    def flush(self) -> None:
        """Makes the written data visible to readers."""
        ...

    def close(self, status: int = DONE) -> None:
        """Flushes and closes; `status` is the exit status of the program."""
        ...


class MetricsFile:
    """Appends one JSON line for each call: {"step": 3, "train/loss": 0.02, ...}."""

    def __init__(self, path: epath.Path):
        """Opens the file at its end."""
        self._file = paths.GrowingFile(path)
        self._period = paths.PERIOD if paths.is_remote(path) else 0.0

    def write_scalars(
        self, step: int, scalars: Mapping[str, float], details: Mapping[str, float] = _NONE
    ) -> None:
        """Writes one line and flushes it; in an object store it flushes periodically."""
        numbers = {name: float(value) for name, value in (*scalars.items(), *details.items())}
        self._file.write(json.dumps({"step": step, **numbers}).encode() + b"\n")
        self._file.flush_now_and_then(self._period)

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Does nothing; other writers write pictures."""

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Does nothing; other writers write texts."""

    def write_overview(self, overview: Overview) -> None:
        """Does nothing; config.json has the fields."""

    def flush(self) -> None:
        """Makes all lines visible."""
        self._file.flush()

    def close(self, status: int = DONE) -> None:
        """Closes the file."""
        self._file.close()


class _GrowingFiles:
    """Opens event files in object stores for tensorboardX."""

    def open(self, path: str) -> paths.GrowingFile:
        return paths.GrowingFile(paths.locate(path))


class TensorBoard:
    """Writes TensorBoard events with tensorboardX, without TensorFlow.

    It does not use `SummaryWriter`, which writes from a thread and hangs if that thread ended
    because the disk was full.
    """

    def __init__(self, folder: epath.Path, first_step: int | None = None):
        """Starts an event file; events of `first_step` and later from earlier runs are purged."""
        from tensorboardX import record_writer
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog  # pyrefly: ignore

        for scheme in ("gs", "s3"):
            record_writer.register_writer_factory(scheme, _GrowingFiles())
        folder.mkdir(parents=True, exist_ok=True)
        self._events = EventsWriter(str(folder / "events"))
        if first_step is not None:
            self._write(first_step, session_log=SessionLog(status=SessionLog.START))
        self.flush()

    def _write(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event  # pyrefly: ignore

        self._events.write_event(Event(wall_time=time.time(), step=step, **content))

    def write_scalars(
        self, step: int, scalars: Mapping[str, float], details: Mapping[str, float] = _NONE
    ) -> None:
        """Writes one curve point for each number, not for `details`."""
        from tensorboardX import summary

        for name, value in scalars.items():
            self._write(step, summary=summary.scalar(name, float(value)))
        if time.monotonic() - self._flushed > paths.PERIOD:
            self.flush()

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Writes pictures, (H, W, 3) uint8."""
        from tensorboardX import summary

        for name, image in images.items():
            self._write(step, summary=summary.image(name, image, dataformats="HWC"))

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Writes Markdown texts."""
        from tensorboardX import summary

        for name, text in texts.items():
            self._write(step, summary=summary.text(name, text))

    def write_overview(self, overview: Overview) -> None:
        """Writes the pages HParams and Custom Scalars."""
        from tensorboardX import summary

        experiment, start, _ = summary.hparams(
            dict(overview.hparams), dict.fromkeys(overview.metrics, 0.0)
        )
        self._write(0, summary=experiment)
        self._write(0, summary=start)
        layout = {  # the names are regular expressions
            title: ["Multiline", [f"^{name}$" for name in names]]
            for title, names in overview.charts.items()
        }
        self._write(0, summary=summary.custom_scalars({"does it learn?": layout}))

    def flush(self) -> None:
        """Makes events visible to a running TensorBoard."""
        self._flushed = time.monotonic()
        self._events.flush()

    def close(self, status: int = DONE) -> None:
        """Flushes and closes the event file."""
        self._events.close()


class Writers:
    """Writes to several writers; as a context manager, it closes them.

    Attributes:
        status: exit status of the program if no exception ends it.
    """

    def __init__(self, writers: Sequence[Writer]):
        """Stores the writers; only the first host has any."""
        self._writers = writers
        self.status = DONE

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Interrupted | KeyboardInterrupt):
            self.close(STOPPED)
        else:
            self.close(self.status if error is None else 1)

    def write_scalars(
        self, step: int, scalars: Mapping[str, float], details: Mapping[str, float] = _NONE
    ) -> None:
        """Writes named numbers to all."""
        for writer in self._writers:
            writer.write_scalars(step, scalars, details)

    def write_overview(self, overview: Overview) -> None:
        """Writes the overview pages to all."""
        for writer in self._writers:
            writer.write_overview(overview)

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

    def close(self, status: int = DONE) -> None:
        """Closes all."""
        for writer in self._writers:
            writer.close(status)
