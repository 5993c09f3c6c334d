"""The network `semantic`: shapes, counts, trainable layers, and its two global inputs."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import drawn_variables

from colorjax import color, losses, methods, models
from colorjax.data import pipeline
from colorjax.data.sources.source import FolderSource
from colorjax.errors import RequestError
from colorjax.models.encoders import efficientnet_lite as encoders
from colorjax.models.hint_spreading import keyed
from colorjax.models.semantic import _GlobalColors
from colorjax.parallel import mesh as parallel
from colorjax.train import phases, start
from colorjax.train import state as states
from colorjax.weights.torch import pretrained
from configs import semantic

TINY = "encoder=tiny,width=0.125,size=32,batch=4"


def shapes_of(net, *shape):
    inputs = {
        "gray": jax.ShapeDtypeStruct((*shape, 1), np.float32),
        "global_colors": jax.ShapeDtypeStruct((shape[0], 315), np.float32),
    }
    init = functools.partial(net.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), inputs)
    outputs = jax.eval_shape(functools.partial(net.apply, train=False), variables, inputs)
    return variables, outputs


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("encoder", ["lite0", "lite1", "lite2", "tiny"])
@pytest.mark.parametrize("decoder", ["plain", "query"])
def test_shapes(encoder, decoder):
    net = models.create("semantic", encoder=encoder, decoder=decoder)
    _, outputs = shapes_of(net, 2, 64, 96)
    actual = {name: x.shape for name, x in outputs.items()}
    assert actual == {
        "ab": (2, 64, 96, 2),
        "ab_quarter": (2, 16, 24, 2),
        "bin_logits": (2, 16, 24, 313),
    }
    assert actual.keys() == net.outputs


@pytest.mark.parametrize("decoder", ["plain", "query"])
def test_a_body_in_bfloat16_has_heads_in_float32(decoder):
    net = models.create(
        "semantic", encoder="tiny", decoder=decoder, hint_guide=True, dtype="bfloat16"
    )
    variables, outputs = shapes_of(net, 2, 32, 64)
    assert {x.dtype for x in jax.tree.leaves((variables, outputs))} == {np.dtype(np.float32)}

    def middle(variables, inputs):
        options = {"capture_intermediates": True, "mutable": ["batch_stats", "intermediates"]}
        return net.apply(variables, inputs, train=True, **options)[1]["intermediates"]

    inputs = {"gray": np.zeros((2, 32, 64, 1)), "global_colors": np.zeros((2, 315))}
    actual = jax.eval_shape(middle, variables, inputs)
    del actual["__call__"]  # the outputs
    floats = ("head", "logits", "scene", "global", "guide", "palette")
    seen = {"bfloat16": 0, "float32": 0}
    for path, leaf in jax.tree_util.tree_leaves_with_path(actual):
        wanted = "float32" if path[0].key in floats else "bfloat16"
        assert leaf.dtype == wanted, jax.tree_util.keystr(path)
        seen[wanted] += 1
    assert min(seen.values()) >= 5
    assert actual["encoder"]["block3"]["depthwise"]["__call__"][0].dtype == jnp.bfloat16


def test_counts():
    variables, _ = shapes_of(models.create("semantic"), 1, 32, 32)
    params = variables["params"]
    assert count(params["encoder"]) == 2_958_848  # the body of EfficientNet-Lite0
    # By hand: merges of 160, 112 and 64 channels at strides 16, 8 and 4.
    deep = {"merge16": (160, 160, 112, 2), "merge8": (160, 112, 40, 1), "merge4": (112, 64, 24, 1)}
    for name, (above, features, skip, depth) in deep.items():
        ones = (above + 1 + skip + 1) * features
        assert count(params[name]) == ones + depth * (9 * features**2 + 2 * features)
    assert count(params["head"]) == 2 * 65
    assert count(params["logits"]) == 313 * 65
    assert count(params["scene"]) == 160 * (320 + 1)
    assert count(params["global"]) == 160 * (314 + 1) + 160 * (160 + 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "lite9"}, "lite0, lite1, lite2"),
        ({"decoder": "wide"}, "plain, query"),
        ({"decoder_norm": "layer"}, "batch, group"),
        ({"encoder_norm": "group"}, "batch, frozen"),
        ({"frozen_blocks": 17}, "frozen_blocks"),
        ({"queries": 0}, "model.queries"),
        ({"width": 0}, "model.width"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(RequestError, match=message):
        models.create("semantic", **options)


def test_sides_have_to_be_multiples_of_32():
    with pytest.raises(ValueError, match="32"):
        shapes_of(models.create("semantic", encoder="tiny"), 1, 32, 40)


def config_of(decoder="plain", norm="batch"):
    """As with published weights: first blocks frozen, the others with a lower rate."""
    config = semantic.get_config(f"{TINY},decoder={decoder}")
    config.model.update(decoder_norm=norm, frozen_blocks=3, encoder_norm="frozen")
    config.optimizer.update(encoder_factor=0.1, warmup_steps=0)
    return config


@functools.cache
def tiny(decoder="plain", norm="batch"):
    config = config_of(decoder, norm)
    method = methods.build(config)
    variables = drawn_variables(jax.eval_shape(method.init, jax.random.key(0)))
    return method, variables


@functools.cache
def predict(decoder="plain"):
    return jax.jit(tiny(decoder)[0].predict)


@pytest.mark.parametrize("size", [(1, 1), (33, 7), (64, 40)])
@pytest.mark.parametrize("decoder", ["plain", "query"])
def test_any_size_works(size, decoder):
    gray = np.random.default_rng(0).uniform(-1, 1, (1, *size, 1)).astype(np.float32)
    ab = predict(decoder)(tiny(decoder)[1], {"gray": gray})["ab"]
    assert ab.shape == (1, *size, 2)
    assert np.isfinite(ab).all()


def test_padding_is_by_the_edge():
    """33 rows are padded to 64 by repeating the last one."""
    gray = np.random.default_rng(0).uniform(-1, 1, (1, 33, 32, 1)).astype(np.float32)
    padded = np.concatenate([gray, np.repeat(gray[:, -1:], 31, axis=1)], axis=1)
    variables = tiny()[1]
    whole = predict()(variables, {"gray": padded})["ab"]
    np.testing.assert_allclose(predict()(variables, {"gray": gray})["ab"], whole[:, :33], atol=1e-3)


def test_the_palette_of_another_photo_changes_the_colors():
    gray = np.zeros((1, 32, 32, 1), np.float32)
    variables = tiny()[1]
    red = color.palette_input(jnp.full((1, 4, 4, 2), 40.0))
    assert red.shape == (1, 315)
    assert red[0, -1] == 1
    free = predict()(variables, {"gray": gray})["ab"]
    none = {"gray": gray, "global_colors": np.zeros((1, 315), np.float32)}
    np.testing.assert_allclose(predict()(variables, none)["ab"], free, atol=1e-3)
    given = predict()(variables, {"gray": gray, "global_colors": red})["ab"]
    assert np.abs(given - free).max() > 0.1


def test_a_palette_is_as_loud_as_the_scene_at_the_start():
    """Unscaled shares of about 1 / 313 had no effect in 2,500 steps of training."""
    module = _GlobalColors(64)
    ab = jnp.asarray(np.random.default_rng(0).normal(0, 20, (16, 8, 8, 2)), jnp.float32)
    palettes = color.palette_input(ab)
    actual = module.apply(module.init(jax.random.key(0), palettes), palettes)
    assert 0.2 < float(jnp.sqrt(jnp.mean(jnp.square(actual)))) < 5
    none = module.apply(module.init(jax.random.key(0), palettes), jnp.zeros((1, 315)))
    assert not none.any()


def test_training_reveals_the_palette_of_some_photos():
    method, _ = tiny()
    ab = jnp.asarray(np.random.default_rng(0).uniform(-0.3, 0.3, (64, 8, 8, 2)), jnp.float32)
    batch = {"gray": jnp.zeros((64, 8, 8, 1)), "ab": ab}
    assert method.global_hints == 0.2
    actual = method._reveal_palettes(batch, jax.random.key(0))["global_colors"]
    is_given = actual[:, -1]
    assert set(np.unique(is_given)) == {0, 1}
    assert 4 <= is_given.sum() <= 24
    wanted = color.palette_input(110 * ab[:, ::4, ::4]) * is_given[:, None]
    np.testing.assert_allclose(actual, wanted, atol=1e-6)
    never = dataclasses.replace(method, global_hints=0.0)
    assert never._reveal_palettes(batch, jax.random.key(0)) is batch


@functools.cache
def stepped(number=5, decoder="plain", norm="batch"):
    """Returns states before and after some steps of a run, and the metrics of the last step."""
    method, variables = tiny(decoder, norm)
    config = config_of(decoder, norm)
    plan = phases.build(config, method, num_photos=4)
    fresh = jax.eval_shape(plan.create, jax.random.key(0))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), fresh.optimizer)
    params, batch_stats = variables["params"], variables["batch_stats"]
    first = states.TrainState(jnp.int32(0), params, batch_stats, params, zeros)
    step = jax.jit(plan.phases[0].step)
    rgb = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    state = first
    for _ in range(number):
        state, metrics = step(state, {"rgb": rgb})
    return method, first, state, metrics


def changed(one, other):
    """Returns the paths of the leaves that are not bitwise equal."""
    pairs = zip(*(jax.tree_util.tree_leaves_with_path(tree) for tree in (one, other)), strict=True)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for (path, a), (_, b) in pairs
        if np.asarray(a).tobytes() != np.asarray(b).tobytes()
    }


def test_frozen_weights_and_statistics_stay_to_the_bit():
    method, first, last, _ = stepped()
    assert "encoder/block2" in method.frozen
    is_frozen = lambda path: path.startswith(tuple(f"{name}/" for name in method.frozen))  # noqa: E731
    for one, other in ((first.params, last.params), (first.average, last.average)):
        moved = changed(one, other)
        assert not [path for path in moved if is_frozen(path)]
        assert {"encoder/block3/project/kernel", "logits/kernel", "head/kernel"} <= moved
    moved = changed(first.batch_stats, last.batch_stats)
    assert moved
    assert not [path for path in moved if path.startswith("encoder/")]


def test_the_loss_falls():
    _, _, _, metrics = stepped()
    _, _, _, first = stepped(1)
    assert metrics["loss"] < first["loss"]
    assert {"l1", "class", "ce", "chroma_ratio"} <= metrics.keys()


@pytest.mark.slow
def test_group_normalization_and_the_query_decoder_learn_too():
    _, first, last, metrics = stepped(1, "query", "group")
    assert np.isfinite(metrics["loss"])
    assert {path.split("/")[0] for path in changed(first.params, last.params)} >= {
        "palette",
        "head",
    }
    assert not last.batch_stats.keys() - {"encoder"}  # no BatchNorm in the decoder


def test_the_encoder_learns_slower():
    method, _ = tiny()
    assert method.factors == (("encoder", 0.1),)
    assert methods.build(semantic.get_config("encoder=none")).factors == ()


def test_the_loss_against_numpy():
    rng = np.random.default_rng(0)
    prior = rng.dirichlet(np.ones(313))
    loss = losses.create(
        "smooth_l1_and_bins", prior=prior, lam=0.7, delta=5 / 110, l1_weight=11.0, class_weight=2.0
    )
    outputs = {
        "ab": jnp.zeros((2, 8, 8, 2)),
        "ab_quarter": jnp.asarray(rng.uniform(-0.3, 0.3, (2, 2, 2, 2)), jnp.float32),
        "bin_logits": jnp.asarray(rng.normal(size=(2, 2, 2, 313)), jnp.float32),
    }
    ab = rng.uniform(-0.4, 0.4, (2, 8, 8, 2)).astype(np.float32)
    truth = ab.reshape(2, 2, 4, 2, 4, 2).mean((2, 4))
    distance = np.abs(110 * (np.asarray(outputs["ab_quarter"]) - truth))
    # PyTorch's smooth_l1_loss with beta 5, in Lab units, times 0.1.
    smooth = np.where(distance < 5, distance**2 / 10, distance - 2.5).mean()
    alone = losses.create("rebalanced_ce", prior=prior, lam=0.7)
    bins = alone(outputs, {"ab": jnp.asarray(truth)})
    actual = loss(outputs, {"ab": jnp.asarray(ab)})
    wanted = 0.1 * smooth + 2.0 * alone.total(bins)
    np.testing.assert_allclose(loss.total(actual), wanted, rtol=1e-5)


@pytest.mark.slow
def test_the_encoder_starts_from_published_weights(monkeypatch, tmp_path):
    """Replaces a package's weights."""
    config = semantic.get_config(TINY)
    assert config.init_encoder == ""
    config.init_encoder = "imagenet"
    method = methods.build(config)
    given = drawn_variables(jax.eval_shape(method.init, jax.random.key(0)), seed=3)
    published = {kind: given[kind]["encoder"] for kind in ("params", "batch_stats")}
    monkeypatch.setattr(pretrained.encoder_weights, "read_encoder", lambda variant: published)
    plan = phases.build(config, method, num_photos=4)
    layout = parallel.layout_of(config)
    state = start.initialize(plan, method, config, layout)
    for actual in (state.params, state.average):
        assert not changed(actual["encoder"], published["params"])
    assert not changed(state.batch_stats["encoder"], published["batch_stats"])
    fresh = jax.jit(plan.create)(jax.random.key(config.seed))
    rest = {name for name in fresh.params if name != "encoder"}
    assert not changed(*({name: x.params[name] for name in rest} for x in (fresh, state)))


