"""U-Nets against published counts and their tables; values: test_unet_parity.py."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import errors
from helpers.synthetic import drawn_variables
from skimage.color import rgb2lab

from colorjax import models
from colorjax.errors import RequestError
from colorjax.models.blocks.convolution import Conv, UpConv
from colorjax.models.blocks.initializers import UP_KERNEL_INITS
from colorjax.models.unet import unet

WIDTH = 0.125  # channels 8, 16, 32, 64


def gray(*shape):
    x = np.random.default_rng(0).uniform(-1, 1, (*shape, 1))
    return {"gray": jnp.asarray(x, jnp.float32)}


def shapes_of(net, *shape):
    inputs = {"gray": jax.ShapeDtypeStruct((*shape, 1), np.float32)}
    init = functools.partial(net.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), inputs)
    outputs = jax.eval_shape(functools.partial(net.apply, train=False), variables, inputs)
    return variables, outputs


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


@functools.cache
def tiny(**options):
    """A network of few channels, and variables with signal."""
    net = unet(width=WIDTH, **options)
    side = net.size_multiple
    return net, drawn_variables(shapes_of(net, 1, side, side)[0])


@functools.cache
def applied(train, **options):
    net, _ = tiny(**options)
    return jax.jit(functools.partial(net.apply, train=train, mutable=["batch_stats"]))


def run(inputs, *, train=False, seed=0, **options):
    _, variables = tiny(**options)
    rngs = {"dropout": jax.random.key(seed)} if train else {}
    return applied(train, **options)(variables, inputs, rngs=rngs)


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ({}, 16_654_722),
        ({"space": "lab"}, 16_654_851),
        ({"norm": "affine", "kernel_init": "glorot"}, 16_654_722),
        ({"layout": "places"}, 42_023_682),
        ({"layout": "places", "space": "lab"}, 42_023_811),
        ({"layout": "dcgan", "space": "rgb"}, 4_166_339),
    ],
)
def test_parameters_are_the_published_number(options, number):
    net = models.create("unet", **options)
    side = net.size_multiple
    variables, _ = shapes_of(net, 1, side, side)
    assert count(variables["params"]) == number
    if "rgb" in options.values():
        assert count(variables) == 4_168_259  # Keras also counts the statistics of BatchNorm


@pytest.mark.parametrize(
    ("options", "channels"),
    [({}, 2), ({"head": "auto"}, 2), ({"space": "lab"}, 3), ({"space": "rgb"}, 3)],
)
@pytest.mark.parametrize("layout", ["cifar", "dcgan"])
def test_outputs_have_the_photos_size(layout, options, channels):
    net = unet(width=WIDTH, layout=layout, **options)
    _, outputs = shapes_of(net, 2, 16, 48)
    assert {name: x.shape for name, x in outputs.items()} == {
        "ab": (2, 16, 48, 2),
        "color": (2, 16, 48, channels),
    }
    assert outputs.keys() == net.outputs


@pytest.mark.parametrize(
    ("layout", "multiple", "sides"),
    [("cifar", 16, (24, 32)), ("dcgan", 16, (32, 8)), ("places", 128, (128, 64))],
)
def test_sides_are_multiples(layout, multiple, sides):
    net = unet(width=WIDTH, layout=layout)
    assert net.size_multiple == multiple
    _, outputs = shapes_of(net, 1, multiple, 2 * multiple)
    assert outputs["ab"].shape == (1, multiple, 2 * multiple, 2)
    with pytest.raises(ValueError, match=f"multiples of {multiple}"):
        shapes_of(net, 1, *sides)


def test_bins():
    actual, _ = run(gray(1, 16, 16), head="bins")
    net, _ = tiny(head="bins")
    assert actual.keys() == net.outputs == {"ab", "logits", "bin_logits"}
    assert actual["logits"].shape == (1, 16, 16, 313)
    assert actual["ab"].shape == (1, 16, 16, 2)
    assert actual["ab"].std() > 0.01


@pytest.mark.parametrize("space", ["ab", "lab", "rgb"])
def test_colors_end_at_one_and_ab_is_theirs(space):
    _, variables = tiny(space=space)
    variables = jax.tree.map(lambda x: x, variables)
    head = variables["params"]["head"]
    # Both ends of tanh, and a good part between.
    head["kernel"] = (
        head["kernel"] * jnp.asarray([6.0] + [0.5] * (head["bias"].size - 1))[None, None, None]
    )
    actual, _ = applied(False, space=space)(variables, gray(2, 32, 32))
    colors = np.asarray(actual["color"])
    assert 0.999 < np.abs(colors[..., 0]).max() <= 1
    assert 0.05 < np.abs(colors[..., 1:]).mean() < 0.9
    if space == "rgb":
        wanted = rgb2lab((colors.astype(np.float64) + 1) / 2)[..., 1:] / 110
        np.testing.assert_allclose(actual["ab"], wanted, atol=2e-3)
    else:
        np.testing.assert_array_equal(actual["ab"], colors[..., -2:])


def of_decoder(**options):
    """Returns the inputs (own, skip) of a decoder's second, third and last unit in training."""
    net, variables = tiny(dropout=0.75, **options)

    def run(variables, inputs):
        actual = {}

        def spy(following, arguments, keywords, context):
            if context.method_name == "__call__" and type(context.module) in (Conv, UpConv):
                actual[context.module.name] = arguments[0]
            return following(*arguments, **keywords)

        rngs = {"dropout": jax.random.key(0)}
        with nn.intercept_methods(spy):
            net.apply(variables, inputs, train=True, rngs=rngs, mutable=["batch_stats"])
        return actual

    actual = jax.jit(run)(variables, gray(4, 16, 16))
    own = {"up2": 64, "up3": 32, "up4": 16, "head": 8}  # channels of the unit before
    return {name: np.split(np.asarray(actual[name]), [size], -1) for name, size in own.items()}


