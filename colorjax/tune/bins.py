"""Calibration of a distribution over color bins: a bias for each bin, then a temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from colorjax import color
from colorjax.errors import RequestError

if TYPE_CHECKING:
    from colorjax.inference.colorizer import Colorizer

# Photos of less mean chroma are left out: they say little about which color is right, and how many
# of them a set has differs most between sets.
LEAST_CHROMA = 12.0
POSITIONS = 60  # of each photo
_PSEUDO_COUNTS = 100.0  # added to the true and to the predicted number of positions of each bin
_ROUNDS = 12
_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
_TEMPERATURES = tuple(round(0.8 + 0.05 * k, 2) for k in range(15))


class Positions(NamedTuple):
    """Predictions and truths at random positions of photos.

    Attributes:
        logits: (N, 313) float32, uncalibrated, up to a constant.
        bins: (N,) integers, the true bin.
        photo: (N,) integers, the number of the photo.
    """

    logits: np.ndarray
    bins: np.ndarray
    photo: np.ndarray


class Fit(NamedTuple):
    """A calibration: softmax((logits + bias) / temperature).

    Attributes:
        bias: (313,), mean 0.
        temperature: above 0.
        strength: share of the fitted bias that is used.
        photos: number of photos.
        ece: error of photos that it was not fitted on, see `metrics.ece`; first without it.
        bits_per_pixel: likewise, bits per position.
    """

    bias: np.ndarray
    temperature: float
    strength: float
    photos: int
    ece: tuple[float, float]
    bits_per_pixel: tuple[float, float]


def collect(colorizer: Colorizer, photos: Sequence[np.ndarray], seed: int = 0) -> Positions:
    """Returns predictions and truths of photos of at least `LEAST_CHROMA`.

    Args:
        colorizer: without a calibration.
        photos: (H, W, 3) uint8 each, not used for training.
        seed: of the positions.

    Raises:
        RequestError: fewer than two photos are colorful enough.
    """
    from colorjax.inference.planes import enlarged

    rng = np.random.default_rng(seed)
    logits, bins, number = [], [], []
    for n, photo in enumerate(photos):
        ab = np.asarray(color.rgb_u8_to_lab(photo)[..., 1:])
        if np.linalg.norm(ab, axis=-1).mean() < LEAST_CHROMA:
            continue
        shares = colorizer.predict_distribution(color.gray_photo(photo))
        truth = enlarged(ab, shares.shape[:2]).reshape(-1, 2)
        at = rng.choice(len(truth), min(POSITIONS, len(truth)), replace=False)
        logits.append(np.log(np.maximum(shares.reshape(-1, color.NUM_BINS)[at], 1e-30)))
        bins.append(color.nearest_bin(truth[at]))
        number.append(np.full(len(at), n))
    if len(number) < 2:
        raise RequestError(
            f"bins are calibrated on two photos or more with a mean chroma of {LEAST_CHROMA:g}, "
            f"but {len(number)} of {len(photos)} have it; give more color photos"
        )
    return Positions(np.concatenate(logits), np.concatenate(bins), np.concatenate(number))


def fit(positions: Positions) -> Fit:
    """Fits the bias by matching marginals, then its strength and the temperature.

    The bias b maximizes the likelihood: for each bin, the sum of the predicted probabilities equals
    the number of positions of that true color, b <- b + log((n + c) / (sum p + c)) with pseudo
    counts c. Its strength and the temperature have the highest likelihood on photos that the bias
    was not fitted on: each half of the photos is predicted by the fit to the other half.

    Raises:
        ValueError: there are fewer than two photos.
    """
    photos = np.unique(positions.photo)
    if len(photos) < 2:
        raise ValueError(f"positions must be of two photos or more, got {len(photos)}")
    is_first = np.isin(positions.photo, photos[::2])
    halves = [_of(positions, is_first), _of(positions, ~is_first)]
    biases = [_match_marginals(half) for half in halves]
    crossed = list(zip(halves, reversed(biases), strict=True))
    bits, strength, temperature = min(
        (_mean_bits(crossed, strength, temperature), strength, temperature)
        for strength in _STRENGTHS
        for temperature in _TEMPERATURES
    )
    bias = strength * _match_marginals(positions)
    return Fit(
        bias - bias.mean(),
        temperature,
        strength,
        len(photos),
        (_ece(crossed, 0.0, 1.0), _ece(crossed, strength, temperature)),
        (_mean_bits(crossed, 0.0, 1.0), bits),
    )


def _of(positions: Positions, chosen: np.ndarray) -> Positions:
    return Positions(*(values[chosen] for values in positions))


def _match_marginals(positions: Positions) -> np.ndarray:
    counts = np.bincount(positions.bins, minlength=color.NUM_BINS)
    bias = np.zeros(color.NUM_BINS, np.float32)
    for _ in range(_ROUNDS):
        predicted = np.exp(_log_softmax(positions.logits + bias)).sum(axis=0)
        bias += np.log((counts + _PSEUDO_COUNTS) / (predicted + _PSEUDO_COUNTS)).astype(np.float32)
    return bias


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    below = logits - logits.max(axis=-1, keepdims=True)
    return below - np.log(np.exp(below).sum(axis=-1, keepdims=True))


def _mean_bits(
    halves: Sequence[tuple[Positions, np.ndarray]], strength: float, temperature: float
) -> float:
    bits = []
    for positions, bias in halves:
        logs = _log_softmax((positions.logits + strength * bias) / np.float32(temperature))
        bits.append(-logs[np.arange(len(logs)), positions.bins] / np.log(2))
    return float(np.concatenate(bits).mean())


def _ece(
    halves: Sequence[tuple[Positions, np.ndarray]], strength: float, temperature: float
) -> float:
    from colorjax import metrics

    tops, hits = [], []
    for positions, bias in halves:
        logs = _log_softmax((positions.logits + strength * bias) / np.float32(temperature))
        tops.append(np.exp(logs.max(axis=-1)))
        hits.append(logs.argmax(axis=-1) == positions.bins)
    return metrics.ece(np.concatenate(tops), np.concatenate(hits))