def hints_config():
    config = semantic.get_config(f"{TINY},hints")
    config.optimizer.warmup_steps = 0
    return config


@functools.cache
def guided(number):
    """Returns states before and after training only the hint guide, and the steps' metrics."""
    config = hints_config()
    method = methods.build(config)
    plan = phases.build(config, method, num_photos=4)
    variables = drawn_variables(jax.eval_shape(method.init, jax.random.key(0)))
    params, batch_stats = variables["params"], variables["batch_stats"]
    params["guide"] = jax.tree.map(jnp.array, method.init(jax.random.key(0))["params"]["guide"])
    fresh = jax.eval_shape(plan.create, jax.random.key(0))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), fresh.optimizer)
    first = states.TrainState(jnp.int32(0), params, batch_stats, params, zeros)
    step = jax.jit(plan.phases[0].step)
    rgb = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    state, metrics = first, []
    for _ in range(number):
        state, values = step(state, {"rgb": rgb})
        metrics.append(values)
    return method, first, state, metrics


@pytest.mark.slow
def test_the_hint_guide_learns_alone():
    _, first, last, metrics = guided(3)
    assert changed(first.params, last.params) <= {
        f"guide/{layer}/{leaf}"
        for layer in ("conv1", "conv2", "conv3")
        for leaf in ("kernel", "bias")
    }
    assert "guide/conv3/kernel" in changed(first.params, last.params)
    assert not changed(first.batch_stats, last.batch_stats)
    for values in metrics:  # a random hint helps with any guide
        assert values["hinted_l1"] < values["l1"]


