"""The working size: the size at which a network predicts the colors of a photo."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from colorjax.errors import RequestError, unknown_name
from colorjax.inference.planes import Inputs, Size

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from colorjax.inference.engines.engine import Facts

ASPECTS = ("short", "long", "squash", "pad_square")
_MAX_OWN_PIXELS = 2**22  # limit of the photo's own size as working size: memory grows with it
MAX_SIDE = 2**11  # limit of a given working size, the square root of the former
_MAX_ASPECT = 4  # maximum ratio of long to short side of the working size
_BUCKETS = 8  # the long side is a multiple of short side / 8, so that a folder has few shapes
OWN = "own"  # working size: the photo's own size


@dataclasses.dataclass(frozen=True)
class WorkingSize:
    """The size at which a network predicts the colors of a photo.

    Attributes:
        side: length of the side that `aspect` names, in pixels; 0: the photo's own size, up to
            `_MAX_OWN_PIXELS`.
        multiple: both sides are multiples of this, in pixels.
        is_fixed: whether the network takes only squares of this side.
        aspect: which side of a photo becomes `side`; see `Colorizer.load`.
    """

    side: int
    multiple: int
    is_fixed: bool
    aspect: str = "short"

    @classmethod
    def from_config(
        cls,
        config: ConfigDict,
        facts: Facts,
        size: int | str | None = None,
        aspect: str | None = None,
    ) -> WorkingSize:
        """Returns the working size from `size`, else `inference.size`, else `data.image_size`.

        The aspect is `aspect`, else `inference.aspect`, which configs of earlier versions lack.

        Raises:
            RequestError: the size is negative, 0, not a number or above `MAX_SIDE`, the network
                has a fixed size, or the aspect is unknown.
        """
        fixed = facts.fixed_size
        aspect = aspect or config.inference.get("aspect", "short")
        if aspect not in ASPECTS:
            raise unknown_name("aspect", aspect, ASPECTS)
        if size is not None and fixed:
            raise RequestError(f"these weights work only at {fixed}x{fixed} px; leave the size out")
        is_side = isinstance(size, int | np.integer) and not isinstance(size, bool) and size > 0
        if size is not None and size != OWN and not is_side:
            raise RequestError(f"size must be a number of pixels above 0, or {OWN!r}, not {size!r}")
        side = size or config.inference.size or config.data.image_size
        if side != OWN and not 0 <= side <= MAX_SIDE:
            name = "inference.size of these weights" if size is None else "size"
            raise RequestError(f"{name} must be from 0 to {MAX_SIDE} pixels, not {side}")
        side = 0 if side == OWN else int(side)
        if fixed and aspect != "pad_square":
            aspect = "squash"
        return cls(fixed or side, facts.size_multiple, bool(fixed), aspect)

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Returns the working (height, width) of a photo, in pixels, before `pad`.

        To keep shapes and compilations few, sides are multiples of `multiple`, and the side that
        follows from the aspect is a multiple of about `side` / 8.

        >>> WorkingSize(64, 4, is_fixed=False).of(3000, 4000)
        (64, 88)
        """
        if not self.side:
            scale = min(1.0, (_MAX_OWN_PIXELS / (height * width)) ** 0.5)
            return self._rounded(height * scale), self._rounded(width * scale)
        side = self._rounded(self.side)
        if self.aspect == "squash":
            return side, side
        aspect = min(max(height, width) / min(height, width), _MAX_ASPECT)
        step = -(-side // _BUCKETS // self.multiple) * self.multiple
        if self.aspect == "short":
            short, long = side, max(side, round(side * aspect / step) * step)
        else:
            short, long = min(side, max(step, round(side / aspect / step) * step)), side
        return (short, long) if height <= width else (long, short)

    def scaled(self, factor: float) -> WorkingSize:
        """Returns this working size multiplied by a factor."""
        return dataclasses.replace(self, side=max(self.multiple, round(self.side * factor)))

    def pad(self, fields: Inputs) -> Inputs:
        """Returns inputs (1, h, w, C), mirrored below and at the right for "pad_square".

        Color hints are padded with zeros: the padding has no hints.
        """
        height, width = fields["gray"].shape[1:3]
        if self.aspect != "pad_square" or height == width:
            return fields
        side = max(height, width)
        missing = ((0, 0), (0, side - height), (0, side - width), (0, 0))
        return {
            name: np.pad(x, missing, mode="constant" if "hint" in name else "symmetric")
            for name, x in fields.items()
        }

    def cut(self, colors: np.ndarray, size: Size) -> np.ndarray:
        """Returns the (h, w) part of a prediction for padded inputs; undoes `pad`."""
        return colors[: size[0], : size[1]]

    def _rounded(self, side: float) -> int:
        return max(1, round(side / self.multiple)) * self.multiple
