"""Iizuka 2016 against its table of layers: NumPy values and parameter counts."""

import functools
from math import sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import drawn_variables

from colorjax import losses, models
from colorjax.errors import RequestError
from colorjax.models.blocks import convolution
from colorjax.models.blocks.iizuka_blocks import LOW_LEVEL, ConvLayer, Convs, DenseLayer, Style
from colorjax.models.blocks.shapes import squeezed

TINY = {"width": 0.01, "global_size": 32}  # eight channels everywhere
COLORS = ("color1", "color2", "color3", "head")
RNG = np.random.default_rng(0)


def gray(*shape):
    return jnp.asarray(RNG.uniform(-1, 1, (*shape, 1)), jnp.float32)


GRAY, OTHER = gray(2, 32, 40), gray(2, 32, 32)


def variables_of(net, **shapes):
    inputs = {name: jax.ShapeDtypeStruct((*s, 1), jnp.float32) for name, s in shapes.items()}
    return jax.eval_shape(functools.partial(net.init, train=False), jax.random.key(0), inputs)


@functools.cache
def tiny(**options):
    net = models.create("iizuka", **TINY | options)
    return (
        net,
        drawn_variables(variables_of(net, gray=(1, 32, 32))),
        jax.jit(functools.partial(net.apply, train=False)),
    )


def count(params, *names):
    return sum(leaf.size for name in names for leaf in jax.tree.leaves(params[name]))


# Computed by hand from the table of layers; 205 are the classes of Places.
@pytest.mark.parametrize(("classes", "total"), [(0, 42_169_826), (205, 42_353_839)])
def test_parameters_of_the_published_layers(classes, total):
    net = models.create("iizuka", norm=False, num_classes=classes)
    assert net.global_size == 224
    variables = variables_of(net, gray=(1, 256, 320))
    assert variables.keys() == {"params"}
    params = variables["params"]
    assert count(params, "low_level") == 2_287_488
    assert count(params, "mid_level") == 3_539_712
    assert count(params, "global_level") == 35_786_496
    assert count(params, "fusion") == 131_328
    assert count(params, *COLORS) == 424_802
    if classes:
        assert count(params, "classifier") == 184_013
    assert count(params, *params) == total


@pytest.mark.parametrize("size", [(224, 224), (256, 320), (8, 8)])
def test_sizes(size):
    net, variables, _ = tiny(norm=False, num_classes=3)
    inputs = {"gray": jax.ShapeDtypeStruct((2, *size, 1), jnp.float32)}
    actual = jax.eval_shape(functools.partial(net.apply, train=False), variables, inputs)
    height, width = size
    assert {name: x.shape for name, x in actual.items()} == {
        "ab": (2, height, width, 2),
        "ab_half": (2, height // 2, width // 2, 2),
        "class_logits": (2, 3),
    }
    assert actual.keys() == net.outputs
    assert net.inputs == {"gray", "global_gray"}


@pytest.mark.parametrize("size", [(36, 32), (32, 36), (4, 8)])
def test_sides_are_multiples_of_eight(size):
    net = models.create("iizuka", **TINY)
    with pytest.raises(ValueError, match="multiples of 8"):
        variables_of(net, gray=(1, *size))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"width": 0.0}, r"model\.width"),
        ({"global_size": 40}, r"model\.global_size"),
        ({"global_size": 0}, r"model\.global_size"),
        ({"global_size": -32}, r"model\.global_size"),
        ({"activation": "gelu"}, r"model\.activation.*known: relu, tanh"),
        ({"kernel_init": "zeros"}, r"model\.kernel_init.*known: glorot, he, normal"),
        ({"ab_range": 0.0}, r"model\.ab_range"),
        ({"ab_range": float("nan")}, r"model\.ab_range"),
        ({"stride_padding": "same"}, r"model\.stride_padding.*known: after, both"),
        ({"upsample": "cubic"}, r"model\.upsample.*known: bilinear, nearest"),
        ({"classes": 3}, "model iizuka: .*classes"),
    ],
)
def test_options_that_mean_nothing(options, says):
    with pytest.raises(RequestError, match=says):
        models.create("iizuka", **options)


# NumPy implementation of the network, from section 1.1 of the table of layers.


