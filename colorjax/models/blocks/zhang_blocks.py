"""Blocks and bin head shared by the networks of Zhang et al. 2016 and 2017."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax import color
from colorjax.models.blocks.convolution import BatchNorm, Conv

LIGHTNESS_SCALE = 0.5  # gray is (L - 50) / 50; these networks expect (L - 50) / 100


class Block(nn.Module):
    """Convolutions, each followed by ReLU, and a final BatchNorm.

    Attributes:
        features: channels of each convolution.
        stride: of the last convolution.
        dilation: of all convolutions.
        starts_with_relu: apply ReLU to the input, for a sum of two branches.
        negative_slope: of the last activation; 0: ReLU.
        norm: whether BatchNorm ends the block.
        dtype: of the computation.
    """

    features: Sequence[int]
    stride: int = 1
    dilation: int = 1
    starts_with_relu: bool = False
    negative_slope: float = 0.0
    norm: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (N, H, W, I) to (N, ceil(H / stride), ceil(W / stride), features[-1])."""
        if self.starts_with_relu:
            x = nn.relu(x)
        for number, features in enumerate(self.features, start=1):
            is_last = number == len(self.features)
            stride = self.stride if is_last else 1
            conv = Conv(
                features,
                stride=stride,
                dilation=self.dilation,
                dtype=self.dtype,
                name=f"conv{number}",
            )
            x = conv(x, train=train)
            x = nn.leaky_relu(x, self.negative_slope if is_last else 0.0)
        return BatchNorm(self.dtype, name="norm")(x, train=train) if self.norm else x


class BinHead(nn.Module):
    """Logits over the 313 bins, and their annealed mean color.

    Attributes:
        temperature: T of the annealed mean.
        folded_temperature: T already included in the last layer's weights: 1 for networks trained
            here, 0.38 for the published Zhang 2016 weights. Logits are scaled by
            folded_temperature / temperature before the softmax.
    """

    temperature: float = 0.38
    folded_temperature: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        """Maps features (N, H, W, I) to float32 outputs.

        Returns:
            logits: (N, H, W, 313), output of the last layer;
            bin_logits: logits times the folded temperature; their softmax is the learned
                distribution;
            ab: (N, H, W, 2), ab / 110, the annealed mean.
        """
        logits = Conv(color.NUM_BINS, 1, gain=1.0, name="logits")(
            x.astype(jnp.float32), train=train
        )
        centers = self.param("centers", lambda _: jnp.asarray(color.ab_bins() / 110, jnp.float32))
        bin_logits = logits * self.folded_temperature
        # The bin centers are frozen, as in the published network.
        ab = color.annealed_mean(bin_logits, self.temperature, jax.lax.stop_gradient(centers))
        return {"logits": logits, "bin_logits": bin_logits, "ab": ab}
