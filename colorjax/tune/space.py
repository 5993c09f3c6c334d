"""Parses the search space: fields of a config, with their choices or ranges."""

from __future__ import annotations

import ast
import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from colorjax.errors import RequestError, unknown_name
from colorjax.runtime import paths

if TYPE_CHECKING:
    import optuna

Value = bool | int | float | str  # a choice, as a study stores it

SIX_KNOBS = "six-knobs"
# The report's knobs for the plain CNN (docs/papers.md), around its best values; the sixth, epochs,
# is handled by early stopping.
SPACES = {
    SIX_KNOBS: (
        "model.kernel_size=3,5,7",
        "model.filters=x0.25,x0.5,x1",
        "model.dropout=0..0.6",
        "batch_size=8,16,32",
        "model.strides=(1,2,2,1,1,1),(1,2,1,1,1,1),(1,2,2,2,1,1),(2,2,1,1,1,1)",
    )
}
DEFAULT_SPACES = {"plain_cnn": SIX_KNOBS}  # model.name -> space

# Fields that affect what is measured, on which photos, or the length of a trial.
_FIXED = {
    "total_steps": "give --photos or --minutes",
    "eval_every": "give --evaluations",
    "checkpoint_every": "it is set by --evaluations",
    "log_every": "it changes no result",
    "progress": "it changes no result",
    "writers": "they change no result",
    "seed": "a lucky seed is not a better setting",
    "data.name": "",
    "data.path": "",
    "data.split": "",
    "data.parts": "",
    "data.classes": "",
    "data.labels": "",
    "data.image_size": "",
    "data.split_seed": "",
    "data.hue_mean": "",
    "data.drop_lowest_hue": "",
}
_FIXED_GROUPS = ("data.eval", "data.validation", "evaluation.", "early_stopping.", "parallel.")
_OTHER_PHOTOS = "trials with other photos or metrics are not comparable"


@dataclasses.dataclass(frozen=True)
class Knob:
    """A field of the config, and the values it may take.

    Attributes:
        field: its name, such as "model.dropout".
        text: as given, without the field.
        default: the value in the config.
        choices: texts or numbers; empty for a range. Tuples are "(1,2)", or "x0.5", a factor.
        low: of a range.
        high: of a range.
        is_log: whether the range is searched on a logarithmic scale.
    """

    field: str
    text: str
    default: Any
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False

    def suggest(self, trial: optuna.Trial) -> Value:
        """Returns a value for a trial; a value drawn earlier for the same trial is kept."""
        if self.choices:
            chosen = trial.suggest_categorical(self.field, self.choices)
            assert chosen is not None
            return chosen
        if isinstance(self.default, int):
            return trial.suggest_int(self.field, int(self.low), int(self.high), log=self.is_log)
        return trial.suggest_float(self.field, self.low, self.high, log=self.is_log)

    def value_of(self, chosen: Value) -> Any:
        """Returns the value of the config's field for a choice, or a number of the range."""
        if not isinstance(self.default, tuple):
            return chosen
        assert isinstance(chosen, str)
        if chosen.startswith("x"):
            return tuple(max(1, round(float(chosen[1:]) * number)) for number in self.default)
        return ast.literal_eval(chosen)

    @property
    def chosen_by_default(self) -> Value | None:
        """The choice or number for the config's value; None if the space does not contain it."""
        if self.choices:
            return next((c for c in self.choices if self.value_of(c) == self.default), None)
        return self.default if self.low <= self.default <= self.high else None


def read_space(texts: Sequence[str], config: ConfigDict) -> tuple[Knob, ...]:
    """Returns the varied fields.

    Args:
        texts: each FIELD=VALUE,VALUE,..., FIELD=LOW..HIGH, FIELD=log:LOW..HIGH, the name of a
            space included in colorjax, or a file of such lines (`#` begins a comment). A
            later entry for the same field replaces an earlier one. Empty: the default space of
            the config's network.
        config: contains the fields.

    Raises:
        RequestError: an unknown field, or invalid values for it.
    """
    if not texts:
        name = config.model.name
        if name not in DEFAULT_SPACES:
            raise RequestError(
                f"no default space for the network {name!r}; give --space FIELD=VALUES, such as "
                "--space optimizer.learning_rate=log:1e-4..1e-2"
            )
        texts = [DEFAULT_SPACES[name]]
    fields: dict[str, str] = {}
    for line in (line for text in texts for line in _lines(text)):
        field, _, values = line.partition("=")
        fields[field.strip().removeprefix("config.")] = values.strip()
    return tuple(read_knob(field, values, config) for field, values in fields.items())


