"""Convolutions with explicit padding, in the fastest form for the backend.

Some gradients are slow on XLA's CPU backend. The kernel's takes up to ten times as long as the
forward pass on a CPU with AVX2 only; here it is one matrix product for each row of the kernel. On a
small map, both take up to 40 times as long; gathering patches (im2col) and one matrix product
avoids this. All forms have the same parameters and results. Other backends use XLA's convolution
and gradients.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from colorjax.models.blocks.portable import is_portable
from colorjax.models.blocks.spectral import SpectralNorm

NHWC = ("NHWC", "HWIO", "NHWC")
_IS_LOOPED = contextvars.ContextVar("is_looped", default=False)


@contextlib.contextmanager
def looped() -> Iterator[None]:
    """Traces networks within the block for the body of a loop, such as that of `lax.scan`.

    In loops XLA's CPU backend runs its convolutions many times slower, so all are patches.
    """
    token = _IS_LOOPED.set(True)
    try:
        yield
    finally:
        _IS_LOOPED.reset(token)


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    as_patches: bool = False,
) -> jax.Array:
    """Cross-correlates images with a kernel.

    Args:
        x: (N, H, W, I) float.
        kernel: (K, K, I, O) of the same type.
        stride: step between outputs.
        padding: zeros on each of the four sides; or (top and left, bottom and right).
        dilation: step between taps.
        as_patches: use im2col and one matrix product instead of XLA's convolution; ignored in
            export, always so in `looped`.

    Returns:
        (N, H', W', O) with H' = (H + 2 padding - dilation (K - 1) - 1) // stride + 1.
    """
    low, high = (padding, padding) if isinstance(padding, int) else padding
    as_patches = as_patches or (_IS_LOOPED.get() and jax.default_backend() == "cpu")
    if is_portable():
        return _xla(x, kernel, stride, (low, high), dilation)
    if not as_patches:
        run = _with_products if jax.default_backend() == "cpu" else _xla
        return run(x, kernel, stride, (low, high), dilation)
    size, _, channels, features = kernel.shape
    reach = dilation * (size - 1)
    shape = tuple((side + low + high - reach - 1) // stride + 1 for side in x.shape[1:3])
    rows = jnp.concatenate(_row_taps(x, size, stride, (low, high), dilation, shape), axis=-1)
    # A product of matrices: for the gradient of a 4-D product XLA would transpose a whole map.
    y = rows @ kernel.reshape(size * size * channels, features)
    return y.reshape(len(x), *shape, features)


def _xla(
    x: jax.Array, kernel: jax.Array, stride: int, padding: tuple[int, int], dilation: int
) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        (padding, padding),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=NHWC,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _with_products(
    x: jax.Array, kernel: jax.Array, stride: int, padding: tuple[int, int], dilation: int
) -> jax.Array:
    """XLA's convolution, with the gradient for the kernel as matrix products."""
    return _xla(x, kernel, stride, padding, dilation)


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int, padding: tuple[int, int], dilation: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _with_products(x, kernel, stride, padding, dilation), (x, kernel)


