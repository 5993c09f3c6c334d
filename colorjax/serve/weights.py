"""The weights that the page can use, and what each of them can do."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.engines.engine import Facts
from colorjax.inference.engines.jax import facts_of
from colorjax.inference.session import Source
from colorjax.inference.working_size import WorkingSize
from colorjax.runtime.jax_setup import device_errors
from colorjax.serve.errors import missing
from colorjax.weights import named, published, store
from colorjax.weights.open import StoredWeights, open_weights

_UNSTATED = "not stated"
_CARD_KEYS = ("command", "data", "time", "parameters", "step", "metrics")


class Loaded(NamedTuple):
    """Weights in memory.

    Attributes:
        colorizer: the weights.
        source: their name and digest.
        can: what they can do, see `abilities`.
    """

    colorizer: Colorizer
    source: Source
    can: dict[str, Any]


class Engine:
    """The weights in use: one set at a time is in memory.

    Attributes:
        names: of all weights that can be used.
        loaded: the weights in use.
    """

    def __init__(self, name: str, engine: str = "jax"):
        """Loads weights.

        Args:
            name: a name, or the path of a workdir.
            engine: what runs the networks, see `Colorizer.load`.

        Raises:
            RequestError: there are no such weights.
        """
        self._engine = engine
        self.names = list(dict.fromkeys([*named.SHA256, *_installed(), name]))
        self.loaded = self._load(name)

    def use(self, name: str) -> None:
        """Loads other weights.

        Raises:
            Refused: the name is not in `names`.
            RequestError: they cannot be loaded.
        """
        if name not in self.names:
            raise missing("set of weights")
        self.loaded = self._load(name)

    def _load(self, name: str) -> Loaded:
        with device_errors():
            colorizer = Colorizer.load(name, engine=self._engine)
        stored = _opened(name)
        return Loaded(colorizer, Source(name, stored.digest()), abilities(colorizer.facts))

    def all(self) -> list[dict[str, Any]]:
        """Returns all weights that can be used, as JSON; those that cannot be read are left out."""
        result = []
        for name in self.names:
            try:
                result.append(self.card(name))
            except RequestError:
                continue
        return result

    def card(self, name: str) -> dict[str, Any]:
        """Returns what the user should know about weights, as JSON."""
        stored = _opened(name)
        card = stored.card
        facts = facts_of(stored.method)
        WorkingSize.from_config(stored.config, facts)  # refuses an unusable size
        about = {key: card[key] for key in _CARD_KEYS if key in card}
        return {
            "name": name,
            "license": card.get("license") or _UNSTATED,
            "summary": str(card.get("data") or stored.config.model.name),
            "card": {key: _text(value) for key, value in about.items()},
            "digest": stored.digest(),
            "current": name == self.loaded.source.name,
            "can": abilities(facts),
        }


def _installed() -> list[str]:
    """Returns the published weights that were downloaded, `colorjax weights get NAME`."""
    names = [name for name, each in published.PUBLISHED.items() if not each.is_encoder]
    return [name for name in names if store.is_installed(name)]


def abilities(facts: Facts) -> dict[str, Any]:
    """Returns what weights can do, as JSON; "why_not" has a sentence for what they cannot."""
    has_bins, form = facts.has_bins, facts.hint_form
    can = {
        "hints": form != "region",
        "regions": True,
        "suggest": has_bins,
        "uncertainty": has_bins,
        "ask": has_bins and form == "spread",
        "variants": has_bins and form == "spread",
        "reference": facts.takes_palette or facts.global_size is not None,
    }
    no_bins = "These weights know one color per place, and no other likely ones."
    no_spreading = "These weights cannot carry a color on to similar parts."
    why = {
        "hints": "These weights color only an outlined part: draw around it first.",
        "suggest": no_bins,
        "uncertainty": no_bins,
        "ask": no_spreading if has_bins else no_bins,
        "variants": no_spreading if has_bins else no_bins,
        "reference": "These weights cannot take colors from another photo.",
    }
    reasons = {key: text for key, text in why.items() if not can[key]}
    return can | {"why_not": reasons, "has_bins": has_bins, "hint_form": form}


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@functools.cache
def _opened(name: str) -> StoredWeights:
    """Returns weights without their arrays; the file of named ones is read and checked once."""
    return open_weights(name)
