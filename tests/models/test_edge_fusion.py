"""The edge-fusion network against the original's table of layers, and its options."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.filters
from helpers.synthetic import drawn_variables

from colorjax import models
from colorjax.errors import RequestError
from colorjax.models.edge_fusion import sobel

TINY = {"width": 0.01, "global_size": 32}  # eight channels nearly everywhere
COLORIZER = ("fusion", "color1", "color2", "color3", "head")
RNG = np.random.default_rng(0)


def uniform(low, *shape):
    return jnp.asarray(RNG.uniform(low, 1, (*shape, 1)), jnp.float32)


GRAY, OTHER = uniform(-1, 1, 32, 40), uniform(-1, 1, 32, 32)
EDGES = jnp.asarray(RNG.random((1, 32, 40, 1)) < 0.2, jnp.float32)


def variables_of(net, height, width):
    inputs = {name: jax.ShapeDtypeStruct((1, height, width, 1), jnp.float32) for name in net.inputs}
    return jax.eval_shape(functools.partial(net.init, train=False), jax.random.key(0), inputs)


@functools.cache
def tiny(**options):
    net = models.create("edge_fusion", **TINY | options)
    return (
        net,
        drawn_variables(variables_of(net, 32, 32)),
        jax.jit(functools.partial(net.apply, train=False)),
    )


def count(params, *names):
    return sum(leaf.size for name in names for leaf in jax.tree.leaves(params[name]))


# Computed by hand from the table of layers, at 256 px.
def test_parameters_of_the_original():
    net = models.create("edge_fusion")
    assert net.global_size == 256
    for size in ((256, 256), (64, 96)):  # the input of the flattening branch is always 256
        variables = variables_of(net, *size)
        assert variables.keys() == {"params"}
        params = variables["params"]
        assert count(params, "local_level") == 2_877_312
        assert count(params, "classification", "dense1", "dense2") == 6_250_133
        assert count(params, "edge_level") == 1_248
        assert count(params, *COLORIZER) == 716_050
        assert count(params, *params) == 9_844_743
    assert params["dense1"]["kernel"].shape == (1024, 1500)
    assert params["dense2"]["kernel"].shape == (1500, 1000)


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        ({}, 256 + 1000 + 8),
        ({"edges": "sobel"}, 256 + 1000 + 8),
        ({"edges": "off"}, 256 + 1000),
        ({"global_branch": "iizuka"}, 256 + 256 + 8),
        ({"global_branch": "iizuka", "edges": "off"}, 256 + 256),
    ],
)
def test_what_is_fused(options, channels):
    net = models.create("edge_fusion", **options)
    params = variables_of(net, 64, 64)["params"]
    assert params["fusion"]["conv"]["kernel"].shape == (1, 1, channels, 256)
    edges = options.get("edges", "canny")
    assert ("edges" in net.inputs) == (edges == "canny")
    assert ("edge_level" in params) == (edges != "off")
    assert ("classification" in params) == ("global_branch" not in options)
    assert {"gray", "global_gray"} <= net.inputs


def test_the_branch_of_iizuka_is_iizukas():
    """Shared low-level features, global ones and the classifier, with the same parameters."""
    options = {"norm": False, "num_classes": 205, "global_size": 224}
    net = models.create("edge_fusion", global_branch="iizuka", **options)
    assert net.outputs == {"ab", "ab_half", "class_logits"}
    params = variables_of(net, 64, 64)["params"]
    assert count(params, "low_level") == 2_287_488
    assert count(params, "mid_level") == 3_539_712
    assert count(params, "global_level") == 35_786_496
    assert count(params, "classifier") == 184_013


def test_the_faithful_branch_classifies_nothing():
    with pytest.raises(RequestError, match=r"faithful has no classifier; set model\.num_classes=0"):
        models.create("edge_fusion", **TINY, num_classes=5)
    assert models.create("edge_fusion", **TINY, num_classes=-1).outputs == {"ab", "ab_half"}


@pytest.mark.parametrize("branch", ["faithful", "iizuka"])
def test_sides_are_multiples_of_eight(branch):
    net = models.create("edge_fusion", **TINY, global_branch=branch)
    shapes = {name: jax.ShapeDtypeStruct((1, 20, 24, 1), jnp.float32) for name in ("gray", "edges")}
    with pytest.raises(ValueError, match=r"multiples of 8, got \(20, 24\)"):
        jax.eval_shape(functools.partial(net.init, train=False), jax.random.key(0), shapes)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"width": -1.0}, r"model\.width"),
        ({"global_size": 100}, r"model\.global_size"),
        ({"global_branch": "places"}, r"model\.global_branch.*known: faithful, iizuka"),
        ({"edges": "hed"}, r"model\.edges.*known: canny, off, sobel"),
        ({"dense_activation": "tanh"}, r"model\.dense_activation.*known: linear, relu"),
        ({"kernel_init": "keras"}, r"model\.kernel_init.*known: glorot, he"),
        ({"ab_range": -128.0}, r"model\.ab_range"),
        ({"upsample": "cubic"}, r"model\.upsample.*known: bilinear, nearest"),
        ({"activation": "relu"}, "model edge_fusion: .*activation"),
    ],
)
def test_options_that_mean_nothing(options, says):
    with pytest.raises(RequestError, match=says):
        models.create("edge_fusion", **options)


# NumPy implementation of the network, from section 2.1 of the table of layers.


def relu(x):
    return np.maximum(x, 0)


def conv(x, layer, stride=1):
    """Correlates (H, W, I), zeros on every side, and keeps each stride-th pixel."""
    size = len(layer["kernel"])
    padded = np.pad(x, [(size // 2, size // 2)] * 2 + [(0, 0)])
    taps = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (0, 1))
    return np.einsum("hwiyx,yxio->hwo", taps[::stride, ::stride], layer["kernel"]) + layer["bias"]


def convs(x, layers, *strides):
    assert layers.keys() == {f"conv{number}" for number in range(1, len(strides) + 1)}
    for number, stride in enumerate(strides, start=1):
        x = relu(conv(x, layers[f"conv{number}"]["conv"], stride))
    return x


def doubled(x):
    return x.repeat(2, 0).repeat(2, 1)


def in_numpy(params, gray, seen, edges, between):
    """Returns tanh of the head, at half size."""
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    local = convs(gray, params["local_level"], 2, 1, 2, 2, 1, 1)
    vector = convs(seen, params["classification"], 2, 1, 2, 2, 1, 1, 1, 1, 1, 1).ravel()
    for name, activate in (("dense1", between), ("dense2", lambda x: x)):
        vector = activate(vector @ params[name]["kernel"] + params[name]["bias"])
    embedded = convs(edges, params["edge_level"], 2, 2, 2)
    tiled = np.tile(vector, (*local.shape[:2], 1))
    x = np.concatenate([tiled, local, embedded], -1)
    x = relu(conv(x, params["fusion"]["conv"]))
    x = convs(x, params["color1"], 1)
    x = convs(doubled(x), params["color2"], 1)
    x = convs(doubled(x), params["color3"], 1, 1)
    return np.tanh(conv(x, params["head"]))


FAITHFUL = {"upsample": "nearest", "ab_range": 128.0}


@pytest.mark.parametrize(("between", "activate"), [("linear", lambda x: x), ("relu", relu)])
def test_equals_the_table_of_layers_in_numpy(between, activate):
    _, variables, apply = tiny(dense_activation=between, **FAITHFUL)
    inputs = {"gray": GRAY, "edges": EDGES, "global_gray": OTHER}
    actual = apply(variables, inputs)
    assert actual.keys() == {"ab", "ab_half"}
    arrays = (np.asarray(inputs[name][0], np.float64) for name in ("gray", "global_gray", "edges"))
    half = in_numpy(variables["params"], *arrays, activate) * 128 / 110
    assert half.std() > 0.01
    np.testing.assert_allclose(actual["ab_half"][0], half, atol=2e-5)
    np.testing.assert_allclose(actual["ab"][0], doubled(half), atol=2e-5)


def test_two_linear_layers_are_one():
    for between, collapses in (("linear", True), ("relu", False)):
        _, variables, apply = tiny(dense_activation=between, **FAITHFUL)
        params = variables["params"]
        first, second = params["dense1"], params["dense2"]
        hidden, outputs = second["kernel"].shape
        eye = jnp.eye(hidden, outputs)
        product = {
            "kernel": first["kernel"] @ second["kernel"] @ eye.T,
            "bias": (first["bias"] @ second["kernel"] + second["bias"]) @ eye.T,
        }
        identity = {"kernel": eye, "bias": jnp.zeros(outputs)}
        inputs = {"gray": GRAY, "edges": EDGES, "global_gray": OTHER}
        expected = apply(variables, inputs)["ab"]
        one = {"params": params | {"dense1": product, "dense2": identity}}
        difference = np.abs(apply(one, inputs)["ab"] - expected).max()
        assert difference < 1e-5 if collapses else difference > 1e-3, between


def test_the_faithful_branch_sees_the_photo_at_its_size():
    _, variables, apply = tiny(dense_activation="linear", **FAITHFUL)
    seen = {
        "own": jax.image.resize(GRAY, OTHER.shape, "linear"),
        "other": OTHER,
    }
    inputs = {"gray": GRAY, "edges": EDGES}
    actual = apply(variables, inputs)["ab"]
    expected = {k: apply(variables, inputs | {"global_gray": v})["ab"] for k, v in seen.items()}
    np.testing.assert_allclose(actual, expected["own"], atol=1e-6)
    assert np.abs(actual - expected["other"]).max() > 1e-3


def test_edges_change_the_colors():
    _, variables, apply = tiny(dense_activation="linear", **FAITHFUL)
    inputs = {"gray": GRAY, "edges": EDGES, "global_gray": OTHER}
    plain = apply(variables, inputs | {"edges": 0 * EDGES})["ab"]
    assert np.abs(apply(variables, inputs)["ab"] - plain).max() > 1e-3


def test_raw_lightness_is_from_0_to_100():
    net, variables, apply = tiny(dense_activation="linear", **FAITHFUL)
    raw = jax.jit(functools.partial(net.clone(raw_lightness=True).apply, train=False))
    inputs = {"gray": GRAY, "edges": EDGES, "global_gray": OTHER}
    lightness = {name: 50 * (inputs[name] + 1) for name in ("gray", "global_gray")}
    actual, expected = raw(variables, inputs)["ab"], apply(variables, inputs | lightness)["ab"]
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    assert np.abs(actual - apply(variables, inputs)["ab"]).max() > 0.1


# The branch of Iizuka: the low level is shared; one pass is enough for equal sizes.


def convolutions(net, variables, height, width):
    inputs = {name: jnp.zeros((1, height, width, 1)) for name in ("gray", "edges")}
    traced = jax.make_jaxpr(functools.partial(net.apply, train=False))(variables, inputs)
    return str(traced).count("conv_general_dilated[")


def test_passes():
    """Fusion, five layers of color and three of edges; 6 + 2 + 4 of Iizuka, or 6 + 10."""
    net = models.create("edge_fusion", **TINY, global_branch="iizuka")
    variables = variables_of(net, 32, 32)
    assert convolutions(net, variables, 32, 32) == 9 + 12
    assert convolutions(net, variables, 32, 40) == 9 + 12 + 6
    net, variables, _ = tiny(dense_activation="linear", **FAITHFUL)
    assert convolutions(net, variables, 32, 32) == convolutions(net, variables, 32, 40) == 9 + 16


def test_the_second_input_moves_no_low_level_statistics():
    net = models.create("edge_fusion", **TINY, global_branch="iizuka", edges="off", norm=True)
    variables = drawn_variables(variables_of(net, 32, 32))
    grays = {"gray": jnp.concatenate([GRAY, GRAY / 2]), "global_gray": uniform(-2, 2, 32, 32)}

    def after(inputs):  # only of the low level, so the rest is not computed
        _, updated = net.apply(variables, inputs, train=True, mutable=["batch_stats"])
        return updated["batch_stats"]["low_level"]

    actual = jax.jit(after)(grays)
    past = variables["batch_stats"]["low_level"]

    layer = jax.tree.map(np.asarray, variables["params"]["low_level"]["conv1"]["conv"])
    responses = np.stack([conv(np.asarray(photo), layer, 2) for photo in grays["gray"]])
    moments = {"mean": responses.mean((0, 1, 2)), "var": responses.var((0, 1, 2))}
    for name, value in moments.items():
        before, after = (tree["conv1"]["norm"]["norm"][name] for tree in (past, actual))
        np.testing.assert_allclose(after, 0.9 * before + 0.1 * value, rtol=1e-4)


# Sobel's edges.


@pytest.mark.parametrize("shape", [(24, 17), (8, 8)])
def test_sobel_is_scikit_images(shape):
    gray = RNG.random(shape).astype(np.float32)
    actual = sobel(jnp.asarray(gray[None, ..., None]))
    assert actual.shape == (1, *shape, 1)
    np.testing.assert_allclose(actual[0, ..., 0], skimage.filters.sobel(gray), atol=2e-6)


def test_sobel_has_a_gradient_where_there_is_no_edge():
    gradient = jax.grad(lambda gray: sobel(gray).sum())(jnp.zeros((1, 8, 8, 1)))
    assert np.isfinite(gradient).all()


def test_edges_by_sobel_are_those_of_gray_from_0_to_1():
    net, variables, apply = tiny(dense_activation="linear", **FAITHFUL)
    by_sobel = jax.jit(functools.partial(net.clone(edges="sobel").apply, train=False))
    image = (np.asarray(GRAY[0, ..., 0], np.float64) + 1) / 2
    edges = jnp.asarray(skimage.filters.sobel(image)[None, ..., None], jnp.float32)
    actual = by_sobel(variables, {"gray": GRAY})["ab"]
    expected = apply(variables, {"gray": GRAY, "edges": edges})["ab"]
    np.testing.assert_allclose(actual, expected, atol=2e-5)
