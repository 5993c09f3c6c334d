"""Evaluation: a method against the truth and against trivial predictors, on the same photos."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from colorjax import color, metrics, parallel
from colorjax.data import pipeline, splits
from colorjax.data.sources import Source
from colorjax.method import Method, Variables
from colorjax.train.skipped import SkippedPhotos

# Which way is better, for the metrics that a run may be steered by.
HIGHER_IS_BETTER = {
    "mae_ab": False,
    "rmse_ab": False,
    "psnr": True,
    "psnr_of_mean_mse": True,
    "ssim": True,
}
_SSIM_WINDOW = 11  # pixels


@dataclasses.dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        num_images: photos counted.
        num_grey: those that are exactly grey (R = G = B everywhere), left out of `psnr`.
        num_unreadable: photos left out because they cannot be decoded.
        metrics: name -> value, of the method.
        baselines: trivial predictor -> the same metrics.
        strips: (N, H, 3 W, 3) uint8, some photos: grey | prediction | truth.
    """

    num_images: int
    num_grey: int
    num_unreadable: int
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    strips: np.ndarray


def protocol(config: ConfigDict) -> str:
    """Says in one line how photos are prepared and compared."""
    size = config.data.image_size
    return (
        f"centre square at {size}x{size} px; the photo's own L (CIE Lab, D65) with the predicted "
        "ab, clipped to sRGB, rounded to 8 bits; psnr leaves exactly grey photos out; SSIM with "
        "an 11x11 Gaussian; trivial predictors fitted on training photos"
    )


def painted(lab: jax.Array, ab: jax.Array) -> jax.Array:
    """Returns the uint8 sRGB picture with the lightness of `lab` and the colours `ab`."""
    return color.lab_to_rgb_u8(jnp.concatenate([lab[..., :1], ab], axis=-1))


