"""Does guidance by the photo's own lightness upsample colors better than interpolation does?

    python -m benchmarks.upsampling --data PHOTOS [--checkpoint WORKDIR]

Rows `chroma/4` and `chroma/8`: the true ab of each photo, averaged over cells of 4x4 and 8x8 px and
upsampled, guided and bilinearly; `mae_ab` of the first in Lab units, `peer_mae_ab` of the second.
Rows `draft`, `normal` and `best`: the qualities of the Colorizer on the gray photos, with
`mae_ab_8bit`, `psnr` (dB), `colorfulness` and `seconds` per photo.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.tiling import compare, opened
from colorjax import color, metrics
from colorjax.color import gray_photo
from colorjax.inference.chroma import Chroma
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.options import QUALITIES


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.upsampling", description=__doc__)
    _, colorizer, photos = opened(parser, argv)
    for row in rows(colorizer, photos):
        print(json.dumps({"question": "upsampling", "images": len(photos), **row}), flush=True)
    return 0


def rows(colorizer: Colorizer, photos: Sequence[np.ndarray]) -> Iterator[dict[str, Any]]:
    """Yields what is printed."""
    for factor in (4, 8):
        bilinear, guided = np.mean([restored(photo, factor) for photo in photos], axis=0).tolist()
        yield {"row": f"chroma/{factor}", "mae_ab": guided, "peer_mae_ab": bilinear}
    for quality in QUALITIES:
        compiled, start = colorizer.compile_seconds, time.perf_counter()
        pictures = [colorizer.colorize(gray_photo(photo), quality=quality) for photo in photos]
        seconds = time.perf_counter() - start - (colorizer.compile_seconds - compiled)
        yield {"row": quality, **compare(pictures, photos), "seconds": seconds / len(photos)}


def restored(photo: np.ndarray, factor: int) -> tuple[float, float]:
    """Returns the MAE of ab after making its cells one and back: bilinearly, and guided."""
    height, width = (side // factor * factor for side in photo.shape[:2])
    lab = color.rgb_u8_to_lab(photo[:height, :width])
    cells = lab[..., 1:].reshape(height // factor, factor, width // factor, factor, 2)
    errors = []
    for is_guided in (False, True):
        chroma = Chroma(cells.mean((1, 3)), (height, width))
        if is_guided:
            chroma.guide(lab[..., 0])
        ab = np.stack(chroma.rows(slice(0, height), lab[..., 0]), axis=-1)
        errors.append(float(metrics.mae_ab(ab, lab[..., 1:])))
    return errors[0], errors[1]


if __name__ == "__main__":
    raise SystemExit(main())
