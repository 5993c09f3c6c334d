"""Evaluation: a method against the truth and against trivial predictors, on the same photos."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from colorjax import color, losses, metrics, parallel
from colorjax.data import pipeline, splits
from colorjax.data.labels import NO_LABEL
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
    "auc": True,
    "auc_rebalanced": True,
    "delta_e_2000": False,
    "accuracy_2": True,
    "accuracy_5": True,
    "accuracy_ab_2": True,
    "accuracy_ab_5": True,
    "bits_per_pixel": False,
    "top1": True,
}
_SSIM_WINDOW = 11  # pixels
# Of a batch, what goes to the devices.
_FIELDS = ("rgb", "mask", "label", "edges", "hint_ab", "hint_order")


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
    text = (
        f"centre square at {size}x{size} px; the photo's own L (CIE Lab, D65) with the predicted "
        "ab, clipped to sRGB, rounded to 8 bits; psnr leaves exactly grey photos out; SSIM with "
        "an 11x11 Gaussian; auc, mae_ab and rmse_ab of the predicted ab, the rest of the picture; "
        "auc_rebalanced weights by 1 / prior of the true colour's bin, with the prior of "
        f"{config.evaluation.prior or 'Tiny ImageNet'}; trivial predictors fitted on training "
        "photos"
    )
    if config.data.saturation != 1:
        text += (
            f"; the metrics named _scaled compare with targets whose saturation is scaled by "
            f"{config.data.saturation}, as in training; all others with the true colours"
        )
    if config.data.hints and config.evaluation.hint_counts:
        text += (
            "; without hints, but psnr_hints_N with N squares of 6/256 of the side, evenly drawn, "
            "of the true colour's mean"
        )
    return text


def painted(lab: jax.Array, ab: jax.Array) -> jax.Array:
    """Returns the uint8 sRGB picture with the lightness of `lab` and the colours `ab`."""
    return color.lab_to_rgb_u8(jnp.concatenate([lab[..., :1], ab], axis=-1))


def measure(
    rgb_u8: jax.Array,
    mask: jax.Array,
    lab: jax.Array,
    outputs: dict[str, jax.Array],
    prior: np.ndarray | None = None,
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Compares predicted colours with the truth.

    Args:
        rgb_u8: (N, H, W, 3) uint8, the true photos.
        mask: (N,) bool; False for photos that do not count.
        lab: (N, H, W, 3) float32, the true photos in Lab.
        outputs: ab (N, H, W, 2) float32, the prediction in Lab units; where the method has a
            distribution over bins, bin_logits (N, h, w, 313).
        prior: (313,) share of each bin, for the rebalanced AuC; None leaves that out.

    Returns:
        name -> (sum, count) over photos, for `metrics.merge` and `summarize`.
    """
    ab, true_ab = outputs["ab"], lab[..., 1:]
    rgb = painted(lab, ab)
    seen = color.rgb_u8_to_lab(rgb)
    exactly_grey = jnp.all(rgb_u8 == rgb_u8[..., :1], axis=(1, 2, 3))
    values = {
        "mae_ab": metrics.mae_ab(ab, true_ab),
        "squared_ab": jnp.square(metrics.rmse_ab(ab, true_ab)),
        "auc": metrics.auc(ab, true_ab),
        "mse": metrics.mse(rgb, rgb_u8),
        "delta_e_2000": metrics.delta_e_2000(seen, lab),
        "colorfulness": metrics.colorfulness(rgb),
        "colorfulness_abs": metrics.colorfulness_abs(rgb),
        "chroma": metrics.mean_chroma(ab),
        "true_chroma": metrics.mean_chroma(true_ab),
        "grey": exactly_grey.astype(jnp.float32),
    }
    for percent in (2, 5):
        values[f"accuracy_{percent}"] = metrics.accuracy_within(seen, lab, percent)
        values[f"accuracy_ab_{percent}"] = metrics.accuracy_within_ab(ab, true_ab, percent)
    if min(rgb_u8.shape[1:3]) >= _SSIM_WINDOW:
        values["ssim"] = metrics.ssim(rgb, rgb_u8)
    if "bin_logits" in outputs:
        logits = outputs["bin_logits"]
        every = lab.shape[1] // logits.shape[1]
        values["bits_per_pixel"] = metrics.bits_per_pixel(logits, true_ab[:, ::every, ::every])
    sums = {name: metrics.masked_sum(value, mask) for name, value in values.items()}
    sums["psnr"] = metrics.masked_sum(metrics.psnr(rgb, rgb_u8), mask & ~exactly_grey)
    if prior is not None:
        right, weight = metrics.auc_sums(ab, true_ab, prior)
        sums["auc_rebalanced"] = (
            metrics.masked_sum(right, mask)[0],
            metrics.masked_sum(weight, mask)[0],
        )
    return sums


