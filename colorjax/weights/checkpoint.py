"""Checkpoints: saved by Orbax, sealed by a SHA-256 of every file, restored only when whole.

Orbax does not notice flipped bits in array data, so a finished checkpoint gets a file SHA256SUMS
(in the format of `sha256sum -c`) that is written last and verified before anything is restored.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint.checkpoint_managers import preservation_policy

from colorjax.errors import RequestError
from colorjax.parallel import mesh as parallel
from colorjax.runtime import atomic, paths

log = logging.getLogger(__name__)

SEAL = "SHA256SUMS"
_NONE, _ALL_DAMAGED = -1, -2
_EXTRA_ROOM = 2**20  # bytes, for metadata and the log


class Checkpoints:
    """The checkpoints of one folder, one subfolder a step.

    A checkpoint has two items: `weights`, which inference reads alone, and `training`, the step
    and the optimizer's state, which only resuming needs.
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep: int = 2, read_only: bool = False):
        """Opens or makes the folder.

        Args:
            folder: of the checkpoints.
            keep: so many of the newest stay.
            read_only: to read from another run, which may be saving at this moment: opening makes
                no folder, and only checkpoints with a seal count.
        """
        self._folder = paths.locate(folder)  # Orbax wants absolute paths
        self._read_only = read_only
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=preservation_policy.LatestN(keep), create=not read_only
            ),
        )
        self._unsealed: int | None = None
        self._sealed = 0  # the newest step that is known to be whole

    @property
    def saved(self) -> int:
        """The newest step that this run would resume from; 0: none."""
        step = self._unsealed
        if step is not None and ocp.path.step.is_checkpoint_finalized(self._folder / str(step)):
            return step
        return self._sealed

    def save(
        self, step: int, weights: dict[str, Any], training: dict[str, Any] | None = None
    ) -> None:
        """Starts to save; the arrays may be donated once this returns.

        Raises:
            RequestError: this save or the one before it failed: a full disk, for example.
        """
        self.seal(wait=True)
        if step in self._manager.all_steps():
            return
        items = {"weights": ocp.args.StandardSave(weights)}
        if training is not None:
            items["training"] = ocp.args.StandardSave(training)
        with self._telling(step):
            self._check_room(weights, training)
            self._manager.save(step, args=ocp.args.Composite(**items), force=True)
        self._unsealed = step

    def seal(self, *, wait: bool) -> None:
        """Seals the checkpoint being saved if it is finished; with `wait`, once it is.

        Raises:
            RequestError: it could not be saved.
        """
        step = self._unsealed
        if step is None or (not wait and self._manager.is_saving_in_progress()):
            return
        with self._telling(step):
            if wait or jax.process_count() == 1:
                self._manager.wait_until_finished()
            if parallel.is_first() and step > self._sealed:
                _write_seal(self._folder / str(step))
                self._sealed = step
        if wait:  # nobody goes on before the seal is there
            parallel.barrier(f"sealed {step}")
        if wait or jax.process_count() == 1:
            self._sealed, self._unsealed = step, None

    def _check_room(self, *trees: Any) -> None:
        """Raises OSError where the disk has no room for arrays: Orbax would print pages first."""
        if not parallel.is_first() or paths.is_remote(self._folder):
            return
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(trees)) + _EXTRA_ROOM
        if (free := shutil.disk_usage(self._folder).free) < needed:
            raise OSError(
                f"it needs {needed / 2**20:.1f} MiB, and the disk has {free / 2**20:.1f} MiB left"
            )

    @contextlib.contextmanager
    def _telling(self, step: int) -> Iterator[None]:
        """Turns whatever a failed save raises into one line; Orbax and TensorStore have no type."""
        try:
            yield
        except (RequestError, jax.errors.JaxRuntimeError):
            raise  # the latter: a host is gone, or a device failed
        except Exception as error:
            self._unsealed = None
            reason = next(filter(None, str(error).splitlines()), type(error).__name__)
            raise RequestError(
                f"step {step} could not be saved in {str(self._folder)!r} ({reason[:300]}); the "
                f"newest state saved is step {self.saved}. Make room and run the same command again"
            ) from error

    def newest(self, step: int | None = None) -> int | None:
        """Returns the step of the newest whole checkpoint; None where there never was one.

        A damaged one is passed over with one line in the log.

        Args:
            step: look at the checkpoint of this step only.

        Raises:
            RequestError: there are checkpoints, and none is whole.
        """
        self.seal(wait=True)
        # One process looks: the others would read every file again, and might see another state.
        found = parallel.any_host(self._find_newest(step) if parallel.is_first() else _NONE)
        if found == _ALL_DAMAGED:
            raise RequestError(
                f"no whole checkpoint is left in {str(self._folder)!r}; restore a copy of one, or "
                "give another --workdir to start anew"
            )
        self._sealed = max(found, 0)
        return None if found == _NONE else found

    def _find_newest(self, wanted: int | None) -> int:
        steps = [step for step in reversed(self.steps()) if wanted in (None, step)]
        if self._read_only:
            steps = [step for step in steps if (self._folder / str(step) / SEAL).is_file()]
        for step in steps:
            flaw = find_flaw(self._folder / str(step))
            if flaw is None:
                return step
            log.warning("checkpoint %d is damaged (%s); looking for an older one", step, flaw)
        return _ALL_DAMAGED if steps else _NONE

    def steps(self) -> list[int]:
        """Returns the steps of all finished checkpoints, rising; damaged ones too."""
        return sorted(self._manager.all_steps())

    def restore(self, step: int, **abstract: Any) -> dict[str, Any]:
        """Restores items by name.

        Args:
            step: of a whole checkpoint.
            **abstract: weights= and training=, trees of `jax.ShapeDtypeStruct` with shardings.

        Returns:
            The restored trees by name, on the devices that the shardings name.
        """
        items = {name: ocp.args.StandardRestore(tree) for name, tree in abstract.items()}
        return dict(self._manager.restore(step, args=ocp.args.Composite(**items)).items())

    def seal_restored(self, step: int) -> None:
        """Seals a checkpoint that was restored and has no seal yet."""
        if parallel.is_first() and not (self._folder / str(step) / SEAL).is_file():
            _write_seal(self._folder / str(step))

    def forget_after(self, step: int) -> None:
        """Deletes checkpoints of steps that are about to be run again."""
        later = [s for s in self._manager.all_steps() if s > step]
        if parallel.is_first():
            for number in later:
                (self._folder / str(number)).rmtree()
        parallel.barrier(f"forgotten after {step}")
        self._manager.reload()

    def close(self) -> None:
        """Waits for the save under way, seals it, and lets go."""
        self.seal(wait=True)
        self._manager.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None or jax.process_count() == 1:
            self.close()  # else the other hosts are somewhere else, and would never come here


