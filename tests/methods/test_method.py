"""All methods on photos of any size, and invalid options."""

import contextlib
import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import drawn_variables
from PIL import Image

from colorjax import color, methods
from colorjax.data import pipeline
from colorjax.data.sources.source import FolderSource
from colorjax.errors import RequestError
from colorjax.train.compile_check import batch_shapes
from configs import cgan, edge_fusion, iizuka, plain_cnn, semantic, zhang16, zhang17

ARGS = "size=16,width=0.01"
GLOBAL = "size=32,width=0.01"
CONFIGS = {
    "iizuka": functools.partial(iizuka.get_config, GLOBAL),
    "edge_fusion": functools.partial(edge_fusion.get_config, GLOBAL),
    "zhang16": functools.partial(zhang16.get_config, ARGS),
    "zhang16 l2": functools.partial(zhang16.get_config, ARGS + ",variant=l2"),
    "zhang17": functools.partial(zhang17.get_config, ARGS),
    "semantic": functools.partial(semantic.get_config, f"{GLOBAL},encoder=tiny"),
}


@functools.cache
def built(name):
    """Returns a method and variables with signal in every layer, without compiling `init`."""
    method = methods.build(CONFIGS[name](), with_loss=False)
    shapes = jax.eval_shape(method.init, jax.random.key(0))
    return method, drawn_variables(shapes)


PADDED = [name for name in CONFIGS if name.startswith("zhang")]


def fields_of(*shape):
    """Returns noise for every possible input of a network except hints."""
    rng = np.random.default_rng(1)
    gray = jnp.asarray(rng.uniform(-1, 1, (*shape, 1)), jnp.float32)
    return {"gray": gray, "edges": jnp.asarray(rng.integers(0, 2, (*shape, 1)), np.uint8)}


SIZES = [(1, 1), (7, 9), (224, 224), (250, 333), (256, 320)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CONFIGS)
def test_any_size_comes_out_as_it_went_in(name, size):
    method, variables = built(name)
    predict = functools.partial(method.predict_ab, variables)
    ab = jax.eval_shape(predict, fields_of(2, *size))
    assert ab.shape == (2, *size, 2)
    assert ab.dtype == jnp.float32


@pytest.mark.parametrize("name", PADDED)
def test_a_photo_is_padded_by_its_edge_and_cut_back(name):
    method, variables = built(name)
    fields = fields_of(1, 13, 10)
    predict = jax.jit(functools.partial(method.predict, variables))
    padded = np.pad(fields["gray"], ((0, 0), (0, 3), (0, 6), (0, 0)), mode="edge")
    inputs = {
        "gray": jnp.asarray(padded),
        "hint_ab": jnp.zeros((1, 16, 16, 2)),
        "hint_mask": jnp.zeros((1, 16, 16, 1)),
    }
    network = jax.jit(functools.partial(method.network.apply, train=False))
    expected = network(variables, {k: inputs[k] for k in method.network.inputs})
    actual = predict(fields)
    assert set(actual) == method.network.outputs
    np.testing.assert_allclose(actual["ab"], 110 * expected["ab"][:, :13, :10], atol=1e-3)
    assert np.abs(actual["ab"]).max() > 1
    for other in set(actual) - {"ab"}:
        np.testing.assert_allclose(actual[other], expected[other], atol=1e-4)


@pytest.mark.parametrize("name", ["iizuka", "edge_fusion"])
def test_a_photo_is_resized_to_the_nearest_multiples_of_eight(name):
    """Section 1.2 of the specification: 13x10 is resized to 16x8, 1x1 to 8x8."""
    method, variables = built(name)
    assert method.network_size(13, 10) == (16, 8)
    assert method.network_size(1, 3) == (8, 8)
    assert method.network_size(250, 333) == (248, 336)
    fields = fields_of(1, 13, 10)
    inputs = {
        key: jax.image.resize(jnp.float32(fields[key]), (1, 16, 8, 1), "linear")
        for key in method.network.inputs - {"global_gray"}
    }
    network = jax.jit(functools.partial(method.network.apply, train=False))
    expected = jax.image.resize(network(variables, inputs)["ab"], (1, 13, 10, 2), "linear")
    actual = jax.jit(functools.partial(method.predict, variables))(fields)
    assert set(actual) == method.network.outputs
    np.testing.assert_allclose(actual["ab"], 110 * expected, atol=1e-3)
    assert np.ptp(actual["ab"]) > 0.1


def test_edges_have_to_be_given():
    method, variables = built("edge_fusion")
    with pytest.raises(ValueError, match="also takes edges"):
        method.predict(variables, {"gray": fields_of(1, 8, 8)["gray"]})


