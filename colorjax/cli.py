"""The `colorjax` command for people: photos, data sets, weights, comparisons."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from colorjax import (
    calibrate,
    data_commands,
    evaluate_command,
    finetune_command,
    photo_commands,
    startup,
    tune_command,
)
from colorjax.errors import RequestError
from colorjax.inference.names import shown
from colorjax.version import __version__

_STOPPED = 75  # exit status


class _Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are requests to mend."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; see {self.prog} --help")


def run(argv: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the words after `colorjax`; None: those of this process.

    Returns:
        The exit status: 0 done; 1 some photos failed; 2 the request is wrong; 75 interrupted.
    """
    try:
        args = parse(argv)
        return args.act(args)
    except RequestError as error:
        print(f"colorjax: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a folder without the right to write, a lost mount
        place = shown(error.filename or error.__class__.__name__)
        print(
            f"colorjax: {place}: {error.strerror or error}; "
            "the same command continues once that is mended",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("colorjax: interrupted; the same command continues", file=sys.stderr)
        return _STOPPED
    except SystemExit as ended:  # --help and --version
        return ended.code if isinstance(ended.code, int) else 0


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the words after `colorjax`; None: those of this process.

    Raises:
        RequestError: there is no such command or option.
    """
    args, rest = _parser().parse_known_args(argv)
    if rest and "fields" not in args:
        raise RequestError(f"unrecognized arguments: {' '.join(rest)}; see colorjax --help")
    if rest:
        args.fields = rest  # --config.NAME=VALUE
    return args


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="colorjax",
        description="Gives black-and-white photos colour.",
        epilog=photo_commands.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"colorjax {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    photo_commands.add_colorize(commands)
    photo_commands.add_decolorize(commands)
    _add_compare(commands)
    evaluate_command.add_evaluate(commands)
    data_commands.add_prepare(commands)
    data_commands.add_prior(commands)
    finetune_command.add_finetune(commands)
    calibrate.add_calibrate(commands)
    tune_command.add_tune(commands)
    _add_import_weights(commands)
    return parser


def _add_compare(commands: argparse._SubParsersAction) -> None:
    compare = commands.add_parser(
        "compare",
        help="show methods side by side on the same photos, with metrics",
        description=(
            "Writes figure.png, metrics.md, metrics.json, index.html and pictures/ of some photos: "
            "grey, each method, truth. A METHOD is [NAME=]PLACE: the workdir of a run or of "
            "imported weights, the name of weights that ship, or a folder of finished pictures."
        ),
        epilog=(
            "examples:\n"
            "  colorjax compare semantic-lite0 runs/iizuka --data album --output compared\n"
            "  colorjax compare ours=runs/unet theirs=finished --data a.jpg --data b.jpg "
            "--output compared"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.set_defaults(act=_compare)
    compare.add_argument("methods", nargs="+", metavar="METHOD", help="[NAME=]PLACE")
    compare.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="DATA",
        help="folder of photos, tfds:NAME, or a photo; photos may be repeated",
    )
    compare.add_argument("--output", metavar="DIR", required=True, help="folder to write")
    compare.add_argument("--split", default="train", help="of tfds:NAME (default: %(default)s)")
    compare.add_argument("--data-dir", default="", metavar="DIR", help="of tfds:NAME")
    compare.add_argument(
        "--photos", type=int, metavar="N", help="photos shown (8; all that are given as files)"
    )
    compare.add_argument(
        "--metric-photos",
        type=int,
        metavar="M",
        help="photos measured, those shown among them; 0: all (200)",
    )
    compare.add_argument("--seed", type=int, metavar="S", help="which photos (0; files in order)")
    compare.add_argument("--overwrite", action="store_true", help="replace an earlier comparison")


def _compare(args: argparse.Namespace) -> int:
    startup.hush_libraries()
    from colorjax.compare import compare  # imports JAX: not for --help

    words = ("split", "data_dir", "photos", "metric_photos", "seed", "overwrite")
    options = {name: getattr(args, name) for name in words}
    found = compare(args.methods, args.data, args.output, progress=True, **options)
    print(found.table)
    print(found.output / "index.html")
    for name in found.unreadable:
        print(f"colorjax: passed over {name}", file=sys.stderr)
    return 1 if found.unreadable else 0


def _add_import_weights(commands: argparse._SubParsersAction) -> None:
    importer = commands.add_parser(
        "import-weights",
        help="make a workdir of published weights",
        description="Turns published PyTorch weights into a workdir for colorize and --mode=eval.",
        epilog=(
            "example:\n  colorjax import-weights zhang16 colorization_release_v2-9b330a0b.pth "
            "--output weights/zhang16\n  colorjax colorize photo.jpg --checkpoint weights/zhang16"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    importer.set_defaults(act=_import_weights)
    importer.add_argument("kind", metavar="KIND", help="zhang16 or zhang17")
    importer.add_argument("file", metavar="FILE.pth", help="state dict; PyTorch is not needed")
    importer.add_argument("--output", metavar="DIR", required=True, help="workdir to make")
    importer.add_argument(
        "--folded-temperature",
        type=float,
        metavar="T",
        help="zhang16: annealing that the last layer contains (default: 0.38, as published)",
    )
    importer.add_argument(
        "--mask-cent",
        type=float,
        metavar="M",
        help="zhang17: what is subtracted from the hints' mask (default: 0, as published)",
    )


def _import_weights(args: argparse.Namespace) -> int:
    given = {"folded_temperature": args.folded_temperature, "mask_cent": args.mask_cent}
    meaning = {name: value for name, value in given.items() if value is not None}
    if not meaning.get("folded_temperature", 1.0) > 0:
        raise RequestError(f"--folded-temperature is above 0, not {args.folded_temperature}")
    startup.hush_libraries()
    from colorjax.interop.import_weights import import_weights

    for notice in import_weights(args.kind, args.file, args.output, **meaning):
        print(notice)
    print(f"workdir: {args.output}")
    return 0
