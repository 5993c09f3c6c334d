"""The same held-out photos through the base's weights and the tuned ones: is it better?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from colorjax.data.decode import decode_rgb
from colorjax.data.sources import source as sources
from colorjax.data.sources.source import Source
from colorjax.errors import RequestError, UnreadablePhoto
from colorjax.evaluate import figure as figures
from colorjax.inference.colorizer import Colorizer
from colorjax.metrics import picture
from colorjax.metrics.summary import summarize_methods
from colorjax.weights.workdir import Workdir

BASE, TUNED = "base", "tuned"
PROTOCOL = (
    "centre squares of the held-out photos, shrunk to at most 256 px; both see the lightness (L of "
    "CIE Lab, D65) as an 8-bit grey photo, each at its own working size; finished 8-bit sRGB "
    "pictures against the photos; psnr is the mean over photos; chroma_ratio is mean chroma, "
    "predicted / true; intervals are 95 % percentiles over 1000 paired resamples of the photos"
)
_SIDE = 256  # pixels
UNSEEN = "no difference can be seen"
_PICTURED = 8  # photos in finetune.png
# metric -> (its name in the table, decimals, 1 where higher is better, -1 lower, 0 neither)
_SHOWN = {
    "mae_ab": ("MAE of ab, lower is better", 2, -1),
    "psnr": ("PSNR in dB, higher is better", 2, 1),
    "colorfulness": ("colourfulness", 1, 0),
    "chroma_ratio": ("chroma ratio", 2, 0),
}


class Report(NamedTuple):
    """What a comparison found.

    Attributes:
        content: for JSON.
        warnings: one line each, where it got worse or nothing can be seen.
    """

    content: dict[str, Any]
    warnings: tuple[str, ...]


def compare(base: str, tuned: Workdir, held_out: Source, seed: int) -> Report:
    """Measures held-out photos with both weights, and writes `finetune.png` into the workdir.

    Args:
        base: workdir, or the name of weights that ship.
        tuned: workdir.
        held_out: photos that none of the two was trained or chosen by.
        seed: of the resamples.

    Raises:
        RequestError: none of the photos can be read any more.
    """
    photos = [
        photo for photo in (_square(held_out, i) for i in range(len(held_out))) if photo is not None
    ]
    if not photos:
        raise RequestError("none of the held-out photos can be read any more; put them back")
    colorizers = {BASE: Colorizer.load(base), TUNED: Colorizer.load(tuned.root)}
    columns = figures.columns_of(photos, colorizers)
    values = {
        name: [
            picture.measure(colored, truth)
            for colored, truth in zip(columns[name], photos, strict=True)
        ]
        for name in (BASE, TUNED)
    }
    summary = summarize_methods(values, seed)
    places = sorted(
        {round(i) for i in np.linspace(0, len(photos) - 1, min(_PICTURED, len(photos)))}
    )
    pictured = {name: [pictures[i] for i in places] for name, pictures in columns.items()}
    figures.save(figures.lay_out(pictured), Path(tuned.root) / "finetune.png")
    differences = summary[TUNED]["difference"]
    true_colorfulness = float(np.mean([each["true_colorfulness"] for each in values[BASE]]))
    aims = {"colorfulness": true_colorfulness, "chroma_ratio": 1.0}
    verdicts = {}
    for name, (_, _, better) in _SHOWN.items():
        before = summary[BASE]["metrics"][name]["mean"]
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
        BASE: {name: summary[BASE]["metrics"][name] for name in _SHOWN},
        TUNED: {name: summary[TUNED]["metrics"][name] for name in _SHOWN},
        "difference": {name: differences[name] for name in _SHOWN},
        "verdicts": verdicts,
    }
    return Report(content, warnings_of(verdicts, len(photos)))


def _square(source: Source, index: int) -> np.ndarray | None:
    """Returns the centre square of a photo, at most 256 px; None: it cannot be read."""
    try:
        rgb = decode_rgb(sources.read(source, index).image)
    except (UnreadablePhoto, OSError):
        return None
    height, width, _ = rgb.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(np.ascontiguousarray(rgb[top : top + side, left : left + side]))
    if side > _SIDE:
        square = square.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(square)


def judge(difference: Mapping[str, Any], better: int) -> str:
    """Says what a difference, tuned - base, and its interval mean.

    Args:
        difference: mean, and interval (low, high) or None.
        better: 1 where higher is better, -1 where lower is.

    Returns:
        "better", "worse", or "no difference can be seen" where the interval contains 0.

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
    """As `judge`, for a value that is best where the photos themselves have it.

    >>> judge_closeness({"mean": 0.4, "interval": [0.3, 0.5]}, 0.5, 1.0)
    'closer to the photos'
    """
    if judge(difference, 1) == UNSEEN:
        return UNSEEN
    is_closer = abs(before + difference["mean"] - aim) < abs(before - aim)
    return "closer to the photos" if is_closer else "farther from the photos"


