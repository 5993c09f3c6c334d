"""What decides the colours of photos: options of the command line, for Colorizer and Options."""

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


def add(parser: argparse.ArgumentParser) -> None:
    """Declares what decides the colours; `read` turns it into arguments."""
    parser.add_argument(
        "--temperature",
        action=options.Once,
        type=float,
        metavar="T",
        help="of color bins; 0: vivid mode, 1: pale mean",
    )
    parser.add_argument(
        "--decode",
        action=options.Once,
        choices=("ab", "annealed", "blend"),
        help="of weights with ab and color bins (semantic): take colors from ab, from the bins at "
        "--temperature, or from both (default: what is stored with the weights)",
    )
    parser.add_argument(
        "--saturation",
        action=options.Once,
        type=float,
        default=1.0,
        metavar="S",
        help="factor on the colours; above 1: more vivid (1)",
    )
    parser.add_argument(
        "--size",
        action=options.Once,
        type=_working_size,
        metavar="PX",
        help="short side at which colours are predicted, or own: the photo's (default: what is "
        "stored with the weights)",
    )
    parser.add_argument(
        "--aspect",
        action=options.Once,
        choices=("short", "long", "squash", "pad_square"),
        default="short",
        help="which side gets that size; squash: both; pad_square: mirrored to a square "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--quality",
        action=options.Once,
        choices=("draft", "normal", "best"),
        default="normal",
        help="draft: no guided enlargement; best: six predictions fused (default: %(default)s)",
    )
    parser.add_argument(
        "--upsampling",
        action=options.Once,
        choices=("guided", "bilinear"),
        default="guided",
        help="how colours come to full size: guided by the photo's lightness, or not "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--strength",
        action=options.Once,
        type=float,
        default=1.0,
        metavar="S",
        help="share of the predicted colours, 0 to 1; the rest are the photo's own (1)",
    )
    parser.add_argument(
        "--tile",
        action=options.Once,
        metavar="WxH",
        help="predict in tiles of the full-resolution photo, such as 256 or 512x384; exact: all of "
        "it at its own size, with the memory of a tile",
    )
    parser.add_argument(
        "--stride",
        action=options.Once,
        metavar="X,Y",
        help="from tile to tile, in pixels (half a tile)",
    )
    parser.add_argument(
        "--combine",
        action=options.Once,
        choices=("hann", "average", "maximum", "max_chroma", "distribution", "none"),
        help="what becomes of overlapping tiles (hann)",
    )
    parser.add_argument(
        "--keep-global",
        action="store_true",
        help="take broad colours from the whole photo, and from tiles their detail alone",
    )
    parser.add_argument(
        "--global-image",
        action=options.Once,
        metavar="PHOTO",
        help="take the palette (semantic) or the scene-level features (iizuka, edge_fusion) of "
        "another photo",
    )


def read(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the keyword arguments of `Colorizer.load` and of `Colorizer.colorize`.

    Raises:
        RequestError: a value is out of its range.
    """
    if not 0 <= args.saturation < math.inf:
        raise RequestError(f"--saturation is at least 0, not {args.saturation}")
    if args.temperature is not None and not 0 <= args.temperature < math.inf:
        raise RequestError(f"--temperature is at least 0, not {args.temperature}")
    if not 0 <= args.strength <= 1:
        raise RequestError(f"--strength is from 0 to 1, not {args.strength}")
    if args.tile and args.quality == "best":
        raise RequestError("--quality best is for whole photos; leave --tile out, or it")
    loading = {name: getattr(args, name) for name in ("temperature", "decode", "size", "aspect")}
    coloring: dict[str, Any] = {
        name: getattr(args, name) for name in ("saturation", "strength", "quality", "upsampling")
    }
    if args.tile or args.stride or args.combine or args.keep_global:
        coloring["tiling"] = _tiling(args)
    if args.global_image:
        coloring["global_image"] = _read_srgb("--global-image", args.global_image)
    return loading, coloring


def _tiling(args: argparse.Namespace) -> Tiling | str:
    from colorjax.inference.tiling import EXACT, Tiling  # imports JAX: not for other requests

    if not args.tile:
        raise RequestError("--stride, --combine and --keep-global are of tiles: give --tile WxH")
    if args.tile == EXACT:
        if args.stride or args.combine or args.keep_global:
            raise RequestError("--tile exact has no --stride, --combine or --keep-global")
        if args.size is not None or args.aspect != "short":
            raise RequestError("--tile exact works at the photo's own size: no --size, no --aspect")
        return EXACT
    width, height = _pair("--tile", args.tile, "x")
    stride = (height // 2, width // 2)
    if args.stride:
        across, down = _pair("--stride", args.stride, ",")
        stride = (down, across)
    return Tiling((height, width), stride, args.combine or "hann", args.keep_global)


def _pair(option: str, text: str, between: str) -> tuple[int, int]:
    """Reads "256" or "512x384"."""
    words = text.split(between)
    if len(words) > 2 or not all(word.isdecimal() and len(word) < 7 for word in words):
        raise RequestError(
            f"{option} is a number of pixels or two of them, such as 512{between}384, not {text!r}"
        )
    return int(words[0]), int(words[-1])


def _working_size(text: str) -> int | str:
    if text != "own" and not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"a number of pixels above 0, or own, not {text!r}")
    return text if text == "own" else int(text)


def _read_srgb(option: str, path: str) -> np.ndarray:
    """Returns a photo, (H, W, 3)."""
    from colorjax import photos

    try:
        photo = photos.read(Path(path).expanduser())
    except photos.UnreadablePhoto as error:
        raise RequestError(f"{option} {path!r} is no photo that can be read: {error}") from None
    return photo.srgb(slice(0, photo.height))
