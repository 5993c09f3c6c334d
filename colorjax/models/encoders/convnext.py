"""ConvNeXt (Liu et al. 2022), version 1: an encoder that returns feature maps.

A strided stem, four stages of blocks (depthwise 7x7 convolution, LayerNorm, two dense layers, layer
scale) and a strided convolution between stages. `colorjax.weights.torch.ddcolor` has the names of
its layers in published files.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax import color
from colorjax.errors import unknown_name
from colorjax.models.blocks.depthwise import depthwise_convolve

STRIDES = (4, 8, 16, 32)  # of the feature maps
EPSILON = 1e-6  # of all LayerNorms
_KERNEL = 7  # side of the depthwise kernels
_LAYER_SCALE = 1e-6  # initial
# Blocks and channels of each stage. "convnext_test" has no published weights: for tests and first
# trials.
_STAGES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "convnext_t": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "convnext_l": ((3, 3, 27, 3), (192, 384, 768, 1536)),
    "convnext_test": ((1, 1, 2, 1), (8, 16, 24, 32)),
}
VARIANTS = tuple(_STAGES)
# Mean and standard deviation of ImageNet's sRGB in [0, 1].
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_truncated = nn.initializers.truncated_normal(0.02)  # of all kernels, as published


def stages(variant: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the number of blocks and the channels of each of the four stages.

    Raises:
        RequestError: unknown variant.

    >>> stages("convnext_t")
    ((3, 3, 9, 3), (96, 192, 384, 768))
    """
    if variant not in _STAGES:
        raise unknown_name("encoder", variant, VARIANTS)
    return _STAGES[variant]


def normalize(gray: jax.Array) -> jax.Array:
    """Returns the encoder's input for gray photos: (x - mean) / std in three channels.

    x in [0, 1] is the sRGB value of the neutral color of that lightness.

    Args:
        gray: (N, H, W, 1), L / 50 - 1 in [-1, 1], L of CIE Lab in [0, 100].

    Returns:
        (N, H, W, 3), float32.
    """
    value = color.gray_of_lightness(color.denormalize_lightness(gray.astype(jnp.float32)))
    mean, std = (jnp.asarray(x).reshape(1, 1, 1, 3) for x in (MEAN, STD))
    return (value - mean) / std


class _Patches(nn.Module):
    """A convolution whose stride is its kernel size: kernel (K, K, I, O), bias (O,).

    Written as one matrix product of disjoint patches.
    """

    features: int
    size: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (N, H, W, I) to (N, H / size, W / size, features)."""
        n, height, width, channels = x.shape
        side = self.size
        kernel = self.param("kernel", _truncated, (side, side, channels, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x = x.astype(self.dtype).reshape(n, height // side, side, width // side, side, channels)
        patches = x.transpose(0, 1, 3, 2, 4, 5)
        rows = patches.reshape(-1, side * side * channels)
        y = rows @ kernel.astype(self.dtype).reshape(-1, self.features)
        y = y + bias.astype(self.dtype).reshape(1, -1)
        return y.reshape(n, height // side, width // side, self.features)


def _norm(name: str, dtype: Any) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=EPSILON, dtype=dtype, use_fast_variance=False, name=name)


class _Block(nn.Module):
    """x + gamma * narrow(gelu(widen(norm(depthwise(x)))))."""

    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (N, H, W, C) to the same shape."""
        channels = x.shape[-1]
        shape = (_KERNEL, _KERNEL, 1, channels)
        kernel = self.param("kernel", _truncated, shape).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (channels,)).astype(self.dtype)
        gamma = self.param("gamma", nn.initializers.constant(_LAYER_SCALE), (channels,))
        pad = (_KERNEL // 2, _KERNEL // 2)
        y = depthwise_convolve(x, kernel, padding=(pad, pad)) + bias.reshape(1, 1, 1, -1)
        # Products of matrices: on a CPU, XLA takes longer for the same ones of 4-D arrays.
        y = _norm("norm", self.dtype)(y).reshape(-1, channels)
        y = nn.Dense(4 * channels, dtype=self.dtype, kernel_init=_truncated, name="widen")(y)
        y = nn.gelu(y, approximate=False)
        y = nn.Dense(channels, dtype=self.dtype, kernel_init=_truncated, name="narrow")(y)
        return x + (gamma.astype(self.dtype).reshape(1, -1) * y).reshape(x.shape)


class ConvNeXt(nn.Module):
    """ConvNeXt without a classifier: feature maps at strides 4, 8, 16 and 32.

    Modules: stem, stem_norm, down1 to down3 with down1_norm ..., stage0_block0, ..., and norm0 to
    norm3, which normalize the returned maps only. norm is that of the classifier: it has no effect
    here, and is kept because published files of colorizers contain it.

    Attributes:
        variant: "convnext_t", "convnext_l", or "convnext_test", which has no published weights.
        dtype: of the computation; parameters are float32.
    """

    variant: str = "convnext_t"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, rgb: jax.Array) -> tuple[jax.Array, ...]:
        """Computes the feature maps.

        Args:
            rgb: (N, H, W, 3), as `normalize` returns it; H and W multiples of 32.

        Returns:
            The normalized output of each stage, (N, H / s, W / s, C) at strides s = 4, 8, 16, 32.

        Raises:
            RequestError: unknown variant.
        """
        depths, widths = stages(self.variant)
        x = _Patches(widths[0], 4, self.dtype, name="stem")(rgb)
        x = _norm("stem_norm", self.dtype)(x)
        maps = []
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if stage:
                x = _norm(f"down{stage}_norm", self.dtype)(x)
                x = _Patches(width, 2, self.dtype, name=f"down{stage}")(x)
            for number in range(depth):
                x = _Block(self.dtype, name=f"stage{stage}_block{number}")(x)
            maps.append(_norm(f"norm{stage}", self.dtype)(x))
        _norm("norm", self.dtype)(jnp.mean(x, axis=(1, 2)))
        return tuple(maps)