def _lines(text: str) -> Iterable[str]:
    if text in SPACES:
        return SPACES[text]
    if "=" in text:
        return [text]
    try:
        lines = paths.read_lines(text)
    except (OSError, UnicodeDecodeError):
        names = ", ".join(SPACES)
        raise RequestError(
            f"--space {text!r} is not a readable file, not FIELD=VALUES, and not one of: {names}"
        ) from None
    lines = [line.partition("#")[0].strip() for line in lines]
    wrong = next((line for line in lines if line and "=" not in line), None)
    if wrong is not None:
        raise RequestError(f"--space {text}: each line must be FIELD=VALUES, not {wrong!r}")
    return filter(None, lines)


def read_knob(field: str, text: str, config: ConfigDict) -> Knob:
    """Returns the knob of one field.

    >>> config = ConfigDict({"rate": 0.1, "sizes": (4, 8)})
    >>> read_knob("rate", "log:1e-3..1", config).low
    0.001
    >>> knob = read_knob("sizes", "(2,2),x0.5", config)
    >>> knob.choices, knob.value_of("x0.5")
    (('(2,2)', 'x0.5'), (2, 4))

    Raises:
        RequestError: an unknown field, or invalid values for it.
    """
    default = _field_of(config, field)
    _refuse_fixed(field)
    if re.match(r"(log:)?[^(,]*\.\.", text):
        return _read_range(field, text, default)
    choices = tuple(_choice(field, part, default) for part in _split(text))
    knob = Knob(field, text, default, choices)
    values = [knob.value_of(choice) for choice in choices]
    if len(values) < 2 or any(value in values[:index] for index, value in enumerate(values)):
        raise RequestError(f"--space {field}: needs at least two values, each once, not {text!r}")
    return knob


def _field_of(config: ConfigDict, field: str) -> Any:
    node: Any = config
    where = "the config"
    for part in field.split("."):
        known = list(node) if isinstance(node, ConfigDict) else []
        if part not in known:
            raise unknown_name(f"field of {where} in --space {field!r}:", part, known)
        node, where = node[part], part
    if isinstance(node, ConfigDict):
        raise RequestError(
            f"--space {field} is a group of fields; name one: {field}.{next(iter(node))}"
        )
    return node


def _refuse_fixed(field: str) -> None:
    if field in _FIXED or field.startswith(_FIXED_GROUPS):
        why = _FIXED.get(field) or _OTHER_PHOTOS
        raise RequestError(f"--space {field} cannot be varied: {why}")


def _read_range(field: str, text: str, default: Any) -> Knob:
    is_log, body = text.startswith("log:"), text.removeprefix("log:")
    if isinstance(default, bool) or not isinstance(default, int | float):
        raise RequestError(
            f"--space {field}: a range needs a numeric field, and the config has {default!r}; "
            "give choices, VALUE,VALUE"
        )
    kind = type(default)
    low, _, high = (part.strip() for part in body.partition(".."))
    ends = [_number(field, end, kind) for end in (low, high)]
    if not ends[0] < ends[1]:
        raise RequestError(f"--space {field}: LOW..HIGH needs LOW below HIGH, not {text!r}")
    if is_log and ends[0] <= 0:
        raise RequestError(f"--space {field}: a logarithmic range must begin above 0, not {text!r}")
    return Knob(field, text, default, (), ends[0], ends[1], is_log)


def _number(field: str, text: str, kind: type) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        name = "a whole number" if kind is int else "a number"
        raise RequestError(f"--space {field}: needs {name}, not {text!r}")
    return value


def _split(text: str) -> list[str]:
    """Splits at the commas outside parentheses.

    >>> _split("(1,2),(3,4)")
    ['(1,2)', '(3,4)']
    """
    return [part.strip() for part in re.split(r",(?![^(]*\))", text)]


def _choice(field: str, text: str, default: Any) -> Value:
    """Returns one value, converted to the type of the field."""
    if not text:
        raise RequestError(f"--space {field}: one of the values is empty")
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise RequestError(f"--space {field}: needs true or false, not {text!r}")
        return text.lower() == "true"
    if isinstance(default, int | float):
        return _number(field, text, type(default))
    if isinstance(default, str):
        return text
    if isinstance(default, tuple):
        return _tuple_choice(field, text, default)
    raise RequestError(f"--space {field}: fields such as {default!r} cannot be varied")


def _tuple_choice(field: str, text: str, default: tuple) -> str:
    are_whole = bool(default) and all(type(number) is int for number in default)
    if re.fullmatch(r"x\d+(\.\d+)?", text) and are_whole and float(text[1:]) > 0:
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = None
    kinds = {type(part) for part in default}
    if not isinstance(value, tuple) or (kinds and not {type(part) for part in value} <= kinds):
        factor = ", or a factor such as x0.5" if are_whole else ""
        raise RequestError(f"--space {field}: needs tuples like {default}{factor}, not {text!r}")
    return repr(value).replace(" ", "")