def test_hints_are_padded_by_none():
    method, variables = built("zhang17")
    fields = fields_of(1, 13, 10)
    rng = np.random.default_rng(2)
    hints = {
        "hint_ab": jnp.asarray(rng.uniform(-1, 1, (1, 13, 10, 2)), jnp.float32),
        "hint_mask": jnp.ones((1, 13, 10, 1)),
    }
    network = jax.jit(functools.partial(method.network.apply, train=False))
    margins = ((0, 0), (0, 3), (0, 6), (0, 0))
    inputs = {name: jnp.pad(x, margins) for name, x in hints.items()}
    inputs["gray"] = jnp.pad(fields["gray"], margins, mode="edge")
    expected = 110 * network(variables, inputs)["ab"][:, :13, :10]
    predict = jax.jit(functools.partial(method.predict_ab, variables))
    actual = predict(fields | hints)
    np.testing.assert_allclose(actual, expected, atol=1e-3)
    none = {name: jnp.zeros_like(x) for name, x in hints.items()}
    np.testing.assert_allclose(predict(fields | none), predict(fields), atol=1e-4)
    assert np.abs(actual - predict(fields)).max() > 0.1


@pytest.mark.parametrize("name", CONFIGS)
def test_who_takes_hints(name):
    assert built(name)[0].takes_hints == (name == "zhang17")


@pytest.mark.parametrize("name", ["zhang16", "zhang17"])
def test_chroma_ratio_is_logged_and_not_minimized(name):
    _, variables = built(name)
    method = methods.build(CONFIGS[name]())
    rng = np.random.default_rng(3)
    ab = rng.uniform(-0.5, 0.5, (2, 16, 16, 2)).astype(np.float32)
    batch = {"gray": fields_of(2, 16, 16)["gray"], "ab": jnp.asarray(ab)}
    loss, (terms, _) = jax.jit(method.loss_and_state)(variables, batch, jax.random.key(0))
    inputs = batch | {"hint_ab": jnp.zeros_like(ab), "hint_mask": jnp.zeros((2, 16, 16, 1))}
    inputs = {k: inputs[k] for k in method.network.inputs}
    train = functools.partial(method.network.apply, train=True, mutable=["batch_stats"])
    predicted = np.asarray(jax.jit(train)(variables, inputs)[0]["ab"])
    chroma = [np.sqrt((x**2).sum(-1)).sum() for x in (predicted, ab)]
    names = {"zhang16": {"rebalanced_ce", "ce"}, "zhang17": {"smooth_l1", "grid_ce"}}[name]
    total, count = terms.pop("chroma_ratio")
    assert set(terms) == names
    np.testing.assert_allclose(total / count, chroma[0] / chroma[1], rtol=1e-4)
    np.testing.assert_allclose(loss, method.loss.total(terms), rtol=1e-6)


def config_with(get_config, args, **changes):
    config = get_config(args)
    config.update_from_flattened_dict(changes)
    return config


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            config_with(plain_cnn.get_config, "", **{"loss.name": "rebalanced_ce"}),
            "rebalanced_ce needs the output bin_logits that model plain_cnn lacks; "
            "usable losses: adversarial, feature, l1, mse, mse_and_class, smooth_l1$",
        ),
        (
            config_with(zhang16.get_config, "variant=l2", **{"loss.name": "ce"}),
            "ce needs the output bin_logits .* usable losses: adversarial, feature, l1, mse, "
            "mse_and_class, smooth_l1$",
        ),
        (
            config_with(zhang16.get_config, "", **{"loss.name": "smooth_l1_and_grid"}),
            "needs the output grid_logits .* usable losses: adversarial, ce, feature, l1, mse, "
            "mse_and_class, rebalanced_ce, smooth_l1$",
        ),
        (
            config_with(zhang17.get_config, "", **{"loss.name": "ce"}),
            "usable losses: adversarial, feature, l1, mse, mse_and_class, smooth_l1, "
            "smooth_l1_and_grid$",
        ),
        (
            config_with(zhang17.get_config, "", **{"model.class_head": False}),
            "needs the output grid_logits .* usable losses: adversarial, feature, l1, mse, "
            "mse_and_class, smooth_l1$",
        ),
        (
            config_with(zhang16.get_config, "", **{"loss.prior": "nowhere.npz"}),
            "loss.prior='nowhere.npz' cannot be read",
        ),
        (config_with(zhang16.get_config, "", **{"loss.lam": 1.5}), "loss.lam"),
        (
            config_with(plain_cnn.get_config, "", **{"inference.decode": "annealed"}),
            "plain_cnn predicts no color bins: set decode .* to ab, not annealed",
        ),
        (
            config_with(semantic.get_config, "", **{"inference.decode": "mode"}),
            "unknown inference.decode 'mode'; known: ab, annealed, blend",
        ),
        (
            config_with(zhang16.get_config, "size=20"),
            "image_size must be a multiple of 8 for zhang16",
        ),
        (
            config_with(zhang17.get_config, "size=20"),
            "image_size must be a multiple of 8 for zhang17",
        ),
    ],
)
def test_what_does_not_fit_is_refused(config, says):
    with pytest.raises(RequestError, match=says):
        methods.build(config)


