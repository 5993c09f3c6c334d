"""zhang16 and zhang17 against the released networks' counts and NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import drawn_variables
from scipy.signal import correlate2d

from colorjax import color, methods, models
from colorjax.errors import RequestError
from colorjax.models.blocks.convolution import Conv
from colorjax.models.blocks.shapes import scaled
from colorjax.models.blocks.zhang_blocks import BinHead, Block
from colorjax.train import optim, state, steps
from configs import zhang16

TINY = 0.01  # eight channels everywhere except in the heads
RNG = np.random.default_rng(0)


def inputs_of(net, *shape):
    draw = functools.partial(np.random.default_rng(1).uniform, -1, 1)
    every = {
        "gray": draw((*shape, 1)),
        "hint_ab": draw((*shape, 2)),
        "hint_mask": draw((*shape, 1)),
    }
    return {name: jnp.asarray(every[name], jnp.float32) for name in net.inputs}


def shapes_of(net, *shape):
    inputs = inputs_of(net, *shape)
    variables = jax.eval_shape(lambda k: net.init(k, inputs, train=False), jax.random.key(0))
    outputs = jax.eval_shape(lambda v: net.apply(v, inputs, train=False), variables)
    return variables, {name: x.shape for name, x in outputs.items()}


@functools.cache
def tiny(name, **options):
    net = models.create(name, width=TINY, **options)
    return (
        net,
        drawn_variables(shapes_of(net, 1, 16, 16)[0]),
        jax.jit(functools.partial(net.apply, train=False)),
    )


GRAY = inputs_of(models.create("zhang16"), 1, 16, 16)
HINTED = (models.create("zhang17"), 1, 16, 16)


# Parameters and entries of the published files; num_batches_tracked is one per BatchNorm.
@pytest.mark.parametrize(
    ("name", "parameters", "entries", "norms"),
    [("zhang16", 32_236_011, 82, 7), ("zhang17", 34_187_027, 107, 9)],
)
def test_parameters_are_those_of_the_released_network(name, parameters, entries, norms):
    variables, _ = shapes_of(models.create(name), 1, 64, 64)
    weights, statistics = (jax.tree.leaves(variables[c]) for c in ("params", "batch_stats"))
    assert sum(leaf.size for leaf in weights) == parameters
    assert len(statistics) == 2 * norms
    assert len(weights) + len(statistics) + norms == entries


def test_the_class_head_can_be_left_out():
    variables, outputs = shapes_of(models.create("zhang17", class_head=False), 1, 16, 16)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == 34_187_027 - 135_953
    assert set(outputs) == {"ab"} == models.create("zhang17", class_head=False).outputs


# 8 ceil(H / 8), 8 ceil(W / 8), and a quarter of them, as the released network gives.
@pytest.mark.parametrize(
    ("size", "whole", "quarter"),
    [((70, 53), (72, 56), (18, 14)), ((256, 256), (256, 256), (64, 64)), ((1, 8), (8, 8), (2, 2))],
)
def test_sizes_of_zhang16(size, whole, quarter):
    net = models.create("zhang16", width=TINY)
    _, outputs = shapes_of(net, 2, *size)
    logits = (2, *quarter, 313)
    assert outputs == {"ab": (2, *whole, 2), "logits": logits, "bin_logits": logits}
    assert set(outputs) == net.outputs


def test_the_head_without_bins():
    net = models.create("zhang16", width=TINY, head="ab")
    _, outputs = shapes_of(net, 2, 70, 53)
    assert outputs == {"ab": (2, 72, 56, 2)}
    assert set(outputs) == net.outputs


def test_sizes_of_zhang17():
    net = models.create("zhang17", width=TINY)
    _, outputs = shapes_of(net, 2, 24, 40)
    assert outputs == {"ab": (2, 24, 40, 2), "grid_logits": (2, 6, 10, 529)}
    assert set(outputs) == net.outputs
    for size in ((20, 24), (24, 20), (4, 4)):
        with pytest.raises(ValueError, match="sides that are multiples of 8"):
            shapes_of(net, 1, *size)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("zhang16", {"head": "bin"}, "known: ab, bins"),
        ("zhang17", {"learns": "all"}, "known: both, classification, regression"),
        ("zhang16", {"mask_cent": 0.5}, "mask_cent"),
        ("zhang16", {"temperature": -1.0}, "model.temperature must be at least 0"),
        ("zhang16", {"folded_temperature": 0.0}, "model.folded_temperature above 0"),
        ("zhang16", {"width": 0.0}, "model.width must be above 0, not 0.0"),
        ("zhang17", {"width": -1.0}, "model.width must be above 0, not -1.0"),
    ],
)
def test_options_that_do_not_fit(name, options, says):
    with pytest.raises(RequestError, match=says):
        models.create(name, **options)


def test_width_scales_channels():
    assert [scaled(c, 0.25) for c in (64, 128, 256, 512)] == [16, 32, 64, 128]
    assert scaled(64, 0.01) == 8
    assert scaled(64, 0.2) == 16  # 12.8, in steps of 8
    for name in ("zhang16", "zhang17"):
        params = shapes_of(models.create(name, width=0.25), 1, 16, 16)[0]["params"]
        assert params["block1"]["conv1"]["kernel"].shape[-1] == 16
        assert params["block5"]["conv2"]["kernel"].shape == (3, 3, 128, 128)
        assert params["up8"]["kernel"].shape == (4, 4, 128, 64)
    assert params["class_head"]["kernel"].shape == (1, 1, 64, 529)
    assert params["head"]["kernel"].shape == (1, 1, 32, 2)


def correlated(x, kernel, stride=1, dilation=1):
    """Zero-pads `dilation` on every side, correlates (H, W, I), then keeps each stride-th pixel."""
    size = 2 * dilation + 1
    spread = np.zeros((size, size, *kernel.shape[2:]))
    spread[::dilation, ::dilation] = kernel
    padded = np.pad(x, ((dilation, dilation), (dilation, dilation), (0, 0)))
    actual = [
        sum(correlate2d(padded[..., i], spread[..., i, o], "valid") for i in range(x.shape[-1]))
        for o in range(kernel.shape[-1])
    ]
    return np.stack(actual, -1)[::stride, ::stride]


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_stride_two_pads_one_on_every_side(size, train):
    x, kernel, bias = RNG.normal(size=(*size, 2)), RNG.normal(size=(3, 3, 2, 3)), RNG.normal(size=3)
    params = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
    conv = Conv(3, stride=2)
    actual = conv.apply({"params": params}, jnp.asarray(x[None], jnp.float32), train=train)
    np.testing.assert_allclose(actual[0], correlated(x, kernel, 2) + bias, atol=1e-5)


def activated(x, slope=0.0):
    return np.where(x > 0, x, slope * x)


@pytest.mark.parametrize(
    ("options", "starts", "slope", "norm"),
    [
        ({"stride": 2}, False, 0.0, True),
        ({"dilation": 2}, False, 0.0, True),
        ({"starts_with_relu": True}, True, 0.0, True),
        ({"starts_with_relu": True, "negative_slope": 0.2, "norm": False}, True, 0.2, False),
    ],
)
def test_a_block_is_convolutions_with_relu_then_the_norm(options, starts, slope, norm):
    x = RNG.normal(size=(8, 6, 2)).astype(np.float32)
    block = Block((3, 4), **options)
    shapes = jax.eval_shape(
        lambda k: block.init(k, jnp.asarray(x[None]), train=False), jax.random.key(0)
    )
    variables = drawn_variables(shapes)
    params = jax.tree.map(np.asarray, variables["params"])
    dilation, stride = options.get("dilation", 1), options.get("stride", 1)
    y = activated(x) if starts else x
    for number, (step, negative) in enumerate([(1, 0.0), (stride, slope)], start=1):
        conv = params[f"conv{number}"]
        y = activated(correlated(y, conv["kernel"], step, dilation) + conv["bias"], negative)
    if norm:  # last, after ReLU; epsilon as in PyTorch
        affine = params["norm"]["norm"]
        past = jax.tree.map(np.asarray, variables["batch_stats"]["norm"]["norm"])
        y = (y - past["mean"]) / np.sqrt(past["var"] + 1e-5) * affine["scale"] + affine["bias"]
    actual = block.apply(variables, jnp.asarray(x[None]), train=False)
    np.testing.assert_allclose(actual[0], y, atol=1e-4)


def softmax(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def enlarged(x):
    """(H, W, C) four times as large, bilinear, corners not aligned, in NumPy."""
    for axis in (0, 1):
        positions = (np.arange(4 * x.shape[axis]) + 0.5) / 4 - 0.5
        line = functools.partial(np.interp, positions, np.arange(x.shape[axis]))
        x = np.apply_along_axis(line, axis, x)
    return x


# The published weights include 0.38: their plain softmax is the annealed one.
@pytest.mark.parametrize(
    ("temperature", "folded", "scale"),
    [(0.38, 1.0, 1 / 0.38), (0.38, 0.38, 1.0), (1.0, 1.0, 1.0), (0.19, 0.38, 2.0)],
)
def test_zhang16_decodes_by_its_temperatures(temperature, folded, scale):
    net, variables, _ = tiny("zhang16")
    net = net.clone(temperature=temperature, folded_temperature=folded)
    actual = jax.jit(functools.partial(net.apply, train=False))(variables, GRAY)
    logits = np.asarray(actual["logits"], np.float64)
    np.testing.assert_allclose(actual["bin_logits"], folded * logits, rtol=1e-5)
    expected = softmax(scale * logits) @ np.asarray(variables["params"]["head"]["centers"])
    np.testing.assert_allclose(actual["ab"][0], enlarged(expected[0]), atol=1e-5)
    once_more = softmax(scale * logits / 0.38) @ np.asarray(variables["params"]["head"]["centers"])
    assert np.abs(actual["ab"][0] - enlarged(once_more[0])).max() > 1e-2


def test_zhang16_starts_with_the_bins_as_colors(key):
    head = BinHead()
    params = head.init(key, jnp.zeros((1, 2, 2, 8)), train=False)["params"]
    np.testing.assert_allclose(params["centers"] * 110, color.ab_bins(), atol=1e-4)


def test_colors_of_bins_are_never_learned():
    """Not by AdamW with decay and a loss of ab, which change all other parameters."""
    config = zhang16.get_config(f"size=16,batch=2,width={TINY}")
    config.model.temperature, config.loss.name = 1.0, "mse"
    built = methods.build(config)
    config.optimizer.weight_decay, config.optimizer.warmup_steps = 0.1, 0
    schedule = optim.build_schedule(config.optimizer, 10)
    tx = optim.build(config.optimizer, schedule)
    _, variables, _ = tiny("zhang16")
    params = variables["params"]
    before = state.TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables["batch_stats"],
        average=params,
        optimizer=tx.init(params),
    )
    step = jax.jit(
        steps.build_train_step(built, steps.Learner(tx, schedule), seed=0, ema_decay=0.9)
    )
    ab = jnp.asarray(RNG.uniform(-0.5, 0.5, (1, 16, 16, 2)), jnp.float32)
    after, metrics = step(before, {"gray": GRAY["gray"], "ab": ab})
    assert np.isfinite(metrics["loss"])
    averaged = after.average["head"]["centers"]
    np.testing.assert_allclose(averaged, params["head"]["centers"], rtol=1e-6)
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), params, after.params)
    assert not moved["head"].pop("centers")
    assert all(jax.tree.leaves(moved))


def test_hints_change_the_colors():
    _, variables, apply = tiny("zhang17")
    inputs = inputs_of(*HINTED)
    plain = apply(variables, inputs)["ab"]
    assert np.abs(plain).max() < 1  # tanh
    for name in ("gray", "hint_ab", "hint_mask"):
        changed = apply(variables, inputs | {name: inputs[name] + 0.5})["ab"]
        assert np.abs(changed - plain).max() > 1e-3, name


def test_mask_cent_is_taken_from_the_mask():
    net, variables, apply = tiny("zhang17")
    inputs = inputs_of(*HINTED)
    centered = jax.jit(functools.partial(net.clone(mask_cent=0.5).apply, train=False))
    shifted = inputs | {"hint_mask": inputs["hint_mask"] + 0.5}
    actual, expected = centered(variables, shifted), apply(variables, inputs)
    np.testing.assert_allclose(actual["ab"], expected["ab"], atol=1e-6)
    assert np.abs(centered(variables, inputs)["ab"] - expected["ab"]).max() > 1e-3


TRUNK = {f"block{n}" for n in range(1, 9)} | {"up8", "short8"}
COLORS = {"up9", "short9", "block9", "up10", "short10", "block10", "head"}


@pytest.mark.parametrize(
    ("learns", "of_ab", "of_classes"),
    [
        ("both", TRUNK | COLORS, TRUNK | {"class_head"}),
        ("regression", TRUNK | COLORS, {"class_head"}),
        ("classification", COLORS, TRUNK | {"class_head"}),
    ],
)
def test_who_shapes_the_features(learns, of_ab, of_classes):
    net, variables, _ = tiny("zhang17")
    net = net.clone(learns=learns)
    inputs = inputs_of(*HINTED)

    def sums(params):
        actual = net.apply(variables | {"params": params}, inputs, train=False)
        return jnp.stack([jnp.sum(jnp.sin(actual[name])) for name in ("ab", "grid_logits")])

    jacobian = jax.jit(jax.jacrev(sums))(variables["params"])
    for row, expected in enumerate((of_ab, of_classes)):
        norms = {
            name: max(float(jnp.abs(leaf[row]).max()) for leaf in jax.tree.leaves(module))
            for name, module in jacobian.items()
        }
        assert {name for name, norm in norms.items() if norm > 0} == expected
