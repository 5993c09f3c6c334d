import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.synthetic import TinyNet, drawn_variables
from ml_collections import ConfigDict

from colorjax import methods, models
from colorjax.errors import RequestError
from colorjax.models.blocks.added_layer import AddedLayer
from colorjax.train import optim
from configs import default, edge_fusion, iizuka, plain_cnn, semantic, unet, zhang16, zhang17

CONFIGS = [edge_fusion, iizuka, plain_cnn, semantic, unet, zhang16, zhang17]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_network_names_its_head_and_takes_a_layer(config):
    config = config.get_config()
    config.model.num_classes = 0
    if config.model.name not in ("iizuka", "edge_fusion"):
        del config.model.num_classes
    if config.model.get("head") == "auto":
        config.model.head = "ab"
    actual = [
        set(
            jax.eval_shape(methods.build(config, with_loss=False).init, jax.random.key(0))["params"]
        )
        for config.model.add_layer in (False, True)
    ]
    assert actual[1] - actual[0] == {"added"}
    network = methods.build_network(config)
    assert set(models.trained_layers(network, "head")) <= actual[0]
    assert models.trained_layers(network, "added") == ("added",)
    assert models.trained_layers(network, "all") == ()


def test_an_added_layer_is_the_identity_until_it_learns(key):
    x = jax.random.normal(key, (2, 5, 6, 3))
    layer = AddedLayer()
    variables = layer.init(key, x, train=False)
    np.testing.assert_array_equal(layer.apply(variables, x, train=False), x)
    gradient = jax.grad(lambda v: jnp.sum(jnp.square(layer.apply(v, x, train=True))))(variables)
    assert float(jnp.abs(gradient["params"]["conv2"]["kernel"]).max()) > 0  # and it can learn


def test_what_cannot_be_trained_alone_is_reported():
    with pytest.raises(
        RequestError, match="unknown train_only 'body'; known: added, all, guide, head"
    ):
        models.trained_layers(TinyNet(), "body")
    with pytest.raises(RequestError, match="add head_layers to its class"):
        models.trained_layers(TinyNet(), "head")
    with pytest.raises(RequestError, match=r"set model\.add_layer=True"):
        models.trained_layers(models.create("zhang16"), "added")
    with pytest.raises(RequestError, match="variant=dense"):
        models.create("plain_cnn", variant="dense", add_layer=True)


def test_frozen_layers_behave_as_in_an_evaluation():
    """BatchNorm uses its running statistics without updates, and dropout is off."""
    config = plain_cnn.get_config("size=32,batch=4,debug")
    config.model.filters, config.model.strides = (4, 4), (2,)
    config.train_only = "head"
    method = methods.build(config)
    variables = drawn_variables(jax.eval_shape(method.init, jax.random.key(0)))
    batch = {"gray": jnp.linspace(-1, 1, 4 * 32 * 32).reshape(4, 32, 32, 1)}
    outputs, updated = method.forward(variables, batch, jax.random.key(1))
    seen = method.network.apply(variables, batch, train=False)
    np.testing.assert_array_equal(outputs["ab"], seen["ab"])
    assert jax.tree.all(
        jax.tree.map(np.array_equal, updated["batch_stats"], variables["batch_stats"])
    )

    def loss(params):
        actual, _ = method.forward(variables | {"params": params}, batch, jax.random.key(1))
        return jnp.sum(jnp.square(actual["ab"]))

    norms = {n: float(optax.tree.norm(g)) for n, g in jax.grad(loss)(variables["params"]).items()}
    assert {name for name, norm in norms.items() if norm > 0} == {"head"}


def test_an_optimizer_of_some_layers_sees_and_keeps_no_other():
    settings = default.get_config().optimizer
    settings.update(name="adamw", weight_decay=0.1, clip_norm=1.0, learning_rate=0.5)
    schedule = optim.build_schedule(settings, 10)
    whole = optim.build(settings, schedule)
    part = optim.by_layer(whole, trained=("head",))
    params = {"body": {"kernel": jnp.full(7, 3.0)}, "head": {"kernel": jnp.ones(2)}}
    gradients = {"body": {"kernel": jnp.full(7, 1e6)}, "head": {"kernel": jnp.array([0.3, 0.4])}}
    state = part.init(params)
    assert not [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (7,)]
    updates, state = part.update(gradients, state, params, value=jnp.float32(1))
    assert not updates["body"]["kernel"].any()
    alone, _ = whole.update(
        {"head": gradients["head"]}, whole.init({"head": params["head"]}), {"head": params["head"]}
    )
    np.testing.assert_array_equal(updates["head"]["kernel"], alone["head"]["kernel"])
    assert float(optim.rate(schedule, jnp.int32(0), state)) == 0.5
    moved = optax.apply_updates(params, updates)
    np.testing.assert_array_equal(moved["body"]["kernel"], params["body"]["kernel"])
    assert optim.by_layer(whole) is whole


def test_a_config_without_the_field_trains_everything():
    config = ConfigDict(plain_cnn.get_config("size=32").to_dict())
    del config.train_only
    assert methods.build(config).trains == ()


class SlowEncoder(TinyNet):
    frozen_layers = ("Conv_0",)
    pretrained_layer = "Conv_1"


def of_slow_encoder(monkeypatch, **changes):
    config = plain_cnn.get_config("size=32,batch=4,debug")
    config.optimizer.update(changes)
    monkeypatch.setattr(
        sys.modules["colorjax.methods.build"], "build_network", lambda config: SlowEncoder()
    )
    return config, methods.build(config)


def test_a_network_names_layers_that_are_frozen_and_slow(monkeypatch, key):
    _, method = of_slow_encoder(monkeypatch, encoder_factor=0.1)
    assert method.frozen == ("Conv_0",)
    assert method.factors == (("Conv_1", 0.1),)
    variables = method.init(key)
    batch = {"gray": jnp.linspace(-1, 1, 4 * 32 * 32).reshape(4, 32, 32, 1)}

    def loss(params):
        actual, _ = method.forward(variables | {"params": params}, batch, key)
        return jnp.sum(jnp.square(actual["ab"]))

    norms = {n: float(optax.tree.norm(g)) for n, g in jax.grad(loss)(variables["params"]).items()}
    assert {name for name, norm in norms.items() if norm > 0} == {"BatchNorm_0", "Conv_1"}


def test_an_encoder_factor_needs_an_encoder(monkeypatch):
    assert of_slow_encoder(monkeypatch)[1].factors == ()
    with pytest.raises(RequestError, match="encoder_factor must be above 0, not 0"):
        of_slow_encoder(monkeypatch, encoder_factor=0.0)
    monkeypatch.undo()
    config = plain_cnn.get_config("size=32")
    config.optimizer.encoder_factor = 0.1
    with pytest.raises(RequestError, match=r"has none: set optimizer\.encoder_factor=1"):
        methods.build(config)
