"""What smaller stored types of an exported model cost: PSNR on color photos, made gray.

    python -m benchmarks.export_loss PHOTOS [--weights NAME] [--count 60]

Prints for each type the size of the file, the mean PSNR in dB of the colorized photos, its loss
beside float32, and the largest share of a photo's pixels that differ by more than 1 level.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from colorjax.inference.colorizer import Colorizer
from colorjax.weights import named
from colorjax.weights.onnx import write
from colorjax.weights.open import open_weights


def psnr(one: np.ndarray, two: np.ndarray) -> float:
    """Returns the PSNR of 8-bit pictures, in dB."""
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - two) ** 2)))


def main() -> None:
    """Reads the arguments and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", default=named.DEFAULT)
    parser.add_argument("--count", type=int, default=60)
    args = parser.parse_args()
    weights = open_weights(args.weights)
    paths = sorted(path for path in args.photos.rglob("*") if path.suffix in (".jpg", ".png"))
    photos = [np.asarray(Image.open(path).convert("RGB")) for path in paths[: args.count]]
    base: list[np.ndarray] = []
    mean_of_float = 0.0
    print(f"| {len(photos)} photos | MB | PSNR | loss, dB | most pixels apart |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for stored_as in write.STORED_AS:
            path = Path(folder) / f"{stored_as}.onnx"
            path.write_bytes(write.onnx_bytes(weights, write.Export(None, stored_as)))
            colorizer = Colorizer.load(path, engine="onnx")
            pictures = [colorizer.colorize(photo) for photo in photos]
            base = base or pictures
            pairs = zip(pictures, base, strict=True)
            apart = max(float((np.abs(a.astype(int) - b) > 1).any(-1).mean()) for a, b in pairs)
            mean = float(np.mean([psnr(a, b) for a, b in zip(pictures, photos, strict=True)]))
            mean_of_float = mean_of_float or mean
            size = path.stat().st_size / 1e6
            loss = mean_of_float - mean
            print(f"| {stored_as} | {size:.1f} | {mean:.3f} | {loss:.3f} | {100 * apart:.2f} % |")


if __name__ == "__main__":
    main()
