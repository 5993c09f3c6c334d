import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from colorjax.errors import RequestError
from colorjax.train import optim
from configs import default


def config(**changes):
    settings = default.get_config().optimizer
    settings.update(changes)
    return settings


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("constant", {0: 0.0, 5: 0.5e-2, 10: 1e-2, 60: 1e-2, 109: 1e-2}),
        ("linear", {0: 0.0, 5: 0.5e-2, 10: 1e-2, 60: 0.5e-2, 110: 0.0}),
        ("cosine", {0: 0.0, 10: 1e-2, 35: 0.5e-2 * (1 + np.cos(np.pi / 4)), 60: 0.5e-2, 110: 0.0}),
    ],
)
def test_schedules(schedule, values):
    schedule = optim.build_schedule(
        config(schedule=schedule, warmup_steps=10, learning_rate=1e-2), total_steps=110
    )
    for step, value in values.items():
        np.testing.assert_allclose(schedule(step), value, atol=1e-8)


@pytest.mark.parametrize("warmup", [0, 10])
def test_steps_multiply_the_rate_at_each_boundary(warmup):
    settings = config(
        schedule="steps",
        learning_rate=1e-2,
        warmup_steps=warmup,
        boundaries=(40, 70),
        decay_factor=0.5,
    )
    schedule = optim.build_schedule(settings, total_steps=100)
    for step, value in {warmup: 1e-2, 39: 1e-2, 40: 5e-3, 69: 5e-3, 70: 2.5e-3, 99: 2.5e-3}.items():
        np.testing.assert_allclose(schedule(step), value, rtol=1e-6, err_msg=str(step))
    np.testing.assert_allclose(schedule(5), 5e-3 if warmup else 1e-2, rtol=1e-6)
    plain = optim.build_schedule(config(schedule="steps", learning_rate=1e-2), 100)
    np.testing.assert_allclose([plain(0), plain(99)], 1e-2, rtol=1e-6)


@pytest.mark.parametrize(("warmup", "cooldown"), [(0, 0), (10, 0), (10, 20), (0, 100), (10, 90)])
def test_wsd_warms_up_stays_and_cools_down(warmup, cooldown):
    settings = config(
        schedule="wsd", learning_rate=1e-2, warmup_steps=warmup, cooldown_steps=cooldown
    )
    schedule = optim.build_schedule(settings, total_steps=100)
    expected = np.full(101, 1e-2)
    expected[:warmup] = 1e-2 * np.arange(warmup) / max(warmup, 1)
    start = 100 - cooldown
    for step in range(start, 101):  # Hagele et al. 2024, "1-sqrt"
        expected[step] = 1e-2 * (1 - np.sqrt((step - start) / cooldown)) if cooldown else 1e-2
    np.testing.assert_allclose(
        [schedule(step) for step in range(101)], expected, rtol=1e-5, atol=1e-9
    )
    if cooldown:
        assert schedule(start) == np.float32(1e-2)  # a fork's first step has the rate of its parent
        assert schedule(100) == schedule(1000) == 0


def test_wsd_counts_steps_of_long_runs_exactly():
    settings = config(schedule="wsd", learning_rate=1.0, cooldown_steps=100_000)
    schedule = optim.build_schedule(settings, total_steps=20_000_000)  # past 2^24
    for done in (0, 1, 2, 99_999):
        np.testing.assert_allclose(
            schedule(jnp.int32(19_900_000 + done)), 1 - np.sqrt(done / 1e5), atol=1e-7
        )


@pytest.mark.parametrize("cooldown", [-1, 91])
def test_a_cool_down_lies_after_the_warm_up(cooldown):
    settings = config(schedule="wsd", warmup_steps=10, cooldown_steps=cooldown)
    with pytest.raises(RequestError, match=r"cooldown_steps=-?\d+ does not fit between"):
        optim.build_schedule(settings, 100)


def test_a_cool_down_needs_wsd():
    with pytest.raises(RequestError, match=r"needs optimizer\.schedule=wsd, not constant"):
        optim.build_schedule(config(cooldown_steps=10), 100)


