"""Commands over whole data sets: prepare, prior."""

from __future__ import annotations

import argparse
import sys

from colorjax import paths, startup
from colorjax.errors import RequestError


def add_prepare(commands: argparse._SubParsersAction) -> None:
    """Adds `colorjax prepare`."""
    prepare = commands.add_parser(
        "prepare",
        help="write photos as array_record shards, for large data sets",
        description="Writes a folder, zip or tar of photos as shards, in parallel. The same "
        "command goes on where it was stopped.",
        epilog="example:\n  colorjax prepare photos.zip --output shards --shards 64 --size 288",
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
    with tqdm(unit="photo", disable=None) as bar:
        found = prepare(
            args.source,
            args.output,
            num_shards=args.shards,
            size=args.size,
            labels=args.labels,
            jobs=args.jobs,
            progress=bar.update,
        )
    for key in found.kept_whole:
        print(f"colorjax: {key} cannot be read as a photo; kept as it is", file=sys.stderr)
    print(
        f"{args.output}: {found.num_photos} photos in {len(found.paths)} shards, "
        f"{found.num_written} written now; train with --config.data.name=array_record "
        f"--config.data.path={args.output}"
    )
    return 1 if found.kept_whole else 0


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

    from colorjax.data import prior, splits

    startup.hush_libraries()
    source = splits.open_data(args.data, args.data_dir, args.split)
    with tqdm(total=len(source), unit="photo", disable=None) as bar:
        found = prior.count(source, short_side=args.short_side, progress=bar.update)
    prior.save(output, found, f"colorjax prior {args.data}, {found.num_photos} photos")
    print(f"{output}: {found.num_photos} photos, {found.num_pixels} pixels")
    flaws = found.flaws()
    for flaw in flaws:
        print(f"colorjax: {flaw}", file=sys.stderr)
    if not flaws:
        print("sums to 1, is highest at grey, has no empty bin")
    return 0
