"""The command `colorjax evaluate`: metrics by a named protocol."""

from __future__ import annotations

import argparse

from colorjax.cli import options
from colorjax.runtime import jax_setup as startup

DESCRIPTION = (
    "Writes result.json, .csv and .md and index.html: every metric with its interval, skill "
    "over a table of colours, differences paired by photo, pictures. The same command goes on"
    " where it was stopped."
)
EPILOG = """\
examples:
  colorjax evaluate semantic-lite0 --suite folder --data album --output measured
  colorjax evaluate ours=runs/unet theirs=finished_pictures --suite val5k \\
      --data ILSVRC2012/val --output measured
  colorjax evaluate runs/unet --suite cifar10-exact \\
      --data cifar-10-python.tar.gz --output measured"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.add_argument(
        "methods",
        nargs="+",
        metavar="METHOD",
        help="[NAME=]PLACE: a workdir, weights that ship, or a folder of finished pictures; "
        "differences are to the first",
    )
    parser.add_argument(
        "--suite",
        required=True,
        metavar="NAME",
        help="val5k, val50k, coltran-5k, ctest10k, cifar10-kth, cifar10-exact, folder or "
        "bsds-aged; docs/evaluate.md says what each is",
    )
    options.add_data(parser, "your copy of its photos", metavar="PLACE")
    options.add_output(parser, "folder to write")
    parser.add_argument(
        "--limit", type=int, default=0, metavar="N", help="the first N photos alone"
    )
    parser.add_argument(
        "--size",
        type=int,
        default=0,
        metavar="PX",
        help="of folder and bsds-aged: centre squares of this side (default: as they are)",
    )
    parser.add_argument(
        "--tables",
        default="",
        metavar="FOLDER",
        help="photos behind the rows mean and per_lightness (default: Tiny ImageNet's, counted "
        "once; CIFAR-10's own training photos)",
    )
    parser.add_argument(
        "--groups",
        default="",
        metavar="FILE",
        help="lines PHOTO GROUP, or `folder`: metrics for each group too",
    )
    networks = parser.add_argument_group(
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
    options.add_overwrite(parser, "replace another evaluation")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    startup.hush_libraries()
    startup.use_compilation_cache("auto")
    from colorjax import evaluate as suites  # imports JAX: not for --help

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
    return suites.run_and_print(request)