def _backward(
    stride: int,
    padding: tuple[int, int],
    dilation: int,
    saved: tuple[jax.Array, jax.Array],
    g: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    (dx,) = jax.linear_transpose(lambda x: _xla(x, kernel, stride, padding, dilation), x)(g)
    return dx, _kernel_gradient(x, g, len(kernel), stride, padding, dilation)


_with_products.defvjp(_forward, _backward)


def _kernel_gradient(
    x: jax.Array, g: jax.Array, size: int, stride: int, padding: tuple[int, int], dilation: int
) -> jax.Array:
    """Returns the kernel's gradient (K, K, I, O): dK[a, b] = sum_p x[stride p + (a, b)] g[p]^T.

    The taps of a row are gathered, then each row is one matrix product. With stride 1 the narrower
    one of x and g is gathered, since dK[a, b] = sum_q x[q] g[q - (a, b)]^T as well.
    """
    low, high = padding
    reach = dilation * (size - 1)
    channels, features = x.shape[-1], g.shape[-1]
    if stride == 1 and features < channels and low <= reach and high <= reach:
        gathered = _row_taps(g, size, 1, (reach - low, reach - high), dilation, x.shape[1:3])
        products = [x.reshape(-1, channels).T @ row for row in gathered]
        kernel = jnp.stack(products).reshape(size, channels, size, features)
        return kernel.transpose(0, 2, 1, 3)[::-1, ::-1]
    gathered = _row_taps(x, size, stride, padding, dilation, g.shape[1:3])
    products = [row.T @ g.reshape(-1, features) for row in gathered]
    return jnp.stack(products).reshape(size, size, channels, features)


def _row_taps(
    x: jax.Array,
    size: int,
    stride: int,
    padding: tuple[int, int],
    dilation: int,
    shape: tuple[int, ...],
) -> list[jax.Array]:
    """Returns, for each row of a kernel's taps, the pixels of x below it: (N H' W', K C).

    Args:
        x: (N, H, W, C).
        size: K.
        stride: step between outputs.
        padding: zeros (top and left, bottom and right).
        dilation: step between taps.
        shape: (H', W'), outputs.
    """
    x = jnp.pad(x, ((0, 0), padding, padding, (0, 0)))
    height, width = ((side - 1) * stride + 1 for side in shape)  # below one tap
    offsets = range(0, dilation * (size - 1) + 1, dilation)
    columns = [x[:, :, left : left + width : stride] for left in offsets]
    row = jnp.concatenate(columns, axis=-1)
    return [row[:, top : top + height : stride].reshape(-1, row.shape[-1]) for top in offsets]


_WIDE = 256  # channels from which patches pay on a small map
_SMALL = 10 * 10  # pixels of an output map


def _prefer_patches(train: bool, kernel_size: int, shape: tuple[int, ...], stride: int = 1) -> bool:
    """Returns whether a step, with the gradients, is faster as patches.

    Args:
        train: whether there are gradients.
        kernel_size: K.
        shape: of the input, (N, H, W, I).
        stride: of the convolution.
    """
    if not train or jax.default_backend() != "cpu":
        return False  # before any comparison: an exported network has symbolic sides
    _, height, width, channels = shape
    slow = kernel_size <= 2 or channels == 1
    small = height * width <= _SMALL * stride**2 and (stride > 1 or channels >= _WIDE)
    return slow or small


def same_padding(kernel_size: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Returns the padding (before, after) that keeps a side, or divides it by the stride.

    An odd kernel gets dilation * (K // 2) on both sides, also for stride 2, where XLA's SAME would
    shift by one. An even kernel gets SAME padding for sides that are multiples of the stride.

    >>> same_padding(3, 2), same_padding(4, 2), same_padding(4, 1)
    ((1, 1), (1, 1), (1, 2))
    """
    if kernel_size % 2:
        return dilation * (kernel_size // 2), dilation * (kernel_size // 2)
    total = dilation * (kernel_size - 1) + 1 - stride
    return total // 2, total - total // 2


def convolutions(params: Any) -> tuple[str, ...]:
    """Returns the paths of a network's convolutions, such as "body/conv1", sorted."""
    return tuple(
        sorted(
            jax.tree_util.keystr(path[:-1], simple=True, separator="/")
            for path, leaf in jax.tree_util.tree_leaves_with_path(params)
            if leaf.ndim == 4
        )
    )


def _named(layer: nn.Module, y: jax.Array) -> jax.Array:
    """Names a layer's output by its path in the network, for rematerialization policies."""
    return checkpoint_name(y, "/".join(layer.path))


class Conv(nn.Module):
    """A square convolution that keeps H and W, or divides them by the stride.

    Parameters as in `nn.Conv`: kernel (K, K, I, O), bias (O,). Zero padding from `same_padding`,
    or `padding`. With `spectral_norm` the kernel is divided by the sigma of `SpectralNorm`.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    dilation: int = 1
    dtype: Any = jnp.float32
    gain: float = 2.0  # initial ratio of output to input variance; 2: He
    kernel_init: Any = None  # initializer that replaces `gain`
    bias_init: Any = nn.initializers.zeros
    use_bias: bool = True
    padding: int | tuple[int, int] | None = None  # as in `convolve`
    spectral_norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (N, H, W, I) to (N, ceil(H / stride), ceil(W / stride), features)."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        he = nn.initializers.variance_scaling(self.gain, "fan_in", "truncated_normal")
        kernel = self.param("kernel", self.kernel_init or he, shape)
        same = same_padding(self.kernel_size, self.stride, self.dilation)
        y = convolve(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            stride=self.stride,
            padding=same if self.padding is None else self.padding,
            dilation=self.dilation,
            as_patches=_prefer_patches(train, self.kernel_size, x.shape, self.stride),
        )
        if self.spectral_norm:  # the output is divided: it is mostly smaller than the kernel
            sigma = SpectralNorm(name="spectral")(kernel, train=train)
            y = y * (1 / sigma).astype(y.dtype)
        if not self.use_bias:
            return _named(self, y)
        bias = self.param("bias", self.bias_init, (self.features,))
        return _named(self, y + bias.astype(self.dtype).reshape(1, 1, 1, -1))


class UpConv(nn.Module):
    """A transposed convolution of stride 2 with bias, 4x4 or 2x2: doubles H and W.

    Implemented in sub-pixel form: four 2x2 or 1x1 convolutions with interleaved outputs. It has the
    same parameters and values as `nn.ConvTranspose(features, (4, 4), (2, 2), "SAME")`, and its
    gradients are ordinary convolutions: out[2m + r] = sum_u kernel[2u + r] x[m + r + u - 1]; for
    2x2, out[2m + r] = kernel[r] x[m].
    """

    features: int
    dtype: Any = jnp.float32
    gain: float = 2.0  # as in Conv
    kernel_size: int = 4
    kernel_init: Any = None  # as in Conv

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (N, H, W, I) to (N, 2 H, 2 W, features)."""
        n, height, width, channels = x.shape
        half = self.kernel_size // 2  # taps per side that contribute to one output pixel
        # Only a quarter of the taps in fan_in contribute to each output pixel.
        he = nn.initializers.variance_scaling(4 * self.gain, "fan_in", "truncated_normal")
        shape = (self.kernel_size, self.kernel_size, channels, self.features)
        kernel = self.param("kernel", self.kernel_init or he, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if is_portable():
            y = _transposed(x.astype(self.dtype), kernel.astype(self.dtype))
            return _named(self, y + bias.astype(self.dtype).reshape(1, 1, 1, -1))
        if _prefer_patches(train, half, x.shape) and 4 * self.features <= channels:
            y = _scattered(x.astype(self.dtype), kernel.astype(self.dtype))
            return _named(self, y + bias.astype(self.dtype).reshape(1, 1, 1, -1))
        phases = kernel.reshape(half, 2, half, 2, channels, self.features)  # u, r, v, s, I, O
        phases = phases.transpose(0, 2, 4, 1, 3, 5).reshape(half, half, channels, -1)
        y = convolve(
            x.astype(self.dtype),
            phases.astype(self.dtype),
            padding=half - 1,
            as_patches=_prefer_patches(train, half, x.shape),
        )
        shift = half - 1  # the phases of 2x2 do not overlap
        y = y.reshape(n, height + shift, width + shift, 2, 2, self.features)
        rows = [
            jnp.stack(
                [
                    y[:, r * shift : r * shift + height, s * shift : s * shift + width, r, s]
                    for s in (0, 1)
                ],
                axis=3,
            )
            for r in (0, 1)
        ]
        y = jnp.stack(rows, axis=2).reshape(n, 2 * height, 2 * width, self.features)
        return _named(self, y + bias.astype(self.dtype).reshape(1, 1, 1, -1))


def _scattered(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the transposed convolution of stride 2 as one product and sums; see `UpConv`.

    It moves the products, K^2 O values for each input pixel, instead of patches of K^2 / 4 I
    values. On one core a step of 128 to 2 channels, 16 maps of 32x32, takes 14 ms instead of 81.
    """
    n, height, width, channels = x.shape
    size, features = len(kernel), kernel.shape[-1]
    half, shift = size // 2, size // 2 - 1
    products = x.reshape(-1, channels) @ kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
    products = products.reshape(n, height, width, half, 2, half, 2, features)  # u, r, v, s
    edges = ((0, 0), (shift, shift), (shift, shift))
    products = jnp.pad(products, (*edges, *((0, 0),) * 5))

    def phase(r: int, s: int) -> jax.Array:
        taps = [
            products[:, top : top + height, left : left + width, u, r, v, s]
            for u, top in enumerate(range(shift * r, shift * r + half))
            for v, left in enumerate(range(shift * s, shift * s + half))
        ]
        return sum(taps[1:], start=taps[0])

    rows = [jnp.stack([phase(r, 0), phase(r, 1)], axis=3) for r in (0, 1)]
    return jnp.stack(rows, axis=2).reshape(n, 2 * height, 2 * width, features)


def _transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the transposed convolution of stride 2 in one operation; see `UpConv`."""
    low = len(kernel) // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        ((low, low), (low, low)),
        lhs_dilation=(2, 2),
        dimension_numbers=NHWC,
    )


def halved(x: jax.Array) -> jax.Array:
    """Returns every second row and column of (N, H, W, C), from the first."""
    x = lax.slice_in_dim(x, 0, x.shape[1], 2, axis=1)
    return lax.slice_in_dim(x, 0, x.shape[2], 2, axis=2)


class BatchNorm(nn.Module):
    """Batch normalization over all axes except the last; float32 statistics of the global batch."""

    dtype: Any = jnp.float32
    momentum: float = 0.9  # share of the running statistics that a step keeps
    epsilon: float = 1e-5
    bias_init: Any = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool, update: bool = True) -> jax.Array:
        """Maps (..., C) to the same shape.

        Args:
            x: float.
            train: whether to normalize with the batch's statistics instead of the running ones.
            update: whether to update the running statistics; False for a second pass per step.
        """
        momentum = self.momentum if update else 1.0
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=momentum,
            epsilon=self.epsilon,
            dtype=self.dtype,
            bias_init=self.bias_init,
            name="norm",
        )(x)
