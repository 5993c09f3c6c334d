"""The command `colorjax weights`: lists, downloads and publishes weights."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from colorjax.cli import options
from colorjax.errors import RequestError
from colorjax.runtime import jax_setup
from colorjax.runtime.file_names import printable
from colorjax.weights import named
from colorjax.weights.published import PUBLISHED, UNVERIFIED

DESCRIPTION = (
    "Lists the weights that have a name, downloads published ones, and copies weights to and from "
    "folders in the layout of model hubs (config.json, model.safetensors, README.md). Every "
    "command that takes weights takes such a name or folder."
)
EPILOG = """\
examples:
  colorjax weights list
  colorjax weights get zhang17
  colorjax colorize photo.jpg --checkpoint zhang17
  colorjax weights push runs/unet published/unet --license cc-by-4.0
  colorjax weights push runs/unet hf:someone/unet --license cc-by-4.0
  colorjax weights pull hf:someone/unet runs/theirs
  colorjax weights pull ddcolor runs/ddcolor256 --size 256"""
_PREVIEW_SIZE = 256  # pixels, long side
_PREVIEWS = ("astronaut.png", "coffee.png", "chelsea.png")  # of scikit-image: public domain, CC0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.set_defaults(action=_list)
    actions = parser.add_subparsers(metavar="ACTION")
    actions.add_parser("list", help="all names, with license, size and origin")
    get = actions.add_parser("get", help="download published weights into the cache")
    get.add_argument("names", nargs="+", metavar="NAME", help="of `list`, or hf:OWNER/NAME")
    get.add_argument("--offline", action="store_true", help="use only files of the cache")
    get.set_defaults(action=_get)
    push = actions.add_parser("push", help="write weights as a hub folder")
    push.add_argument("weights", metavar="RUN", help="workdir or name of weights")
    push.add_argument("target", metavar="FOLDER|hf:OWNER/NAME", help="folder to write")
    push.add_argument(
        "--format",
        default="colorjax",
        metavar="NAME",
        help="colorjax (default); torch-safetensors: with the names of the published PyTorch "
        "program, which can load it",
    )
    push.add_argument("--license", default="", metavar="ID", help="such as cc-by-4.0")
    push.add_argument("--data", default="", metavar="NAME", help="the training photos")
    options.add_overwrite(push, "replace the weights in an earlier hub folder")
    push.set_defaults(action=_push)
    pull = actions.add_parser("pull", help="create a workdir from a hub folder or named weights")
    pull.add_argument("source", metavar="FOLDER|hf:OWNER/NAME|NAME", help="weights")
    pull.add_argument("workdir", metavar="WORKDIR", help="workdir to create")
    pull.add_argument(
        "--size",
        type=int,
        metavar="PX",
        help="working size to store (default: that of the weights)",
    )
    pull.add_argument("--offline", action="store_true", help="use only files of the cache")
    pull.set_defaults(action=_pull)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    jax_setup.quiet_library_logs()
    args.action(args)
    return 0


def _list(args: argparse.Namespace) -> None:
    from colorjax.weights import store

    rows = [("name", "what", "parameters", "size", "license", "from", "installed")]
    for name in named.SHA256:
        file = named.read(name)
        size = store.size_text((named.FOLDER / f"{name}.npz").stat().st_size)
        parameters = f"{file.parameters():,}"
        rows.append(
            (name, named.WHAT[name], parameters, size, named.LICENSE, "colorjax", "bundled")
        )
    for name, each in PUBLISHED.items():
        installed = "yes" if store.is_installed(name) else "no"
        size = store.size_text(each.num_bytes)
        parameters = f"{each.parameters:,}"
        rows.append((name, each.what, parameters, size, each.license, each.origin, installed))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip())
    print(f"\nOf published weights: {UNVERIFIED}.")
    print("`colorjax weights get NAME` downloads them; encoders: pip install 'colorjax[encoders]'")
    print(f"cache: {printable(store.folder())}")


def _get(args: argparse.Namespace) -> None:
    from colorjax.weights import hub_site, store

    for name in args.names:
        if name in named.SHA256:
            print(f"{name}: comes with colorjax")
        elif hub_site.is_name(name):
            print(f"{name}: {printable(hub_site.get(name, offline=args.offline))}")
        else:
            print(f"{name}: {printable(store.get(name, offline=args.offline))}")


def _push(args: argparse.Namespace) -> None:
    import tempfile

    from colorjax.weights import hub, hub_site

    if hub_site.is_name(args.target):
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "folder"
            _write(args, folder)
            url = hub_site.push(folder, args.target)
        print(f"{args.target}: {printable(url)}; a new repository is private until you change that")
        return
    _write(args, Path(args.target))
    print(printable(args.target))
    assert hub.is_hub_folder(args.target)


def _write(args: argparse.Namespace, target: Path) -> None:
    from colorjax.weights import hub, publish
    from colorjax.weights.model_card import UNKNOWN
    from colorjax.weights.open import open_weights

    weights = open_weights(args.weights)
    claims = publish.claims_of(weights, args.license, args.data)
    with hub.new_folder(target, overwrite=args.overwrite) as folder:
        previews = _write_previews(args.weights, folder)
        claims = dataclasses.replace(claims, previews=previews)
        for notice in publish.write(weights, folder, claims, layout=args.format):
            print(notice)
    if claims.license == UNKNOWN:
        print("the card states no license; add one with --license")


def _write_previews(weights: str, folder: Path) -> list[str]:
    """Writes pictures of gray photos, predictions and originals; returns their names."""
    import numpy as np
    from PIL import Image

    from colorjax.data.sources.source import read_sample
    from colorjax.inference.colorizer import Colorizer
    from colorjax.runtime import atomic

    colorizer = Colorizer.load(weights)
    names = []
    for sample in _PREVIEWS:
        photo = Image.fromarray(read_sample(sample))
        photo.thumbnail((_PREVIEW_SIZE, _PREVIEW_SIZE))
        gray = photo.convert("L")
        strip = [gray.convert("RGB"), colorizer.colorize(gray), photo]
        name = f"preview_{Path(sample).stem}.png"
        picture = Image.fromarray(np.concatenate([np.asarray(each) for each in strip], axis=1))
        atomic.write_png(folder / name, picture)
        names.append(name)
    return names


def _pull(args: argparse.Namespace) -> None:
    from colorjax.weights import hub_site, publish
    from colorjax.weights.open import open_weights

    if hub_site.is_name(args.source):
        hub_site.get(args.source, offline=args.offline)
    weights = open_weights(args.source)
    if args.size is not None:
        if args.size < 1:
            raise RequestError(f"--size must be at least 1, not {args.size}")
        weights.config.inference.size = args.size
    workdir = publish.pull(weights, args.workdir)
    print(f"workdir: {printable(workdir.root)}")
