"""How photos are colorized: the options of `Colorizer.colorize`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from colorjax.errors import RequestError, unknown_name
from colorjax.inference import tiling as tiles
from colorjax.inference.chroma import UPSAMPLINGS
from colorjax.inference.hints import Hint
from colorjax.inference.tiling import Tiling

Hints: TypeAlias = Sequence[Hint | tuple[Any, ...]]

QUALITIES = ("draft", "normal", "best")


@dataclasses.dataclass(frozen=True)
class Options:
    """How photos are colorized; `Colorizer.colorize` takes them as arguments.

    Attributes:
        hints: colors that pixels have, as `Hint` or its fields; x from the left and y from
            the top of the upright photo, from 0. Neither saturation nor strength changes the color
            at a hint itself.
        saturation: factor on the predicted a and b; 0 is grey.
        strength: share of the predicted colours, in [0, 1]; the rest are the photo's own, which a
            grey photo has none of.
        global_image: another photo, of any size, in whose colors the photo is painted: its global
            features replace the photo's own (the style transfer of Iizuka et al. 2016), or its
            palette is a global hint (Zhang et al. 2017). For methods that take one of the two.
        quality: "draft": one prediction, enlarged bilinearly; "normal": one, enlarged by
            `upsampling`; "best": six, mirrored and of three sizes, fused by their confidence.
        upsampling: how colours come to the photo's size, "guided" by its lightness or "bilinear".
        tiling: apply the network to tiles of the full-resolution photo; "exact": to all of it at
            its own size, in tiles that change nothing but the memory; None: to the whole photo at
            the working size.
    """

    hints: Hints = ()
    saturation: float = 1.0
    strength: float = 1.0
    global_image: np.ndarray | Image.Image | None = None
    quality: str = "normal"
    upsampling: str = "guided"
    tiling: Tiling | str | None = None

    def __post_init__(self):
        if not 0 <= self.saturation < math.inf:
            raise RequestError(f"saturation is at least 0, not {self.saturation}")
        if not 0 <= self.strength <= 1:
            raise RequestError(f"strength is from 0 to 1, not {self.strength}")
        if self.quality not in QUALITIES:
            raise unknown_name("quality", self.quality, QUALITIES)
        if self.upsampling not in UPSAMPLINGS:
            raise unknown_name("upsampling", self.upsampling, UPSAMPLINGS)
        if isinstance(self.tiling, str) and self.tiling != tiles.EXACT:
            raise RequestError(f"tiling is a Tiling or {tiles.EXACT!r}, not {self.tiling!r}")
        if self.tiling is not None and self.quality == "best":
            raise RequestError("quality best is for whole photos; leave the tiles out, or it")
        if isinstance(self.tiling, Tiling) and self.hints:
            raise RequestError("hints are for whole photos; leave the tiles out")
