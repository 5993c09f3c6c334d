"""The Frechet distance between two sets of features (Heusel et al. 2017, after Dowson and Landau).

With InceptionV3's 2048 features of the last pool it is FID. Which network, which photos and how
many belong to every figure: only equal ones compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class FeatureMoments:
    """Sums over photos, which merge: those of parts added are those of the whole.

    Attributes:
        count: of photos, n.
        total: (D,) float64, the sum of their features.
        outer: (D, D) float64, the sum of the outer products of their features.
    """

    count: int
    total: np.ndarray
    outer: np.ndarray

    @classmethod
    def empty(cls, features: int) -> FeatureMoments:
        """Returns the moments of no photo."""
        return cls(0, np.zeros(features), np.zeros((features, features)))

    @classmethod
    def of(cls, features: Any) -> FeatureMoments:
        """Sums features, (N, D) floating point or integers.

        Raises:
            ValueError: another shape; a value that is not finite.
        """
        found = np.asarray(features, np.float64)
        if found.ndim != 2:
            raise ValueError(f"features must be (photos, features), got {found.shape}")
        if not np.isfinite(found).all():
            raise ValueError("features must be finite")
        return cls(len(found), found.sum(0), found.T @ found)

    def __add__(self, other: FeatureMoments) -> FeatureMoments:
        """Merges the moments of two sets of photos.

        Raises:
            ValueError: different numbers of features.
        """
        _check_pair(self, other)
        return FeatureMoments(
            self.count + other.count, self.total + other.total, self.outer + other.outer
        )

    @property
    def mean(self) -> np.ndarray:
        """The features' mean, (D,) float64; of no photo a ValueError."""
        if not self.count:
            raise ValueError("there are no photos, so there is no mean")
        return self.total / self.count

    @property
    def covariance(self) -> np.ndarray:
        """The covariance with n - 1, (D, D) float64; of fewer than two photos a ValueError."""
        if self.count < 2:
            raise ValueError(f"a covariance takes at least 2 photos, got {self.count}")
        scatter = self.outer - np.outer(self.mean, self.total)
        return scatter / (self.count - 1)


def frechet_distance(a: FeatureMoments, b: FeatureMoments) -> float:
    """|mu_a - mu_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^(1/2)), in float64.

    The trace of the root is the sum of the roots of the eigenvalues of S_a^(1/2) S_b S_a^(1/2),
    which is symmetric: no complex numbers appear, and nothing is added to a singular covariance.
    Rounding leaves about 1e-7 of the covariances' traces.

    Args:
        a: of one set of photos.
        b: of the other.

    Returns:
        At least 0, but for rounding.

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


def small_sample_warning(a: FeatureMoments, b: FeatureMoments) -> str:
    """Returns one line where photos are fewer than features, and "" where they are enough.

    >>> small_sample_warning(FeatureMoments.empty(4), FeatureMoments.empty(4))[:30]
    'FID of 0 and 0 photos with 4 f'
    """
    features = len(a.total)
    if min(a.count, b.count) >= features:
        return ""
    return (
        f"FID of {a.count} and {b.count} photos with {features} features: the covariances are "
        "singular and the figure far too high; compare it with figures of as many photos alone"
    )


def _check_pair(a: FeatureMoments, b: FeatureMoments) -> None:
    if a.total.shape != b.total.shape:
        raise ValueError(f"numbers of features differ: {a.total.shape} and {b.total.shape}")
