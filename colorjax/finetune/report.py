"""Compares the base and the tuned weights on the held-out photos."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from colorjax.data.crops import cut_center_square
from colorjax.data.decode import decode_rgb
from colorjax.data.resampling import resized
from colorjax.data.sources import source as sources
from colorjax.data.sources.source import Source
from colorjax.data.sources.subsets import evenly_spaced
from colorjax.errors import RequestError, UnreadablePhoto
from colorjax.evaluate import figure
from colorjax.evaluate.tables import estimate_text, markdown_table
from colorjax.inference.colorizer import Colorizer
from colorjax.metrics import picture, summary, table
from colorjax.weights.workdir import Workdir

BASE, TUNED = "base", "tuned"
PROTOCOL = (
    "center squares of the held-out photos, shrunk to at most 256 px; both see the lightness (L of "
    "CIE Lab, D65) as an 8-bit gray photo, each at its own working size; finished 8-bit sRGB "
    "pictures against the photos; psnr is the mean over photos; chroma_ratio_8bit is mean chroma, "
    "predicted / true; intervals are 95 % percentiles over 1000 paired resamples of the photos"
)
_SIDE = 256  # pixels
UNSEEN = "no significant difference"
_PICTURED = 8  # photos in finetune.png
_COLUMNS = ("mae_ab_8bit", "psnr", "colorfulness", "chroma_ratio_8bit")
_BETTER = {1: ", higher is better", -1: ", lower is better", 0: ""}


class Report(NamedTuple):
    """Result of a comparison.

    Attributes:
        content: for JSON.
        warnings: one line each, if a metric got worse or no significant difference.
    """

    content: dict[str, Any]
    warnings: tuple[str, ...]


def compare(base: str, tuned: Workdir, held_out: Source, seed: int) -> Report:
    """Measures held-out photos with both weights, and writes `finetune.png` into the workdir.

    Args:
        base: workdir, or the name of shipped weights.
        tuned: workdir.
        held_out: photos not used for training or validation of either.
        seed: of the resamples.

    Raises:
        RequestError: none of the photos can be read anymore.
    """
    photos = [
        photo for photo in (_square(held_out, i) for i in range(len(held_out))) if photo is not None
    ]
    if not photos:
        raise RequestError("none of the held-out photos can be read anymore; put them back")
    colorizers = {BASE: Colorizer.load(base), TUNED: Colorizer.load(tuned.root)}
    columns = figure.columns_of(photos, colorizers)
    records = {
        name: [
            picture.measure(colored, truth)
            for colored, truth in zip(columns[name], photos, strict=True)
        ]
        for name in (BASE, TUNED)
    }
    rows = {name: summary.columns_of(each) for name, each in records.items()}
    results = summary.summarize_rows(rows, BASE, seed=seed)
    indices = evenly_spaced(len(photos), _PICTURED)
    pictured = {name: [pictures[i] for i in indices] for name, pictures in columns.items()}
    figure.save(figure.lay_out(pictured), Path(tuned.root) / "finetune.png")
    differences = results[TUNED]["difference"]
    true_colorfulness = float(np.mean([each["true_colorfulness"] for each in records[BASE]]))
    aims = {"colorfulness": true_colorfulness, "chroma_ratio_8bit": 1.0}
    measured = [name for name in _COLUMNS if name in differences]
    verdicts = {}
    for name in measured:
        better = table.metric(name).better
        before = results[BASE]["metrics"][name]["mean"]
        verdicts[name] = (
            judge(differences[name], better)
            if better
            else judge_closeness(differences[name], before, aims[name])
        )
    content = {
        "protocol": PROTOCOL,
        "num_photos": len(photos),
        "step": colorizers[TUNED].step,
        "true_colorfulness": true_colorfulness,
        BASE: {name: results[BASE]["metrics"][name] for name in measured},
        TUNED: {name: results[TUNED]["metrics"][name] for name in measured},
        "difference": {name: differences[name] for name in measured},
        "verdicts": verdicts,
    }
    return Report(content, warnings_of(verdicts, len(photos)))


def _square(source: Source, index: int) -> np.ndarray | None:
    """Returns the center square of a photo, at most 256 px; None if it cannot be read."""
    try:
        rgb = decode_rgb(sources.read(source, index).image)
    except (UnreadablePhoto, OSError):
        return None
    square = cut_center_square(rgb)
    return resized(square, min(len(square), _SIDE), "bicubic")


def judge(difference: Mapping[str, Any], better: int) -> str:
    """Returns the verdict on a difference, tuned - base, with its interval.

    Args:
        difference: mean, and interval (low, high) or None.
        better: 1 if higher is better, -1 if lower is.

    Returns:
        "better", "worse", or "no significant difference" if the interval contains 0.

    >>> judge({"mean": -0.5, "interval": [-0.9, -0.1]}, -1)
    'better'
    """
    if difference["interval"] is None:
        return UNSEEN
    low, high = sorted(better * edge for edge in difference["interval"])
    if low > 0:
        return "better"
    return "worse" if high < 0 else UNSEEN


def judge_closeness(difference: Mapping[str, Any], before: float, aim: float) -> str:
    """Same as `judge`, for a value that should equal that of the photos.

    >>> judge_closeness({"mean": 0.4, "interval": [0.3, 0.5]}, 0.5, 1.0)
    'closer to the photos'
    """
    if judge(difference, 1) == UNSEEN:
        return UNSEEN
    is_closer = abs(before + difference["mean"] - aim) < abs(before - aim)
    return "closer to the photos" if is_closer else "farther from the photos"


def warnings_of(verdicts: Mapping[str, str], num_photos: int) -> tuple[str, ...]:
    """Returns warnings about the tuned weights, in plain language.

    Args:
        verdicts: metric -> "better", "worse", "closer to the photos", "farther from the photos",
            or "no significant difference".
        num_photos: number of held-out photos.

    Returns:
        One line each.
    """

    def named(verdict: str) -> str:
        return " and ".join(
            table.metric(name).title for name, each in verdicts.items() if each == verdict
        )

    on = f"on the {num_photos} held-out photos"
    warnings = []
    if worse := named("worse"):
        warnings.append(
            f"the tuned weights are worse {on}: {worse}; keep the base, or use fewer --steps, a "
            "lower --learning-rate, --only head, or more photos"
        )
    if farther := named("farther from the photos"):
        warnings.append(f"its colors are farther from those of the photos {on}: {farther}")
    if all(verdict == UNSEEN for verdict in verdicts.values()):
        warnings.append(
            f"no significant difference {on}: the intervals contain zero; more photos or more "
            "--steps may show one"
        )
    elif not warnings and not named("better"):
        warnings.append(f"{on} there is no significant difference in MAE or PSNR")
    return tuple(warnings)


def markdown(record: Mapping[str, Any]) -> str:
    """Returns the table of a fine-tuning, from the content of finetune.json."""
    result, photos = record["held_out"], record["photos"]
    names = list(result["difference"])
    cells = [
        ["", *(table.heading(name) + _BETTER[table.metric(name).better] for name in names)],
        [BASE, *(table.text(name, result[BASE][name]["mean"]) for name in names)],
        [TUNED, *(table.text(name, result[TUNED][name]["mean"]) for name in names)],
        ["tuned - base", *(estimate_text(result["difference"][name], name, "+") for name in names)],
        ["verdict", *(result["verdicts"].get(name, "") for name in names)],
    ]
    caption = (
        f"Of {photos['kept']} photos, {photos['train']} were for training, "
        f"{photos['validation']} for validation, which selected step {result['step']}, and "
        f"{result['num_photos']} for this test. The photos themselves have a colorfulness of "
        f"{result['true_colorfulness']:.1f} and a chroma ratio of 1. Brackets: paired 95 % "
        f"intervals. Protocol: {result['protocol']}."
    )
    return f"{markdown_table(cells)}\n{caption}\n"
