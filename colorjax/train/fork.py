"""A new run that goes on from a checkpoint of another run, its parent, which may go on too."""

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
    """Checks that a config can go on from the run that its `fork_from` names.

    A workdir with a checkpoint of its own is past that: its parent is not looked at.

    Args:
        config: see configs/default.py; without open numbers of classes.
        own: the workdir of the new run; nothing is written to it.

    Raises:
        RequestError: no such run, or its state is not one of this config.
    """
    if config.fork_from and config.init_from:
        raise RequestError(
            "fork_from takes weights, optimizer and step, init_from weights only; set one of them"
        )
    if not config.fork_from or own.has_saved():
        return
    parent, _ = split(config.fork_from)
    if parent.root == own.root:
        raise RequestError(
            f"fork_from={config.fork_from} is the workdir of this run; give another --workdir, or "
            "leave fork_from out to resume"
        )
    if not parent.config_file.is_file():
        raise RequestError(
            f"fork_from={config.fork_from}: there is no {str(parent.config_file)!r}; give the "
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
            f"fork_from={config.fork_from} is a run with another {', '.join(fixed)}; give the "
            "same here, or start from its weights only with init_from"
        )


def split(place: str) -> tuple[Workdir, int | None]:
    """Returns the workdir and the step of WORKDIR or WORKDIR@STEP; None: the newest step.

    >>> split("/runs/unet@40000")[1]
    40000
    """
    name, _, step = place.rpartition("@")
    return (Workdir(name), int(step)) if name and step.isdecimal() else (Workdir(place), None)


def begin(
    plan: phases.Plan, config: ConfigDict, checkpoints: Checkpoints, layout: Layout
) -> tuple[int, state.TrainState]:
    """Copies a state of the parent, and saves it as the first checkpoint of the new run.

    From there on the new run resumes from its own checkpoints. The parent is read only, and only
    checkpoints that it has sealed.

    Args:
        plan: of the new run.
        config: of the new run, for which `check` was called.
        checkpoints: of the new run.
        layout: where to put the state.

    Returns:
        (step of the parent's state, that state).

    Raises:
        RequestError: no whole checkpoint, a state that does not fit the config, or a step that is
            too late for its `total_steps` or `optimizer.cooldown_steps`.
    """
    parent, wanted = split(config.fork_from)
    place = f"fork_from={config.fork_from}"
    if not parent.checkpoints.is_dir():
        raise RequestError(f"{place} has no checkpoint yet; wait until it has saved one")
    with Checkpoints(parent.checkpoints, read_only=True) as theirs:
        step = theirs.newest(wanted)
        if step is None:
            saved = ", ".join(map(str, theirs.steps())) or "none"
            raise RequestError(
                f"{place} has no whole checkpoint{'' if wanted is None else ' of that step'} "
                f"(saved: {saved}); wait until it has saved one, or name another as WORKDIR@STEP"
            )
        _check_step(step, config, plan)
        try:
            found = start.read(plan, theirs, step, config.seed, layout)
        except (ValueError, KeyError, OSError) as error:
            raise RequestError(
                f"{place}: step {step} is not a state of this config "
                f"({str(error).splitlines()[0][:300]}); give the network, loss and optimizer of "
                "that run, or start from its weights only with init_from"
            ) from None
    checkpoints.save(step, state.weights_of(found), found.training)
    checkpoints.seal(wait=True)
    log.info("forked from step %d of %s", step, parent.root)
    return step, found


def _check_step(step: int, config: ConfigDict, plan: phases.Plan) -> None:
    total, cooldown = config.total_steps, config.optimizer.cooldown_steps
    if step >= total:
        raise RequestError(
            f"fork_from={config.fork_from}: step {step} is not below total_steps={total}, which "
            "counts from step 0 of that run; raise it"
        )
    if cooldown and len(plan.phases) == 1 and step > total - cooldown:
        raise RequestError(
            f"fork_from={config.fork_from}: step {step} is past step {total - cooldown}, where the "
            f"cool-down begins; set total_steps={step + cooldown}, or name an earlier step as "
            "WORKDIR@STEP"
        )