def warnings_of(verdicts: Mapping[str, str], num_photos: int) -> tuple[str, ...]:
    """Says in plain words what speaks against the tuned weights.

    Args:
        verdicts: metric -> "better", "worse", "closer to the photos", "farther from the photos",
            or that no difference can be seen.
        num_photos: held out.

    Returns:
        One line each.
    """

    def named(verdict: str) -> str:
        return " and ".join(
            _SHOWN[name][0].split(",")[0] for name, found in verdicts.items() if found == verdict
        )

    on = f"on the {num_photos} held-out photos"
    found = []
    if worse := named("worse"):
        found.append(
            f"it got worse {on}: {worse}; keep the base, or tune with fewer --steps, a lower "
            "--learning-rate, --only head, or more photos"
        )
    if farther := named("farther from the photos"):
        found.append(f"its colours are farther from those of the photos {on}: {farther}")
    if all(verdict == UNSEEN for verdict in verdicts.values()):
        found.append(
            f"no difference can be seen {on}: the intervals contain zero; more photos or more "
            "--steps may show one"
        )
    elif not found and not named("better"):
        found.append(f"{on} no difference in accuracy can be seen: MAE and PSNR as before")
    return tuple(found)


def markdown(record: Mapping[str, Any]) -> str:
    """Returns the table of a fine-tuning, from the content of finetune.json."""
    found, photos = record["held_out"], record["photos"]
    lines = [
        "| | " + " | ".join(title for title, _, _ in _SHOWN.values()) + " |",
        "|---|" + "---|" * len(_SHOWN),
        _row(BASE, [_number(found[BASE][name]["mean"], name) for name in _SHOWN]),
        _row(TUNED, [_number(found[TUNED][name]["mean"], name) for name in _SHOWN]),
        _row("tuned - base", [_difference(found["difference"][name], name) for name in _SHOWN]),
        _row("verdict", [found["verdicts"].get(name, "") for name in _SHOWN]),
    ]
    told = (
        f"{found['num_photos']} photos held out of {photos['kept']}; {photos['train']} trained, "
        f"{photos['validation']} chose step {found['step']}. The photos themselves have a "
        f"colourfulness of {found['true_colorfulness']:.1f} and a chroma ratio of 1. Brackets: "
        f"95 % intervals, paired. Measured: {found['protocol']}."
    )
    return "\n".join([*lines, "", told, ""])


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def _number(value: float, name: str) -> str:
    return f"{value:.{_SHOWN[name][1]}f}"


def _difference(difference: Mapping[str, Any], name: str) -> str:
    digits = _SHOWN[name][1]
    text = f"{difference['mean']:+.{digits}f}"
    if difference["interval"] is None:
        return text
    low, high = difference["interval"]
    return f"{text} [{low:+.{digits}f}, {high:+.{digits}f}]"
