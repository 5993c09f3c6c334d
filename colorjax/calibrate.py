"""The command `colorjax calibrate`: how weights colorize: at which size, how decoded, how vivid."""

from __future__ import annotations

import argparse
import bisect
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from colorjax import startup
from colorjax.errors import RequestError

SIZES = (32, 48, 64, 96, 128, 176, 256)
# So fine that decodings are compared at one colorfulness: 0.05 overshoots by up to 1, 0.1 dB.
SATURATIONS = tuple(round(0.5 + 0.01 * k, 2) for k in range(151))
TEMPERATURES = (0.1, 0.2, 0.38, 0.6, 1.0)
PHOTOS = 200
HELD_OUT = "held_out"
RECORD = "calibration.json"

Row = dict[str, Any]
_SHOWN = {"psnr": "PSNR, dB", "mae_ab": "MAE of ab", "colorfulness": "colorfulness"}


class Decoding(NamedTuple):
    """What colors are taken from; None: as stored with the weights."""

    decode: str | None = None
    temperature: float | None = None

    def __str__(self) -> str:
        if self.temperature is None:
            return self.decode or "stored"
        return f"{self.decode}, T {self.temperature:g}"


AS_STORED = Decoding()


class Calibrator:
    """Colorizes photos with one set of weights and compares the results with their own colors."""

    def __init__(
        self,
        workdir_or_name: str,
        photos: Sequence[np.ndarray],
        progress: Callable[[int], Any] = lambda done: None,
    ):
        """Takes the weights as `Colorizer.load` does, and photos that nothing was trained on.

        Args:
            workdir_or_name: the weights.
            photos: (H, W, 3) uint8 each.
            progress: told that a photo was colorized.
        """
        self._weights = workdir_or_name
        self._photos = photos
        self._progress = progress
        self._loaded: dict[Any, Any] = {}  # (size, decoding) -> Colorizer, which compiles once

    def measure(
        self, size: int, saturation: float = 1.0, decoding: Decoding = AS_STORED
    ) -> dict[str, np.ndarray]:
        """Measures one setting; a saturation that is stored with the weights does not count.

        Args:
            size: working size of the short side, in pixels.
            saturation: factor on the predicted ab.
            decoding: of the network's outputs.

        Returns:
            psnr (dB; NaN for exactly gray photos), mae_ab (Lab units), colorfulness: (P,) each.

        Raises:
            RequestError: no photo has colour, the network has one size alone, or the saturation
                stored with the weights is 0.
        """
        from colorjax.compare import measures
        from colorjax.figures import grey_of
        from colorjax.inference.colorizer import Colorizer

        key = size, decoding
        if key not in self._loaded:
            self._loaded[key] = Colorizer.load(self._weights, size=size, **decoding._asdict())
        colorizer = self._loaded[key]
        if colorizer.saturation == 0:
            raise RequestError("inference.saturation of the weights is 0; set it to 1")
        factor = saturation / colorizer.saturation
        values = []
        for photo in self._photos:
            colored = colorizer.colorize(grey_of(photo), saturation=factor)
            values.append(measures.measure(colored, photo))
            self._progress(1)
        if all(np.isnan(each["psnr"]) for each in values):
            raise RequestError("none of the photos has colour; give --data colour photos")
        return {name: np.array([each[name] for each in values]) for name in _SHOWN}

    def sizes(
        self, sizes: Sequence[int], trained: int, decoding: Decoding = AS_STORED
    ) -> list[Row]:
        """Compares several sizes with that of training.

        Args:
            sizes: in pixels.
            trained: the size of training, which is measured too.
            decoding: of the network's outputs.

        Returns:
            One row a size: size, means over photos, and, but for the size of training, `better`:
            the lower end of the 95 % interval (bootstrap over photos) of the gain in psnr, in dB.
        """
        from colorjax.metrics import intervals

        found = {size: self.measure(size, decoding=decoding) for size in sorted({*sizes, trained})}
        rows = []
        for size, values in found.items():
            row = {"size": size, **_means(values)}
            if size != trained:
                gain = values["psnr"] - found[trained]["psnr"]
                gain = gain[np.isfinite(gain)]
                row["better"] = intervals.bootstrap({"gain": gain}, lambda m: m["gain"])[0]
            rows.append(row)
        return rows

    def saturations(
        self, size: int, colorfulness: float, decoding: Decoding = AS_STORED
    ) -> list[Row]:
        """Finds the least of `SATURATIONS` with which the results are as colorful as asked.

        Colorfulness grows with the saturation, so that the search halves what is left.

        Args:
            size: at which to measure.
            colorfulness: to reach, mean of the photos.
            decoding: of the network's outputs.

        Returns:
            Means over photos, with decode, temperature and saturation: of saturation 1, to show
            what the other costs, and last of the one found, or of the highest where none reaches
            it.
        """
        rows: dict[float, Row] = {}

        def reaches(factor: float) -> bool:
            if factor not in rows:
                values = _means(self.measure(size, factor, decoding))
                rows[factor] = {**decoding._asdict(), "saturation": factor, **values}
            return rows[factor]["colorfulness"] >= colorfulness

        reaches(1.0)
        place = bisect.bisect_left(SATURATIONS, True, key=reaches)
        least = SATURATIONS[min(place, len(SATURATIONS) - 1)]
        return [rows[1.0], rows[least]] if least != 1 else [rows[1.0]]

    def decodings(
        self, size: int, colorfulness: float, candidates: Sequence[Decoding]
    ) -> list[list[Row]]:
        """Runs `saturations` for several decodings, best first.

        Args:
            size: at which to measure.
            colorfulness: to reach, mean of the photos.
            candidates: to compare.

        Returns:
            The rows of each decoding that reaches it, the highest psnr of a last row first.

        Raises:
            RequestError: none does.
        """
        found = [self.saturations(size, colorfulness, decoding) for decoding in candidates]
        able = [rows for rows in found if rows[-1]["colorfulness"] >= colorfulness]
        if not able:
            most = max(rows[-1]["colorfulness"] for rows in found)
            raise RequestError(
                f"--colorfulness {colorfulness:g} is out of reach: {SATURATIONS[-1]:g} times the "
                f"saturation gives {most:.1f}; ask for less"
            )
        return sorted(able, key=lambda rows: -rows[-1]["psnr"])


