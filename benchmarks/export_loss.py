"""What smaller stored types of an exported model cost: PSNR on color photos, made gray.

    python -m benchmarks.export_loss PHOTOS [--weights NAME] [--count 60]

Prints for each type the size of the file, the mean PSNR in dB of the colorized photos, its loss
against float32, their mean chroma, and the largest share of a photo's pixels that differ from
float32 by more than 1 level.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from colorjax import color
from colorjax.evaluate.tables import markdown_table
from colorjax.inference.colorizer import Colorizer
from colorjax.weights import named
from colorjax.weights.onnx import write
from colorjax.weights.open import open_weights


def psnr(one: np.ndarray, two: np.ndarray) -> float:
    """Returns the PSNR of 8-bit pictures, in dB."""
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - two) ** 2)))


def chroma(picture: np.ndarray) -> float:
    """Returns the mean chroma of an 8-bit picture, in Lab units."""
    lab = np.asarray(color.rgb_u8_to_lab(picture))
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())


def measure(weights: str, photos: Sequence[np.ndarray]) -> dict[str, dict[str, float]]:
    """Returns for each stored type what it costs; see the top of the file."""
    opened = open_weights(weights)
    base: list[np.ndarray] = []
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for stored_as in write.STORED_AS:
            path = Path(folder) / f"{stored_as}.onnx"
            path.write_bytes(write.onnx_bytes(opened, write.Export(None, stored_as)))
            colorizer = Colorizer.load(path, engine="onnx")
            pictures = [colorizer.colorize(photo) for photo in photos]
            base = base or pictures
            pairs = zip(pictures, base, strict=True)
            row = {"MB": path.stat().st_size / 1e6}
            row["PSNR"] = np.mean([psnr(a, b) for a, b in zip(pictures, photos, strict=True)])
            row["loss"] = rows.get("float32", row)["PSNR"] - row["PSNR"]
            row["chroma"] = np.mean([chroma(picture) for picture in pictures])
            row["apart"] = max((np.abs(a.astype(int) - b) > 1).any(-1).mean() for a, b in pairs)
            rows[stored_as] = row
    return rows


def main() -> None:
    """Reads the arguments and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", default=named.DEFAULT)
    parser.add_argument("--count", type=int, default=60)
    args = parser.parse_args()
    paths = sorted(path for path in args.photos.rglob("*") if path.suffix in (".jpg", ".png"))
    photos = [np.asarray(Image.open(path).convert("RGB")) for path in paths[: args.count]]
    rows = measure(args.weights, photos)
    table = [[f"{len(photos)} photos", *rows["float32"]]]
    table += [[name, *(f"{value:.3f}" for value in row.values())] for name, row in rows.items()]
    print(markdown_table(table))


if __name__ == "__main__":
    main()
