"""Iizuka 2016 and edge fusion against PyTorch modules written from the tables of layers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from helpers.synthetic import drawn_variables, synthetic_images
from torch import nn

from benchmarks import torch_iizuka
from colorjax.models.blocks.shapes import squeezed
from colorjax.models.edge_fusion import EdgeFusion
from colorjax.models.iizuka import Iizuka

WIDTH = 0.125
WITHIN = 1e-4  # of an output's standard deviation
TRAINED_WITHIN = 1e-3  # the same: statistics of three photos amplify rounding errors
EQUAL, OTHER = (32, 32), (40, 24)  # the size of the global branch, and one that is resized for it
CASES = {
    # Four positions, because a single one does not test the order of flattening.
    "classes": ("Iizuka", {"norm": True, "num_classes": 5, "global_size": 64}),
    "plain": ("Iizuka", {"norm": False}),
    "faithful-canny": ("EdgeFusion", {"norm": True}),
    "faithful-off": ("EdgeFusion", {"edges": "off"}),
    "iizuka-canny": ("EdgeFusion", {"global_branch": "iizuka", "num_classes": 5}),
    "iizuka-off": ("EdgeFusion", {"global_branch": "iizuka", "edges": "off", "norm": True}),
}
COMPARED = [
    ("classes", OTHER),
    ("plain", EQUAL),
    ("faithful-canny", OTHER),
    ("iizuka-canny", OTHER),
    pytest.param("plain", OTHER, marks=pytest.mark.slow),
    pytest.param("faithful-off", EQUAL, marks=pytest.mark.slow),
    pytest.param("iizuka-off", EQUAL, marks=pytest.mark.slow),
]
NAMES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


class Pair:
    """Our network and the PyTorch module, with the same weights."""

    def __init__(self, kind, options):
        options = {"width": WIDTH, "global_size": 32, "ab_range": 100.0} | options
        self.ours = {"Iizuka": Iizuka, "EdgeFusion": EdgeFusion}[kind](**options)
        self.theirs = getattr(torch_iizuka, kind)(**options)
        init = functools.partial(self.ours.init, train=False)
        shapes = jax.eval_shape(init, jax.random.key(0), self.photos(EQUAL))
        self.variables = with_signal(drawn_variables(shapes))
        self.theirs.load_state_dict(self.state_of(self.variables))

    def photos(self, size, number=3):
        """Returns gray photos, and edges if the network uses them, NHWC."""
        rng = np.random.default_rng(6)
        rgb = np.stack(synthetic_images(number, max(size), seed=5))
        gray = rgb[:, : size[0], : size[1], :1] / 127.5 - 1
        gray += rng.normal(0, 0.1, gray.shape)
        every = {"gray": gray, "edges": rng.integers(0, 2, gray.shape)}
        return {n: jnp.asarray(x, jnp.float32) for n, x in every.items() if n in self.ours.inputs}

    def state_of(self, variables):
        """Returns variables under PyTorch's names, in its layouts, as a bijection."""
        state = {n: x for n, x in self.theirs.state_dict().items() if "num_batches" in n}
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
            _, *layers, kind = (entry.key for entry in path)
            layer = ".".join(layers).replace("norm.norm", "norm")
            state[f"{layer}.{NAMES.get(kind, kind)}"] = torch.tensor(self.converted(layer, leaf))
        return state

    def converted(self, layer, leaf):
        leaf = np.asarray(leaf)
        if layer == "fusion.conv" and leaf.ndim == 4 and isinstance(self.ours, EdgeFusion):
            leaf = self.in_order_of_the_table(leaf)
        if layer == "global_level.dense1.dense" and leaf.ndim == 2:
            leaf = from_height_width_channels(leaf, self.ours.global_size // 32)
        return leaf.transpose({1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}[leaf.ndim])

    def in_order_of_the_table(self, kernel):
        """Ours fuses (global, local, edges), edge fusion's table says (local, global, edges)."""
        local = 32  # 256 at this width
        vector = kernel.shape[2] - local - (8 if self.ours.edges == "canny" else 0)
        parts = np.split(kernel, [vector, vector + local], axis=2)
        return np.concatenate([parts[1], parts[0], parts[2]], axis=2)

    def run_ours(self, size):
        run = jax.jit(functools.partial(self.ours.apply, train=False))
        return run(self.variables, self.photos(size))

    def run_theirs(self, size):
        """Returns outputs, NHWC; the global branch gets the photo from `jax.image.resize`."""
        inputs = self.photos(size)
        gray, side = inputs["gray"], self.ours.global_size
        if size != (side, side):
            inputs["global_gray"] = jax.image.resize(gray, (len(gray), side, side, 1), "linear")
        outputs = self.theirs.outputs(**{name: nchw(x) for name, x in inputs.items()})
        arrays = {name: x.detach().numpy() for name, x in outputs.items()}
        return {n: x.transpose(0, 2, 3, 1) if x.ndim == 4 else x for n, x in arrays.items()}


def nchw(x):
    return torch.tensor(np.asarray(x).transpose(0, 3, 1, 2))


def from_height_width_channels(kernel, side):
    rows = kernel.reshape(side, side, -1, kernel.shape[1])
    return rows.transpose(2, 0, 1, 3).reshape(kernel.shape)


def with_signal(variables):
    """Sets signs and scales so that every layer, ReLU and BatchNorm matters and none saturates."""
    rng = np.random.default_rng(1)

    def change(path, leaf):
        leaf = np.asarray(leaf)  # JAX would compile for every shape
        if path[-1].key in ("bias", "mean"):  # all positive as drawn
            return leaf * rng.choice([-1.0, 1.0], leaf.shape).astype(np.float32)
        if path[-1].key in ("scale", "var"):
            return leaf + np.float32(0.7)
        return np.float32(0.3) * leaf if "head" in [entry.key for entry in path] else leaf

    return jax.tree_util.tree_map_with_path(change, variables)


@functools.cache
def pair(case):
    actual = Pair(*CASES[case])
    actual.theirs.eval()
    return actual


@functools.cache
def found_by_ours(case, size):
    return pair(case).run_ours(size)


def difference(ours, theirs):
    """The largest of all outputs, in standard deviations of that output."""
    assert ours.keys() == theirs.keys()
    assert all(ours[name].shape == theirs[name].shape for name in ours)
    return max(np.abs(ours[n] - theirs[n]).max() / theirs[n].std() for n in ours)


@pytest.mark.parametrize(("case", "size"), COMPARED)
def test_outputs_are_those_of_the_tables(case, size):
    theirs = pair(case).run_theirs(size)
    assert theirs.keys() == pair(case).ours.outputs
    assert all(x.std() > 0.01 for x in theirs.values())  # neither constant nor saturated colors
    assert difference(found_by_ours(case, size), theirs) < WITHIN


@pytest.mark.slow
@pytest.mark.parametrize("case", ["classes", "faithful-canny"])
def test_parity_would_notice_a_missing_activation_or_normalization(case):
    for name, module in pair(case).theirs.named_modules():
        if isinstance(module, nn.ReLU | nn.BatchNorm1d | nn.BatchNorm2d):
            hook = module.register_forward_hook(lambda module, inputs, output: inputs[0])
            theirs = pair(case).run_theirs(OTHER)
            hook.remove()
            assert difference(found_by_ours(case, OTHER), theirs) > 100 * WITHIN, name


def fuse_in_another_order(monkeypatch):
    cat = torch.cat
    monkeypatch.setattr(torch, "cat", lambda parts, dim: cat(parts[::-1], dim=dim))


def flatten_in_another_order(monkeypatch):
    flatten = torch.Tensor.flatten
    other = lambda x, start_dim: flatten(x.permute(0, 2, 3, 1), start_dim)  # noqa: E731
    monkeypatch.setattr(torch.Tensor, "flatten", other)


@pytest.mark.parametrize(
    ("case", "mistake"),
    [
        ("classes", fuse_in_another_order),
        ("classes", flatten_in_another_order),
        ("faithful-canny", fuse_in_another_order),
    ],
)
def test_parity_would_notice_another_order(case, mistake, monkeypatch):
    mistake(monkeypatch)
    theirs = pair(case).run_theirs(OTHER)
    assert difference(found_by_ours(case, OTHER), theirs) > 100 * WITHIN


@pytest.mark.parametrize(
    ("case", "size"),
    [("classes", OTHER), pytest.param("faithful-canny", EQUAL, marks=pytest.mark.slow)],
)
def test_a_training_step_moves_the_statistics_alike(case, size):
    both = Pair(*CASES[case])
    run = functools.partial(both.ours.apply, train=True, mutable=["batch_stats"])
    ours, updated = jax.jit(run)(both.variables, both.photos(size))
    before, counts = both.state_of(both.variables), {}
    for name, module in both.theirs.train().named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.register_forward_pre_hook(functools.partial(count_values, counts, name))
    assert difference(ours, both.run_theirs(size)) < TRAINED_WITHIN
    after, moved = both.theirs.state_dict(), both.state_of(both.variables | updated)
    assert len(counts) == sum(name.endswith("running_var") for name in after)
    for layer, count in counts.items():
        mean, var = f"{layer}.running_mean", f"{layer}.running_var"
        # PyTorch divides the batch's squares by count - 1, flax by count.
        biased = 0.9 * before[var] + (after[var] - 0.9 * before[var]) * (count - 1) / count
        for name, wanted in ((mean, after[mean]), (var, biased)):
            way = (wanted - before[name]).abs().max()
            assert (moved[name] - wanted).abs().max() < TRAINED_WITHIN * way, name


def count_values(counts, name, module, inputs):
    """Of one channel in the first pass: a second one, of the resized photo, moves no statistics."""
    counts.setdefault(name, inputs[0].numel() // inputs[0].shape[1])


@pytest.mark.parametrize("size", [(40, 24), (96, 64)])
def test_the_global_branch_sees_what_pytorch_would_resize(size):
    gray = pair("plain").photos(size)["gray"]
    ours, theirs = squeezed(gray, 32), torch_iizuka.squeezed(nchw(gray), 32)
    assert np.abs(nchw(ours) - theirs).max() < 1e-5


@pytest.mark.parametrize(
    ("build", "number"),
    [
        (functools.partial(torch_iizuka.Iizuka, norm=False), 42_169_826),
        (functools.partial(torch_iizuka.Iizuka, norm=False, num_classes=205), 42_353_839),
        (torch_iizuka.EdgeFusion, 9_844_743),
    ],
)
def test_the_modules_have_the_published_number_of_parameters(build, number):
    with torch.device("meta"):
        net = build()
    assert sum(parameter.numel() for parameter in net.parameters()) == number
