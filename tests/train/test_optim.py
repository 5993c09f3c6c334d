import jax.numpy as jnp
import numpy as np
import pytest

from colorjax.errors import RequestError
from colorjax.train import optim
from configs import default


def config(**changes):
    found = default.get_config().optimizer
    found.update(changes)
    return found


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("constant", {0: 0.0, 5: 0.5e-2, 10: 1e-2, 60: 1e-2, 109: 1e-2}),
        ("linear", {0: 0.0, 5: 0.5e-2, 10: 1e-2, 60: 0.5e-2, 110: 0.0}),
        ("cosine", {0: 0.0, 10: 1e-2, 35: 0.5e-2 * (1 + np.cos(np.pi / 4)), 60: 0.5e-2, 110: 0.0}),
    ],
)
def test_schedules(schedule, values):
    found = optim.build_schedule(
        config(schedule=schedule, warmup_steps=10, learning_rate=1e-2), total_steps=110
    )
    for step, value in values.items():
        np.testing.assert_allclose(found(step), value, atol=1e-8)


@pytest.mark.parametrize("warmup", [0, 10])
def test_steps_multiply_the_rate_at_each_boundary(warmup):
    settings = config(
        schedule="steps",
        learning_rate=1e-2,
        warmup_steps=warmup,
        boundaries=(40, 70),
        decay_factor=0.5,
    )
    found = optim.build_schedule(settings, total_steps=100)
    for step, value in {warmup: 1e-2, 39: 1e-2, 40: 5e-3, 69: 5e-3, 70: 2.5e-3, 99: 2.5e-3}.items():
        np.testing.assert_allclose(found(step), value, rtol=1e-6, err_msg=str(step))
    np.testing.assert_allclose(found(5), 5e-3 if warmup else 1e-2, rtol=1e-6)
    plain = optim.build_schedule(config(schedule="steps", learning_rate=1e-2), 100)
    np.testing.assert_allclose([plain(0), plain(99)], 1e-2, rtol=1e-6)


@pytest.mark.parametrize("boundaries", [(10,), (0, 50), (-5,)])
def test_boundaries_lie_after_the_warm_up(boundaries):
    settings = config(schedule="steps", warmup_steps=10, boundaries=boundaries)
    with pytest.raises(RequestError, match=r"optimizer\.boundaries"):
        optim.build_schedule(settings, 100)


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_every_optimizer_goes_downhill(name):
    settings = config(name=name, learning_rate=0.05)
    tx = optim.build(settings, optim.build_schedule(settings, 100))
    params = {"kernel": jnp.array([3.0, -2.0])}
    state = tx.init(params)
    for _ in range(100):
        updates, state = tx.update({"kernel": 2 * params["kernel"]}, state, params)
        params = {"kernel": params["kernel"] + updates["kernel"]}
    assert jnp.abs(params["kernel"]).max() < 0.7


def test_clipping_bounds_the_norm_of_gradients():
    settings = config(name="sgd", b1=0.0, clip_norm=1.0, learning_rate=1.0)
    tx = optim.build(settings, optim.build_schedule(settings, 10))
    params = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    updates, _ = tx.update(
        {"a": jnp.array([30.0]), "b": jnp.array([40.0])}, tx.init(params), params
    )
    np.testing.assert_allclose([updates["a"][0], updates["b"][0]], [-0.6, -0.8], rtol=1e-6)


def test_weight_decay_acts_on_kernels_alone():
    settings = config(name="adamw", weight_decay=0.1, learning_rate=1.0)
    tx = optim.build(settings, optim.build_schedule(settings, 10))
    params = {"conv": {"kernel": jnp.array([2.0]), "bias": jnp.array([2.0])}}
    zero = {"conv": {"kernel": jnp.array([0.0]), "bias": jnp.array([0.0])}}
    updates, _ = tx.update(zero, tx.init(params), params)
    np.testing.assert_allclose(updates["conv"]["kernel"], -0.2, rtol=1e-6)
    np.testing.assert_allclose(updates["conv"]["bias"], 0.0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(RequestError, match="known: adam, adamw, rmsprop, sgd"):
        optim.build(config(name="lion"), lambda step: 0.1)
    with pytest.raises(RequestError, match="known: constant, cosine, linear, steps"):
        optim.build_schedule(config(schedule="step"), 10)
    with pytest.raises(RequestError, match="not below total_steps"):
        optim.build_schedule(config(warmup_steps=10), 10)
    with pytest.raises(RequestError, match=r"optimizer\.name=adamw"):
        optim.build(config(weight_decay=0.1), lambda step: 0.1)
