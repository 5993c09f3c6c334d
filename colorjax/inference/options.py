"""Options of `Colorizer.colorize`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from colorjax.errors import RequestError, unknown_name
from colorjax.inference import tiling as tiles
from colorjax.inference.chroma import UPSAMPLINGS
from colorjax.inference.hints import Hint
from colorjax.inference.pixels import Picture
from colorjax.inference.tiling import Tiling

Hints: TypeAlias = Sequence[Hint | tuple[Any, ...]]

QUALITIES = ("draft", "normal", "best")
# ab of the illuminant D50 under D65, the white of sRGB.
WARM = (2.4, 17.7)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of colorization; `Colorizer.colorize` takes them as arguments.

    Attributes:
        hints: colors of pixels, as `Hint` or its fields; x from the left and y from the top of the
            upright photo, from 0. Saturation, warmth and strength do not change the color at a
            hint.
        saturation: factor on the predicted a and b; 0 is gray.
        warmth: from -1, cool, to 1, warm: adds this many times `WARM` to the predicted a and b.
        strength: weight of the predicted colors, in [0, 1]; the rest is the photo's own color.
        global_image: reference photo of any size: its global features replace those of the photo
            (style transfer of Iizuka et al. 2016), or its palette is a global hint (Zhang et al.
            2017). For methods that support one of the two.
        quality: "draft": one prediction, upsampled bilinearly; "normal": one, upsampled by
            `upsampling`; "best": six, mirrored and at three sizes, fused by their confidence.
        upsampling: upsampling of the colors, "guided" by the photo's lightness, "bilinear", or
            "nearest", as DDColor's program does.
        tiling: apply the network to tiles of the full-resolution photo; "exact": the same result
            as the whole photo at its own size, with the memory of one tile; None: to the whole
            photo at the working size.
    """

    hints: Hints = ()
    saturation: float = 1.0
    warmth: float = 0.0
    strength: float = 1.0
    global_image: Picture | None = None
    quality: str = "normal"
    upsampling: str = "guided"
    tiling: Tiling | str | None = None

    @classmethod
    def of(cls, **options: Any) -> Options:
        """Returns the options of these names.

        Raises:
            RequestError: an option is unknown or invalid.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                raise unknown_name("option", name, known)
        return cls(**options)

    def __post_init__(self):
        if not (is_number(self.saturation) and 0 <= self.saturation < math.inf):
            raise RequestError(
                f"saturation must be at least 0 (a number), not {_shown(self.saturation)}"
            )
        if not (is_number(self.warmth) and -1 <= self.warmth <= 1):
            raise RequestError(f"warmth must be from -1 to 1 (a number), not {_shown(self.warmth)}")
        if not (is_number(self.strength) and 0 <= self.strength <= 1):
            raise RequestError(
                f"strength must be from 0 to 1 (a number), not {_shown(self.strength)}"
            )
        if isinstance(self.hints, str | bytes | Hint) or not isinstance(self.hints, Sequence):
            raise RequestError(
                f"hints must be a list, such as [(120, 80, '#c04030')], not {_shown(self.hints)}"
            )
        if self.quality not in QUALITIES:
            raise unknown_name("quality", self.quality, QUALITIES)
        if self.upsampling not in UPSAMPLINGS:
            raise unknown_name("upsampling", self.upsampling, UPSAMPLINGS)
        is_exact = isinstance(self.tiling, str) and self.tiling == tiles.EXACT
        if not (self.tiling is None or is_exact or isinstance(self.tiling, Tiling)):
            raise RequestError(
                "tiling must be a colorjax.inference.tiling.Tiling, such as "
                f"Tiling((256, 256), (128, 128)), or {tiles.EXACT!r}, or None, not "
                f"{_shown(self.tiling)}"
            )
        if self.tiling is not None and self.quality == "best":
            raise RequestError(
                "quality best is for whole photos; give only one of quality best and tiling"
            )
        if isinstance(self.tiling, Tiling) and self.hints:
            raise RequestError("hints are for whole photos; leave tiling out")


def _shown(value: object) -> str:
    """Returns the repr of a value in one line of at most 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_number(value: object) -> bool:
    """Returns whether a value is a real number, of Python or NumPy, and no boolean."""
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)
