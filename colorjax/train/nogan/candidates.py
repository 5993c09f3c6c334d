"""Candidate checkpoints of an adversarial phase, and the pick of one (NoGAN)."""

from __future__ import annotations

import logging
from typing import Any

import jax
from ml_collections import ConfigDict

from colorjax.errors import RequestError
from colorjax.train.nogan import pick
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.workdir import Workdir

log = logging.getLogger(__name__)

MOST = 1_000  # largest number of candidates; each stores all weights
_PREFIX = "validation/"


class Candidates:
    """Checkpoints of weights in `checkpoints/candidates`, with their validation metrics."""

    def __init__(self, workdir: Workdir, nogan: ConfigDict):
        """Opens the folder; `nogan` has the settings of the pick."""
        self._checkpoints = Checkpoints(workdir.checkpoints / "candidates", keep=MOST + 1)
        self._workdir = workdir
        self._pick = str(nogan.pick)
        self._limits = {"max_rise": nogan.max_rise, "max_drift": nogan.max_drift}
        self._candidates: dict[int, pick.Candidate] = {}
        self._kept = set(self._checkpoints.steps())

    @staticmethod
    def check(config: ConfigDict, num_validation: int, num_steps: int) -> None:
        """Raises a RequestError without validation photos, with early stopping or many candidates.

        Args:
            config: of the run.
            num_validation: number of validation photos.
            num_steps: of the adversarial phase.
        """
        if config.early_stopping.metric or not num_validation:
            raise RequestError(
                "NoGAN picks a checkpoint on the validation photos; set data.validation_fraction "
                "above 0 and early_stopping.metric=''"
            )
        every = config.nogan.save_every
        if every < 1:
            raise RequestError(f"nogan.save_every must be at least 1, not {every}")
        if num_steps > MOST * every:
            raise RequestError(
                f"nogan.save_every={every} keeps {num_steps // every} candidates in {num_steps} "
                f"steps, more than {MOST}; increase it to {-(-num_steps // MOST)}"
            )

    def forget_after(self, step: int) -> None:
        """Deletes candidates of steps that will run again."""
        self._checkpoints.forget_after(step)
        self._kept = set(self._checkpoints.steps())

    def recall(self, line: dict[str, Any]) -> None:
        """Restores a candidate's metrics from a line of metrics.jsonl."""
        if line["step"] in self._kept and f"{_PREFIX}colorfulness" in line:
            values = {k.removeprefix(_PREFIX): v for k, v in line.items() if k.startswith(_PREFIX)}
            self._candidates[line["step"]] = pick.Candidate.of(line["step"], values)

    def knows(self, step: int) -> bool:
        """Returns whether the candidate and its metrics are known."""
        return step in self._candidates

    def keep(self, step: int, weights: dict[str, Any], metrics: dict[str, float]) -> None:
        """Saves a candidate."""
        self._checkpoints.save(step, weights)
        self._checkpoints.seal(wait=True)
        self._candidates[step] = pick.Candidate.of(step, metrics)

    def finish(self, best: Checkpoints, like: dict[str, Any]) -> None:
        """Picks a candidate and saves it as the best checkpoint, which inference uses.

        Writes `pick.json`: all candidates with their metrics, and the picked step.

        Args:
            best: destination.
            like: weights with the same shapes and shardings.

        Raises:
            RequestError: `nogan.pick` is not the step of a candidate.
        """
        if not self._candidates:
            return
        candidates = [self._candidates[step] for step in sorted(self._candidates)]
        step, rows = pick.choose_as_requested(self._pick, candidates, **self._limits)
        self._workdir.write_json(
            "pick.json", {"picked": step, "by": self._pick, "candidates": rows}
        )
        log.info("picked step %d from %d candidates, see pick.json", step, len(candidates))
        if best.newest() != step:
            shapes = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like
            )
            restored = self._checkpoints.restore(step, weights=shapes)
            best.forget_after(-1)
            best.save(step, restored["weights"])
            best.seal(wait=True)

    def __enter__(self) -> Candidates:
        return self

    def __exit__(self, *error: Any) -> None:
        self._checkpoints.__exit__(*error)
