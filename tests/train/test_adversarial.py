import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.synthetic import TinyNet, tiny_config
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from colorjax import methods
from colorjax.errors import RequestError
from colorjax.models.blocks.convolution import BatchNorm, Conv
from colorjax.train import adversarial, state, steps
from colorjax.train.adversarial import Turns

RATE, SIZE = 1e-2, 16


class TinyCritic(nn.Module):
    space = "own"

    @nn.compact
    def __call__(self, inputs, *, train):
        x = jnp.concatenate([inputs["gray"], inputs["color"]], axis=-1)
        x = BatchNorm()(Conv(4, stride=2)(x, train=train), train=train)
        return Conv(1)(nn.leaky_relu(x, 0.2), train=train)


def tiny_gan(photos):
    config = tiny_config(photos)
    with config.unlocked():
        config.loss.name = "adversarial"
        config.loss.feature_weight = 0.0
    built = methods.build(config)
    return dataclasses.replace(built, network=TinyNet(), critic=TinyCritic(), image_size=SIZE)


def learner():
    return steps.Learner(optax.sgd(RATE), lambda step: RATE)


def build(method, turns, **options):
    options = {"gan": "bce", "true_target": 1.0, "seed": 0} | options
    return adversarial.build_adversarial_step(method, learner(), learner(), turns, **options)


def create(method, key, *, switches=False):
    first = state.create(method, learner().optimizer, key, average=False)
    inputs = {"color": method.blank_colors("own"), "gray": jnp.zeros((1, SIZE, SIZE, 1))}
    variables = method.critic.init(jax.random.fold_in(key, 1), inputs, train=False)
    critic = state.create_part(variables, learner().optimizer)
    turn = jnp.zeros((), bool) if switches else None
    return first.replace(critic=critic, generator_next=turn)


@pytest.fixture(scope="module")
def gan(photos):
    """A method, its first state, and a batch of 8."""
    method = tiny_gan(photos)
    rng = np.random.default_rng(0)
    batch = {
        "gray": rng.uniform(-1, 1, (8, SIZE, SIZE, 1)).astype(np.float32),
        "ab": rng.uniform(-0.5, 0.5, (8, SIZE, SIZE, 2)).astype(np.float32),
    }
    return method, jax.jit(lambda key: create(method, key))(jax.random.key(0)), batch


@pytest.fixture(scope="module")
def by_passes(gan):
    """Two steps, one of the critic and one of the colorizer: (states, metrics)."""
    method, first, batch = gan
    step = jax.jit(build(method, Turns("passes", 1, 1, pass_steps=1), true_target=0.9))
    second, critics = step(first, batch)
    third, generators = step(second, batch)
    return (first, second, third), (critics, generators)


def same(one, other):
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def test_the_critic_until_it_is_good_then_the_generator_once():
    """The switching rule of DeOldify (systems_a.md 6.6) on a scripted sequence of losses."""
    script = [
        0.9,
        0.66,
        0.65,
        0.64,
        None,
        0.2,
        None,
        0.7,
        0.1,
        None,
    ]  # None: the critic does not learn
    wanted = [0, 0, 0, 1, 0, 1, 0, 0, 1, 0]  # next learner; 1: the generator
    turn, actual = False, []
    for loss in script:
        assert (loss is None) == turn
        turn = bool(adversarial.switch(jnp.bool_(turn), jnp.float32(loss or 0.0), 0.65))
        actual.append(turn)
    assert actual == [bool(x) for x in wanted]


def test_one_learns_and_the_other_stands_still(by_passes):
    (first, second, third), (metrics, generators) = by_passes
    assert same(second.generator, first.generator)
    assert not same(second.critic.params, first.critic.params)
    assert not same(second.critic.batch_stats, first.critic.batch_stats)
    assert {name.split("_")[0] for name in steps.computed(metrics)} == {"critic"}

    assert same(third.critic, second.critic)
    assert not same(third.params, second.params)
    assert not same(third.batch_stats, second.batch_stats)
    actual = steps.computed(generators)
    assert {"loss", "adversarial", "l1", "grad_norm", "chroma_ratio"} <= actual.keys()
    assert not any(name.startswith(("critic", "trained")) for name in actual)
    assert int(third.step) == 2


