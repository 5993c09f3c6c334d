"""Optimizers and learning-rate schedules by name, from optax."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from ml_collections import ConfigDict

from colorjax import models
from colorjax.errors import RequestError, unknown_name

OPTIMIZERS = {
    "adam": lambda c, lr: optax.adam(lr, c.b1, c.b2),
    "adadelta": lambda c, lr: optax.adadelta(lr, c.rho),
    "adamw": lambda c, lr: optax.adamw(lr, c.b1, c.b2, weight_decay=c.weight_decay, mask=is_kernel),
    "sgd": lambda c, lr: optax.sgd(lr, momentum=c.b1 or None),
    "rmsprop": lambda c, lr: optax.rmsprop(lr, decay=c.b2, momentum=c.b1 or None),
}
_PLATEAU_DELTA = 1e-4  # smallest decrease of the loss that counts as better, as in Keras
SCHEDULES = ("constant", "cosine", "linear", "steps", "exponential", "plateau", "wsd")


def is_kernel(params: Any) -> Any:
    """Marks the leaves that weight decay acts on: kernels, not biases or normalization."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", None) == "kernel", params
    )


def check_schedule(config: ConfigDict, total_steps: int) -> None:
    """Checks the learning-rate schedule of `config.optimizer`.

    Raises:
        RequestError: unknown schedule, a warm-up longer than the run, or invalid numbers.
    """
    warmup, cooldown = config.warmup_steps, config.cooldown_steps
    if config.schedule not in SCHEDULES:
        raise unknown_name("optimizer.schedule", config.schedule, SCHEDULES)
    if not 0 <= warmup < total_steps:
        raise RequestError(
            f"optimizer.warmup_steps={warmup} is not below total_steps={total_steps}; set "
            f"--config.optimizer.warmup_steps={max(total_steps // 10, 0)}, or train longer"
        )
    if config.schedule == "steps" and not all(step > warmup for step in config.boundaries):
        raise RequestError("optimizer.boundaries must be steps after optimizer.warmup_steps")
    if config.schedule == "exponential" and not (
        config.decay_steps > 0 and config.decay_factor > 0 and config.lowest_rate >= 0
    ):
        raise RequestError(
            "optimizer.decay_steps must be at least 1, optimizer.decay_factor above 0 and "
            "optimizer.lowest_rate at least 0"
        )
    if cooldown and config.schedule != "wsd":
        raise RequestError(
            f"optimizer.cooldown_steps={cooldown} needs optimizer.schedule=wsd, not "
            f"{config.schedule}; change one of them"
        )
    if not 0 <= cooldown <= total_steps - warmup:
        raise RequestError(
            f"optimizer.cooldown_steps={cooldown} does not fit between optimizer.warmup_steps="
            f"{warmup} and total_steps={total_steps}"
        )


def build_schedule(config: ConfigDict, total_steps: int) -> optax.Schedule:
    """Builds the learning rate as a function of the step, counted from 0.

    Args:
        config: `config.optimizer`.
        total_steps: where cosine, linear and wsd schedules reach zero. The schedule wsd (warm-up,
            stable, decay) multiplies the rate by 1 - sqrt((step - start) / cooldown_steps) in the
            last `cooldown_steps` steps, from `start` on: the cool-down "1-sqrt" of Hagele et al.
            2024 (arXiv:2405.18392); 0 steps: no cool-down.

    Raises:
        RequestError: as `check_schedule`.
    """
    check_schedule(config, total_steps)
    warmup, peak, cooldown = config.warmup_steps, config.learning_rate, config.cooldown_steps
    rest = {
        # Continuous, not a staircase.
        "exponential": lambda: optax.exponential_decay(
            peak, config.decay_steps, config.decay_factor, end_value=config.lowest_rate or None
        ),
        "plateau": lambda: optax.constant_schedule(peak),  # `build` lowers it
        "constant": lambda: optax.constant_schedule(peak),
        "cosine": lambda: optax.cosine_decay_schedule(peak, total_steps - warmup),
        "linear": lambda: optax.linear_schedule(peak, 0.0, total_steps - warmup),
        "wsd": lambda: _cool_down(peak, total_steps - warmup, cooldown),
        "steps": lambda: optax.piecewise_constant_schedule(
            peak, {step - warmup: config.decay_factor for step in config.boundaries}
        ),
    }[config.schedule]()
    if not warmup:
        return rest
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), rest], [warmup])


def _cool_down(peak: float, end: int, length: int) -> optax.Schedule:
    """Returns a schedule: the peak until `length` steps before `end`, then the "1-sqrt" decay."""

    def schedule(step: jax.typing.ArrayLike) -> jax.Array:
        done = jnp.clip((jnp.asarray(step) - (end - length)) / length, 0, 1)
        return peak * (1 - jnp.sqrt(done))

    return schedule if length else optax.constant_schedule(peak)


