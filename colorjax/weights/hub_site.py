"""Hub folders on huggingface.co, hf:OWNER/NAME, through the package huggingface_hub."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from colorjax.errors import RequestError
from colorjax.runtime.file_names import printable
from colorjax.version import __version__
from colorjax.weights import store
from colorjax.weights.hub import ARRAYS, CARD, CONFIG

_PREFIX = "hf:"
_NAME = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_FILES = (CONFIG, ARRAYS, CARD)
_NEEDED = (CONFIG, ARRAYS)


def is_name(name: str) -> bool:
    """Returns whether a name is hf:..., well formed or not.

    >>> is_name("hf:someone/colors"), is_name("runs/first")
    (True, False)
    """
    return name.startswith(_PREFIX)


def find(name: str) -> Path:
    """Returns the folder of weights that were downloaded before; downloads nothing.

    Raises:
        RequestError: they were not; the name is malformed; or the extra `hub` is missing.
    """
    repository, revision = _parse(name)
    hub = _package()
    found = [hub.try_to_load_from_cache(repository, n, revision=revision) for n in _NEEDED]
    if not all(isinstance(path, str) and os.path.isfile(path) for path in found):
        raise RequestError(
            f"the weights {name!r} are not on this machine; run `colorjax weights get {name}`, or "
            "add --download"
        )
    return Path(found[0]).parent


def get(name: str, *, offline: bool = False, notify: Callable[[str], None] = print) -> Path:
    """Downloads a hub folder to the cache of huggingface_hub, unless it is there.

    Args:
        name: hf:OWNER/NAME, optionally with @REVISION.
        offline: refuse to download.
        notify: gets lines for the user; license and size come before the download.

    Returns:
        The folder.

    Raises:
        RequestError: no such weights, no download allowed, or a failed download.
    """
    repository, revision = _parse(name)
    if offline or store.is_offline():
        return find(name)
    hub = _package()
    with _one_line_errors(name):
        info = hub.HfApi().model_info(repository, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        if missing := [file for file in _NEEDED if file not in sizes]:
            raise RequestError(f"{name!r} has no {' and no '.join(missing)}: not a hub folder")
        num_bytes = sum(sizes.get(file, 0) for file in _FILES)
        license = getattr(info.card_data, "license", None) or "not stated"
        notify(f"{name}: license {printable(license)}, as its card states")
        notify(f"{name}: {num_bytes} bytes ({store.size_text(num_bytes)})")
        for file in _FILES:
            if file in sizes:
                hub.hf_hub_download(
                    repository,
                    file,
                    revision=revision,
                    library_name="colorjax",
                    library_version=__version__,
                )
    return find(name)


def push(folder: Path, name: str) -> str:
    """Uploads a hub folder; a new repository is private. Returns its address.

    Raises:
        RequestError: no right to write there, or no connection.
    """
    repository, revision = _parse(name)
    hub = _package()
    with _one_line_errors(name):
        api = hub.HfApi(library_name="colorjax", library_version=__version__)
        url = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=revision,
            commit_message=f"Weights of colorjax {__version__}",
        )
    return str(url)


def _parse(name: str) -> tuple[str, str | None]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise RequestError(f"{name!r} is malformed; give hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    return match[1], match[2]


def _package() -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import huggingface_hub
    except ImportError:
        raise RequestError("hf:... needs a package: pip install 'colorjax[hub]'") from None
    return huggingface_hub


@contextlib.contextmanager
def _one_line_errors(name: str) -> Iterator[None]:
    """Turns any error of huggingface_hub and its http library into a one-line RequestError."""
    try:
        yield
    except RequestError:
        raise
    except Exception as error:  # httpx and huggingface_hub have no common type
        lines = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
        raise RequestError(
            f"{name}: {printable(' '.join(lines[:2]))[:300]}; check the name, the connection, and "
            "for private weights the login (`hf auth login`)"
        ) from error
