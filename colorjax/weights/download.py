"""Downloads a file of known size and SHA-256: https only, resumed, checked, then renamed.

Built on requests, which handles TLS, certificates (REQUESTS_CA_BUNDLE) and proxies (HTTPS_PROXY).
Of the libraries for whole downloads, pooch neither resumes nor bounds the size, and it follows a
redirect to http; huggingface_hub resumes, but only from its own hub.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from colorjax.errors import RequestError
from colorjax.runtime import atomic, full_disk
from colorjax.runtime.file_names import printable

MIRROR = "COLORJAX_WEIGHTS_MIRROR"
HUB_MIRROR = "HF_ENDPOINT"  # huggingface_hub's own variable
_HUB = "https://huggingface.co"
_TIMEOUT = 30.0  # seconds without a byte
_PERIOD, _SLOWEST = 60.0, 1000.0  # an answer below _SLOWEST bytes/s over _PERIOD seconds is dropped
_MOST_REDIRECTS = 10
_CHUNK = 2**18
_REDIRECTS = (301, 302, 303, 307, 308)


class _Failed(Exception):
    """Why one source gave no file; the text follows its host."""


def fetch(
    urls: Sequence[str], path: Path, num_bytes: int, sha256: str, notify: Callable[[str], None]
) -> str:
    """Downloads a file, from the first source that has it.

    The file grows as NAME.part next to `path`, and an interrupted download continues there. The
    part is renamed once its size and SHA-256 are those expected; a part with another sum is
    deleted.

    Args:
        urls: sources, https, in order. A mirror from the environment comes first.
        path: of the file; its folder must exist.
        num_bytes: size of the file.
        sha256: of the file, 64 hexadecimal digits.
        notify: gets one line for each source that fails while others are left.

    Returns:
        The source; "" if the part was already complete.

    Raises:
        RequestError: no source gave the file, or the disk is full; the part is kept.
    """
    part = path.with_name(path.name + ".part")
    if part.exists() and part.stat().st_size > num_bytes:
        part.unlink()
    failures: list[str] = []
    for url in _with_mirrors(urls, path.name):
        if failures:
            notify(f"{failures[-1]}; trying {_host(url)}")
        try:
            was_complete = part.exists() and part.stat().st_size == num_bytes
            if not was_complete:
                _require_room(part, num_bytes)
                _fetch(url, part, num_bytes)
            _check_sum(part, sha256)
        except _Failed as error:
            failures.append(f"{_host(url)}: {error}")
            continue
        except OSError as error:
            raise _unwritable(part, num_bytes, error) from error
        os.replace(part, path)
        atomic.sync(path.parent)
        return "" if was_complete else url
    kept = part.stat().st_size if part.exists() else 0
    ending = f"{kept} of {num_bytes} bytes are kept; the same command continues"
    ending = ending if kept else "run the same command again, or give another source"
    raise RequestError(f"{path.name} was not downloaded ({'; '.join(failures)}); {ending}")


def _with_mirrors(urls: Sequence[str], name: str) -> list[str]:
    """Returns the sources of a file, with the mirrors that the environment names.

    Raises:
        RequestError: a mirror is not https.
    """
    hub = os.environ.get(HUB_MIRROR, "").rstrip("/")
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    for variable, value in ((HUB_MIRROR, hub), (MIRROR, mirror)):
        if value and urlsplit(value).scheme != "https":
            raise RequestError(f"{variable}={value}: give an address that starts with https://")
    if hub:
        urls = [url.replace(_HUB, hub, 1) if url.startswith(f"{_HUB}/") else url for url in urls]
    return ([f"{mirror}/{name}"] if mirror else []) + list(urls)


def _host(url: str) -> str:
    return printable(urlsplit(url).hostname or url)[:80]  # a redirect's query may hold a secret


def _require_room(part: Path, num_bytes: int) -> None:
    left = num_bytes - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(part.parent).free
    if free < left:
        raise RequestError(
            f"the disk of {str(part.parent)!r} has {free} bytes left, and {left} are needed; make "
            "room, or set COLORJAX_CACHE to a folder on another disk"
        )


def _unwritable(part: Path, num_bytes: int, error: OSError) -> RequestError:
    kept = part.stat().st_size if part.exists() else 0
    full = full_disk.reason_of(error)
    return RequestError(
        f"{str(part)!r} cannot be written ({full or error.strerror or error}); "
        + ("make room" if full else "set COLORJAX_CACHE to another folder")
        + f"; {kept} of {num_bytes} bytes are kept, and the same command continues"
    )


def _check_sum(part: Path, sha256: str) -> None:
    with open(part, "rb") as file:
        os.fsync(file.fileno())
        actual = hashlib.file_digest(file, "sha256").hexdigest()  # pyrefly: ignore
    if actual != sha256:
        part.unlink()
        raise _Failed(
            f"the file has the SHA-256 {actual}, but {sha256} is expected; it was deleted"
        )


def _fetch(url: str, part: Path, num_bytes: int) -> None:
    """Appends the rest of a file to its part.

    Raises:
        _Failed: the source does not answer, or with something else.
        OSError: the part cannot be written.
    """
    import requests
    import urllib3

    try:
        with requests.Session() as session, contextlib.ExitStack() as stack:
            start = part.stat().st_size if part.exists() else 0
            answer = _answer(session, url, start, stack)
            start = _start_of(answer, start, num_bytes)
            _append(answer, part, start, num_bytes)
    except requests.exceptions.SSLError as error:
        raise _Failed(f"no trusted https connection ({_reason(error)})") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _Failed(f"the connection failed ({_reason(error)})") from None


def _answer(session: Any, url: str, start: int, stack: contextlib.ExitStack) -> Any:
    """Returns the answer to a request for the bytes from `start` on, after redirects."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    for _ in range(_MOST_REDIRECTS):
        if urlsplit(url).scheme != "https":
            raise _Failed(f"it redirects to {url.split(':', 1)[0]}: instead of https:")
        answer = stack.enter_context(
            session.get(url, headers=headers, stream=True, allow_redirects=False, timeout=_TIMEOUT)
        )
        if answer.status_code not in _REDIRECTS:
            return answer
        url = urljoin(url, answer.headers.get("Location", ""))
    raise _Failed(f"it redirects more than {_MOST_REDIRECTS} times")


