"""Resolves a config and builds everything for a training, before anything is written."""

from __future__ import annotations

import dataclasses
import logging

import jax
from ml_collections import ConfigDict

from colorjax import methods, models
from colorjax.data import pipeline
from colorjax.data.selection import color_filter, splits, weighting
from colorjax.errors import RequestError, unknown_name
from colorjax.losses import Loss
from colorjax.methods import resolve
from colorjax.metrics import table
from colorjax.parallel import mesh as parallel
from colorjax.train import phases
from colorjax.train.nogan.candidates import Candidates
from colorjax.train.stopping import Patience

log = logging.getLogger(__name__)

_FEW_PHOTOS = 50  # the metrics of fewer test photos say little


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
    """Resolves a config and builds the parts of its training, each once.

    The method is built before the data is opened, unless it needs the number of classes, and always
    before the data is split, which may read every photo: so errors come early.

    Raises:
        RequestError: invalid config or data.
    """
    _check(config)
    loss = methods.build_loss(config)
    phases.check(config, loss)
    patience = _build_patience(config)
    sources = splits.open_sources(config.data) if resolve.needs_classes(config, loss) else None
    config = _resolve(config, sources.num_classes if sources else 0, loss)
    method = methods.build(config, loss=loss)
    sources = sources or splits.open_sources(config.data)
    parts = splits.split(sources, config.data)
    color_filter.check_color(parts.train)
    if 0 < len(parts.eval) < _FEW_PHOTOS and config.evaluation.get("report") is not False:
        log.warning(
            "few test photos (%d), rough metrics: give more by data.eval_path",
            len(parts.eval),
        )
    if jax.process_count() > 1:
        parallel.assert_same_on_hosts("photos", splits.summary(parts))
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


def _check(config: ConfigDict) -> None:
    """Raises a RequestError for an unknown name or a number out of range; builds nothing."""
    for name in ("total_steps", "log_every", "checkpoint_every"):
        if config[name] <= 0:
            raise RequestError(f"{name} must be at least 1, not {config[name]}")
    pipeline.check(config.data)
    models.find(config.model.name)


def _resolve(config: ConfigDict, num_classes: int, loss: Loss) -> ConfigDict:
    """Returns the config with all "auto" fields resolved; logs whether there is a classifier."""
    if config.model.get("num_classes", 0) < 0:
        if why := resolve.why_no_classifier(config, num_classes, loss):
            log.info("the classifier is off: %s", why)
        else:
            log.info("the classifier has %d classes", num_classes)
    return resolve.resolve(config, num_classes, loss)


def _build_patience(config: ConfigDict) -> Patience | None:
    stopping = config.early_stopping
    if not stopping.metric:
        return None
    if stopping.metric not in table.SELECTABLE:
        raise unknown_name("early_stopping.metric", stopping.metric, table.SELECTABLE)
    better = table.metric(stopping.metric).better > 0
    return Patience(stopping.patience, higher_is_better=better)
