import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import tiny_config

from colorjax import methods
from colorjax.errors import RequestError
from colorjax.methods import resolve
from colorjax.parallel import mesh as parallel
from colorjax.train import compile_check, phases, steps

PARTS = 4


def one_step(photos, model=None, **changes):
    """The state and the metrics after a step of a config on a fixed batch."""
    config = tiny_config(photos, batch_size=16, **changes)
    if model:
        with config.unlocked():
            config.model = model
    config = resolve.resolve(config, 2)
    layout = parallel.layout_of(config)
    method = methods.build(config)
    phase = phases.build(config, method, num_photos=24).phases[0]
    create = phases.build(config, method, num_photos=24).create
    key = jax.random.key(0)
    shardings = layout.of_state(jax.eval_shape(create, key))
    state = jax.jit(create, out_shardings=shardings)(key)
    rng = np.random.default_rng(0)
    batch = {
        name: rng.uniform(-1, 1, shape.shape).astype(shape.dtype)
        for name, shape in compile_check.batch_shapes(config, method).items()
    }
    step = jax.jit(
        steps.gathering(phase.step, layout), out_shardings=(shardings, layout.replicated)
    )
    return state, *step(state, parallel.to_global(batch, layout))


def bytes_of(tree, device):
    return sum(
        shard.data.nbytes
        for leaf in jax.tree.leaves(tree)
        for shard in leaf.addressable_shards
        if shard.device == device
    )


def test_devices_share_a_state_and_learn_the_same(photos):
    wide = {"model.filters": (64,) * 7, "optimizer.name": "adam"}
    whole, divided = (
        one_step(photos, **wide, **{"parallel.fsdp": number}) for number in (1, PARTS)
    )
    for name in ("loss", "grad_norm"):
        np.testing.assert_allclose(divided[2][name], whole[2][name], rtol=1e-6)
    device = jax.devices()[0]
    for part in ("params", "optimizer"):
        after = [bytes_of(getattr(state, part), device) for _, state, _ in (whole, divided)]
        assert after[1] < 1.1 * after[0] / PARTS, part
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), whole[1].params, divided[1].params
    )


def test_parts_of_a_batch_add_up_to_it(photos):
    """Where no layer looks at the batch as a whole."""
    plain = {"name": "unet", "width": 0.125, "norm": "affine", "dropout": 0.0}
    whole, parts = (
        one_step(photos, plain, **{"optimizer.name": "sgd", "parallel.accumulate": number})
        for number in (1, PARTS)
    )
    for name in ("loss", "grad_norm"):
        np.testing.assert_allclose(parts[2][name], whole[2][name], rtol=2e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), whole[1].params, parts[1].params
    )


def test_rules_are_read_in_order():
    layout = parallel.make_layout(8, fsdp=4, rules=[("critic/.*", "whole")])
    tree = {
        "params": {"conv": {"kernel": jnp.zeros((3, 3, 64, 32)), "bias": jnp.zeros(4096)}},
        "critic": {"conv": {"kernel": jnp.zeros((3, 3, 64, 32))}},
        "odd": {"kernel": jnp.zeros((3, 3, 7, 63))},
        "small": {"kernel": jnp.zeros((1, 1, 4, 4))},
    }
    specs = jax.tree.map(lambda s: tuple(s.spec), layout.of_state(tree))
    assert specs == {
        "params": {"conv": {"kernel": (None, None, "fsdp"), "bias": ()}},
        "critic": {"conv": {"kernel": ()}},
        "odd": {"kernel": ()},
        "small": {"kernel": ()},
    }


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fsdp": 3}, "parallel.fsdp=3 is not a divisor of 4 devices; use one of 1, 2, 4"),
        ({"fsdp": 0}, "parallel.fsdp=0 is not a divisor"),
        ({"rules": [("(", "whole")]}, "parallel.rules must be pairs"),
        ({"rules": [("a", "narrow")]}, "parallel.rules must be pairs"),
        ({"rules": ["whole"]}, "parallel.rules must be pairs"),
    ],
)
def test_layouts_that_mean_nothing(changes, says):
    with pytest.raises(RequestError, match=says):
        parallel.make_layout(8, **changes)


def test_a_batch_falls_into_parts(photos):
    for parts, says in ((3, "set batch_size to 12"), (0, "use at least 1")):
        config = tiny_config(photos, batch_size=16, **{"parallel.accumulate": parts})
        with pytest.raises(RequestError, match=says):
            parallel.layout_of(config)
