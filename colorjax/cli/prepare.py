"""The command `colorjax prepare`: writes photos as array_record shards."""

from __future__ import annotations

import argparse
import sys

from colorjax.cli import options
from colorjax.runtime import jax_setup
from colorjax.runtime.file_names import printable

DESCRIPTION = (
    "Writes a folder, zip or tar of photos as shards, in parallel. After a stop, the same "
    "command continues."
)
EPILOG = """\
examples:
  colorjax prepare photos.zip --output shards --shards 64 --size 288
  colorjax prepare photos --output shards --size 224 --quality 90 --exclude test_photos"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "source", metavar="SOURCE", help="folder, zip or uncompressed tar of photos"
    )
    options.add_output(parser, "folder for the shards")
    parser.add_argument(
        "--shards",
        type=int,
        default=16,
        metavar="N",
        help="number of shards (default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        type=int,
        default=0,
        metavar="PX",
        help="shrink photos to this short side (default: keep the bytes of each file)",
    )
    parser.add_argument(
        "--quality",
        type=int,
        default=0,
        metavar="Q",
        help="with --size: store every photo as JPEG, resized ones at this quality, 1 to 100 "
        "(default: JPEG files at quality 95, others as PNG)",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="FOLDER",
        help="leave out near duplicates of the photos in this folder, zip or tar, and of earlier "
        "photos; may be repeated",
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
    options.add_jobs(parser, 0, "parallel processes (default: one per core)")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    from tqdm import tqdm

    from colorjax.data.prepare import prepare

    jax_setup.quiet_library_logs()
    with (
        tqdm(unit="photo", desc="selecting", disable=None) as selecting,
        tqdm(unit="photo", desc="writing", disable=None) as bar,
    ):
        result = prepare(
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
    if result.counts:
        print(_table(result.counts))
    for key in result.kept_whole:
        name = printable(key)
        print(f"colorjax: {name} cannot be read as a photo; its bytes are kept", file=sys.stderr)
    output = printable(args.output)
    print(
        f"{output}: {result.num_photos} photos in {len(result.paths)} shards, "
        f"{result.num_written} written now; train with --config.data.name=array_record "
        f"--config.data.path={output}"
    )
    return 1 if result.kept_whole else 0


def _table(counts: dict[str, list[int]]) -> str:
    """Returns a table of the photos of each source by the reason for leaving them out."""
    head = ("source", "photos", "unreadable", "too small", "excluded", "duplicates", "written")
    rows = [(printable(name) or ".", *count) for name, count in counts.items()]
    rows.append(("all", *(sum(column) for column in zip(*counts.values(), strict=True))))
    # The first count of each row is of the kept photos.
    lines = [(name, sum(count), *count[1:], count[0]) for name, *count in rows]
    width = max(len(str(name)) for name, *_ in [head, *rows])
    return "\n".join(
        f"{name:{width}}" + "".join(f"{value:>12}" for value in values)
        for name, *values in [head, *lines]
    )
