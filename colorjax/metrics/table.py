"""Title, unit, direction, decimals and definition of every metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Metric(NamedTuple):
    """How a metric is displayed and read.

    Attributes:
        title: for tables that people read.
        decimals: in tables.
        better: 1: higher is better; -1: lower is better; 0: neither.
        definition: how it is computed.
        unit: empty for a share, a ratio, or a number without a unit in tables.
    """

    title: str
    decimals: int
    better: int
    definition: str
    unit: str = ""


# RGB is 8-bit sRGB of the finished picture, 0 to 255. ab is of CIE Lab (D65); d is the distance in
# the ab plane. A name that ends in _8bit is of ab of the finished picture; the same name without
# that ending is of the predicted ab, before sRGB and rounding.

# Of finished pictures, and of pictures painted from predictions.
_OF_BOTH = {
    "psnr": Metric(
        "PSNR",
        2,
        1,
        "10 log10(255^2 / MSE) dB, MSE over the three channels of a photo; mean of photos that are "
        "not exactly gray, a perfect photo counts as 148 dB; of one picture per photo, never the "
        "best of several",
        "dB",
    ),
    "psnr_of_mean_mse": Metric(
        "PSNR of mean MSE", 2, 1, "10 log10(255^2 / mean MSE of all photos) dB", "dB"
    ),
    "ssim": Metric(
        "SSIM",
        3,
        1,
        "11x11 Gaussian, sigma 1.5, of R, G and B; mean of photos with both sides of at least "
        "11 px",
    ),
    "delta_e_2000": Metric("CIEDE2000", 2, -1, "CIEDE2000; mean of photos"),
    "mae_rgb": Metric("MAE of RGB", 2, -1, "mean of |difference| of R, G and B; mean of photos"),
    "colorfulness": Metric(
        "colorfulness",
        1,
        0,
        "Hasler and Suesstrunk 2003, signed opponents; mean of photos; a constraint, not a score: "
        "see the distance to that of the true photos",
    ),
    "colorfulness_abs": Metric(
        "colorfulness, absolute",
        1,
        0,
        "the same with absolute opponents, as in CT2, ColorFormer and DDColor",
    ),
    "accuracy_2": Metric(
        "accuracy within 2 %",
        3,
        1,
        "share of pixels within 2 % (Nazeri et al. 2018), L counts too",
    ),
    "accuracy_5": Metric("accuracy within 5 %", 3, 1, "share of pixels within 5 %"),
    "bits_per_pixel": Metric(
        "bits per pixel",
        2,
        -1,
        "-log2 of the probability of the true color's bin at the working size; only methods with "
        "bins",
    ),
    "psnr_hints_N": Metric(
        "PSNR with N hints", 2, 1, "psnr with the first N of the same random color hints", "dB"
    ),
}

_OF_AB = {
    "mae_ab": Metric(
        "MAE of ab",
        2,
        -1,
        "mean of |a - a'| and |b - b'| over pixels, Lab units; mean of photos",
    ),
    "rmse_ab": Metric(
        "RMSE of ab",
        2,
        -1,
        "sqrt(mean of (a - a')^2 + (b - b')^2), means over all pixels of all photos",
    ),
    "auc": Metric(
        "AuC raw",
        4,
        1,
        "area under the share of pixels with d <= t, t from 0 to 150, over all pixels",
    ),
    "auc_rebalanced": Metric(
        "AuC rebalanced",
        4,
        1,
        "the same, pixels weighted by 1 / prior of the true color's bin",
    ),
    "chroma_ratio": Metric(
        "chroma ratio",
        2,
        0,
        "mean chroma / mean true chroma, 0 for exactly gray photos; without a value if all are",
    ),
}

# Of finished pictures only.
_OF_PICTURES = {
    f"{name}_8bit": each._replace(
        definition=f"of ab of the finished 8-bit picture: {each.definition}"
    )
    for name, each in _OF_AB.items()
} | {
    "delta_e_2000_p90": Metric(
        "CIEDE2000, 90th percentile",
        2,
        -1,
        "90th percentile of CIEDE2000 over the pixels of a photo; mean of photos",
    ),
    "color_structure": Metric(
        "color structure",
        3,
        1,
        "similarity of the color that lightness does not explain, minus lost color, in Gaussian "
        "windows at about 60 px; at most 1; a tint costs nothing; mean of photos",
    ),
    "ssim_ab": Metric(
        "SSIM of ab",
        3,
        1,
        "SSIM of a and b as signed numbers, 11x11 Gaussian, sigma 1.5, data range 255; mean of "
        "photos with both sides of at least 11 px",
    ),
    "ms_ssim_ab": Metric(
        "MS-SSIM of ab",
        3,
        1,
        "the same at 5 scales with the weights of Wang et al. 2003; fewer scales for photos below "
        "176 px: not comparable",
    ),
    "mae_ab_127": Metric("MAE of ab / 127.5", 4, -1, "mae_ab_8bit / 127.5"),
    "delta_colorfulness": Metric(
        "colorfulness, difference",
        2,
        -1,
        "|mean colorfulness - that of the true photos|; no interval; see that of colorfulness",
    ),
    "delta_colorfulness_abs": Metric(
        "colorfulness, absolute, difference",
        2,
        -1,
        "|mean colorfulness_abs - that of the true photos|, DDColor's",
    ),
    "delta_colorfulness_by_photo": Metric(
        "colorfulness, difference by photo",
        2,
        -1,
        "mean of |colorfulness - that of the true photo|: a constraint that should be small",
    ),
    "fid": Metric(
        "FID",
        3,
        -1,
        "Frechet distance of Inception features; see the stamp of the network",
    ),
    "lpips": Metric("LPIPS", 4, -1, "LPIPS 0.1; see the stamp of the network; mean of photos"),
    "lite_distance": Metric(
        "distance of Lite0 features",
        4,
        -1,
        "distance of the feature maps of EfficientNet-Lite0, as LPIPS but without learned weights: "
        "not LPIPS; see the stamp of the network; mean of photos",
    ),
    "frechet_lite0": Metric(
        "Frechet distance of Lite0 features",
        3,
        -1,
        "Frechet distance of the 320 mean features of EfficientNet-Lite0: not FID, and on another "
        "scale; see the stamp of the network",
    ),
    # In eval.json, top1 is of the method's own classifier.
    "top1": Metric("top 1", 4, 1, "share of photos whose class is VGG16's first"),
    "top5": Metric("top 5", 4, 1, "share of photos whose class is among VGG16's first five"),
}

# Of predictions only.
_OF_PREDICTIONS = _OF_AB | {
    "mae_ab_scaled": Metric(
        "MAE of ab, scaled",
        2,
        -1,
        "mae_ab against targets with scaled saturation (data.saturation)",
    ),
    "rmse_ab_scaled": Metric(
        "RMSE of ab, scaled", 2, -1, "rmse_ab against targets with scaled saturation"
    ),
    "accuracy_ab_2": Metric(
        "accuracy of ab within 2 %", 3, 1, "accuracy_2 of the predicted ab without L"
    ),
    "accuracy_ab_5": Metric(
        "accuracy of ab within 5 %", 3, 1, "accuracy_5 of the predicted ab without L"
    ),
    "bias_a": Metric("bias of a", 2, 0, "mean of a' - a over pixels; mean of photos"),
    "bias_b": Metric("bias of b", 2, 0, "mean of b' - b over pixels; mean of photos"),
    "true_colorfulness": Metric(
        "colorfulness of the photos", 1, 0, "colorfulness of the true photos; mean of photos"
    ),
    "feature_loss": Metric(
        "feature loss",
        3,
        -1,
        "relative distance of picture and photo in the features of nogan; mean of photos",
    ),
}

# Of several pictures, of distributions and of films: not in the tables of a suite.
_OTHERS = {
    "psnr_best_of_n": Metric(
        "PSNR, best of n samples",
        2,
        1,
        "psnr of the sample that is nearest to the truth; read it with n and with diversity",
        "dB",
    ),
    "psnr_mean_of_n": Metric("PSNR, mean of n samples", 2, 1, "mean psnr of the samples", "dB"),
    "psnr_worst_of_n": Metric("PSNR, worst of n samples", 2, 1, "lowest psnr of a sample", "dB"),
    "diversity": Metric(
        "diversity",
        2,
        0,
        "mean distance of two samples in the ab plane, over all pairs and pixels, Lab units",
    ),
    "ece": Metric(
        "ECE",
        4,
        -1,
        "mean |accuracy - confidence| of the most likely bin over 15 bins of equal mass; all "
        "positions of all photos",
    ),
    "cdc": Metric(
        "CDC",
        5,
        -1,
        "Jensen-Shannon divergence of the histograms of R, G and B between frames at distances of "
        "1, 2 and 4; read it with the value of the true film",
    ),
}

SKILL = Metric("skill", 3, 1, "1 - mae_ab_8bit / mae_ab_8bit of per_lightness")

METRICS = _OF_BOTH | _OF_PICTURES | _OF_PREDICTIONS | _OTHERS | {"skill": SKILL}
OF_PICTURES = tuple(_OF_BOTH | _OF_PICTURES)
_NAMES_OF_PREDICTIONS = (*_OF_BOTH, *_OF_PREDICTIONS, "top1")

# Validation metrics that can select a checkpoint or a trial.
SELECTABLE = (
    *("mae_ab", "rmse_ab", "mae_rgb", "psnr", "psnr_of_mean_mse", "ssim", "auc", "auc_rebalanced"),
    *("delta_e_2000", "accuracy_2", "accuracy_5", "accuracy_ab_2", "accuracy_ab_5"),
    *("bits_per_pixel", "top1"),
)

# The metrics of an evaluation that TensorBoard shows; eval.json and metrics.jsonl have all.
# The sixth is above_gray/psnr, the PSNR minus that of gray photos.
SHOWN = ("psnr", "mae_ab", "auc", "ssim", "chroma_ratio")
# The baselines and metrics that it shows beside them.
SHOWN_BASELINES = ("grey", "per_lightness")
SHOWN_BESIDE_BASELINES = ("psnr", "mae_ab")

_ARROWS = {1: "↑", -1: "↓", 0: ""}
_HINTS = "psnr_hints_"


def metric(name: str) -> Metric:
    """Returns the entry of a metric.

    >>> metric("psnr_hints_5").title
    'PSNR with 5 hints'
    """
    entry = METRICS[_general(name)]
    return entry._replace(title=entry.title.replace(" N ", f" {name.removeprefix(_HINTS)} "))


def _general(name: str) -> str:
    return _HINTS + "N" if name.startswith(_HINTS) else name


def of_pictures(name: str) -> bool:
    """Returns whether it is a metric of finished pictures: of `evaluate` and `compare`."""
    return _general(name) in OF_PICTURES


def of_predictions(name: str) -> bool:
    """Returns whether it is a metric of predictions: of eval.json."""
    return _general(name) in _NAMES_OF_PREDICTIONS


def excludes_gray(name: str) -> bool:
    """Returns whether exactly gray photos do not count in a metric: their PSNR has no bound."""
    return name == "psnr" or name.startswith(_HINTS)


def labeled(name: str) -> str:
    """Returns the name with an arrow in the direction of better.

    >>> labeled("mae_ab"), labeled("colorfulness")
    ('mae_ab ↓', 'colorfulness')
    """
    return f"{name} {_ARROWS[metric(name).better]}".strip()


def heading(name: str) -> str:
    """Returns the title with its unit.

    >>> heading("psnr"), heading("mae_ab_8bit")
    ('PSNR, dB', 'MAE of ab')
    """
    return ", ".join(filter(None, (metric(name).title, metric(name).unit)))


def text(name: str, value: float, sign: str = "") -> str:
    """Returns a value with the decimals of its metric.

    >>> text("psnr", 21.456), text("psnr", 0.5, "+")
    ('21.46', '+0.50')
    """
    return f"{value:{sign}.{metric(name).decimals}f}"


def current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the metrics of a row of `result.json` by their present names.

    Earlier results have `mae_ab` for `mae_ab_8bit`, and so on for all metrics of ab.
    """
    return {f"{name}_8bit" if name in _OF_AB else name: value for name, value in values.items()}
