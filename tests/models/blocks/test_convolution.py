import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from colorjax.models.blocks import convolution
from colorjax.models.blocks.convolution import Conv, UpConv, convolve, looped, same_padding


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (5, 2, 1), (3, 1, 2), (2, 1, 1)]
)
def test_patches_equal_xlas_convolution(size, kernel, stride, dilation):
    x, weights = draw(2, *size, 3), draw(kernel, kernel, 3, 4, seed=1)
    options = {"stride": stride, "dilation": dilation, "padding": dilation * (kernel // 2)}

    def loss(x, weights, as_patches):
        y = convolve(x, weights, as_patches=as_patches, **options)
        return jnp.sum(jnp.sin(y)), y

    grad = jax.grad(loss, argnums=(0, 1), has_aux=True)
    (actual, y), (expected, y_expected) = (grad(x, weights, form) for form in (True, False))
    np.testing.assert_allclose(y, y_expected, atol=1e-5)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_in_a_loop_all_convolutions_are_patches():
    x, weights = draw(2, 16, 16, 3), draw(3, 3, 3, 4, seed=1)
    with looped():
        program = jax.make_jaxpr(lambda x: convolve(x, weights, padding=1))(x)
        y = convolve(x, weights, padding=1)
    expected = jax.make_jaxpr(lambda x: convolve(x, weights, padding=1))(x)
    assert "conv_general_dilated" in str(expected)
    assert "conv_general_dilated" not in str(program)
    np.testing.assert_allclose(y, convolve(x, weights, padding=1), atol=1e-5)


def test_convolution_against_a_plain_loop():
    x, weights = draw(1, 5, 6, 2), draw(3, 3, 2, 4, seed=1)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((1, 3, 3, 4))
    for i in range(3):
        for j in range(3):
            window = padded[0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            expected[0, i, j] = np.einsum("ijc,ijco->o", window, weights)
    np.testing.assert_allclose(convolve(x, weights, stride=2, padding=1), expected, atol=1e-5)


@pytest.mark.parametrize("train", [True, False])
def test_conv_equals_linens(train, key):
    x = draw(2, 9, 8, 3)
    conv = Conv(4, 3, stride=2)
    variables = conv.init(key, x, train=False)
    linen = nn.Conv(4, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
    actual, expected = conv.apply(variables, x, train=train), linen.apply(variables, x)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("features", [4, 2], ids=["patches", "scattered"])
@pytest.mark.parametrize("size", [(4, 4), (1, 1), (3, 5)])
def test_up_conv_equals_linens_transposed_convolution(size, features, train, key):
    x = draw(2, *size, 8)
    up = UpConv(features)
    variables = up.init(key, x, train=False)
    linen = nn.ConvTranspose(features, (4, 4), (2, 2), padding="SAME")

    def value_and_grad(apply):
        return jax.value_and_grad(lambda v, x: jnp.sum(jnp.sin(apply(v, x))), argnums=(0, 1))

    actual = value_and_grad(lambda v, x: up.apply(v, x, train=train))(variables, x)
    expected = value_and_grad(linen.apply)(variables, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), actual, expected)
    assert up.apply(variables, x, train=train).shape == (2, 2 * size[0], 2 * size[1], features)


def test_bfloat16_body_has_float32_parameters(key):
    x = draw(1, 4, 4, 3)
    conv = Conv(4, dtype=jnp.bfloat16)
    variables = conv.init(key, x, train=False)
    assert variables["params"]["kernel"].dtype == jnp.float32
    assert conv.apply(variables, x, train=False).dtype == jnp.bfloat16


def test_patches_are_used_where_xla_is_slow():
    """The forms differ in their programs, or the choice would be dead code."""
    x, weights = draw(1, 4, 4, 2), draw(3, 3, 2, 2)
    for form, wanted in ((True, "dot_general"), (False, "conv_general_dilated")):
        program = str(jax.make_jaxpr(lambda x, w, f=form: convolve(x, w, as_patches=f))(x, weights))
        assert wanted in program


BOTH_FORMS = pytest.mark.parametrize("as_patches", [True, False], ids=["patches", "xla"])


def force(monkeypatch, as_patches):
    monkeypatch.setattr(convolution, "_prefer_patches", lambda *_: as_patches)


def nchw(x):
    return torch.tensor(np.asarray(x).transpose(0, 3, 1, 2))


def nhwc(x):
    return x.detach().numpy().transpose(0, 2, 3, 1)


def oihw(kernel):
    return torch.tensor(np.asarray(kernel).transpose(3, 2, 0, 1))


def check_with_gradients(ours, theirs, *arguments):
    """Returns values, and gradients of the sum of their sines."""

    @functools.partial(jax.jit, static_argnums=0)
    def found_by(run, *arguments):
        def loss(*a):
            y = run(*a)
            return jnp.sum(jnp.sin(y)), y

        return jax.grad(loss, argnums=tuple(range(len(arguments))), has_aux=True)(*arguments)

    actual, expected = found_by(ours, *arguments), found_by(theirs, *arguments)
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(
    ("channels", "features", "stride", "padding", "dilation"),
    [(3, 5, 1, (1, 1), 1), (5, 3, 1, (0, 2), 1), (5, 3, 2, (1, 0), 1), (5, 3, 1, (2, 2), 2)],
    ids=["of_x", "of_g", "stride", "dilation"],
)
def test_gradients_as_products_are_pytorchs(channels, features, stride, padding, dilation):
    """The taps of x are gathered, or those of the gradient g where it is narrower."""
    x, kernel = draw(2, 7, 8, channels), draw(3, 3, channels, features, seed=1)
    options = {"stride": stride, "dilation": dilation}

    @jax.jit
    def grad(x, kernel):
        def loss(x, kernel):
            return jnp.sum(jnp.sin(convolve(x, kernel, padding=padding, **options)))

        return jax.grad(loss, argnums=(0, 1))(x, kernel)

    inputs = nchw(x).requires_grad_()
    weights = oihw(kernel).clone().requires_grad_()
    y = functional.conv2d(functional.pad(inputs, padding * 2), weights, **options)
    y.sin().sum().backward()
    dx, dkernel = grad(x, kernel)
    np.testing.assert_allclose(dx, nhwc(inputs.grad), atol=1e-4)
    np.testing.assert_allclose(dkernel, weights.grad.permute(2, 3, 1, 0), atol=1e-4)


def test_a_kernels_gradient_is_one_product_for_each_of_its_rows():
    """XLA's convolutions are the value and the gradient for x."""
    x, kernel = draw(2, 16, 16, 3), draw(3, 3, 3, 4, seed=1)

    def loss(x, kernel):
        return jnp.sum(convolve(x, kernel, padding=1))

    program = str(jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(x, kernel))
    assert program.count("= conv_general_dilated[") == 2
    assert program.count("= dot_general[") == 3


@BOTH_FORMS
@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [
        ((4, 6), 4, 1),
        ((4, 6), 4, 2),
        ((4, 6), 2, 2),
        ((4, 6), 2, 1),
        ((2, 2), 4, 2),
        ((1, 1), 4, 1),
    ],
)
def test_even_kernels_pad_as_tensorflow_does(size, kernel, stride, as_patches, monkeypatch):
    """SAME padding of TensorFlow; a kernel of 4 with stride 1 pads one before and two after."""
    force(monkeypatch, as_patches)
    x, conv = draw(2, *size, 3), Conv(4, kernel, stride)
    weights, bias = draw(kernel, kernel, 3, 4, seed=1), draw(4, seed=2)

    def ours(x, kernel, bias):
        variables = {"params": {"kernel": kernel, "bias": bias}}
        return conv.apply(variables, x, train=False)

    def lax_same(x, kernel, bias):
        dimensions = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", None, None, dimensions
        )
        return y + bias.reshape(1, 1, 1, -1)

    check_with_gradients(ours, lax_same, x, weights, bias)


@BOTH_FORMS
@pytest.mark.parametrize(("kernel", "low", "high"), [(4, 1, 2), (2, 0, 1), (3, 2, 0)])
def test_uneven_padding_equals_pytorchs(kernel, low, high, as_patches):
    x, weights = draw(2, 6, 5, 3), draw(kernel, kernel, 3, 4, seed=1)
    actual = convolve(x, weights, padding=(low, high), as_patches=as_patches)
    padded = functional.pad(nchw(x), (low, high, low, high))
    expected = nhwc(functional.conv2d(padded, oihw(weights)))
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@BOTH_FORMS
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(4, 1, 0), (4, 2, 1), (3, 1, 2)])
def test_padding_and_no_bias_equal_pytorchs(kernel, stride, padding, as_patches, monkeypatch, key):
    force(monkeypatch, as_patches)
    x, conv = draw(2, 7, 6, 3), Conv(4, kernel, stride, padding=padding, use_bias=False)
    params = conv.init(key, x, train=False)["params"]
    assert params.keys() == {"kernel"}
    actual = conv.apply({"params": params}, x, train=True)
    weights = oihw(params["kernel"])
    expected = nhwc(functional.conv2d(nchw(x), weights, stride=stride, padding=padding))
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("stride", [1, 2])
def test_same_padding_keeps_or_halves_a_side(kernel, stride):
    if kernel == 1 and stride == 2:
        return  # no padding; a kernel of 1 skips every second pixel
    low, high = same_padding(kernel, stride)
    assert 0 <= low <= high <= low + 1
    for side in (8, 12):
        assert (side + low + high - kernel) // stride + 1 == side // stride


