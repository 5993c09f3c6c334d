"""The server of the page in this process, and requests to it."""

import contextlib
import http.client
import json
import threading
import time

from colorjax.inference.batch.plan import plan
from colorjax.serve import security
from colorjax.serve.app import create
from colorjax.serve.run import Address, listen, server_of
from colorjax.serve.studio import Settings, Studio

TOKEN = "the-token-of-the-tests"


class Page:
    """A client of one server; `call` sends what the page would send."""

    def __init__(self, port, studio=None, token=TOKEN):
        self.port, self.studio, self.token = port, studio, token

    def call(self, method, path, body=None, raw=None, headers=None, timeout=120):
        """Returns (status, headers with lower-case names, content) of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = {"X-Colorjax-Token": self.token} | (headers or {})
        sent = {name: value for name, value in sent.items() if value is not None}
        content = raw if raw is not None else None if body is None else json.dumps(body)
        with contextlib.closing(connection):
            connection.request(method, path, content, sent)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, names, answer.read()

    def json(self, method, path, body=None, status=200, **more):
        """Returns the JSON of an answer of this status."""
        got, _, content = self.call(method, path, body, **more)
        assert got == status, (got, content[:300])
        return json.loads(content)

    def bytes(self, method, path, body=None, status=200, **more):
        got, _, content = self.call(method, path, body, **more)
        assert got == status, (got, content[:300])
        return content

    def id(self, name):
        photos = self.json("GET", "/api/photos")["photos"]
        return next(photo["id"] for photo in photos if photo["name"] == name)


@contextlib.contextmanager
def serving(inputs, weights, private, *, output=None, results=None, max_pixels=2**24):
    """Serves photos on a free port of this process; yields a `Page`."""
    jobs, _ = plan(list(map(str, inputs)), output) if inputs else ([], None)
    private.mkdir(exist_ok=True)
    studio = Studio(jobs, Settings(str(weights), max_pixels, results or private, private))
    sockets = listen(Address("127.0.0.1", 0))
    port = sockets[0].getsockname()[1]
    app = security.Guard(create(studio), security.allowed_hosts(port), TOKEN)
    server = server_of(app)
    thread = threading.Thread(target=server.run, args=(sockets,), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Page(port, studio)
    finally:
        server.should_exit = True
        thread.join(20)
        studio.stop()
        for one in sockets:
            one.close()