def measure_scaled(
    ab: jax.Array, scaled_ab: jax.Array, mask: jax.Array
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Compares predicted colours with saturation-scaled targets, as `measure` does with the truth.

    Args:
        ab: (N, H, W, 2) float32, the prediction in Lab units.
        scaled_ab: the same, of the targets.
        mask: (N,) bool; False for photos that do not count.
    """
    values = {
        "mae_ab_scaled": metrics.mae_ab(ab, scaled_ab),
        "squared_ab_scaled": jnp.square(metrics.rmse_ab(ab, scaled_ab)),
    }
    return {name: metrics.masked_sum(value, mask) for name, value in values.items()}


# Means over photos that are metrics as they are.
_MEANS = (
    "mae_ab",
    "auc",
    "auc_rebalanced",
    "psnr",
    "ssim",
    "delta_e_2000",
    "accuracy_2",
    "accuracy_5",
    "accuracy_ab_2",
    "accuracy_ab_5",
    "bits_per_pixel",
    "colorfulness",
    "colorfulness_abs",
    "top1",
    "mae_ab_scaled",
)


def summarize(sums: metrics.Sums) -> dict[str, float]:
    """Turns the sums of `measure` into metrics: means over photos, and what follows from means.

    A metric without a value, such as psnr where all photos are grey, is left out.
    """
    means = metrics.means(sums)
    kept = [name for name in means if name in _MEANS or name.startswith("psnr_hints_")]
    result = {name: means[name] for name in kept}
    result |= {
        "rmse_ab": means["squared_ab"] ** 0.5,
        "psnr_of_mean_mse": float(10 * np.log10(255**2 / max(means["mse"], 1e-10))),
        "chroma_ratio": means["chroma"] / max(means["true_chroma"], 1e-10),
    }
    if "squared_ab_scaled" in means:
        result["rmse_ab_scaled"] = means["squared_ab_scaled"] ** 0.5
    return {name: value for name, value in result.items() if np.isfinite(value)}


class Steps(NamedTuple):
    """The evaluation of one batch, jitted; evaluators of one method share it.

    Attributes:
        inputs: of the method's network, which batches have to hold.
        method: (variables, batch) -> (sums of `measure`, predicted photos (N, H, W, 3) uint8).
        tables: (tables (T, 101, 2) of an ab colour for each level of L, batch) -> sums of
            `measure`, stacked.
    """

    inputs: frozenset[str]
    method: Callable
    tables: Callable


def build_steps(
    method: Method, prior: np.ndarray | None = None, hint_counts: Sequence[int] = ()
) -> Steps:
    """Builds the evaluation of one batch.

    Args:
        method: what is evaluated; without hints.
        prior: as for `measure`.
        hint_counts: numbers of hints with which psnr_hints_N is measured as well, for a method
            that takes hints and batches that hold them.
    """

    def evaluate_method(variables: Variables, batch: dict[str, jax.Array]):
        rgb, mask = batch["rgb"], batch["mask"] > 0
        lab = color.rgb_u8_to_lab(rgb)
        seen = method.encode(rgb)
        fields = {"grey": seen["grey"]}
        if "edges" in batch:
            fields["edges"] = batch["edges"]
        outputs = method.predict(variables, fields)
        sums = measure(rgb, mask, lab, outputs, prior)
        if method.encode.saturation != 1:
            sums |= measure_scaled(outputs["ab"], color.denormalize_ab(seen["ab"]), mask)
        if "class_logits" in outputs:
            labels = jnp.where(mask, batch["label"], NO_LABEL)
            sums["top1"] = losses.class_hits(outputs["class_logits"], labels)
        counts = hint_counts if "hint_ab" in batch and method.takes_hints else ()
        if counts:
            colored = mask & ~jnp.all(rgb == rgb[..., :1], axis=(1, 2, 3))

            def with_hints(count: jax.Array):
                is_hint = (batch["hint_order"] < count).astype(jnp.float32)
                hints = {"hint_ab": batch["hint_ab"] * is_hint, "hint_mask": is_hint}
                ab = method.predict_ab(variables, fields | hints)
                return metrics.masked_sum(metrics.psnr(painted(lab, ab), rgb), colored)

            total, number = jax.lax.map(with_hints, jnp.asarray(counts))
            for place, count in enumerate(counts):
                sums[f"psnr_hints_{count}"] = (total[place], number[place])
        return sums, painted(lab, outputs["ab"])

    def evaluate_tables(tables: jax.Array, batch: dict[str, jax.Array]):
        lab = color.rgb_u8_to_lab(batch["rgb"])

        def measure_table(ab: jax.Array):
            prediction = {"ab": metrics.ColorTable(ab).predict(lab[..., :1])}
            return measure(batch["rgb"], batch["mask"] > 0, lab, prediction, prior)

        return jax.lax.map(measure_table, tables)  # one after the other: memory for one

    return Steps(method.network.inputs, jax.jit(evaluate_method), jax.jit(evaluate_tables))


class Evaluator:
    """Evaluates weights on the photos of one source, as often as asked."""

    def __init__(
        self,
        steps: Steps,
        config: ConfigDict,
        source: Source,
        layout: parallel.Layout,
        skipped: SkippedPhotos,
        fitted_on: Source | None = None,
    ):
        """Prepares an evaluation.

        Args:
            steps: of the method, from `build_steps`.
            config: `data` and `evaluation` are read.
            source: the photos.
            layout: the devices.
            skipped: is told of unreadable photos.
            fitted_on: training photos for the trivial predictors; None leaves those out.
        """
        self._steps = steps
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
        with contextlib.closing(self._batches()) as batches:
            for number, batch in enumerate(batches):
                if should_stop():
                    return None
                unreadable += self._skipped.note(self._source, batch["skipped"])
                fields = {name: batch[name] for name in _FIELDS if name in batch}
                on_devices = parallel.to_global(fields, self._layout)
                found, rgb = self._steps.method(variables, on_devices)
                sums = metrics.merge(sums, found)
                first = number * len(batch["mask"])
                rows = [i - first for i in shown if 0 <= i - first < len(batch["mask"])]
                if rows:
                    strips += _strips(batch["rgb"][rows], jax.device_get(rgb)[rows])
                if tables is not None:
                    found = self._steps.tables(tables, on_devices)
                    baseline_sums = metrics.merge(baseline_sums, found)
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

    def _batches(self):
        """Iterates over this host's share of the source."""
        return pipeline.eval_batches(
            self._source,
            self._config.data,
            batch_size=self._config.evaluation.batch_size,
            inputs=self._steps.inputs,
            host=jax.process_index(),
            hosts=jax.process_count(),
        )

    def _tables(self) -> tuple[list[str], jax.Array]:
        assert self._fitted_on is not None
        tables = fit_color_tables(self._fitted_on, self._config)
        stacked = np.stack([table.ab for table in tables.values()])
        return list(tables), jax.device_put(stacked, self._layout.replicated)


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
