"""Channel counts and sizes: scaled widths, and resizing of feature maps."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from colorjax.errors import RequestError, unknown_name

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
    if method == "bilinear":
        return jax.image.resize(x, (n, factor * height, factor * width, channels), "linear")
    # Repeats pixels, so the gradient is a sum; jax.image.resize would gather and scatter.
    shape = (n, height, factor, width, factor, channels)
    repeated = jnp.broadcast_to(x[:, :, None, :, None, :], shape)
    return repeated.reshape(n, factor * height, factor * width, channels)


def squeezed(x: jax.Array, size: int) -> jax.Array:
    """Resizes (N, H, W, C) bilinearly to (N, size, size, C), with antialiasing when it shrinks.

    Returns `x` itself if it has that size, so callers can test with `is`.
    """
    if x.shape[1:3] == (size, size):
        return x
    return jax.image.resize(x, (x.shape[0], size, size, x.shape[-1]), "linear")


def padded(name: str, x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Pads an input (N, H, W, C) at the bottom and right: gray with its edge, others with 0."""
    down, right = (wanted - side for wanted, side in zip(size, x.shape[1:3], strict=True))
    mode = "edge" if name == "gray" else "constant"
    return jnp.pad(x, ((0, 0), (0, down), (0, right), (0, 0)), mode=mode)


def resized(name: str, x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Resizes an input (N, H, W, C) bilinearly; ignores its name."""
    del name
    return jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), "linear")
