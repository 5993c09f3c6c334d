"""Checkpoints: saved by Orbax, sealed with a SHA-256 of every file, restored only if intact.

Orbax does not detect flipped bits in array data. So a finished checkpoint gets a file SHA256SUMS
(in the format of `sha256sum -c`), written last and verified before a restore.

Orbax is imported where it is used: half a second, and weights by name do not need it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.sharding import Sharding

from colorjax.errors import RequestError
from colorjax.parallel import mesh as parallel
from colorjax.runtime import atomic, foreign_files, paths
from colorjax.weights.workdir import SEAL

log = logging.getLogger(__name__)

_NONE, _ALL_DAMAGED = -1, -2
_EXTRA_ROOM = 2**20  # bytes for metadata and the log


class Checkpoints:
    """The checkpoints of one folder, one subfolder per step.

    A checkpoint has two items: `weights`, for inference and resuming, and `training`, the step and
    the optimizer's state, for resuming only.
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep: int = 2, read_only: bool = False):
        """Opens or creates the folder.

        Args:
            folder: of the checkpoints.
            keep: number of newest checkpoints to keep.
            read_only: for reading from another run, which may be saving meanwhile: does not create
                the folder, and ignores checkpoints without a seal.
        """
        import orbax.checkpoint as ocp
        from orbax.checkpoint.checkpoint_managers import preservation_policy

        self._folder = paths.locate(folder)  # Orbax needs absolute paths
        paths.require_utf8(self._folder)
        self._read_only = read_only
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=preservation_policy.LatestN(keep), create=not read_only
            ),
        )
        self._unsealed: int | None = None
        self._sealed = 0  # the newest step known to be intact

    @property
    def saved(self) -> int:
        """The newest step that this run can resume from; 0: none."""
        import orbax.checkpoint as ocp

        step = self._unsealed
        if step is not None and ocp.path.step.is_checkpoint_finalized(self._folder / str(step)):
            return step
        return self._sealed

    def save(
        self, step: int, weights: dict[str, Any], training: dict[str, Any] | None = None
    ) -> None:
        """Starts an asynchronous save; the arrays may be donated once this returns.

        Raises:
            RequestError: this save or the previous one failed, for example on a full disk.
        """
        import orbax.checkpoint as ocp

        self.seal(wait=True)
        if step in self._manager.all_steps():
            return
        items = {"weights": ocp.args.StandardSave(weights)}
        if training is not None:
            items["training"] = ocp.args.StandardSave(training)
        with self._one_line_errors(step):
            self._check_room(weights, training)
            self._manager.save(step, args=ocp.args.Composite(**items), force=True)
        self._unsealed = step

    def seal(self, *, wait: bool) -> None:
        """Seals the checkpoint being saved if it is finished; with `wait`, waits for it first.

        Raises:
            RequestError: the save failed.
        """
        step = self._unsealed
        if step is None or (not wait and self._manager.is_saving_in_progress()):
            return
        with self._one_line_errors(step):
            if wait or jax.process_count() == 1:
                self._manager.wait_until_finished()
            if parallel.is_first() and step > self._sealed:
                _write_seal(self._folder / str(step))
                self._sealed = step
        if wait:  # no process continues before the seal exists
            parallel.barrier(f"sealed {step}")
        if wait or jax.process_count() == 1:
            self._sealed, self._unsealed = step, None

    def _check_room(self, *trees: Any) -> None:
        """Raises OSError if the disk has no room for the arrays, before Orbax fails verbosely."""
        if not parallel.is_first() or paths.is_remote(self._folder):
            return
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(trees)) + _EXTRA_ROOM
        if (free := shutil.disk_usage(self._folder).free) < needed:
            raise OSError(
                f"it needs {needed / 2**20:.1f} MiB, but the disk has {free / 2**20:.1f} MiB left"
            )

    @contextlib.contextmanager
    def _one_line_errors(self, step: int) -> Iterator[None]:
        """Turns any error of a save into a one-line RequestError; Orbax has no error type."""
        try:
            yield
        except (RequestError, jax.errors.JaxRuntimeError):
            raise  # the latter: a lost host or a failed device
        except Exception as error:
            self._unsealed = None
            reason = next(filter(None, str(error).splitlines()), type(error).__name__)
            raise RequestError(
                f"step {step} could not be saved in {str(self._folder)!r} ({reason[:300]}); the "
                f"newest saved state is step {self.saved}. Make room and run the same command again"
            ) from error

    def newest(self, step: int | None = None) -> int | None:
        """Returns the step of the newest intact checkpoint; None without any checkpoint.

        Damaged checkpoints are skipped, with one log line each.

        Args:
            step: consider only the checkpoint of this step.

        Raises:
            RequestError: there are checkpoints, but none is intact.
        """
        self.seal(wait=True)
        # One process checks: others would read every file again, and might see a different state.
        newest = parallel.any_host(self._find_newest(step) if parallel.is_first() else _NONE)
        if newest == _ALL_DAMAGED:
            raise RequestError(
                f"no intact checkpoint is left in {str(self._folder)!r}; restore a copy of one, or "
                "give another --workdir to start from scratch"
            )
        self._sealed = max(newest, 0)
        return None if newest == _NONE else newest

    def _find_newest(self, wanted: int | None) -> int:
        steps = [step for step in reversed(self.steps()) if wanted in (None, step)]
        if self._read_only:
            steps = [step for step in steps if (self._folder / str(step) / SEAL).is_file()]
        for step in steps:
            flaw = find_damage(self._folder / str(step))
            if flaw is None:
                return step
            log.warning("checkpoint %d is damaged (%s); trying an older one", step, flaw)
        return _ALL_DAMAGED if steps else _NONE

    def steps(self) -> list[int]:
        """Returns the steps of all finished checkpoints, ascending, including damaged ones."""
        return sorted(self._manager.all_steps())

    def restore(self, step: int, **abstract: Any) -> dict[str, Any]:
        """Restores items by name.

        Args:
            step: of an intact checkpoint.
            **abstract: weights= and training=, trees of `jax.ShapeDtypeStruct` with shardings.

        Returns:
            The restored trees by name, on the devices of the shardings.

        Raises:
            ValueError: the files do not fit the trees, or are damaged; one line.
        """
        import orbax.checkpoint as ocp

        items = {name: ocp.args.StandardRestore(tree) for name, tree in abstract.items()}
        try:
            return dict(self._manager.restore(step, args=ocp.args.Composite(**items)).items())
        except jax.errors.JaxRuntimeError:  # a lost host or a failed device
            raise
        except Exception as error:  # Orbax and TensorStore have no error type
            line = next(filter(None, str(error).splitlines()), type(error).__name__)
            raise ValueError(line[:200]) from error

    def seal_restored(self, step: int) -> None:
        """Seals a checkpoint that was restored and has no seal yet."""
        if parallel.is_first() and not (self._folder / str(step) / SEAL).is_file():
            _write_seal(self._folder / str(step))

    def forget_after(self, step: int) -> None:
        """Deletes checkpoints of steps that will run again."""
        later = [s for s in self._manager.all_steps() if s > step]
        if parallel.is_first():
            for number in later:
                (self._folder / str(number)).rmtree()
        parallel.barrier(f"forgotten after {step}")
        self._manager.reload()

    def close(self) -> None:
        """Waits for the save in progress, seals it, and closes the manager."""
        self.seal(wait=True)
        self._manager.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None or jax.process_count() == 1:
            self.close()  # otherwise the other hosts may never reach this barrier


