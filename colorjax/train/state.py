"""Training state: parameters, statistics and optimizer states."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax

from colorjax.methods.method import Method, Variables


class Part(NamedTuple):
    """A network that a step updates, with the state of its optimizer."""

    params: Any  # float32
    batch_stats: Any  # running statistics; empty without BatchNorm
    optimizer: Any  # optax's state

    @property
    def variables(self) -> Variables:
        """The network's variables."""
        return {"params": self.params, "batch_stats": self.batch_stats}


@flax.struct.dataclass
class TrainState:
    """Pytree of everything that a step updates.

    Attributes:
        step: int32 scalar, number of steps done.
        params: the network's parameters, float32.
        batch_stats: its running statistics; empty without BatchNorm.
        average: exponential moving average of params, or None.
        optimizer: optax's state.
        critic: the network that distinguishes true from predicted colors, or None.
        features: the network whose layers compare pictures, or None.
        generator_next: bool scalar: whether the colorizer learns in the next step; None unless
            the kind of turns is "switch".
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    average: Any
    optimizer: Any
    critic: Part | None = None
    features: Part | None = None
    generator_next: jax.Array | None = None

    @property
    def generator(self) -> Part:
        """The colorizer as a `Part`."""
        return Part(self.params, self.batch_stats, self.optimizer)

    def with_generator(self, part: Part) -> TrainState:
        """Returns the state with another colorizer; keeps the average."""
        return dataclasses.replace(
            self, params=part.params, batch_stats=part.batch_stats, optimizer=part.optimizer
        )

    @property
    def variables(self) -> Variables:
        """The network's trained variables, not averaged."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def eval_variables(self) -> Variables:
        """The network's variables for evaluation and shipping: averaged if an average is kept.

        BatchNorm's running statistics are always those of the trained network.
        """
        params = self.params if self.average is None else self.average
        return {"params": params, "batch_stats": self.batch_stats}

    @property
    def training(self) -> dict[str, Any]:
        """The items that only resuming needs: everything except the weights for inference."""
        others = {
            "critic": self.critic,
            "features": self.features,
            "generator_next": self.generator_next,
        }
        items = {"step": self.step, "optimizer": self.optimizer}
        return items | {name: value for name, value in others.items() if value is not None}


def create_part(
    variables: Variables, optimizer: optax.GradientTransformation | None = None
) -> Part:
    """Returns a part of fresh variables; without an optimizer it is never trained."""
    params = variables["params"]
    return Part(
        params, variables.get("batch_stats", {}), optimizer.init(params) if optimizer else ()
    )


def create(
    method: Method, optimizer: optax.GradientTransformation, key: jax.Array, *, average: bool
) -> TrainState:
    """Initializes the state of step 0; run it under jit with the state's shardings."""
    variables = method.init(key)
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        average=jax.tree.map(jnp.copy, params) if average else None,
        optimizer=optimizer.init(params),
    )


def weights_of(state: TrainState) -> dict[str, Any]:
    """Returns params, batch_stats, and the average of params if one is kept."""
    weights = {"params": state.params, "batch_stats": state.batch_stats}
    return weights if state.average is None else weights | {"average": state.average}
