"""A stand-in for huggingface.co: the part of its API that `colorjax weights` uses.

    with serving() as hub: hub.address, hub.repositories

What it does not know it answers with 501.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_token_of_the_test"


class _Hub:
    """Repositories: name -> {file: content}; what was asked; visibility of new ones."""

    def __init__(self):
        self.repositories, self.asked, self.visibility, self.address = {}, [], {}, ""

    def commit(self, name):
        """Returns the id of the newest commit, of all contents."""
        sha = hashlib.sha1()
        for file, content in sorted(self.repositories[name].items()):
            sha.update(file.encode() + content)
        return sha.hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: _Hub

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path))
        status, headers, content = self._handle(path, body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(OSError):
                self.wfile.write(content)

    do_HEAD = do_POST = do_GET

    def log_message(self, *args):
        pass

    def _handle(self, path, body):
        hub = self.hub
        if self.command == "POST":
            if path == "/api/validate-yaml":
                _, front, _ = json.loads(body)["content"].split("---\n", 2)
                assert yaml.safe_load(front)["license"]
                return _json({"errors": [], "warnings": []})
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return _json({"error": "Invalid username or password."}, 401)
            return self._change(path, body)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/[^/]+)?", path):
            return self._about(found[1])
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            files = hub.repositories.get(found[1], {})
            if found[3] not in files:
                return _json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            content = files[found[3]]
            etag = hashlib.sha256(content).hexdigest()
            given = {"ETag": f'"{etag}"', "X-Repo-Commit": hub.commit(found[1])}
            return 200, given, content
        return _json({"error": f"{self.command} {path}"}, 501)

    def _about(self, name):
        hub = self.hub
        if name not in hub.repositories:
            code = {"X-Error-Code": "RepoNotFound"}
            return _json({"error": "Repository not found"}, 404, code)
        files = hub.repositories[name]
        card = files.get("README.md", b"").decode()
        front = yaml.safe_load(card.split("---\n")[1]) if card.startswith("---\n") else {}
        siblings = [{"rfilename": file, "size": len(files[file])} for file in sorted(files)]
        about = {"id": name, "modelId": name, "sha": hub.commit(name), "siblings": siblings}
        return _json(about | {"private": True, "tags": [], "downloads": 0, "cardData": front})

    def _change(self, path, body):
        hub = self.hub
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            known = name in hub.repositories
            if not known:
                hub.repositories[name] = {}
                hub.visibility[name] = asked.get("visibility") or asked.get("private")
            return _json({"url": f"{hub.address}/{name}"}, 409 if known else 200)
        if re.fullmatch(r"/api/models/[^/]+/[^/]+/preupload/main", path):
            files = json.loads(body)["files"]
            plain = {"uploadMode": "regular", "shouldIgnore": False}
            return _json({"files": [{"path": file["path"]} | plain for file in files]})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            for line in body.splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    content = base64.b64decode(item["value"]["content"])
                    hub.repositories[found[1]][item["value"]["path"]] = content
            url = f"{hub.address}/{found[1]}/commit/{hub.commit(found[1])}"
            return _json({"commitUrl": url, "commitOid": hub.commit(found[1]), "success": True})
        return _json({"error": f"POST {path}"}, 501)


def _json(content, status=200, headers=None):
    given = {"Content-Type": "application/json"} | (headers or {})
    return status, given, json.dumps(content).encode()


@contextlib.contextmanager
def serving():
    """Serves until left; yields the hub."""
    hub = _Hub()
    server = ThreadingHTTPServer(("localhost", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    hub.address = f"http://localhost:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
