"""Channel counts and sizes: scaled widths, and resizing of feature maps."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.portable import is_portable

CHANNELS_MULTIPLE = 8
UPSAMPLING = ("bilinear", "nearest")


def scaled(channels: int, width: float) -> int:
    """Returns a channel count times the width, a multiple of 8, at least 8.

    >>> scaled(512, 1.0), scaled(64, 0.2)
    (512, 16)
    """
    return max(CHANNELS_MULTIPLE, round(channels * width / CHANNELS_MULTIPLE) * CHANNELS_MULTIPLE)


def check_width(width: float) -> None:
    """Raises a RequestError unless the factor on all channels is above 0."""
    if not width > 0:
        raise RequestError(f"model.width must be above 0, not {width}")


def enlarge(x: jax.Array, factor: int, method: str = "bilinear") -> jax.Array:
    """Resizes (N, H, W, C) to (N, factor H, factor W, C), corners not aligned.

    Args:
        x: float.
        factor: at least 1.
        method: "bilinear" or "nearest".

    Raises:
        RequestError: unknown method.
    """
    n, height, width, channels = x.shape
    if method not in UPSAMPLING:
        raise unknown_name("model.upsample", method, UPSAMPLING)
    if is_portable() and factor > 1:
        return (_enlarged_bilinear if method == "bilinear" else _enlarged_nearest)(x, factor)
    if method == "bilinear":
        return jax.image.resize(x, (n, factor * height, factor * width, channels), "linear")
    return _repeated(x, factor)


def enlarge_to(x: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """Resizes (N, H, W, C) bilinearly to `size`, as `jax.image.resize`; no smaller in export."""
    factor = size[0] // x.shape[1] if is_portable() else 0
    if factor and size == (factor * x.shape[1], factor * x.shape[2]):
        return enlarge(x, factor)
    return jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), "linear")


def _repeated(x: jax.Array, factor: int) -> jax.Array:
    n, height, width, channels = x.shape
    # Repeats pixels, so the gradient is a sum; jax.image.resize would gather and scatter.
    shape = (n, height, factor, width, factor, channels)
    repeated = jnp.broadcast_to(x[:, :, None, :, None, :], shape)
    return repeated.reshape(n, factor * height, factor * width, channels)


# The names of these two are how export knows them.
@functools.partial(jax.jit, static_argnames="factor")
def _enlarged_nearest(x: jax.Array, factor: int) -> jax.Array:
    return _repeated(x, factor)


@functools.partial(jax.jit, static_argnames="factor")
def _enlarged_bilinear(x: jax.Array, factor: int) -> jax.Array:
    """Enlarges bilinearly without a matrix whose size depends on that of the photo."""
    for axis in (1, 2):
        x = _enlarged_axis(x, factor, axis)
    return x


def _enlarged_axis(x: jax.Array, factor: int, axis: int) -> jax.Array:
    edges = [(0, 0)] * x.ndim
    edges[axis] = (1, 1)
    padded = jnp.pad(x, edges, mode="edge")
    side = x.shape[axis]
    near = [
        jax.lax.slice_in_dim(padded, first, first + side, axis=axis) for first in (0, 1, 2)
    ]  # the neighbor before, the element itself, the neighbor after
    parts = []
    for phase in range(factor):
        shift = (phase + 0.5) / factor - 0.5  # from the element's center
        low = math.floor(shift)
        share = shift - low
        parts.append((1 - share) * near[low + 1] + share * near[low + 2 if share else low + 1])
    shape = list(x.shape)
    shape[axis] = factor * side
    return jnp.stack(parts, axis=axis + 1).reshape(shape)


def squeezed(x: jax.Array, size: int) -> jax.Array:
    """Resizes (N, H, W, C) bilinearly to (N, size, size, C), with antialiasing when it shrinks.

    Returns `x` itself if it has that size, so callers can test with `is`.
    """
    if x.shape[1:3] == (size, size):
        return x
    return jax.image.resize(x, (x.shape[0], size, size, x.shape[-1]), "linear")


def padded(name: str, x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Pads an input (N, H, W, C) at the bottom and right: gray with its edge, others with 0."""
    if x.shape[1:3] == size:
        return x
    down, right = (wanted - side for wanted, side in zip(size, x.shape[1:3], strict=True))
    mode = "edge" if name == "gray" else "constant"
    return jnp.pad(x, ((0, 0), (0, down), (0, right), (0, 0)), mode=mode)


def resized(name: str, x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Resizes an input (N, H, W, C) bilinearly; ignores its name."""
    del name
    if x.shape[1:3] == size:
        return x
    return jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), "linear")