@BOTH_FORMS
@pytest.mark.parametrize("channels", [3, 16])  # as patches, or scattered
@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
def test_up_conv_2x2_equals_pytorchs_transposed_convolution(
    size, channels, as_patches, monkeypatch
):
    """PyTorch's kernel layout; flax.linen.ConvTranspose flips it."""
    force(monkeypatch, as_patches)
    x, bias = draw(2, *size, channels), draw(4, seed=2)
    kernel = draw(2, 2, channels, 4, seed=1)

    def ours(x, kernel, bias):
        params = {"kernel": kernel, "bias": bias}
        return UpConv(4, kernel_size=2).apply({"params": params}, x, train=True)

    def linens(x, kernel, bias):
        params = {"kernel": kernel[::-1, ::-1], "bias": bias}
        return nn.ConvTranspose(4, (2, 2), (2, 2), padding="SAME").apply({"params": params}, x)

    weights = torch.tensor(np.asarray(kernel).transpose(2, 3, 0, 1))
    expected = nhwc(
        functional.conv_transpose2d(nchw(x), weights, torch.tensor(np.asarray(bias)), 2)
    )
    actual = jax.jit(ours)(x, kernel, bias)
    assert actual.shape == expected.shape == (2, 2 * size[0], 2 * size[1], 4)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    check_with_gradients(ours, linens, x, kernel, bias)


