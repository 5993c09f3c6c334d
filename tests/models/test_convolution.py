import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorjax.models.convolution import Conv, UpConv, convolve


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
    (found, y), (expected, y_expected) = (grad(x, weights, form) for form in (True, False))
    np.testing.assert_allclose(y, y_expected, atol=1e-5)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


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
    found, expected = conv.apply(variables, x, train=train), linen.apply(variables, x)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("size", [(4, 4), (1, 1), (3, 5)])
def test_up_conv_equals_linens_transposed_convolution(size, train, key):
    x = draw(2, *size, 3)
    up = UpConv(4)
    variables = up.init(key, x, train=False)
    linen = nn.ConvTranspose(4, (4, 4), (2, 2), padding="SAME")

    def value_and_grad(apply):
        return jax.value_and_grad(lambda v, x: jnp.sum(jnp.sin(apply(v, x))), argnums=(0, 1))

    found = value_and_grad(lambda v, x: up.apply(v, x, train=train))(variables, x)
    expected = value_and_grad(linen.apply)(variables, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, expected)
    assert up.apply(variables, x, train=train).shape == (2, 2 * size[0], 2 * size[1], 4)


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
