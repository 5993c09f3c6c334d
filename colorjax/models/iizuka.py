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
from colorjax.models.blocks.portable import encoded
from colorjax.models.blocks.shapes import UPSAMPLING, enlarge, scaled, squeezed


class Iizuka(nn.Module):
    """Local features of any size, fused with global features of a fixed size; ab at half size.

    At width 1 and global_size 224, without BatchNorm: 42,169,826 parameters, with 205 classes
    42,353,839.

    Attributes:
        width: factor on all channels.
        global_size: side in pixels, a multiple of 32, of the global branch's input; the same as in
            training. A property of the weights.
        num_classes: of the classifier on the global features; 0: no classifier; below 0: that of
            the data, resolved when training starts, no classifier until then.
        norm: whether BatchNorm follows every layer.
        activation: of convolutions, "relu" or "tanh".
        kernel_init: initialization of the kernels, "he", "glorot" or "normal"; see
            `iizuka_blocks.Style`.
        stride_padding: zeros around the input of a convolution of stride 2: "both", one on every
            side; "after", none at the top and left, as in the TensorFlow port.
        ab_range: ab units at the ends of the sigmoid; the paper's 100 clips the bluest blue.
        upsample: from half to full size: "bilinear" or "nearest".
        dtype: of the body; the outputs are float32.
        add_layer: whether an `AddedLayer` precedes the last layer, for fine-tuning.
    """

    width: float = 1.0
    global_size: int = 224
    num_classes: int = 0
    norm: bool = True
    activation: str = "relu"
    kernel_init: str = "he"
    stride_padding: str = "both"
    ab_range: float = color.AB_SCALE
    upsample: str = "bilinear"
    dtype: Any = jnp.float32
    add_layer: bool = False

    inputs: ClassVar[frozenset[str]] = frozenset({"gray", "global_gray"})
    fixed_size: ClassVar[int | None] = None
    size_multiple: ClassVar[int] = 8
    reach: ClassVar[int] = 72  # radius of the receptive field in pixels, without the global branch
    fit: ClassVar[str] = "resize"
    head_layers: ClassVar[tuple[str, ...]] = ("head",)
    feature_layers: ClassVar[tuple[str, ...]] = ("color2", "color1")

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the outputs of `apply`."""
        names = {"ab", "ab_half"}
        return frozenset(names | {"class_logits"} if self.num_classes > 0 else names)

    @property
    def style(self) -> Style:
        """Construction options of its layers."""
        return Style(
            self.width,
            self.norm,
            self.activation,
            self.kernel_init,
            self.stride_padding,
            self.dtype,
        )

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array], *, train: bool) -> dict[str, jax.Array]:
        """Predicts the colors of gray photos (section 3).

        Args:
            inputs: gray (N, H, W, 1) in [-1, 1], H and W multiples of 8; global_gray
                (N, h, w, 1), the source of the global features, of any size; default: gray.
            train: whether BatchNorm uses batch statistics and updates the running ones.

        Returns:
            ab (N, H, W, 2), ab / 110, enlarged from ab_half (N, H/2, W/2, 2); with a classifier
            class_logits (N, num_classes). float32.

        Raises:
            ValueError: H or W is no multiple of 8.
        """
        gray, style = inputs["gray"], self.style
        check_sides(gray)
        seen = squeezed(inputs.get("global_gray", gray), self.global_size)
        low_level = Convs(LOW_LEVEL, style, name="low_level")
        low = low_level(gray, train=train)
        # The same weights process the photo at both sizes; one pass is enough if these are equal.
        wide = low if seen is gray else low_level(seen, train=train, update=False)
        vector, for_classes = GlobalFeatures(style, name="global_level")(wide, train=train)
        mid = Convs(MID_LEVEL, style, name="mid_level")(low, train=train)
        fusion = ConvLayer(scaled(256, self.width), style, kernel_size=1, name="fusion")
        (x,) = encoded(fusion(fuse(vector, mid), train=train))

        x = Convs(((128, 1),), style, name="color1")(x, train=train)
        x = Convs(((64, 1), (64, 1)), style, name="color2")(enlarge(x, 2, "nearest"), train=train)
        x = Convs(((32, 1),), style, name="color3")(enlarge(x, 2, "nearest"), train=train)
        x = x.astype(jnp.float32)
        if self.add_layer:
            x = AddedLayer(name="added")(x, train=train)
        # A small initial head predicts near gray instead of saturating the sigmoid.
        head = Conv(2, gain=1e-2, name="head", **style.initializers(0.1))
        ab = 2 * nn.sigmoid(head(x, train=train)) - 1
        outputs = ab_outputs(ab, self.ab_range, self.upsample)
        if self.num_classes > 0:
            classifier = Classifier(self.num_classes, style, name="classifier")
            outputs["class_logits"] = classifier(for_classes, train=train)
        return outputs


def ab_outputs(ab: jax.Array, ab_range: float, upsample: str) -> dict[str, jax.Array]:
    """Returns ab, ab / 110 at full size, and ab_half, from ab in [-1, 1] at half size."""
    half = ab * (ab_range / color.AB_SCALE)
    return {"ab": enlarge(half, 2, upsample), "ab_half": half}


def check_output(ab_range: float, upsample: str) -> None:
    """Raises a RequestError for invalid options of the output."""
    if not ab_range > 0:
        raise RequestError(f"model.ab_range must be above 0, not {ab_range}")
    if upsample not in UPSAMPLING:
        raise unknown_name("model.upsample", upsample, UPSAMPLING)


def iizuka(**options: Any) -> Iizuka:
    """Builds the network of a config's `model`.

    Raises:
        RequestError: invalid option.
        TypeError: unknown option.
    """
    net = Iizuka(**options)
    net.style.check()
    check_global_size(net.global_size)
    check_output(net.ab_range, net.upsample)
    return net
