"""The suite `ask`: a truthful user answers the questions of `PreparedPhoto.ask`.

At each asked pixel the user picks the nearest of six suggested colors, which becomes a hint. The
truth is the mean color of a square of 6/256 of the shorter side around the pixel, the same as that
of the random true hints it is compared with.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from colorjax import color, metrics
from colorjax.data import hints as simulated_hints
from colorjax.data.decode import decode_rgb
from colorjax.data.sources.source import FolderSource
from colorjax.errors import Interrupted, RequestError, UnreadablePhoto
from colorjax.evaluate.baselines import random_hints
from colorjax.evaluate.parts import Record, Work
from colorjax.evaluate.tables import Table, markdown_table, text_table
from colorjax.inference import hints as user_hints
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.prepared import PreparedPhoto, require_bins, require_spreading
from colorjax.inference.suggestions import Suggestion
from colorjax.metrics import intervals
from colorjax.runtime import atomic, paths
from colorjax.runtime.signals import StopAfterUnit
from colorjax.version import __version__

NAME = "ask"
ANSWERS, RANDOM = (5, 10), (5, 10, 25)
SWATCHES, NEAR = 6, 10.0  # suggestions of a question; ab units
_ROW = "answers"
_TITLES = {
    "psnr_hints_0": "PSNR without hints, dB",
    **{f"psnr_hints_{n}": f"PSNR with {n} random true hints, dB" for n in RANDOM},
    **{f"psnr_answers_{n}": f"PSNR with {n} answers, dB" for n in ANSWERS},
    **{f"psnr_asked_truths_{n}": f"PSNR with {n} true colors at asked pixels, dB" for n in ANSWERS},
    "near_asked": f"a suggestion within {NEAR:g} ab units of the truth, asked pixels",
    "near_random": "the same, random pixels",
    "distance_asked": "distance of the answer to the truth, ab units",
    "ask_seconds": "time of ask for 5 pixels, s",
    "suggest_seconds": "time of suggest, s",
}


def evaluate(
    weights: str,
    data: str,
    output: str,
    *,
    limit: int = 0,
    overwrite: bool = False,
    progress: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Plays the user on every photo of a folder.

    Args:
        weights: a workdir or the name of bundled weights.
        data: folder of color photos.
        output: folder to write: result.json, result.md.
        limit: use only the first photos; 0: all.
        overwrite: whether another evaluation in `output` is replaced.
        progress: whether to show a progress bar on stderr.
        should_stop: called between photos; True stops the run.

    Returns:
        The content of result.json.

    Raises:
        RequestError: an input is missing or invalid, or the weights cannot ask.
        Interrupted: `should_stop` was True; finished photos are kept.
    """
    source = FolderSource.open(Path(paths.local(data)), labels="none")
    colorizer = Colorizer.load(weights)
    require_bins(colorizer)
    require_spreading(colorizer, NAME)
    target = paths.local(output)
    work = Work(target)
    if any(target.glob("*")) and not work.is_there():
        raise RequestError(f"--output {output!r} is not empty; give another folder")
    keys = list(source.keys)[: limit or None]
    plan = {
        "protocol": NAME,
        "photos": hashlib.sha256("\n".join(keys).encode()).hexdigest(),
        "version of colorjax": __version__,
    }
    work.begin(plan, {_ROW: colorizer.digest()}, restart=overwrite)
    pending = [k for k in range(len(keys)) if not work.has(_ROW, k)]
    for done, number in enumerate(tqdm(pending, unit="photo", disable=None if progress else True)):
        if should_stop():
            raise Interrupted(
                f"stopped after {done} of {len(pending)} photos; the same command continues"
            )
        try:
            record = play(colorizer, decode_rgb(source[number].image), number)
        except UnreadablePhoto as error:
            record = {"error": str(error)}
        work.save(_ROW, number, [{"key": keys[number]} | record], {})
    records = [record for k in range(len(keys)) for record in work.load(_ROW, k)]
    readable = [each for each in records if "error" not in each]
    if not readable:
        raise RequestError(f"no photo of {data!r} can be read; give color photos")
    result = {
        "kind": "colorjax questions",
        "suite": NAME,
        "weights": weights,
        "photos": len(readable),
        "unreadable": [f"{e['key']}: {e['error']}" for e in records if "error" in e],
        "suggestions": SWATCHES,
        "metrics": {name: _estimate(readable, name) for name in _TITLES},
    }
    atomic.write_text(target / "result.json", json.dumps(result, indent=2) + "\n")
    atomic.write_text(target / "result.md", markdown_table(grid(result)))
    return result


