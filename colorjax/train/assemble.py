"""Resolves a config and builds everything for a training, before anything is written."""

from __future__ import annotations

import dataclasses

import jax
from ml_collections import ConfigDict

from colorjax import methods
from colorjax.data import pipeline
from colorjax.data.selection import splits, weighting
from colorjax.errors import RequestError, unknown_name
from colorjax.methods import resolve
from colorjax.metrics import table
from colorjax.parallel import mesh as parallel
from colorjax.train import phases
from colorjax.train.nogan.candidates import Candidates
from colorjax.train.stopping import Patience


@dataclasses.dataclass(frozen=True)
class Assembled:
    """The parts of a training.

    Attributes:
        config: with all "auto" fields resolved.
        splits: training, validation and test photos.
        method: the network with its loss.
        plan: the phases.
        patience: of early stopping; None: no early stopping.
        picks: whether a phase picks a checkpoint from candidates.
    """

    config: ConfigDict
    splits: splits.Splits
    method: methods.Method
    plan: phases.Plan
    patience: Patience | None
    picks: bool


def assemble(config: ConfigDict) -> Assembled:
    """Builds the parts of a training from a config; checks the config before it opens the data.

    Raises:
        RequestError: invalid config or data.
    """
    check_numbers(config)
    pipeline.check(config.data)
    openly = resolve.with_classes(resolve.settle_head(config), 1)
    phases.build(openly, methods.build(openly), num_photos=1)
    patience = _build_patience(config)
    parts = splits.open_splits(config.data)
    if jax.process_count() > 1:
        parallel.assert_same_on_hosts("photos", splits.summary(parts))
    config = resolve.settle(config, len(parts.train.class_names))
    method = methods.build(config)
    num_photos = weighting.pass_length(parts.train, config.data.get("weights", ()))
    plan = phases.build(config, method, num_photos)
    if patience and not len(parts.validation):
        raise RequestError(
            "early_stopping.metric needs validation photos, but there are none; increase "
            "data.validation_fraction or set early_stopping.metric=''"
        )
    picks = [phase for phase in plan.phases if phase.picks]
    for phase in picks:
        Candidates.check(config, len(parts.validation), phase.last_step - phase.first_step)
    return Assembled(config, parts, method, plan, patience, bool(picks))


def _build_patience(config: ConfigDict) -> Patience | None:
    stopping = config.early_stopping
    if not stopping.metric:
        return None
    if stopping.metric not in table.SELECTABLE:
        raise unknown_name("early_stopping.metric", stopping.metric, table.SELECTABLE)
    better = table.metric(stopping.metric).better > 0
    return Patience(stopping.patience, higher_is_better=better)


def check_numbers(config: ConfigDict) -> None:
    """Raises a RequestError if a number of steps is below 1."""
    for name in ("total_steps", "log_every", "checkpoint_every"):
        if config[name] <= 0:
            raise RequestError(f"{name} must be at least 1, not {config[name]}")
