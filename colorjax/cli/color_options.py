"""Command-line options for `Colorizer.load` and `Options`."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from colorjax.cli import options
from colorjax.errors import RequestError

if TYPE_CHECKING:
    from colorjax.inference.tiling import Tiling

LOADING = ("temperature", "decode", "size", "aspect")


def add_loading(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `LOADING`, keyword arguments of `Colorizer.load`."""
    parser.add_argument(
        "--temperature",
        action=options.Once,
        type=float,
        metavar="T",
        help="temperature of color bins; 0: the most likely color, vivid; 1: the mean, pale",
    )
    parser.add_argument(
        "--decode",
        action=options.Once,
        choices=("ab", "annealed", "blend"),
        help="for weights with ab and color bins (semantic): take colors from ab, from the bins at "
        "--temperature, or from both (default: as stored with the weights)",
    )
    parser.add_argument(
        "--size",
        action=options.Once,
        type=_working_size,
        metavar="PX",
        help="short side at which colors are predicted, or own: the photo's own size (default: as "
        "stored with the weights)",
    )
    parser.add_argument(
        "--aspect",
        action=options.Once,
        choices=("short", "long", "squash", "pad_square"),
        help="which side gets --size; squash: both; pad_square: the long side, mirrored to a "
        "square (default: as stored with the weights, mostly short)",
    )


def add(parser: argparse.ArgumentParser) -> None:
    """Adds the options; `read` turns them into keyword arguments."""
    add_loading(parser)
    parser.add_argument(
        "--saturation",
        action=options.Once,
        type=float,
        default=1.0,
        metavar="S",
        help="factor on the colors (a and b); above 1: more vivid (default: 1)",
    )
    parser.add_argument(
        "--warmth",
        action=options.Once,
        type=float,
        default=0.0,
        metavar="W",
        help="shift of the predicted colors, from -1 (cool) to 1 (warm) (default: 0)",
    )
    parser.add_argument(
        "--quality",
        action=options.Once,
        choices=("draft", "normal", "best"),
        default="normal",
        help="draft: no guided upsampling; best: average of six predictions (default: %(default)s)",
    )
    parser.add_argument(
        "--upsampling",
        action=options.Once,
        choices=("guided", "bilinear", "nearest"),
        default="guided",
        help="how colors are enlarged to full size: guided by the photo's lightness, bilinear, or "
        "by repeated pixels (default: %(default)s)",
    )
    parser.add_argument(
        "--strength",
        action=options.Once,
        type=float,
        default=1.0,
        metavar="S",
        help="blend of the photo's own colors (0) and the predicted ones (1) (default: 1)",
    )
    parser.add_argument(
        "--tile",
        action=options.Once,
        metavar="WxH",
        help="predict in tiles of the full-resolution photo, such as 256 or 512x384; exact: same "
        "result as the whole photo at its own size, with the memory of one tile",
    )
    parser.add_argument(
        "--stride",
        action=options.Once,
        metavar="X,Y",
        help="step from tile to tile, in pixels (default: half a tile)",
    )
    parser.add_argument(
        "--combine",
        action=options.Once,
        choices=("hann", "average", "maximum", "max_chroma", "distribution", "none"),
        help="how overlapping tiles are combined (default: hann)",
    )
    parser.add_argument(
        "--keep-global",
        action="store_true",
        help="take broad colors from the whole photo, and only detail from the tiles",
    )
    parser.add_argument(
        "--global-image",
        action=options.Once,
        metavar="PHOTO",
        help="take the palette (semantic) or the scene-level features (iizuka, edge_fusion) from "
        "another photo",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Adds the option for the program that runs the network."""
    parser.add_argument(
        "--engine",
        action=options.Once,
        choices=("jax", "onnx", "openvino", "auto"),
        default="jax",
        help="what runs the network: JAX, ONNX Runtime or OpenVINO; auto: the fastest installed "
        "one that gives the same pictures (default: %(default)s)",
    )


def read(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the keyword arguments of `Colorizer.load` and of `Colorizer.colorize`.

    Raises:
        RequestError: a value is out of range.
    """
    if not 0 <= args.saturation < math.inf:
        raise RequestError(f"--saturation must be at least 0, not {args.saturation}")
    if args.temperature is not None and not 0 <= args.temperature < math.inf:
        raise RequestError(f"--temperature must be at least 0, not {args.temperature}")
    if not 0 <= args.strength <= 1:
        raise RequestError(f"--strength must be from 0 to 1, not {args.strength}")
    if not -1 <= args.warmth <= 1:
        raise RequestError(f"--warmth must be from -1 to 1, not {args.warmth}")
    if args.tile and args.quality == "best":
        raise RequestError(
            "--quality best is for whole photos; give only one of --quality best and --tile"
        )
    loading = {name: getattr(args, name) for name in LOADING}
    coloring: dict[str, Any] = {
        name: getattr(args, name) for name in ("saturation", "strength", "quality", "upsampling")
    }
    if args.warmth:  # left out at 0: marks of earlier versions have no warmth
        coloring["warmth"] = args.warmth
    if args.tile or args.stride or args.combine or args.keep_global:
        coloring["tiling"] = _tiling(args)
    if args.global_image:
        coloring["global_image"] = read_srgb(args.global_image, "--global-image")
    return loading, coloring


def _tiling(args: argparse.Namespace) -> Tiling | str:
    from colorjax.inference.tiling import EXACT, Tiling

    if not args.tile:
        raise RequestError("--stride, --combine and --keep-global need tiles; give --tile WxH")
    if args.tile == EXACT:
        if args.stride or args.combine or args.keep_global:
            raise RequestError(
                "--tile exact takes no --stride, --combine or --keep-global; leave them out"
            )
        if args.size is not None or args.aspect not in (None, "short"):
            raise RequestError(
                "--tile exact uses the photo's own size; leave --size and --aspect out"
            )
        return EXACT
    width, height = _pair("--tile", args.tile, "x")
    stride = (height // 2, width // 2)
    if args.stride:
        across, down = _pair("--stride", args.stride, ",")
        stride = (down, across)
    return Tiling((height, width), stride, args.combine or "hann", args.keep_global)


def _pair(option: str, text: str, between: str) -> tuple[int, int]:
    """Returns the two numbers of "256" or "512x384"."""
    parts = text.split(between)
    if len(parts) > 2 or not all(part.isdecimal() and len(part) < 7 for part in parts):
        raise RequestError(
            f"{option} must be one or two numbers of pixels, such as 512{between}384, not {text!r}"
        )
    return int(parts[0]), int(parts[-1])


def _working_size(text: str) -> int | str:
    if text != "own" and not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"give a number of pixels above 0, or own, not {text!r}")
    return text if text == "own" else int(text)


def read_srgb(path: str, option: str) -> np.ndarray:
    """Returns the sRGB of a photo, (H, W, 3); `option` gave its path."""
    from colorjax import photos

    try:
        photo = photos.read(Path(path).expanduser())
    except photos.UnreadablePhoto as error:
        raise RequestError(f"{option} {path!r} cannot be read as a photo: {error}") from None
    return photo.srgb(slice(0, photo.height))
