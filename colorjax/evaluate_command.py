"""The command `colorjax evaluate`."""

from __future__ import annotations

import argparse
import math
import sys
import time
from typing import TYPE_CHECKING

from colorjax import startup
from colorjax.errors import Interrupted

if TYPE_CHECKING:
    from colorjax.suites import Request

_STOPPED = 75  # exit status


def add_evaluate(commands: argparse._SubParsersAction) -> None:
    """Adds `colorjax evaluate`."""
    evaluate = commands.add_parser(
        "evaluate",
        help="measure weights by a named protocol, beside trivial predictors",
        description="Writes result.json, .csv and .md and index.html: every metric with its "
        "interval, skill over a table of colours, differences paired by photo, pictures. The same "
        "command goes on where it was stopped.",
        epilog=(
            "examples:\n"
            "  colorjax evaluate semantic-lite0 --suite folder --data album --output measured\n"
            "  colorjax evaluate ours=runs/unet theirs=finished_pictures --suite val5k "
            "--data ILSVRC2012/val --output measured\n"
            "  colorjax evaluate runs/unet --suite cifar10-exact --data cifar-10-python.tar.gz "
            "--output measured"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluate.set_defaults(act=_evaluate)
    evaluate.add_argument(
        "methods",
        nargs="+",
        metavar="METHOD",
        help="[NAME=]PLACE: a workdir, weights that ship, or a folder of finished pictures; "
        "differences are to the first",
    )
    evaluate.add_argument(
        "--suite",
        required=True,
        metavar="NAME",
        help="val5k, val50k, coltran-5k, ctest10k, cifar10-kth, cifar10-exact, folder or "
        "bsds-aged; docs/evaluate.md says what each is",
    )
    evaluate.add_argument("--data", required=True, metavar="PLACE", help="your copy of its photos")
    evaluate.add_argument("--output", required=True, metavar="DIR", help="folder to write")
    evaluate.add_argument(
        "--limit", type=int, default=0, metavar="N", help="the first N photos alone"
    )
    evaluate.add_argument(
        "--size",
        type=int,
        default=0,
        metavar="PX",
        help="of folder and bsds-aged: centre squares of this side (default: as they are)",
    )
    evaluate.add_argument(
        "--tables",
        default="",
        metavar="FOLDER",
        help="photos behind the rows mean and per_lightness (default: Tiny ImageNet's, counted "
        "once; CIFAR-10's own training photos)",
    )
    evaluate.add_argument(
        "--groups",
        default="",
        metavar="FILE",
        help="lines PHOTO GROUP, or `folder`: metrics for each group too",
    )
    networks = evaluate.add_argument_group(
        "feature networks", "files that you bring, docs/feature_networks.md"
    )
    networks.add_argument(
        "--inception", default="", metavar="FILE", help="for fid: pytorch-fid's or torchvision's"
    )
    networks.add_argument(
        "--inception-scale", default="", metavar="NAME", help="of torchvision's: ddcolor or ct2"
    )
    networks.add_argument(
        "--lpips", nargs=2, default=(), metavar=("TRUNK", "LINEAR"), help="for lpips"
    )
    networks.add_argument("--vgg16", default="", metavar="FILE", help="for top1: torchvision's")
    networks.add_argument(
        "--classes", default="", metavar="FILE", help="lines PHOTO CLASS, or `folder`"
    )
    networks.add_argument(
        "--class-ids",
        default="",
        metavar="PLACE",
        help="a folder or file with all 1000 WordNet ids, where classes are such ids",
    )
    evaluate.add_argument("--overwrite", action="store_true", help="replace another evaluation")


def _evaluate(args: argparse.Namespace) -> int:
    startup.hush_libraries()
    startup.use_compilation_cache("auto")
    from colorjax import suites  # imports JAX: not for --help

    request = suites.Request(
        methods=args.methods,
        suite=args.suite,
        data=args.data,
        output=args.output,
        limit=args.limit,
        size=args.size,
        tables=args.tables,
        groups=args.groups,
        features=suites.FeatureFiles(
            inception=args.inception,
            inception_scale=args.inception_scale,
            lpips=tuple(args.lpips),
            vgg16=args.vgg16,
            classes=args.classes,
            class_ids=args.class_ids,
        ),
        overwrite=args.overwrite,
    )
    return run(request)


def run(request: Request, time_limit: float | None = None) -> int:
    """Runs a suite, prints its table and where its page is; returns the exit status.

    Args:
        request: what is to be evaluated.
        time_limit: seconds after which it stops, with status 75, to be continued.

    Raises:
        RequestError: see `colorjax.suites.evaluate`.
    """
    from colorjax import suites
    from colorjax.inference.stop import Stop

    end = math.inf if time_limit is None else time.monotonic() + time_limit
    with Stop(lambda: None, "part") as stop:

        def should_stop() -> bool:
            return bool(stop) or time.monotonic() >= end

        try:
            found = suites.evaluate(request, progress=True, should_stop=should_stop)
        except Interrupted as error:
            print(f"colorjax: {error}", file=sys.stderr)
            return _STOPPED
    print(found.table)
    print(found.output / "index.html")
    unreadable = found.result["photos"]["unreadable"]
    for name in unreadable:
        print(f"colorjax: passed over {name}", file=sys.stderr)
    return 1 if unreadable else 0
