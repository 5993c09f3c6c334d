"""Training steps as pure functions of state and batch.

A step is one or more updates, each of one network. `build_train_step` updates the colorizer;
`build_features_step` pre-trains the feature network; `colorjax.train.adversarial` has the steps of
critics.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from colorjax import losses
from colorjax.methods.method import Fields, Method
from colorjax.models.blocks.convolution import looped
from colorjax.parallel.mesh import Layout
from colorjax.train import optim
from colorjax.train.state import Part, TrainState

Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, Metrics]]
# (params, batch_stats, batch, key)
# -> (scalar to minimize, (terms as (sum, count), batch_stats after it))
Objective = Callable[[Any, Any, Fields, jax.Array], tuple[jax.Array, tuple[losses.Terms, Any]]]


class Learner(NamedTuple):
    """Optimizer and schedule of a network.

    Attributes:
        optimizer: maps gradients to updates.
        schedule: the learning rate, for the log.
        accumulate: number of microbatches for gradient accumulation.
    """

    optimizer: optax.GradientTransformationExtraArgs
    schedule: optax.Schedule
    accumulate: int = 1


def update(
    part: Part,
    learner: Learner,
    objective: Objective,
    batch: Fields,
    key: jax.Array,
    step: jax.Array,
):
    """Applies one optimizer update.

    Args:
        part: the network to update.
        learner: its optimizer.
        objective: to minimize.
        batch: argument of the objective.
        key: random key of the objective.
        step: updates done, for optimizers that do not count.

    Returns:
        (the updated part, metrics: each term's mean, loss, grad_norm, learning_rate).
    """
    differentiate = jax.value_and_grad(objective, has_aux=True)
    if learner.accumulate > 1:
        differentiate = _by_parts(differentiate, learner.accumulate)
    (loss, (terms, batch_stats)), gradients = differentiate(
        part.params, part.batch_stats, batch, key
    )
    updates, optimizer = learner.optimizer.update(
        gradients, part.optimizer, part.params, value=loss
    )
    metrics = {name: losses.mean(total, count) for name, (total, count) in terms.items()}
    metrics |= {
        "loss": loss,
        "grad_norm": optax.tree.norm(gradients),
        "learning_rate": optim.rate(learner.schedule, step, optimizer),
    }
    return Part(optax.apply_updates(part.params, updates), batch_stats, optimizer), metrics


def _by_parts(differentiate: Callable, number: int) -> Callable:
    """Averages an objective and its gradients over microbatches, computed sequentially.

    Each microbatch takes rows with a stride from the batch, so that rows stay on their devices.
    BatchNorm normalizes each microbatch separately and updates its running statistics for each.
    """

    def differentiate_parts(params, batch_stats, batch, key):
        def rows(x: jax.Array) -> jax.Array:
            return jnp.swapaxes(x.reshape(-1, number, *x.shape[1:]), 0, 1)

        def add(carried, given):
            sums, batch_stats = carried
            index, part = given
            with looped():
                result = differentiate(params, batch_stats, part, jax.random.fold_in(key, index))
            (loss, (terms, batch_stats)), gradients = result
            return (jax.tree.map(jnp.add, sums, (loss, terms, gradients)), batch_stats), None

        parts = jnp.arange(number), jax.tree.map(rows, batch)
        first = jax.tree.map(lambda x: x[0], parts[1])
        (loss, (terms, _)), gradients = jax.eval_shape(
            differentiate, params, batch_stats, first, key
        )
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (loss, terms, gradients))
        (sums, batch_stats), _ = jax.lax.scan(add, (zeros, batch_stats), parts)
        loss, terms, gradients = sums
        gradients = jax.tree.map(lambda x: x / number, gradients)
        return (loss / number, (terms, batch_stats)), gradients

    return differentiate_parts


def gathering(step: Step, layout: Layout) -> Step:
    """Wraps a step so that sharded weights are gathered before use (FSDP).

    Gradients and optimizer updates stay sharded.
    """
    if not layout.divides_states:
        return step

    def whole(params: Any) -> Any:
        return jax.lax.with_sharding_constraint(params, layout.replicated)

    def gathering_step(state: TrainState, batch: dict[str, jax.Array]):
        judges = {
            name: part._replace(params=whole(part.params))
            for name in ("critic", "features")
            if (part := getattr(state, name)) is not None
        }
        return step(dataclasses.replace(state, params=whole(state.params), **judges), batch)

    return gathering_step


def named(metrics: Metrics, who: str) -> Metrics:
    """Returns the metrics with the prefix `who_` in their names."""
    return {f"{who}_{name}": value for name, value in metrics.items()}


def computed(values: Mapping[str, float]) -> dict[str, float]:
    """Returns the metrics of a step without those of a network that did not learn in it.

    >>> computed({"trained_critic": 1, "trained_generator": 0, "loss": 0, "critic_loss": 0.7})
    {'critic_loss': 0.7}
    """
    trained = {who: values.get(f"trained_{who}", 1) > 0 for who in ("critic", "generator")}
    kept = {}
    for name, value in values.items():
        who = "critic" if name.startswith("critic_") else "generator"
        if trained[who] and not name.startswith("trained_"):
            kept[name] = value
    return kept


def explain_divergence(values: Mapping[str, float]) -> str | None:
    """Returns which loss or gradient is not finite and how to fix it; None: all are finite."""
    fixes = {
        "": "optimizer.learning_rate, in NoGAN's last phase nogan.learning_rate, or set "
        "optimizer.clip_norm",
        "critic_": "critic_optimizer.learning_rate, in NoGAN nogan.critic_learning_rate or "
        "nogan.critic_factor",
        "features_": "features.learning_rate",
    }
    for who, fix in fixes.items():
        loss, norm = values.get(f"{who}loss", 0.0), values.get(f"{who}grad_norm", 0.0)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return (
                f"the {who.replace('_', ' ')}loss is {loss}, the gradient norm {norm}. Lower {fix}"
            )
    return None


def generator_objective(method: Method, state: TrainState) -> Objective:
    """Returns the colorizer's objective; critic and feature network are not updated."""

    def judge(outputs: Fields, batch: Fields, key: jax.Array) -> Fields:
        opinions: Fields = {}
        if method.critic is not None:
            assert state.critic is not None
            colors = method.colors(outputs, batch, method.critic.space)
            opinions["fake_logits"], _ = judged(method, state.critic.variables, colors, batch, key)
        if method.features is not None:
            assert state.features is not None
            opinions |= feature_taps(method, state.features.variables, outputs, batch)
        if method.loss is not None and "picture" in method.loss.judges:
            opinions["rgb"] = (method.colors(outputs, batch, "rgb") + 1) / 2
        return opinions

    def objective(params, batch_stats, batch, key):
        variables = {"params": params, "batch_stats": batch_stats}
        judging = functools.partial(judge, key=key)
        loss, (terms, updated) = method.loss_and_state(variables, batch, key, judging)
        return loss, (terms, updated.get("batch_stats", {}))

    return objective


def feature_taps(method: Method, variables: Any, outputs: Fields, batch: Fields) -> Fields:
    """Returns the feature network's activations for predicted and for true colors.

    Args:
        method: with a feature network.
        variables: of that network.
        outputs: of the colorizer.
        batch: encoded.

    Returns:
        taps and true_taps: sequences of (N, h, w, C).
    """
    assert method.features is not None
    pictures = (method.colors(outputs, batch, "rgb"), method.judged_truth(batch, "rgb"))
    taps = [
        method.features.apply(variables, (picture + 1) / 2, train=False)["taps"]
        for picture in pictures
    ]
    return {"taps": taps[0], "true_taps": taps[1]}


def judged(method: Method, variables: Any, colors: jax.Array, batch: Fields, key: jax.Array):
    """Returns the critic's logits of some colors, and its updated statistics."""
    assert method.critic is not None
    logits, updated = method.critic.apply(
        variables,
        {"color": colors, "gray": batch["gray"]},
        train=True,
        rngs={"dropout": jax.random.fold_in(key, 1)},
        mutable=["batch_stats"],
    )
    return logits, updated.get("batch_stats", {})


def build_train_step(
    method: Method, learner: Learner, *, seed: int, ema_decay: float = 0.0
) -> Step:
    """Builds the step in which only the colorizer learns.

    Args:
        method: with its loss.
        learner: of the colorizer.
        seed: dropout of step k is drawn from fold_in(key(seed), k).
        ema_decay: decay of the averaged weights; ignored if the state has no average.

    Returns:
        (state, batch) -> (next state, metrics), to be jitted with the state donated. Metrics are
        float32 scalars: loss, each term's mean, grad_norm, learning_rate.
    """

    def train_step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        objective = generator_objective(method, state)
        part, metrics = update(state.generator, learner, objective, batch, key, state.step)
        return advanced(state, part, ema_decay), metrics

    return train_step


def advanced(state: TrainState, part: Part, ema_decay: float) -> TrainState:
    """Returns the state of the next step, with the updated colorizer and average.

    The average is updated as average + (1 - d) (parameter - average), so that of a constant
    parameter equals the parameter exactly. d = min(`ema_decay`, (1 + step) / (10 + step)), as in
    TensorFlow's ExponentialMovingAverage: else the average of a short run is mostly the first
    weights, at 0.999 more than half of it after 600 steps. BatchNorm's running statistics are not
    averaged: an averaged network uses those of the trained network, with momentum 0.9.
    """
    average = state.average
    if average is not None:
        decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
        average = jax.tree.map(
            lambda old, new: old + (1 - decay) * (new - old), average, part.params
        )
    return dataclasses.replace(state.with_generator(part), step=state.step + 1, average=average)


def build_features_step(method: Method, learner: Learner, *, seed: int) -> Step:
    """Builds the step in which the feature network learns to classify true pictures.

    Metrics: features_loss, features_top1 and so on.
    """

    def step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, Metrics]:
        assert method.features is not None
        assert state.features is not None
        key = jax.random.fold_in(jax.random.key(seed), state.step)

        def objective(params, batch_stats, batch, key):
            variables = {"params": params, "batch_stats": batch_stats}
            rgb = (method.truth(method.encoded(batch), "rgb") + 1) / 2
            outputs, updated = method.features.apply(
                variables, rgb, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
            )
            entropy = losses.class_cross_entropy(outputs["class_logits"], batch["label"])
            hits = losses.class_hits(outputs["class_logits"], batch["label"])
            return losses.mean(*entropy), ({"top1": hits}, updated["batch_stats"])

        part, metrics = update(state.features, learner, objective, batch, key, state.step)
        return dataclasses.replace(state, features=part, step=state.step + 1), named(
            metrics, "features"
        )

    return step
