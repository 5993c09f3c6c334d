"""The U-Nets and the patch critic against PyTorch modules written from the tables of layers."""

import copy
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from helpers.synthetic import drawn_variables, synthetic_images
from torch import nn
from torch.nn import functional

from benchmarks import torch_unet
from colorjax.models.judges.critics import PatchCritic
from colorjax.models.unet import UNet

WIDTH = 0.125
WITHIN = 1e-4  # of the output's standard deviation
TRAINED_WITHIN = 1e-3  # the same: statistics of a few values amplify rounding errors
CASES = {
    "cifar": (UNet, torch_unet.UNet, {}, (32, 48)),
    "cifar-lab": (UNet, torch_unet.UNet, {"space": "lab"}, (16, 32)),
    "places": (UNet, torch_unet.UNet, {"layout": "places"}, (128, 128)),
    "dcgan": (UNet, torch_unet.UNet, {"layout": "dcgan", "space": "rgb"}, (32, 48)),
    "critic": (PatchCritic, torch_unet.PatchCritic, {}, (32, 24)),
    "keras": (UNet, torch_unet.UNet, {"space": "lab"}, (16, 32)),
    "keras-critic": (PatchCritic, torch_unet.PatchCritic, {}, (32, 24)),
}
# BatchNorm of Keras; gray from 0 to 1, as the DCGAN's.
KERAS = {"norm_momentum": 0.99, "norm_epsilon": 1e-3, "gray_range": (0.0, 1.0)}
NAMES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


class Pair:
    """Our network and the PyTorch module, with the same weights."""

    def __init__(self, case):
        ours, theirs, options, self.size = CASES[case]
        self.is_critic = ours is PatchCritic
        dropout = {} if self.is_critic else {"dropout": 0.0}
        self.is_keras = case.startswith("keras")
        self.momentum = 0.99 if self.is_keras else 0.9
        self.ours = ours(width=WIDTH, **options, **dropout, **(KERAS if self.is_keras else {}))
        self.theirs = theirs(width=WIDTH, **options, **dropout).eval()
        for module in self.theirs.modules():
            if isinstance(module, nn.BatchNorm2d) and self.is_keras:
                module.eps, module.momentum = 1e-3, 0.01
        init = functools.partial(self.ours.init, train=False)
        shapes = jax.eval_shape(init, jax.random.key(0), self.inputs())
        self.variables = with_signal(drawn_variables(shapes))
        self.theirs.load_state_dict(self.state_of(self.variables))

    def inputs(self):
        """Returns gray photos, and colors for the critic, NHWC."""
        height, width = self.size
        rgb = np.stack(synthetic_images(4, max(self.size), seed=5))[:, :height, :width] / 127.5 - 1
        rgb += np.random.default_rng(6).normal(0, 0.1, rgb.shape)
        fields = {"gray": rgb[..., :1]} | ({"color": rgb[..., 1:]} if self.is_critic else {})
        return {name: jnp.asarray(x, jnp.float32) for name, x in fields.items()}

    def state_of(self, variables):
        """Returns variables under PyTorch's names, in its layouts: as a bijection."""
        state = {n: x for n, x in self.theirs.state_dict().items() if "num_batches" in n}
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
            _, layer, *_, kind = (entry.key for entry in path)
            leaf = np.asarray(leaf)
            if leaf.ndim == 4 and layer.startswith("up"):
                # flax's transposed 4x4 kernel is PyTorch's, flipped; our 2x2 one is not.
                leaf = leaf[::-1, ::-1] if len(leaf) == 4 else leaf
                leaf = leaf.transpose(2, 3, 0, 1)
            elif leaf.ndim == 4:
                leaf = leaf.transpose(3, 2, 0, 1)
            state[f"{layer}.{NAMES.get(kind, kind)}"] = torch.tensor(leaf.copy())
        return state

    def run_ours(self, *, train):
        run = functools.partial(self.ours.apply, train=train, mutable=["batch_stats"])
        outputs, updated = jax.jit(run)(self.variables, self.inputs())
        return outputs if self.is_critic else outputs["color"], updated

    def run_theirs(self):
        fields = {name: nchw(x) for name, x in self.inputs().items()}
        if self.is_keras:
            fields["gray"] = (fields["gray"] + 1) / 2
        run = self.theirs if self.is_critic else self.theirs.colors
        return run(*fields.values()).detach().numpy().transpose(0, 2, 3, 1)


