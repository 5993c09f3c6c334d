"""The rows of a result: trained weights, trivial predictors and oracles."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from colorjax import color, metrics
from colorjax.data import hints as simulated_hints
from colorjax.data import trivial_predictors
from colorjax.data.decode import decode_rgb
from colorjax.data.selection import splits
from colorjax.data.sources.source import FolderSource, Source
from colorjax.evaluate import entries
from colorjax.inference.planes import enlarged
from colorjax.metrics import ColorTable

SHIPPED_TABLES = Path(__file__).with_name("tinyimagenet_tables.json")
_TABLE_PHOTOS = 10_000
_TABLE_SIDE = 256  # pixels; larger photos are subsampled
_CONFIDENCES = 200  # levels, merged into the points of the reliability diagram


class Row(Protocol):
    """A row: anything that colorizes gray photos."""

    def picture(self, key: str, truth: np.ndarray, gray: np.ndarray) -> np.ndarray:
        """Returns the colorized picture of a photo, (H, W, 3) uint8.

        Args:
            key: the photo's name, used only for finished pictures.
            truth: (H, W, 3) uint8, the color photo, used only by oracles.
            gray: the same shape, the gray photo, the input of a colorizer.
        """
        ...


def painted(photo: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """Returns ab (..., 2) painted on the L of a photo (H, W, 3) uint8, as in the Colorizer."""
    lightness = color.rgb_u8_to_lab(photo)[..., :1]
    lab = np.concatenate([lightness, np.broadcast_to(ab, (*lightness.shape[:2], 2))], axis=-1)
    return np.asarray(color.lab_to_rgb_u8(lab.astype(np.float32), "shrink_chroma"))


class Table:
    """Color as a function of L only."""

    def __init__(self, table: ColorTable):
        self._table = table

    def picture(self, key: str, truth: np.ndarray, gray: np.ndarray) -> np.ndarray:
        """See `Row`."""
        lightness = color.rgb_u8_to_lab(gray)[..., :1]
        return painted(gray, np.asarray(self._table.predict(lightness)))


class Gray:
    """No color: the gray photo itself."""

    def picture(self, key: str, truth: np.ndarray, gray: np.ndarray) -> np.ndarray:
        """See `Row`."""
        return gray


class OracleMean:
    """The true mean ab of the photo, at every pixel."""

    def picture(self, key: str, truth: np.ndarray, gray: np.ndarray) -> np.ndarray:
        """See `Row`."""
        return painted(gray, color.rgb_u8_to_lab(truth)[..., 1:].mean(axis=(0, 1)))


class OracleBins:
    """The true ab of every pixel, rounded to the nearest of the 313 bins."""

    def picture(self, key: str, truth: np.ndarray, gray: np.ndarray) -> np.ndarray:
        """See `Row`."""
        ab = color.rgb_u8_to_lab(truth)[..., 1:]
        return painted(gray, color.ab_bins()[color.nearest_bin(ab)])


class Colorized(entries.Weights):
    """Pictures colorized by trained weights, and their predicted distributions."""

    def more(self, truth: np.ndarray, gray: np.ndarray) -> dict[str, Any]:
        """Measures the predicted distribution over bins.

        Returns:
            bits_per_pixel, and confidences: (3, 200), for pixels at 200 levels of the probability
            of their most likely bin: their number, the sum of that probability, how many of these
            bins are the true one. At the working size. Empty for methods without bins.
        """
        if not self._colorizer.has_bins:
            return {}
        shares = self._colorizer.predict_distribution(gray)
        ab = enlarged(np.asarray(color.rgb_u8_to_lab(truth)[..., 1:]), shares.shape[:2])
        true_bin = color.nearest_bin(ab)
        of_truth = np.take_along_axis(shares, true_bin[..., None], axis=-1)[..., 0]
        top = shares.max(axis=-1)
        hit = shares.argmax(axis=-1) == true_bin
        level = np.minimum((top * _CONFIDENCES).astype(int), _CONFIDENCES - 1).ravel()
        return {
            "bits_per_pixel": float(-np.log2(np.maximum(of_truth, 1e-30)).mean()),
            "confidences": [
                np.bincount(level, weights=w, minlength=_CONFIDENCES).tolist()
                for w in (np.ones(level.size), top.ravel(), hit.ravel())
            ],
        }

    def digest(self) -> str:
        """Returns the SHA-256 of the weights."""
        return self._colorizer.digest()

    @property
    def hint_form(self) -> str:
        """How the weights use color hints; see `Colorizer.hint_form`."""
        return self._colorizer.hint_form

    def psnr_with_hints(
        self, truth: np.ndarray, gray: np.ndarray, counts: Sequence[int], seed: int, places: str
    ) -> list[float]:
        """Returns the PSNR, dB, of pictures with the first N of the same random color hints.

        A hint is the mean sRGB color of a square of 6/256 of the side at a random position, drawn
        as `places` says, see `colorjax.data.hints.PLACES`.
        """
        hints = random_hints(truth, max(counts), seed, places)
        prepared = self._colorizer.prepare(gray)
        pictures = (prepared.colorize(hints[:count]) for count in counts)
        return [float(metrics.psnr(picture, truth)) for picture in pictures]


def random_hints(
    truth: np.ndarray, number: int, seed: int, places: str = "uniform"
) -> list[tuple[int, int, str]]:
    """Returns random hints (x, y, "#rrggbb") with the true colors; see `psnr_with_hints`."""
    height, width = truth.shape[:2]
    side = simulated_hints.evaluation_side(min(height, width))
    rng = np.random.default_rng(seed)
    hints = []
    for _ in range(number):
        top = simulated_hints.draw_corner(rng, height - side, places)
        left = simulated_hints.draw_corner(rng, width - side, places)
        mean = truth[top : top + side, left : left + side].mean(axis=(0, 1))
        code = "#" + bytes(np.rint(mean).astype(np.uint8)).hex()
        hints.append((left + side // 2, top + side // 2, code))
    return hints


def built_in(tables: Mapping[str, ColorTable]) -> dict[str, Callable[[], Row]]:
    """Returns factories of the trivial and the oracle rows by name."""
    rows: dict[str, Callable[[], Row]] = {"grey": Gray}
    for name in ("mean", "per_lightness"):
        rows[name] = lambda name=name: Table(tables[name])
    return rows | {"oracle_mean": OracleMean, "oracle_bins": OracleBins}


def read_tables() -> tuple[dict[str, ColorTable], dict[str, Any]]:
    """Returns the shipped tables, and the stamp of the photos they were fitted on."""
    content = json.loads(SHIPPED_TABLES.read_text(encoding="utf-8"))
    sums = np.array(content["sums"], np.float64)
    return metrics.fit_color_tables(sums), content["stamp"]


def fit_tables(source: Source, name: str) -> tuple[dict[str, ColorTable], dict[str, Any]]:
    """Returns tables fitted on up to 10,000 photos of a source, and a stamp of the photos.

    Raises:
        RequestError: none of them can be read.
    """
    some = splits.limit(source, _TABLE_PHOTOS)
    sums, num_photos = trivial_predictors.count(some, _decode_subsampled)
    stamp = {"data": name, "photos": num_photos, "fingerprint": some.fingerprint()}
    return metrics.fit_color_tables(sums), stamp


def _decode_subsampled(photo: bytes | np.ndarray) -> np.ndarray:
    rgb = decode_rgb(photo)
    step = max(1, -(-min(rgb.shape[:2]) // _TABLE_SIDE))
    return rgb[::step, ::step]


def open_tables(folder: str) -> tuple[dict[str, ColorTable], dict[str, Any]]:
    """Returns tables fitted on a folder of photos; the shipped tables if `folder` is empty."""
    if not folder:
        return read_tables()
    return fit_tables(FolderSource.open(folder, labels="none"), Path(folder).name)