def conv(x, layer, stride=1):
    """Correlates (H, W, I), zeros on every side, and keeps each stride-th pixel."""
    size = len(layer["kernel"])
    padded = np.pad(x, [(size // 2, size // 2)] * 2 + [(0, 0)])
    taps = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (0, 1))
    return np.einsum("hwiyx,yxio->hwo", taps[::stride, ::stride], layer["kernel"]) + layer["bias"]


def relu(x):
    return np.maximum(x, 0)


def doubled(x):
    return x.repeat(2, 0).repeat(2, 1)


def fused(vector, local, layer):
    """y_fus(u, v) = tanh(b + W [y_global ; y_mid(u, v)]), position by position."""
    kernel = layer["kernel"][0, 0]
    actual = np.empty((*local.shape[:2], kernel.shape[-1]))
    for u in range(local.shape[0]):
        for v in range(local.shape[1]):
            both = np.concatenate([vector, local[u, v]])
            actual[u, v] = np.tanh(layer["bias"] + kernel.T @ both)
    return actual


def in_numpy(params, photo, seen, ab_range):
    """Returns ab_half and the class logits of one photo."""
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)

    def convs(x, layers, *strides):
        assert layers.keys() == {f"conv{number}" for number in range(1, len(strides) + 1)}
        for number, stride in enumerate(strides, start=1):
            x = np.tanh(conv(x, layers[f"conv{number}"]["conv"], stride))
        return x

    def dense(x, layer):
        return x @ layer["kernel"] + layer["bias"]

    def low_level(x):
        return convs(x, params["low_level"], 2, 1, 2, 1, 2, 1)

    level = params["global_level"]
    x = convs(low_level(seen), level["convs"], 2, 1, 2, 1).ravel()
    fc1 = relu(dense(x, level["dense1"]["dense"]))
    fc2 = relu(dense(fc1, level["dense2"]["dense"]))
    fc3 = relu(dense(fc2, level["dense3"]["dense"]))
    hidden = relu(dense(fc2, params["classifier"]["dense1"]["dense"]))
    logits = dense(hidden, params["classifier"]["logits"])

    mid = convs(low_level(photo), params["mid_level"], 1, 1)
    x = fused(fc3, mid, params["fusion"]["conv"])
    x = convs(x, params["color1"], 1)
    x = convs(doubled(x), params["color2"], 1, 1)
    x = convs(doubled(x), params["color3"], 1)
    sigmoid = 1 / (1 + np.exp(-conv(x, params["head"])))
    return (2 * sigmoid - 1) * ab_range / 110, logits


def test_tanh_and_nearest_equal_the_table_of_layers_in_numpy():
    """The other options have a PyTorch module, see test_iizuka_parity."""
    options = {"activation": "tanh", "upsample": "nearest", "ab_range": 50.0}
    net, variables, apply = tiny(norm=False, num_classes=3, **options)
    actual = apply(variables, {"gray": GRAY, "global_gray": OTHER})
    assert {x.dtype for x in actual.values()} == {jnp.dtype("float32")}
    for row in range(2):
        photo, seen = np.asarray(GRAY[row], np.float64), np.asarray(OTHER[row], np.float64)
        half, logits = in_numpy(variables["params"], photo, seen, net.ab_range)
        assert half.std() > 0.01
        np.testing.assert_allclose(actual["ab_half"][row], half, atol=1e-5)
        np.testing.assert_allclose(actual["class_logits"][row], logits, atol=1e-5)
        np.testing.assert_allclose(actual["ab"][row], doubled(half), atol=1e-5)


def test_colors_end_at_the_range():
    _, variables, apply = tiny(
        norm=False, num_classes=3, activation="tanh", upsample="nearest", ab_range=50.0
    )
    signs = jnp.asarray(RNG.choice([-1e4, 1e4], (3, 3, 8, 2)), jnp.float32)
    head = {"kernel": signs, "bias": jnp.zeros(2)}
    actual = apply(
        {"params": variables["params"] | {"head": head}}, {"gray": GRAY, "global_gray": OTHER}
    )
    for ab in (actual["ab"], actual["ab_half"]):
        np.testing.assert_allclose([ab.min(), ab.max()], [-50 / 110, 50 / 110], rtol=1e-6)


@pytest.mark.parametrize(("activation", "activate"), [("relu", relu), ("tanh", np.tanh)])
def test_the_norm_stands_before_the_activation(activation, activate):
    style = Style(activation=activation)
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    cases = [
        (ConvLayer(5, style, kernel_size=1), x[:, None, None], "conv", activate),
        (DenseLayer(5, style), x, "dense", relu),  # fully connected: ReLU in any style
    ]
    for layer, inputs, name, expected in cases:
        init = functools.partial(layer.init, train=False)
        variables = drawn_variables(jax.eval_shape(init, jax.random.key(0), inputs))
        params = jax.tree.map(np.asarray, variables["params"])
        past = jax.tree.map(np.asarray, variables["batch_stats"]["norm"]["norm"])
        affine = params["norm"]["norm"]
        y = inputs @ params[name]["kernel"].reshape(4, 5) + params[name]["bias"]
        y = (y - past["mean"]) / np.sqrt(past["var"] + 1e-5) * affine["scale"] + affine["bias"]
        assert y.min() < 0
        actual = layer.apply(variables, inputs, train=False)
        np.testing.assert_allclose(actual, expected(y), atol=1e-5)


# Two sizes of one photo, and two photos.


def convolutions(net, variables, **shapes):
    inputs = {name: jnp.zeros((*shape, 1)) for name, shape in shapes.items()}
    traced = jax.make_jaxpr(functools.partial(net.apply, train=False))(variables, inputs)
    return str(traced).count("conv_general_dilated[")


def test_one_low_level_pass_where_one_size_serves():
    net, variables, _ = tiny(norm=False, num_classes=3)
    assert convolutions(net, variables, gray=(1, 32, 32)) == 18
    assert convolutions(net, variables, gray=(1, 32, 40)) == 24
    # The other photo can have any size; at the global size it is still a different photo.
    assert convolutions(net, variables, gray=(1, 32, 32), global_gray=(1, 33, 7)) == 24
    assert convolutions(net, variables, gray=(1, 32, 32), global_gray=(1, 32, 32)) == 24


def test_global_features_are_those_of_the_photo_at_the_global_size():
    _, variables, apply = tiny(norm=False, num_classes=3)
    own = {"gray": GRAY, "global_gray": jax.image.resize(GRAY, OTHER.shape, "linear")}
    actual, expected = apply(variables, {"gray": GRAY}), apply(variables, own)
    foreign = apply(variables, {"gray": GRAY, "global_gray": OTHER})
    for name in ("ab", "ab_half", "class_logits"):
        np.testing.assert_allclose(actual[name], expected[name], atol=1e-6)
        assert np.abs(foreign[name] - expected[name]).max() > 1e-3


def test_a_larger_photo_is_averaged():
    line = np.tile([-1.0, 1.0, 1.0, -1.0], 16)
    stripes = jnp.asarray(np.tile(line, (64, 1)), jnp.float32)[None, ..., None]
    actual = squeezed(stripes, 16)
    assert actual.shape == (1, 16, 16, 1)
    assert np.abs(actual).max() < 0.2  # the pixels in the middle give 1
    assert squeezed(stripes, 64) is stripes


def test_the_second_input_moves_no_low_level_statistics():
    """Only the first pass updates them: 0.9 of the old values and 0.1 of the batch."""
    net, variables, _ = tiny()

    def after(module, variables, *inputs):
        _, updated = module.apply(variables, *inputs, train=True, mutable=["batch_stats"])
        return updated["batch_stats"]

    def levels(inputs):  # so colors are not computed
        actual = after(net, variables, inputs)
        return {name: actual[name] for name in ("low_level", "global_level")}

    past = variables["batch_stats"]
    actual = jax.jit(levels)({"gray": GRAY, "global_gray": 3 * OTHER})
    low_level = Convs(LOW_LEVEL, net.style)
    own = {name: tree["low_level"] for name, tree in variables.items()}
    alone = jax.jit(functools.partial(after, low_level))(own, GRAY)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), actual["low_level"], alone)
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), {name: past[name] for name in actual}, actual
    )
    assert min(jax.tree.leaves(moved)) > 1e-4

    layer = jax.tree.map(np.asarray, variables["params"]["low_level"]["conv1"]["conv"])
    responses = np.stack([conv(np.asarray(photo), layer, 2) for photo in GRAY])
    means = [tree["low_level"]["conv1"]["norm"]["norm"]["mean"] for tree in (past, actual)]
    np.testing.assert_allclose(means[1], 0.9 * means[0] + 0.1 * responses.mean((0, 1, 2)), 1e-4)


