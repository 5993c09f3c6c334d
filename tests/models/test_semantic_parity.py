"""The network `semantic` and its loss against PyTorch modules with the same weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from helpers.synthetic import drawn_variables, synthetic_images

from benchmarks import torch_semantic
from colorjax import color, losses, models
from colorjax.data.targets import TargetEncoder

WITHIN = 1e-4  # of the output's standard deviation
NAMES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
OPTIONS = {"encoder": "tiny", "frozen_blocks": 2, "width": 0.125}
PRIOR = np.arange(1, 314) / np.arange(1, 314).sum()


@functools.cache
def fields():
    """Returns photos of 64x32 as gray and ab, with palettes."""
    rgb = np.stack(synthetic_images(3, 64, seed=5))[:, :, :32]
    colors = np.random.default_rng(3).uniform(0, 1, (3, 315))
    encoded = TargetEncoder()(rgb)
    return {name: jnp.asarray(x) for name, x in encoded.items()} | {
        "global_colors": jnp.asarray(colors, jnp.float32)
    }


def with_signal(variables):
    """Randomizes the signs of biases and means, which are all positive as drawn."""
    rng = np.random.default_rng(1)

    def change(path, leaf):
        if path[-1].key in ("bias", "mean"):
            return leaf * rng.choice([-1.0, 1.0], leaf.shape).astype(np.float32)
        return leaf + np.float32(0.7) if path[-1].key in ("scale", "var") else leaf

    return jax.tree_util.tree_map_with_path(change, variables)


@functools.cache
def ours():
    """Our network, its variables and its outputs, in evaluation mode and in training."""
    net = models.create("semantic", **OPTIONS)
    inputs = {name: fields()[name] for name in ("gray", "global_colors")}
    shapes = jax.eval_shape(functools.partial(net.init, train=False), jax.random.key(0), inputs)
    variables = with_signal(drawn_variables(shapes))
    actual = jax.jit(functools.partial(net.apply, train=False))(variables, inputs)
    run = functools.partial(net.apply, train=True, mutable=["batch_stats"])
    return variables, actual, jax.jit(run)(variables, inputs)[0]


def theirs():
    """The PyTorch module with our weights: as a bijection."""
    net = torch_semantic.Semantic(**OPTIONS)
    state = {name: x for name, x in net.state_dict().items() if "num_batches" in name}
    for path, leaf in jax.tree_util.tree_leaves_with_path(ours()[0]):
        *layers, kind = (entry.key for entry in path[1:])
        layers = [layer for layer in layers if layer not in ("batch", "norm")]
        if layers[0] == "encoder":
            layers.append("conv" if kind == "kernel" else "norm")
        leaf = np.asarray(leaf)
        leaf = leaf.transpose(3, 2, 0, 1) if leaf.ndim == 4 else leaf.T
        state[".".join([*layers, NAMES.get(kind, kind)])] = torch.tensor(leaf.copy())
    net.load_state_dict(state)
    return net


def nchw(x):
    return torch.tensor(np.moveaxis(np.asarray(x), -1, 1).copy())


def outputs_of(net):
    """Returns PyTorch's predictions under our names, NHWC."""
    gray, colors = nchw(fields()["gray"]), torch.tensor(np.asarray(fields()["global_colors"]))
    with torch.no_grad():
        actual = net.outputs(gray, colors)
    named = {"ab_quarter": actual.ab, "bin_logits": actual.bin_logits}
    return {name: np.moveaxis(x.numpy(), 1, -1) for name, x in named.items()}


def difference(actual, wanted):
    """The largest, in standard deviations."""
    assert actual.shape == wanted.shape
    return float(np.abs(actual - wanted).max() / wanted.std())


@pytest.mark.parametrize("train", [False, True])
def test_outputs(train):
    wanted = outputs_of(theirs().train(train))
    actual = ours()[2 if train else 1]
    other = ours()[1 if train else 2]
    for name, x in wanted.items():
        assert x.std(axis=(0, 1, 2)).min() > 0.01  # nothing constant
        assert difference(actual[name], x) < WITHIN
        assert difference(other[name], x) > 100 * WITHIN  # the decoder's BatchNorm matters


def test_the_prediction():
    variables, actual, _ = ours()
    free = {"gray": fields()["gray"], "global_colors": jnp.zeros((3, 315))}
    net = models.create("semantic", **OPTIONS)
    ab = jax.jit(functools.partial(net.apply, train=False))(variables, free)["ab"]
    with torch.no_grad():
        wanted = theirs().eval()(nchw(free["gray"])).numpy()
    assert difference(np.asarray(ab), np.moveaxis(wanted, 1, -1)) < WITHIN
    assert difference(np.asarray(actual["ab"]), np.moveaxis(wanted, 1, -1)) > 100 * WITHIN


def test_the_loss():
    outputs, batch = ours()[2], {"ab": fields()["ab"]}
    loss = losses.create("smooth_l1_and_bins", prior=PRIOR, lam=0.5)
    actual = loss.total(loss(outputs, batch))
    quarter = losses.block_means(batch["ab"], 4)
    bins, shares = color.nearest_bins(color.denormalize_ab(quarter), 5, 5.0)
    weights = color.rebalancing_weights(PRIOR, 0.5)[np.asarray(bins[..., 0])]
    targets = torch_semantic.Targets(
        nchw(quarter), nchw(bins).long(), nchw(shares), torch.tensor(weights)
    )
    heads = torch_semantic.Outputs(nchw(outputs["ab_quarter"]), nchw(outputs["bin_logits"]))
    assert float(torch_semantic.loss(heads, targets)) == pytest.approx(float(actual), rel=1e-5)


def test_blocks_that_are_frozen_get_no_gradient():
    net = theirs().train()
    outputs = net.outputs(nchw(fields()["gray"]), torch.zeros(3, 315))
    (outputs.ab.square().sum() + outputs.bin_logits.square().sum()).backward()
    with_gradient = {name for name, x in net.named_parameters() if x.grad is not None}
    frozen = ("encoder.stem.", "encoder.block0.", "encoder.block1.")
    for name, _ in net.named_parameters():
        assert (name in with_gradient) != name.startswith(frozen), name


@pytest.mark.parametrize("encoder", ["lite0", "lite1", "lite2"])
def test_counts(encoder):
    net = models.create("semantic", encoder=encoder)
    inputs = {"gray": jnp.zeros((1, 32, 32, 1)), "global_colors": jnp.zeros((1, 315))}
    init = functools.partial(net.init, train=False)
    params = jax.eval_shape(init, jax.random.key(0), inputs)["params"]
    with torch.device("meta"):
        module = torch_semantic.Semantic(encoder)
    shapes = sorted(tuple(sorted(x.shape)) for x in module.parameters())

    def sides(leaf):
        return tuple(sorted(leaf.shape))

    assert shapes == sorted(sides(leaf) for leaf in jax.tree.leaves(params))
