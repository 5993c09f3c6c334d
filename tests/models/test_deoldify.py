"""The network `deoldify` and its parts, against PyTorch modules written from the public code."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from helpers import torch_deoldify
from helpers.synthetic import drawn_variables
from helpers.torch_deoldify import BASE, SHALLOW, make_narrow
from torch import nn
from torch.nn import functional

from colorjax import methods, models
from colorjax.errors import RequestError
from colorjax.models import deoldify
from colorjax.models.blocks.convolution import Conv
from colorjax.models.encoders.resnet import ResNet
from colorjax.weights.torch import deoldify as deoldify_weights
from configs import deoldify as deoldify_config

WITHIN = 2e-5


@pytest.fixture
def narrow(monkeypatch):
    make_narrow(monkeypatch)


def nhwc(tensor):
    return np.asarray(tensor.detach().numpy().transpose(0, 2, 3, 1))


def drawn(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape), dtype=torch.float32)


def shapes_of(*size, **options):
    net = models.create("deoldify", **options)
    inputs = {"gray": jnp.zeros((2, *size, 1))}
    variables = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), inputs)
    outputs = jax.eval_shape(lambda v, x: net.apply(v, x, train=False), variables, inputs)
    return net, variables, {name: x.shape for name, x in outputs.items()}


# `arrays` are those of a file without its counters num_batches_tracked. Their numbers take
# 255,070,532 and 873,920,916 bytes; the rest of the published files are names, strides and the
# optimizer's part, about 195 bytes for each entry.
@pytest.mark.parametrize(
    ("kind", "parameters", "arrays", "norms", "published_bytes"),
    [
        ("artistic", 63_646_881, 323, 55, 255_144_681),
        ("stable", 218_222_197, 635, 119, 874_066_230),
    ],
)
def test_counts_are_those_of_the_published_networks(
    kind, parameters, arrays, norms, published_bytes
):
    options = dict(deoldify_weights.KINDS[kind].model)
    assert options.pop("name") == "deoldify"
    _, variables, _ = shapes_of(16, 16, **options)
    leaves = jax.tree.leaves(variables)
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == parameters
    assert len(leaves) == arrays == len(deoldify_weights.KINDS[kind].entries)
    stored = 4 * sum(x.size for x in leaves) + 8 * norms
    assert 150 < (published_bytes - stored) / (arrays + norms) < 200


def test_video_has_the_layers_of_stable():
    kinds = deoldify_weights.KINDS
    assert kinds["video"].model == kinds["stable"].model
    assert kinds["video"].sha256 != kinds["stable"].sha256


@pytest.mark.parametrize("decoder", deoldify.DECODERS)
def test_sizes(decoder, narrow):
    for size in ((16, 16), (48, 80), (34, 50)):  # the last two are no multiples of 32, or of 16
        net, _, outputs = shapes_of(*size, decoder=decoder, width=BASE / 64)
        assert outputs == {"ab": (2, *size, 2), "color": (2, *size, 3)}
        assert set(outputs) == net.outputs
    for size in ((33, 32), (32, 33)):
        with pytest.raises(ValueError, match="even sides"):
            shapes_of(*size, width=BASE / 64)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"encoder": "resnet35"}, "did you mean|known: resnet34, resnet101"),
        ({"decoder": "long"}, "known: deep, wide"),
        ({"width": 0.0}, "model.width must be above 0"),
        ({"head": "bins"}, "model deoldify"),
    ],
)
def test_options_that_do_not_fit(options, says):
    with pytest.raises(RequestError, match=says):
        models.create("deoldify", **options)


def test_any_photo_gets_colors_of_its_size(narrow):
    """Odd sides, and a gray photo without structure; twice the same."""
    method = methods.build(deoldify_config.get_config(f"size=32,width={BASE / 64}"))
    variables = drawn_variables(jax.eval_shape(method.init, jax.random.key(0)))
    predict = jax.jit(method.predict_ab)
    photo = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (1, 37, 53, 1)), jnp.float32)
    ab = predict(variables, {"gray": photo})
    assert ab.shape == (1, 37, 53, 2)
    assert np.array_equal(ab, predict(variables, {"gray": photo}))
    uniform = predict(variables, {"gray": jnp.zeros_like(photo)})
    assert np.isfinite(uniform).all()
    assert np.abs(uniform - ab).max() > 1e-3


def spectral_variables(conv):
    """Variables of a `Conv` with spectral norm, of a 1x1 or 3x3 one of PyTorch."""
    kernel = conv.weight_orig.detach().numpy()
    o, i, *size = kernel.shape
    size = (*size, 1)[:2]
    v = conv.weight_v.numpy().reshape(i, *size).transpose(1, 2, 0)
    params = {"kernel": kernel.reshape(o, i, *size).transpose(2, 3, 1, 0)}
    if conv.bias is not None:
        params["bias"] = conv.bias.detach().numpy()
    spectral = {"u": conv.weight_u.numpy().copy(), "v": v.copy()}
    return {"params": params, "batch_stats": {"spectral": spectral}}


@pytest.mark.parametrize(("size", "bias"), [(3, True), (1, False)])
def test_spectral_norm_is_that_of_pytorch(size, bias):
    """Evaluation takes u and v as stored; a step in training improves them once."""
    torch.manual_seed(0)
    theirs, x = torch_deoldify.spectral(6, 10, size, bias=bias).eval(), drawn(2, 6, 5, 7)
    ours = Conv(10, size, use_bias=bias, spectral_norm=True)
    variables = jax.tree.map(jnp.asarray, spectral_variables(theirs))
    actual = ours.apply(variables, nhwc(x), train=False)
    np.testing.assert_allclose(actual, nhwc(theirs(x)), atol=WITHIN)
    theirs.train()
    expected = nhwc(theirs(x))
    assert np.abs(expected - actual).max() > 1e-2  # u and v were not converged
    actual, updated = ours.apply(variables, nhwc(x), train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(actual, expected, atol=WITHIN)
    after = spectral_variables(theirs)["batch_stats"]["spectral"]
    for name in ("u", "v"):
        found = updated["batch_stats"]["spectral"][name]
        np.testing.assert_allclose(found, after[name], atol=1e-6)


@pytest.mark.parametrize("rows", [1024, 5])  # 5: in groups, the last one smaller
def test_self_attention_is_that_of_pytorch(rows, monkeypatch):
    monkeypatch.setattr(deoldify, "_ROWS", rows)
    torch.manual_seed(0)
    theirs, x = torch_deoldify.Attention(16).eval(), 2 * drawn(2, 16, 3, 4)
    theirs.gamma.data[:] = 0.7
    parts = {name: getattr(theirs, name) for name in ("query", "key", "value")}
    found = {name: spectral_variables(part) for name, part in parts.items()}
    variables = {
        "params": {name: part["params"] for name, part in found.items()},
        "batch_stats": {name: part["batch_stats"] for name, part in found.items()},
    }
    variables["params"]["gamma"] = theirs.gamma.detach().numpy()
    ours = deoldify._SelfAttention(jnp.float32)
    actual = jax.jit(functools.partial(ours.apply, train=False))(variables, nhwc(x))
    np.testing.assert_allclose(actual, nhwc(theirs(x)), atol=WITHIN)
    assert np.abs(actual - nhwc(x)).max() > 0.1


def test_weight_norm_is_that_of_pytorch():
    torch.manual_seed(0)
    theirs, x = torch_deoldify.weight_norm(nn.Conv2d(5, 8, 1)), drawn(2, 5, 3, 4)
    nn.init.uniform_(theirs.weight_g, 0.5, 2.0)
    params = {
        "kernel": theirs.weight_v.detach().numpy().transpose(2, 3, 1, 0),
        "scale": theirs.weight_g.detach().numpy().reshape(-1),
        "bias": theirs.bias.detach().numpy(),
    }
    actual = deoldify._WeightNormConv(8, jnp.float32).apply({"params": params}, nhwc(x))
    np.testing.assert_allclose(actual, nhwc(theirs(x)), atol=WITHIN)


def test_a_fresh_weight_norm_is_the_kernel_of_a_nearest_neighbor(key):
    layer = deoldify._WeightNormConv(8, jnp.float32)
    params = layer.init(key, jnp.zeros((1, 2, 2, 5)))["params"]
    norm = np.linalg.norm(params["kernel"], axis=2).reshape(-1)
    np.testing.assert_allclose(params["scale"], norm, rtol=1e-6)
    assert np.array_equal(params["kernel"][..., 0], params["kernel"][..., 3])


def test_a_map_of_odd_sides_is_enlarged_as_by_nearest_neighbor():
    """The original resizes 2n to 2n - 1 pixels; that drops the last one."""
    for side in (1, 3, 7, 35):
        x = torch.arange(2.0 * ((side + 1) // 2)).reshape(1, 1, 1, -1)
        found = functional.interpolate(x, (1, side), mode="nearest")[0, 0, 0]
        assert found.tolist() == x[0, 0, 0, :side].tolist()


@pytest.mark.parametrize("variant", ["resnet34", "resnet101"])
def test_the_encoder_has_the_strides_of_torchvision(variant, narrow):
    """A bottleneck's stride is that of its 3x3 convolution; in the paper of its first one."""
    depths, is_bottleneck = SHALLOW[variant]
    net = ResNet(variant, BASE / 64)
    rgb = jnp.zeros((1, 64, 48, 3))
    variables = jax.eval_shape(lambda: net.init(jax.random.key(0), rgb, train=False))
    maps = jax.eval_shape(lambda v: net.apply(v, rgb, train=False), variables)
    wide = 4 if is_bottleneck else 1
    assert [x.shape[1:] for x in maps] == [
        (32, 24, BASE),
        *((64 // s, -(-48 // s), BASE * wide * s // 4) for s in (4, 8, 16, 32)),
    ]
    kernel = variables["params"]["stage1_block1"]["conv1"]["kernel"]
    assert kernel.shape == ((1, 1) if is_bottleneck else (3, 3)) + (BASE, BASE)
    assert ("shortcut" in variables["params"]["stage1_block1"]) == is_bottleneck
    assert sum(name.startswith("stage") for name in variables["params"]) == sum(depths)
