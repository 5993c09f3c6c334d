"""The command `colorjax calibrate`: working size, decoding, saturation and bins of weights."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence

import numpy as np

from colorjax.cli import options
from colorjax.errors import RequestError
from colorjax.runtime import jax_setup, waiting
from colorjax.runtime.file_names import printable
from colorjax.tune import calibrate

DESCRIPTION = (
    "Colorizes photos at several working sizes and stores the size with the highest PSNR in "
    "the weights (inference.size in WORKDIR/config.json; the table is in "
    "WORKDIR/calibration.json). A size other than that of training is stored only if its gain "
    "exceeds the 95 % interval. With --colorfulness it also stores the smallest factor on the "
    "colors (inference.saturation) that makes the results that colorful, and prints the cost in "
    "PSNR. For a network that predicts both ab and color bins, such as semantic, it then tries "
    "every decoding (inference.decode: ab, annealed, blend; model.temperature) and stores the "
    "one with the highest PSNR at that colorfulness. Of weights with color bins it also stores a "
    "bias for each bin and a temperature (inference.bin_bias, inference.bin_temperature), which "
    "make the probabilities right and leave the colors as they are. Use validation photos: neither "
    "training nor test photos. Further training resets these values, fine-tuning resets the "
    "saturation; calibrate again."
)
EPILOG = """\
example:
  colorjax calibrate runs/zhang16 --data held_out --colorfulness 20"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument(
        "workdir",
        metavar="WORKDIR",
        help="workdir of a run or of imported weights; weights by name and hub folders are "
        "measured, not changed",
    )
    options.add_download(parser)
    options.add_data(
        parser,
        "color photos, `sample_photos`, or those that the run held out of training "
        "(default: %(default)s)",
        default=calibrate.HELD_OUT,
    )
    parser.add_argument(
        "--sizes",
        default=",".join(map(str, calibrate.SIZES)),
        metavar="PX,...",
        help="working sizes to try (default: %(default)s)",
    )
    parser.add_argument(
        "--colorfulness",
        type=float,
        metavar="CF",
        help="colorfulness to reach, as defined by Hasler and Suesstrunk (default: saturation 1)",
    )
    parser.add_argument(
        "--photos",
        type=int,
        default=calibrate.PHOTOS,
        metavar="N",
        help="maximum number of photos (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    try:
        sizes = sorted({int(text) for text in args.sizes.split(",")})
    except ValueError:
        sizes = [0]
    if sizes[0] < 1:
        raise RequestError(f"--sizes must be PX,PX,..., each at least 1, not {args.sizes!r}")
    if args.photos < 1:
        raise RequestError(f"--photos must be at least 1, not {args.photos}")
    wanted = args.colorfulness
    if wanted is not None and not 0 < wanted < math.inf:
        raise RequestError(f"--colorfulness must be above 0, not {wanted:g}")
    jax_setup.quiet_library_logs()
    options.download(args, args.workdir)
    from tqdm import tqdm

    from colorjax import metrics
    from colorjax.weights.open import open_weights

    weights = open_weights(args.workdir)
    photos, about, unreadable = calibrate.read_photos(weights, args.data, args.photos)
    with tqdm(unit="photo", disable=None) as bar, waiting.ticking(bar):
        calibrator = calibrate.Calibrator(args.workdir, photos, bar.update)
        # What an earlier calibration stored does not count, where this one chooses it again.
        ways = [calibrate.AS_STORED] if wanted is None else calibrate.candidates(weights.config)
        rows = calibrator.sizes(sizes, weights.config.data.image_size, ways[0])
        size, factor, decoding = calibrate.best_of(rows), 1.0, calibrate.AS_STORED
        tried: list[list[calibrate.Row]] = []
        if wanted is not None:
            tried = calibrator.decodings(size, wanted, ways)
            best = tried[0][-1]
            factor, decoding = (
                best["saturation"],
                calibrate.Decoding(best["decode"], best["temperature"]),
            )
    fit = None
    try:
        fit = calibrator.fit_bins(size)
    except RequestError as error:  # too few colorful photos; the rest of the result is sound
        print(f"colorjax: the color bins stay as they are: {error}", file=sys.stderr)
    about["true_colorfulness"] = float(np.mean([metrics.colorfulness(photo) for photo in photos]))
    print(f"{len(photos)} photos; their own colorfulness is {about['true_colorfulness']:.1f}")
    _show("size, px", "size", rows)
    chosen = f"{size} px"
    for group in tried:
        name = str(calibrate.Decoding(group[0]["decode"], group[0]["temperature"]))
        if len(tried) > 1:
            print(name)
        _show("saturation", "saturation", group)
    if tried:
        chosen += f", saturation {factor:g}" + (f", decode {decoding}" if decoding.decode else "")
    if fit is not None:
        print(
            f"color bins, {fit.photos} colorful photos: calibration error {fit.ece[0]:.4f} -> "
            f"{fit.ece[1]:.4f}, bits per pixel {fit.bits_per_pixel[0]:.3f} -> "
            f"{fit.bits_per_pixel[1]:.3f} (temperature {fit.temperature:g})"
        )
    if weights.workdir is None:
        print(f"best: {chosen}; these weights are not changed, give these options to colorize")
    else:
        flat = [row for rows in tried for row in rows]
        record = {"photos": about, "sizes": rows, "colorfulness": wanted, "saturations": flat}
        record |= {} if fit is None else {"bins": calibrate.bins_record(fit)}
        calibrate.store(weights.workdir, size, factor, record, decoding, fit)
        print(f"stored with the weights: {chosen}")
    for name in unreadable:
        print(f"colorjax: skipped {printable(name)}", file=sys.stderr)
    return 1 if unreadable else 0


def _show(title: str, key: str, rows: Sequence[calibrate.Row]) -> None:
    from colorjax.metrics import table

    headings = {name: table.heading(name) for name in calibrate.COLUMNS}
    print("  ".join([title, *headings.values()]))
    for row in rows:
        cells = [table.text(name, row[name]).rjust(len(head)) for name, head in headings.items()]
        sure = f"better by at least {row['better']:.2f} dB" if row.get("better", 0) > 0 else ""
        print("  ".join([f"{row[key]:{len(title)}g}", *cells, sure]).rstrip())
