"""How many images per second does the host prepare for training?

    python -m benchmarks.pipeline
    python -m benchmarks.pipeline --data PHOTOS --size 64 --workers 4
    python -m benchmarks.pipeline --shards SHARDS --size 128 --images 2048

JPEG files of the given size become Lab targets. Rows, for each size:

    peer_decode          Pillow alone, one thread
    peer_decode_lab      Pillow, then scikit-image's rgb2lab, one thread
    ours_device_targets  colorjax, RGB only: the device computes Lab; one thread; peer: peer_decode
    ours_host_targets    colorjax with gray and ab computed here, one thread; peer: peer_decode_lab
    ours_augmented       the same with the random crops and flips of training
    ours_aged            the same with an aged gray input for every photo; peer: ours_augmented
    pipeline_threads     the training batches, by the pipeline's own threads
    pipeline_workers     the same, by --workers processes
    lab_skimage          scikit-image's rgb2lab on decoded pixels, one thread
    lab_colorjax         colorjax.color.rgb_u8_to_lab on the same; peer: lab_skimage
    targets_colorjax     the gray and ab inputs of networks, from the same; peer: lab_skimage

The rows take turns; `median_s` is the median of one turn over `images` images. `ratio_to_peer` is
the speed relative to `peer`, the median over the turns; it is the number to compare, because load
on the machine changes it little. `targets_colorjax` has a `goal`: at least 3. The pipeline's rows
are meaningful only if --images is many times the batches that it prefetches: 512 or more.

With --shards, photos of `colorjax prepare` are read at random and cropped (0.4 to 1 of the area) as
in training. These rows count processor time instead of elapsed time, so `images_per_second` is the
rate of one core, and a busy machine changes it little:

    shards_device_targets  8-bit RGB crops; the device computes Lab
    shards_host_targets    gray and ab computed here
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import ConfigDict
from PIL import Image
from skimage.color import rgb2lab

from benchmarks import measure
from colorjax import color
from colorjax.data import crops
from colorjax.data.decode import decode_region
from colorjax.data.pipeline import LoadForTraining, train_batches
from colorjax.data.sources.records import ArrayRecordSource
from colorjax.data.sources.source import FolderSource, Source
from colorjax.data.targets import TargetEncoder
from colorjax.errors import RequestError, UnreadablePhoto
from configs import default

QUESTION = "host images per second"
TARGETS_GOAL = 3.0  # times scikit-image's rate
PEERS = {
    "ours_device_targets": "peer_decode",
    "ours_host_targets": "peer_decode_lab",
    "ours_aged": "ours_augmented",
    "lab_colorjax": "lab_skimage",
    "targets_colorjax": "lab_skimage",
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    flags.FLAGS.mark_as_parsed()  # grain's worker processes read absl's flags
    for size in args.size:
        if args.shards:
            try:
                source = ArrayRecordSource(args.shards, with_labels=False)
            except RequestError as error:
                parser.error(str(error))
            measure_shards(source, size, args)
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                write_photos(Path(folder), size, args.images, args.data)
                source = FolderSource.open(folder, labels="none")
            except RequestError as error:
                parser.error(str(error))
            measure_size(source, size, args)
    return 0


def measure_size(source: FolderSource, size: int, args: argparse.Namespace) -> None:
    """Measures and prints all rows of one size."""
    one_by_one = {name: measure.timed(work) for name, work in element_work(source, size).items()}
    num_batches = max(1, len(source) // args.batch)
    batched = {
        name: functools.partial(batch_seconds, source, data, args.batch, num_batches)
        for name, data in batch_configs(size, args.workers).items()
    }
    seconds = measure.alternate(one_by_one | batched, args.repeats)
    for name in seconds:
        batch = args.batch if name in batched else 1
        peer = PEERS.get(name, "")
        more: dict[str, Any] = {"workers": args.workers} if name == "pipeline_workers" else {}
        if name == "targets_colorjax":
            reached = measure.ratio(seconds[peer], seconds[name])
            more = {"goal": TARGETS_GOAL, "goal_met": reached >= TARGETS_GOAL}
        measure.print_row(
            QUESTION,
            name,
            seconds[name],
            size=size,
            batch=batch,
            images=batch * num_batches if name in batched else len(source),
            device=measure.host(),
            peer=peer,
            peer_seconds=seconds.get(peer),
            **more,
        )


def measure_shards(source: Source, size: int, args: argparse.Namespace) -> None:
    """Measures and prints the crops of shards per second of processor time."""
    chosen = np.random.default_rng(0).integers(len(source), size=args.images).tolist()
    runs = {}
    for targets in ("device", "host"):
        data = training(size, targets)
        data.crop_scale = (0.4, 1.0)
        load = functools.partial(LoadForTraining(source, data), rng=np.random.default_rng(0))
        work = functools.partial(call_on_each, load, chosen)
        runs[f"shards_{targets}_targets"] = measure.timed(work, time.process_time)
    for name, seconds in measure.alternate(runs, args.repeats).items():
        measure.print_row(
            QUESTION,
            name,
            seconds,
            size=size,
            batch=1,
            images=args.images,
            device=measure.host(),
        )


def element_work(source: FolderSource, size: int) -> dict[str, Callable[[], None]]:
    """Returns row -> a function that processes the photos one by one, in one thread."""
    paths = [source.root / key for key in source.keys]
    pixels = [decode_with_pillow(path) for path in paths]
    numbers = range(len(source))
    rng = np.random.default_rng(0)

    def ours(data: ConfigDict) -> Callable[[int], Any]:
        load = LoadForTraining(source, data)
        return lambda index: load(index, rng)

    aged = training(size, "host")
    aged.aged = 1.0
    rows: dict[str, tuple[Callable[..., Any], Sequence[Any]]] = {
        "peer_decode": (decode_with_pillow, paths),
        "ours_device_targets": (ours(uncropped(size, "device")), numbers),
        "peer_decode_lab": (lambda path: rgb2lab(decode_with_pillow(path)), paths),
        "ours_host_targets": (ours(uncropped(size, "host")), numbers),
        "ours_augmented": (ours(training(size, "host")), numbers),
        "ours_aged": (ours(aged), numbers),
        "lab_skimage": (rgb2lab, pixels),
        "lab_colorjax": (color.rgb_u8_to_lab, pixels),
        "targets_colorjax": (TargetEncoder(), pixels),
    }
    return {name: functools.partial(call_on_each, *row) for name, row in rows.items()}


def call_on_each(function: Callable[[Any], Any], items: Iterable[Any]) -> None:
    for item in items:
        function(item)


def decode_with_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def training(size: int, targets: str) -> ConfigDict:
    """Returns `config.data` as in training."""
    data = default.get_config().data
    data.image_size = size
    data.targets = targets
    return data


def uncropped(size: int, targets: str) -> ConfigDict:
    """Returns `config.data` for whole unmodified photos: the same work as the peers."""
    data = training(size, targets)
    data.crop_scale = data.crop_ratio = (1.0, 1.0)
    data.flip = False
    return data


def batch_configs(size: int, workers: int) -> dict[str, ConfigDict]:
    """Returns `config.data` of the rows that measure whole batches."""
    rows = {"pipeline_threads": training(size, "host")}
    if workers:
        rows["pipeline_workers"] = training(size, "host")
        rows["pipeline_workers"].num_workers = workers
    return rows


def batch_seconds(source: FolderSource, data: ConfigDict, batch: int, number: int) -> float:
    """Returns the seconds between the first batch and the `number`-th after it.

    The start of threads and processes is left out, and no batch is made before it is timed, but
    for those that the threads work on while the first one arrives; as many are left at the end.
    """
    with contextlib.closing(train_batches(source, data, seed=0, batch_size=batch)) as batches:
        next(batches)
        start = time.perf_counter()
        for _ in range(number):
            next(batches)
        return time.perf_counter() - start


def write_photos(folder: Path, size: int, number: int, data: str | None) -> None:
    """Writes square JPEG files of quality 90: from a folder of photos, or synthetic.

    Raises:
        RequestError: no photo in the folder, or none that can be read.
    """
    photos = real_photos(data, size, number) if data else synthetic_photos(size, number)
    written = 0
    for rgb in photos:
        Image.fromarray(rgb).save(folder / f"{written:05d}.jpg", quality=90)
        written += 1
    if not written:
        raise RequestError(f"none of the photos in {data!r} can be read; give another --data")


def real_photos(data: str, size: int, number: int) -> Iterator[np.ndarray]:
    """Yields the center squares of the first photos of a folder, resized."""
    source = FolderSource.open(data, labels="none")
    for index in range(min(number, len(source))):
        with contextlib.suppress(UnreadablePhoto):
            yield decode_region(source[index].image, crops.center_square, size)


def synthetic_photos(size: int, number: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yields smooth color gradients with fine gray texture, (size, size, 3) uint8."""
    rng = np.random.default_rng(seed)
    for _ in range(number):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
        smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.float32)
        texture = rng.normal(0, 8, (size, size, 1))
        yield np.clip(smooth + texture, 0, 255).astype(np.uint8)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline",
        description="Images per second on the host: JPEG files to Lab targets, and peers.",
        epilog="example: python -m benchmarks.pipeline --data PHOTOS --size 64 --workers 4",
    )
    add, number = parser.add_argument, measure.at_least_one
    add("--data", metavar="FOLDER", help="real photos; default: synthetic ones")
    add("--shards", metavar="FOLDER", help="measure crops of these shards instead")
    add("--size", type=number, nargs="+", default=[64, 256], help="pixels (default: 64 256)")
    add("--images", type=number, default=256, help="photos, at most (default: %(default)s)")
    add("--batch", type=number, default=16, help="of the pipeline (default: %(default)s)")
    add("--workers", type=int, default=2, help="processes; 0: no such row (default: %(default)s)")
    add("--repeats", type=number, default=5, help="turns of each row (default: %(default)s)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
