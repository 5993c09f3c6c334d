import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorjax import models
from colorjax.errors import RequestError


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def shapes(net, size):
    gray = jnp.zeros((1, size, size, 1))
    return jax.eval_shape(lambda key: net.init(key, {"gray": gray}, train=False), jax.random.key(0))


def test_parameter_count_of_the_report():
    # 3x3 convolutions 1-64-128-128-256-256-256, 4x4 transposed 256-128-2, biases, BatchNorm.
    widths = [1, 64, 128, 128, 256, 256, 256]
    convs = sum(9 * i * o + o for i, o in itertools.pairwise(widths))
    ups = 16 * 256 * 128 + 128 + 16 * 128 * 2 + 2
    norms = 2 * (sum(widths[1:]) + 128)
    assert (
        count(shapes(models.create("plain_cnn"), 64)["params"]) == convs + ups + norms == 2_228_354
    )


def test_parameter_count_of_the_dense_variant():
    variables = shapes(models.create("plain_cnn", variant="dense"), 128)
    assert count(variables["params"]) == 2_214_736  # trainable, as the notebook prints
    assert count(variables) == 2_214_960  # with running statistics, as the notebook prints


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (128, 128), (8, 8), (24, 40)])
def test_any_size_divisible_by_eight(size, key):
    net = models.create("plain_cnn", filters=(2,) * 7)
    gray = jnp.zeros((2, *size, 1))
    variables = net.init(key, {"gray": gray}, train=False)
    ab = net.apply(variables, {"gray": gray}, train=False)["ab"]
    assert ab.shape == (2, *size, 2)
    assert ab.dtype == jnp.float32


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 5},
        {"strides": (1, 1, 1, 1, 1, 1)},
        {"strides": (2, 2, 2, 1, 1, 1)},
        {"dilation": 2},
        {"filters": (2, 2, 2), "strides": (2, 1)},
    ],
)
def test_knobs_change_the_network_and_keep_the_size(options, key):
    net = models.create("plain_cnn", **({"filters": (2,) * 7} | options))
    gray = jax.random.normal(key, (1, 16, 16, 1))
    variables = net.init(key, {"gray": gray}, train=False)
    assert net.apply(variables, {"gray": gray}, train=False)["ab"].shape == (1, 16, 16, 2)


def test_dropout_acts_in_training_only(key):
    net = models.create("plain_cnn", filters=(4,) * 7, dropout=0.5)
    gray = jax.random.normal(key, (1, 16, 16, 1))
    variables = net.init(key, {"gray": gray}, train=False)
    variables["params"]["head"]["kernel"] *= 1e3  # the initial head is near zero

    def train(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return net.apply(variables, {"gray": gray}, train=True, rngs=rngs, mutable=["batch_stats"])[
            0
        ]

    assert not np.allclose(train(0)["ab"], train(1)["ab"])
    once, again = (net.apply(variables, {"gray": gray}, train=False)["ab"] for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_starts_near_gray(key):
    net = models.create("plain_cnn")
    gray = jax.random.uniform(key, (1, 32, 32, 1), minval=-1)
    ab = net.apply(net.init(key, {"gray": gray}, train=False), {"gray": gray}, train=False)["ab"]
    assert 0 < jnp.abs(ab).max() < 0.1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"strides": (1, 2)}, "one more number"),
        ({"strides": (2, 2, 2, 2, 1, 1)}, "at most three"),
        ({"variant": "wide"}, "known: cnn, dense"),
        ({"width": 3}, "width"),
    ],
)
def test_options_that_do_not_fit(options, says):
    with pytest.raises(RequestError, match=says):
        models.create("plain_cnn", **options)


def test_unknown_model_lists_the_known():
    with pytest.raises(
        RequestError, match=r"unknown model .* known: .*plain_cnn, semantic, unet, zhang16"
    ):
        models.create("u_net")
