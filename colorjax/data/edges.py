"""Edges of a grey photo, by Canny's detector, for networks that take them as an input."""

from __future__ import annotations

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from colorjax.errors import RequestError


@dataclasses.dataclass(frozen=True)
class EdgeDetector:
    """scikit-image's Canny with its own defaults, on the grey that the network sees.

    Attributes:
        scale: edges are found in grey from 0 to `scale`; the thresholds are meant for 1, the
            original's 100 lets nearly every gradient pass.
        sigma: of the Gaussian, in pixels.
        low: threshold on the gradient for pixels beside an edge.
        high: threshold for pixels that start one.
    """

    scale: float = 1.0
    sigma: float = 1.0
    low: float = 0.1
    high: float = 0.2

    @classmethod
    def from_config(cls, data: ConfigDict) -> EdgeDetector:
        """Reads `config.data`; configs of earlier versions do not have the fields.

        Raises:
            RequestError: a value that means nothing.
        """
        known = data.to_dict()
        low, high = known.get("canny_thresholds", (cls.low, cls.high))
        scale, sigma = known.get("canny_scale", cls.scale), known.get("canny_sigma", cls.sigma)
        if not (scale > 0 and sigma >= 0 and 0 <= low <= high):
            raise RequestError(
                "data.canny_scale is above 0, data.canny_sigma at least 0 and "
                f"data.canny_thresholds (low, high), not {scale}, {sigma} and {low, high}"
            )
        return cls(scale, sigma, low, high)

    def __call__(self, grey: np.ndarray) -> np.ndarray:
        """Finds edges.

        Args:
            grey: (H, W, 1) float32 in [-1, 1], what the network sees.

        Returns:
            (H, W, 1) uint8: 1 on edges, else 0.
        """
        from skimage.feature import canny  # half a second, that other methods need not wait for

        image = (grey[..., 0] + 1) * (self.scale / 2)
        found = canny(image, self.sigma, self.low, self.high)
        return found[..., None].astype(np.uint8)
