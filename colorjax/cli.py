"""The `colorjax` command for people: colorize, compare, prepare, prior, import-weights."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from colorjax import data_commands, finetune_command, startup
from colorjax.errors import RequestError
from colorjax.version import __version__

if TYPE_CHECKING:
    from PIL import Image

    from colorjax.inference.hints import Hint

_STOPPED = 75  # exit status

_EXAMPLES = """\
examples:
  colorjax colorize grandma.jpg                                 -> grandma.color.jpg
  colorjax colorize album --output coloured --checkpoint runs/zhang16 --temperature 0.3
  colorjax colorize dress.jpg --checkpoint runs/zhang17 --hint 120,80,#c04030
  colorjax colorize beach.jpg --checkpoint runs/iizuka --global-image sunset.jpg
"""


class _Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are requests to mend."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; see {self.prog} --help")


class _Once(argparse.Action):
    """Stores the value of an option that may be given once."""

    def __call__(self, parser, namespace, values, option_string=None):
        given = vars(namespace).setdefault("_given_once", set())
        if self.dest in given:
            parser.error(f"{option_string} is given twice; give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def run(argv: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the words after `colorjax`; None: those of this process.

    Returns:
        The exit status: 0 done; 1 some photos failed; 2 the request is wrong; 75 interrupted.
    """
    try:
        args = _parser().parse_args(argv)
        return args.act(args)
    except RequestError as error:
        print(f"colorjax: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a folder without the right to write, a lost mount
        print(
            f"colorjax: {error.filename or error.__class__.__name__}: {error.strerror or error}; "
            "the same command continues once that is mended",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("colorjax: interrupted; the same command continues", file=sys.stderr)
        return _STOPPED
    except SystemExit as ended:  # --help and --version
        return ended.code if isinstance(ended.code, int) else 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="colorjax",
        description="Gives black-and-white photos colour.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"colorjax {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_colorize(commands)
    _add_compare(commands)
    data_commands.add_prepare(commands)
    data_commands.add_prior(commands)
    finetune_command.add_finetune(commands)
    _add_import_weights(commands)
    return parser


def _add_colorize(commands: argparse._SubParsersAction) -> None:
    colorize = commands.add_parser(
        "colorize",
        help="colorize photos and folders of photos",
        description="Colorizes photos; their lightness, size and metadata stay.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    colorize.set_defaults(act=_colorize)
    colorize.add_argument("inputs", nargs="+", metavar="INPUT", help="photo, or folder of photos")
    colorize.add_argument(
        "--output", metavar="DIR", help="folder for the results; default NAME.color.EXT beside each"
    )
    colorize.add_argument(
        "--checkpoint",
        metavar="WORKDIR",
        help="folder of a trained run or of imported weights; default: the small weights that ship",
    )
    colorize.add_argument(
        "--hint",
        action="append",
        default=[],
        metavar="x,y,#rrggbb",
        help="pixel x,y of the upright photo (origin top left) has this colour; may be repeated",
    )
    colorize.add_argument(
        "--hints",
        action=_Once,
        metavar="FILE.json",
        help="hints as a list of {x, y, color}",
    )
    colorize.add_argument(
        "--temperature",
        action=_Once,
        type=float,
        metavar="T",
        help="0: vivid mode, 1: pale mean (zhang16)",
    )
    colorize.add_argument(
        "--saturation",
        action=_Once,
        type=float,
        default=1.0,
        metavar="S",
        help="factor on the colours (1)",
    )
    colorize.add_argument(
        "--size",
        action=_Once,
        type=_working_size,
        metavar="PX",
        help="short side at which colours are predicted, or own: the photo's (that of training)",
    )
    colorize.add_argument(
        "--global-image",
        action=_Once,
        metavar="PHOTO",
        help="take the global features, the mood, of another photo (iizuka, edge_fusion)",
    )
    colorize.add_argument(
        "--overwrite", action="store_true", help="replace existing results instead of skipping"
    )


def _working_size(text: str) -> int | str:
    if text != "own" and not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"a number of pixels above 0, or own, not {text!r}")
    return text if text == "own" else int(text)


def _colorize(args: argparse.Namespace) -> int:
    if not 0 <= args.saturation < math.inf:
        raise RequestError(f"--saturation is at least 0, not {args.saturation}")
    if args.temperature is not None and not 0 <= args.temperature < math.inf:
        raise RequestError(f"--temperature is at least 0, not {args.temperature}")
    from colorjax.inference import batch

    given = _read_hints(args.hint, args.hints) if args.hint or args.hints else []
    jobs = batch.plan(args.inputs, args.output)
    if given and len(jobs) > 1:
        raise RequestError(f"hints are for one photo, not for {len(jobs)}")
    if given and any(Path(name).expanduser().is_dir() for name in args.inputs):
        raise RequestError("hints are for one photo, not for a folder; give the photo itself")

    def load():
        startup.hush_libraries()
        from colorjax.inference.colorizer import Colorizer  # imports JAX: only for right requests

        named = [args.checkpoint] if args.checkpoint else []
        return Colorizer.load(*named, temperature=args.temperature, size=args.size)

    options = {"hints": given, "saturation": args.saturation}
    if args.global_image:
        options["global_image"] = _read_photo("--global-image", args.global_image)
    return batch.colorize_files(jobs, load, args.output, overwrite=args.overwrite, **options)


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
            "  colorjax compare zhang16-small runs/iizuka --data album --output compared\n"
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


def _read_photo(option: str, path: str) -> Image.Image:
    from colorjax.data.decode import UnreadablePhoto
    from colorjax.inference import photo_files

    try:
        return photo_files.read(Path(path).expanduser()).image
    except UnreadablePhoto as error:
        raise RequestError(f"{option} {path!r} is no photo that can be read: {error}") from None


def _read_hints(words: list[str], file: str | None) -> list[Hint]:
    from colorjax.inference import hints

    # Where hints overlap the last one counts: the command line has the last word.
    return (hints.read_json(file) if file else []) + [hints.parse(word) for word in words]
