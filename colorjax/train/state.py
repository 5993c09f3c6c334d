"""What a run has learned so far."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax

from colorjax.methods.method import Method, Variables


class Part(NamedTuple):
    """A network that a step changes, and what its optimizer keeps."""

    params: Any  # float32
    batch_stats: Any  # running statistics; empty without BatchNorm
    optimizer: Any  # optax's state

    @property
    def variables(self) -> Variables:
        """The network's variables."""
        return {"params": self.params, "batch_stats": self.batch_stats}


@flax.struct.dataclass
class TrainState:
    """A pytree with everything that a step changes.

    Attributes:
        step: int32 scalar, steps done.
        params: the network's parameters, float32.
        batch_stats: its running statistics; empty without BatchNorm.
        average: exponential moving average of params, or None.
        optimizer: optax's state.
        critic: the network that tells true from predicted colours, or None.
        features: the network whose layers compare pictures, or None.
        generator_next: bool scalar: whose turn the next step is, where the colorizer and its
            critic take turns by how well the critic does; else None.
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
        """The colorizer, as a part like the others."""
        return Part(self.params, self.batch_stats, self.optimizer)

    def with_generator(self, part: Part) -> TrainState:
        """Returns the state with another colorizer; its average stays."""
        return dataclasses.replace(
            self, params=part.params, batch_stats=part.batch_stats, optimizer=part.optimizer
        )

    @property
    def variables(self) -> Variables:
        """The network's variables as they are trained."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def eval_variables(self) -> Variables:
        """The network's variables to evaluate and ship: averaged where an average is kept.

        BatchNorm's running statistics are those of the trained network in both cases.
        """
        params = self.params if self.average is None else self.average
        return {"params": params, "batch_stats": self.batch_stats}

    @property
    def training(self) -> dict[str, Any]:
        """What only resuming needs: all but the weights that make pictures."""
        others = {
            "critic": self.critic,
            "features": self.features,
            "generator_next": self.generator_next,
        }
        found = {"step": self.step, "optimizer": self.optimizer}
        return found | {name: value for name, value in others.items() if value is not None}


def create_part(
    variables: Variables, optimizer: optax.GradientTransformation | None = None
) -> Part:
    """Returns a part of fresh variables; without an optimizer one that is never trained."""
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
    """Returns params, batch_stats, and the params' average where one is kept."""
    weights = {"params": state.params, "batch_stats": state.batch_stats}
    return weights if state.average is None else weights | {"average": state.average}
