"""The phases of a run: the training step, its photos and its number of steps.

Most methods have one phase. A feature network without published weights is trained in a first
phase. NoGAN (docs/papers.md) pre-trains the colorizer, then the critic on colorized photos, and
ends with a short adversarial phase.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from colorjax import methods
from colorjax.errors import RequestError
from colorjax.losses import Loss
from colorjax.methods import resolve
from colorjax.methods.method import Method, Variables
from colorjax.train import adversarial, optim, state, steps
from colorjax.train.adversarial import Turns
from colorjax.train.state import TrainState
from colorjax.train.steps import Learner
from colorjax.weights.torch import pretrained


class Phase(NamedTuple):
    """Consecutive steps of a run with the same training step.

    Attributes:
        name: for the log.
        first_step: the step before its first step.
        last_step: its last step.
        step: see `colorjax.train.steps`.
        begin: changes the state before the first step (new optimizers). To be jitted.
        photos: "train": the training photos; "generated": some of them, true ones and ones
            colorized with the current weights.
        teaches: whether the colorizer learns, and so is evaluated.
        picks: whether candidate checkpoints are kept.
    """

    name: str
    first_step: int
    last_step: int
    step: steps.Step
    begin: Callable[[TrainState], TrainState] | None = None
    photos: str = "train"
    teaches: bool = True
    picks: bool = False


class Plan(NamedTuple):
    """The initial state and the phases of a run.

    Attributes:
        create: (key) -> the state of step 0, without published weights; run it under jit.
        read_features: reads the published weights of the feature network; None if it has none.
        phases: in order; the last one ends with the run.
    """

    create: Callable[[jax.Array], TrainState]
    phases: tuple[Phase, ...]
    read_features: Callable[[], Variables] | None = None

    def at(self, step: int) -> Phase:
        """Returns the phase of a step; the last phase for later steps."""
        return next((phase for phase in self.phases if step <= phase.last_step), self.phases[-1])


def build(config: ConfigDict, method: Method, num_photos: int) -> Plan:
    """Plans a run.

    Args:
        config: see configs/default.py.
        method: built from it, with its loss.
        num_photos: number of training photos in an epoch.

    Raises:
        RequestError: invalid values, or more phases than steps.
    """
    return _Planner(config, method, num_photos).plan()


def check(config: ConfigDict, loss: Loss) -> None:
    """Checks the lengths of the phases and the optimizers; builds nothing.

    Args:
        config: see configs/default.py.
        loss: of this config.

    Raises:
        RequestError: invalid values, or more phases than steps.
    """
    spans = _spans(config, resolve.trains_features(config, loss))
    first = "train" if "train" in spans else "pretrain"
    optimizers = [config.optimizer]
    if first == "train" and "critic" in loss.judges:
        optimizers.append(config.critic_optimizer)
    for optimizer in optimizers:
        optim.check(optimizer)
        optim.check_schedule(optimizer, spans[first][1] - spans[first][0])


def _spans(config: ConfigDict, trains_features: bool) -> dict[str, tuple[int, int]]:
    """Returns the first (exclusive) and last step of each phase, by name."""
    total = config.total_steps
    shares = {"train": 1.0}
    if config.nogan.shares:
        if len(config.nogan.shares) != 3 or not min(config.nogan.shares) > 0:
            raise RequestError(
                "nogan.shares must be three numbers above 0: pre-training, critic, GAN; got "
                f"{tuple(config.nogan.shares)}"
            )
        shares = dict(zip(("pretrain", "critic", "gan"), config.nogan.shares, strict=True))
    before = config.features.share if trains_features else 0.0
    if not 0 <= before < 1:
        raise RequestError(f"features.share must be at least 0 and below 1, not {before}")
    rest = (1 - before) / sum(shares.values())
    shares = ({"features": before} if trains_features else {}) | {
        name: share * rest for name, share in shares.items()
    }
    if total < len(shares):
        raise RequestError(
            f"total_steps={total} is too small for one step in each phase: {', '.join(shares)}"
        )
    spans, done, passed = {}, 0, 0.0
    for number, (name, share) in enumerate(shares.items(), start=1):
        passed += share
        last = min(max(round(passed * total), done + 1), total - (len(shares) - number))
        spans[name] = (done, last)
        done = last
    return spans


class _Planner:
    def __init__(self, config: ConfigDict, method: Method, num_photos: int):
        self._config = config
        self._method = method
        self._pass_steps = max(1, num_photos // config.batch_size)
        assert method.loss is not None
        self._trains_features = resolve.trains_features(config, method.loss)
        self._spans = _spans(config, self._trains_features)

    def plan(self) -> Plan:
        build = {
            "features": self._features,
            "train": self._train,
            "pretrain": self._pretrain,
            "critic": self._critic,
            "gan": self._gan,
        }
        phases = tuple(build[name](name) for name in self._spans)
        is_published = self._method.features is not None and not self._trains_features
        read = functools.partial(pretrained.read_features, self._config) if is_published else None
        return Plan(self._create, phases, read)

    def _learner(self, settings: ConfigDict, phase: str) -> Learner:
        """Builds an optimizer over the steps of a phase."""
        first, last = self._spans[phase]
        schedule = optim.build_schedule(settings, last - first)
        return Learner(optim.build(settings, schedule), schedule, self._config.parallel.accumulate)

    def _simply(self, phase: str, rate: float, **changes: object) -> Learner:
        """Builds AdamW with the run's weight decay and a constant rate, unless changed."""
        settings = self._config.optimizer.copy_and_resolve_references()
        plain = {"name": "adamw", "warmup_steps": 0, "schedule": "constant", "clip_norm": 0.0}
        plain |= {"cooldown_steps": 0, "learning_rate": rate}
        settings.update(plain | changes)
        return self._learner(settings, phase)

    @functools.cached_property
    def _first_learner(self) -> Learner:
        """The colorizer's learner in the first phase in which it learns."""
        first = "train" if "train" in self._spans else "pretrain"
        return self._of_colorizer(self._learner(self._config.optimizer, first))

    def _of_colorizer(self, learner: Learner) -> Learner:
        """Restricts a learner to the layers that learn, with their factors on the rate."""
        method = self._method
        optimizer = optim.by_layer(
            learner.optimizer,
            trained=method.trains,
            frozen=method.frozen,
            factors=dict(method.factors),
        )
        return learner._replace(optimizer=optimizer)

    def _of_features(self, name: str = "features") -> Learner:
        return self._simply(name, self._config.features.learning_rate, schedule="cosine")

    def _of_critic(self, name: str) -> Learner:
        nogan = self._config.nogan
        if name == "critic":
            return self._simply(name, nogan.critic_learning_rate, schedule="cosine")
        if name == "gan":  # 6.6: betas of 0 and 0.9
            return self._simply(name, nogan.learning_rate * nogan.critic_factor, b1=0.0, b2=0.9)
        return self._learner(self._config.critic_optimizer, name)

    def _create(self, key: jax.Array) -> TrainState:
        method, config = self._method, self._config
        first = next(name for name in ("train", "pretrain") if name in self._spans)
        fresh = state.create(
            method,
            self._first_learner.optimizer,
            key,
            average=config.optimizer.ema_decay > 0,
        )
        blank = jnp.zeros((1, method.image_size, method.image_size, 3))
        if method.critic is not None:
            fields = {"color": method.blank_colors(method.critic.space), "gray": blank[..., :1]}
            keys = {"params": jax.random.fold_in(key, 1)}
            variables = method.critic.init(keys, fields, train=False)
            name = first if first == "train" else "critic"
            critic = state.create_part(variables, self._of_critic(name).optimizer)
            fresh = dataclasses.replace(fresh, critic=critic)
        if method.features is not None:
            keys = {"params": jax.random.fold_in(key, 2)}
            variables = method.features.init(keys, blank, train=False)
            optimizer = self._of_features().optimizer if self._trains_features else None
            fresh = dataclasses.replace(fresh, features=state.create_part(variables, optimizer))
        if "gan" in self._spans or (method.critic and config.turns.kind == "switch"):
            fresh = dataclasses.replace(fresh, generator_next=jnp.zeros((), bool))
        return fresh

    def _features(self, name: str) -> Phase:
        learner = self._of_features()
        step = steps.build_features_step(self._method, learner, seed=self._config.seed)
        return Phase(name, *self._spans[name], step, teaches=False)

    def _train(self, name: str) -> Phase:
        config = self._config
        learner = self._first_learner
        if self._method.critic is None:
            return Phase(name, *self._spans[name], self._plain_step(self._method, learner))
        step = self._adversarial_step(learner, self._of_critic(name), config.turns.to_dict())
        return Phase(name, *self._spans[name], step)

    def _plain_step(self, method: Method, learner: Learner) -> steps.Step:
        decay = self._config.optimizer.ema_decay
        return steps.build_train_step(method, learner, seed=self._config.seed, ema_decay=decay)

    def _adversarial_step(self, learner: Learner, critic: Learner, turns: dict) -> steps.Step:
        config = self._config
        return adversarial.build_adversarial_step(
            self._method,
            learner,
            critic,
            Turns(**turns, pass_steps=self._pass_steps),
            gan=config.loss.gan,
            true_target=config.loss.true_target,
            seed=config.seed,
            ema_decay=config.optimizer.ema_decay,
        )

    def _pretrain(self, name: str) -> Phase:
        if self._config.optimizer.ema_decay:
            raise RequestError("NoGAN does not support averaged weights; set optimizer.ema_decay=0")
        if self._method.critic is None:
            raise RequestError(
                "nogan.shares needs an adversarial loss; set loss.name to adversarial or "
                "smooth_l1_and_bins, and loss.adversarial_weight above 0"
            )
        config = self._config.copy_and_resolve_references()
        config.loss.adversarial_weight = 0.0
        loss = methods.build_loss(config)
        method = dataclasses.replace(self._method, loss=loss, critic=None)
        return Phase(name, *self._spans[name], self._plain_step(method, self._first_learner))

    def _critic(self, name: str) -> Phase:
        learner = self._of_critic(name)
        step = adversarial.build_critic_step(self._method, learner, seed=self._config.seed)
        return Phase(name, *self._spans[name], step, photos="generated", teaches=False)

    def _gan(self, name: str) -> Phase:
        config, critic = self._config, self._of_critic(name)
        plain = self._simply(name, config.nogan.learning_rate, b1=0.0, b2=0.9)
        generator = self._of_colorizer(plain)
        turns = {"kind": "switch", "threshold": config.turns.threshold}
        step = self._adversarial_step(generator, critic, turns)

        def begin(before: TrainState) -> TrainState:
            """Resets both optimizers; the critic learns first."""
            assert before.critic is not None
            taught = before.critic
            return dataclasses.replace(
                before,
                optimizer=generator.optimizer.init(before.params),
                critic=taught._replace(optimizer=critic.optimizer.init(taught.params)),
                generator_next=jnp.zeros((), bool),
            )

        return Phase(name, *self._spans[name], step, begin, picks=True)
