"""Runs the server: sockets of this machine only, the token, the browser, a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path

from colorjax.errors import RequestError
from colorjax.inference.batch.plan import Job
from colorjax.runtime import atomic
from colorjax.serve import security
from colorjax.serve.app import create
from colorjax.serve.studio import Settings, Studio

PORT = 8765
_PREFIX = "colorjax-page-"  # of private folders, before the process id
LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERY_ADDRESS = ("0.0.0.0", "::")  # in a container, whose published port names 127.0.0.1
_BACKLOG = 128
_MOST_CONNECTIONS = 512
_REQUEST_SECONDS = 10.0  # until the header of a request has arrived
_SHUTDOWN = 5  # seconds for answers under way


@dataclasses.dataclass(frozen=True)
class Address:
    """Where the server listens.

    Attributes:
        host: name or address.
        port: None: `PORT`, or a free one if that is in use.
    """

    host: str = "127.0.0.1"
    port: int | None = None


def serve(
    jobs: Sequence[Job],
    address: Address,
    *,
    weights: str,
    max_pixels: int,
    results: Path,
    token_file: Path | None = None,
    engine: str = "jax",
    opens_browser: bool = True,
) -> None:
    """Serves the page until SIGINT or SIGTERM.

    Args:
        jobs: the photos, from `plan`.
        address: where to listen.
        weights: name, or path of a workdir.
        max_pixels: larger photos are refused.
        results: folder for the results of photos that are dropped on the page.
        token_file: file for the token, readable by this user only; removed at the end.
        engine: what runs the networks, see `Colorizer.load`.
        opens_browser: whether to open the page.

    Raises:
        RequestError: the address is in use or invalid, or the token file cannot be written.
    """
    _uvicorn()
    sockets = listen(address)
    port = sockets[0].getsockname()[1]
    token = secrets.token_urlsafe(32)
    given = "" if address.host in (*LOOPBACK, *EVERY_ADDRESS) else address.host
    with contextlib.ExitStack() as stack:
        for one in sockets:
            stack.callback(one.close)
        remove_left_over()
        prefix = f"{_PREFIX}{os.getpid()}-"
        private = stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix))
        if token_file is not None:
            stack.enter_context(_stored(token, token_file))
        studio = Studio(jobs, Settings(weights, max_pixels, results, Path(private), engine))
        stack.callback(studio.stop)
        app = security.Guard(create(studio), security.allowed_hosts(port, given), token)
        server = server_of(app)
        url = f"http://{security.in_url(given or '127.0.0.1')}:{port}/#{token}"
        print(f"colorjax: open {url}", flush=True)
        print("colorjax: Ctrl-C ends it; every change is saved as you go", flush=True)
        if given:
            print(f"colorjax: {given} is open to the network, without encryption", flush=True)
        if address.host in EVERY_ADDRESS:
            print(
                f"colorjax: listens on {address.host}, without encryption; answers requests for "
                "127.0.0.1 and localhost only",
                flush=True,
            )
        studio.warm_up()
        if opens_browser:
            webbrowser.open(url)
        with _ends_on_signals(server):
            server.run(sockets)
        print("colorjax: stopped; sessions are saved", file=sys.stderr)


def remove_left_over() -> None:
    """Removes the private folders of this user's servers that were killed: they hold photos."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        process = path.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            is_own = not hasattr(os, "getuid") or path.lstat().st_uid == os.getuid()
            if process.isdecimal() and is_own and not atomic.lives(int(process)):
                shutil.rmtree(path, ignore_errors=True)


def listen(address: Address) -> list[socket.socket]:
    """Returns sockets that listen; for this machine 127.0.0.1 and, if it can, ::1.

    Raises:
        RequestError: the address is in use or does not belong to this machine.
    """
    is_local = address.host in LOOPBACK
    host = "127.0.0.1" if is_local else address.host
    ports = [PORT, 0] if address.port is None else [address.port]
    for port in ports:
        try:
            first = _bound(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port != ports[-1]:
                continue
            raise RequestError(_why_not(error, host, port)) from None
        result = [first]
        if is_local:
            with contextlib.suppress(OSError):  # no IPv6, or another program has the port there
                result.append(_bound("::1", first.getsockname()[1]))
        return result
    raise AssertionError("the last port either works or raises")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name != "nt":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(target)
        bound.listen(_BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; give another --port, or leave it out"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} needs rights that you lack; give a --port above 1023"
    return f"--host {host!r} is not an address of this machine ({error.strerror or error})"


@contextlib.contextmanager
def _stored(token: str, path: Path) -> Iterator[None]:
    """Context manager that keeps the token in a file which only this user can read.

    Raises:
        RequestError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(f"{token}\n")
        os.replace(partial, path)
    except OSError as error:
        raise RequestError(
            f"--token-file {str(path)!r} cannot be written ({error.strerror}); give another file"
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if path.read_text().strip() == token:  # not that of a server started later
                path.unlink()


@contextlib.contextmanager
def _ends_on_signals(server) -> Iterator[None]:
    """Context manager in which SIGINT and SIGTERM end the server; a second one ends it at once."""

    def end(number: int, frame: object) -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, end) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def server_of(app: security.App):
    """Returns a uvicorn.Server of an application; `run(sockets)` serves until `should_exit`."""
    uvicorn = _uvicorn()
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):
        """Closes connections whose next request does not arrive: uvicorn would keep them."""

        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._expect()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._expect()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._cancel()

        def _expect(self) -> None:
            if self.cycle is not None and not self.cycle.response_complete:
                self._cancel()  # a request is being answered
            elif self._late is None:
                self._late = self.loop.call_later(_REQUEST_SECONDS, self._close)

        def _cancel(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _close(self) -> None:
            self._late = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    class Server(uvicorn.Server):
        """Leaves the signals to `_ends_on_signals`: uvicorn would raise them again at the end."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            access_log=False,
            log_level="error",
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            backlog=_BACKLOG,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_SHUTDOWN,
        )
    )


def _uvicorn():
    """Imports the server.

    Raises:
        RequestError: the extra is not installed.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError:
        raise RequestError(
            "the page needs two more packages; install them with pip install 'colorjax[page]'"
        ) from None
    return uvicorn