@pytest.mark.parametrize("boundaries", [(10,), (0, 50), (-5,)])
def test_boundaries_lie_after_the_warm_up(boundaries):
    settings = config(schedule="steps", warmup_steps=10, boundaries=boundaries)
    with pytest.raises(RequestError, match=r"optimizer\.boundaries"):
        optim.build_schedule(settings, 100)


@pytest.mark.parametrize(
    "name", sorted(optim.OPTIMIZERS.keys() - {"adadelta"})
)  # its first steps are small
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
    with pytest.raises(RequestError, match="known: adadelta, adam, adamw, rmsprop, sgd"):
        optim.build(config(name="lion"), lambda step: 0.1)
    with pytest.raises(
        RequestError, match="known: constant, cosine, exponential, linear, plateau, steps, wsd"
    ):
        optim.build_schedule(config(schedule="step"), 10)
    with pytest.raises(RequestError, match="not below total_steps"):
        optim.build_schedule(config(warmup_steps=10), 10)
    with pytest.raises(RequestError, match=r"optimizer\.name=adamw"):
        optim.build(config(weight_decay=0.1), lambda step: 0.1)


@pytest.mark.parametrize(("rho", "rate"), [(0.9, 1.0), (0.95, 1.0), (0.95, 0.5)])
def test_adadelta_is_zeilers_rule(rho, rate):
    """Algorithm 1 of arXiv:1212.5701, epsilon 1e-6; the learning rate scales its steps."""
    settings = config(name="adadelta", rho=rho, learning_rate=rate)
    tx = optim.build(settings, optim.build_schedule(settings, 100))
    gradients = np.random.default_rng(0).normal(size=(30, 4)) * np.array([1e-3, 0.1, 1.0, 30.0])
    x = squares = moves = np.zeros(4)
    params = {"kernel": jnp.zeros(4)}
    state, update = tx.init(params), jax.jit(tx.update)
    for gradient in gradients:
        squares = rho * squares + (1 - rho) * gradient**2
        move = -np.sqrt(moves + 1e-6) / np.sqrt(squares + 1e-6) * gradient
        moves = rho * moves + (1 - rho) * move**2
        x = x + rate * move
        updates, state = update({"kernel": jnp.asarray(gradient, jnp.float32)}, state, params)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params["kernel"], x, rtol=1e-4)


PLATEAU = {
    "schedule": "plateau",
    "decay_factor": 0.5,
    "plateau_window": 3,
    "plateau_patience": 2,
    "learning_rate": 0.1,
}


def rates_under(values, **changes):
    """Returns the rates from `optim.rate` after each loss, and the step lengths."""
    settings = config(**PLATEAU | changes)
    schedule = optim.build_schedule(settings, 1000)
    tx = optim.build(settings, schedule)
    gradient = {"kernel": jnp.ones(2)}
    state = tx.init(gradient)

    @jax.jit
    def advance(step, state, value):
        updates, state = tx.update(gradient, state, gradient, value=value)
        return -updates["kernel"][0], optim.rate(schedule, step, state), state

    rows = []
    for step, value in enumerate(values):
        *both, state = advance(jnp.int32(step), state, jnp.float32(value))
        rows.append([float(x) for x in both])
    steps, rates = np.array(rows).T
    return rates, steps


# A constant gradient of 1, on which the steps of Adam have the length of the rate, as those of SGD.
@pytest.mark.parametrize(
    "changes",
    [{"name": "sgd", "b1": 0.0}, {"name": "adam"}, {"name": "sgd", "b1": 0, "clip_norm": 9.0}],
)
def test_a_plateau_lowers_the_rate(changes):
    # Windows of three: two that fall, then level ones; after each second of these it halves.
    values = [3.0] * 3 + [2.0] * 3 + [2.0] * 15
    rates, steps = rates_under(values, **changes)
    expected = [0.1] * 11 + [0.05] * 6 + [0.025] * 4
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    np.testing.assert_allclose(steps, expected, rtol=1e-4)


