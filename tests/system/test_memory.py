"""What saves memory, for every network: rematerialisation and bodies in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.steps_of import CONFIGS, batches_of, config_of
from jax._src.ad_checkpoint import saved_residuals  # public is one that prints

from colorjax import methods
from colorjax.methods import resolve
from colorjax.parallel import mesh as parallel
from colorjax.train import compile_check, phases, start, steps

pytestmark = pytest.mark.slow
NETWORKS = [name for name in CONFIGS if name not in ("cgan", "nogan")]  # theirs is unet's


def built(name, **changes):
    if name == "ddcolor":
        changes["loss.name"] = "l1"  # without its critic
    config = resolve.resolve(config_of(name, "sgd", **changes), 2)
    return config, methods.build(config)


def step_of(config, method):
    layout = parallel.layout_of(config)
    plan = phases.build(config, method, num_photos=24)
    state = start.initialize(plan, method, config, layout)
    (batch,) = batches_of(config, method, 1)
    return jax.jit(plan.phases[0].step)(state, parallel.to_global(batch, layout))


@pytest.mark.parametrize("name", NETWORKS)
def test_computing_again_changes_nothing(name):
    whole, again = (step_of(*built(name, remat=remat)) for remat in ((), ("none",)))
    for metric in ("loss", "grad_norm"):
        np.testing.assert_allclose(again[1][metric], whole[1][metric], rtol=2e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_less_is_kept_for_the_gradient(name):
    """What crosses from the forward to the backward pass; a device's peak is XLA's to choose."""

    def kept(remat):
        config, method = built(name, remat=remat)
        plan = phases.build(config, method, num_photos=24)
        state = jax.eval_shape(plan.create, jax.random.key(0))
        objective = steps.generator_objective(method, state)
        stats = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), state.batch_stats)

        def loss(params, batch):
            return objective(params, stats, method.encoded(batch), jax.random.key(0))[0]

        batch = compile_check.batch_shapes(config, method)
        found = saved_residuals(loss, state.params, batch)
        return sum(x.size * x.dtype.itemsize for x, why in found if "argument" not in why)

    some = built(name)[1].layers()[::3]
    assert kept(("none",)) < kept(some) < kept(())


def convolutions(jaxpr):
    for equation in jaxpr.eqns:
        first = equation.invars[0].aval if equation.invars else None
        is_product = equation.primitive.name in ("conv_general_dilated", "dot_general")
        if is_product and first.ndim > 1:  # weighted sums of vectors are no layers
            yield first
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    yield from convolutions(getattr(inner, "jaxpr", inner))


# The color decoder of ddcolor, most of its products, is float32.
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "ddcolor"])
def test_bodies_in_bfloat16(name):
    config, method = built(name, dtype="bfloat16")
    plan = phases.build(config, method, num_photos=24)
    state = jax.eval_shape(plan.create, jax.random.key(0))
    floats = [x.dtype for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert set(floats) == {jnp.dtype("float32")}
    batch = compile_check.batch_shapes(config, method)
    traced = jax.make_jaxpr(plan.phases[0].step)(state, batch)
    assert {x.dtype for x in traced.out_avals if jnp.issubdtype(x.dtype, jnp.floating)} == {
        jnp.dtype("float32")
    }
    large = [x.dtype == jnp.bfloat16 for x in convolutions(traced.jaxpr)]
    assert np.mean(large) > 0.8, f"{sum(large)} of {len(large)}"
