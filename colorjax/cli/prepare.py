"""Commands over whole data sets: prepare, prior."""

from __future__ import annotations

import argparse
import sys

from colorjax.errors import RequestError
from colorjax.runtime import jax_setup as startup
from colorjax.runtime import paths


def add_prepare(commands: argparse._SubParsersAction) -> None:
    """Adds `colorjax prepare`."""
    prepare = commands.add_parser(
        "prepare",
        help="write photos as array_record shards, for large data sets",
        description="Writes a folder, zip or tar of photos as shards, in parallel. The same "
        "command goes on where it was stopped.",
        epilog="examples:\n  colorjax prepare photos.zip --output shards --shards 64 --size 288\n"
        "  colorjax prepare photos --output shards --size 224 --quality 90 --exclude test_photos",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prepare.set_defaults(act=_prepare)
    prepare.add_argument("source", metavar="SOURCE", help="folder, zip or plain tar of photos")
    prepare.add_argument("--output", metavar="DIR", required=True, help="folder for the shards")
    prepare.add_argument(
        "--shards", type=int, default=16, metavar="N", help="files (default: %(default)s)"
    )
    prepare.add_argument(
        "--size",
        type=int,
        default=0,
        metavar="PX",
        help="make the short side this where it is longer (default: keep each file's bytes)",
    )
    prepare.add_argument(
        "--quality",
        type=int,
        default=0,
        metavar="Q",
        help="with --size: make every photo a JPEG, resized ones of this quality, 1 to 100 "
        "(default: JPEG files of quality 95, others PNG)",
    )
    prepare.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="FOLDER",
        help="leave out near duplicates of the photos of this folder, zip or tar, and of earlier "
        "photos (repeatable)",
    )
    prepare.add_argument(
        "--min-side",
        type=int,
        default=0,
        metavar="PX",
        help="leave out photos whose shorter side is below this, and near duplicates",
    )
    prepare.add_argument(
        "--labels",
        default="folder",
        metavar="KIND",
        help="folder, path, none, or a file of lines `PHOTO LABEL` (default: %(default)s)",
    )
    prepare.add_argument(
        "--jobs", type=int, default=0, metavar="N", help="processes (default: one a core)"
    )


def _prepare(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from colorjax.data.prepare import prepare

    startup.hush_libraries()
    with (
        tqdm(unit="photo", desc="selecting", disable=None) as selecting,
        tqdm(unit="photo", desc="writing", disable=None) as bar,
    ):
        found = prepare(
            args.source,
            args.output,
            num_shards=args.shards,
            size=args.size,
            quality=args.quality,
            exclude=args.exclude,
            min_side=args.min_side,
            labels=args.labels,
            jobs=args.jobs,
            selecting=selecting.update,
            progress=bar.update,
        )
    if found.counts:
        print(_table(found.counts))
    for key in found.kept_whole:
        print(f"colorjax: {key} cannot be read as a photo; kept as it is", file=sys.stderr)
    print(
        f"{args.output}: {found.num_photos} photos in {len(found.paths)} shards, "
        f"{found.num_written} written now; train with --config.data.name=array_record "
        f"--config.data.path={args.output}"
    )
    return 1 if found.kept_whole else 0


def _table(counts: dict[str, list[int]]) -> str:
    """Returns a table of the photos of each source by the reason why they are left out."""
    head = ("source", "photos", "unreadable", "too small", "excluded", "duplicates", "written")
    rows = [(name or ".", *count) for name, count in counts.items()]
    rows.append(("all", *(sum(column) for column in zip(*counts.values(), strict=True))))
    # Each row counts the kept photos first.
    lines = [(name, sum(count), *count[1:], count[0]) for name, *count in rows]
    width = max(len(str(name)) for name, *_ in [head, *rows])
    return "\n".join(
        f"{name:{width}}" + "".join(f"{value:>12}" for value in values)
        for name, *values in [head, *lines]
    )


def add_prior(commands: argparse._SubParsersAction) -> None:
    """Adds `colorjax prior`."""
    prior = commands.add_parser(
        "prior",
        help="count the colours of a data set, for loss.prior",
        description="Writes the share of a data set's pixels in each of the 313 colour bins.",
        epilog="example:\n  colorjax prior PHOTOS --output prior.npz",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prior.set_defaults(act=_prior)
    prior.add_argument(
        "data", metavar="DATA", help="folder of photos or of array_record shards, or tfds:NAME"
    )
    prior.add_argument("--output", metavar="FILE.npz", required=True, help="file to write")
    prior.add_argument("--split", default="train", help="of tfds:NAME (default: %(default)s)")
    prior.add_argument("--data-dir", default="", metavar="DIR", help="of tfds:NAME")
    prior.add_argument(
        "--short-side", type=int, default=256, metavar="PX", help="shrink larger photos to it"
    )
    prior.add_argument(
        "--weight",
        action="append",
        default=[],
        metavar="SOURCE=W",
        help="count as training with this weight of data.weights sees them (repeatable)",
    )
    prior.add_argument("--overwrite", action="store_true", help="replace an existing file")


def _prior(args: argparse.Namespace) -> int:
    output = paths.local(args.output)
    if output.suffix != ".npz":
        raise RequestError(f"--output {args.output!r} has to end in .npz")
    if output.exists() and not args.overwrite:
        raise RequestError(f"{args.output!r} exists; give another --output, or --overwrite")
    if args.short_side < 8:
        raise RequestError(f"--short-side is at least 8 pixels, not {args.short_side}")
    from tqdm import tqdm

    from colorjax.data import prior
    from colorjax.data.selection import splits, weighting

    startup.hush_libraries()
    weights = [_weight(word) for word in args.weight]
    source = splits.open_data(args.data, args.data_dir, args.split)
    if weights:
        source = weighting.first_pass(source, weights)
    with tqdm(total=len(source), unit="photo", disable=None) as bar:
        found = prior.count(source, short_side=args.short_side, progress=bar.update)
    words = " ".join([args.data, *(f"--weight {word}" for word in args.weight)])
    prior.save(output, found, f"colorjax prior {words}, {found.num_photos} photos")
    print(f"{output}: {found.num_photos} photos, {found.num_pixels} pixels")
    flaws = found.flaws()
    for flaw in flaws:
        print(f"colorjax: {flaw}", file=sys.stderr)
    if not flaws:
        print("sums to 1, is highest at grey, has no empty bin")
    return 0


def _weight(word: str) -> tuple[str, float]:
    name, _, number = word.rpartition("=")
    try:
        return name, float(number)
    except ValueError:
        raise RequestError(f"--weight {word!r} is not SOURCE=NUMBER") from None
