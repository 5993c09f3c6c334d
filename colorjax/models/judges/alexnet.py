"""The convolutions of AlexNet in torchvision's form (Krizhevsky 2014), for LPIPS.

Modules bear the names of torchvision's file alexnet, so that `colorjax.weights.torch.features`
needs no table. Nothing here is trained.
"""

from __future__ import annotations

import flax.linen as nn
import jax

from colorjax.models.blocks.convolution import Conv

SMALLEST_SIZE = 31  # pixels a side, below which no pixel is left after the second pool

# Place in the file, channels, side of the kernel; a pool stands before the second and the third.
_LAYERS = ((3, 192, 5), (6, 384, 3), (8, 256, 3), (10, 256, 3))
_POOLED = (3, 6)


class AlexNetTaps(nn.Module):
    """Five convolutions with ReLU."""

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """Maps (N, H, W, 3), H and W at least 31, to the five activations, float32.

        They have 64, 192, 384, 256 and 256 channels; at 64 pixels a side 15, 7, 3, 3 and 3 pixels.

        Raises:
            ValueError: smaller photos.
        """
        if min(x.shape[1:3]) < SMALLEST_SIZE:
            raise ValueError(f"x must be at least {SMALLEST_SIZE} pixels a side, got {x.shape}")
        x = nn.relu(Conv(64, 11, 4, padding=2, name="features.0")(x, train=False))
        taps = [x]
        for index, channels, kernel_size in _LAYERS:
            if index in _POOLED:
                x = nn.max_pool(x, (3, 3), (2, 2))
            x = nn.relu(Conv(channels, kernel_size, name=f"features.{index}")(x, train=False))
            taps.append(x)
        return tuple(taps)