def _estimate(records: Sequence[Record], name: str) -> dict[str, Any]:
    values = np.array([record[name] for record in records])
    if name.endswith("_seconds"):  # the first photos of a size compile
        return {"mean": float(np.median(values)), "interval": None}
    low, high = intervals.bootstrap({"x": values}, lambda means: means["x"])
    return {"mean": float(values.mean()), "interval": [low, high]}


def play(colorizer: Colorizer, truth: np.ndarray, seed: int) -> Record:
    """Returns the record of one photo.

    Args:
        colorizer: with bins, and hints that spread.
        truth: (H, W, 3) uint8.
        seed: of the random pixels.
    """
    photo = colorizer.prepare(color.gray_photo(truth))

    def psnr(hints: Sequence[Any]) -> float:
        return float(metrics.psnr(photo.colorize(hints), truth))

    scattered = random_hints(truth, max(RANDOM), seed)
    record: Record = {f"psnr_hints_{n}": psnr(scattered[:n]) for n in (0, *RANDOM)}
    start = time.perf_counter()
    photo.ask(5)
    asked = time.perf_counter()
    near_random = []
    for x, y, code in scattered[: max(ANSWERS)]:
        near_random.append(_nearest(photo.suggest(x, y, SWATCHES), code)[1])
    record["ask_seconds"] = asked - start
    record["suggest_seconds"] = (time.perf_counter() - asked) / len(near_random)
    answers, truths, distances = _answers(photo, truth)
    for n in ANSWERS:
        record[f"psnr_answers_{n}"] = psnr(answers[:n])
        record[f"psnr_asked_truths_{n}"] = psnr(truths[:n])
    return record | {
        "near_asked": float(np.mean(np.array(distances) <= NEAR)),
        "near_random": float(np.mean(np.array(near_random) <= NEAR)),
        "distance_asked": float(np.mean(distances)),
    }


def _answers(
    photo: PreparedPhoto, truth: np.ndarray
) -> tuple[list[tuple[int, int, str]], list[tuple[int, int, str]], list[float]]:
    """Returns answers and truths as hints, and their distances; each question knows the answers."""
    answers: list[tuple[int, int, str]] = []
    truths: list[tuple[int, int, str]] = []
    distances = []
    for _ in range(max(ANSWERS)):
        (question,) = photo.ask(1, answers)
        code = true_color(truth, question.x, question.y)
        chosen, distance = _nearest(question.suggestions, code)
        answers.append((question.x, question.y, chosen))
        truths.append((question.x, question.y, code))
        distances.append(distance)
    return answers, truths, distances


def true_color(truth: np.ndarray, x: int, y: int) -> str:
    """Returns the mean color of the square of a hint around a pixel, "#rrggbb"."""
    side = simulated_hints.evaluation_side(min(truth.shape[:2]))
    top, left = max(y - side // 2, 0), max(x - side // 2, 0)
    mean = truth[top : top + side, left : left + side].mean(axis=(0, 1))
    return "#" + bytes(np.rint(mean).astype(np.uint8)).hex()


def _nearest(suggestions: Sequence[Suggestion], code: str) -> tuple[str, float]:
    """Returns the suggested color nearest to a color, and the distance in ab units."""
    wanted = user_hints.ab_of(user_hints.Hint(0, 0, code))
    apart = {
        each.color: float(
            np.linalg.norm(user_hints.ab_of(user_hints.Hint(0, 0, each.color)) - wanted)
        )
        for each in suggestions
    }
    best = min(apart, key=lambda each: apart[each])
    return best, apart[best]


def grid(result: Mapping[str, Any]) -> Table:
    """Returns the measurements as cells, the header first."""
    lines = [["measurement", "value"]]
    for name, title in _TITLES.items():
        estimate = result["metrics"][name]
        digits = 3 if name.endswith("_seconds") else 2
        text = f"{estimate['mean']:.{digits}f}"
        if estimate["interval"]:
            low, high = estimate["interval"]
            text += f" [{low:.{digits}f}, {high:.{digits}f}]"
        lines.append([title, text])
    return lines


def run_and_print(
    weights: str, data: str, output: str, *, limit: int = 0, overwrite: bool = False
) -> int:
    """Runs the suite and prints its table; returns the exit status.

    Raises:
        RequestError: see `evaluate`.
        Interrupted: a signal stopped it.
    """
    with StopAfterUnit("photo") as stop:
        result = evaluate(
            weights,
            data,
            output,
            limit=limit,
            overwrite=overwrite,
            progress=True,
            should_stop=lambda: bool(stop),
        )
    print(f"{NAME}: {result['photos']} photos, {SWATCHES} suggestions for each question")
    print(text_table(grid(result)))
    print("brackets: 95 % intervals over photos; times: median", file=sys.stderr)
    return 1 if result["unreadable"] else 0
