"""The states that an adversarial phase keeps to pick from, and the pick (NoGAN)."""

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

MOST = 1_000  # states to pick from: each is a file of all weights
_PREFIX = "validation/"


class Candidates:
    """Checkpoints of weights in `checkpoints/candidates`, with their validation metrics."""

    def __init__(self, workdir: Workdir, nogan: ConfigDict):
        """Opens the folder; `config.nogan` says by what to pick."""
        self._checkpoints = Checkpoints(workdir.checkpoints / "candidates", keep=MOST + 1)
        self._workdir = workdir
        self._pick = str(nogan.pick)
        self._limits = {"max_rise": nogan.max_rise, "max_drift": nogan.max_drift}
        self._found: dict[int, pick.Candidate] = {}
        self._kept = set(self._checkpoints.steps())

    @staticmethod
    def check(config: ConfigDict, num_validation: int, num_steps: int) -> None:
        """Raises a RequestError where a run has nothing to pick by, or chooses in another way.

        Args:
            config: of the run.
            num_validation: photos to choose by.
            num_steps: of the adversarial phase.
        """
        if config.early_stopping.metric or not num_validation:
            raise RequestError(
                "NoGAN picks its state by the validation photos: it needs data.validation_fraction "
                "above 0 and early_stopping.metric=''"
            )
        every = config.nogan.save_every
        if every < 1:
            raise RequestError(f"nogan.save_every is at least 1, not {every}")
        if num_steps > MOST * every:
            raise RequestError(
                f"nogan.save_every={every} keeps {num_steps // every} states of {num_steps} steps, "
                f"more than {MOST}; raise it to {-(-num_steps // MOST)}"
            )

    def forget_after(self, step: int) -> None:
        """Forgets states of steps that are about to be run again."""
        self._checkpoints.forget_after(step)
        self._kept = set(self._checkpoints.steps())

    def recall(self, line: dict[str, Any]) -> None:
        """Reads a line of metrics.jsonl of an earlier start."""
        if line["step"] in self._kept and f"{_PREFIX}colorfulness" in line:
            values = {k.removeprefix(_PREFIX): v for k, v in line.items() if k.startswith(_PREFIX)}
            self._found[line["step"]] = pick.Candidate.of(line["step"], values)

    def knows(self, step: int) -> bool:
        """Whether a state is kept, and how it did."""
        return step in self._found

    def keep(self, step: int, weights: dict[str, Any], metrics: dict[str, float]) -> None:
        """Keeps a state."""
        self._checkpoints.save(step, weights)
        self._checkpoints.seal(wait=True)
        self._found[step] = pick.Candidate.of(step, metrics)

    def settle(self, best: Checkpoints, like: dict[str, Any]) -> None:
        """Picks a state and makes it the one that users get: the best checkpoint.

        Writes `pick.json`: every candidate with its numbers, and the step that was picked.

        Args:
            best: where to.
            like: weights of the same shapes and shardings.

        Raises:
            RequestError: `nogan.pick` names a step that is not among them.
        """
        if not self._found:
            return
        candidates = [self._found[step] for step in sorted(self._found)]
        step, rows = pick.settle(self._pick, candidates, **self._limits)
        self._workdir.write_json(
            "pick.json", {"picked": step, "by": self._pick, "candidates": rows}
        )
        log.info("picked the state of step %d of %d, see pick.json", step, len(candidates))
        if best.newest() != step:
            shapes = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like
            )
            found = self._checkpoints.restore(step, weights=shapes)
            best.forget_after(-1)
            best.save(step, found["weights"])
            best.seal(wait=True)

    def __enter__(self) -> Candidates:
        return self

    def __exit__(self, *error: Any) -> None:
        self._checkpoints.__exit__(*error)