def test_losses_and_gradients_are_what_the_definition_says(gan, by_passes):
    """The critic's on true and predicted colors, then the generator's against that critic."""
    method, _, batch = gan
    (first, second, third), (critics, generators) = by_passes

    def logits_of(variables, colors):
        fields = {"color": colors, "gray": batch["gray"]}
        return method.critic.apply(variables, fields, train=True, mutable=["batch_stats"])

    def colors_of(variables, number):
        key = jax.random.fold_in(jax.random.key(0), number)
        return method.network.apply(
            variables, batch, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
        )[0]["ab"]

    def probabilities(variables, colors):
        return 1 / (1 + np.exp(-np.asarray(logits_of(variables, colors)[0], np.float64)))

    fakes = colors_of(first.variables, 0)
    real, fake = (probabilities(first.critic.variables, c) for c in (batch["ab"], fakes))
    on_true = -0.9 * np.log(real).mean() - 0.1 * np.log(1 - real).mean()
    on_fake = -np.log(1 - fake).mean()
    assert float(critics["critic_true"]) == pytest.approx(on_true, rel=1e-4)
    assert float(critics["critic_fake"]) == pytest.approx(on_fake, rel=1e-4)
    assert float(critics["critic_loss"]) == pytest.approx((on_true + on_fake) / 2, rel=1e-4)
    hits = (real > 0.5).mean() / 2 + (fake < 0.5).mean() / 2
    assert float(critics["critic_accuracy"]) == pytest.approx(hits, abs=1e-6)

    def generators_loss(params):
        variables = {"params": params, "batch_stats": second.batch_stats}
        predicted = colors_of(variables, 1)
        logits, _ = logits_of(second.critic.variables, predicted)
        fooling = jnp.mean(jnp.log1p(jnp.exp(-logits)))
        return fooling + 100 * jnp.mean(jnp.abs(predicted - batch["ab"]))

    loss, gradients = jax.jit(jax.value_and_grad(generators_loss))(second.params)
    assert float(generators["loss"]) == pytest.approx(float(loss), rel=1e-4)
    moved = jax.tree.map(
        lambda a, b, g: np.abs(a - b - RATE * g).max(), *[second.params, third.params, gradients]
    )
    scale = RATE * max(float(np.abs(g).max()) for g in jax.tree.leaves(gradients))
    assert max(jax.tree.leaves(moved)) < 1e-4 * scale


def test_ratio_takes_so_many_steps_of_each(gan):
    """One critic step and two colorizer steps equal the same three steps in sequence."""
    method, first, batch = gan
    both, metrics = jax.jit(build(method, Turns("ratio", 1, 2)))(first, batch)
    assert int(both.step) == 1
    assert {"loss", "critic_loss", "critic_accuracy"} <= steps.computed(metrics).keys()
    once, _ = jax.jit(build(method, Turns("ratio", 1, 1)))(first, batch)
    assert same(once.critic, both.critic)
    length = [
        float(optax.tree.norm(jax.tree.map(lambda a, b: a - b, each.params, first.params)))
        for each in (once, both)
    ]
    assert length[1] > 1.3 * length[0]


def test_switch_goes_by_the_critics_loss(gan):
    method, first, batch = gan
    current = first.replace(generator_next=jnp.zeros((), bool))
    step, turns = jax.jit(build(method, Turns("switch", threshold=100.0))), []
    for _ in range(4):
        current, metrics = step(current, batch)
        turns.append(int(metrics["trained_generator"]))
    assert turns == [0, 1, 0, 1]


def test_repeated_runs_are_bitwise_equal_and_devices_do_not_matter(gan):
    """On 1 and on 4 devices the losses of the first three steps agree to 1e-6."""
    method, first, batch = gan
    step = build(method, Turns("ratio", 1, 2))

    def run(devices):
        mesh = Mesh(np.array(jax.devices()[:devices]), ("data",))
        rows, whole = (NamedSharding(mesh, PartitionSpec(*axis)) for axis in (("data",), ()))
        current = jax.device_put(first, whole)
        jitted, actual = jax.jit(step, out_shardings=(whole, whole)), []
        for number in range(3):
            rolled = {name: np.roll(x, number, axis=0) for name, x in batch.items()}
            current, metrics = jitted(current, jax.device_put(rolled, rows))
            actual.append(jax.device_get(metrics))
        return jax.device_get(current), actual

    (one, ones), (again, agains), (_, fours) = run(1), run(1), run(4)
    assert same(one, again)
    assert same(ones, agains)
    for alone, shared in zip(ones, fours, strict=True):
        for name in ("loss", "l1", "adversarial", "critic_loss", "critic_true", "critic_fake"):
            assert float(shared[name]) == pytest.approx(float(alone[name]), rel=1e-6, abs=1e-6)


def test_a_critic_learns_from_labeled_pictures(gan):
    method, first, batch = gan
    labels = np.array([0, 1] * 4, np.int32)
    step = jax.jit(adversarial.build_critic_step(method, learner(), seed=0))
    second, metrics = step(first, batch | {"label": labels})
    fields = {"color": batch["ab"], "gray": batch["gray"]}
    logits, _ = method.critic.apply(
        first.critic.variables, fields, train=True, mutable=["batch_stats"]
    )
    d = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    wanted = np.where(labels[:, None, None, None] == 1, -np.log(d), -np.log(1 - d)).mean()
    assert float(metrics["critic_loss"]) == pytest.approx(wanted, rel=1e-4)
    right = ((d > 0.5) == (labels[:, None, None, None] == 1)).mean()
    assert float(metrics["critic_accuracy"]) == pytest.approx(right, abs=1e-6)
    assert same(second.generator, first.generator)
    assert not same(second.critic.params, first.critic.params)


@pytest.mark.parametrize(
    ("turns", "says"),
    [
        (Turns("often"), "known: passes, ratio, switch"),
        (Turns(critic_steps=0), "at least 1"),
        (Turns(threshold=0.0), "turns.threshold must be above 0"),
    ],
)
def test_turns_that_mean_nothing(turns, says):
    with pytest.raises(RequestError, match=says):
        turns.check()
