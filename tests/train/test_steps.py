import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.synthetic import tiny_config

from colorjax import methods
from colorjax.train import phases, state, steps


@pytest.fixture(scope="module")
def parts(photos):
    """A method, a batch, and the state after one step with an average of decay 0.9."""
    built = methods.build(tiny_config(photos))
    tx = optax.sgd(0.1)
    first = jax.jit(lambda key: state.create(built, tx, key, average=True))(jax.random.key(0))
    rng = np.random.default_rng(0)
    batch = {
        "gray": rng.uniform(-1, 1, (4, 32, 32, 1)).astype(np.float32),
        "ab": rng.uniform(-1, 1, (4, 32, 32, 2)).astype(np.float32),
    }
    step = steps.build_train_step(built, steps.Learner(tx, lambda s: 0.1), seed=0, ema_decay=0.9)
    return built, batch, first, *jax.jit(step)(first, batch)


def test_the_average_follows_the_weights(parts):
    _, _, first, second, _ = parts
    moved = jax.tree.map(lambda a, b: 0.1 * a + 0.9 * b, first.params, second.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), second.average, moved)
    assert second.eval_variables["params"] is second.average
    assert second.variables["params"] is second.params
    difference = jax.tree.map(lambda a, b: np.abs(a - b).max(), second.average, second.params)
    assert max(jax.tree.leaves(difference)) > 1e-5


@pytest.mark.parametrize(("step", "decay"), [(0, 1 / 10), (60, 61 / 70), (100_000, 0.9)])
def test_the_average_forgets_the_first_weights_of_a_short_run(parts, step, decay):
    _, _, first, second, _ = parts
    at_step = dataclasses.replace(first, step=jnp.int32(step))
    average = steps.advanced(at_step, second.generator, 0.9).average
    expected = jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, first.average, second.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), average, expected)


def test_a_step_is_gradient_descent_and_says_so(parts):
    built, batch, first, second, metrics = parts
    variables = {"params": first.params, "batch_stats": first.batch_stats}
    key = jax.random.fold_in(jax.random.key(0), 0)
    outputs, _ = built.network.apply(
        variables, batch, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
    )
    expected = np.mean((np.asarray(outputs["ab"]) - batch["ab"]) ** 2)
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["mse"], expected, rtol=1e-5)
    moved = jax.tree.map(lambda a, b: np.sum((a - b) ** 2), first.params, second.params)
    norm = np.sqrt(sum(jax.tree.leaves(moved))) / 0.1
    np.testing.assert_allclose(metrics["grad_norm"], norm, rtol=1e-3)
    assert int(second.step) == 1
    assert float(metrics["learning_rate"]) == pytest.approx(0.1)


def test_running_statistics_move(parts):
    _, _, first, second, _ = parts
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), first.batch_stats, second.batch_stats)
    assert min(jax.tree.leaves(moved)) > 0


def test_the_average_of_frozen_layers_is_those_layers_to_the_bit(photos):
    """Where decay * old + (1 - decay) * new rounds."""
    config = tiny_config(photos, train_only="head", **{"optimizer.ema_decay": 0.999})
    built = methods.build(config)
    plan = phases.build(config, built, num_photos=24)
    first = jax.jit(plan.create)(jax.random.key(0))
    rng = np.random.default_rng(0)
    batch = {
        "gray": rng.uniform(-1, 1, (4, 32, 32, 1)).astype(np.float32),
        "ab": rng.uniform(-1, 1, (4, 32, 32, 2)).astype(np.float32),
    }
    step, after = jax.jit(plan.phases[0].step), first
    for _ in range(5):
        after, _ = step(after, batch)
    for name, layer in first.params.items():
        for kept in (after.params[name], after.average[name]):
            same = jax.tree.map(np.array_equal, kept, layer)
            assert jax.tree.all(same) == (name != "head"), name