def candidates(config: ConfigDict) -> list[Decoding]:
    """Returns the decodings that a network offers.

    Those of a network with an ab of its own beside bins: that ab, and for each of `TEMPERATURES`
    the annealed mean of the bins, and the mean of the two. Any other has the one that is stored.
    """
    from colorjax import method as methods

    network = methods.build_network(config)
    if not methods.takes_decode(network) or config.model.get("head") == "bins":
        return [AS_STORED]
    own, *others = methods.DECODES
    return [Decoding(own), *(Decoding(name, t) for name in others for t in TEMPERATURES)]


def _means(values: dict[str, np.ndarray]) -> Row:
    return {name: float(np.nanmean(column)) for name, column in values.items()}


def best_of(rows: Sequence[Row]) -> int:
    """Returns the size of the highest psnr among that of training and those surely better."""
    sure = [row for row in rows if row.get("better", math.inf) > 0]
    return int(max(sure, key=lambda row: (row["psnr"], -row["size"]))["size"])


def store(
    workdir_path: str,
    size: int,
    saturation: float,
    record: dict[str, Any],
    decoding: Decoding = AS_STORED,
) -> None:
    """Stores how to colorize in a workdir's config, and how that came about beside it.

    Args:
        workdir_path: of a run or of imported weights.
        size: in pixels.
        saturation: factor on the predicted ab.
        decoding: of the network's outputs; None leaves what is stored.
        record: the content of `calibration.json`.
    """
    from colorjax.train.workdir import Workdir, write_json

    workdir = Workdir(workdir_path)
    config = workdir.read_config()
    config.inference.size = size
    config.inference.saturation = saturation
    if decoding.decode is not None:
        config.inference.decode = decoding.decode
    if decoding.temperature is not None:
        config.model.temperature = decoding.temperature
    write_json(workdir.root / RECORD, record)
    write_json(workdir.config_file, config.to_dict())


