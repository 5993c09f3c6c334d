"""Calibration of weights: working size, decoding, saturation and the distribution over bins."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from colorjax import color
from colorjax.errors import RequestError

if TYPE_CHECKING:
    from colorjax.tune import bins
    from colorjax.weights.open import StoredWeights
    from colorjax.weights.workdir import Workdir

SIZES = (32, 48, 64, 96, 128, 176, 256)
# So fine that decodings are compared at one colorfulness: 0.05 overshoots by up to 1, 0.1 dB.
SATURATIONS = tuple(round(0.5 + 0.01 * k, 2) for k in range(151))
TEMPERATURES = (0.1, 0.2, 0.38, 0.6, 1.0)
PHOTOS = 200
HELD_OUT = "held_out"
RECORD = "calibration.json"

Row = dict[str, Any]
COLUMNS = ("psnr", "mae_ab_8bit", "colorfulness")


class Decoding(NamedTuple):
    """How colors are decoded from the outputs; None: as stored with the weights."""

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
        """Takes weights as `Colorizer.load`, and photos that were not used for training.

        Args:
            workdir_or_name: the weights.
            photos: (H, W, 3) uint8 each.
            progress: called with 1 after each colorized photo.
        """
        self._weights = workdir_or_name
        self._photos = photos
        self._progress = progress
        self._loaded: dict[Any, Any] = {}  # (size, decoding) -> Colorizer, which compiles once

    def measure(
        self, size: int, saturation: float = 1.0, decoding: Decoding = AS_STORED
    ) -> list[dict[str, float]]:
        """Measures one setting; the saturation stored with the weights is ignored.

        Args:
            size: working size of the short side, in pixels.
            saturation: factor on the predicted ab.
            decoding: of the network's outputs.

        Returns:
            Of each photo: `COLUMNS` and is_gray, as of `metrics.picture.measure`.

        Raises:
            RequestError: no photo has color, the network has a fixed size, or the saturation
                stored with the weights is 0.
        """
        from colorjax.inference.colorizer import Colorizer

        key = size, decoding
        if key not in self._loaded:
            self._loaded[key] = Colorizer.load(self._weights, size=size, **decoding._asdict())
        colorizer = self._loaded[key]
        if colorizer.saturation == 0:
            raise RequestError("inference.saturation of the weights is 0; set it to 1")
        factor = saturation / colorizer.saturation
        records = []
        for photo in self._photos:
            colored = colorizer.colorize(color.gray_photo(photo), saturation=factor)
            records.append(_record(colored, photo))
            self._progress(1)
        if all(each["is_gray"] for each in records):
            raise RequestError("none of the photos has color; give --data color photos")
        return records

    def sizes(
        self, sizes: Sequence[int], trained: int, decoding: Decoding = AS_STORED
    ) -> list[Row]:
        """Compares several sizes with the training size.

        Args:
            sizes: in pixels.
            trained: the training size, which is measured too.
            decoding: of the network's outputs.

        Returns:
            One row per size: size, means over photos and, except for the training size, `better`:
            the lower end of the 95 % interval (bootstrap over photos) of the gain in psnr, in dB.
        """
        from colorjax.metrics import intervals

        measured = {
            size: self.measure(size, decoding=decoding) for size in sorted({*sizes, trained})
        }
        rows = []
        for size, records in measured.items():
            row = {"size": size, **_means(records)}
            if size != trained:
                pairs = zip(records, measured[trained], strict=True)
                gain = np.array([a["psnr"] - b["psnr"] for a, b in pairs if not a["is_gray"]])
                row["better"] = intervals.bootstrap({"gain": gain}, lambda m: m["gain"])[0]
            rows.append(row)
        return rows

    def saturations(
        self, size: int, colorfulness: float, decoding: Decoding = AS_STORED
    ) -> list[Row]:
        """Searches for the lowest of `SATURATIONS` that reaches a colorfulness.

        Colorfulness grows with the saturation, so that this is a binary search.

        Args:
            size: at which to measure.
            colorfulness: to reach, mean of the photos.
            decoding: of the network's outputs.

        Returns:
            Means over photos, with decode, temperature and saturation: first of saturation 1, to
            show the cost, last of the result of the search; if no saturation reaches the
            colorfulness, the last has the highest.
        """
        rows: dict[float, Row] = {}

        def reaches(factor: float) -> bool:
            if factor not in rows:
                values = _means(self.measure(size, factor, decoding))
                rows[factor] = {**decoding._asdict(), "saturation": factor, **values}
            return rows[factor]["colorfulness"] >= colorfulness

        reaches(1.0)  # the baseline, for the cost in PSNR
        index = bisect.bisect_left(SATURATIONS, True, key=reaches)
        lowest = SATURATIONS[min(index, len(SATURATIONS) - 1)]
        return [rows[1.0], rows[lowest]] if lowest != 1 else [rows[1.0]]

    def fit_bins(self, size: int) -> bins.Fit | None:
        """Fits the distribution over bins; None for weights without bins.

        What is stored with the weights is ignored.

        Args:
            size: at which to predict.

        Raises:
            RequestError: too few photos have color.
        """
        from colorjax.inference.colorizer import Colorizer
        from colorjax.tune import bins

        colorizer = Colorizer.load(self._weights, size=size, calibrated=False)
        if not colorizer.has_bins:
            return None
        return bins.fit(bins.collect(colorizer, self._photos))

    def decodings(
        self, size: int, colorfulness: float, candidates: Sequence[Decoding]
    ) -> list[list[Row]]:
        """Runs `saturations` for several decodings, best first.

        Args:
            size: at which to measure.
            colorfulness: to reach, mean of the photos.
            candidates: to compare.

        Returns:
            The rows of each decoding that reaches it, by the psnr of the last row, best first.

        Raises:
            RequestError: no decoding reaches it.
        """
        results = [self.saturations(size, colorfulness, decoding) for decoding in candidates]
        reaching = [rows for rows in results if rows[-1]["colorfulness"] >= colorfulness]
        if not reaching:
            highest = max(rows[-1]["colorfulness"] for rows in results)
            raise RequestError(
                f"--colorfulness {colorfulness:g} is out of reach: {SATURATIONS[-1]:g} times the "
                f"saturation gives {highest:.1f}; ask for less"
            )
        return sorted(reaching, key=lambda rows: -rows[-1]["psnr"])


def candidates(config: ConfigDict) -> list[Decoding]:
    """Returns the decodings that a network supports.

    A network with outputs for ab and bins has: the ab output, and for each of `TEMPERATURES` the
    annealed mean of the bins and the mean of both. Other networks have only the stored decoding.
    """
    from colorjax import methods

    network = methods.build_network(config)
    if not methods.takes_decode(network) or config.model.get("head") == "bins":
        return [AS_STORED]
    own, *others = methods.DECODES
    return [Decoding(own), *(Decoding(name, t) for name in others for t in TEMPERATURES)]


def _record(colored: np.ndarray, photo: np.ndarray) -> dict[str, float]:
    """Compares a picture with the true photo; other metrics would take most of the time."""
    from colorjax import metrics
    from colorjax.metrics.picture import is_gray

    ab, true_ab = (color.rgb_u8_to_lab(each)[..., 1:] for each in (colored, photo))
    return {
        "psnr": float(metrics.psnr(colored, photo)),
        "mae_ab_8bit": float(metrics.mae_ab(ab, true_ab)),
        "colorfulness": float(metrics.colorfulness(colored)),
        "is_gray": float(is_gray(photo)),
    }


def _means(records: Sequence[dict[str, float]]) -> Row:
    from colorjax.metrics import table

    of_color = [each for each in records if not each["is_gray"]]
    counted = {name: of_color if table.excludes_gray(name) else records for name in COLUMNS}
    return {name: float(np.mean([each[name] for each in rows])) for name, rows in counted.items()}


def best_of(rows: Sequence[Row]) -> int:
    """Returns the size with the highest psnr: the training size or a significantly better one."""
    sure = [row for row in rows if row.get("better", math.inf) > 0]
    return int(max(sure, key=lambda row: (row["psnr"], -row["size"]))["size"])


def store(
    workdir: Workdir,
    size: int,
    saturation: float,
    record: dict[str, Any],
    decoding: Decoding = AS_STORED,
    fit: bins.Fit | None = None,
) -> None:
    """Stores the result in a workdir's config, and its record in `calibration.json`.

    Args:
        workdir: of a run or of imported weights.
        size: in pixels.
        saturation: factor on the predicted ab.
        decoding: of the network's outputs; None keeps the stored value.
        record: the content of `calibration.json`.
        fit: of the distribution over bins; None: the weights have none.
    """
    from colorjax.weights.workdir import write_json

    config = workdir.read_config()
    config.inference.size = size
    config.inference.saturation = saturation
    if decoding.decode is not None:
        config.inference.decode = decoding.decode
    if decoding.temperature is not None:
        config.model.temperature = decoding.temperature
    if fit is not None:
        config.inference.update(bins_config(fit))
    write_json(workdir.root / RECORD, record)
    write_json(workdir.config_file, config.to_dict())


def bins_config(fit: bins.Fit) -> dict[str, Any]:
    """Returns the fields of `config.inference` of a calibrated distribution over bins."""
    bias = [round(float(value), 4) for value in fit.bias]
    return {"bin_bias": bias, "bin_temperature": float(fit.temperature)}


def bins_record(fit: bins.Fit) -> dict[str, Any]:
    """Returns the record of a calibrated distribution over bins, for `calibration.json`."""
    return {name: value for name, value in fit._asdict().items() if name != "bias"}


def read_photos(
    weights: StoredWeights, data: str, number: int
) -> tuple[list[np.ndarray], dict[str, Any], list[str]]:
    """Returns up to `number` photos, their source for the record, and the unreadable photos."""
    from colorjax.data.selection import draw

    if data == "sample_photos":
        from colorjax.data.sources.source import SamplePhotos, read_sample

        names = [name for part in SamplePhotos.PHOTOS.values() for name in part]
        return [read_sample(name) for name in names], {"data": data, "photos": names}, []
    if data == HELD_OUT:
        return _read_held_out(weights, number)
    drawn = draw.choose([data], metric_photos=number)
    unreadable: list[str] = []
    photos = list(drawn.readable(unreadable))
    if not photos:
        raise RequestError(f"none of the photos of {data!r} can be read; give color photos")
    names = [drawn.keys[index] for index, _ in photos]
    return [photo for _, photo in photos], {"data": data, "photos": names}, unreadable


def _read_held_out(
    weights: StoredWeights, number: int
) -> tuple[list[np.ndarray], dict[str, Any], list[str]]:
    """Reads validation photos of a run, evenly spread over all of them."""
    from colorjax.data.decode import decode_rgb
    from colorjax.data.selection import splits
    from colorjax.data.sources.subsets import evenly_spaced
    from colorjax.errors import UnreadablePhoto

    name, data = weights.name, weights.config.data
    if weights.workdir is None:
        raise RequestError(f"{name} comes without its held-out photos; give --data FOLDER")
    if data.name == "folder" and not data.path:
        raise RequestError(f"{name} was not trained here; give --data FOLDER")
    source = splits.open_splits(data, weights.workdir.read_classes()).validation
    if not len(source):
        raise RequestError(f"{name} held no photos out of training; give --data FOLDER")
    photos, names, unreadable = [], [], []
    for index in evenly_spaced(len(source), number):
        key = source.keys[index]
        try:
            photos.append(decode_rgb(source[index].image))
            names.append(key)
        except UnreadablePhoto as reason:
            unreadable.append(f"{key}: {reason}")
    if not photos:
        raise RequestError(f"none of the photos that {name} held out can be read; give --data")
    return photos, {"data": HELD_OUT, "photos": names}, unreadable