def with_sharding(tree: Any, shardings: Any) -> Any:
    """Adds shardings to the shapes of `jax.eval_shape`, for `Checkpoints.restore`.

    Args:
        tree: of shapes.
        shardings: one for all leaves, or a tree of the same structure.
    """
    if isinstance(shardings, Sharding):
        shardings = jax.tree.map(lambda _: shardings, tree)
    return jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
        tree,
        shardings,
    )


def find_damage(folder: str | os.PathLike[str]) -> str | None:
    """Returns what is wrong with a finished checkpoint's files; None: nothing.

    A checkpoint without a seal was finished by Orbax just before the run was killed, or the run is
    about to seal it. It is accepted if all of its arrays can be read.
    """
    folder = paths.locate(folder)
    if flaw := _find_foreign(folder):
        return flaw
    seal = folder / SEAL
    if not seal.is_file():
        if not all((folder / name).exists() for name in ("_CHECKPOINT_METADATA", "weights")):
            return "files are missing"
        items = (folder / name for name in ("weights", "training") if (folder / name).exists())
        return next(filter(None, map(_find_unreadable, items)), None)
    try:
        text = foreign_files.read_bytes(seal).decode()
        sums = {name: digest for digest, name in (s.split("  ", 1) for s in text.splitlines())}
    except (OSError, ValueError):
        return f"{SEAL} is unreadable"
    if not sums:
        return f"{SEAL} is empty"
    for name in sums:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            return f"{SEAL} names a file outside the checkpoint"
    for name, expected in sums.items():
        try:
            digest = _sha256(folder / name)
        except (OSError, ValueError):  # the latter: no name of a file
            return f"{name} is missing"
        if digest != expected:
            return f"{name} has changed"
    return None


def _find_foreign(folder: epath.Path) -> str | None:
    """Returns what in a checkpoint is not a file of its own: a link, device or pipe; or None."""
    if paths.is_remote(folder):
        return None
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            try:
                mode = os.lstat(path).st_mode
            except FileNotFoundError:  # removed meanwhile
                continue
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                return f"{os.path.relpath(path, folder)} is a link or a device"
    return None


def _find_unreadable(item: epath.Path) -> str | None:
    """Reads the arrays of an item in this process; returns what cannot be read, or None."""
    import orbax.checkpoint as ocp

    handler = ocp.PyTreeCheckpointHandler()
    try:
        as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
        wanted = jax.tree.map(lambda _: as_numpy, handler.metadata(item).tree)
        handler.restore(item, args=ocp.args.PyTreeRestore(restore_args=wanted))
    except Exception as error:  # TensorStore has no error type
        return f"{item.name}: {next(iter(str(error).splitlines()), type(error).__name__)[:200]}"
    finally:
        handler.close()
    return None


def _write_seal(folder: epath.Path) -> None:
    # A killed run may have left an incomplete seal, which is replaced.
    files = sorted(path for path in paths.files_below(folder) if not path.name.startswith(SEAL))
    if not paths.is_remote(folder):  # the seal must not reach the disk before what it seals
        for path in {*files, *(path.parent for path in files), folder.parent}:
            atomic.sync(Path(path))
    lines = [f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    atomic.write_text(folder / SEAL, "".join(lines))


def _sha256(path: epath.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # pyrefly: ignore
