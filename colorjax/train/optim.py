"""Optimizers and learning-rate schedules by name, from optax."""

from __future__ import annotations

from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from colorjax.errors import RequestError, unknown_name

OPTIMIZERS = {
    "adam": lambda c, lr: optax.adam(lr, c.b1, c.b2),
    "adamw": lambda c, lr: optax.adamw(lr, c.b1, c.b2, weight_decay=c.weight_decay, mask=is_kernel),
    "sgd": lambda c, lr: optax.sgd(lr, momentum=c.b1 or None),
    "rmsprop": lambda c, lr: optax.rmsprop(lr, decay=c.b2, momentum=c.b1 or None),
}
SCHEDULES = ("constant", "cosine", "linear", "steps")


def is_kernel(params: Any) -> Any:
    """Marks the leaves that weight decay acts on: kernels, not biases or normalization."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", None) == "kernel", params
    )


def build_schedule(config: ConfigDict, total_steps: int) -> optax.Schedule:
    """Builds the learning rate as a function of the step, counted from 0.

    Args:
        config: `config.optimizer`.
        total_steps: where cosine and linear schedules reach zero.

    Raises:
        RequestError: unknown schedule, or a warm-up longer than the run.
    """
    warmup, peak = config.warmup_steps, config.learning_rate
    if config.schedule not in SCHEDULES:
        raise unknown_name("optimizer.schedule", config.schedule, SCHEDULES)
    if not 0 <= warmup < total_steps:
        raise RequestError(
            f"optimizer.warmup_steps={warmup} is not below total_steps={total_steps}"
        )
    if config.schedule == "steps" and not all(step > warmup for step in config.boundaries):
        raise RequestError("optimizer.boundaries lie after the warm-up, each of them a step")
    rest = {
        "constant": lambda: optax.constant_schedule(peak),
        "cosine": lambda: optax.cosine_decay_schedule(peak, total_steps - warmup),
        "linear": lambda: optax.linear_schedule(peak, 0.0, total_steps - warmup),
        "steps": lambda: optax.piecewise_constant_schedule(
            peak, {step - warmup: config.decay_factor for step in config.boundaries}
        ),
    }[config.schedule]()
    if not warmup:
        return rest
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), rest], [warmup])


def build(config: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Builds the optimizer of `config.optimizer`, with gradient clipping where asked.

    Raises:
        RequestError: unknown optimizer.
    """
    if config.name not in OPTIMIZERS:
        raise unknown_name("optimizer.name", config.name, OPTIMIZERS)
    if config.weight_decay and config.name != "adamw":
        raise RequestError("optimizer.weight_decay is decoupled: it needs optimizer.name=adamw")
    # Chained in both cases, so that clipping can be turned on in the middle of a run.
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    return optax.chain(clip, OPTIMIZERS[config.name](config, schedule))
