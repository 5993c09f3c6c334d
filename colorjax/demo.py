"""Ends `make demo`: colorizes a photo that the run never trained on, and says what to look at."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from colorjax import color
from colorjax.data.sources import SamplePhotos, read_sample
from colorjax.inference.colorizer import Colorizer


def side_by_side(truth: np.ndarray, colorizer: Colorizer) -> np.ndarray:
    """Returns grey | ours | truth.

    Args:
        truth: (H, W, 3) uint8 sRGB.
        colorizer: sees the grey photo alone.

    Returns:
        (H, 3 W, 3) uint8.
    """
    lightness = color.rgb_u8_to_lab(truth)[..., :1]
    grey = color.lab_to_rgb_u8(np.concatenate([lightness, *[0 * lightness] * 2], axis=-1))
    return np.concatenate([grey, colorizer.colorize(grey), truth], axis=1)


def main() -> None:
    """Writes demo.png into a workdir trained with configs/plain_cnn.py:demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", help="of a finished run")
    workdir = Path(parser.parse_args().workdir)
    photo = read_sample(SamplePhotos.PHOTOS["eval"][0])
    picture = workdir / "demo.png"
    Image.fromarray(side_by_side(photo, Colorizer.load(workdir))).save(picture)
    report = json.loads((workdir / "eval.json").read_text())
    print(f"\nHeld-out photos: MAE of ab (lower is better), PSNR in dB, of step {report['step']}:")
    for name, found in {"colorjax": report["metrics"], **report["baselines"]}.items():
        print(f"  {name:14s} {found['mae_ab']:6.2f} {found['psnr_of_mean_mse']:7.2f}")
    print(f"\nGrey, ours, truth: {picture}")
    print(f"Curves and pictures: {Path('.venv/bin/tensorboard')} --logdir {workdir}/tensorboard")


if __name__ == "__main__":
    main()