@pytest.mark.slow
def test_a_guide_that_has_learned_nothing_spreads_as_the_fixed_form():
    method, first, _, _ = guided(3)
    gray = np.random.default_rng(0).uniform(-1, 1, (1, 64, 32, 1)).astype(np.float32)
    learned = method.predict(first.variables, {"gray": gray})
    plain = dataclasses.replace(method, network=keyed(method.network.clone(hint_guide=False)))
    params = {name: x for name, x in first.params.items() if name != "guide"}
    fixed = plain.predict({"params": params, "batch_stats": first.batch_stats}, {"gray": gray})
    np.testing.assert_array_equal(learned["ab"], fixed["ab"])
    assert learned["hint_keys"].guide.shape == (1, 16, 8, 18)
    assert not np.asarray(learned["hint_keys"].guide).any()
    assert fixed["hint_keys"].guide is None
    given, wanted = learned["hint_keys"].features, fixed["hint_keys"].features
    np.testing.assert_allclose(given @ given[0, 0, 0], wanted @ wanted[0, 0, 0], atol=1e-5)


def test_the_guide_starts_on_weights_that_have_none():
    config = hints_config()
    old = config.model.to_dict() | {"hint_guide": False}
    network = models.create(**config.model.to_dict())
    assert not models.without_new_layers(network, old).hint_guide
    assert models.without_new_layers(network, config.model).hint_guide
    with pytest.raises(RequestError, match=r"model\.hint_guide"):
        models.trained_layers(models.create("semantic"), "guide")


