"""The convolutions of AlexNet in torchvision's form (Krizhevsky 2014), for LPIPS.

Modules have the names in torchvision's alexnet file, so `colorjax.weights.torch.features` needs no
mapping. Nothing here is trained.
"""

from __future__ import annotations

import flax.linen as nn
import jax

from colorjax.models.blocks.convolution import Conv

SMALLEST_SIZE = 31  # pixels per side; with less, the second pool has no output

# Index in the file, channels, kernel size; a pool precedes each of the first two.
_LAYERS = ((3, 192, 5), (6, 384, 3), (8, 256, 3), (10, 256, 3))
_POOLED = (3, 6)


class AlexNetTaps(nn.Module):
    """Five convolutions with ReLU."""

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """Maps (N, H, W, 3), H and W at least 31, to the five activations, float32.

        They have 64, 192, 384, 256 and 256 channels; for 64 px input, sides of 15, 7, 3, 3 and 3.

        Raises:
            ValueError: a photo is too small.
        """
        if min(x.shape[1:3]) < SMALLEST_SIZE:
            raise ValueError(f"x must be at least {SMALLEST_SIZE} pixels per side, got {x.shape}")
        x = nn.relu(Conv(64, 11, 4, padding=2, name="features.0")(x, train=False))
        taps = [x]
        for index, channels, kernel_size in _LAYERS:
            if index in _POOLED:
                x = nn.max_pool(x, (3, 3), (2, 2))
            x = nn.relu(Conv(channels, kernel_size, name=f"features.{index}")(x, train=False))
            taps.append(x)
        return tuple(taps)
