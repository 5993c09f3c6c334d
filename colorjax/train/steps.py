"""The training step as a pure function of state and batch."""

from __future__ import annotations

from collections.abc import Callable

import jax
import optax

from colorjax import losses
from colorjax.method import Method
from colorjax.train import optim
from colorjax.train.state import TrainState

Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, Metrics]]


def build_train_step(
    method: Method,
    optimizer: optax.GradientTransformationExtraArgs,
    schedule: optax.Schedule,
    *,
    seed: int,
    ema_decay: float = 0.0,
) -> Step:
    """Builds the step of a method with one network and one optimizer.

    Args:
        method: what is learned.
        optimizer: from gradients to updates.
        schedule: its learning rate, for the log.
        seed: dropout of step k is drawn from fold_in(key(seed), k).
        ema_decay: of the average of the weights; 0 where none is kept.

    Returns:
        (state, batch) -> (next state, metrics), to be jitted with the state donated. Metrics are
        float32 scalars: loss, each term's mean, grad_norm, learning_rate.
    """

    def train_step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)

        def objective(params):
            variables = {"params": params, "batch_stats": state.batch_stats}
            return method.loss_and_state(variables, batch, key)

        (loss, (terms, updated)), gradients = jax.value_and_grad(objective, has_aux=True)(
            state.params
        )
        updates, optimizer_state = optimizer.update(
            gradients, state.optimizer, state.params, value=loss
        )
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if average is not None:
            average = optax.incremental_update(params, average, 1 - ema_decay)
        metrics = {name: losses.mean(total, count) for name, (total, count) in terms.items()}
        metrics |= {
            "loss": loss,
            "grad_norm": optax.tree.norm(gradients),
            "learning_rate": optim.rate(schedule, state.step, optimizer_state),
        }
        next_state = TrainState(
            step=state.step + 1,
            params=params,
            batch_stats=updated.get("batch_stats", {}),
            average=average,
            optimizer=optimizer_state,
        )
        return next_state, metrics

    return train_step
