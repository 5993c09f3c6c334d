"""What is asked for: which config is tuned, by what measure, and how long a trial is."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from colorjax import methods
from colorjax.errors import RequestError, unknown_name
from colorjax.methods import resolve as settle
from colorjax.metrics import table
from colorjax.train import phases
from colorjax.tune.space import Knob, Value

PRUNERS = ("median", "halving", "none")
# What may differ between machines, and between the starts of one study.
_FREE_DATA = ("path", "eval_path", "num_workers")


@dataclasses.dataclass(frozen=True)
class Request:
    """A study, and what each of its trials is.

    Attributes:
        config: as it was given; trials start from it.
        knobs: what is varied.
        metric: of the photos to choose by, from `table.HIGHER_IS_BETTER`.
        photos: that a trial trains on at most, counting repetitions: the same for all batch sizes.
        minutes: of training that a trial may take, evaluations included, its start not; 0: any.
        evaluations: in a trial, evenly spread over `photos`.
        patience: evaluations without improvement that end a trial; 0: never.
        pruner: "median", "halving" or "none".
        seed: of the search.
    """

    config: ConfigDict
    knobs: tuple[Knob, ...]
    metric: str
    photos: int
    minutes: float = 0.0
    evaluations: int = 10
    patience: int = 3
    pruner: str = "median"
    seed: int = 0

    def check(self) -> None:
        """Checks that trials can be built, before the first one runs.

        Raises:
            RequestError: a number out of its range, an unknown name, no photos to choose by, or a
                value of the space with which the config builds no network.
        """
        if self.metric not in table.HIGHER_IS_BETTER:
            raise unknown_name("--metric", self.metric, table.HIGHER_IS_BETTER)
        if self.pruner not in PRUNERS:
            raise unknown_name("--pruner", self.pruner, PRUNERS)
        for flag, value, least in (
            ("--evaluations", self.evaluations, 1),
            ("--patience", self.patience, 0),
            ("--minutes", self.minutes, 0),
        ):
            if not (math.isfinite(value) and value >= least):
                raise RequestError(f"{flag} is at least {least}, not {value}")
        data = self.config.data
        if not data.parts and data.name != "sample_photos" and not data.validation_fraction > 0:
            raise RequestError(
                "data.validation_fraction is 0: no photos are held out to choose by; raise it"
            )
        if self.minutes and self.config.nogan.shares:
            raise RequestError("--minutes cannot cut a training of phases short; give --photos")
        for name, values in self._probes():
            try:
                build(self.trial_config(values))
            except RequestError as error:
                raise RequestError(f"--space {name}: {error}" if name else str(error)) from None

    def _probes(self) -> list[tuple[str, dict[str, Value]]]:
        """Returns the default, and each value of each knob alone."""
        found: list[tuple[str, dict[str, Value]]] = [("", {})]
        for knob in self.knobs:
            edges = knob.choices or (knob.low, knob.high)
            found += [(f"{knob.field}={value}", {knob.field: value}) for value in edges]
        return found

    @property
    def higher_is_better(self) -> bool:
        """Which way the metric is better."""
        return table.HIGHER_IS_BETTER[self.metric]

    @property
    def default_values(self) -> dict[str, Value] | None:
        """What stands for the config as it was given; None where the space does not hold it."""
        found = {knob.field: knob.chosen_by_default for knob in self.knobs}
        return None if None in found.values() else found  # type: ignore[return-value]

    def trial_config(self, values: Mapping[str, Value]) -> ConfigDict:
        """Returns the config of a trial, whose photos to report on stay unseen.

        Args:
            values: field -> choice or number; fields left out stay as they are.

        Raises:
            RequestError: a batch of no photo, or of more than a trial has.
        """
        config = self.config.copy_and_resolve_references()
        with config.unlocked():
            for knob in self.knobs:
                if knob.field in values:
                    value = knob.value_of(values[knob.field])
                    config.update_from_flattened_dict({knob.field: value})
            if not 1 <= config.batch_size <= self.photos:
                raise RequestError(
                    f"a batch is from 1 photo to --photos {self.photos}, not {config.batch_size}"
                )
            config.total_steps = self.photos // config.batch_size
            every = math.ceil(config.total_steps / self.evaluations)
            config.eval_every = config.checkpoint_every = every
            config.log_every = min(config.log_every, every)
            config.early_stopping.metric = self.metric
            config.early_stopping.patience = self.patience
            config.evaluation.report = False
            config.progress = False
        return config

    def record(self) -> dict[str, Any]:
        """Returns what a study's starts have to agree on, for JSON."""
        config = self.config.to_dict()
        config["data"] = {k: v for k, v in config["data"].items() if k not in _FREE_DATA}
        del config["progress"]
        own = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("config", "knobs")
        }
        space = {knob.field: knob.text for knob in self.knobs}
        return json.loads(json.dumps({"config": config, "space": space} | own))


def build(config: ConfigDict) -> None:
    """Builds the method of a config, without any weights.

    Raises:
        RequestError: its parts do not fit together.
    """
    openly = settle.with_classes(settle.settle_head(config), 1)
    try:
        phases.build(openly, methods.build(openly), num_photos=1)
    except RequestError:
        raise
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise RequestError(f"no network can be built: {str(error).splitlines()[0]}") from None