def test_order_in_the_decoder():
    """Transposed convolution, BatchNorm, ReLU, dropout, then the skip."""
    for name, (own, skip) in of_decoder().items():
        zeros = 0.75 * (name in ("up2", "up3"))  # the first two units have dropout
        assert own.min() == 0, name  # only dropout follows ReLU
        assert zeros + 0.02 < (own == 0).mean() < zeros + (1 - zeros) * 0.98, name
        assert skip.min() < 0, name  # neither ReLU nor dropout acts on the skip
        assert (skip == 0).mean() < 0.01, name


def test_order_in_the_decoder_of_the_dcgan():
    """Transposed convolution, LeakyReLU, BatchNorm, dropout, then the skip."""
    for name, (own, skip) in of_decoder(layout="dcgan").items():
        zeros = 0.75 * (name in ("up2", "up3"))
        assert (own == 0).mean() == pytest.approx(zeros, abs=0.1), name
        assert own.min() < 0, name
        assert (skip == 0).mean() < 0.01, name
        if not zeros:  # the mean of BatchNorm's output is its shift
            number = int(name[2:]) - 1 if name != "head" else 4
            _, variables = tiny(dropout=0.75, layout="dcgan")
            norm = variables["params"][f"up{number}_norm"]["norm"]
            np.testing.assert_allclose(own.mean(axis=(0, 1, 2)), norm["bias"], atol=1e-4)


def test_dropout_acts_in_training_alone():
    inputs = gray(2, 16, 16)
    one, other, again = (run(inputs, train=True, seed=n)[0]["ab"] for n in (1, 2, 1))
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)
    none = [run(inputs, train=True, seed=n, dropout=0.0)[0]["ab"] for n in (1, 2)]
    assert np.array_equal(*none)
    without, with_share = (run(inputs, dropout=share)[0]["ab"] for share in (0.0, 0.5))
    assert np.array_equal(without, with_share)


def test_the_layout_for_places_has_no_dropout():
    net = unet(width=WIDTH, layout="places", dropout=0.5)
    variables, _ = shapes_of(net, 1, 128, 128)
    train = functools.partial(net.apply, train=True, mutable=["batch_stats"])
    jax.eval_shape(train, variables, gray(1, 128, 128))  # it would need a key
    net, variables = tiny()
    train = functools.partial(net.apply, train=True, mutable=["batch_stats"])
    with pytest.raises(errors.InvalidRngError, match="dropout"):
        jax.eval_shape(train, variables, gray(1, 16, 16))


def test_affine_never_takes_the_batchs_statistics():
    inputs, options = gray(3, 16, 16), {"norm": "affine", "dropout": 0.0}
    still, _ = run(inputs, **options)
    actual, updated = run(inputs, train=True, **options)
    np.testing.assert_allclose(actual["ab"], still["ab"], atol=1e-5)
    _, variables = tiny(**options)
    same = jax.tree.map(np.array_equal, updated["batch_stats"], variables["batch_stats"])
    assert all(jax.tree.leaves(same))
    moved, updated = run(inputs, train=True, dropout=0.0)
    assert float(jnp.abs(moved["ab"] - still["ab"]).max()) > 0.01
    same = jax.tree.map(np.allclose, updated["batch_stats"], variables["batch_stats"])
    assert not any(jax.tree.leaves(same))


