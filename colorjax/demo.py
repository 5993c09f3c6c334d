"""`make demo`: colorizes photos that ship inside scikit-image, with the weights that ship here."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from colorjax import color, metrics
from colorjax.data.sources.source import read_sample
from colorjax.evaluate.figure import grey_of
from colorjax.inference.colorizer import Colorizer

PHOTOS = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png")
_WIDTH = 320  # pixels of a photo in the picture


def side_by_side(truth: np.ndarray, colorizer: Colorizer) -> np.ndarray:
    """Returns grey | ours | truth.

    Args:
        truth: (H, W, 3) uint8 sRGB.
        colorizer: sees the grey photo alone.

    Returns:
        (H, 3 W, 3) uint8.
    """
    grey = grey_of(truth)
    return np.concatenate([grey, colorizer.colorize(grey), truth], axis=1)


def main() -> None:
    """Writes demo.png and prints what it cost and how far it is from the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="where demo.png goes")
    parser.add_argument("--checkpoint", help="workdir of a run; default: the weights that ship")
    args = parser.parse_args()
    colorizer = Colorizer.load(*filter(None, [args.checkpoint]))
    print("Distance from the true colours, mean of abs(da) and abs(db), lower is better:")
    print(f"  {'':16s}{'grey':>8s}{'colorjax':>10s}")
    rows = []
    for name in PHOTOS:
        photo = Image.fromarray(read_sample(name))
        truth = np.asarray(photo.resize((_WIDTH, round(_WIDTH * photo.height / photo.width))))
        row = side_by_side(truth, colorizer)
        rows.append(row)
        true_ab = color.rgb_u8_to_lab(truth)[..., 1:]
        ours = color.rgb_u8_to_lab(row[:, _WIDTH : 2 * _WIDTH])[..., 1:]
        found = [metrics.mae_ab(ab, true_ab) for ab in (0 * true_ab, ours)]
        print(f"  {name:16s}{found[0]:8.2f}{found[1]:10.2f}")
    picture = Path(args.folder) / "demo.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(picture)
    print(f"\nGrey, ours, truth: {picture}")
    print("Your own photos:   .venv/bin/colorjax colorize PHOTO")
    print("Training:          make demo-train, then .venv/bin/tensorboard --logdir runs")


if __name__ == "__main__":
    main()
