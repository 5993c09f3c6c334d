"""The cache of published weights: downloaded on request only, each imported into a workdir once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from etils import epath

from colorjax.errors import RequestError, unknown_name
from colorjax.runtime import foreign_files, locks
from colorjax.weights import download, named
from colorjax.weights.published import PUBLISHED, UNVERIFIED, Published

FOLDER = "COLORJAX_CACHE"  # environment variable: the cache folder
OFFLINE = "COLORJAX_OFFLINE"
_ABOUT = "source.json"  # in a workdir: name, license and origin of its weights


def folder() -> Path:
    """Returns the cache folder: $COLORJAX_CACHE, else the platform's folder for caches."""
    given = os.environ.get(FOLDER)
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("colorjax", appauthor=False)


def workdir_of(name: str) -> Path:
    """Returns the path of the workdir of published weights, which may not exist."""
    return folder() / "weights" / f"{name}-{PUBLISHED[name].sha256[:8]}"


def is_installed(name: str) -> bool:
    """Returns whether weights that ship, or published ones, can be used without a download."""
    if name in named.SHA256:
        return True
    if PUBLISHED[name].is_encoder:
        from colorjax.weights.torch import encoders

        try:
            return encoders.find_file(name).is_file()
        except RequestError:
            return False
    return (workdir_of(name) / "config.json").is_file()


def is_published(name: str) -> bool:
    """Returns whether published weights have this name; an existing path has priority."""
    return name in PUBLISHED and not os.path.exists(name)


def size_text(num_bytes: int) -> str:
    """Returns a size for people.

    >>> size_text(911_914_869)
    '912 MB'
    """
    return f"{num_bytes / 1e6:.0f} MB" if num_bytes >= 1e7 else f"{num_bytes / 1e6:.1f} MB"


def missing(name: str) -> RequestError:
    """Returns the error for published weights that are not in the cache."""
    each = PUBLISHED[name]
    if each.is_encoder:
        return RequestError(
            f"{name!r} is an encoder: trainings start from it, but it colorizes nothing; give "
            "weights of a colorizer, see `colorjax weights list`"
        )
    return RequestError(
        f"the weights {name!r} are not on this machine ({size_text(each.num_bytes)}, "
        f"{each.license}); run `colorjax weights get {name}`, or add --download"
    )


def is_offline() -> bool:
    """Returns whether $COLORJAX_OFFLINE forbids downloads."""
    return os.environ.get(OFFLINE, "") not in ("", "0")


def get(name: str, *, offline: bool = False, notify: Callable[[str], None] = print) -> Path:
    """Returns the workdir of published weights; downloads and imports them if they are missing.

    Of an encoder, which is a Python package, it returns the installed file.

    A file of the right name in the `files` folder of the cache is used instead of a download.

    Args:
        name: a key of `PUBLISHED`.
        offline: refuse to download; $COLORJAX_OFFLINE does the same.
        notify: gets lines for the user; license and size come before the download.

    Raises:
        RequestError: unknown name, an encoder that is not installed, no download allowed, a failed
            download or import.
    """
    if name not in PUBLISHED:
        raise unknown_name("published weights", name, PUBLISHED)
    each, workdir = PUBLISHED[name], workdir_of(name)
    if each.is_encoder:
        from colorjax.weights.torch import encoders

        return encoders.find_file(name)  # a Python package: its error says how to install it
    if is_installed(name):
        return workdir
    from colorjax.weights.torch import import_published

    import_published.check_kind(each.kind)  # before the download
    files = folder() / "files"
    try:
        files.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(
            f"{str(files)!r} cannot be created ({error.strerror}); set {FOLDER} to another folder"
        ) from None
    with locks.only_process(files / f"{each.file}.lock", f"is downloading {name}", FOLDER):
        if not is_installed(name):
            url = _download(name, each, files / each.file, offline or is_offline(), notify)
            _import(name, each, files / each.file, workdir, url, notify)
    return workdir


def _download(
    name: str, each: Published, file: Path, offline: bool, notify: Callable[[str], None]
) -> str:
    """Downloads a file unless it is there; returns its source."""
    hosts = ", ".join(url.split("/")[2] for url in each.urls)
    notify(f"{name}: {each.what}; license {each.license}, as {each.origin} states")
    if file.is_file():
        return ""
    if offline:
        raise RequestError(
            f"the weights {name!r} are not on this machine, and downloads are off; copy "
            f"{each.urls[0].partition('?')[0].rpartition('/')[2]} to {str(file)!r}, or leave "
            f"--offline and {OFFLINE} out"
        )
    notify(f"{name}: {each.num_bytes} bytes ({size_text(each.num_bytes)}) from {hosts}")
    notify(f"{name}: {UNVERIFIED}")
    return download.fetch(each.urls, file, each.num_bytes, each.sha256, notify)


def _import(
    name: str,
    each: Published,
    file: Path,
    workdir: Path,
    url: str,
    notify: Callable[[str], None],
) -> None:
    """Imports a file into the workdir, and deletes it: the workdir holds the same numbers."""
    from colorjax.weights.torch import file as torch_file
    from colorjax.weights.torch import import_published

    digest = torch_file.sha256(file)
    if digest != each.sha256:
        raise RequestError(
            f"{str(file)!r} has the SHA-256 {digest}, but {each.sha256} is expected; delete it"
        )
    partial = workdir.with_name(f".{workdir.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for notice in import_published.import_weights(each.kind, file, partial):
            notify(f"{name}: {notice}")
        write_about(
            partial,
            {
                "name": name,
                "license": each.license,
                "origin": each.origin,
                "sha256": digest,
                "url": url,
            },
        )
        os.replace(partial, workdir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    file.unlink()


def write_about(workdir: Path | epath.Path, about: dict[str, Any]) -> None:
    """Writes where the weights of a workdir come from."""
    (workdir / _ABOUT).write_text(json.dumps(about, indent=2) + "\n")


def read_about(workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns where the weights of a workdir come from; {} if it does not say.

    Raises:
        RequestError: the file is damaged.
    """
    path = os.path.join(workdir, _ABOUT)
    try:
        about = foreign_files.read_json(path)
    except FileNotFoundError:
        return {}
    if not isinstance(about, dict):
        raise foreign_files.damaged(path, "it is not a mapping")
    return about
