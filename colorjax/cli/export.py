"""The command `colorjax export`: writes weights as a model for other programs."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from colorjax.cli import options
from colorjax.errors import RequestError
from colorjax.runtime import jax_setup
from colorjax.runtime.file_names import printable

if TYPE_CHECKING:
    import numpy as np

DESCRIPTION = "Writes weights as an ONNX model, for ONNX Runtime, OpenVINO, browsers and others."
EPILOG = """\
examples:
  colorjax export semantic-lite0 colors.onnx
  colorjax export semantic-lite0 colors.onnx --size 256 --float16 --check photo.jpg
  colorjax export runs/mine mine.hlo --format stablehlo --size 256

The model maps gray to a and b of Lab; docs/export.md describes its inputs and outputs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("weights", metavar="WEIGHTS", help="name of weights, or a workdir")
    parser.add_argument("file", metavar="FILE.onnx", help="file to write")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--size", metavar="PX", help="fixed size: PX for a square, or WIDTHxHEIGHT (default: any)"
    )
    size.add_argument(
        "--dynamic",
        action="store_true",
        help="any size of whole multiples of the network's step (the default)",
    )
    stored = parser.add_mutually_exclusive_group()
    for name, help in (
        ("float16", "store weights as float16: half the size"),
        ("int8", "store weights as int8: a quarter of the size"),
    ):
        stored.add_argument(f"--{name}", action="store_const", const=name, dest="stored", help=help)
    parser.add_argument(
        "--part",
        choices=("all", "encoder", "decoder"),
        default="all",
        help="of the network: encoder (gray to features), decoder (features to colors) or all",
    )
    parser.add_argument(
        "--format", choices=("onnx", "stablehlo"), default="onnx", help="default: %(default)s"
    )
    parser.add_argument(
        "--check", metavar="PHOTO", help="colorize a photo with the model and compare with JAX"
    )
    options.add_overwrite(parser, "replace an existing file")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    size = None if args.size is None else _size(args.size)
    jax_setup.quiet_library_logs()
    from colorjax.runtime import atomic
    from colorjax.weights.onnx import write
    from colorjax.weights.open import open_weights

    if args.check and args.format != "onnx":
        raise RequestError("--check compares ONNX models only")
    if args.check and args.part != "all":
        raise RequestError("--check compares whole networks only; leave --part or --check out")
    photo = _opened(args.check) if args.check else None
    path = Path(args.file)
    write.check_target(path, overwrite=args.overwrite)
    weights = open_weights(args.weights)
    export = write.Export(size, args.stored or "float32", args.part)
    make = write.onnx_bytes if args.format == "onnx" else write.stablehlo_bytes
    content = make(weights, export)
    atomic.write_bytes(path, content)
    print(f"{printable(args.file)}: {len(content) / 1e6:.1f} MB, {export.stored_as}")
    if photo is not None:
        print(f"{printable(args.check)}: {_compare(args.weights, photo, content, size)}")
    return 0


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,5})(?:x([0-9]{1,5}))?", text)
    if match is None:
        raise RequestError(f"--size must be PX or WIDTHxHEIGHT, such as 256x192, not {text!r}")
    width, height = int(match[1]), int(match[2] or match[1])
    return height, width


def _opened(path: str) -> np.ndarray:
    import numpy as np
    from PIL import Image

    try:
        return np.asarray(Image.open(path).convert("RGB"))
    except (OSError, ValueError) as error:
        raise RequestError(f"--check {path!r} cannot be read: {error}") from None


def _compare(weights: str, photo: np.ndarray, content: bytes, size: tuple[int, int] | None) -> str:
    """Colorizes a photo by the model and by JAX; returns how much the pictures differ."""
    import numpy as np

    from colorjax.inference.colorizer import Colorizer
    from colorjax.weights.onnx.write import colors_of

    colorizer = Colorizer.load(weights)
    gray = colorizer.gray_at(photo, size)
    pair = colorizer.ab_of_gray(gray), colors_of(content, 50 * (gray + 1))
    ours, theirs = (colorizer.paint_ab(photo, ab).astype(int) for ab in pair)
    apart = np.abs(ours - theirs).max(axis=-1)
    return (
        f"{100 * (apart <= 1).mean():.3f} % of the pixels differ by at most 1 of 255 levels from "
        f"JAX's; largest difference {apart.max()}"
    )
