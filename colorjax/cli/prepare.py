"""The command `colorjax prepare`: photos to array_record shards."""

from __future__ import annotations

import argparse
import sys

from colorjax.cli import options
from colorjax.runtime import jax_setup as startup

DESCRIPTION = (
    "Writes a folder, zip or tar of photos as shards, in parallel. The same command goes on "
    "where it was stopped."
)
EPILOG = """\
examples:
  colorjax prepare photos.zip --output shards --shards 64 --size 288
  colorjax prepare photos --output shards --size 224 --quality 90 --exclude test_photos"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument("source", metavar="SOURCE", help="folder, zip or plain tar of photos")
    options.add_output(parser, "folder for the shards")
    parser.add_argument(
        "--shards", type=int, default=16, metavar="N", help="files (default: %(default)s)"
    )
    parser.add_argument(
        "--size",
        type=int,
        default=0,
        metavar="PX",
        help="make the short side this where it is longer (default: keep each file's bytes)",
    )
    parser.add_argument(
        "--quality",
        type=int,
        default=0,
        metavar="Q",
        help="with --size: make every photo a JPEG, resized ones of this quality, 1 to 100 "
        "(default: JPEG files of quality 95, others PNG)",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="FOLDER",
        help="leave out near duplicates of the photos of this folder, zip or tar, and of earlier "
        "photos (repeatable)",
    )
    parser.add_argument(
        "--min-side",
        type=int,
        default=0,
        metavar="PX",
        help="leave out photos whose shorter side is below this, and near duplicates",
    )
    parser.add_argument(
        "--labels",
        default="folder",
        metavar="KIND",
        help="folder, path, none, or a file of lines `PHOTO LABEL` (default: %(default)s)",
    )
    options.add_jobs(parser, 0, "processes (default: one a core)")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from tqdm import tqdm

    from colorjax.data.prepare import prepare

    startup.quiet_library_logs()
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