@BOTH_FORMS
def test_up_conv_4x4_equals_pytorchs_with_the_kernel_flipped(as_patches, monkeypatch):
    force(monkeypatch, as_patches)
    x, kernel, bias = draw(2, 3, 5, 3), draw(4, 4, 3, 4, seed=1), draw(4, seed=2)
    actual = UpConv(4).apply({"params": {"kernel": kernel, "bias": bias}}, x, train=True)
    weights = torch.tensor(np.asarray(kernel)[::-1, ::-1].transpose(2, 3, 0, 1).copy())
    expected = functional.conv_transpose2d(nchw(x), weights, torch.tensor(np.asarray(bias)), 2, 1)
    np.testing.assert_allclose(actual, nhwc(expected), atol=1e-5)


@pytest.mark.parametrize("layer", [Conv(32, 4, 2), UpConv(32), UpConv(32, kernel_size=2)])
def test_a_fresh_layer_keeps_the_scale(layer, key):
    """He's variance: twice the input's, far from the border."""
    x = draw(2, 24, 24, 64)
    y = layer.init_with_output(key, x, train=False)[0][:, 4:-4, 4:-4]
    assert 1.6 < float(y.var()) < 2.4


def test_the_start_of_a_kernel_can_be_given(key):
    for layer in (
        Conv(4, kernel_init=nn.initializers.ones),
        UpConv(4, kernel_init=nn.zeros_init()),
    ):
        kernel = layer.init(key, draw(1, 4, 4, 3), train=False)["params"]["kernel"]
        assert float(kernel.std()) == 0
