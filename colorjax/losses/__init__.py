"""Losses by name. A loss maps (outputs, batch) to terms, each a (sum, count)."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from colorjax.errors import unknown_name
from colorjax.losses.classification import class_cross_entropy
from colorjax.losses.regression import absolute_error, smooth_absolute_error, squared_error

__all__ = [
    "LOSSES",
    "Loss",
    "absolute_error",
    "class_cross_entropy",
    "create",
    "smooth_absolute_error",
    "squared_error",
]

Terms = dict[str, tuple[jax.Array, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Loss:
    """One term between an output of the network and a field of the batch.

    Attributes:
        name: as in the config.
        output: name of the network's output.
        field: name of the batch's field.
        function: (output, field) -> (sum, count).
    """

    name: str
    output: str
    field: str
    function: Callable[..., tuple[jax.Array, jax.Array]]

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the outputs that a network has to give."""
        return frozenset({self.output})

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> Terms:
        """Returns the terms by name."""
        return {self.name: self.function(outputs[self.output], batch[self.field])}

    def total(self, terms: Terms) -> jax.Array:
        """Returns the scalar to minimize: the sum of the terms' means."""
        return sum((s / c for s, c in terms.values()), start=jnp.float32(0.0))


# name -> (output, field of the batch, function); the function's keyword arguments are options.
LOSSES: dict[str, tuple[str, str, Callable[..., tuple[jax.Array, jax.Array]]]] = {
    "mse": ("ab", "ab", squared_error),
    "l1": ("ab", "ab", absolute_error),
    "smooth_l1": ("ab", "ab", smooth_absolute_error),
    "class_cross_entropy": ("class_logits", "label", class_cross_entropy),
}


def create(name: str, **options: Any) -> Loss:
    """Builds a loss by name.

    Args:
        name: a key of `LOSSES`.
        **options: fields of `config.loss`; each loss takes the keyword arguments of its function,
            e.g. delta of smooth_l1, and leaves the rest to the others.

    Raises:
        RequestError: unknown name; the message lists the known ones.

    >>> create("l1").outputs
    frozenset({'ab'})
    """
    if name not in LOSSES:
        raise unknown_name("loss loss.name =", name, LOSSES)
    output, field, function = LOSSES[name]
    taken = inspect.signature(function).parameters.keys() & options.keys()
    chosen = {option: options[option] for option in taken}
    return Loss(name, output, field, functools.partial(function, **chosen))
