"""The Frechet distance between two sets of features (Heusel et al. 2017, after Dowson and Landau).

With the 2048 features of InceptionV3's last pool it is FID. Values are comparable only for the same
network, the same photos and the same number of photos.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class FeatureMoments:
    """Mergeable sums over photos: the sums of the parts add up to those of the whole.

    Attributes:
        count: number of photos, n.
        total: (D,) float64, the sum of their features.
        outer: (D, D) float64, the sum of the outer products of their features.
    """

    count: int
    total: np.ndarray
    outer: np.ndarray

    @classmethod
    def empty(cls, features: int) -> FeatureMoments:
        """Returns the moments of zero photos."""
        return cls(0, np.zeros(features), np.zeros((features, features)))

    @classmethod
    def of(cls, features: Any) -> FeatureMoments:
        """Returns the moments of features, (N, D) floating point or integers.

        Raises:
            ValueError: wrong shape, or a value that is not finite.
        """
        values = np.asarray(features, np.float64)
        if values.ndim != 2:
            raise ValueError(f"features must be (photos, features), got {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError("features must be finite")
        return cls(len(values), values.sum(0), values.T @ values)

    def __add__(self, other: FeatureMoments) -> FeatureMoments:
        """Returns the merged moments of two sets of photos.

        Raises:
            ValueError: different numbers of features.
        """
        _check_pair(self, other)
        return FeatureMoments(
            self.count + other.count, self.total + other.total, self.outer + other.outer
        )

    @property
    def mean(self) -> np.ndarray:
        """Mean of the features, (D,) float64; ValueError without photos."""
        if not self.count:
            raise ValueError("there are no photos, so there is no mean")
        return self.total / self.count

    @property
    def covariance(self) -> np.ndarray:
        """Covariance with n - 1, (D, D) float64; ValueError for fewer than two photos."""
        if self.count < 2:
            raise ValueError(f"a covariance takes at least 2 photos, got {self.count}")
        scatter = self.outer - np.outer(self.mean, self.total)
        return scatter / (self.count - 1)


def frechet_distance(a: FeatureMoments, b: FeatureMoments) -> float:
    """Returns |mu_a - mu_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^(1/2)), in float64.

    The trace of the root is the sum of the roots of the eigenvalues of S_a^(1/2) S_b S_a^(1/2),
    which is symmetric: no complex numbers occur, and a singular covariance needs no offset.
    The rounding error is about 1e-7 of the covariances' traces.

    Args:
        a: moments of one set of photos.
        b: moments of the other.

    Returns:
        At least 0, up to rounding.

    Raises:
        ValueError: different numbers of features, or fewer than two photos.
    """
    _check_pair(a, b)
    covariance_a, covariance_b = a.covariance, b.covariance
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    product = root @ covariance_b @ root
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
    trace_of_root = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    difference = a.mean - b.mean
    traces = np.trace(covariance_a) + np.trace(covariance_b)
    return float(difference @ difference + traces - 2 * trace_of_root)


def small_sample_warning(a: FeatureMoments, b: FeatureMoments, metric: str = "FID") -> str:
    """Returns a one-line warning if there are fewer photos than features, else "".

    Args:
        a: moments of one set of photos.
        b: moments of the other.
        metric: the title of the distance.

    >>> small_sample_warning(FeatureMoments.empty(4), FeatureMoments.empty(4))[:30]
    'FID of 0 and 0 photos with 4 f'
    """
    features = len(a.total)
    if min(a.count, b.count) >= features:
        return ""
    return (
        f"{metric} of {a.count} and {b.count} photos with {features} features: the covariances are "
        "singular and the value far too high; compare it only with values of as many photos"
    )


def _check_pair(a: FeatureMoments, b: FeatureMoments) -> None:
    if a.total.shape != b.total.shape:
        raise ValueError(f"numbers of features differ: {a.total.shape} and {b.total.shape}")
