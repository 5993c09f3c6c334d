"""PSNR against colorfulness: predictions of networks, with every decoding and saturation.

    python -m benchmarks.trade plain=runs/a weak=runs/b --data PHOTOS --colorfulness 28 \
        --figure trade.png

Photos are center squares of `--size` px, painted with their own L. A line for each decoding
(`inference.decode`, `model.temperature`) has `psnr` (dB, mean of the photos) at `--colorfulness`,
and the saturation that reaches it, both interpolated. A last line for each network compares its
best decoding, and its own ab ("own"), with those of the first network: differences in dB paired by
photo, with 95 % intervals.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from colorjax import color, metrics
from colorjax.data.crops import cut_center_square
from colorjax.data.decode import decode_rgb
from colorjax.data.resampling import resized
from colorjax.data.sources.source import FolderSource
from colorjax.metrics import intervals
from colorjax.metrics.picture import is_gray
from colorjax.tune.calibrate import Decoding, candidates
from colorjax.weights.open import open_weights

SATURATIONS = tuple(round(0.5 + 0.1 * k, 1) for k in range(18))
_BATCH = 50


class Values(NamedTuple):
    """Of one setting, one number a photo."""

    psnr: np.ndarray
    colorfulness: np.ndarray

    @classmethod
    def of(cls, pictures: np.ndarray, photos: np.ndarray) -> Values:
        """Compares pictures with photos, (N, H, W, 3) uint8 each; exactly gray photos do not count.

        Their psnr is NaN.
        """
        pairs = zip(pictures, photos, is_gray(photos), strict=True)
        psnr = [np.nan if gray else metrics.psnr(rgb, truth) for rgb, truth, gray in pairs]
        return cls(np.array(psnr), np.array([metrics.colorfulness(rgb) for rgb in pictures]))


Curve = dict[float, Values]  # by saturation


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.trade", description=__doc__)
    parser.add_argument("networks", nargs="+", metavar="NAME=WORKDIR")
    parser.add_argument("--data", required=True, help="folder of color photos")
    parser.add_argument("--size", type=int, default=128, help="pixels")
    parser.add_argument("--colorfulness", type=float, default=28.0)
    parser.add_argument("--figure", help="picture of all curves to write (needs matplotlib)")
    args = parser.parse_args(argv)
    photos = read(args.data, args.size)
    gray, truth = Values.of(grays(photos), photos), Values.of(photos, photos)
    print(json.dumps({"row": "gray", **means(gray), "true": means(truth)["colorfulness"]}))
    curves: dict[str, dict[Decoding, Curve]] = {}
    references: dict[str, Values] = {}
    for named in args.networks:
        name, _, workdir = named.partition("=")
        curves[name] = measured(workdir, photos)
        selected = {"own": next(iter(curves[name].values()))[1.0]}  # its ab, or what is stored
        for decoding, curve in curves[name].items():
            reached = at_colorfulness(curve, args.colorfulness)
            if reached is None:
                continue
            saturation, values = reached
            row = {"row": name, "decode": str(decoding), "saturation": saturation}
            print(json.dumps(row | means(values)), flush=True)
            if "best" not in selected or np.nanmean(values.psnr) > np.nanmean(
                selected["best"].psnr
            ):
                selected["best"] = values
        references = references or selected
        print(json.dumps({"row": name} | compared(selected, references)), flush=True)
    if args.figure:
        draw(curves, float(np.nanmean(gray.psnr)), args.figure)
    return 0


def read(folder: str, size: int) -> np.ndarray:
    """Returns the photos of a folder as center squares, (N, size, size, 3) uint8."""
    source = FolderSource.open(folder, labels="none")
    squares = (cut_center_square(decode_rgb(source[k].image)) for k in range(len(source)))
    return np.stack([resized(square, size, "bicubic") for square in squares])


def grays(photos: np.ndarray) -> np.ndarray:
    """Returns photos without their colors."""
    return np.stack([color.gray_photo(photo) for photo in photos])


def measured(workdir: str, photos: np.ndarray) -> dict[Decoding, Curve]:
    """Decodes the predictions of a network with every decoding, at `SATURATIONS`."""
    weights = open_weights(workdir)
    config, method = weights.config, weights.method
    variables = weights.load()[1]
    lightness = np.stack([color.rgb_u8_to_lab(photo)[..., :1] for photo in photos])

    @jax.jit
    def predict(variables: Any, lightness: jax.Array) -> dict[str, jax.Array]:
        fields = method.fit({"gray": lightness / 50 - 1})
        outputs = method.network.apply(variables, fields, train=False)
        return {name: outputs[name] for name in ("ab", "bin_logits") if name in outputs}

    parts = range(0, len(photos), _BATCH)
    outputs = [jax.device_get(predict(variables, lightness[k : k + _BATCH])) for k in parts]
    curves: dict[Decoding, Curve] = {}
    for decoding in candidates(config):
        network = method.network
        if decoding.temperature is not None:
            network = network.clone(temperature=decoding.temperature)  # pyrefly: ignore
        decoder = dataclasses.replace(
            method, network=network, decode=decoding.decode or method.decode
        )
        decode = jax.jit(decoder.decoded)
        ab = [color.denormalize_ab(decode(batch)) for batch in outputs]
        curves[decoding] = {}
        for saturation in SATURATIONS:
            painted = [
                np.asarray(_paint(lightness[k : k + _BATCH], saturation * part))
                for k, part in zip(parts, ab, strict=True)
            ]
            curves[decoding][saturation] = Values.of(np.concatenate(painted), photos)
    return curves


@jax.jit
def _paint(lightness: jax.Array, ab: jax.Array) -> jax.Array:
    rgb = color.lab_to_rgb(jnp.concatenate([lightness, ab], axis=-1))
    return jnp.rint(255 * jnp.clip(rgb, 0, 1)).astype(jnp.uint8)


def at_colorfulness(curve: Curve, colorfulness: float) -> tuple[float, Values] | None:
    """Returns the saturation that reaches a colorfulness, and the values there; None: none does.

    Both are interpolated between the two nearest saturations.
    """
    for (s0, low), (s1, high) in itertools.pairwise(curve.items()):
        c0, c1 = low.colorfulness.mean(), high.colorfulness.mean()
        if c0 <= colorfulness < c1:
            t = (colorfulness - c0) / (c1 - c0)
            values = (a + t * (b - a) for a, b in zip(low, high, strict=True))
            return round(float(s0 + t * (s1 - s0)), 2), Values(*values)
    return None


def means(values: Values) -> dict[str, float]:
    """Returns the metrics of one output line."""
    psnr, colorful = np.nanmean(values.psnr), values.colorfulness.mean()
    return {"psnr": round(float(psnr), 3), "colorfulness": round(float(colorful), 1)}


def compared(selected: dict[str, Values], references: dict[str, Values]) -> dict[str, Any]:
    """Returns the last line of a network: its values and their gains over the first one."""
    line: dict[str, Any] = {}
    for kind, values in selected.items():
        line[kind] = means(values)
        if kind in references:
            change = values.psnr - references[kind].psnr
            change = change[np.isfinite(change)]
            low, high = intervals.bootstrap({"x": change}, lambda mean: mean["x"])
            line[f"{kind}_gain"] = [round(float(x), 3) for x in (change.mean(), low, high)]
    return line


def draw(curves: dict[str, dict[Decoding, Curve]], gray: float, path: str) -> None:
    """Draws a line for each decoding of each network, along the saturation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(curves), 4.5), layout="constrained")
    for axes, (name, of_network) in zip(
        np.ravel(figure.subplots(1, len(curves), sharey=True)), curves.items(), strict=True
    ):
        for decoding, curve in of_network.items():
            x = [values.colorfulness.mean() for values in curve.values()]
            y = [np.nanmean(values.psnr) for values in curve.values()]
            axes.plot(x, y, label=str(decoding), linestyle="--" if decoding.decode == "ab" else "-")
        axes.axhline(gray, color="gray", linewidth=0.8)
        axes.set(title=name, xlabel="colorfulness", xlim=(0, 45), ylim=(gray - 1, None))
    axes.legend(fontsize=8)
    figure.supylabel("PSNR, dB")
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    raise SystemExit(main())