def measure(
    rgb_u8: jax.Array, mask: jax.Array, lab: jax.Array, ab: jax.Array
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Compares predicted colours with the truth.

    Args:
        rgb_u8: (N, H, W, 3) uint8, the true photos.
        mask: (N,) bool; False for photos that do not count.
        lab: (N, H, W, 3) float32, the true photos in Lab.
        ab: (N, H, W, 2) float32, the prediction.

    Returns:
        name -> (sum, count) over photos, for `metrics.merge` and `summarize`.
    """
    true_ab = lab[..., 1:]
    rgb = painted(lab, ab)
    exactly_grey = jnp.all(rgb_u8 == rgb_u8[..., :1], axis=(1, 2, 3))
    values = {
        "mae_ab": metrics.mae_ab(ab, true_ab),
        "squared_ab": jnp.square(metrics.rmse_ab(ab, true_ab)),
        "mse": metrics.mse(rgb, rgb_u8),
        "colorfulness": metrics.colorfulness(rgb),
        "chroma": metrics.mean_chroma(ab),
        "true_chroma": metrics.mean_chroma(true_ab),
        "grey": exactly_grey.astype(jnp.float32),
    }
    if min(rgb_u8.shape[1:3]) >= _SSIM_WINDOW:
        values["ssim"] = metrics.ssim(rgb, rgb_u8)
    sums = {name: metrics.masked_sum(value, mask) for name, value in values.items()}
    return sums | {"psnr": metrics.masked_sum(metrics.psnr(rgb, rgb_u8), mask & ~exactly_grey)}


def summarize(sums: metrics.Sums) -> dict[str, float]:
    """Turns the sums of `measure` into metrics: means over photos, and what follows from means.

    A metric without a value, such as psnr where all photos are grey, is left out.
    """
    means = metrics.means(sums)
    result = {name: means[name] for name in ("mae_ab", "psnr", "ssim") if name in means}
    result |= {
        "rmse_ab": means["squared_ab"] ** 0.5,
        "psnr_of_mean_mse": float(10 * np.log10(255**2 / max(means["mse"], 1e-10))),
        "colorfulness": means["colorfulness"],
        "chroma_ratio": means["chroma"] / max(means["true_chroma"], 1e-10),
    }
    return {name: value for name, value in result.items() if np.isfinite(value)}


def build_step(method: Method):
    """Builds the evaluation of one batch, jitted; evaluators of one method share it.

    Returns:
        (variables, batch) -> (sums of `measure`, predicted photos (N, H, W, 3) uint8).
    """

    def evaluate_step(variables: Variables, batch: dict[str, jax.Array]):
        lab = color.rgb_u8_to_lab(batch["rgb"])
        ab = method.predict_ab(variables, lab[..., :1])
        return measure(batch["rgb"], batch["mask"] > 0, lab, ab), painted(lab, ab)

    return jax.jit(evaluate_step)


@jax.jit
def _baseline_step(tables: jax.Array, batch: dict[str, jax.Array]):
    """Measures tables (T, 101, 2) of one ab colour a level of L, one after the other."""
    lab = color.rgb_u8_to_lab(batch["rgb"])

    def measure_table(ab: jax.Array):
        prediction = metrics.ColorTable(ab).predict(lab[..., :1])
        return measure(batch["rgb"], batch["mask"] > 0, lab, prediction)

    return jax.lax.map(measure_table, tables)


class Evaluator:
    """Evaluates weights on the photos of one source, as often as asked."""

    def __init__(
        self,
        step: Callable,
        config: ConfigDict,
        source: Source,
        layout: parallel.Layout,
        skipped: SkippedPhotos,
        fitted_on: Source | None = None,
    ):
        """Prepares an evaluation.

        Args:
            step: of the method, from `build_step`.
            config: `data` and `evaluation` are read.
            source: the photos.
            layout: the devices.
            skipped: is told of unreadable photos.
            fitted_on: training photos for the trivial predictors; None leaves those out.
        """
        self._step = step
        self._config = config
        self._source = source
        self._layout = layout
        self._skipped = skipped
        self._fitted_on = fitted_on
        self._baselines: dict[str, dict[str, float]] | None = None if fitted_on else {}

    def run(
        self, variables: Variables, should_stop: Callable[[], bool] = lambda: False
    ) -> Report | None:
        """Evaluates weights; the trivial predictors too, the first time.

        Args:
            variables: of the method's network, on the layout's devices.
            should_stop: asked before every batch; True ends the evaluation.

        Returns:
            The report; None if it was ended early.
        """
        names, tables = self._tables() if self._baselines is None else ([], None)
        sums: metrics.Sums = {}
        baseline_sums: dict[str, Any] = {}  # sums of all predictors, stacked
        strips: list[np.ndarray] = []
        shown = _spread(len(self._source), self._config.evaluation.grid_photos)
        unreadable = 0
        with contextlib.closing(eval_batches(self._source, self._config)) as batches:
            for number, batch in enumerate(batches):
                if should_stop():
                    return None
                unreadable += self._skipped.note(self._source, batch["skipped"])
                fields = {name: batch[name] for name in ("rgb", "mask")}
                on_devices = parallel.to_global(fields, self._layout)
                found, rgb = self._step(variables, on_devices)
                sums = metrics.merge(sums, found)
                first = number * len(batch["mask"])
                rows = [i - first for i in shown if 0 <= i - first < len(batch["mask"])]
                if rows:
                    strips += _strips(batch["rgb"][rows], jax.device_get(rgb)[rows])
                if tables is not None:
                    baseline_sums = metrics.merge(baseline_sums, _baseline_step(tables, on_devices))
        if self._baselines is None:
            self._baselines = {
                name: summarize({key: (s[row], c[row]) for key, (s, c) in baseline_sums.items()})
                for row, name in enumerate(names)
            }
        return Report(
            num_images=int(sums["mse"][1]),
            num_grey=int(sums["grey"][0]),
            num_unreadable=unreadable,
            metrics=summarize(sums),
            baselines=self._baselines,
            strips=np.array(strips, np.uint8),
        )

    def _tables(self) -> tuple[list[str], jax.Array]:
        assert self._fitted_on is not None
        tables = fit_color_tables(self._fitted_on, self._config)
        stacked = np.stack([table.ab for table in tables.values()])
        return list(tables), jax.device_put(stacked, self._layout.replicated)


def eval_batches(source: Source, config: ConfigDict):
    """Iterates over this host's share of a source, in batches of `config.evaluation`."""
    return pipeline.eval_batches(
        source,
        config.data,
        batch_size=config.evaluation.batch_size,
        host=jax.process_index(),
        hosts=jax.process_count(),
    )


def fit_color_tables(source: Source, config: ConfigDict) -> dict[str, metrics.ColorTable]:
    """Fits the trivial predictors on `evaluation.baseline_photos` photos of a source."""
    some = splits.limit(source, config.evaluation.baseline_photos)
    sums = np.zeros((101, 3))
    batches = pipeline.eval_batches(some, config.data, batch_size=config.evaluation.batch_size)
    with contextlib.closing(batches):
        for batch in batches:
            sums += metrics.color_sums(color.rgb_u8_to_lab(batch["rgb"][batch["mask"] > 0]))
    return metrics.fit_color_tables(sums)


def _spread(length: int, number: int) -> list[int]:
    """Returns up to `number` places spread over a sequence: neighbours often show one class."""
    return sorted({round(place) for place in np.linspace(0, length - 1, min(number, length))})


def _strips(truth: np.ndarray, predicted: np.ndarray) -> list[np.ndarray]:
    lab = color.rgb_u8_to_lab(truth)
    lab[..., 1:] = 0
    return list(np.concatenate([color.lab_to_rgb_u8(lab), predicted, truth], axis=2))