def check(config: ConfigDict) -> None:
    """Checks the optimizer of `config.optimizer`, without its schedule.

    Raises:
        RequestError: unknown optimizer, or an invalid value.
    """
    if config.name not in OPTIMIZERS:
        raise unknown_name("optimizer.name", config.name, OPTIMIZERS)
    if config.weight_decay and config.name != "adamw":
        raise RequestError("optimizer.weight_decay needs optimizer.name=adamw (decoupled decay)")
    if config.schedule == "plateau" and not (
        0 < config.decay_factor < 1 and min(config.plateau_window, config.plateau_patience) > 0
    ):
        raise RequestError(
            "optimizer.decay_factor must be between 0 and 1, optimizer.plateau_window and "
            f"optimizer.plateau_patience at least 1, not {config.decay_factor}, "
            f"{config.plateau_window} and {config.plateau_patience}"
        )


def build(config: ConfigDict, schedule: optax.Schedule) -> optax.GradientTransformationExtraArgs:
    """Builds the optimizer of `config.optimizer`, with optional gradient clipping.

    The schedule "plateau" multiplies the learning rate by `decay_factor` when the training loss,
    averaged over `plateau_window` steps, has not improved for `plateau_patience` windows
    (`optax.contrib.reduce_on_plateau`); `update` then needs the loss as `value`.

    Raises:
        RequestError: as `check`.
    """
    check(config)
    # Chained in both cases, so that a resumed run can turn clipping on or off.
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    optimizer = optax.chain(clip, OPTIMIZERS[config.name](config, schedule))
    if config.schedule != "plateau":
        return optimizer
    plateau = optax.contrib.reduce_on_plateau(
        config.decay_factor,
        config.plateau_patience,
        rtol=0.0,
        atol=_PLATEAU_DELTA,
        accumulation_size=config.plateau_window,
    )
    return optax.chain(optimizer, plateau)


def by_layer(
    optimizer: optax.GradientTransformationExtraArgs,
    *,
    trained: tuple[str, ...] = (),
    frozen: tuple[str, ...] = (),
    factors: Mapping[str, float] = MappingProxyType({}),
) -> optax.GradientTransformationExtraArgs:
    """Freezes layers of a network, and scales the learning rate of other layers.

    A frozen layer gets updates of exactly zero, without weight decay, and the optimizer keeps no
    state for it. Norms, such as that of `clip_norm`, are over the layers that learn. The factors
    only change updates, so the optimizer's state does not depend on them.

    Args:
        optimizer: of the layers that learn.
        trained: names of the top layers that learn; empty: all.
        frozen: paths of layers that do not learn, such as "encoder" or "encoder/stem".
        factors: by path, a factor on the learning rate: it scales the final update, including
            weight decay. Factors of nested paths multiply.

    Raises:
        ValueError: at `init`: unknown layer.
    """
    if trained or frozen:

        def label(params: Any) -> Any:
            learns = models.which_learn(params, trained, frozen)
            return jax.tree.map(lambda learns: "trained" if learns else "frozen", learns)

        optimizer = optax.transforms.partition(
            {"trained": optimizer, "frozen": optax.set_to_zero()}, label
        )
    return _scaled(optimizer, factors) if factors else optimizer


def _scaled(
    optimizer: optax.GradientTransformationExtraArgs, factors: Mapping[str, float]
) -> optax.GradientTransformationExtraArgs:
    """Multiplies updates by factors; keeps the optimizer's state."""

    def init(params: Any) -> optax.OptState:
        for path in factors:
            models.which_learn(params, frozen=(path,))  # raises for unknown layers
        return optimizer.init(params)

    def scale(path: Any, update: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path, simple=True, separator="/") + "/"
        for layer, factor in factors.items():
            update = update * factor if name.startswith(f"{layer}/") else update
        return update

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(updates, state, params, **extra)
        return jax.tree_util.tree_map_with_path(scale, updates), state

    return optax.GradientTransformationExtraArgs(init, update)


def rate(schedule: optax.Schedule, step: jax.Array, state: optax.OptState) -> jax.Array:
    """Returns the learning rate of an update, float32: the schedule's times the plateau factor.

    Args:
        schedule: of the optimizer.
        step: updates done; used if the optimizer does not count them itself.
        state: of the optimizer after the update.
    """
    scale, count = 1.0, step
    for leaf in jax.tree.leaves(state, is_leaf=_is_counted):
        if isinstance(leaf, optax.ScaleByScheduleState):
            count = leaf.count - 1
        elif _is_counted(leaf):
            scale = leaf.scale
    return jnp.asarray(schedule(count) * scale, jnp.float32)


def _is_counted(node: Any) -> bool:
    return isinstance(node, (optax.contrib.ReduceLROnPlateauState, optax.ScaleByScheduleState))
