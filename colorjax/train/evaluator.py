"""Evaluation of a method and of baselines against the truth, on the same photos."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from colorjax import color, losses, metrics
from colorjax.color.hint_spreading import Keys, spread_hints
from colorjax.data import crops, pipeline, trivial_predictors
from colorjax.data.decode import decode_region
from colorjax.data.hints import MAX_EVALUATION_HINTS, PLACES
from colorjax.data.selection import hues, splits
from colorjax.data.sources.labels import NO_LABEL
from colorjax.data.sources.source import Source
from colorjax.data.sources.subsets import evenly_spaced
from colorjax.errors import unknown_name
from colorjax.methods.method import Method, Variables
from colorjax.metrics.picture import is_gray
from colorjax.metrics.prediction import (
    errors_of_photos,
    measure,
    measure_by_hue,
    measure_scaled,
    painted,
)
from colorjax.metrics.summary import paired_gains, summarize, summarize_hues
from colorjax.models.blocks.convolution import looped
from colorjax.models.hint_spreading import feature_layers, keyed
from colorjax.parallel import mesh as parallel
from colorjax.train.skipped import SkippedPhotos

# Fields of a batch that are copied to the devices.
FIELDS = ("rgb", "mask", "label", "edges", "hint_ab", "hint_order", "hue_bin")


@dataclasses.dataclass(frozen=True)
class Report:
    """Results of an evaluation.

    Attributes:
        num_images: number of evaluated photos.
        num_grey: number of exactly gray photos (R = G = B everywhere), excluded from `psnr`.
        num_unreadable: number of photos excluded because they cannot be decoded.
        metrics: name -> value, of the method.
        baselines: baseline -> the same metrics.
        paired_gains: baseline -> improvement of the method over it; see
            `colorjax.metrics.summary.paired_gains`.
        hues: for each bin of mean hue: its range, number of photos and metrics.
        strips: (N, H, 3 W, 3) uint8, some photos: gray | prediction | truth.
        errors: mae_ab and mse of each photo, (num_images,), in the order of the source.
    """

    num_images: int
    num_grey: int
    num_unreadable: int
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    paired_gains: dict[str, dict[str, Any]]
    hues: list[dict[str, float]]
    strips: np.ndarray
    errors: dict[str, np.ndarray]


def protocol(config: ConfigDict) -> str:
    """Returns one line that describes how photos are prepared and compared."""
    size = config.data.image_size
    text = (
        f"center square at {size}x{size} px; the photo's own L (CIE Lab, D65) with the predicted "
        "ab, clipped to sRGB, rounded to 8 bits; psnr excludes exactly gray photos; SSIM with "
        "an 11x11 Gaussian; auc, auc_rebalanced, mae_ab, rmse_ab, chroma_ratio, bias_a, bias_b, "
        "accuracy_ab_2 and accuracy_ab_5 of the predicted ab, the rest of the picture; "
        "auc_rebalanced weights by 1 / prior of the true color's bin, with the prior of "
        f"{config.evaluation.prior or 'Tiny ImageNet'}; trivial predictors fitted on training "
        "photos"
    )
    inference = config.to_dict().get("inference", {})
    saturation, decode = inference.get("saturation", 1.0), inference.get("decode", "ab")
    if decode != "ab":
        text += f"; ab decoded as {decode}, at a temperature of {config.model.temperature:g}"
    if saturation != 1:
        text += f"; the predicted ab times {saturation:g}"
    if config.data.saturation != 1:
        text += (
            f"; the metrics named _scaled compare with targets whose saturation is scaled by "
            f"{config.data.saturation}, as in training; all others with the true colors"
        )
    if config.evaluation.hint_counts:
        text += (
            "; without hints, but psnr_hints_N with N squares of 6/256 of the side, at "
            f"{hint_places(config.evaluation)} positions, of the true color's mean, by the "
            "network's input or else spread by its features"
        )
    return text


def hint_places(evaluation: ConfigDict) -> str:
    """Returns how the hints of `config.evaluation` are placed; empty: it has none.

    Raises:
        RequestError: unknown places.
    """
    if not evaluation.hint_counts:
        return ""
    places = evaluation.get("hint_places") or "uniform"  # earlier configs lack the field
    if places not in PLACES:
        raise unknown_name("evaluation.hint_places", places, PLACES)
    return places


class Steps(NamedTuple):
    """Jitted evaluation of one batch; shared by the evaluators of a method.

    Attributes:
        inputs: of the method's network; batches must contain them.
        method: (variables, batch) -> (sums of `measure`, predicted photos (N, H, W, 3) uint8,
            errors of each photo).
        tables: (tables (T, 101, 2) with an ab color for each level of L, batch) -> (sums of
            `measure`, errors of each photo), stacked.
    """

    inputs: frozenset[str]
    method: Callable
    tables: Callable


def _feature_loss(
    method: Method, variables: Variables, rgb: jax.Array, mask: jax.Array, outputs: dict
) -> tuple[jax.Array, jax.Array]:
    """Sums over photos the relative distance of predicted and true pictures in feature space.

    The distance is the mean over layers of |difference| / mean |features of the photo|.
    """
    assert method.features is not None
    lab = color.rgb_u8_to_lab(rgb)
    lab = jnp.concatenate([lab[..., :1], outputs["ab"]], axis=-1)
    pictures = (color.lab_to_rgb(lab), rgb.astype(jnp.float32) / 255)
    taps = [method.features.apply(variables, each, train=False)["taps"] for each in pictures]
    axes = (1, 2, 3)
    layers = [
        jnp.mean(jnp.abs(a - b), axis=axes) / (jnp.mean(jnp.abs(b), axis=axes) + 1e-6)
        for a, b in zip(*taps, strict=True)
    ]
    return metrics.masked_sum(sum(layers) / len(layers), mask)


def _hinted_ab(
    outputs: dict[str, jax.Array], lab: jax.Array, batch: dict[str, jax.Array], count: jax.Array
) -> jax.Array:
    """Returns the predicted ab (N, H, W, 2) corrected by the first `count` hints of each photo."""
    keys: Keys = outputs["hint_keys"]  # pyrefly: ignore
    size, grid = lab.shape[1:3], keys.features.shape[1:3]

    def correct(ab, keys, lightness, hint_ab, order):
        fields = [
            jnp.ones((*size, 1)),
            *jnp.meshgrid(*map(jnp.arange, size), indexing="ij"),
            hint_ab,
        ]
        planes = jnp.concatenate([x.reshape(*size, -1).astype(jnp.float32) for x in fields], -1)
        numbers = jnp.minimum(order.ravel(), MAX_EVALUATION_HINTS)  # the last: no hint
        sums = jax.ops.segment_sum(
            planes.reshape(-1, 5), numbers, num_segments=MAX_EVALUATION_HINTS + 1
        )[:-1]
        pixels, means = sums[:, 0], sums[:, 1:] / jnp.maximum(sums[:, :1], 1)
        scale = jnp.array([grid[0] / size[0], grid[1] / size[1]])
        cells = ((means[:, :2] + 0.5) * scale[None]).astype(jnp.int32)
        valid = (pixels > 0) & (jnp.arange(MAX_EVALUATION_HINTS) < count)
        coarse = jax.image.resize(ab, (*grid, 2), "linear")
        lightness = jax.image.resize(lightness, grid, "linear")
        hint_ab = color.denormalize_ab(means[:, 2:])
        correction = spread_hints(coarse, keys, lightness, cells, hint_ab, valid)
        return ab + jax.image.resize(correction, ab.shape, "linear")

    fields = (outputs["ab"], keys, lab[..., 0], batch["hint_ab"], batch["hint_order"])
    return jax.vmap(correct)(*fields)


def build_steps(
    method: Method,
    prior: np.ndarray | None = None,
    hint_counts: Sequence[int] = (),
    num_hues: int = 0,
) -> Steps:
    """Builds the evaluation of one batch.

    Args:
        method: to evaluate, without hints.
        prior: as for `measure`.
        hint_counts: numbers of hints N for psnr_hints_N, computed if the batches contain hints and
            the network has a hint input or `feature_layers`.
        num_hues: number of bins of mean hue, for batches that contain `hue_bin`.
    """

    def evaluate_method(variables: Variables, batch: dict[str, jax.Array]):
        rgb, mask = batch["rgb"], batch["mask"] > 0
        lab = color.rgb_u8_to_lab(rgb)
        seen = method.encode(rgb)
        fields = {"gray": seen["gray"]}
        if "edges" in batch:
            fields["edges"] = batch["edges"]
        counts = hint_counts if "hint_ab" in batch else ()
        spreads = bool(counts) and not method.takes_hints
        if spreads and not feature_layers(method.network):
            counts, spreads = (), False
        network = keyed(method.network) if spreads else method.network
        outputs = dataclasses.replace(method, network=network).predict(variables, fields)
        sums = measure(rgb, mask, lab, outputs, prior)
        if "hue_bin" in batch:
            sums |= measure_by_hue(rgb, mask, lab, outputs, batch["hue_bin"], num_hues)
        if "features" in variables:
            sums["feature_loss"] = _feature_loss(method, variables["features"], rgb, mask, outputs)
        if method.encode.saturation != 1:
            sums |= measure_scaled(outputs["ab"], color.denormalize_ab(seen["ab"]), mask)
        if "class_logits" in outputs:
            labels = jnp.where(mask, batch["label"], NO_LABEL)
            sums["top1"] = losses.class_hits(outputs["class_logits"], labels)
        if counts:
            colored = mask & ~is_gray(rgb)

            def with_hints(count: jax.Array):
                if spreads:
                    ab = _hinted_ab(outputs, lab, batch, count)
                else:
                    is_hint = (batch["hint_order"] < count).astype(jnp.float32)
                    hints = {"hint_ab": batch["hint_ab"] * is_hint, "hint_mask": is_hint}
                    with looped():
                        ab = method.predict_ab(variables, fields | hints)
                return metrics.masked_sum(metrics.psnr(painted(lab, ab), rgb), colored)

            total, number = jax.lax.map(with_hints, jnp.asarray(counts))
            for index, count in enumerate(counts):
                sums[f"psnr_hints_{count}"] = (total[index], number[index])
        errors = errors_of_photos(rgb, lab, outputs)
        return sums, painted(outputs.get("lightness", lab), outputs["ab"]), errors

    def evaluate_tables(tables: jax.Array, batch: dict[str, jax.Array]):
        lab = color.rgb_u8_to_lab(batch["rgb"])

        def measure_table(ab: jax.Array):
            prediction = {"ab": metrics.ColorTable(ab).predict(lab[..., :1])}
            sums = measure(batch["rgb"], batch["mask"] > 0, lab, prediction, prior)
            return sums, errors_of_photos(batch["rgb"], lab, prediction)

        return jax.lax.map(measure_table, tables)  # sequential, to save memory

    return Steps(method.network.inputs, jax.jit(evaluate_method), jax.jit(evaluate_tables))


class Evaluator:
    """Repeatable evaluation of weights on the photos of one source."""

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
            skipped: collects unreadable photos.
            fitted_on: training photos for fitting the baselines; None: no baselines.
        """
        self._steps = steps
        self._config = config
        self._source = source
        self._layout = layout
        self._skipped = skipped
        self._fitted_on = fitted_on
        self._num_hues = config.evaluation.get("hue_bins") or 0
        self._baselines: dict[str, dict[str, float]] | None = None if fitted_on else {}
        self._errors: dict[str, dict[str, np.ndarray]] = {}

    @property
    def num_photos(self) -> int:
        """Number of photos of the source."""
        return len(self._source)

    def run(
        self,
        variables: Variables,
        should_stop: Callable[[], bool] = lambda: False,
        count: Callable[[int], object] = lambda number: None,
    ) -> Report | None:
        """Evaluates weights; the first call also evaluates the baselines.

        Args:
            variables: of the method's network, on the layout's devices.
            should_stop: called before every batch; True ends the evaluation.
            count: called after every batch with the number of photos that are done.

        Returns:
            The report; None if the evaluation ended early.
        """
        names, tables = self._tables() if self._baselines is None else ([], None)
        sums: metrics.Sums = {}
        baseline_sums: dict[str, Any] = {}  # stacked over the baselines
        strips: list[np.ndarray] = []
        pictured = evenly_spaced(len(self._source), self._config.evaluation.grid_photos)
        unreadable = 0
        own, others = [], []  # errors of each photo
        with contextlib.closing(self._batches()) as batches:
            for number, batch in enumerate(batches):
                if should_stop():
                    return None
                unreadable += self._skipped.note(self._source, batch["skipped"])
                if self._num_hues:
                    batch["hue_bin"] = self._hue_bins(batch["rgb"])
                fields = {name: batch[name] for name in FIELDS if name in batch}
                on_devices = parallel.to_global(fields, self._layout)
                batch_sums, rgb, errors = self._steps.method(variables, on_devices)
                counted = parallel.to_host(on_devices["mask"]) > 0  # rows of all hosts
                own.append(_rows(errors, counted))
                sums = metrics.merge(sums, parallel.to_host(batch_sums))
                first = number * len(counted)
                rows = [i - first for i in pictured if 0 <= i - first < len(counted)]
                if rows:
                    truth = parallel.to_host(on_devices["rgb"])
                    strips += _strips(truth[rows], parallel.to_host(rgb)[rows])
                if tables is not None:
                    batch_sums, errors = self._steps.tables(tables, on_devices)
                    others.append(_rows(errors, counted))
                    baseline_sums = metrics.merge(baseline_sums, parallel.to_host(batch_sums))
                count(min(first + len(counted), len(self._source)))
        if self._baselines is None:
            self._baselines = {
                name: summarize({key: (s[row], c[row]) for key, (s, c) in baseline_sums.items()})
                for row, name in enumerate(names)
            }
            self._errors = {
                name: {key: np.concatenate([e[key][row] for e in others]) for key in others[0]}
                for row, name in enumerate(names)
            }
        self._skipped.share()
        errors = {key: np.concatenate([e[key] for e in own]) for key in own[0]}
        return Report(
            num_images=int(sums["mse"][1]),
            num_grey=int(sums["is_gray"][0]),
            num_unreadable=sum(parallel.allgather_ints([unreadable], 1)),
            metrics=summarize(sums),
            baselines=self._baselines,
            paired_gains=paired_gains(errors, self._errors),
            hues=summarize_hues(sums, self._num_hues),
            strips=np.array(strips, np.uint8),
            errors=errors,
        )

    def _hue_bins(self, rgb: np.ndarray) -> np.ndarray:
        mean = self._config.data.get("hue_mean") or "arithmetic"
        means = np.array([getattr(hues.mean_hues(photo), mean) for photo in rgb])
        return np.minimum(means * self._num_hues, self._num_hues - 1).astype(np.int32)

    def _batches(self):
        """Iterates over this host's share of the source."""
        return pipeline.eval_batches(
            self._source,
            self._config.data,
            batch_size=self._config.evaluation.batch_size,
            inputs=self._steps.inputs,
            hint_places=hint_places(self._config.evaluation),
            host=jax.process_index(),
            hosts=jax.process_count(),
        )

    def _tables(self) -> tuple[list[str], jax.Array]:
        """Fits the baselines on the center squares of `evaluation.baseline_photos` photos."""
        assert self._fitted_on is not None
        some = splits.limit(self._fitted_on, self._config.evaluation.baseline_photos)
        size = self._config.data.image_size
        decode = functools.partial(decode_region, choose_box=crops.center_square, size=size)
        tables = metrics.fit_color_tables(trivial_predictors.count(some, decode)[0])
        stacked = np.stack([table.ab for table in tables.values()])
        return list(tables), jax.device_put(stacked, self._layout.replicated)


def _rows(errors: dict[str, jax.Array], counted: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the errors (..., N) of the selected photos."""
    return {name: value[..., counted] for name, value in parallel.to_host(errors).items()}


def _strips(truth: np.ndarray, predicted: np.ndarray) -> list[np.ndarray]:
    return list(np.concatenate([color.gray_photo(truth), predicted, truth], axis=2))
