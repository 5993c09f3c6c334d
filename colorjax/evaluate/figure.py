"""Draws photos side by side: gray, the result of each method, truth.

    python -m colorjax.evaluate.figure PHOTO... --column iizuka=runs/iizuka --output figure.png

Rows are photos, columns are methods. Only for the figure, photos are shrunk to `--cell` pixels.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from colorjax import color, photos
from colorjax.data.sources.source import FolderSource
from colorjax.errors import DONE, WRONG_REQUEST, RequestError, UnreadablePhoto
from colorjax.evaluate.tables import row_title
from colorjax.inference.colorizer import Colorizer
from colorjax.runtime import atomic, paths
from colorjax.runtime.file_names import printable

_GAP = 4  # pixels between cells
_TITLE = 22  # pixels of the line above the columns


def columns_of(
    photos: Sequence[np.ndarray], colorizers: Mapping[str, Colorizer], *, with_truth: bool = True
) -> dict[str, list[np.ndarray]]:
    """Returns photos colorized by several methods.

    Args:
        photos: (H, W, 3) uint8 each, of any sizes.
        colorizers: by the name of their column.
        with_truth: whether the last column shows the photos themselves.

    Returns:
        name -> pictures in the order of the photos: "grey", the colorizers, "truth".
    """
    grays = [color.gray_photo(photo) for photo in photos]
    columns = {"grey": grays}
    columns |= {name: [each.colorize(g) for g in grays] for name, each in colorizers.items()}
    return columns | ({"truth": list(photos)} if with_truth else {})


def lay_out(columns: Mapping[str, Sequence[np.ndarray]], cell: int = 160) -> Image.Image:
    """Returns a figure of pictures in rows and named columns.

    Args:
        columns: name -> pictures (H, W, 3) uint8; those of one row have one shape.
        cell: width of a column in pixels.

    Returns:
        Mode RGB, on white.
    """
    cells = {
        name: [fitted(picture, cell) for picture in pictures] for name, pictures in columns.items()
    }
    heights = [picture.shape[0] for picture in next(iter(cells.values()))]
    size = (len(columns) * (cell + _GAP) - _GAP, _TITLE + sum(heights) + _GAP * len(heights))
    figure = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(figure)
    font = ImageFont.load_default(14)
    for number, (name, pictures) in enumerate(cells.items()):
        left, top = number * (cell + _GAP), _TITLE
        title = _shortened(row_title(name), lambda text: draw.textlength(text, font) <= cell)
        draw.text((left + cell // 2, _TITLE // 2), title, "black", font, anchor="mm")
        for picture, height in zip(pictures, heights, strict=True):
            figure.paste(Image.fromarray(picture), (left, top))
            top += height + _GAP
    return figure


def fitted(picture: np.ndarray, cell: int) -> np.ndarray:
    """Returns a picture (H, W, 3) uint8 resized to a width of `cell` pixels."""
    height = max(1, round(cell * picture.shape[0] / picture.shape[1]))
    # Thumbnails of a data set are enlarged without smoothing.
    enlarges = picture.shape[1] < cell
    how = Image.Resampling.NEAREST if enlarges else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(picture).resize((cell, height), how))


def _shortened(text: str, fits: Callable[[str], bool]) -> str:
    """Returns the text, truncated with three dots if it does not fit."""
    if fits(text):
        return text
    lengths = range(len(text) - 1, -1, -1)
    return next((text[:n] + "..." for n in lengths if fits(text[:n] + "...")), "")


def save(figure: Image.Image, path: Path) -> None:
    """Writes a PNG or JPEG atomically.

    Raises:
        RequestError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        figure.save(content, Image.registered_extensions()[path.suffix.lower()], quality=95)
        atomic.write_bytes(path, content.getvalue())
    except (OSError, KeyError) as error:
        reason = getattr(error, "strerror", None) or f"name it .png or .jpg, not {error}"
        raise RequestError(f"{str(path)!r} cannot be written: {reason}") from None


def read_photos(names: Sequence[str]) -> list[np.ndarray]:
    """Returns photos, and those of folders, as (H, W, 3) uint8.

    Raises:
        RequestError: one is missing or cannot be read.
    """
    images = []
    for name in names:
        root = Path(name).expanduser()
        keys = FolderSource.open(root, labels="none").keys if root.is_dir() else None
        for path in [root] if keys is None else [root / key for key in keys]:
            try:
                photo = photos.read(path)
            except UnreadablePhoto as error:
                raise RequestError(f"{str(path)!r} cannot be read: {error}") from None
            srgb = photo.srgb(slice(0, photo.height))
            images.append(srgb if photo.is_8_bit else np.rint(srgb * 255).astype(np.uint8))
    return images


def run(argv: list[str] | None = None) -> int:
    """Writes the figure described by the arguments; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m colorjax.evaluate.figure", description=__doc__.splitlines()[0]
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="photos and folders of photos")
    parser.add_argument(
        "--column", action="append", default=[], metavar="NAME=WORKDIR", help="may be repeated"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help=".png or .jpg")
    parser.add_argument("--size", help="working size: pixels, or own (default: training size)")
    parser.add_argument("--cell", type=int, default=160, help="pixels (default: %(default)s)")
    parser.add_argument("--no-truth", action="store_true", help="omit the last column")
    args = parser.parse_args(argv)
    try:
        size = int(args.size) if args.size and args.size.isdecimal() else args.size
        named = [column.partition("=") for column in args.column]
        if Path(args.output).suffix.lower() not in (".png", ".jpg") or args.cell < 1:
            raise RequestError("--output must end in .png or .jpg, and --cell must be at least 1")
        photos = read_photos(args.photos)
        colorizers = {name: Colorizer.load(workdir, size=size) for name, _, workdir in named}
        columns = columns_of(photos, colorizers, with_truth=not args.no_truth)
        save(lay_out(columns, args.cell), paths.local(args.output))
    except RequestError as error:
        print(f"colorjax: {printable(error)}", file=sys.stderr)
        return WRONG_REQUEST
    print(printable(args.output))
    return DONE


if __name__ == "__main__":
    sys.exit(run())
