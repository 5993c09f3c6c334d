"""How good is the best of 8 samples, and how much do the samples of a photo differ?

    python -m benchmarks.samples --data PHOTOS [--checkpoint WORKDIR] [--limit N] [--parts FILE]

One row for each photo set: PSNR of the automatic picture, and relative to it, in dB, means over the
photos of the best, the mean and the worst sample; the share of samples more than 3 dB below;
`diversity`, the mean distance of two samples in ab units. `samples` are those of
`PreparedPhoto.sample`; `shifts` are 8 fixed shifts of ab after a saturation, which were chosen
greedily on held-out photos for the best of 8; `noise` is low-rank noise on the logits along the
principal components of the network's features. With `--parts` the values of finished photos are
kept there, and the same command continues.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from colorjax import color, metrics
from colorjax.data.decode import decode_rgb
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.prepared import PreparedPhoto
from colorjax.weights import named

NUMBER = 8
# (a, b, saturation), chosen on held-out photos.
SHIFTS = (
    (0, 0, 0.6),
    (0, 0, 1.0),
    (0, 0, 0.0),
    (0, 0, 1.5),
    (0, -6, 1.0),
    (0, 12, 0.0),
    (0, -6, 0.0),
    (0, 24, 1.0),
)
_COMPONENTS, _TILT = 4, 0.03  # of the noise; logits per ab unit
_KINDS = ("samples", "shifts", "noise")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.samples", description=__doc__)
    parser.add_argument("--data", required=True, help="folder of color photos")
    parser.add_argument("--checkpoint", default=named.DEFAULT, help="weights with color bins")
    parser.add_argument("--limit", type=int, default=0, help="every n-th photo, N of them; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", type=Path, help="JSON lines with the values of finished photos")
    args = parser.parse_args(argv)
    colorizer = Colorizer.load(args.checkpoint)
    files = sorted(path for path in Path(args.data).rglob("*") if path.is_file())
    files = files[:: max(1, len(files) // args.limit)][: args.limit] if args.limit else files
    lines = args.parts.read_text().splitlines() if args.parts and args.parts.exists() else []
    finished = {record["key"]: record for record in map(json.loads, lines)}
    records = []
    for number, file in enumerate(files, start=1):
        key = file.relative_to(args.data).as_posix()
        record = finished.get(key)
        if record is None:
            record = {"key": key} | _measured(colorizer, decode_rgb(file.read_bytes()), args.seed)
            if args.parts:
                with args.parts.open("a") as stream:
                    stream.write(json.dumps(record) + "\n")
        records.append(record)
        if number % 25 == 0 or number == len(files):
            _print(records)
    return 0


def _measured(colorizer: Colorizer, truth: np.ndarray, seed: int) -> dict[str, Any]:
    """Returns the PSNR of the automatic picture of a photo, and the values of each kind."""
    photo = colorizer.prepare(color.gray_photo(truth))
    plain = photo.colorize()
    automatic = float(metrics.psnr(plain, truth))
    record: dict[str, Any] = {"psnr": automatic}
    for kind, pictures in zip(
        _KINDS, (photo.sample(NUMBER, seed), shifted(plain), noisy(photo, seed)), strict=True
    ):
        psnrs = np.array([metrics.psnr(picture, truth) for picture in pictures]) - automatic
        ab = color.rgb_u8_to_lab(np.stack(pictures)[:, ::4, ::4])[..., 1:]
        values = (psnrs.max(), psnrs.mean(), psnrs.min(), np.mean(psnrs < -3))
        record[kind] = [*map(float, values), float(metrics.diversity(ab))]
    return record


def _print(records: Sequence[dict[str, Any]]) -> None:
    for kind in _KINDS:
        values = np.array([record[kind] for record in records])
        best, mean, worst, below, apart = values.mean(axis=0)
        row = {"question": "samples", "row": kind, "images": len(records)}
        row |= {"psnr": round(float(np.mean([record["psnr"] for record in records])), 2)}
        row |= {"best_of_8": round(float(best), 2)}
        row |= {"best_of_8_median": round(float(np.median(values[:, 0])), 2)}
        row |= {"mean": round(float(mean), 2), "worst": round(float(worst), 2)}
        row |= {"below_3_db": round(float(below), 3), "diversity": round(float(apart), 1)}
        print(json.dumps(row), flush=True)


def shifted(picture: np.ndarray) -> list[np.ndarray]:
    """Returns a picture with each of `SHIFTS`."""
    lab = np.asarray(color.rgb_u8_to_lab(picture))
    return [_painted(lab, s * lab[..., 1:] + np.array([a, b])) for a, b, s in SHIFTS]


def noisy(photo: PreparedPhoto, seed: int) -> list[np.ndarray]:
    """Returns pictures whose logits are tilted along components of the features."""
    from colorjax.inference.planes import enlarged

    beliefs = photo._beliefs
    assert beliefs.keys is not None
    features = beliefs.keys.features.reshape(-1, beliefs.keys.features.shape[-1])
    centered = features - features.mean(axis=0)
    _, vectors = np.linalg.eigh(centered.T @ centered)
    maps = centered @ vectors[:, -_COMPONENTS:]
    maps = np.concatenate([np.ones((len(maps), 1)), maps / maps.std(axis=0)], axis=-1)
    rng = np.random.default_rng(seed)
    plain = np.asarray(color.rgb_u8_to_lab(photo.colorize()))
    bins = color.ab_bins()
    pictures = []
    for _ in range(NUMBER):
        tilt = maps @ rng.normal(0, _TILT, (maps.shape[-1], 2)) / maps.shape[-1] ** 0.5
        logits = beliefs.log_shares.reshape(len(maps), -1)
        change = color.annealed_mean(logits + tilt @ bins.T, 1.0) - color.annealed_mean(logits, 1.0)
        change = enlarged(np.asarray(change).reshape(*beliefs.grid, 2), plain.shape[:2])
        pictures.append(_painted(plain, plain[..., 1:] + change))
    return pictures


def _painted(lab: np.ndarray, ab: np.ndarray) -> np.ndarray:
    mixed = np.concatenate([lab[..., :1], ab], axis=-1).astype(np.float32)
    return np.asarray(color.lab_to_rgb_u8(mixed, "clip"))


if __name__ == "__main__":
    raise SystemExit(main())
