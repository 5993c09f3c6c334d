"""What the Colorizer needs of a network, whatever program runs it.

This module and all that the Colorizer imports load neither JAX nor Flax: an engine that needs them
imports them itself.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Protocol

import numpy as np

from colorjax.color.hint_spreading import Keys
from colorjax.inference.planes import Inputs, Size

ENGINES = ("jax", "onnx", "openvino", "auto")


@dataclasses.dataclass(frozen=True)
class Facts:
    """Properties of a network with its weights.

    Attributes:
        gray: gray value that the network sees, one of `colorjax.color.GRAY_KINDS`.
        inputs: names of the network's inputs.
        size_multiple: heights and widths must be multiples of this, in pixels.
        fixed_size: the only accepted height and width, in pixels; None: any multiple.
        fit: how a photo is fitted to such a size, "pad" or "resize".
        global_size: side in pixels at which global features are computed; None: there are none.
        reach: distance in pixels from which input affects an output; None: the whole photo.
        has_bins: whether the network predicts a distribution over the 313 bins.
        hint_form: how color hints are used, see `Colorizer.hint_form`.
        predicts_lightness: whether the network replaces the photo's lightness.
        saturation: factor on ab stored with the weights.
        decode: network output that gives the colors, see `Method.decode`.
        temperature: of the annealed mean; None: the network has none.
        bin_bias: (313,) added to the logits for calibrated probabilities; empty: 0.
        bin_temperature: divisor of the logits after `bin_bias`.
    """

    gray: str
    inputs: frozenset[str]
    size_multiple: int
    fixed_size: int | None = None
    fit: str = "pad"
    global_size: int | None = None
    reach: int | None = None
    has_bins: bool = False
    hint_form: str = "region"
    predicts_lightness: bool = False
    saturation: float = 1.0
    decode: str = "ab"
    temperature: float | None = None
    bin_bias: tuple[float, ...] = ()
    bin_temperature: float = 1.0

    @property
    def takes_palette(self) -> bool:
        """Whether the network has an input for the palette of a photo."""
        return "global_colors" in self.inputs


class Spreading(NamedTuple):
    """Arguments of `colorjax.color.hint_spreading.spread_hints`; NumPy arrays of one photo."""

    ab: np.ndarray
    keys: Keys
    lightness: np.ndarray
    cells: np.ndarray
    hint_ab: np.ndarray
    valid: np.ndarray


class Engine(Protocol):
    """A network with its weights, ready to run; safe for threads.

    Fields are inputs of N pictures of one size, (N, H, W, C) float32 each: gray in [-1, 1], and
    others that `Method.predict` describes. Colors are (N, H, W, 2) float32, ab in Lab units; or
    (N, H, W, 3) with predicted L first.
    """

    @property
    def name(self) -> str:
        """Name of the engine: "jax", "onnx" or "openvino"."""
        ...

    @property
    def facts(self) -> Facts:
        """Properties of the network."""
        ...

    @property
    def seconds(self) -> float:
        """Seconds spent in the network so far, summed over threads."""
        ...

    @property
    def compile_seconds(self) -> float:
        """Seconds of compilation so far."""
        ...

    def digest(self, working_size: str) -> str:
        """Returns the SHA-256 of the weights and of the settings that change a measurement."""
        ...

    def fields(self, gray: np.ndarray) -> Inputs:
        """Returns the inputs computed from a gray picture, (H, W) in [-1, 1]."""
        ...

    def fit(self, fields: Inputs) -> Inputs:
        """Returns the fields padded or resized to a size of the network, with global_gray."""
        ...

    def fit_back(self, colors: np.ndarray, size: Size) -> np.ndarray:
        """Returns colors (h, w, C) cropped or resized to (H, W); undoes `fit`."""
        ...

    def colors(self, fields: Inputs) -> np.ndarray:
        """Returns the predicted colors."""
        ...

    def colors_and_keys(self, fields: Inputs) -> tuple[np.ndarray, Keys, np.ndarray | None]:
        """Returns the colors, the keys by which hints spread, and the bins.

        Returns:
            The result of `colors`; keys of ceil(H/4) x ceil(W/4) cells; and the calibrated log
            probabilities of the bins on that grid, (N, h, w, 313), None without bins.
        """
        ...

    def colors_and_confidence(self, fields: Inputs) -> tuple[np.ndarray, np.ndarray]:
        """Returns the colors, and their confidence (N, H, W, 1) above 0.

        The confidence is exp(-entropy) of the distribution over bins, in nats; 1 without bins.
        """
        ...

    def log_shares(self, fields: Inputs, size: Size) -> np.ndarray:
        """Returns the calibrated log probabilities of the bins, (N, h, w, 313), at `size`."""
        ...

    def distribution(self, fields: Inputs, size: Size) -> np.ndarray:
        """Returns the uncalibrated distribution over the bins, (N, h, w, 313), at `size`."""
        ...

    def mean_of(self, shares: np.ndarray) -> np.ndarray:
        """Returns ab (h, w, 2) of a distribution (h, w, 313), by the annealed mean."""
        ...

    def spread(self, fields: Spreading) -> np.ndarray:
        """Returns the correction of the predicted ab by color hints, (h, w, 2)."""
        ...

    def paint(self, planes: tuple[np.ndarray, ...], *, is_8_bit: bool) -> np.ndarray:
        """Returns sRGB (n, W, 3), uint8 or float32 in [0, 1], of planes L, a and b, (n, W) each.

        Colors outside sRGB lose chroma, never lightness. L is kept within 0.392 (1/255 of its
        range) for 8 bits, else within 0.01.
        """
        ...


class Loaded(NamedTuple):
    """An engine, and what the Colorizer needs to know of its weights.

    Attributes:
        engine: the network.
        config: the sections `inference` and `data` of the weights' config.
        step: training step.
        name: name of the weights.
        stored: the weights for `save_pretrained`; None: the engine has only an exported model.
    """

    engine: Engine
    config: Any
    step: int
    name: str
    stored: Any = None