def nchw(x):
    return torch.tensor(np.asarray(x).transpose(0, 3, 1, 2))


def with_signal(variables):
    """Sets signs and scales so that every layer matters and tanh does not saturate."""
    rng = np.random.default_rng(1)

    def change(path, leaf):
        leaf = np.asarray(leaf)
        if path[-1].key in ("bias", "mean"):  # all positive as drawn
            return leaf * rng.choice([-1.0, 1.0], leaf.shape).astype(np.float32)
        if path[-1].key in ("scale", "var"):
            return leaf + np.float32(0.7)
        return np.float32(0.3) * leaf if path[1].key == "head" else leaf

    return jax.tree_util.tree_map_with_path(change, variables)


@functools.cache
def pair(case):
    return Pair(case)


@functools.cache
def found_by_ours(case):
    return pair(case).run_ours(train=False)[0]


def difference(ours, theirs):
    """The largest, in standard deviations."""
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / theirs.std())


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_of_the_tables(case):
    theirs = pair(case).run_theirs()
    assert theirs.std(axis=(0, 1, 2)).min() > 0.03  # nothing constant
    if "critic" not in case:
        assert np.abs(theirs).mean() < 0.9  # nor saturated
    assert difference(found_by_ours(case), theirs) < WITHIN


@pytest.mark.parametrize("case", ["cifar", "dcgan", "critic", "keras", "keras-critic"])
def test_a_training_step_moves_the_statistics_alike(case):
    both = Pair(case)
    ours, updated = both.run_ours(train=True)
    before, counts = both.state_of(both.variables), {}
    for name, module in both.theirs.train().named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(functools.partial(count_values, counts, name))
    theirs = both.run_theirs()
    assert difference(ours, theirs) < TRAINED_WITHIN
    assert difference(found_by_ours(case), theirs) > 100 * TRAINED_WITHIN  # another mode
    after, moved = both.theirs.state_dict(), both.state_of(both.variables | updated)
    sizes = {"cifar": 9, "dcgan": 4, "critic": 3, "keras": 9, "keras-critic": 3}
    assert len(counts) == sizes[case]
    for layer, count in counts.items():
        mean, var = f"{layer}.running_mean", f"{layer}.running_var"
        # PyTorch divides the batch's squares by count - 1, flax by count.
        kept = both.momentum * before[var]
        biased = kept + (after[var] - kept) * (count - 1) / count
        for name, wanted in ((mean, after[mean]), (var, biased)):
            way = (wanted - before[name]).abs().max()
            assert (moved[name] - wanted).abs().max() < TRAINED_WITHIN * way, name


def count_values(counts, name, module, inputs):
    counts[name] = inputs[0].numel() // inputs[0].shape[1]


def skip_first(parts, dim, cat=torch.cat):
    return cat(parts[::-1], dim=dim)


def relu_after_the_skip(parts, dim, cat=torch.cat):
    return cat(parts, dim=dim).relu()


@pytest.mark.parametrize("mistake", [skip_first, relu_after_the_skip])
@pytest.mark.parametrize("case", ["cifar", "dcgan"])
def test_parity_would_notice_another_order(case, mistake, monkeypatch):
    monkeypatch.setattr(torch, "cat", mistake)
    assert difference(found_by_ours(case), pair(case).run_theirs()) > 100 * WITHIN


@pytest.mark.parametrize("case", ["cifar", "dcgan", "critic"])
def test_parity_would_notice_another_activation(case, monkeypatch):
    monkeypatch.setattr(torch_unet, "SLOPE", 0.1)
    assert difference(found_by_ours(case), pair(case).run_theirs()) > 100 * WITHIN


