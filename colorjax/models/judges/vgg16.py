"""VGG16 without BatchNorm (Simonyan and Zisserman 2015, configuration D): taps and classes.

Modules have the names in torchvision's vgg16 file, so `colorjax.weights.torch.features` needs no
mapping. Nothing here is trained.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax.models.blocks.convolution import Conv
from colorjax.models.judges.features import IMAGENET_MEAN, IMAGENET_STD, VGG16_STAGES

INPUT_SIZE = 224  # pixels per side, of the classifier
NUM_CLASSES = 1000
SMALLEST_SIZE = 16  # pixels per side, of the taps
_HIDDEN = 4096


class Vgg16Taps(nn.Module):
    """The convolutions of VGG16 with ReLU."""

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """Maps (N, H, W, 3), H and W at least 16, to the activations before the five pools.

        They are relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3 with 64, 128, 256, 512 and 512
        channels, at H and W divided by 1, 2, 4, 8 and 16, float32.

        Raises:
            ValueError: a photo is too small.
        """
        if min(x.shape[1:3]) < SMALLEST_SIZE:
            raise ValueError(f"x must be at least {SMALLEST_SIZE} pixels per side, got {x.shape}")
        return _taps(x)


class Vgg16(nn.Module):
    """VGG16 with its three fully connected layers.

    Attributes:
        hidden: channels of the first two, 4096 in all published files.
    """

    hidden: int = _HIDDEN

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps photos on the scale of `imagenet_normalized`, (N, 224, 224, 3), to logits (N, 1000).

        Raises:
            ValueError: the size is not 224x224.
        """
        if x.shape[1:] != (INPUT_SIZE, INPUT_SIZE, 3):
            raise ValueError(f"x must be (N, {INPUT_SIZE}, {INPUT_SIZE}, 3), got {x.shape}")
        x = nn.max_pool(_taps(x)[-1], (2, 2), (2, 2))
        x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)  # the file's order: channels first
        x = nn.relu(nn.Dense(self.hidden, name="classifier.0")(x))
        x = nn.relu(nn.Dense(self.hidden, name="classifier.3")(x))
        return nn.Dense(NUM_CLASSES, name="classifier.6")(x)


def imagenet_normalized(rgb_u8: jax.Array) -> jax.Array:
    """Returns (rgb / 255 - mean) / std with ImageNet's values: uint8 (N, H, W, 3) to float32."""
    mean, std = (jnp.asarray(v).reshape(1, 1, 1, 3) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (rgb_u8.astype(jnp.float32) / 255 - mean) / std


def _taps(x: jax.Array) -> tuple[jax.Array, ...]:
    """Returns the taps; adds the convolutions to the calling module."""
    taps, index = [], 0  # the file counts convolutions, ReLUs and pools
    for channels, layers in VGG16_STAGES:
        if taps:
            x = nn.max_pool(x, (2, 2), (2, 2))
        for _ in range(layers):
            x = nn.relu(Conv(channels, name=f"features.{index}")(x, train=False))
            index += 2
        index += 1
        taps.append(x)
    return tuple(taps)
