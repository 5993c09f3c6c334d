"""A stand-in for Google Cloud Storage: the part of its JSON API that gcsfs and TensorStore use.

    with serving() as (environment, objects): ...

Objects are kept in a dictionary, "BUCKET/NAME" -> bytes. What it does not know it answers with 501.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c


class _Objects(dict):
    """What is stored: "BUCKET/NAME" -> bytes."""

    def __init__(self, store):
        super().__init__()
        self._store = store

    def add(self, bucket, name, content):
        """Stores an object, as an upload does."""
        self._store.put(bucket, name, content)


class _Store:
    def __init__(self):
        self.objects = _Objects(self)
        self.generations = {}
        self.uploads = {}
        self.lock = threading.RLock()
        self.counter = 0

    def next(self):
        self.counter += 1
        return self.counter

    def put(self, bucket, name, content):
        self.objects[f"{bucket}/{name}"] = bytes(content)
        self.generations[f"{bucket}/{name}"] = self.next()
        return self.about(bucket, name)

    def about(self, bucket, name):
        content = self.objects[f"{bucket}/{name}"]
        crc = google_crc32c.Checksum(content).digest()
        generation = str(self.generations[f"{bucket}/{name}"])
        return {
            "kind": "storage#object",
            "name": name,
            "bucket": bucket,
            "generation": generation,
            "metageneration": "1",
            "size": str(len(content)),
            "timeCreated": "2026-01-01T00:00:00.000Z",
            "updated": f"2026-01-01T00:00:00.{int(generation) % 1000:03d}Z",
            "crc32c": base64.b64encode(crc).decode(),
            "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
        }

    def listed(self, bucket, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        start, end = query.get("startOffset", ""), query.get("endOffset", "")
        names = sorted(
            key.partition("/")[2] for key in self.objects if key.startswith(bucket + "/")
        )
        items, folders = [], set()
        for name in names:
            if not name.startswith(prefix) or name < start or (end and name >= end):
                continue
            below = name[len(prefix) :]
            if delimiter and delimiter in below:
                folders.add(prefix + below[: below.index(delimiter) + 1])
            else:
                items.append(self.about(bucket, name))
        return {"kind": "storage#objects", "items": items, "prefixes": sorted(folders)}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: _Store

    def do_GET(self):
        self._answer()

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *args):
        pass

    def _answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        url = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        with self.store.lock:
            status, headers, content = self._handle(url.path, query, body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):  # TensorStore hangs up on what it no longer wants
            self.wfile.write(content)

    def _handle(self, path, query, body):
        store = self.store
        if found := re.fullmatch(r"/upload/storage/v1/b/([^/]+)/o", path):
            return self._upload(found[1], query, body)
        if found := re.fullmatch(r"(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)", path):
            return self._object(found[1], unquote(found[2]), query)
        if found := re.fullmatch(r"/storage/v1/b/([^/]+)/o", path):
            return _json(store.listed(found[1], query))
        if found := re.fullmatch(
            r"/storage/v1/b/([^/]+)/o/([^/]+)/rewriteTo/b/([^/]+)/o/(.+)", path
        ):
            key = f"{found[1]}/{unquote(found[2])}"
            if key not in store.objects:
                return _json({"error": {"code": 404, "message": "no such object"}}, 404)
            copy = store.put(found[3], unquote(found[4]), store.objects[key])
            return _json({"done": True, "resource": copy})
        if found := re.fullmatch(r"/storage/v1/b/([^/]+)", path):
            return _json({"kind": "storage#bucket", "name": found[1]})
        return _json({"error": {"code": 501, "message": f"{self.command} {path}"}}, 501)

    def _object(self, bucket, name, query):
        store, key = self.store, f"{bucket}/{name}"
        if key not in store.objects:
            return _json({"error": {"code": 404, "message": "no such object"}}, 404)
        if self.command == "DELETE":
            del store.objects[key], store.generations[key]
            return 204, {}, b""
        if query.get("alt") != "media":
            return _json(store.about(bucket, name))
        generation = str(store.generations[key])
        if query.get("ifGenerationNotMatch") == generation:
            return 304, {}, b""
        content, total = store.objects[key], len(store.objects[key])
        headers = {"x-goog-generation": generation, "Content-Type": "application/octet-stream"}
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(found[1]), min(int(found[2] or total - 1), total - 1)
            if first >= total:
                return 416, {}, b""
            headers["Content-Range"] = f"bytes {first}-{last}/{total}"
            return 206, headers, content[first : last + 1]
        return 200, headers, content

    def _upload(self, bucket, query, body):
        store = self.store
        if "upload_id" in query:
            name, parts = store.uploads[query["upload_id"]]
            parts += body
            total = self.headers.get("Content-Range", "").rpartition("/")[2]
            if total.isdecimal() and int(total) == len(parts):
                return _json(store.put(bucket, name, parts))
            return 308, {"Range": f"bytes=0-{len(parts) - 1}"}, b""
        if query["uploadType"] == "multipart":
            about, content = re.fullmatch(
                rb"--==0==\n[^\n]*\n\n(.*?)\n--==0==\n[^\n]*\n\n(.*)\n--==0==--", body, re.DOTALL
            ).groups()
            return _json(store.put(bucket, json.loads(about)["name"], content))
        name = query["name"]
        if query["uploadType"] == "resumable":
            number = str(store.next())
            store.uploads[number] = (name, bytearray())
            place = f"http://{self.headers['Host']}/upload/storage/v1/b/{bucket}/o"
            return 200, {"Location": f"{place}?uploadType=resumable&upload_id={number}"}, b""
        wanted = query.get("ifGenerationMatch")
        if wanted is not None and int(wanted) != store.generations.get(f"{bucket}/{name}", 0):
            return _json({"error": {"code": 412, "message": "conditionNotMet"}}, 412)
        return _json(store.put(bucket, name, body))


def _json(content, status=200):
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()


@contextlib.contextmanager
def serving():
    """Serves until left; yields (environment variables for programs, the objects)."""
    store = _Store()
    server = ThreadingHTTPServer(("localhost", 0), type("Handler", (_Handler,), {"store": store}))
    server.handle_error = lambda *_: None  # clients hang up as they like
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://localhost:{server.server_port}"
    try:
        yield (
            {
                "STORAGE_EMULATOR_HOST": address,
                "TENSORSTORE_GCS_HTTP_URL": address,
                "GCSFS_TOKEN": "anon",
                "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            },
            store.objects,
        )
    finally:
        server.shutdown()
        server.server_close()
