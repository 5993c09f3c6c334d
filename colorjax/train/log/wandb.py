"""Writer for Weights & Biases, of the extra `wandb`."""

from __future__ import annotations

import html
import json
import logging
import os
import secrets
import shlex
import tempfile
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from colorjax.errors import DONE, STOPPED, RequestError
from colorjax.runtime import atomic, foreign_files, paths
from colorjax.train.log.writers import Overview

log = logging.getLogger(__name__)

_STEP = "step"  # the horizontal axis; W&B's own step would refuse steps that are repeated
_LONGEST_END = 20.0  # seconds; the end of a run must not wait for a lost network
# Those that the installed version has; before its own end, W&B gives up by itself.
_SETTINGS = {
    "console": "off",  # the log stays where it is
    "finish_timeout": _LONGEST_END - 5,
    "finish_timeout_raises": True,
    "disable_git": True,  # code stays here, see SECURITY.md
    "disable_code": True,
    "save_code": False,
}
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
    colorjax), WANDB_ENTITY, and WANDB_MODE=offline, which writes into the workdir only. The files
    of a workdir in an object store are in the folder for temporary files.
    """

    def __init__(self, workdir: epath.Path):
        """Starts or continues the run of a workdir.

        Raises:
            RequestError: the package is missing, or nobody is logged in.
        """
        self._wandb = wandb = require()
        folder = tempfile.gettempdir() if paths.is_remote(workdir) else os.fspath(workdir)
        known = wandb.Settings.model_fields
        settings = {name: value for name, value in _SETTINGS.items() if name in known}
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "colorjax"),
                id=_id_of(workdir / "wandb.json"),
                name=os.environ.get("WANDB_NAME", workdir.name),
                dir=folder,
                resume="allow",
                settings=wandb.Settings(**settings),
            )
        except wandb.errors.Error as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise RequestError(
                f"config.writers: wandb: {reason}; run `wandb login`, or set WANDB_MODE=offline"
            ) from None
        if paths.is_remote(workdir):  # W&B writes to disks only
            log.info("W&B writes its files to %s", self._folder)
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
        """Writes the config; W&B makes its charts itself."""
        self._run.config.update(dict(overview.config), allow_val_change=True)

    def _log(self, step: int, values: dict[str, Any]) -> None:
        if values:
            self._run.log({_STEP: step} | values)

    def flush(self) -> None:
        """Does nothing: W&B's own process writes and uploads."""

    @property
    def _folder(self) -> str:
        """Folder of this start's files: that of the .wandb file, which `wandb sync` uploads."""
        return getattr(self._run, "sync_dir", None) or os.path.dirname(self._run.dir)

    def close(self, status: int = DONE) -> None:
        """Ends the run; what is not uploaded after 20 seconds stays on the disk.

        Args:
            status: exit status of the program. W&B shows 0 as finished, 75 as preempted and others
                as failed.
        """
        ended = threading.Event()

        def end() -> None:
            try:
                if status == STOPPED:
                    self._run.mark_preempting()
                self._run.finish(exit_code=status)
                ended.set()
            except Exception as error:  # the training has its results without W&B
                log.debug("W&B: %r", error)

        thread = threading.Thread(target=end, name="wandb", daemon=True)
        thread.start()
        thread.join(_LONGEST_END)
        if thread.is_alive():
            _leave(self._wandb)
        if not ended.is_set():
            command = f"wandb sync --include-online {shlex.quote(self._folder)}"
            log.warning("W&B has not uploaded everything; `%s` does", command)


def _leave(wandb: Any) -> None:
    """Lets the program end without W&B's process, which then ends too.

    W&B's own hook at the end of the program waits for that process, without a limit.
    """
    connection = getattr(wandb.setup(), "_connection", None)
    unregister_hook = getattr(connection, "_cleanup", None)
    if unregister_hook is not None:
        unregister_hook()


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