# Gradients of each part of the loss.


def test_who_learns_from_what():
    net, variables, _ = tiny(norm=False, num_classes=3)
    loss = losses.create("mse_and_class")
    batch = {
        "ab": jnp.asarray(RNG.uniform(-0.5, 0.5, (2, 32, 40, 2)), jnp.float32),
        "label": jnp.array([2, 0]),
    }

    def terms(params):
        actual = net.apply(variables | {"params": params}, {"gray": GRAY}, train=False)
        actual = loss(actual, batch)
        return jnp.stack([losses.mean(*actual[name]) for name in ("mse", "class_cross_entropy")])

    jacobian = jax.jit(jax.jacrev(terms))(variables["params"])

    def reached(modules, row):
        largest = jax.tree.map(lambda leaf: float(jnp.abs(leaf[row]).max()), modules)
        return {name for name in modules if max(jax.tree.leaves(largest[name])) > 0}

    levels = {"low_level", "global_level"}
    assert reached(jacobian, 0) == levels | {"mid_level", "fusion", *COLORS}
    assert reached(jacobian, 1) == levels | {"classifier"}
    # The classifier branches off after the second fully connected layer.
    level = jacobian["global_level"]
    assert reached(level, 1) == {"convs", "dense1", "dense2"}
    assert reached(level, 0) == {"convs", "dense1", "dense2", "dense3"}


