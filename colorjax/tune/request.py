"""The request of a study: config, space, metric and budget of a trial."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from colorjax import methods
from colorjax.errors import RequestError, unknown_name
from colorjax.methods import resolve
from colorjax.metrics import table
from colorjax.train import phases
from colorjax.tune.space import Knob, Value

PRUNERS = ("median", "halving", "none")
# Fields of `data` that may differ between machines and between starts of a study.
_FREE_DATA = ("path", "eval_path", "num_workers")


@dataclasses.dataclass(frozen=True)
class StudyRequest:
    """A study and the budget of its trials.

    Attributes:
        config: the default config; trials start from it.
        knobs: the varied fields.
        metric: on the validation photos, from `table.SELECTABLE`.
        photos: maximum of training photos per trial, counting repetitions; independent of the batch
            size.
        minutes: of training per trial, with evaluations but without startup; 0: no limit.
        evaluations: per trial, evenly spread over `photos`.
        patience: number of evaluations without improvement that end a trial; 0: never.
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
            RequestError: a number out of range, an unknown name, no validation photos, or a value
                of the space for which no network can be built.
        """
        if self.metric not in table.SELECTABLE:
            raise unknown_name("--metric", self.metric, table.SELECTABLE)
        if self.pruner not in PRUNERS:
            raise unknown_name("--pruner", self.pruner, PRUNERS)
        for flag, value, least in (
            ("--evaluations", self.evaluations, 1),
            ("--patience", self.patience, 0),
            ("--minutes", self.minutes, 0),
        ):
            if not (math.isfinite(value) and value >= least):
                raise RequestError(f"{flag} must be at least {least}, not {value}")
        data = self.config.data
        if not data.parts and data.name != "sample_photos" and not data.validation_fraction > 0:
            raise RequestError(
                "data.validation_fraction is 0, so there are no validation photos; increase it"
            )
        if self.minutes and self.config.nogan.shares:
            raise RequestError("--minutes cannot shorten a training in phases; use --photos")
        for name, values in self._probes():
            try:
                build(self.trial_config(values))
            except RequestError as error:
                raise RequestError(f"--space {name}: {error}" if name else str(error)) from None

    def _probes(self) -> list[tuple[str, dict[str, Value]]]:
        """Returns the default, and each value of each knob, varied one at a time."""
        probes: list[tuple[str, dict[str, Value]]] = [("", {})]
        for knob in self.knobs:
            edges = knob.choices or (knob.low, knob.high)
            probes += [(f"{knob.field}={value}", {knob.field: value}) for value in edges]
        return probes

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher metric is better."""
        return table.metric(self.metric).better > 0

    @property
    def default_values(self) -> dict[str, Value] | None:
        """Values of the default config; None if the space does not contain them."""
        values = {knob.field: knob.chosen_by_default for knob in self.knobs}
        return None if None in values.values() else values  # type: ignore[return-value]

    def trial_config(self, values: Mapping[str, Value]) -> ConfigDict:
        """Returns the config of a trial, which does not use the test photos.

        Args:
            values: field -> choice or number; other fields keep their values.

        Raises:
            RequestError: the batch size is 0, or above the photos of a trial.
        """
        config = self.config.copy_and_resolve_references()
        with config.unlocked():
            for knob in self.knobs:
                if knob.field in values:
                    value = knob.value_of(values[knob.field])
                    config.update_from_flattened_dict({knob.field: value})
            if not 1 <= config.batch_size <= self.photos:
                raise RequestError(
                    f"batch_size must be from 1 to --photos {self.photos}, not {config.batch_size}"
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
        """Returns the settings that all starts of a study must share, for JSON."""
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
    """Builds the method of a config, without weights.

    Raises:
        RequestError: its fields are not compatible.
    """
    resolved = resolve.resolve(config, 1)
    try:
        phases.build(resolved, methods.build(resolved), num_photos=1)
    except RequestError:
        raise
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise RequestError(f"no network can be built: {str(error).splitlines()[0]}") from None
