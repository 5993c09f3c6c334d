"""The HTTP interface: routes of the page and for programs, as a Starlette application."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import math
from collections.abc import AsyncIterator, Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from colorjax.errors import RequestError
from colorjax.inference import hints
from colorjax.inference.batch.origin import PROGRAM
from colorjax.inference.session import State
from colorjax.runtime.file_names import printable
from colorjax.serve import errors
from colorjax.serve.errors import Refused
from colorjax.serve.preview import SIDE, Box
from colorjax.serve.studio import Studio

if TYPE_CHECKING:  # of the extra "page": imported where they are used
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

STATIC = Path(__file__).with_name("static")
MOST_JSON = 4 * 2**20  # bytes of a JSON body
MOST_UPLOAD = 2**30  # bytes of a photo
_IDLE = 30.0  # seconds without a byte of a body after which a request ends
_MOST_SUGGESTIONS, _MOST_SAMPLES = 12, 12
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
}
_IMAGE_TYPES = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".jp2": "image/jp2",
    ".ppm": "image/x-portable-pixmap",
}


def create(studio: Studio) -> Starlette:
    """Returns the application without its guard, see `security.Guard`.

    Args:
        studio: what the page works with; the caller stops it.
    """
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    handlers = _Handlers(studio)
    photo = "/api/photos/{id}"
    routes = [
        Route("/", handlers.page),
        Route("/static/{name:path}", handlers.static),
        Route("/api/status", handlers.status),
        Route("/api/weights", handlers.weights, methods=["GET", "POST"]),
        Route("/api/photos", handlers.photos, methods=["GET", "PUT"]),
        Route(photo, handlers.remove, methods=["DELETE"]),
        Route(f"{photo}/thumbnail", handlers.thumbnail),
        Route(f"{photo}/open", handlers.open, methods=["POST"]),
        Route(f"{photo}/before", handlers.before),
        Route(f"{photo}/preview", handlers.preview, methods=["POST"]),
        Route(f"{photo}/region", handlers.region, methods=["POST"]),
        Route(f"{photo}/pixel", handlers.pixel, methods=["POST"]),
        Route(f"{photo}/suggest", handlers.suggest, methods=["POST"]),
        Route(f"{photo}/uncertainty", handlers.uncertainty, methods=["POST"]),
        Route(f"{photo}/ask", handlers.ask, methods=["POST"]),
        Route(f"{photo}/variants", handlers.variants, methods=["POST"]),
        Route(f"{photo}/session", handlers.session, methods=["GET", "PUT"]),
        Route(f"{photo}/journal", handlers.journal),
        Route(f"{photo}/save", handlers.save, methods=["POST"]),
        Route(f"{photo}/download", handlers.download, methods=["POST"]),
        Route("/api/references", handlers.references, methods=["PUT", "POST"]),
        Route("/api/references/{digest}/thumbnail", handlers.reference_thumbnail),
        Route("/api/batch", handlers.batch, methods=["GET", "POST", "DELETE"]),
        Route("/v1/colorize", handlers.colorize, methods=["PUT"]),
    ]
    return Starlette(
        routes=routes,
        exception_handlers={
            Refused: _answer_refused,
            RequestError: _answer_request_error,
            HTTPException: _answer_http_error,
            Exception: _answer_unexpected,
        },
    )


class _Handlers:
    """The answers; each method answers one route."""

    def __init__(self, studio: Studio):
        self._studio = studio
        # Only files that exist at the start are served, by their exact names.
        self._files = {
            path.relative_to(STATIC).as_posix(): path
            for path in STATIC.rglob("*")
            if path.is_file() and path.suffix in _TYPES
        }

    async def page(self, request: Request) -> Response:
        return self._file("index.html")

    async def static(self, request: Request) -> Response:
        return self._file(request.path_params["name"])

    def _file(self, name: str) -> Response:
        path = self._files.get(name)
        if path is None:
            raise errors.missing("page")
        return _bytes(path.read_bytes(), _TYPES[path.suffix])

    async def status(self, request: Request) -> Response:
        jobs = [self._studio.interactive, self._studio.saving]
        return _json(
            {
                "stage": next((one.stage for one in jobs if one.stage), ""),
                "busy": any(one.is_busy for one in jobs),
                "waiting": sum(one.num_waiting for one in jobs),
                "version": PROGRAM,
            }
        )

    async def weights(self, request: Request) -> Response:
        jobs = self._studio.interactive
        if request.method == "GET":

            def every() -> dict[str, Any]:
                engine = self._studio.engine
                return {"current": engine.loaded.source.name, "weights": engine.all()}

            return _json(await jobs.run(every))
        name = _text(await _body(request), "name")
        return _json(await jobs.run(lambda: self._studio.use_weights(name)))

    async def photos(self, request: Request) -> Response:
        album = self._studio.album
        if request.method == "GET":
            entries = await asyncio.to_thread(lambda: [one.to_json() for one in album.all()])
            return _json({"photos": entries, "folder": album.folder})
        name = _name(request)
        async with self._received(request, Path(name).suffix) as (path, digest):
            entry = await self._studio.small.run(
                lambda: album.add(path, digest, name, self._studio.settings.max_pixels)
            )
        return _json(entry.to_json(), 201)

    async def remove(self, request: Request) -> Response:
        id = request.path_params["id"]
        await self._studio.small.run(lambda: self._studio.album.remove(id))
        return _bytes(b"", "text/plain", 204)

    async def thumbnail(self, request: Request) -> Response:
        id, side = self._id(request), _side(request, 160, 512)
        content = await self._studio.small.run(lambda: self._studio.thumbnail(id, side))
        return _bytes(content, "image/jpeg")

    async def open(self, request: Request) -> Response:
        id = self._id(request)
        await _body(request)
        return _json(await self._run(lambda: self._studio.open(id), ("open", id)))

    async def before(self, request: Request) -> Response:
        id, studio = self._id(request), self._studio
        side, box = _side(request, SIDE, SIDE), request.query_params.get("box")
        if box is None:
            content = await self._run(lambda: studio.any_photo(id).before(side))
        else:
            part = _box(box.split(","))
            content = await self._run(lambda: studio.full(id).before(part), ("before", id))
        return _bytes(content, "image/jpeg")

    async def preview(self, request: Request) -> Response:
        body, id, studio = await _body(request), self._id(request), self._studio
        state, side = _state(body), _whole(body, "side", SIDE, 96, SIDE)
        content = await self._run(
            lambda: studio.photo(id, state).preview(state, side), _key("preview", id, body)
        )
        return _numbered(_bytes(content, "image/jpeg"), body)

    async def region(self, request: Request) -> Response:
        body, id, studio = await _body(request), self._id(request), self._studio
        state, box = _state(body), _box(body.get("box"))
        content = await self._run(
            lambda: studio.photo(id, state).region(studio.full(id), state, box),
            _key("region", id, body),
        )
        return _numbered(_bytes(content, "image/jpeg"), body)

    async def pixel(self, request: Request) -> Response:
        body, id, studio = await _body(request), self._id(request), self._studio
        state, x, y = _state(body), _whole(body, "x"), _whole(body, "y")
        work = lambda: studio.photo(id, state).pixel(state, x, y)  # noqa: E731
        return _json(await self._run(work, _key("pixel", id, body)))

    async def suggest(self, request: Request) -> Response:
        body, id, studio = await _body(request), self._id(request), self._studio
        state, x, y = _state(body), _whole(body, "x"), _whole(body, "y")
        k = _whole(body, "k", 6, 1, _MOST_SUGGESTIONS)
        work = lambda: studio.photo(id, state).suggest(state, x, y, k)  # noqa: E731
        return _json(await self._run(work, _key("suggest", id, body)))

    async def uncertainty(self, request: Request) -> Response:
        body, id, studio = await _body(request), self._id(request), self._studio
        state = _state(body)
        work = lambda: studio.photo(id, state).uncertainty(state)  # noqa: E731
        return _bytes(await self._run(work, _key("uncertainty", id, body)), "image/png")

    async def ask(self, request: Request) -> Response:
        body, id, studio = await _body(request), self._id(request), self._studio
        state, k = _state(body), _whole(body, "k", 5, 1, _MOST_SUGGESTIONS)
        work = lambda: studio.photo(id, state).ask(state, k)  # noqa: E731
        return _json({"questions": await self._run(work, _key("ask", id, body))})

    async def variants(self, request: Request) -> Response:
        body, id, studio = await _body(request), self._id(request), self._studio
        state, k = _state(body), _whole(body, "k", 6, 1, _MOST_SAMPLES)
        seed = _whole(body, "seed", 0)
        work = lambda: studio.photo(id, state).variants(state, k, seed)  # noqa: E731
        drawn = await self._run(work, _key("variants", id, body))
        entries = [
            {
                "index": variant.index,
                "hints": [{"x": h.x, "y": h.y, "color": h.color} for h in variant.hints],
                "jpeg": base64.b64encode(jpeg).decode(),
            }
            for variant, jpeg in drawn
        ]
        return _json({"seed": seed, "variants": entries})

    async def session(self, request: Request) -> Response:
        id, studio = self._id(request), self._studio
        if request.method == "GET":
            stored = await studio.journals.run(lambda: studio.album[id].journal.read())
            state = stored and stored.state.to_json() | {"editor": stored.editor}
            return _json({"state": state})
        body = await _body(request)
        state, editor = _state(body), _editor(body)
        client = str(body.get("client", ""))[:32]
        number = _whole(body, "seq", -1, -1)
        name = await studio.journals.run(
            lambda: studio.store(id, state, editor, client, None if number < 0 else number)
        )
        return _json({"saved": True, "file": name})

    async def journal(self, request: Request) -> Response:
        path = self._studio.album[self._id(request)].journal.path
        try:
            content = await asyncio.to_thread(path.read_bytes)
        except OSError:
            raise errors.missing("journal yet") from None
        return _named(_bytes(content, "application/json"), path.name)

    async def save(self, request: Request) -> Response:
        body, id, studio = await _body(request), self._id(request), self._studio
        state, overwrite = _state(body), body.get("overwrite") is True
        return _json(await studio.saving.run(lambda: studio.save(id, state, overwrite=overwrite)))

    async def download(self, request: Request) -> Response:
        body, id, studio = await _body(request), self._id(request), self._studio
        state = _state(body)
        content, name = await studio.saving.run(lambda: studio.download(id, state))
        return _named(_bytes(content, _image_type(Path(name).suffix)), name)

    async def references(self, request: Request) -> Response:
        studio, pixels = self._studio, self._studio.settings.max_pixels
        if request.method == "POST":
            entry = studio.album[_text(await _body(request), "photo")]
            work = lambda: studio.references.add(entry.job.source, entry.name, pixels)  # noqa: E731
            return _json((await studio.small.run(work)).to_json(), 201)
        name = _name(request)
        async with self._received(request, "") as (path, _):
            added = await studio.small.run(lambda: studio.references.add(path, name, pixels))
            path.unlink()
        return _json(added.to_json(), 201)

    async def reference_thumbnail(self, request: Request) -> Response:
        reference, side = (
            self._studio.references[request.path_params["digest"]],
            _side(request, 160, 512),
        )
        content = await self._studio.small.run(lambda: reference.thumbnail(side))
        return _bytes(content, "image/jpeg")

    async def batch(self, request: Request) -> Response:
        studio = self._studio
        if request.method != "POST":
            return _json(studio.batch(stop=request.method == "DELETE"))
        body = await _body(request)
        state, ids, colors_of = _state(body), body.get("photos"), body.get("colors_of")
        if ids is not None and not (isinstance(ids, list) and all(isinstance(i, str) for i in ids)):
            raise Refused(400, "photos must be a list of ids.")
        overwrite = body.get("overwrite") is True
        work = lambda: studio.start_batch(state, ids, colors_of, overwrite=overwrite)  # noqa: E731
        return _json(await self._run(work), 202)

    async def colorize(self, request: Request) -> Response:
        query, studio = request.query_params, self._studio
        known = {"hint", "saturation", "warmth", "strength", "recolor"}
        if unknown := sorted(set(query) - known):
            raise Refused(400, f"Unknown option {unknown[0]!r}; known: {', '.join(sorted(known))}.")
        state = State.from_json({key: _number(query[key], key) for key in query if key in _SLIDERS})
        coloring = state.coloring([hints.parse(text) for text in query.getlist("hint")])
        recolor = query.get("recolor", "0") not in ("0", "")
        async with self._received(request, "") as (path, _):
            content, suffix = await studio.saving.run(
                lambda: studio.colorize(path, coloring, recolor=recolor)
            )
            path.unlink()
        return _bytes(content, _image_type(suffix))

    async def _run(self, work: Callable[[], Any], key: Hashable = None) -> Any:
        return await self._studio.interactive.run(work, key)

    def _id(self, request: Request) -> str:
        return self._studio.album[request.path_params["id"]].id

    @contextlib.asynccontextmanager
    async def _received(self, request: Request, suffix: str) -> AsyncIterator[tuple[Path, str]]:
        """Yields the file with the body of a request, and its SHA-256.

        The file is removed if the block raises.
        """
        path = self._studio.new_file(suffix if suffix.isascii() and len(suffix) < 8 else "")
        sha, size = hashlib.sha256(), 0
        try:
            with path.open("xb") as file:
                async for part in _parts(request, MOST_UPLOAD):
                    sha.update(part)
                    file.write(part)
                    size += len(part)
            if not size:
                raise Refused(400, "The request has no file: send the photo as its body.")
            yield path, sha.hexdigest()
        except BaseException:
            path.unlink(missing_ok=True)
            raise


_SLIDERS = ("saturation", "warmth", "strength")


async def _parts(request: Request, most: int) -> AsyncIterator[bytes]:
    """Yields the body of a request in parts.

    Raises:
        Refused: the body is too large, or no byte comes for `_IDLE` seconds.
    """
    from starlette.requests import ClientDisconnect

    too_large = Refused(413, f"More than {most // 2**20} MB are not accepted.")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > most:
        raise too_large
    size, stream = 0, request.stream()
    while True:
        try:
            part = await asyncio.wait_for(anext(stream, None), _IDLE)
        except (TimeoutError, ClientDisconnect):
            raise Refused(408, "The file did not arrive completely.") from None
        if part is None:
            return
        size += len(part)
        if size > most:
            raise too_large
        yield part


async def _body(request: Request) -> dict[str, Any]:
    """Returns the JSON object of a request's body; an empty body is an empty object."""
    content = b"".join([part async for part in _parts(request, MOST_JSON)])
    try:
        body = json.loads(content or b"{}", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused(400, "The request is not valid JSON.") from None
    if not isinstance(body, dict):
        raise Refused(400, "The request must be a JSON object.")
    return body


def _no_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _state(body: dict[str, Any]) -> State:
    given = body.get("state") or {}
    if isinstance(given, dict):
        given = {key: value for key, value in given.items() if key != "editor"}
    return State.from_json(given)


def _editor(body: dict[str, Any]) -> Any:
    given = body.get("state")
    return given.get("editor") if isinstance(given, dict) else None


def _key(kind: str, id: str, body: dict[str, Any]) -> Hashable:
    return kind, id, str(body.get("client", ""))[:32]


def _whole(
    body: dict[str, Any], key: str, default: int | None = None, least: int = 0, most: int = 2**31
) -> int:
    value = body.get(key, default)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not (is_whole and least <= value <= most):
        raise Refused(400, f"{key} must be a whole number from {least} to {most}.")
    return value


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise Refused(400, f"{key} must be a text.")
    return value


def _number(text: str, key: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Refused(400, f"{key} must be a number.")
    return value


def _box(given: Any) -> Box:
    try:
        left, top, width, height = (int(value) for value in given)
    except (TypeError, ValueError):
        raise Refused(400, "box must be four whole numbers: x, y, width, height.") from None
    return Box(left, top, width, height)


def _side(request: Request, default: int, most: int) -> int:
    text = request.query_params.get("side", str(default))
    if not (text.isdecimal() and len(text) < 6 and 32 <= int(text) <= most):
        raise Refused(400, f"side must be from 32 to {most}.")
    return int(text)


def _name(request: Request) -> str:
    return printable(request.query_params.get("name", "photo"))[:300]


def _image_type(suffix: str) -> str:
    return _IMAGE_TYPES.get(suffix.lower(), "image/jpeg")


def _json(content: Any, status: int = 200) -> Response:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return _bytes(text.encode(errors="replace"), "application/json", status)


def _bytes(content: bytes, kind: str, status: int = 200) -> Response:
    from starlette.responses import Response

    return Response(content, status, media_type=kind)


def _numbered(response: Response, body: dict[str, Any]) -> Response:
    response.headers["X-Colorjax-Seq"] = str(_whole(body, "seq", 0))
    return response


def _named(response: Response, name: str) -> Response:
    response.headers["X-Colorjax-Name"] = quote(name)
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name)}"
    return response


async def _answer_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _json({"error": str(error), **error.extra}, error.status)


async def _answer_request_error(request: Request, error: Exception) -> Response:
    text = printable(error)
    return _json({"error": f"{text[:1].upper()}{text[1:]}."}, 422)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 400)
    sentence = "This method is not possible here." if status == 405 else "There is no such page."
    return _json({"error": sentence}, status)


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    return _json({"error": "This did not work; the terminal of colorjax serve says why."}, 500)