@pytest.mark.slow
def test_statistics_of_the_encoder_are_measured_on_gray_photos(monkeypatch, photos):
    config = config_of()
    config.update(init_encoder="imagenet", init_encoder_photos=6)
    config.data.path = str(photos)
    method = methods.build(config)
    given = drawn_variables(jax.eval_shape(method.init, jax.random.key(0)), seed=3)
    published = {kind: given[kind]["encoder"] for kind in ("params", "batch_stats")}
    monkeypatch.setattr(pretrained.encoder_weights, "read_encoder", lambda variant: published)
    plan = phases.build(config, method, num_photos=4)
    source = FolderSource.open(photos, labels="none")
    layout = parallel.layout_of(config)
    state = start.initialize(plan, method, config, layout, source)
    assert not changed(state.params["encoder"], given["params"]["encoder"])
    batches = pipeline.train_batches(source, config.data, seed=0, batch_size=4)
    grays = [encoders.normalize(method.encoded(next(batches))["gray"]) for _ in range(2)]
    batches.close()
    stem = state.batch_stats["encoder"]["stem"]
    kernel = given["params"]["encoder"]["stem"]["kernel"]
    padded = [np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0))) for x in grays]  # SAME of TensorFlow
    y = np.concatenate(
        [
            jax.lax.conv_general_dilated(
                x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            for x in padded
        ]
    )
    np.testing.assert_allclose(stem["mean"], y.mean((0, 1, 2)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(stem["var"], y.var((0, 1, 2)), rtol=1e-3, atol=1e-4)


def test_a_network_without_an_encoder_is_refused():
    with pytest.raises(RequestError, match="init_encoder=''"):
        pretrained.read_encoder("imagenet", models.create("plain_cnn"))
    with pytest.raises(RequestError, match="imagenet"):
        pretrained.read_encoder("coco", models.create("semantic"))
