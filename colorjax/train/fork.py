"""Starts a new run from a checkpoint of a parent run, which may still be running."""

from __future__ import annotations

import logging

from ml_collections import ConfigDict

from colorjax.errors import RequestError
from colorjax.parallel.mesh import Layout
from colorjax.train import phases, start, state
from colorjax.weights import workdir
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.workdir import Workdir

log = logging.getLogger(__name__)


def check(config: ConfigDict, own: Workdir) -> None:
    """Checks that a config can continue from its parent run, `fork_from`.

    If the workdir already has a checkpoint, the parent is ignored.

    Args:
        config: see configs/default.py; with a resolved number of classes.
        own: the workdir of the new run; nothing is written to it.

    Raises:
        RequestError: no such run, or its state does not fit this config.
    """
    if config.fork_from and config.init_from:
        raise RequestError(
            "fork_from copies weights, optimizer and step; init_from copies only weights; set one "
            "of them"
        )
    if not config.fork_from or own.has_saved():
        return
    parent, _ = split(config.fork_from)
    if parent.root == own.root:
        raise RequestError(
            f"fork_from={config.fork_from} is the workdir of this run; give another --workdir, or "
            "omit fork_from to resume"
        )
    if not parent.config_file.is_file():
        raise RequestError(
            f"fork_from={config.fork_from}: {str(parent.config_file)!r} does not exist; give the "
            "workdir of a run, or start from weights only with init_from"
        )
    run = parent.read_config()
    if "optimizer" not in run:
        raise RequestError(
            f"fork_from={config.fork_from} holds imported weights, without an optimizer; start "
            "from them with init_from"
        )
    _, fixed = workdir.compare(run, config)
    if fixed:
        raise RequestError(
            f"fork_from={config.fork_from} is a run with a different {', '.join(fixed)}; use the "
            "same values, or start from its weights only with init_from"
        )


def split(source: str) -> tuple[Workdir, int | None]:
    """Returns the workdir and the step of WORKDIR or WORKDIR@STEP; None: the newest step.

    >>> split("/runs/unet@40000")[1]
    40000
    """
    name, _, step = source.rpartition("@")
    return (Workdir(name), int(step)) if name and step.isdecimal() else (Workdir(source), None)


def begin(
    plan: phases.Plan, config: ConfigDict, checkpoints: Checkpoints, layout: Layout
) -> tuple[int, state.TrainState]:
    """Copies a state of the parent and saves it as the first checkpoint of the new run.

    From then on the new run resumes from its own checkpoints. The parent is never modified; only
    its sealed checkpoints are read.

    Args:
        plan: of the new run.
        config: of the new run, already checked by `check`.
        checkpoints: of the new run.
        layout: device layout of the state.

    Returns:
        (step of the parent's state, that state).

    Raises:
        RequestError: no intact checkpoint, a state that does not fit the config, or a step that is
            too late for its `total_steps` or `optimizer.cooldown_steps`.
    """
    parent, wanted = split(config.fork_from)
    prefix = f"fork_from={config.fork_from}"
    if not parent.checkpoints.is_dir():
        raise RequestError(f"{prefix} has no checkpoint yet; wait until it has saved one")
    with Checkpoints(parent.checkpoints, read_only=True) as theirs:
        step = theirs.newest(wanted)
        if step is None:
            saved = ", ".join(map(str, theirs.steps())) or "none"
            raise RequestError(
                f"{prefix} has no intact checkpoint{'' if wanted is None else ' of that step'} "
                f"(saved: {saved}); wait until it has saved one, or give another step as "
                "WORKDIR@STEP"
            )
        _check_step(step, config, plan)
        try:
            forked = start.read(plan, theirs, step, config.seed, layout)
        except (ValueError, KeyError, OSError) as error:
            raise RequestError(
                f"{prefix}: step {step} does not fit this config "
                f"({str(error).splitlines()[0][:300]}); use the network, loss and optimizer of "
                "that run, or start from its weights only with init_from"
            ) from None
    checkpoints.save(step, state.weights_of(forked), forked.training)
    checkpoints.seal(wait=True)
    log.info("forked from step %d of %s", step, parent.root)
    return step, forked


def _check_step(step: int, config: ConfigDict, plan: phases.Plan) -> None:
    total, cooldown = config.total_steps, config.optimizer.cooldown_steps
    if step >= total:
        raise RequestError(
            f"fork_from={config.fork_from}: step {step} is not below total_steps={total}; increase "
            "total_steps, which counts from step 0 of that run"
        )
    if cooldown and len(plan.phases) == 1 and step > total - cooldown:
        raise RequestError(
            f"fork_from={config.fork_from}: step {step} is after step {total - cooldown}, where "
            f"the cool-down begins; set total_steps={step + cooldown}, or give an earlier step as "
            "WORKDIR@STEP"
        )