def test_no_plateau_while_the_loss_falls():
    falling = 3.0 * 0.99 ** np.arange(60)
    noise = np.tile([1.0, -2.0, 1.0], 20)  # whose mean over a window is 0
    for values in (falling, falling + noise):
        rates, steps = rates_under(values, name="sgd", b1=0.0)
        np.testing.assert_allclose(rates, 0.1, rtol=1e-6)
        np.testing.assert_allclose(steps, 0.1, rtol=1e-6)
    # One bad window is below the patience of two; a better one resets the count.
    values = np.repeat([5, 5, 4, 4, 3, 3, 2, 2], 3)
    np.testing.assert_allclose(rates_under(values, name="sgd", b1=0.0)[0], 0.1, rtol=1e-6)


def test_a_plateau_is_one_of_window_means():
    """A single lower loss does not make a window better."""
    values = np.concatenate([[2.0] * 3, np.tile([0.5, 3.0, 3.0], 2)])
    rates, _ = rates_under(values, name="sgd", b1=0.0)
    np.testing.assert_allclose(rates, [0.1] * 8 + [0.05], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "halves_after"),
    [({"plateau_patience": 1}, 6), ({"plateau_window": 1}, 3), ({"plateau_patience": 4}, 15)],
)
def test_patience_and_window(changes, halves_after):
    rates, _ = rates_under([1.0] * halves_after, name="sgd", b1=0.0, **changes)
    np.testing.assert_allclose(rates, [0.1] * (halves_after - 1) + [0.05], rtol=1e-6)


def test_a_plateau_comes_on_top_of_the_warm_up():
    changes = {"warmup_steps": 4, "plateau_window": 1, "name": "sgd", "b1": 0.0}
    rates, steps = rates_under([1.0] * 6, **changes)
    expected = np.array([0.0, 0.025, 0.05, 0.075, 0.1, 0.1]) * [1, 1, 0.5, 0.5, 0.25, 0.25]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    np.testing.assert_allclose(steps, expected, rtol=1e-6)


def test_without_a_plateau_the_rate_is_the_schedules():
    settings = config(schedule="linear", learning_rate=1.0)
    schedule = optim.build_schedule(settings, 10)
    tx, params = optim.build(settings, schedule), {"kernel": jnp.zeros(2)}
    state = tx.init(params)
    for _ in range(5):  # of steps 0 ... 4
        _, state = tx.update(params, state, params)
    # The optimizer's own count, not the step of the run: each phase has a new optimizer.
    rate = optim.rate(schedule, jnp.int32(99), state)
    assert rate.dtype == jnp.float32
    np.testing.assert_allclose(rate, 0.6, rtol=1e-6)


def test_the_rate_of_an_optimizer_that_does_not_count_is_that_of_the_step():
    rate = optim.rate(lambda step: 0.5**step, jnp.int32(3), optax.sgd(0.1).init(jnp.zeros(2)))
    np.testing.assert_allclose(rate, 0.125, rtol=1e-6)


def test_exponential_is_continuous_and_ends_at_the_lowest_rate():
    """Of system 003 after one epoch of 347 steps (systems_a.md 5.5), and of Nazeri et al. (5.6)."""
    settings = config(schedule="exponential", learning_rate=1e-3, decay_factor=0.3, decay_steps=50)
    schedule = optim.build_schedule(settings, 69_400)
    np.testing.assert_allclose(schedule(347), 2.35e-7, rtol=2e-3)
    np.testing.assert_allclose(schedule(25), 1e-3 * 0.3**0.5, rtol=1e-5)
    settings = config(
        schedule="exponential",
        learning_rate=3e-4,
        decay_factor=0.1,
        decay_steps=10_000,
        lowest_rate=1e-6,
    )
    schedule = optim.build_schedule(settings, 78_000)
    assert schedule(24_760) > 1.0e-6
    np.testing.assert_allclose(schedule(24_772), 1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    "changes", [{"decay_steps": 0}, {"decay_factor": 0.0}, {"lowest_rate": -1e-9}]
)
def test_exponential_wants_numbers_that_decay(changes):
    settings = config(**{"schedule": "exponential", "learning_rate": 1e-3} | changes)
    with pytest.raises(RequestError, match="decay_steps must be at least 1"):
        optim.build_schedule(settings, 10)