def add_calibrate(commands: argparse._SubParsersAction) -> None:
    """Adds `colorjax calibrate`."""
    calibrate = commands.add_parser(
        "calibrate",
        help="choose the working size, decoding and saturation of weights on held-out photos",
        description="Colorizes photos at several working sizes and stores the one of the highest "
        "PSNR with the weights (inference.size in WORKDIR/config.json; the rows are in WORKDIR/"
        f"{RECORD}): another than that of training only where it is better by more than the 95 % "
        "interval of the gain. With --colorfulness it also stores the least factor on the colors "
        "(inference.saturation) with which the results are that colorful, and shows what that "
        "costs. Of a network that predicts both ab and color bins, such as semantic, it then tries "
        "every decoding (inference.decode: ab, annealed, blend; model.temperature) and stores the "
        "one of the highest PSNR at that colorfulness. Take photos that nothing was trained on, "
        "and that nothing is reported on. Training on sets all of it back, fine-tuning the "
        "saturation: calibrate again.",
        epilog="example:\n  colorjax calibrate runs/zhang16 --data held_out --colorfulness 20",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    calibrate.set_defaults(act=_calibrate)
    calibrate.add_argument(
        "workdir",
        metavar="WORKDIR",
        help="of a run or of imported weights; of weights that ship the rows are shown alone",
    )
    calibrate.add_argument(
        "--data",
        default=HELD_OUT,
        metavar="FOLDER",
        help="color photos, `sample_photos`, or those that the run held out of training "
        "(default: %(default)s)",
    )
    calibrate.add_argument(
        "--sizes",
        default=",".join(map(str, SIZES)),
        metavar="PX,...",
        help="(default: %(default)s)",
    )
    calibrate.add_argument(
        "--colorfulness",
        type=float,
        metavar="CF",
        help="to reach by saturation, as Hasler and Suesstrunk define it (default: saturation 1)",
    )
    calibrate.add_argument(
        "--photos", type=int, default=PHOTOS, metavar="N", help="at most (default: %(default)s)"
    )


def _calibrate(args: argparse.Namespace) -> int:
    try:
        sizes = sorted({int(word) for word in args.sizes.split(",")})
    except ValueError:
        sizes = [0]
    if sizes[0] < 1:
        raise RequestError(f"--sizes is PX,PX,..., each at least 1, not {args.sizes!r}")
    if args.photos < 1:
        raise RequestError(f"--photos is at least 1, not {args.photos}")
    wanted = args.colorfulness
    if wanted is not None and not 0 < wanted < math.inf:
        raise RequestError(f"--colorfulness is above 0, not {wanted:g}")
    startup.hush_libraries()
    from tqdm import tqdm

    from colorjax import metrics, shipped

    photos, about, unreadable = _read_photos(args.workdir, args.data, args.photos)
    with tqdm(unit="photo", disable=None) as bar:
        config = _config_of(args.workdir)
        calibrator = Calibrator(args.workdir, photos, bar.update)
        # What an earlier calibration stored does not count, where this one chooses it again.
        ways = [AS_STORED] if wanted is None else candidates(config)
        rows = calibrator.sizes(sizes, config.data.image_size, ways[0])
        size, factor, decoding = best_of(rows), 1.0, AS_STORED
        tried: list[list[Row]] = []
        if wanted is not None:
            tried = calibrator.decodings(size, wanted, ways)
            best = tried[0][-1]
            factor, decoding = best["saturation"], Decoding(best["decode"], best["temperature"])
    about["true_colorfulness"] = float(np.mean([metrics.colorfulness(photo) for photo in photos]))
    print(f"{len(photos)} photos; their own colorfulness is {about['true_colorfulness']:.1f}")
    _show("size, px", "size", rows)
    chosen = f"{size} px"
    for found in tried:
        name = str(Decoding(found[0]["decode"], found[0]["temperature"]))
        if len(tried) > 1:
            print(name)
        _show("saturation", "saturation", found)
    if tried:
        chosen += f", saturation {factor:g}" + (f", decode {decoding}" if decoding.decode else "")
    if shipped.ships(args.workdir):
        print(f"best: {chosen}; weights that ship are not changed, give it to colorize")
    else:
        flat = [row for rows in tried for row in rows]
        record = {"photos": about, "sizes": rows, "colorfulness": wanted, "saturations": flat}
        store(args.workdir, size, factor, record, decoding)
        print(f"stored with the weights: {chosen}")
    for name in unreadable:
        print(f"colorjax: passed over {name}", file=sys.stderr)
    return 1 if unreadable else 0


def _config_of(workdir: str) -> ConfigDict:
    from colorjax import shipped
    from colorjax.train.workdir import Workdir

    is_shipped = shipped.ships(workdir)
    return shipped.load(workdir).config if is_shipped else Workdir(workdir).read_config()


def _show(title: str, key: str, rows: Sequence[Row]) -> None:
    print("  ".join([title, *_SHOWN.values()]))
    for row in rows:
        cells = [f"{row[name]:{len(_SHOWN[name])}.2f}" for name in _SHOWN]
        sure = f"better by at least {row['better']:.2f} dB" if row.get("better", 0) > 0 else ""
        print("  ".join([f"{row[key]:{len(title)}g}", *cells, sure]).rstrip())


def _read_photos(
    workdir: str, data: str, number: int
) -> tuple[list[np.ndarray], dict[str, Any], list[str]]:
    """Returns up to `number` photos, where they are from, and what was unreadable."""
    from colorjax.compare import photos as chosen

    if data == "sample_photos":
        from colorjax.data.sources import SamplePhotos, read_sample

        names = [name for part in SamplePhotos.PHOTOS.values() for name in part]
        return [read_sample(name) for name in names], {"data": data, "photos": names}, []
    if data == HELD_OUT:
        return _read_held_out(workdir, number)
    drawn = chosen.choose([data], metric_photos=number)
    unreadable: list[str] = []
    found = list(drawn.readable(unreadable))
    if not found:
        raise RequestError(f"none of the photos of {data!r} can be read; give colour photos")
    names = [drawn.keys[place] for place, _ in found]
    return [photo for _, photo in found], {"data": data, "photos": names}, unreadable


def _read_held_out(workdir: str, number: int) -> tuple[list[np.ndarray], dict[str, Any], list[str]]:
    """Reads photos that a run held out to choose by, evenly spread over them."""
    from colorjax import shipped
    from colorjax.data import splits
    from colorjax.data.decode import UnreadablePhoto, decode_rgb
    from colorjax.train.workdir import Workdir

    if shipped.ships(workdir):
        raise RequestError(f"what {workdir} held out is not at hand; give --data FOLDER")
    run = Workdir(workdir)
    data = run.read_config().data
    if data.name == "folder" and not data.path:
        raise RequestError(f"{workdir} was not trained here; give --data FOLDER")
    source = splits.open_splits(data, run.read_classes()).validation
    if not len(source):
        raise RequestError(f"{workdir} held no photos out of training; give --data FOLDER")
    places = np.unique(np.linspace(0, len(source) - 1, number).round().astype(int))
    found, names, unreadable = [], [], []
    for place in map(int, places):
        name = source.keys[place]
        try:
            found.append(decode_rgb(source[place].image))
            names.append(name)
        except UnreadablePhoto as reason:
            unreadable.append(f"{name}: {reason}")
    if not found:
        raise RequestError(f"none of the photos that {workdir} held out can be read; give --data")
    return found, {"data": HELD_OUT, "photos": names}, unreadable
