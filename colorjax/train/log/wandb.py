"""Writer for Weights & Biases, of the extra `wandb`."""

from __future__ import annotations

import html
import json
import logging
import os
import secrets
import tempfile
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from colorjax.errors import RequestError
from colorjax.runtime import atomic, foreign_files, paths
from colorjax.train.log.writers import Overview

log = logging.getLogger(__name__)

_STEP = "step"  # the horizontal axis; W&B's own step would refuse steps that are repeated
_LONGEST_END = 20.0  # seconds; the end of a run must not wait for a lost network
_NONE: Mapping[str, float] = {}


def require() -> Any:
    """Returns the package `wandb`.

    Raises:
        RequestError: it is not installed.
    """
    try:
        import wandb
    except ImportError:
        raise RequestError(
            "config.writers: wandb is not installed; pip install 'colorjax[wandb]', or leave "
            "wandb out"
        ) from None
    return wandb


class WeightsAndBiases:
    """Writes to one run of Weights & Biases.

    The id of the run is in the workdir, in wandb.json, so that a training that resumes continues
    the same run. Project, entity and mode are those of the environment: WANDB_PROJECT (default:
    colorjax), WANDB_ENTITY, and WANDB_MODE=offline, which writes into the workdir only.
    """

    def __init__(self, workdir: epath.Path):
        """Starts or continues the run of a workdir.

        Raises:
            RequestError: the package is missing, or nobody is logged in.
        """
        self._wandb = wandb = require()
        is_remote = paths.is_remote(workdir)
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "colorjax"),
                id=_id_of(workdir / "wandb.json"),
                name=os.environ.get("WANDB_NAME", workdir.name),
                dir=tempfile.gettempdir() if is_remote else os.fspath(workdir),
                resume="allow",
                settings=wandb.Settings(console="off"),  # the log stays where it is
            )
        except wandb.errors.Error as error:
            reason = str(error).strip().splitlines()[0]
            raise RequestError(
                f"config.writers: wandb: {reason}; run `wandb login`, or set WANDB_MODE=offline"
            ) from None
        self._run.define_metric("*", step_metric=_STEP)

    def write_scalars(
        self, step: int, scalars: Mapping[str, float], details: Mapping[str, float] = _NONE
    ) -> None:
        """Writes one curve point for each number, not for `details`."""
        self._log(step, {name: float(value) for name, value in scalars.items()})

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Writes pictures, (H, W, 3) uint8."""
        self._log(step, {name: self._wandb.Image(image) for name, image in images.items()})

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Writes texts as they are."""
        pages = {name: f"<pre>{html.escape(text)}</pre>" for name, text in texts.items()}
        self._log(step, {name: self._wandb.Html(page) for name, page in pages.items()})

    def write_overview(self, overview: Overview) -> None:
        """Writes the fields of the config; W&B makes its charts itself."""
        self._run.config.update(dict(overview.hparams), allow_val_change=True)

    def _log(self, step: int, values: dict[str, Any]) -> None:
        if values:
            self._run.log({_STEP: step} | values)

    def flush(self) -> None:
        """Does nothing: W&B's own process writes and uploads."""

    def close(self) -> None:
        """Ends the run; what is not uploaded after 20 seconds stays on the disk."""
        thread = threading.Thread(target=self._run.finish, name="wandb", daemon=True)
        thread.start()
        thread.join(_LONGEST_END)
        if thread.is_alive():
            log.warning("W&B has not uploaded everything; `wandb sync %s` does", self._run.dir)


def _id_of(path: epath.Path) -> str:
    """Returns the id in a file; writes a new one if there is none, or a damaged one."""
    try:
        stored = foreign_files.read_json(path)["id"]
        if isinstance(stored, str) and stored.isalnum() and len(stored) <= 64:
            return stored
    except (OSError, ValueError, KeyError, TypeError):
        pass
    new = secrets.token_hex(4)
    atomic.write_text(path, json.dumps({"id": new}) + "\n")
    return new
