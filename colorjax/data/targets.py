"""Encodes 8-bit photos as network inputs and targets, on host or device."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from colorjax import color
from colorjax.errors import RequestError, unknown_name

Array = Any  # numpy.ndarray or jax.Array


@dataclasses.dataclass(frozen=True)
class TargetEncoder:
    """Computes the gray input and the ab target from RGB.

    Attributes:
        saturation: the factor T of saturation-scaled targets (docs/papers.md); 1: true colors.
        clip: whether the scaled saturation is clipped to [0, 1].
        gray: kind of the gray input: "lightness" (L), "luma" or "mean"; see
            `colorjax.color.gray_from_rgb`.
        aged: whether the pipeline may replace the gray input of training batches by that of an aged
            photo (data.aged).
    """

    saturation: float = 1.0
    clip: bool = True
    grey: str = "lightness"
    aged: bool = False

    @property
    def gives_lightness(self) -> bool:
        """Whether `gray` of every training batch contains the true lightness."""
        return self.grey == "lightness" and not self.aged

    @classmethod
    def from_config(cls, data: ConfigDict) -> TargetEncoder:
        """Reads `config.data`; configs of earlier versions lack `gray` and `aged`.

        Raises:
            RequestError: unknown kind of gray, or a saturation below 0.
        """
        known = data.to_dict()
        gray = known.get("grey", cls.grey)
        if gray not in color.GRAY_KINDS:
            raise unknown_name("data.grey", gray, color.GRAY_KINDS)
        if not data.saturation >= 0:
            raise RequestError(f"data.saturation must be at least 0, not {data.saturation}")
        return cls(data.saturation, data.saturation_clip, gray, bool(known.get("aged")))

    def __call__(self, rgb_u8: Array) -> dict[str, Array]:
        """Encodes photos.

        Args:
            rgb_u8: (..., H, W, 3) uint8 sRGB; a NumPy or a JAX array.

        Returns:
            gray: (..., H, W, 1) float32 in [-1, 1], of the unmodified photo; L / 50 - 1 for
            "lightness";
            ab: (..., H, W, 2) float32, ab / 110 of the photo with its saturation scaled.
        """
        gray, ab = color.rgb_u8_to_normalized(rgb_u8)
        if self.grey != "lightness":
            gray = self.gray_input(rgb_u8)
        if self.saturation != 1.0:
            rgb = rgb_u8.astype(np.float32) / 255
            saturated = color.scale_saturation(rgb, self.saturation, self.clip)
            ab = color.normalize_ab(color.rgb_to_lab(saturated)[..., 1:])
        return {"gray": gray, "ab": ab}

    def gray_input(self, rgb_u8: Array) -> Array:
        """Returns only the gray input; argument and result as in `__call__`."""
        if self.grey == "lightness":
            return color.rgb_u8_to_normalized(rgb_u8)[0]
        return 2 * color.gray_from_rgb(rgb_u8.astype(np.float32) / 255, self.grey) - 1
