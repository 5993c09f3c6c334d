"""Real-Time User-Guided Image Colorization (Zhang et al. 2017): regression with color hints."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from colorjax import color
from colorjax.errors import unknown_name
from colorjax.models.blocks.added_layer import AddedLayer
from colorjax.models.blocks.convolution import Conv, UpConv, halved
from colorjax.models.blocks.portable import encoded
from colorjax.models.blocks.shapes import check_width, scaled
from colorjax.models.blocks.zhang_blocks import LIGHTNESS_SCALE, Block

LEARNS = ("both", "regression", "classification")


class Zhang17(nn.Module):
    """U-shaped network of ten blocks from lightness and hints to ab.

    34,187,027 parameters at width 1, including the class head.

    Attributes:
        width: factor on all channels except the 529 grid cells.
        mask_cent: subtracted from the hint mask: 0 for the released weights, 0.5 for those of its
            training code. A property of the weights.
        class_head: whether an auxiliary head classifies into the 529 cells of the whole grid.
        learns: which head's gradient trains the shared features: "regression" (none from the class
            head), "classification" (none from the regression head), or "both". The original trains
            with classification first, then with regression.
        dtype: of the body; the heads are float32.
        add_layer: whether an `AddedLayer` precedes the last layer, for fine-tuning.
    """

    width: float = 1.0
    mask_cent: float = 0.0
    class_head: bool = True
    learns: str = "both"
    dtype: Any = jnp.float32
    add_layer: bool = False

    inputs: ClassVar[frozenset[str]] = frozenset({"gray", "hint_ab", "hint_mask"})
    fixed_size: ClassVar[int | None] = None
    size_multiple: ClassVar[int] = 8
    reach: ClassVar[int] = 192  # radius of the receptive field in pixels
    fit: ClassVar[str] = "pad"
    head_layers: ClassVar[tuple[str, ...]] = ("head", "class_head")

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the outputs of `apply`."""
        return frozenset({"ab", "grid_logits"} if self.class_head else {"ab"})

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> dict[str, jax.Array]:
        """Predicts colors from lightness and the user's hints.

        Args:
            inputs: gray (N, H, W, 1), L / 50 - 1; hint_ab (N, H, W, 2), ab / 110 at hints, else 0;
                hint_mask (N, H, W, 1), 1 at hints, else 0. H and W are multiples of 8.
            train: whether BatchNorm uses batch statistics and updates the running ones.

        Returns:
            ab (N, H, W, 2), ab / 110; with the class head also grid_logits (N, H/4, W/4, 529).
            float32.

        Raises:
            ValueError: H or W is no multiple of 8.
        """
        gray = inputs["gray"]
        if gray.shape[1] % 8 or gray.shape[2] % 8:
            raise ValueError(f"zhang17 needs sides that are multiples of 8, got {gray.shape[1:3]}")
        c1, c2, c3, c4 = (scaled(c, self.width) for c in (64, 128, 256, 512))

        def block(number: int, x: jax.Array, *features: int, **options: Any) -> jax.Array:
            module = Block(features, dtype=self.dtype, name=f"block{number}", **options)
            return module(x, train=train)

        def joined(number: int, x: jax.Array, skip: jax.Array, features: int) -> jax.Array:
            up = UpConv(features, self.dtype, name=f"up{number}")
            short = Conv(features, dtype=self.dtype, name=f"short{number}")
            return up(x, train=train) + short(skip, train=train)

        mask = inputs["hint_mask"] - self.mask_cent
        x = jnp.concatenate([gray * LIGHTNESS_SCALE, inputs["hint_ab"], mask], axis=-1)
        x1 = block(1, x, c1, c1)
        x2 = block(2, halved(x1), c2, c2)
        x3 = block(3, halved(x2), c3, c3, c3)
        x = block(4, halved(x3), c4, c4, c4)
        x = block(5, x, c4, c4, c4, dilation=2)
        x = block(6, x, c4, c4, c4, dilation=2)
        x, x1, x2, x3 = encoded(block(7, x, c4, c4, c4), x1, x2, x3)
        x8 = block(8, joined(8, x, x3, c3), c3, c3, starts_with_relu=True)

        stop_unless = {True: lambda x: x, False: lax.stop_gradient}
        outputs = {}
        if self.class_head:
            features = stop_unless[self.learns != "regression"](x8).astype(jnp.float32)
            head = Conv(color.NUM_GRID_CELLS, 1, gain=1.0, name="class_head")
            outputs["grid_logits"] = head(features, train=train)
        stop = stop_unless[self.learns != "classification"]
        x = block(9, joined(9, stop(x8), stop(x2), c2), c2, starts_with_relu=True)
        x = joined(10, x, stop(x1), c2)
        x = block(10, x, c2, starts_with_relu=True, negative_slope=0.2, norm=False)
        x = x.astype(jnp.float32)
        if self.add_layer:
            x = AddedLayer(name="added")(x, train=train)
        # A small initial head predicts near gray instead of saturating tanh.
        head = Conv(2, 1, gain=1e-2, name="head")
        return outputs | {"ab": jnp.tanh(head(x, train=train))}


def zhang17(**options: Any) -> Zhang17:
    """Builds the network of a config's `model`.

    Raises:
        RequestError: unknown value of `learns`, or an invalid width.
        TypeError: unknown option.
    """
    net = Zhang17(**options)
    if net.learns not in LEARNS:
        raise unknown_name("model.learns", net.learns, LEARNS)
    check_width(net.width)
    return net