def test_no_photo_depends_on_its_neighbors_in_evaluation():
    both = gray(2, 16, 16)
    alone = {"gray": both["gray"][:1]}
    np.testing.assert_allclose(run(both)[0]["ab"][:1], run(alone)[0]["ab"], atol=1e-5)


# Variance of the kernels of a 4x4 convolution from 32 channels to 64; up: from 64 to 32.
@pytest.mark.parametrize(
    ("name", "down", "up"),
    [
        ("glorot", 2 / (16 * (32 + 64)), 2 / (16 * (128 + 32))),
        ("lecun", 1 / (16 * 32), 1 / (16 * 32)),  # TensorFlow: 16 x output channels in both
        ("he", 2 / (16 * 32), 4 * 2 / (16 * 128)),
    ],
)
def test_a_fresh_network(name, down, up, key):
    """Uses the requested initializer; with He it predicts near gray."""
    net = unet(width=WIDTH, kernel_init=name)
    start = jax.jit(functools.partial(net.init_with_output, train=False))
    outputs, variables = start(key, gray(1, 16, 16))
    params = variables["params"]
    assert 0 < float(jnp.abs(outputs["ab"]).max()) < (0.3 if name == "he" else 1)
    head = np.asarray(params["head"]["kernel"])
    of_head = {"he": 1e-2 / head.shape[2], "glorot": 2 / sum(head.shape[2:])}
    assert head.var() == pytest.approx(of_head.get(name, 1 / head.shape[2]), rel=0.5)
    for layer, variance in (("down4", down), ("up2", up)):
        kernel = np.asarray(params[layer]["kernel"])
        assert kernel.var() == pytest.approx(variance, rel=0.05), layer
    assert params["down4"]["kernel"].shape == (4, 4, 32, 64)
    assert params["up2"]["kernel"].shape == (4, 4, 128, 32)


@pytest.mark.parametrize(
    ("inputs", "outputs", "deviation"),
    [(512, 512, 0.0110), (1024, 256, 0.0156), (512, 128, 0.0221), (256, 64, 0.0313)],
)
def test_transposed_kernels_start_as_those_of_nazeri(inputs, outputs, deviation, key):
    """TensorFlow's variance_scaling on (4, 4, O, I): 1 / sqrt(16 O)."""
    kernel = np.asarray(UP_KERNEL_INITS["lecun"](key, (4, 4, inputs, outputs)))
    assert kernel.std() == pytest.approx(deviation, rel=5e-3)


def test_gray_is_scaled_inside_the_network():
    inputs = gray(1, 16, 16)
    shifted = {"gray": (inputs["gray"] + 1) / 2}
    own, _ = run(inputs, gray_range=(0.0, 1.0))
    np.testing.assert_allclose(own["ab"], run(shifted)[0]["ab"], atol=1e-6)
    assert float(jnp.abs(own["ab"] - run(inputs)[0]["ab"]).max()) > 0.01


def test_a_body_in_bfloat16_gives_float32():
    net = unet(width=WIDTH, dtype=jnp.bfloat16)
    variables, outputs = shapes_of(net, 1, 16, 16)
    assert {x.dtype for x in jax.tree.leaves((variables, outputs))} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"layout": "cifer"},
            "model.layout 'cifer' (did you mean cifar?); known: cifar, dcgan, places",
        ),
        ({"space": "hsv"}, "model.space 'hsv'; known: ab, lab, rgb"),
        ({"head": "bin"}, "model.head 'bin' (did you mean bins?); known: ab, auto, bins"),
        ({"norm": "layer"}, "model.norm 'layer'; known: affine, batch"),
        ({"kernel_init": "xavier"}, "model.kernel_init 'xavier'; known: glorot, he, lecun"),
        ({"head": "bins", "space": "lab"}, "set model.space=ab, not lab"),
        ({"dropout": 1.0}, "model.dropout must be at least 0 and below 1, not 1.0"),
        ({"dropout": -0.1}, "model.dropout"),
        ({"width": 0.0}, "model.width must be above 0, not 0.0"),
        ({"temperature": -1.0}, "model.temperature"),
        ({"folded_temperature": 0.0}, "folded_temperature"),
        ({"filters": 3}, "filters"),
        ({"norm_epsilon": 0.0}, "model.norm_epsilon"),
        ({"norm_momentum": 1.0}, "model.norm_momentum"),
        ({"gray_range": [1.0, 0.0]}, r"model.gray_range must be (black, white)"),
        ({"gray_range": [1.0]}, "model.gray_range"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(RequestError, match=re.escape(message)) as caught:
        models.create("unet", **options)
    assert str(caught.value).isprintable()
