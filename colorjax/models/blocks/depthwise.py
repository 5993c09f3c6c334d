"""Depthwise convolution: one kernel for each channel.

On XLA's CPU backend a grouped convolution is about ten times slower than the same sum written as
shifted multiply-adds; automatic differentiation of that sum is slow again. So the CPU form has a
custom gradient. Both forms have the same parameters and results. On other backends XLA's grouped
convolution is faster.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from colorjax.models.blocks.convolution import NHWC
from colorjax.models.blocks.portable import is_portable

_BLOCK = 2**16  # elements in a block of rows: 256 kB
Padding = tuple[tuple[int, int], tuple[int, int]]  # zeros: (top, bottom), (left, right)


def depthwise_convolve(
    x: jax.Array,
    kernel: jax.Array,
    *,
    stride: int = 1,
    padding: Padding = ((0, 0), (0, 0)),
    as_shifts: bool | None = None,
) -> jax.Array:
    """Cross-correlates each channel of images with its own kernel.

    y[m, n, c] = sum_ij kernel[i, j, 0, c] x[stride m + i - top, stride n + j - left, c].

    Args:
        x: (N, H, W, C) float.
        kernel: (K, K, 1, C) of the same type, as `nn.Conv(C, feature_group_count=C)` holds it.
        stride: step between outputs.
        padding: zeros at the (top, bottom) and (left, right), at most K - 1 each.
        as_shifts: use a sum of shifted products with a custom gradient instead of XLA's grouped
            convolution; default: on a CPU backend, unless traced for export.

    Returns:
        (N, H', W', C) of the same type, H' = (H + top + bottom - K) // stride + 1.
    """
    if as_shifts is None:
        as_shifts = jax.default_backend() == "cpu" and not is_portable()
    if as_shifts:
        return _shifted(x, kernel, stride, padding)
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=NHWC,
        feature_group_count=x.shape[-1],
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _shifted(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    return _sum_of_shifts(_padded(x, padding), kernel, stride)


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _shifted(x, kernel, stride, padding), (x, kernel)


def _backward(
    stride: int, padding: Padding, saved: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    size = kernel.shape[0]
    dilated = [
        (size - 1 - low, side + low - 1 - stride * (steps - 1), stride - 1)
        for side, steps, (low, _) in zip(x.shape[1:3], g.shape[1:3], padding, strict=True)
    ]
    zero = jnp.zeros((), g.dtype)
    spread = lax.pad(g, zero, ((0, 0, 0), *dilated, (0, 0, 0)))
    dx = _sum_of_shifts(spread, kernel[::-1, ::-1], 1)
    return dx, _kernel_gradient(_padded(x, padding), g, size, stride).astype(kernel.dtype)


_shifted.defvjp(_forward, _backward)


def _padded(x: jax.Array, padding: Padding) -> jax.Array:
    return jnp.pad(x, ((0, 0), *padding, (0, 0)))


def _sum_of_shifts(padded: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Returns the convolution without padding, as a sum that XLA fuses into one loop."""
    size = kernel.shape[0]
    rows, columns = (
        (side - size) // stride * stride + 1 for side in padded.shape[1:3]
    )  # covered by one tap
    y = jnp.zeros((), padded.dtype)
    for top in range(size):
        for left in range(size):
            seen = padded[:, top : top + rows : stride, left : left + columns : stride]
            y = y + seen * kernel[top, left].reshape(1, 1, 1, -1)
    return y


def _kernel_gradient(padded: jax.Array, g: jax.Array, size: int, stride: int) -> jax.Array:
    """Returns the kernel's gradient (K, K, 1, C): for each tap the sum of its products with g.

    Rows are processed in blocks that fit in the cache. A loop over the taps is as fast as unrolled
    code and compiles in a quarter of the time.
    """
    n, height, width, features = g.shape
    blocks = math.ceil(height / max(1, _BLOCK // (n * width * features)))
    rows = math.ceil(height / blocks)
    missing = blocks * rows - height  # rows of zeros add nothing
    g = jnp.pad(g, ((0, 0), (0, missing), (0, 0), (0, 0)))
    padded = jnp.pad(padded, ((0, 0), (0, missing * stride), (0, 0), (0, 0)))
    ones = jnp.ones(n * rows * width, jnp.float32)
    span = ((rows - 1) * stride + 1, (width - 1) * stride + 1)  # covered by one tap

    def add_block(block: jax.Array, total: jax.Array) -> jax.Array:
        first = block * rows
        g_rows = lax.dynamic_slice_in_dim(g, first, rows, axis=1)
        x_rows = lax.dynamic_slice_in_dim(padded, first * stride, span[0] + size - 1, axis=1)
        x_rows, g_rows = x_rows.astype(jnp.float32), g_rows.astype(jnp.float32)

        def of_tap(tap: jax.Array) -> jax.Array:
            corner = (0, tap // size, tap % size, 0)
            seen = lax.dynamic_slice(x_rows, corner, (n, *span, features))
            products = seen[:, ::stride, ::stride] * g_rows
            # XLA vectorizes a product with ones, but not a sum fused with its operands.
            return ones @ products.reshape(-1, features)

        return total + lax.map(of_tap, jnp.arange(size * size))

    zeros = jnp.zeros((size * size, features), jnp.float32)
    return lax.fori_loop(0, blocks, add_block, zeros).reshape(size, size, 1, features)
