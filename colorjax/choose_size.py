"""The command `colorjax choose-size`: at which working size do weights colorize best?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from colorjax import startup
from colorjax.errors import RequestError

SIZES = (32, 48, 64, 96, 128, 176, 256)
PHOTOS = 200
RECORD = "working_size.json"


def measure_sizes(
    workdir_or_name: str,
    photos: Sequence[np.ndarray],
    sizes: Sequence[int],
    progress: Callable[[int], Any] = lambda done: None,
) -> list[dict[str, float]]:
    """Colorizes photos at several working sizes and compares them with their own colours.

    Args:
        workdir_or_name: the weights, as `Colorizer.load` takes them.
        photos: (H, W, 3) uint8 each, that nothing was trained on.
        sizes: of the short side, in pixels.
        progress: told that a photo was colorized.

    Returns:
        One row a size: size, psnr (dB, mean over photos that are not exactly grey), mae_ab (Lab
        units), colorfulness.

    Raises:
        RequestError: no photo has colour, or the network has one size alone.
    """
    from colorjax.compare import measures
    from colorjax.figures import grey_of
    from colorjax.inference.colorizer import Colorizer

    rows = []
    for size in sizes:
        colorizer = Colorizer.load(workdir_or_name, size=size)
        values = []
        for photo in photos:
            values.append(measures.measure(colorizer.colorize(grey_of(photo)), photo))
            progress(1)
        if all(np.isnan(each["psnr"]) for each in values):
            raise RequestError("none of the photos has colour; give --data colour photos")
        row = {name: np.nanmean([each[name] for each in values]) for name in _SHOWN}
        rows.append({"size": size, **{name: float(value) for name, value in row.items()}})
    return rows


_SHOWN = {"psnr": "PSNR, dB", "mae_ab": "MAE of ab", "colorfulness": "colourfulness"}


def best_of(rows: Sequence[dict[str, float]]) -> int:
    """Returns the size of the highest psnr; of equal ones the smallest."""
    return int(max(rows, key=lambda row: (row["psnr"], -row["size"]))["size"])


def store(workdir_path: str, rows: Sequence[dict[str, float]], photos: dict[str, Any]) -> int:
    """Stores the best size in a workdir's config, and the rows in `working_size.json`.

    Args:
        workdir_path: of a run or of imported weights.
        rows: from `measure_sizes`.
        photos: what they were measured on, for the record.

    Returns:
        The size.
    """
    from colorjax.train.workdir import Workdir, write_json

    workdir = Workdir(workdir_path)
    config = workdir.read_config()
    config.inference.size = best_of(rows)
    write_json(workdir.root / RECORD, {"photos": photos, "sizes": list(rows)})
    write_json(workdir.config_file, config.to_dict())
    return config.inference.size


def add_choose_size(commands: argparse._SubParsersAction) -> None:
    """Adds `colorjax choose-size`."""
    choose = commands.add_parser(
        "choose-size",
        help="find the working size of weights on held-out photos, and store it with them",
        description="Colorizes photos at several working sizes and stores the one of the highest "
        "PSNR in WORKDIR/config.json as inference.size, the rows in WORKDIR/" + RECORD + ". Take "
        "photos that nothing was trained on, and that nothing is reported on. Training on sets "
        "the size back: choose again.",
        epilog="example:\n  colorjax choose-size runs/zhang16 --data HELD_OUT_PHOTOS",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    choose.set_defaults(act=_choose_size)
    choose.add_argument(
        "workdir",
        metavar="WORKDIR",
        help="of a run or of imported weights; of weights that ship the rows are shown alone",
    )
    choose.add_argument(
        "--data", required=True, metavar="FOLDER", help="colour photos, or `sample_photos`"
    )
    choose.add_argument(
        "--sizes",
        default=",".join(map(str, SIZES)),
        metavar="PX,...",
        help="(default: %(default)s)",
    )
    choose.add_argument(
        "--photos", type=int, default=PHOTOS, metavar="N", help="at most (default: %(default)s)"
    )


def _choose_size(args: argparse.Namespace) -> int:
    try:
        sizes = sorted({int(word) for word in args.sizes.split(",")})
    except ValueError:
        sizes = [0]
    if sizes[0] < 1:
        raise RequestError(f"--sizes is PX,PX,..., each at least 1, not {args.sizes!r}")
    if args.photos < 1:
        raise RequestError(f"--photos is at least 1, not {args.photos}")
    startup.hush_libraries()
    from tqdm import tqdm

    from colorjax import shipped

    photos, about, unreadable = _read_photos(args.data, args.photos)
    with tqdm(total=len(photos) * len(sizes), unit="photo", disable=None) as bar:
        rows = measure_sizes(args.workdir, photos, sizes, bar.update)
    print("  ".join(["size, px", *_SHOWN.values()]))
    for row in rows:
        print(
            "  ".join(
                [f"{row['size']:8}", *(f"{row[name]:{len(_SHOWN[name])}.2f}" for name in _SHOWN)]
            )
        )
    if args.workdir in shipped.SHA256:
        print(f"best: {best_of(rows)}; weights that ship are not changed, give --size to colorize")
    else:
        print(f"stored with the weights: {store(args.workdir, rows, about)} px")
    for name in unreadable:
        print(f"colorjax: passed over {name}", file=sys.stderr)
    return 1 if unreadable else 0


def _read_photos(data: str, number: int) -> tuple[list[np.ndarray], dict[str, Any], list[str]]:
    """Returns up to `number` photos of a folder, where they are from, and what was unreadable."""
    from colorjax.compare import photos as chosen

    if data == "sample_photos":
        from colorjax.data.sources import SamplePhotos, read_sample

        names = [name for part in SamplePhotos.PHOTOS.values() for name in part]
        return [read_sample(name) for name in names], {"data": data, "photos": names}, []
    drawn = chosen.choose([data], metric_photos=number)
    unreadable: list[str] = []
    found = list(drawn.readable(unreadable))
    if not found:
        raise RequestError(f"none of the photos of {data!r} can be read; give colour photos")
    names = [drawn.keys[place] for place, _ in found]
    return [photo for _, photo in found], {"data": data, "photos": names}, unreadable
