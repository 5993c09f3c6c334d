"""The command `colorjax serve`: the page on which photos are colorized and corrected."""

from __future__ import annotations

import argparse
from pathlib import Path

from colorjax.cli import color_options, options
from colorjax.errors import DONE, RequestError
from colorjax.runtime import jax_setup, paths
from colorjax.runtime.memory import MAX_PIXELS
from colorjax.weights import named

DESCRIPTION = (
    "Opens a page in the browser on which photos are colorized and corrected by hand. Everything "
    "stays on this computer: no photo leaves it, and it works without a network."
)
EPILOG = """\
examples:
  colorjax serve                          drop photos on the page
  colorjax serve grandma.jpg              -> grandma.color.jpg
  colorjax serve album --output colored   a folder, as a strip of photos
  colorjax serve --no-browser --port 8765 --token-file token.txt     for programs
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "inputs", nargs="*", metavar="PHOTO|FOLDER", help="photos, or folders of photos"
    )
    options.add_output(
        parser,
        "folder for the results; default: NAME.color.EXT next to each photo, and in the current "
        "folder for photos that are dropped on the page",
        required=False,
    )
    parser.add_argument(
        "--checkpoint",
        action=options.Once,
        metavar="WORKDIR",
        help="weights to start with: the name of bundled weights (default: semantic-lite0), or a "
        "workdir; the page can change to others",
    )
    color_options.add_engine(parser)
    parser.add_argument(
        "--port",
        action=options.Once,
        type=int,
        metavar="N",
        help="port of the page (default: 8765, or a free one)",
    )
    parser.add_argument(
        "--host",
        action=options.Once,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on (default: this computer only); another one needs --i-know; "
        "0.0.0.0 is for containers: it answers requests for 127.0.0.1 and localhost only",
    )
    parser.add_argument(
        "--i-know",
        action="store_true",
        help="listen on the network, where everyone who can read the traffic sees photos and token",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address, and open no browser"
    )
    parser.add_argument(
        "--token-file",
        action=options.Once,
        metavar="FILE",
        help="also write the token to a file that only you can read, for programs",
    )
    parser.add_argument(
        "--max-pixels",
        action=options.Once,
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help="refuse larger photos (default: %(default)s, by the memory of this machine)",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    jax_setup.quiet_library_logs()
    from colorjax.inference.batch.plan import check_writable, output_file, plan

    _check(args)
    if args.output is not None and output_file(args.output):
        raise RequestError(f"--output {args.output!r} names a picture; give a folder")
    results = Path.cwd() if args.output is None else paths.local(args.output)
    if args.output is not None:
        check_writable(results, "--output")
    jobs = []
    if args.inputs:
        jobs, _ = plan(args.inputs, args.output, max_pixels=args.max_pixels)
    checkpoint = args.checkpoint or named.DEFAULT
    jax_setup.use_compilation_cache("auto")
    from colorjax.inference.batch.origin import weights_digest
    from colorjax.serve.run import Address, serve

    weights_digest(checkpoint)  # refuses missing weights before the page opens
    serve(
        jobs,
        Address(args.host, args.port),
        weights=checkpoint,
        max_pixels=args.max_pixels,
        results=results,
        token_file=None if args.token_file is None else paths.local(args.token_file),
        engine=args.engine,
        opens_browser=not args.no_browser,
    )
    return DONE


def _check(args: argparse.Namespace) -> None:
    from colorjax.serve.run import EVERY_ADDRESS

    if args.port is not None and not 1 <= args.port <= 65535:
        raise RequestError(f"--port must be from 1 to 65535, not {args.port}")
    if args.max_pixels < 1:
        raise RequestError(f"--max-pixels must be at least 1, not {args.max_pixels}")
    if "-" in args.inputs:
        raise RequestError("serve does not read standard input; give photos or folders")
    if not args.host:
        raise RequestError("--host is empty; give an address, or leave it out")
    if args.host in EVERY_ADDRESS and not args.i_know:
        raise RequestError(
            f"--host {args.host!r} is every address of this machine, for containers whose port is "
            "published as 127.0.0.1:PORT; add --i-know, or give the address by which others "
            "reach it"
        )
    if args.host not in ("127.0.0.1", "localhost", "::1") and not args.i_know:
        raise RequestError(
            f"--host {args.host!r} opens the page to the network, and its traffic is not "
            "encrypted: others could read your photos and the token; add --i-know if you want that"
        )
