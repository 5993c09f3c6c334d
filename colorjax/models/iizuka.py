"""Let there be Color! (Iizuka, Simo-Serra and Ishikawa 2016): joint global and local features."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from colorjax import color
from colorjax.errors import RequestError, unknown_name
from colorjax.models.blocks.added_layer import AddedLayer
from colorjax.models.blocks.convolution import Conv
from colorjax.models.blocks.iizuka_blocks import (
    LOW_LEVEL,
    MID_LEVEL,
    Classifier,
    ConvLayer,
    Convs,
    GlobalFeatures,
    Style,
    check_global_size,
    check_sides,
    fuse,
)
from colorjax.models.blocks.shapes import UPSAMPLING, enlarge, scaled, squeezed


class Iizuka(nn.Module):
    """Local features of any size, fused with global ones of a fixed size; colours at half size.

    At width 1 and global_size 224, without BatchNorm: 42,169,826 parameters, with 205 classes
    42,353,839.

    Attributes:
        width: factor on all channels.
        global_size: side in pixels, a multiple of 32, at which the global branch sees the photo:
            that of training. A property of the weights.
        num_classes: of the classifier on the global features; 0: none; below 0: as many as the
            data has, settled when training starts, none until then.
        norm: whether BatchNorm follows every layer.
        activation: of convolutions, "relu" or "tanh".
        kernel_init: start of the kernels, "he", "glorot" or "normal"; see `iizuka_blocks.Style`.
        ab_range: what the ends of the sigmoid stand for, in ab units; the paper's 100 cuts the
            bluest blue off.
        upsample: from half to full size, "bilinear" or "nearest".
        dtype: of the body; the outputs are float32.
        add_layer: whether an `AddedLayer` stands before the last one, for fine-tuning.
    """

    width: float = 1.0
    global_size: int = 224
    num_classes: int = 0
    norm: bool = True
    activation: str = "relu"
    kernel_init: str = "he"
    ab_range: float = color.AB_SCALE
    upsample: str = "bilinear"
    dtype: Any = jnp.float32
    add_layer: bool = False

    inputs: ClassVar[frozenset[str]] = frozenset({"grey", "global_grey"})
    fixed_size: ClassVar[int | None] = None
    size_multiple: ClassVar[int] = 8
    reach: ClassVar[int] = 72  # pixels that far away can change a colour; the global branch aside
    fit: ClassVar[str] = "resize"
    head_layers: ClassVar[tuple[str, ...]] = ("head",)
    feature_layers: ClassVar[tuple[str, ...]] = ("color2", "color1")

    can_classify: ClassVar[bool] = True

    @property
    def outputs(self) -> frozenset[str]:
        """Names of what `apply` returns."""
        names = {"ab", "ab_half"}
        return frozenset(names | {"class_logits"} if self.num_classes > 0 else names)

    @property
    def style(self) -> Style:
        """How its layers are made."""
        return Style(self.width, self.norm, self.activation, self.kernel_init, self.dtype)

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> dict[str, jax.Array]:
        """Colours grey photos (section 3).

        Args:
            inputs: grey (N, H, W, 1) in [-1, 1], H and W multiples of 8; global_grey
                (N, h, w, 1), whose global features are used: any size, left out: grey itself.
            train: whether BatchNorm uses the batch, and moves its statistics.

        Returns:
            ab (N, H, W, 2), ab / 110, enlarged from ab_half (N, H/2, W/2, 2); with a classifier
            class_logits (N, num_classes). float32.

        Raises:
            ValueError: H or W is no multiple of 8.
        """
        grey, style = inputs["grey"], self.style
        check_sides(grey)
        seen = squeezed(inputs.get("global_grey", grey), self.global_size)
        low_level = Convs(LOW_LEVEL, style, name="low_level")
        low = low_level(grey, train=train)
        # The same weights see the photo at both sizes; where these are one, so is the pass.
        wide = low if seen is grey else low_level(seen, train=train, update=False)
        vector, for_classes = GlobalFeatures(style, name="global_level")(wide, train=train)
        mid = Convs(MID_LEVEL, style, name="mid_level")(low, train=train)
        fusion = ConvLayer(scaled(256, self.width), style, kernel_size=1, name="fusion")
        x = fusion(fuse(vector, mid), train=train)

        x = Convs(((128, 1),), style, name="color1")(x, train=train)
        x = Convs(((64, 1), (64, 1)), style, name="color2")(enlarge(x, 2, "nearest"), train=train)
        x = Convs(((32, 1),), style, name="color3")(enlarge(x, 2, "nearest"), train=train)
        x = x.astype(jnp.float32)
        if self.add_layer:
            x = AddedLayer(name="added")(x, train=train)
        # A head that starts small predicts near grey, instead of the ends of the sigmoid.
        head = Conv(2, gain=1e-2, name="head", **style.starts(0.1))
        ab = 2 * nn.sigmoid(head(x, train=train)) - 1
        found = ab_outputs(ab, self.ab_range, self.upsample)
        if self.num_classes > 0:
            classifier = Classifier(self.num_classes, style, name="classifier")
            found["class_logits"] = classifier(for_classes, train=train)
        return found


def ab_outputs(ab: jax.Array, ab_range: float, upsample: str) -> dict[str, jax.Array]:
    """Returns ab, ab / 110 at full size, and ab_half, from ab in [-1, 1] at half size."""
    half = ab * (ab_range / color.AB_SCALE)
    return {"ab": enlarge(half, 2, upsample), "ab_half": half}


def check_output(ab_range: float, upsample: str) -> None:
    """Raises a RequestError for options of the output that mean nothing."""
    if not ab_range > 0:
        raise RequestError(f"model.ab_range is above 0, not {ab_range}")
    if upsample not in UPSAMPLING:
        raise unknown_name("model.upsample", upsample, UPSAMPLING)


def iizuka(**options: Any) -> Iizuka:
    """Builds the network of a config's `model`.

    Raises:
        RequestError: an option that means nothing.
        TypeError: unknown option.
    """
    net = Iizuka(**options)
    net.style.check()
    check_global_size(net.global_size)
    check_output(net.ab_range, net.upsample)
    return net
