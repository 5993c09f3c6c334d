"""Replays a session of `colorjax serve` as options of `colorjax colorize`."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from colorjax.cli import color_options
from colorjax.errors import RequestError
from colorjax.runtime import jax_setup, paths
from colorjax.weights import named

if TYPE_CHECKING:
    from colorjax.inference.batch.plan import Job
    from colorjax.inference.session import Session

_SLIDERS = ("saturation", "warmth", "strength")


def weights_of(session: Session, checkpoint: str | None) -> str:
    """Returns the name or path of the weights of a session.

    Args:
        session: the session.
        checkpoint: value of --checkpoint; None: not given.

    Raises:
        RequestError: there are no such weights, or they have changed.
    """
    from colorjax.inference.batch.origin import weights_digest

    name = checkpoint or session.weights.name or named.DEFAULT
    jax_setup.quiet_library_logs()
    if weights_digest(name) != session.weights.digest:
        raise RequestError(
            f"the session was made with other weights than {name!r}: {session.weights.name!r}, "
            f"digest {session.weights.digest[:16]}; give these with --checkpoint"
        )
    return name


def coloring(session: Session, args: argparse.Namespace) -> dict[str, Any]:
    """Returns the fields of `Options` of a session.

    Raises:
        RequestError: an option contradicts the session, or its reference photo is missing.
    """
    given = vars(args).get("_given_once", set())
    if twice := [name for name in _SLIDERS if name in given]:
        raise RequestError(f"the session sets the {twice[0]}; leave --{twice[0]} out")
    hints = session.state.hints(session.photo.height, session.photo.width)
    return session.state.coloring(hints, _reference(session, args))


def check_photo(session: Session, jobs: Sequence[Job]) -> None:
    """Checks that the photo is the one of a session.

    Raises:
        RequestError: there are several photos, or the photo has another size.
    """
    if len(jobs) > 1:
        raise RequestError(f"a session is for one photo, not for {len(jobs)}; give one photo")
    for job in jobs:
        sides = sorted((job.header.width, job.header.height))  # the header's may lie on its side
        wanted = sorted((session.photo.width, session.photo.height))
        if sides[0] and sides != wanted:
            raise RequestError(
                f"the session belongs to {session.photo.name!r} of {session.photo.width}x"
                f"{session.photo.height} pixels, and {job.name!r} has another size; give that photo"
            )


def _reference(session: Session, args: argparse.Namespace) -> np.ndarray | None:
    """Returns the reference photo, from --global-image, or from beside the session or the photo."""
    wanted = session.state.reference
    if wanted is None:
        if args.global_image:
            raise RequestError("the session has no reference photo; leave --global-image out")
        return None
    folders = [paths.local(args.hints).parent, *(paths.local(name).parent for name in args.inputs)]
    places = [folder / Path(wanted.name).name for folder in folders]
    for path in [paths.local(args.global_image)] if args.global_image else places:
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wanted.digest:
            return color_options.read_srgb(str(path), "--global-image")
    raise RequestError(
        f"the session uses the reference photo {wanted.name!r}, SHA-256 {wanted.digest[:16]}...; "
        "give it with --global-image"
    )
