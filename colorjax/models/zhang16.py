"""Colorful Image Colorization (Zhang, Isola and Efros 2016): colorization as classification."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.added_layer import AddedLayer
from colorjax.models.blocks.convolution import Conv, UpConv
from colorjax.models.blocks.portable import encoded
from colorjax.models.blocks.shapes import check_width, enlarge, scaled
from colorjax.models.blocks.zhang_blocks import LIGHTNESS_SCALE, BinHead, Block

# Of each of the seven blocks: channels of the convolutions, stride of the last one, dilation.
_BLOCKS = (
    ((64, 64), 2, 1),
    ((128, 128), 2, 1),
    ((256, 256, 256), 2, 1),
    ((512, 512, 512), 1, 1),
    ((512, 512, 512), 1, 2),
    ((512, 512, 512), 1, 2),
    ((512, 512, 512), 1, 1),
)


class Zhang16(nn.Module):
    """Eight blocks of convolutions, two of them dilated, and a head at a quarter of the size.

    32,236,011 parameters at width 1. As in the released network, the output size is rounded up to
    a multiple of 8.

    Attributes:
        width: factor on all channels except the 313 bins.
        head: "bins": logits over the bins and their annealed mean; "ab": two linear channels, for
            the paper's L2 baseline.
        temperature: as in `BinHead`.
        folded_temperature: as in `BinHead`.
        dtype: of the body; the head is float32.
        add_layer: whether an `AddedLayer` precedes the last layer, for fine-tuning.
    """

    width: float = 1.0
    head: str = "bins"
    temperature: float = 0.38
    folded_temperature: float = 1.0
    dtype: Any = jnp.float32
    add_layer: bool = False

    inputs: ClassVar[frozenset[str]] = frozenset({"gray"})
    fixed_size: ClassVar[int | None] = None
    size_multiple: ClassVar[int] = 8
    reach: ClassVar[int] = 192  # radius of the receptive field in pixels
    fit: ClassVar[str] = "pad"
    head_layers: ClassVar[tuple[str, ...]] = ("head",)
    feature_layers: ClassVar[tuple[str, ...]] = ("block8",)  # adding block7 loses 1 dB at 5 hints

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the outputs of `apply`."""
        return frozenset({"ab"} if self.head == "ab" else {"ab", "logits", "bin_logits"})

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> dict[str, jax.Array]:
        """Predicts colors from lightness.

        Args:
            inputs: gray (N, H, W, 1), L / 50 - 1.
            train: whether BatchNorm uses batch statistics and updates the running ones.

        Returns:
            ab (N, 8 ceil(H / 8), 8 ceil(W / 8), 2), ab / 110, enlarged by 4; with the head
            "bins" also logits and bin_logits (N, 2 ceil(H / 8), 2 ceil(W / 8), 313). float32.
        """
        x = inputs["gray"] * LIGHTNESS_SCALE
        for number, (channels, stride, dilation) in enumerate(_BLOCKS, start=1):
            features = [scaled(c, self.width) for c in channels]
            block = Block(features, stride, dilation, dtype=self.dtype, name=f"block{number}")
            x = block(x, train=train)
        (x,) = encoded(x)
        features = scaled(256, self.width)
        x = nn.relu(UpConv(features, self.dtype, name="up8")(x, train=train))
        x = Block([features] * 2, norm=False, dtype=self.dtype, name="block8")(x, train=train)
        x = x.astype(jnp.float32)
        if self.add_layer:
            x = AddedLayer(name="added")(x, train=train)
        if self.head == "ab":
            # A small initial head predicts near gray.
            head = Conv(2, 1, gain=1e-2, name="head")
            return {"ab": enlarge(head(x, train=train), 4)}
        outputs = BinHead(self.temperature, self.folded_temperature, name="head")(x, train=train)
        return outputs | {"ab": enlarge(outputs["ab"], 4)}


def zhang16(**options: Any) -> Zhang16:
    """Builds the network of a config's `model`.

    Raises:
        RequestError: unknown head, or an invalid width or temperature.
        TypeError: unknown option.
    """
    net = Zhang16(**options)
    if net.head not in ("bins", "ab"):
        raise unknown_name("model.head", net.head, ("bins", "ab"))
    check_width(net.width)
    if not (net.temperature >= 0 and net.folded_temperature > 0):
        raise RequestError(
            "model.temperature must be at least 0 and model.folded_temperature above 0, not "
            f"{net.temperature} and {net.folded_temperature}"
        )
    return net