@pytest.mark.parametrize(
    "changes",
    [
        {"decay_factor": 0.0},
        {"decay_factor": 1.0},
        {"decay_factor": 1.5},
        {"plateau_window": 0},
        {"plateau_patience": 0},
    ],
)
def test_a_plateau_that_means_nothing(changes):
    with pytest.raises(RequestError, match=rf"optimizer\.{next(iter(changes))}"):
        optim.build(config(**PLATEAU | changes), lambda step: 0.1)


LAYERS = {
    "encoder": {"stem": {"kernel": jnp.full(3, 2.0)}, "top": {"kernel": jnp.array([0.5, -1.5])}},
    "head": {"kernel": jnp.array([1.0, -2.0, 3.0])},
}


def moved(tx, params, steps=5):
    """Parameters after some steps, each of another gradient of the order of 1, and the state."""
    state, update = tx.init(params), jax.jit(tx.update)
    for step in range(steps):
        gradients = jax.tree.map(lambda p, s=step: jnp.sin(3 * p + s), params)
        updates, state = update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def adamw(**changes):
    settings = config(name="adamw", weight_decay=0.1, learning_rate=0.05, **changes)
    return optim.build(settings, optim.build_schedule(settings, 10))


def test_frozen_layers_stay_to_the_bit_and_count_in_no_norm():
    tx = optim.by_layer(adamw(clip_norm=0.1), frozen=("encoder/stem",))
    params, state = moved(tx, LAYERS)
    np.testing.assert_array_equal(
        params["encoder"]["stem"]["kernel"], LAYERS["encoder"]["stem"]["kernel"]
    )
    rest = {"encoder": {"top": LAYERS["encoder"]["top"]}, "head": LAYERS["head"]}
    alone, _ = moved(adamw(clip_norm=0.1), rest)
    for layer, other in ((params["encoder"]["top"], alone["encoder"]["top"]), (params, alone)):
        layer, other = layer.get("head", layer), other.get("head", other)
        np.testing.assert_array_equal(layer["kernel"], other["kernel"])
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert sum(leaf.size for leaf in moments) == 2 * (2 + 3)
    assert not np.array_equal(params["head"]["kernel"], LAYERS["head"]["kernel"])


def test_a_factor_scales_the_update_of_a_layer_exactly():
    factor = 0.1
    plain, scaled = adamw(), optim.by_layer(adamw(), factors={"encoder": factor})
    state = scaled.init(LAYERS)
    assert jax.tree.structure(state) == jax.tree.structure(plain.init(LAYERS))
    gradients = jax.tree.map(jnp.cos, LAYERS)
    schedule, _ = scaled.update(gradients, state, LAYERS)
    expected, _ = plain.update(gradients, plain.init(LAYERS), LAYERS)
    np.testing.assert_array_equal(schedule["head"]["kernel"], expected["head"]["kernel"])
    for name in ("stem", "top"):
        np.testing.assert_array_equal(
            schedule["encoder"][name]["kernel"],
            np.float32(factor) * expected["encoder"][name]["kernel"],
        )
    # Adam's first step is the rate times the sign, plus decay: (g / |g| + 0.1 p) 0.05 / 10.
    np.testing.assert_allclose(
        schedule["encoder"]["top"]["kernel"],
        -0.005 * (np.sign(np.cos([0.5, -1.5])) + 0.1 * np.array([0.5, -1.5])),
        rtol=1e-5,
    )


def test_freezing_and_factors_combine_and_know_their_layers():
    tx = optim.by_layer(
        adamw(), frozen=("encoder/stem",), factors={"encoder": 0.5, "encoder/top": 0.5}
    )
    params, _ = moved(tx, LAYERS, steps=1)
    plain, _ = moved(adamw(), LAYERS, steps=1)
    shift = [
        p["encoder"]["top"]["kernel"] - LAYERS["encoder"]["top"]["kernel"] for p in (params, plain)
    ]
    np.testing.assert_allclose(shift[0], 0.25 * shift[1], rtol=1e-5)
    np.testing.assert_array_equal(params["encoder"]["stem"]["kernel"], 2.0)
    for wrong in ({"frozen": ("encoder/stam",)}, {"factors": {"en": 0.5}}, {"trained": ("tail",)}):
        with pytest.raises(ValueError, match="no layers"):
            optim.by_layer(adamw(), **wrong).init(LAYERS)