def find_flaw(folder: str | os.PathLike[str]) -> str | None:
    """Says what is wrong with a finished checkpoint's files; None: nothing.

    A checkpoint without a seal was finished by Orbax in the moment that a run was killed, or a run
    is about to seal it: nothing is known against it if all of its arrays can be read.
    """
    folder = paths.locate(folder)
    seal = folder / SEAL
    if not seal.is_file():
        if not all((folder / name).exists() for name in ("_CHECKPOINT_METADATA", "weights")):
            return "files are missing"
        items = (folder / name for name in ("weights", "training") if (folder / name).exists())
        return next(filter(None, map(_find_unreadable, items)), None)
    try:
        lines = [line.split("  ", 1) for line in seal.read_text().splitlines()]
        sums = {name: digest for digest, name in lines}
    except ValueError:
        return f"{SEAL} is unreadable"
    if not sums:
        return f"{SEAL} is empty"
    for name, wanted in sums.items():
        try:
            found = _sha256(folder / name)
        except OSError:
            return f"{name} is missing"
        if found != wanted:
            return f"{name} has changed"
    return None


def _find_unreadable(item: epath.Path) -> str | None:
    """Reads the arrays of an item by one process alone; says what cannot be read."""
    handler = ocp.PyTreeCheckpointHandler()
    try:
        as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
        wanted = jax.tree.map(lambda _: as_numpy, handler.metadata(item).tree)
        handler.restore(item, args=ocp.args.PyTreeRestore(restore_args=wanted))
    except Exception as error:  # TensorStore has no type for it
        return f"{item.name}: {next(iter(str(error).splitlines()), type(error).__name__)[:200]}"
    finally:
        handler.close()
    return None


def _write_seal(folder: epath.Path) -> None:
    # A run killed while it wrote the seal has left half of one, which this one will replace.
    files = sorted(path for path in paths.files_below(folder) if not path.name.startswith(SEAL))
    lines = [f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    atomic.write_text(folder / SEAL, "".join(lines))


def _sha256(path: epath.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # pyrefly: ignore
