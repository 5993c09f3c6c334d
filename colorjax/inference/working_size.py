"""At which size a network predicts the colours of a photo."""

from __future__ import annotations

import dataclasses

from ml_collections import ConfigDict

from colorjax.errors import RequestError
from colorjax.method import Method

_MAX_OWN_PIXELS = 2**22  # of a working size that is the photo's own: memory grows with it
_MAX_ASPECT = 4  # the working size is at most this many times as long as it is short
OWN = "own"  # a working size: that of the photo


@dataclasses.dataclass(frozen=True)
class WorkingSize:
    """The size at which a network predicts the colours of a photo.

    Attributes:
        short: of the shorter side, in pixels; 0: the photo's own size, up to `_MAX_OWN_PIXELS`.
        multiple: what both sides are multiples of, in pixels.
        is_square: whether the photo is squeezed into a square, for networks of one size.
    """

    short: int
    multiple: int
    is_square: bool

    @classmethod
    def from_config(
        cls, config: ConfigDict, method: Method, size: int | str | None = None
    ) -> WorkingSize:
        """Takes `size`, or else `inference.size`, or `data.image_size` where that is 0.

        Raises:
            RequestError: the size is negative, 0 or no number, or the network has one size.
        """
        fixed = method.network.fixed_size
        if size is not None and fixed:
            raise RequestError(f"these weights work at {fixed}x{fixed} px alone; give no size")
        if size is not None and size != OWN and not (isinstance(size, int) and size > 0):
            raise RequestError(f"size is a number of pixels above 0, or {OWN!r}, not {size!r}")
        short = size or config.inference.size or config.data.image_size
        if short != OWN and short < 0:
            raise RequestError(f"inference.size is at least 0, not {short}")
        short = 0 if short == OWN else int(short)
        return cls(fixed or short, method.network.size_multiple, bool(fixed))

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Returns the working (height, width) of a photo, in pixels.

        Sides that are multiples of `multiple` keep the shapes, and so the compilations, few.

        >>> WorkingSize(64, 4, is_square=False).of(3000, 4000)
        (64, 84)
        """
        if self.is_square:
            return self.short, self.short
        if not self.short:
            scale = min(1.0, (_MAX_OWN_PIXELS / (height * width)) ** 0.5)
            return self._rounded(height * scale), self._rounded(width * scale)
        aspect = min(max(height, width) / min(height, width), _MAX_ASPECT)
        short = self._rounded(self.short)
        long = max(self._rounded(self.short * aspect), short)
        return (short, long) if height <= width else (long, short)

    def _rounded(self, side: float) -> int:
        return max(1, round(side / self.multiple)) * self.multiple
