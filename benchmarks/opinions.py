"""`color_structure` on the scenes of HECD that its constants were not chosen on.

    python -m benchmarks.opinions HECD [--parts FOLDER]

Nested leave-one-scene-out: for each of the 20 scenes, the window, the constant, the weights of
positions and the weight of lost color are those of a grid that correlate best (Spearman) with the
opinions on the other 19; the value of a picture is that of the constants chosen without its scene.
Prints JSON lines: the constants of each scene, then the correlation over all pictures and the mean
within scenes for the shipped constants and for the nested ones, and their differences to MS-SSIM of
a and b as the data set defines it, with 95 % intervals from resampled scenes. One pass over the
pictures, then seconds. With `--parts` each finished scene is kept there, and the same command
continues.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from colorjax import color
from colorjax.data.decode import decode_rgb
from colorjax.evaluate import hecd
from colorjax.metrics.color_structure import (
    CENTER,
    CONSTANT,
    LOSS,
    SIGMA,
    reduced,
    residual_covariances,
    similarity_and_loss,
)
from colorjax.metrics.structure import SCALE_WEIGHTS, halved, ssim_terms
from colorjax.runtime import atomic

SIGMAS = (1 / 40, SIGMA, 1 / 12)
CONSTANTS = (100.0, 200.0, CONSTANT, 800.0)
CENTERS = (0.12, CENTER, 0.2, 100.0)  # 100: all positions alike
LOSSES = (0.0, 0.15, LOSS, 0.5)
SHIPPED = (SIGMA, CONSTANT, CENTER, LOSS)
GRID = list(itertools.product(SIGMAS, CONSTANTS, CENTERS))


def run(argv: list[str] | None = None) -> None:
    """Reads the arguments and prints the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path, help="a copy of github.com/seanmullery/HECD")
    parser.add_argument("--parts", type=Path, help="folder for the values of finished scenes")
    args = parser.parse_args(argv)
    if args.parts:
        args.parts.mkdir(parents=True, exist_ok=True)
    ratings = hecd.read(args.folder)
    parts, baseline = _measured(args.folder, ratings, args.parts)
    values = {
        (*options, loss): similarity - loss * lost
        for options, (similarity, lost) in zip(GRID, parts.transpose(1, 2, 0), strict=True)
        for loss in LOSSES
    }
    scenes = np.array(ratings.truths)
    nested = np.zeros(len(scenes))
    for scene in sorted(set(scenes)):
        others = scenes != scene
        best = max(values, key=lambda k: _spearman(values[k][others], ratings.opinions[others]))
        nested[~others] = values[best][~others]
        print(json.dumps({"scene": scene, "constants": best}), flush=True)
    columns = {
        "color_structure": values[SHIPPED],
        hecd.BASELINE: baseline,
    }
    for name, column in (("shipped constants", columns["color_structure"]), ("nested", nested)):
        result = hecd.correlations(
            columns | {"color_structure": column}, ratings.opinions, ratings.truths
        )
        print(json.dumps({"row": name} | result["color_structure"]), flush=True)
    print(json.dumps({"row": "MS-SSIM of the data set"} | result[hecd.BASELINE]))


def _measured(
    folder: Path, ratings: hecd.Ratings, kept: Path | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns similarity and loss of each picture for each of GRID, and `data_set_ms_ssim`."""
    of_ab = jax.jit(data_set_ms_ssim)
    truths = np.array(ratings.truths)
    parts = np.zeros((len(truths), len(GRID), 2))
    baseline = np.zeros(len(truths))
    for truth in sorted(set(ratings.truths)):
        of_scene = np.flatnonzero(truths == truth)
        file = kept / f"{Path(truth).stem}.npz" if kept else None
        if file and file.exists():
            with np.load(file) as saved:
                parts[of_scene], baseline[of_scene] = saved["parts"], saved["baseline"]
            continue
        true_lab = _lab(folder, truth)
        for n in of_scene:
            lab = _lab(folder, ratings.pictures[n])
            small = reduced(lab), reduced(true_lab)
            covariances = {sigma: residual_covariances(*small, sigma) for sigma in SIGMAS}
            parts[n] = [similarity_and_loss(*covariances[s], c, center) for s, c, center in GRID]
            baseline[n] = of_ab(lab[..., 1:], true_lab[..., 1:])
        if file:
            with atomic.replacing(file) as partial, open(partial, "wb") as stream:
                np.savez(stream, parts=parts[of_scene], baseline=baseline[of_scene])
    return parts, baseline


def data_set_ms_ssim(ab: jax.Array, true_ab: jax.Array) -> jax.Array:
    """Returns MS-SSIM of a and b as HECD defines it: in 8-bit Lab, the product of both channels.

    HECD halves with another offset, and to whole numbers: values differ by up to about 0.014.
    """
    a, b = (jnp.rint(each) for each in (ab, true_ab))
    product = jnp.ones(2)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        luminance, contrast_structure = ssim_terms(a, b, 128.0)
        is_last = scale == len(SCALE_WEIGHTS) - 1
        similarity = luminance * contrast_structure if is_last else contrast_structure
        product = product * jnp.abs(similarity.mean(axis=(0, 1))) ** weight
        a, b = halved(a), halved(b)
    return product.prod()


def _lab(folder: Path, name: str) -> np.ndarray:
    return color.rgb_u8_to_lab(decode_rgb((folder / "HECDImages" / name).read_bytes()))


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    return float(stats.spearmanr(x, y).statistic)


if __name__ == "__main__":
    run()
