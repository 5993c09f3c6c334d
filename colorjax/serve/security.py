"""The guard before every request: host, origin, token, and the headers of every answer.

A web page of another site can make a browser send requests to 127.0.0.1. Such requests name another
host (DNS rebinding), carry another origin, or lack the token, which only the page's own URL has.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN_HEADER = "X-Colorjax-Token"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_HTTP_PORT = 80  # browsers leave it out of the Host header
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ANSWER_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


def allowed_hosts(port: int, host: str = "") -> frozenset[str]:
    """Returns the values of the Host header that are answered, in lower case.

    Args:
        port: of the server.
        host: name or address given by the user, in addition to those of this machine; "": none.

    >>> sorted(allowed_hosts(8000))
    ['127.0.0.1:8000', '[::1]:8000', 'localhost:8000']
    """
    names = [*_LOOPBACK, *([in_url(host)] if host else [])]
    hosts = {f"{name}:{port}" for name in names}
    if port == _HTTP_PORT:
        hosts |= set(names)
    return frozenset(name.lower() for name in hosts)


def in_url(host: str) -> str:
    """Returns a host as a URL writes it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


class Guard:
    """ASGI application that refuses foreign requests before anything is routed or read."""

    def __init__(self, app: App, hosts: Iterable[str], token: str):
        """Wraps an application.

        Args:
            app: the application.
            hosts: from `allowed_hosts`.
            token: the secret that API requests send in the header `TOKEN_HEADER`.
        """
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(f"http://{host}" for host in self._hosts)
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":  # web sockets are not used
            return await send({"type": "websocket.close", "code": 1008})
        if reason := self._refusal(scope):
            return await _refuse(_guarded(send), reason)
        return await self._app(scope, receive, _guarded(send))

    def _refusal(self, scope: Scope) -> str:
        """Returns why a request is refused; "": it is accepted."""
        values = [value for name, value in scope["headers"] if name == b"host"]
        if len(values) != 1 or _text(values[0]).lower() not in self._hosts:
            return "This address does not belong to colorjax."
        for value in _values(scope, b"origin"):
            if value.lower() not in self._origins:
                return "Requests of other web sites are refused."
        path, sites = scope["path"], _values(scope, b"sec-fetch-site")
        if path == "/":
            return ""  # the page, without data: links and bookmarks of other sites may open it
        is_file = path.startswith("/static/")  # without data too
        own = ("same-origin", "none") if is_file else ("same-origin",)
        if any(site not in own for site in sites):
            return "Requests of other web sites are refused."
        if is_file:
            return ""
        header = TOKEN_HEADER.lower().encode()
        tokens = [value for name, value in scope["headers"] if name == header]
        if len(tokens) != 1 or not hmac.compare_digest(tokens[0], self._token):
            return "The token is missing or wrong: open the address that colorjax serve printed."
        return ""


def _values(scope: Scope, name: bytes) -> list[str]:
    return [_text(value) for key, value in scope["headers"] if key == name]


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _guarded(send: Send) -> Send:
    """Returns a `send` that adds the security headers to the answer."""

    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.lower().encode(), text.encode()) for name, text in _ANSWER_HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await send(message)

    return send_guarded


async def _refuse(send: Send, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # its body is not read
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
