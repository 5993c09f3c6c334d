"""The command `colorjax evaluate`: metrics by a named protocol."""

from __future__ import annotations

import argparse

from colorjax.cli import options
from colorjax.errors import RequestError
from colorjax.runtime import jax_setup

DESCRIPTION = (
    "Writes result.json, .csv and .md and index.html: every metric with its interval, skill "
    "over a table of colors, paired differences per photo, pictures. After a stop, the same "
    "command continues."
)
EPILOG = """\
examples:
  colorjax evaluate semantic-lite0 --suite folder --data album --output measured
  colorjax evaluate ours=runs/unet theirs=finished_pictures --suite val5k \\
      --data ILSVRC2012/val --output measured
  colorjax evaluate runs/unet --suite cifar10-exact \\
      --data cifar-10-python.tar.gz --output measured
  colorjax evaluate --suite hecd --data HECD --output opinions"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "methods",
        nargs="*",
        metavar="METHOD",
        help="[NAME=]SOURCE: a workdir, bundled weights, or a folder of finished pictures; "
        "differences are relative to the first; none for the suite hecd",
    )
    parser.add_argument(
        "--suite",
        required=True,
        metavar="NAME",
        help="val5k, val5k-ddcolor, val5k-ct2, val5k-ct2-loader, val50k, val50k-ddcolor, "
        "coltran-5k, ctest10k, ctest10k-gaussian, cifar10-kth, cifar10-exact, folder or bsds-aged; "
        "hecd compares metrics with human opinions; ask plays a user who answers questions; "
        "see docs/evaluate.md",
    )
    options.add_data(parser, "path of the photos of the suite", metavar="PATH")
    options.add_output(parser, "folder to write")
    options.add_download(parser)
    parser.add_argument(
        "--limit", type=int, default=0, metavar="N", help="use only the first N photos"
    )
    parser.add_argument(
        "--size",
        type=int,
        default=0,
        metavar="PX",
        help="for folder and bsds-aged: center squares of this side (default: whole photos)",
    )
    parser.add_argument(
        "--tables",
        default="",
        metavar="FOLDER",
        help="photos to fit the baselines mean and per_lightness on (default: a stored fit on "
        "Tiny ImageNet; for CIFAR-10 its own training photos)",
    )
    parser.add_argument(
        "--groups",
        default="",
        metavar="FILE",
        help="file of lines PHOTO GROUP, or `folder`: also report metrics per group",
    )
    networks = parser.add_argument_group(
        "feature networks", "files to download yourself, see docs/feature_networks.md"
    )
    networks.add_argument(
        "--inception",
        default="",
        metavar="FILE",
        help="weights for fid: of pytorch-fid or torchvision",
    )
    networks.add_argument(
        "--inception-scale",
        default="",
        metavar="NAME",
        help="input scaling of torchvision weights: ddcolor or ct2",
    )
    networks.add_argument(
        "--lpips", nargs=2, default=(), metavar=("TRUNK", "LINEAR"), help="weights for lpips"
    )
    networks.add_argument(
        "--vgg16", default="", metavar="FILE", help="weights for top1: of torchvision"
    )
    networks.add_argument(
        "--classes", default="", metavar="FILE", help="file of lines PHOTO CLASS, or `folder`"
    )
    networks.add_argument(
        "--class-ids",
        default="",
        metavar="PATH",
        help="folder or file with all 1000 WordNet ids, if classes are such ids",
    )
    networks.add_argument(
        "--lite0",
        action="store_true",
        help="also report lite_distance and frechet_lite0, by the encoder of the extra `encoders`: "
        "no file to download; these are not LPIPS and FID",
    )
    options.add_overwrite(parser, "replace an earlier evaluation")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    jax_setup.quiet_library_logs()
    options.download(args, *(text.rpartition("=")[2] for text in args.methods))
    jax_setup.use_compilation_cache("auto")
    from colorjax import evaluate  # imports JAX: not for --help

    features = evaluate.FeatureFiles(
        inception=args.inception,
        inception_scale=args.inception_scale,
        lpips=tuple(args.lpips),
        vgg16=args.vgg16,
        classes=args.classes,
        class_ids=args.class_ids,
        lite0=args.lite0,
    )
    if args.suite == evaluate.hecd.NAME:
        if args.methods:
            raise RequestError(f"the suite {args.suite} measures metrics; omit {args.methods[0]!r}")
        for option in ("limit", "size", "tables", "groups", "inception", "vgg16"):
            if getattr(args, option):
                raise RequestError(f"the suite {args.suite} has no --{option}; omit it")
        return evaluate.hecd.run_and_print(
            args.data, args.output, features, overwrite=args.overwrite
        )
    if args.suite == evaluate.ask.NAME:
        if len(args.methods) != 1:
            raise RequestError(f"the suite {args.suite} takes one METHOD, weights or a workdir")
        for option in ("size", "tables", "groups", "inception", "vgg16"):
            if getattr(args, option):
                raise RequestError(f"the suite {args.suite} has no --{option}; omit it")
        return evaluate.ask.run_and_print(
            args.methods[0], args.data, args.output, limit=args.limit, overwrite=args.overwrite
        )
    if not args.methods:
        raise RequestError("name a METHOD: a workdir, bundled weights or a folder of pictures")
    request = evaluate.Request(
        methods=args.methods,
        suite=args.suite,
        data=args.data,
        output=args.output,
        limit=args.limit,
        size=args.size,
        tables=args.tables,
        groups=args.groups,
        features=features,
        overwrite=args.overwrite,
    )
    return evaluate.run_and_print(request)