def _start_of(answer: Any, start: int, num_bytes: int) -> int:
    """Returns the position of the answer's first byte in the file, from its headers."""
    if answer.status_code == 206:
        wanted = f"bytes {start}-{num_bytes - 1}/{num_bytes}"
        if answer.headers.get("Content-Range") != wanted:
            given = printable(answer.headers.get("Content-Range", "nothing"))[:60]
            raise _Failed(f"it offers {given}, not {wanted}")
    elif answer.status_code == 200:
        start = 0  # a server without resuming
    else:
        raise _Failed(f"status {answer.status_code}")
    length = answer.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) != num_bytes - start:
        raise _Failed(f"it offers a file of {start + int(length)} bytes, not {num_bytes}")
    return start


def _append(answer: Any, part: Path, start: int, num_bytes: int) -> None:
    from tqdm import tqdm

    with (
        open(part, "r+b" if start else "wb") as file,
        tqdm(total=num_bytes, initial=start, unit="B", unit_scale=True, disable=None) as bar,
    ):
        size = file.seek(start)
        began, before = time.monotonic(), size
        while chunk := answer.raw.read1(_CHUNK):  # what has arrived: a trickle is noticed
            if size + len(chunk) > num_bytes:
                file.truncate(0)
                raise _Failed(f"the file has more than {num_bytes} bytes")
            file.write(chunk)
            size += len(chunk)
            bar.update(len(chunk))
            if (seconds := time.monotonic() - began) >= _PERIOD:
                if size - before < _SLOWEST * seconds:
                    raise _Failed(f"too slow: {size - before} bytes in {seconds:.0f} seconds")
                began, before = time.monotonic(), size
    if size < num_bytes:
        raise _Failed(f"it ended after {size} of {num_bytes} bytes")


def _reason(error: BaseException) -> str:
    """Returns the innermost reason of an error of requests, as one short line."""
    while (inner := getattr(error, "reason", None) or next(iter(error.args), None)) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return printable(str(error))[:120] or type(error).__name__
