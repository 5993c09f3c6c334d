"""ResNet (He et al. 2016) as torchvision builds it, without pool and classifier."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax.errors import unknown_name
from colorjax.models.blocks.convolution import BatchNorm, Conv
from colorjax.models.blocks.shapes import scaled

# Blocks of the four stages, and whether a block is a bottleneck.
VARIANTS = {
    "resnet34": ((3, 4, 6, 3), False),
    "resnet101": ((3, 4, 23, 3), True),
}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
_WIDTH = 64  # channels of the stem
_EXPANSION = 4  # output channels of a bottleneck over those of its 3x3 convolution


def normalize(rgb: jax.Array) -> jax.Array:
    """Maps sRGB (N, H, W, 3) in [0, 1] to the encoder's input, by ImageNet's mean and deviation."""
    mean, std = (jnp.asarray(x).reshape(1, 1, 1, 3) for x in (_MEAN, _STD))
    return (rgb - mean) / std


def denormalize(values: jax.Array) -> jax.Array:
    """Inverts `normalize`."""
    mean, std = (jnp.asarray(x).reshape(1, 1, 1, 3) for x in (_MEAN, _STD))
    return values * std + mean


class ResNet(nn.Module):
    """ResNet: the ReLU of the stem and the output of each stage, strides 2, 4, 8, 16 and 32.

    Modules: conv, norm, stage1_block1, stage1_block2, ...; a block has conv1, norm1, conv2, ...,
    and, where the shape changes, shortcut and shortcut_norm. BatchNorm has epsilon 1e-5.

    Attributes:
        variant: a key of `VARIANTS`.
        width: factor on all channels.
        dtype: of the computation; parameters and statistics are float32.
    """

    variant: str = "resnet34"
    width: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, rgb: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Maps normalized sRGB (N, H, W, 3) to five maps (N, ceil(H / s), ceil(W / s), C).

        Raises:
            RequestError: unknown variant.
        """
        if self.variant not in VARIANTS:
            raise unknown_name("encoder", self.variant, VARIANTS)
        depths, is_bottleneck = VARIANTS[self.variant]
        stem = Conv(scaled(_WIDTH, self.width), 7, 2, use_bias=False, dtype=self.dtype, name="conv")
        x = nn.relu(BatchNorm(self.dtype, name="norm")(stem(rgb, train=train), train=train))
        maps = [x]
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage, depth in enumerate(depths, start=1):
            features = scaled(_WIDTH * 2 ** (stage - 1), self.width)
            for number in range(1, depth + 1):
                stride = 2 if stage > 1 and number == 1 else 1
                name = f"stage{stage}_block{number}"
                block = _Block(features, stride, is_bottleneck, self.dtype, name=name)
                x = block(x, train=train)
            maps.append(x)
        return tuple(maps)


class _Block(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3, 1x1, and a shortcut; the 3x3 one has the stride."""

    features: int
    stride: int
    is_bottleneck: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (N, H, W, I) to (N, ceil(H / stride), ceil(W / stride), O)."""

        def layer(x: jax.Array, name: str, norm: str, features: int, *options: int) -> jax.Array:
            conv = Conv(features, *options, use_bias=False, dtype=self.dtype, name=name)
            return BatchNorm(self.dtype, name=norm)(conv(x, train=train), train=train)

        narrow, wide = self.features, self.features
        layers = [(narrow, 3, self.stride), (wide, 3)]
        if self.is_bottleneck:
            wide *= _EXPANSION
            layers = [(narrow, 1), (narrow, 3, self.stride), (wide, 1)]
        y = x
        for number, options in enumerate(layers, start=1):
            y = layer(y, f"conv{number}", f"norm{number}", *options)
            y = nn.relu(y) if number < len(layers) else y
        if self.stride > 1 or x.shape[-1] != wide:
            x = layer(x, "shortcut", "shortcut_norm", wide, 1, self.stride)
        return nn.relu(x + y)