def test_prediction_needs_no_loss():
    changes = {"loss.prior": "nowhere.npz", "loss.name": "unknown"}
    method = methods.build(config_with(zhang16.get_config, "", **changes), with_loss=False)
    assert method.loss is None


@pytest.mark.parametrize("targets", ["host", "device"])
@pytest.mark.parametrize("argument", ["", "nazeri", "dcgan"])
def test_the_truth_of_an_aged_batch_is_the_photos(photos, argument, targets):
    """Critics and losses use the true lightness and colors, regardless of the gray input."""
    changes = {"data.path": str(photos), "data.targets": targets}
    configs = [
        config_with(cgan.get_config, f"width=0.125,{argument}", **changes, **{"data.aged": aged})
        for aged in (0.0, 1.0)
    ]
    actual = []
    for config in configs:
        method = methods.build(config)
        source = FolderSource.open(photos, labels="none")
        options = {"seed": 0, "batch_size": 2, "inputs": method.wanted}
        with contextlib.closing(pipeline.train_batches(source, config.data, **options)) as batches:
            batch = next(batches)
        shapes = batch_shapes(config, method)
        given = {name: (x.shape[1:], x.dtype) for name, x in batch.items() if name != "skipped"}
        assert given == {name: (x.shape[1:], x.dtype) for name, x in shapes.items()}
        encoded = method.encoded(batch)
        space = method.critic.space
        actual.append((encoded, method.truth(encoded, "own"), method.truth(encoded, space)))
    (clean, *true), (aged, *same) = actual
    assert np.abs(clean["gray"] - aged["gray"]).max() > 0.1
    np.testing.assert_array_equal(clean["ab"], aged["ab"])
    for one, other in zip(true, same, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_critic_of_ab_needs_no_lightness():
    """Also for a batch whose gray is luma and that has no rgb."""
    method = methods.build(config_with(cgan.get_config, "width=0.125", **{"data.grey": "luma"}))
    batch = {name: fields_of(2, 8, 8)["gray"] for name in ("gray", "ab")}
    batch["ab"] = jnp.concatenate([batch["ab"], -batch["ab"]], axis=-1)
    np.testing.assert_array_equal(method.truth(batch, method.critic.space), batch["ab"])


def test_configs_of_earlier_versions_see_photos_as_they_are():
    config = plain_cnn.get_config("size=16")
    with config.unlocked():
        del config.data.aged
    assert not methods.build(config).encode.aged


class TwoHeads(nn.Module):
    """Returns its input, repeated, as ab and as bins at a quarter of the size."""

    inputs = frozenset({"gray"})
    outputs = frozenset({"ab", "bin_logits"})
    size_multiple = 8
    fixed_size = None
    fit = "pad"
    temperature = 0.25

    @nn.compact
    def __call__(self, inputs, *, train):
        """Maps gray to ab / 110 and logits."""
        gray = inputs["gray"]
        factors = jnp.asarray(np.random.default_rng(0).normal(size=313), jnp.float32)
        ab = jnp.concatenate([0.5 * gray, -0.2 * gray], axis=-1)
        return {"ab": ab, "bin_logits": gray[:, ::4, ::4] * factors[None, None, None]}


def test_ab_is_decoded_from_either_head_or_both():
    method = methods.build(plain_cnn.get_config(), with_loss=False)
    gray = np.random.default_rng(1).uniform(-1, 1, (1, 19, 26, 1)).astype(np.float32)
    padded = np.pad(gray, ((0, 0), (0, 5), (0, 6), (0, 0)), mode="edge")
    factors = np.random.default_rng(0).normal(size=313)
    # Zhang et al. 2016, equation 5: f_T(z) = exp(log(z) / T) / sum exp(log(z) / T), and its mean
    powers = np.exp(padded[:, ::4, ::4].astype(np.float64) * factors / 0.25)
    mean = (powers / powers.sum(-1, keepdims=True)) @ color.ab_bins()
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(mean[0], -1, 0)]
    large = [plane.resize((32, 24), Image.Resampling.BILINEAR) for plane in planes]
    annealed = np.stack([np.asarray(plane) for plane in large], -1)[:19, :26]
    own = 110 * gray[0] * (0.5, -0.2)
    wanted = {"ab": own, "annealed": annealed, "blend": (own + annealed) / 2}
    assert tuple(wanted) == methods.DECODES
    for decode, ab in wanted.items():
        decoding = dataclasses.replace(method, network=TwoHeads(), decode=decode, saturation=1.5)
        actual = decoding.predict({}, {"gray": gray})["ab"]
        np.testing.assert_allclose(actual[0], 1.5 * ab, rtol=1e-4, atol=1e-3)


def test_who_offers_bins_to_decode():
    actual = {
        config.model.name: methods.takes_decode(methods.build_network(config))
        for config in (semantic.get_config(), zhang16.get_config(), plain_cnn.get_config())
    }
    assert actual == {"semantic": True, "zhang16": True, "plain_cnn": False}