@pytest.mark.parametrize("case", ["cifar", "critic"])
def test_parity_would_notice_a_convolution_that_is_shifted(case):
    other = copy.deepcopy(pair(case).theirs)
    for module in other.modules():
        if isinstance(module, torch_unet.SameConv2d) and module.uneven:
            module.uneven = (2, 1, 2, 1)
    both = copy.copy(pair(case))
    both.theirs = other
    assert difference(found_by_ours(case), both.run_theirs()) > 100 * WITHIN


@pytest.mark.parametrize(
    ("build", "number"),
    [
        (functools.partial(torch_unet.UNet), 16_654_722),
        (functools.partial(torch_unet.UNet, space="lab"), 16_654_851),
        (functools.partial(torch_unet.UNet, "places"), 42_023_682),
        (functools.partial(torch_unet.UNet, "dcgan", space="rgb"), 4_166_339),
        (functools.partial(torch_unet.PatchCritic, 3), 2_767_553),
    ],
)
def test_the_modules_have_the_published_number_of_parameters(build, number):
    with torch.device("meta"):
        net = build()
    assert sum(parameter.numel() for parameter in net.parameters()) == number


# PyTorch implementation of the GAN step.


def tiny_gan():
    torch.manual_seed(0)
    generator = torch_unet.UNet(width=WIDTH, dropout=0.0).train()
    critic = torch_unet.PatchCritic(width=WIDTH).train()
    return generator, critic, torch.rand(4, 1, 16, 16) * 2 - 1, torch.rand(4, 2, 16, 16) - 0.5


def softplus(x):
    return float(np.logaddexp(0, x.detach().numpy().astype(np.float64)).mean())


def test_losses_of_a_gan_step():
    generator, critic, gray, ab = tiny_gan()
    with torch.no_grad():
        fake = copy.deepcopy(generator)(gray)
    judge = copy.deepcopy(critic)
    wanted = softplus(-judge(gray, ab)) + softplus(judge(gray, fake))
    optimizers = torch_unet.cgan_optimizers(generator, critic)
    actual = torch_unet.cgan_step(generator, critic, optimizers, gray, ab, generator_steps=1)
    assert float(actual.critic) == pytest.approx(wanted, rel=1e-5)
    learned = softplus(-copy.deepcopy(critic)(gray, fake)) + 100 * float((fake - ab).abs().mean())
    assert float(actual.generator) == pytest.approx(learned, rel=1e-5)


def test_a_gan_step_trains_the_critic_once_and_the_generator_twice():
    generator, critic, gray, ab = tiny_gan()
    before = [copy.deepcopy(net.state_dict()) for net in (generator, critic)]
    optimizers = torch_unet.cgan_optimizers(generator, critic)
    torch_unet.cgan_step(generator, critic, optimizers, gray, ab)
    torch_unet.cgan_step(generator, critic, optimizers, gray, ab)
    for optimizer, steps in zip(optimizers, (4, 2), strict=True):
        counts = {int(state["step"]) for state in optimizer.state.values()}
        assert counts == {steps}
    # Adam without momentum changes a weight by its rate in the first step, by at most 1.41 later.
    for net, old, name, low, high in (
        (generator, before[0], "head.weight", 3e-4, 4 * 1.5 * 3e-4),
        (critic, before[1], "head.weight", 1.5e-5, 2 * 1.5 * 3e-5),
    ):
        way = float((net.state_dict()[name] - old[name]).abs().max())
        assert low < way < high


def test_the_critic_does_not_learn_from_the_generators_turn():
    generator, critic, gray, ab = tiny_gan()
    with torch.no_grad():
        fake = copy.deepcopy(generator)(gray)
    judge = copy.deepcopy(critic)
    on_truth, on_fake = judge(gray, ab), judge(gray, fake)
    (functional.softplus(-on_truth).mean() + functional.softplus(on_fake).mean()).backward()
    optimizers = torch_unet.cgan_optimizers(generator, critic)
    torch_unet.cgan_step(generator, critic, optimizers, gray, ab)
    wanted, actual = judge.head.weight.grad, critic.head.weight.grad
    assert float(wanted.abs().max()) > 1e-3
    torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-6)
