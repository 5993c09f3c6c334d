"""Training steps of a critic, alone or alternating with the colorizer."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from colorjax import losses
from colorjax.errors import RequestError, unknown_name
from colorjax.losses import adversarial
from colorjax.methods.method import Fields, Method
from colorjax.train import steps
from colorjax.train.state import TrainState

TURNS = ("ratio", "passes", "switch")


class Turns(NamedTuple):
    """Schedule of the alternation between critic and colorizer.

    Attributes:
        kind: "ratio": in every batch `critic_steps` updates of the critic, then `generator_steps`
            of the colorizer; "passes": `critic_steps` epochs of the critic, then `generator_steps`
            of the colorizer; "switch": the critic until its loss on a batch is below `threshold`,
            then the colorizer for one batch (DeOldify).
        critic_steps: see kind.
        generator_steps: see kind.
        threshold: of the critic's loss, the mean of its losses on true and on predicted colors.
        pass_steps: batches in an epoch.
    """

    kind: str = "ratio"
    critic_steps: int = 1
    generator_steps: int = 1
    threshold: float = 0.65
    pass_steps: int = 1

    def check(self) -> None:
        """Raises a RequestError for invalid values."""
        if self.kind not in TURNS:
            raise unknown_name("turns.kind", self.kind, TURNS)
        if min(self.critic_steps, self.generator_steps, self.pass_steps) < 1:
            raise RequestError("turns.critic_steps and turns.generator_steps must be at least 1")
        if not self.threshold > 0:
            raise RequestError(f"turns.threshold must be above 0, not {self.threshold}")


def switch(generator_next: jax.Array, critic_loss: jax.Array, threshold: float) -> jax.Array:
    """Returns whether the colorizer learns next, for the kind "switch".

    After a batch of the colorizer the critic learns. After a batch of the critic the colorizer
    learns if the critic's loss was below the threshold.

    Args:
        generator_next: bool scalar; whether the colorizer learned in this batch.
        critic_loss: of this batch; ignored if the colorizer learned.
        threshold: see `Turns`.
    """
    return jnp.logical_not(generator_next) & (critic_loss < threshold)


def build_adversarial_step(
    method: Method,
    generator: steps.Learner,
    critic: steps.Learner,
    turns: Turns,
    *,
    gan: str,
    true_target: float,
    seed: int,
    ema_decay: float = 0.0,
) -> steps.Step:
    """Builds the step in which the colorizer and its critic learn alternately.

    While one learns, the other is unchanged, including its running statistics.

    Args:
        method: with a critic.
        generator: learner of the colorizer.
        critic: learner of the critic.
        turns: schedule of the alternation.
        gan: see `colorjax.losses.adversarial`.
        true_target: critic's target on true colors; below 1: one-sided smoothing.
        seed: as in `colorjax.train.steps.build_train_step`.
        ema_decay: as in `colorjax.train.steps.build_train_step`.

    Returns:
        As `colorjax.train.steps.build_train_step`. The critic's metrics are critic_loss,
        critic_grad_norm, critic_accuracy and so on. trained_critic and trained_generator are 1 for
        the network that learned; see `colorjax.train.steps.computed`.
    """
    turns.check()

    def teach_critic(state: TrainState, batch: Fields, key: jax.Array):
        assert method.critic is not None
        assert state.critic is not None
        outputs, _ = method.forward(state.variables, batch, key)
        fakes = jax.lax.stop_gradient(method.colors(outputs, batch, method.critic.space))
        truth = method.judged_truth(batch, method.critic.space)
        seen = batch | {"truth": truth, "fake": fakes}

        def objective(params, batch_stats, batch, key):
            variables = {"params": params, "batch_stats": batch_stats}
            on_truth, stats = steps.judged(method, variables, batch["truth"], batch, key)
            variables["batch_stats"] = stats
            on_fake, stats = steps.judged(
                method, variables, batch["fake"], batch, jax.random.fold_in(key, 2)
            )
            terms = {
                "true": adversarial.true_loss(on_truth, gan, true_target),
                "fake": adversarial.fake_loss(on_fake, gan),
            }
            loss = (losses.mean(*terms["true"]) + losses.mean(*terms["fake"])) / 2
            right = adversarial.hits(on_truth, True), adversarial.hits(on_fake, False)
            terms |= {"accuracy_true": right[0], "accuracy_fake": right[1]}
            terms["accuracy"] = (right[0][0] + right[1][0], right[0][1] + right[1][1])
            return loss, (terms, stats)

        part, metrics = steps.update(state.critic, critic, objective, seen, key, state.step)
        return dataclasses.replace(state, critic=part), steps.named(metrics, "critic")

    def teach_generator(state: TrainState, batch: Fields, key: jax.Array):
        objective = steps.generator_objective(method, state)
        part, metrics = steps.update(state.generator, generator, objective, batch, key, state.step)
        return state.with_generator(part), metrics

    def by_ratio(state: TrainState, batch: Fields, key: jax.Array):
        metrics: steps.Metrics = {}
        for number in range(turns.critic_steps):
            state, new_metrics = teach_critic(state, batch, jax.random.fold_in(key, number))
            metrics |= new_metrics
        for number in range(turns.generator_steps):
            state, new_metrics = teach_generator(
                state, batch, jax.random.fold_in(key, 1000 + number)
            )
            metrics |= new_metrics
        return state, metrics

    def one_of_both(is_generators: jax.Array, state: TrainState, batch: Fields, key: jax.Array):
        shapes = [
            jax.eval_shape(teach, state, batch, key)[1] for teach in (teach_critic, teach_generator)
        ]
        blank = {name: jnp.zeros(x.shape, x.dtype) for part in shapes for name, x in part.items()}

        def run(teach):
            def branch(state):
                state, new_metrics = teach(state, batch, key)
                return state, blank | new_metrics

            return branch

        state, metrics = jax.lax.cond(is_generators, run(teach_generator), run(teach_critic), state)
        trained = {"trained_generator": is_generators, "trained_critic": ~is_generators}
        return state, metrics | {name: x.astype(jnp.float32) for name, x in trained.items()}

    def step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, steps.Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        batch = method.encoded(batch)
        if turns.kind == "ratio":
            state, metrics = by_ratio(state, batch, key)
        elif turns.kind == "passes":
            length = turns.critic_steps + turns.generator_steps
            number = state.step // turns.pass_steps % length
            state, metrics = one_of_both(number >= turns.critic_steps, state, batch, key)
        else:
            assert state.generator_next is not None
            now = state.generator_next
            state, metrics = one_of_both(now, state, batch, key)
            following = switch(now, metrics["critic_loss"], turns.threshold)
            state = dataclasses.replace(state, generator_next=following)
        return steps.advanced(state, state.generator, ema_decay), metrics

    return step


def build_critic_step(method: Method, learner: steps.Learner, *, seed: int) -> steps.Step:
    """Builds the step in which a critic learns to distinguish true from generated pictures.

    Batches contain true pictures (label 1) and pictures colorized earlier (label 0). Metrics have
    the names of `build_adversarial_step`.
    """

    def step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, steps.Metrics]:
        assert method.critic is not None
        assert state.critic is not None
        key = jax.random.fold_in(jax.random.key(seed), state.step)

        def objective(params, batch_stats, batch, key):
            variables = {"params": params, "batch_stats": batch_stats}
            encoded = method.encoded(batch)
            colors = method.truth(encoded, method.critic.space)
            logits, stats = steps.judged(method, variables, colors, encoded, key)
            labels = batch["label"].astype(jnp.float32)[:, None, None, None]
            wanted = jnp.broadcast_to(labels, logits.shape)
            errors = optax.sigmoid_binary_cross_entropy(logits, wanted)
            right = ((logits > 0) == (wanted > 0.5)).astype(jnp.float32)
            count = jnp.float32(errors.size)
            return jnp.mean(errors), ({"accuracy": (jnp.sum(right), count)}, stats)

        part, metrics = steps.update(state.critic, learner, objective, batch, key, state.step)
        return dataclasses.replace(state, critic=part, step=state.step + 1), steps.named(
            metrics, "critic"
        )

    return step
