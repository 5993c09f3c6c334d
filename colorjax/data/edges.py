"""Canny edges of a gray photo, for networks with an edge input."""

from __future__ import annotations

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from colorjax.errors import RequestError


@dataclasses.dataclass(frozen=True)
class EdgeDetector:
    """scikit-image's Canny detector with its default settings, applied to the network's gray input.

    Attributes:
        scale: the gray levels are scaled to 0 ... `scale`; the thresholds are meant for 1. With
            the original's 100 nearly every gradient is an edge.
        sigma: of the Gaussian, in pixels.
        low: gradient threshold for pixels that continue an edge.
        high: gradient threshold for pixels that start an edge.
    """

    scale: float = 1.0
    sigma: float = 1.0
    low: float = 0.1
    high: float = 0.2

    @classmethod
    def from_config(cls, data: ConfigDict) -> EdgeDetector:
        """Reads `config.data`; configs of earlier versions lack the fields.

        Raises:
            RequestError: an invalid value.
        """
        known = data.to_dict()
        low, high = known.get("canny_thresholds", (cls.low, cls.high))
        scale, sigma = known.get("canny_scale", cls.scale), known.get("canny_sigma", cls.sigma)
        if not (scale > 0 and sigma >= 0 and 0 <= low <= high):
            raise RequestError(
                "data.canny_scale must be above 0, data.canny_sigma at least 0 and "
                "data.canny_thresholds (low, high) with 0 <= low <= high, not "
                f"{scale}, {sigma} and {low, high}"
            )
        return cls(scale, sigma, low, high)

    def __call__(self, gray: np.ndarray) -> np.ndarray:
        """Detects edges.

        Args:
            gray: (H, W, 1) float32 in [-1, 1], the network's gray input.

        Returns:
            (H, W, 1) uint8: 1 on edges, else 0.
        """
        from skimage.feature import canny  # the import takes half a second: only when needed

        image = (gray[..., 0] + 1) * (self.scale / 2)
        edges = canny(image, self.sigma, self.low, self.high)
        return edges[..., None].astype(np.uint8)
