"""Bootstrap intervals over photos, of means and of functions of means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

RESAMPLES = 1_000
LEVEL = 0.95
_SEED = 0

Statistic = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def bootstrap(
    values: Mapping[str, np.ndarray],
    statistic: Statistic,
    *,
    resamples: int = RESAMPLES,
    seed: int = _SEED,
) -> tuple[float, float]:
    """Returns the 95 % percentile interval of a statistic of means over photos (Efron 1979).

    Photos are drawn with replacement, each with all of its values: comparisons are paired.

    Args:
        values: name -> (P,) one number per photo; the same photos in the same order.
        statistic: maps means over photos, name -> (R,), to (R,), e.g. the difference of two.
        resamples: R.
        seed: of the draws.

    Returns:
        (low, high).

    Raises:
        ValueError: no photo, or columns of different lengths.

    >>> low, high = bootstrap({"x": np.arange(100.0)}, lambda means: means["x"])
    >>> bool(40 < low < 49.5 < high < 60)
    True
    """
    lengths = {len(column) for column in values.values()}
    if len(lengths) != 1 or not min(lengths):
        raise ValueError(
            f"columns must have one number for each photo, got lengths {sorted(lengths)}"
        )
    number = min(lengths)
    table = np.stack([np.asarray(column, np.float64) for column in values.values()], axis=1)
    means = draws(number, resamples=resamples, seed=seed) @ table / number
    return middle(statistic(dict(zip(values, means.T, strict=True))))


def draws(number: int, *, resamples: int = RESAMPLES, seed: int = _SEED) -> np.ndarray:
    """Returns how often each of N photos is in each resample: (R, N) float32."""
    rng = np.random.default_rng(seed)
    counts = np.empty((resamples, number), np.float32)
    for row in counts:  # row by row: int64 of all rows would take twice the memory
        row[:] = rng.multinomial(number, np.full(number, 1 / number))
    return counts


def estimate(samples: np.ndarray, num_photos: int) -> dict[str, Any]:
    """Returns the value of the data and its bootstrap interval.

    Args:
        samples: (1 + R,): of the data itself, then of its resamples.
        num_photos: number of photos; a single photo has no interval.

    Returns:
        {"mean": float, "interval": [low, high] or None}.
    """
    resampled = samples[1:][np.isfinite(samples[1:])]
    interval = list(middle(resampled)) if num_photos > 1 and resampled.size else None
    return {"mean": float(samples[0]), "interval": interval}


def middle(samples: np.ndarray) -> tuple[float, float]:
    """Returns the range that holds the middle 95 % of samples (R,)."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(samples, [tail, 100 - tail])
    return float(low), float(high)