@pytest.mark.parametrize("padding", ["both", "after"])
@pytest.mark.parametrize("as_patches", [False, True])
def test_padding_of_strides(padding, as_patches, monkeypatch):
    """One zero on every side, or as XLA's SAME, which is TensorFlow's: none before, one after."""
    monkeypatch.setattr(convolution, "_prefer_patches", lambda *_: as_patches)
    layer = ConvLayer(8, Style(norm=False, stride_padding=padding), stride=2)
    variables = drawn_variables(
        jax.eval_shape(lambda: layer.init(jax.random.key(0), GRAY, train=False))
    )
    kernel, bias = (variables["params"]["conv"][name] for name in ("kernel", "bias"))
    zeros = "SAME" if padding == "after" else ((1, 1), (1, 1))
    wanted = jax.lax.conv_general_dilated(
        GRAY, jnp.asarray(kernel), (2, 2), zeros, dimension_numbers=convolution.NHWC
    )
    actual = layer.apply(variables, GRAY, train=True)
    np.testing.assert_allclose(
        actual, jnp.maximum(wanted + bias.reshape(1, 1, 1, -1), 0), atol=1e-5
    )


# Initialization.


@pytest.mark.parametrize("name", ["normal", "glorot"])
def test_starts(name):
    net = models.create("iizuka", **TINY | {"norm": False, "kernel_init": name})
    blank = {"gray": jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)}
    params = net.lazy_init(jax.random.key(0), blank, train=False)["params"]
    conv_kernels, dense_kernels, biases = [], [], []
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        keys = [key.key for key in path]
        if keys[-1] == "bias":
            biases.append(np.unique(leaf))
        else:
            (conv_kernels if leaf.ndim == 4 else dense_kernels).append(np.asarray(leaf))
    assert len(conv_kernels) >= 17
    assert len(dense_kernels) == 3
    np.testing.assert_array_equal(
        np.concatenate(biases), np.float32(0.1 if name == "normal" else 0)
    )
    for kernels, deviation in ((conv_kernels, 0.1), (dense_kernels, 0.04)):
        if name == "normal":  # truncated at two deviations, as tf.truncated_normal
            pooled = np.concatenate([kernel.ravel() for kernel in kernels]) / deviation
            assert 1.8 < np.abs(pooled).max() <= 2
            expected = 0.8796
        else:  # Keras: uniform within sqrt(6 / (fan_in + fan_out))
            limits = [sqrt(6 / (np.prod(k.shape[:-2]) * sum(k.shape[-2:]))) for k in kernels]
            pooled = [k.ravel() / limit for k, limit in zip(kernels, limits, strict=True)]
            pooled = np.concatenate(pooled)
            assert 0.95 < np.abs(pooled).max() <= 1
            expected = 1 / sqrt(3)
        np.testing.assert_allclose(pooled.std(), expected, rtol=0.12)
        assert abs(pooled.mean()) < 0.12
