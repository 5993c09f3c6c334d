"""What a run has learned so far."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from colorjax.method import Method, Variables


@flax.struct.dataclass
class TrainState:
    """A pytree with everything that a step changes.

    Attributes:
        step: int32 scalar, steps done.
        params: the network's parameters, float32.
        batch_stats: its running statistics; empty without BatchNorm.
        average: exponential moving average of params, or None.
        optimizer: optax's state.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    average: Any
    optimizer: Any

    @property
    def variables(self) -> Variables:
        """The network's variables as they are trained."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def eval_variables(self) -> Variables:
        """The network's variables to evaluate and ship: averaged where an average is kept."""
        params = self.params if self.average is None else self.average
        return {"params": params, "batch_stats": self.batch_stats}


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
