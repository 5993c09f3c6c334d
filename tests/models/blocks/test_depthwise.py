import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from colorjax.models.blocks import depthwise
from colorjax.models.blocks.depthwise import depthwise_convolve


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def value_and_gradients(x, kernel, g, **options):
    @jax.jit
    def run(x, kernel, g):
        y, pull_back = jax.vjp(lambda x, k: depthwise_convolve(x, k, **options), x, kernel)
        return y, *pull_back(g)

    return run(x, kernel, g)


@pytest.mark.parametrize(
    ("sides", "size", "stride", "padding"),
    [
        ((8, 8), 3, 1, ((1, 1), (1, 1))),
        ((8, 8), 3, 2, ((0, 1), (0, 1))),
        ((9, 6), 5, 2, ((2, 2), (1, 2))),
        ((7, 10), 5, 1, ((2, 2), (2, 2))),
        ((7, 8), 3, 2, ((0, 0), (0, 0))),  # the last column is unused
        ((1, 2), 5, 2, ((2, 2), (1, 2))),  # smaller than the kernel
    ],
)
def test_values_and_gradients_equal_pytorchs(sides, size, stride, padding):
    x, kernel = draw(2, *sides, 3), draw(size, size, 1, 3, seed=1)
    (top, bottom), (left, right) = padding
    theirs = torch.from_numpy(np.array(x).transpose(0, 3, 1, 2)).requires_grad_()
    weight = torch.from_numpy(np.array(kernel).transpose(3, 2, 0, 1)).requires_grad_()
    padded = torch.nn.functional.pad(theirs, (left, right, top, bottom))
    y = torch.nn.functional.conv2d(padded, weight, stride=stride, groups=3)
    g = draw(2, y.shape[2], y.shape[3], 3, seed=2)
    y.backward(torch.from_numpy(np.array(g).transpose(0, 3, 1, 2)))
    expected = (
        y.detach().numpy().transpose(0, 2, 3, 1),
        theirs.grad.numpy().transpose(0, 2, 3, 1),
        weight.grad.numpy().transpose(2, 3, 1, 0),
    )
    for as_shifts in (True, False):
        options = {"stride": stride, "padding": padding, "as_shifts": as_shifts}
        for one, other in zip(value_and_gradients(x, kernel, g, **options), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_blocks_of_rows_add_up(rows, monkeypatch):
    """Seven rows of output do not divide into blocks of two or three."""
    x, kernel, g = draw(2, 14, 6, 3), draw(5, 5, 1, 3, seed=1), draw(2, 7, 3, 3, seed=2)
    options = {"stride": 2, "padding": ((1, 2), (1, 2))}
    expected = value_and_gradients(x, kernel, g, as_shifts=False, **options)
    monkeypatch.setattr(depthwise, "_BLOCK", rows * 2 * 3 * 3)
    actual = value_and_gradients(x, kernel, g, as_shifts=True, **options)
    np.testing.assert_allclose(actual[2], expected[2], atol=2e-5)


def test_bfloat16_stays_and_its_kernel_gradient_is_summed_in_float32():
    x, kernel, g = (
        jnp.ones(shape, jnp.bfloat16) for shape in ((4, 16, 16, 2), (3, 3, 1, 2), (4, 16, 16, 2))
    )
    actual = value_and_gradients(x, kernel, g, padding=((1, 1), (1, 1)), as_shifts=True)
    assert [array.dtype for array in actual] == [jnp.bfloat16] * 3
    assert actual[0][0, 5, 5, 0] == 9
    assert actual[2][1, 1, 0, 0] == 4 * 16 * 16  # bfloat16 sums would stop at 256


def test_recomputed_and_on_several_devices():
    x, kernel = draw(4, 6, 6, 3), draw(3, 3, 1, 3, seed=1)

    def loss(kernel, x):
        conv = jax.checkpoint(
            lambda x, k: depthwise_convolve(x, k, padding=((1, 1), (1, 1)), as_shifts=True)
        )
        return jnp.sum(jnp.sin(conv(x, kernel)))

    expected = jax.grad(loss, argnums=(0, 1))(kernel, x)
    mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
    spread = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    actual = jax.jit(jax.grad(loss, argnums=(0, 1)))(kernel, spread)
    assert len(actual[1].sharding.device_set) == 4
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), actual, expected)


def test_the_cpu_takes_shifts_and_others_xlas_convolution(monkeypatch):
    x, kernel = draw(1, 4, 4, 3), draw(3, 3, 1, 3)

    def primitives():
        return str(jax.make_jaxpr(lambda x, k: depthwise_convolve(x, k))(x, kernel))

    assert "conv_general_dilated" not in primitives()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "conv_general_dilated" in primitives()
