"""DDColor's parts against NumPy, and the acceptance tests of its specification by number."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import drawn_variables

from colorjax import models
from colorjax.errors import RequestError
from colorjax.models import ddcolor
from colorjax.models.blocks import pixel_shuffle
from colorjax.models.blocks.convolution import Conv
from colorjax.models.blocks.spectral import SpectralNorm
from colorjax.models.encoders import convnext

TINY = {"widths": (24, 16, 16), "dim": 16, "queries": 6, "layers": 3, "mlp": 32}
LITE = {"full_size": False, "spectral_norm": False, "layers": 3}
RNG = np.random.default_rng(0)


def network(encoder="convnext_test", **options):
    return models.create("ddcolor", encoder=encoder, **(TINY | options))


def gray_of(number, height, width, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.uniform(-1, 1, (number, height, width, 1)), jnp.float32)


@functools.cache
def shapes_of(net, *size):
    blank = {"gray": jax.ShapeDtypeStruct((*size, 1), jnp.float32)}
    return jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), blank)


@functools.cache
def tiny(**options):
    net = network(**options)
    return net, drawn_variables(shapes_of(net, 1, 32, 32))


def apply(net, variables, gray, **options):
    run = jax.jit(functools.partial(net.apply, train=False, **options))
    return run(variables, {"gray": gray})


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("encoder", "total", "parts"),
    [
        ("convnext_t", 55_006_640, (27_823_008, 5_707_520, 4_298_112, 1_338_048, 1_536)),
        ("convnext_l", 227_869_328, (196_236_096, 9_050_624, 5_183_232, 1_559_424, 3_072)),
    ],
)
def test_1_parameters(encoder, total, parts):
    params = shapes_of(models.create("ddcolor", encoder=encoder), 1, 32, 32)["params"]
    assert count(params) == total
    names = ("encoder", "pixel0", "pixel1", "pixel2")
    assert (*(count(params[name]) for name in names), count(params["encoder"]["norm"])) == parts
    same = {"last": 1_052_672, "color": 14_787_072, "head": 208}
    assert {name: count(params[name]) for name in same} == same


@pytest.mark.parametrize(
    ("widths", "dim", "queries", "mlp", "total", "color"),
    [
        ((96, 64, 48), 96, 16, 384, 3_886_803, 495_025),
        ((128, 96, 64), 128, 32, 512, 4_525_603, 881_217),
        ((256, 192, 128), 192, 64, 768, 7_027_683, 2_016_129),
    ],
)
def test_1_parameters_of_the_small_variants(widths, dim, queries, mlp, total, color):
    options = {"widths": widths, "dim": dim, "queries": queries, "mlp": mlp}
    net = models.create("ddcolor", encoder="lite0", **options, **LITE)
    params = shapes_of(net, 1, 32, 32)["params"]
    assert (count(params), count(params["encoder"]), count(params["color"])) == (
        total,
        2_958_848,
        color,
    )


# [channel, row, column] of the encoding of 16x20.
POSITIONS = {
    (0, 0, 0): 0.3826834,
    (1, 0, 0): 0.9238796,
    (2, 0, 0): 0.3335468,
    (3, 0, 0): 0.9427335,
    (126, 0, 0): 0.0000453,
    (128, 0, 0): 0.3090170,
    (129, 0, 0): 0.9510565,
    (130, 0, 0): 0.2687073,
    (131, 0, 0): 0.9632219,
    (0, 15, 19): -0.0000008,
    (1, 15, 19): 1.0,
    (2, 15, 19): -0.7460908,
    (3, 15, 19): 0.6658443,
}


def test_4_sine_encoding():
    code = np.asarray(ddcolor.sine_encoding(16, 20, 256))
    for (channel, row, column), value in POSITIONS.items():
        assert code[row, column, channel] == pytest.approx(value, abs=1e-6)
    assert code.sum(dtype=np.float64) == pytest.approx(40425.79, abs=0.05)
    assert np.abs(code).sum(dtype=np.float64) == pytest.approx(45248.21, abs=0.05)
    assert float(ddcolor.sine_encoding(4, 4, 256).sum()) == pytest.approx(1992.5337, abs=1e-3)
    code = ddcolor.sine_encoding(2, 3, 256)
    assert float(code.sum()) == pytest.approx(734.8466, abs=1e-3)
    assert float(code[0, 0, 128]) == pytest.approx(0.8660257, abs=1e-6)
    assert float(code[0, 0, 129]) == pytest.approx(-0.4999994, abs=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (256, 320)])
def test_5_shapes(size):
    net = models.create("ddcolor", encoder="convnext_t")

    def run(variables, inputs):
        seen = lambda module, _: module.name in ("pixel0", "pixel1", "pixel2")  # noqa: E731
        return net.apply(variables, inputs, train=False, capture_intermediates=seen)

    blank = {"gray": jax.ShapeDtypeStruct((1, *size, 1), jnp.float32)}
    outputs, seen = jax.eval_shape(run, shapes_of(net, 1, 32, 32), blank)
    assert outputs["ab"].shape == (1, *size, 2)
    for number, (stride, channels) in enumerate(((16, 512), (8, 512), (4, 256))):
        (x,) = seen["intermediates"][f"pixel{number}"]["__call__"]
        assert x.shape == (1, size[0] // stride, size[1] // stride, channels)


def test_5_other_sides_are_refused():
    with pytest.raises(ValueError, match=r"multiples of 32, got \(48, 64\)"):
        shapes_of(network(), 1, 48, 64)


def test_6_pixel_shuffle_and_blur():
    x = jnp.arange(8.0).reshape(1, 1, 1, 8)
    shuffled = pixel_shuffle.pixel_shuffle(x, 2)[0]
    np.testing.assert_array_equal(shuffled.transpose(2, 0, 1), np.arange(8).reshape(2, 2, 2))
    x = jnp.asarray([[1.0, 2], [3, 4]]).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(pixel_shuffle.shuffle_blur(x)[0, ..., 0], [[1, 1.5], [2, 2.5]])


@pytest.mark.parametrize("factor", [2, 4])
def test_7_icnr_starts_as_nearest_upsampling(factor):
    conv = Conv(3 * factor**2, 1, kernel_init=pixel_shuffle.icnr(factor), spectral_norm=True)
    x = jnp.asarray(RNG.normal(size=(1, 2, 3, 5)), jnp.float32)
    y, _ = conv.init_with_output(jax.random.key(0), x, train=False)
    y = pixel_shuffle.pixel_shuffle(y, factor)
    first = y[:, ::factor, ::factor]
    assert first.std() > 0.1
    np.testing.assert_allclose(y, np.kron(first, np.ones((1, factor, factor, 1))), rtol=1e-6)


def sigma_of(kernel, u, v, *, train):
    variables = {"batch_stats": {"u": jnp.asarray(u), "v": jnp.asarray(v)}}
    return SpectralNorm().apply(variables, kernel, train=train, mutable=["batch_stats"])


def test_8_sigma_of_converged_vectors_is_the_largest_singular_value():
    kernel = RNG.normal(size=(3, 3, 4, 6)).astype(np.float32)
    u, s, vt = np.linalg.svd(kernel.reshape(-1, 6).T, full_matrices=False)
    v = vt[0].reshape(3, 3, 4)
    sigma, updated = sigma_of(kernel, u[:, 0], v, train=False)
    assert float(sigma) == pytest.approx(s[0], rel=1e-5)
    assert np.linalg.svd(kernel.reshape(-1, 6) / sigma)[1][0] == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(updated["batch_stats"]["u"], u[:, 0])
    np.testing.assert_array_equal(updated["batch_stats"]["v"], v)


def test_8_sigma_of_stored_vectors_and_of_a_training_step():
    kernel = RNG.normal(size=(3, 3, 4, 6)).astype(np.float32)
    matrix = kernel.reshape(-1, 6).T
    u, v = RNG.normal(size=6), RNG.normal(size=36)
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    shaped = v.reshape(3, 3, 4).astype(np.float32)
    sigma, _ = sigma_of(kernel, u.astype(np.float32), shaped, train=False)
    assert float(sigma) == pytest.approx(u @ matrix @ v, rel=1e-4, abs=1e-5)
    sigma, updated = sigma_of(kernel, u.astype(np.float32), shaped, train=True)
    v = matrix.T @ u
    v /= np.linalg.norm(v)
    u = matrix @ v
    u /= np.linalg.norm(u)
    assert float(sigma) == pytest.approx(u @ matrix @ v, rel=1e-5)
    np.testing.assert_allclose(updated["batch_stats"]["u"], u, atol=1e-6)
    np.testing.assert_allclose(updated["batch_stats"]["v"].reshape(-1), v, atol=1e-6)


def test_8_gradients_pass_through_the_kernel_only():
    kernel = jnp.asarray(RNG.normal(size=(1, 1, 4, 6)), jnp.float32)
    variables = SpectralNorm().init(jax.random.key(0), kernel, train=False)
    stats = variables["batch_stats"]
    gradient = jax.grad(lambda k: SpectralNorm().apply(variables, k, train=False))(kernel)
    outer = stats["v"][..., None] * stats["u"].reshape(1, 1, 1, -1)
    np.testing.assert_allclose(gradient, outer, atol=1e-6)


def test_8_evaluation_changes_nothing():
    conv = Conv(6, 1, spectral_norm=True)
    x = jnp.ones((1, 2, 2, 4))
    variables = conv.init(jax.random.key(0), x, train=False)
    for train in (False, True):
        _, updated = conv.apply(variables, x, train=train, mutable=["batch_stats"])
        before, after = (v["batch_stats"]["spectral"] for v in (variables, updated))
        assert np.array_equal(before["u"], after["u"]) != train


# a at every 8th row and 16th column, of a network that equals PyTorch's; weights drawn by NumPy.
GOLDEN = [
    [2.511433, 1.095264, 1.214652, 0.741589],
    [2.361553, 1.732583, 1.635327, 1.492044],
    [2.278473, 0.969039, 1.448668, 1.328921],
    [2.244439, 1.232085, 0.880566, 1.924935],
]


def test_9_stored_values():
    net, variables = tiny()
    ab = apply(net, variables, gray_of(1, 32, 64))["ab"]
    np.testing.assert_allclose(ab[0, ::8, ::16, 0], GOLDEN, rtol=1e-4)
    np.testing.assert_allclose(ab[0, 31, 63], [0.527392, 0.847364], rtol=1e-4)


@pytest.mark.parametrize("number", [1, 2])
def test_10_the_late_head_is_the_plain_one(number):
    net, variables = tiny()
    gray = gray_of(number, 32, 64)
    late = apply(net, variables, gray)["ab"]
    plain = apply(net.clone(late_head=False), variables, gray)["ab"]
    assert late.std() > 1e-3
    np.testing.assert_allclose(late, plain, atol=2e-6 * float(jnp.ptp(plain)))


@pytest.mark.slow
def test_10_in_blocks(monkeypatch):
    net, variables = tiny()
    whole = apply(net, variables, gray_of(2, 64, 96))["ab"]
    monkeypatch.setattr(ddcolor, "_BLOCK", 2**10)
    blocks = apply(net.clone(), variables, gray_of(2, 64, 96))["ab"]
    np.testing.assert_allclose(blocks, whole, atol=1e-6 * float(jnp.ptp(whole)))


def test_11_positions_are_not_in_the_values():
    """If keys are equal, all tokens have the same weight: positions must not matter."""
    layer = ddcolor._QueryLayer(mlp=16)
    queries, tokens = (jnp.asarray(RNG.normal(size=(1, n, 16)), jnp.float32) for n in (3, 5))
    positions = jnp.asarray(RNG.normal(size=(1, 3, 16)), jnp.float32)
    keys = jnp.asarray(RNG.normal(size=(1, 5, 16)), jnp.float32)
    variables = layer.init(jax.random.key(0), queries, positions, tokens, keys)
    actual = layer.apply(variables, queries, positions, tokens, keys)
    shifted = layer.apply(variables, queries, positions, tokens, keys + 3.0)  # softmax: no effect
    np.testing.assert_allclose(shifted, actual, atol=1e-4)
    others = layer.apply(variables, queries, positions, tokens + 3.0, keys)
    assert np.abs(others - actual).max() > 1e-2


def test_11_attention_is_that_of_flax():
    x, keys, values = (jnp.asarray(RNG.normal(size=(2, n, 16)), jnp.float32) for n in (3, 5, 5))
    theirs = nn.MultiHeadDotProductAttention(ddcolor.HEADS, deterministic=True)
    shapes = jax.eval_shape(theirs.init, jax.random.key(0), x, keys, values)
    variables = drawn_variables(shapes)
    ours = ddcolor._Attention()
    assert jax.eval_shape(ours.init, jax.random.key(0), x, keys, values) == shapes
    wanted = theirs.apply(variables, x, keys, values)
    assert wanted.std() > 0.1
    np.testing.assert_allclose(ours.apply(variables, x, keys, values), wanted, atol=1e-5)


@pytest.mark.parametrize(("kind", "epsilon"), [("encoder", 1e-6), ("color", 1e-5)])
def test_12_epsilons_of_the_norms(kind, epsilon):
    x = np.asarray(RNG.normal(0, 10**-2.5, (2, 3, 16)), np.float32)  # of variance 1e-5
    norm = convnext._norm("n", jnp.float32) if kind == "encoder" else ddcolor._norm("n")
    variables = norm.init(jax.random.key(0), x)
    actual = norm.apply(variables, x)
    centered = x - x.mean(-1, keepdims=True)
    wanted = centered / np.sqrt(x.var(-1, keepdims=True) + epsilon)
    np.testing.assert_allclose(actual, wanted, atol=2e-5)


def test_13_the_gray_curve():
    lightness = np.array([0, 10, 25, 50, 75, 100], np.float32)
    seen = convnext.normalize(jnp.asarray(lightness / 50 - 1).reshape(1, 6, 1, 1))
    value = np.asarray(seen)[0, :, 0] * convnext.STD + convnext.MEAN
    wanted = np.array([0, 0.107703, 0.232515, 0.466327, 0.723900, 1])
    np.testing.assert_allclose(value, np.repeat(wanted[:, None], 3, axis=1), atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["convnext_test", "tiny"])
def test_18_two_photos_are_two_runs(encoder):
    options = {} if encoder == "convnext_test" else LITE
    net, variables = tiny(encoder=encoder, **options)
    both = gray_of(2, 32, 64)
    actual = apply(net, variables, both)["ab"]
    for number in (0, 1):
        alone = apply(net, variables, both[number : number + 1])["ab"]
        np.testing.assert_allclose(actual[number], alone[0], atol=1e-5)
    assert np.abs(actual[0] - actual[1]).max() > 1e-3


@pytest.mark.slow
def test_18_bfloat16():
    """Within 2 % of the spread; in ab units it depends on the weights, which we do not have."""
    net, variables = tiny()
    gray = gray_of(1, 64, 64)
    whole = apply(net, variables, gray)["ab"]
    half = apply(net.clone(dtype=jnp.bfloat16), variables, gray)["ab"]
    assert half.dtype == jnp.float32
    assert np.abs(half - whole).max() < 0.02 * np.ptp(whole)


@pytest.mark.slow  # compiling the draw of all weights takes 20 s of a core
def test_a_fresh_network_predicts_finite_colors_and_learns_its_norms(key):
    net = network()
    inputs = {"gray": gray_of(2, 32, 32)}
    variables = jax.jit(functools.partial(net.init, train=False))(key, inputs)
    run = jax.jit(functools.partial(net.apply, train=True, mutable=["batch_stats"]))
    outputs, updated = run(variables, inputs)
    assert np.isfinite(outputs["ab"]).all()
    for name in ("pixel0", "pixel2"):
        before, after = (x["batch_stats"][name]["conv"]["spectral"] for x in (variables, updated))
        assert np.any(before["u"] != after["u"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"encoder": "resnet"}, "known: convnext_l, convnext_t, convnext_test, lite0"),
        ({"widths": (8, 8)}, "model.widths must be 3 numbers of channels above 0"),
        ({"widths": (8, 8, 0)}, "model.widths must be 3 numbers of channels above 0"),
        ({"dim": 12}, "model.dim must be a multiple of 8 above 0, not 12"),
        ({"queries": 0}, "model.queries must be from 1 to 4096, not 0"),
        ({"layers": 0}, "model.layers must be from 1 to 64, not 0"),
        ({"layers": 2**20}, "model.layers must be from 1 to 64, not 1048576"),
        ({"mlp": 0}, "model.mlp must be from 1 to 65536, not 0"),
        ({"depth": 3}, "depth"),
    ],
)
def test_options_that_do_not_fit(options, says):
    with pytest.raises(RequestError, match=says):
        models.create("ddcolor", **options)


def test_an_added_layer_changes_nothing_at_first():
    net, variables = tiny()
    wide = net.clone(add_layer=True)
    added = jax.tree.map(
        lambda x: jnp.zeros(x.shape), shapes_of(wide, 1, 32, 32)["params"]["added"]
    )
    params = variables["params"] | {"added": added}
    gray = gray_of(1, 32, 32)
    actual = apply(wide, variables | {"params": params}, gray)["ab"]
    np.testing.assert_array_equal(actual, apply(net, variables, gray)["ab"])
    assert models.trained_layers(wide, "added") == ("added",)
    assert models.trained_layers(net, "head") == ("head",)
