"""The list of field2026.md 3c: each line a test."""

import contextlib
import http.client
import json
import socket
import time
import urllib.parse

import pytest
from helpers.page_server import TOKEN

from colorjax.cli import main as cli
from colorjax.serve import app, run, security

API = "/api/photos"


def test_the_page_itself_is_answered_without_token_and_holds_no_data(shared_page):
    status, headers, content = shared_page.call("GET", "/", headers={"X-Colorjax-Token": None})
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert TOKEN.encode() not in content
    assert b"0.png" not in content


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
def test_own_hosts_are_answered(name, shared_page):
    host = {"Host": f"{name}:{shared_page.port}"}
    assert shared_page.call("GET", API, headers=host)[0] == 200


FOREIGN = [
    "evil.example:{port}",
    "evil.example",
    "127.0.0.1",
    "127.0.0.1:1",
    "127.0.0.1:{port}.evil.example",
    "localhost.evil.example:{port}",
    "evil@127.0.0.1:{port}",
    "127.0.0.2:{port}",
    "0.0.0.0:{port}",
    "[::]:{port}",
    "::1:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "[0:0:0:0:0:0:0:1]:{port}",
    "[::1]evil:{port}",
    "[::1",
    "2130706433:{port}",
    "",
]


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", [API, "/", "/static/index.html", "/nothing"])
def test_other_hosts_are_refused_before_routing(path, host, shared_page):
    headers = {"Host": host.format(port=shared_page.port)}
    status, _, content = shared_page.call("GET", path, headers=headers)
    assert status == 403
    assert json.loads(content).keys() == {"error"}


def raw(port, request):
    """Returns the status line and the content of a request as it is written."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request)
        content = b""
        while part := connection.recv(65536):
            content += part
    return content.split(b"\r\n")[0], content


def test_two_hosts_or_none_are_refused(shared_page):
    port, own = shared_page.port, f"Host: 127.0.0.1:{shared_page.port}\r\n"
    token = f"X-Colorjax-Token: {TOKEN}\r\nConnection: close\r\n\r\n"
    for hosts in ("", own + "Host: evil.example\r\n", "Host: evil.example\r\n" + own):
        line, content = raw(port, f"GET {API} HTTP/1.1\r\n{hosts}{token}".encode())
        assert line.split()[1] in (b"400", b"403")
        assert b"0.png" not in content
    line, _ = raw(port, f"GET {API} HTTP/1.1\r\n{own}{token}".encode())
    assert line.split()[1] == b"200"


@pytest.mark.parametrize(
    "token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), f" {TOKEN[1:]}"]
)
@pytest.mark.parametrize("path", [API, "/api/status", "/v1/colorize", "/api/nothing"])
def test_the_api_needs_the_token(path, token, shared_page):
    method = "PUT" if path.startswith("/v1") else "GET"
    status, _, content = shared_page.call(method, path, headers={"X-Colorjax-Token": token})
    assert status == 403
    assert json.loads(content).keys() == {"error"}


def test_the_token_counts_only_as_a_header(shared_page):
    quoted = urllib.parse.quote(TOKEN)
    cookie = {"X-Colorjax-Token": None, "Cookie": f"token={TOKEN}; X-Colorjax-Token={TOKEN}"}
    assert shared_page.call("GET", API, headers=cookie)[0] == 403
    path = f"{API}?token={quoted}&X-Colorjax-Token={quoted}"
    assert shared_page.call("GET", path, headers={"X-Colorjax-Token": None})[0] == 403


def test_the_token_is_compared_in_constant_time(monkeypatch, shared_page):
    compared = []

    def compare(one, other):
        compared.append((one, other))
        return False

    monkeypatch.setattr(security.hmac, "compare_digest", compare)
    assert shared_page.call("GET", API)[0] == 403
    assert compared == [(TOKEN.encode(), TOKEN.encode())]


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1", "file://"],
)
def test_other_origins_are_refused(origin, shared_page):
    headers = {"Origin": origin.format(port=shared_page.port)}
    for path in (API, "/"):
        assert shared_page.call("GET", path, headers=headers)[0] == 403
    assert shared_page.call("PUT", "/v1/colorize", raw=b"x", headers=headers)[0] == 403


def test_the_own_origin_is_accepted(shared_page):
    headers = {"Origin": f"http://127.0.0.1:{shared_page.port}", "Sec-Fetch-Site": "same-origin"}
    assert shared_page.call("GET", API, headers=headers)[0] == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "anything"])
def test_requests_of_other_sites_reach_only_the_page(site, shared_page):
    headers = {"Sec-Fetch-Site": site}
    assert shared_page.call("GET", API, headers=headers)[0] == 403
    assert shared_page.call("GET", "/", headers=headers)[0] == 200  # a link, a bookmark
    wanted = 200 if site == "none" else 403
    assert shared_page.call("GET", "/static/index.html", headers=headers)[0] == wanted


@pytest.mark.parametrize("path", ["/", API, "/nothing", "/static/app.js", "/static/none.js"])
def test_every_answer_has_the_headers(path, shared_page):
    for token in (TOKEN, "wrong"):
        _, headers, _ = shared_page.call("GET", path, headers={"X-Colorjax-Token": token})
        policy = headers["content-security-policy"]
        for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'"):
            assert part in policy
        for part in ("img-src 'self' blob:", "connect-src 'self'", "frame-ancestors 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert not [name for name in headers if name.startswith("access-control")]
        assert not {"set-cookie", "server"} & headers.keys()


def test_a_preflight_gets_no_permission(shared_page):
    headers = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-colorjax-token",
        "X-Colorjax-Token": None,
    }
    status, got, _ = shared_page.call("OPTIONS", API, headers=headers)
    assert status == 403
    assert not [name for name in got if name.startswith("access-control")]


def test_a_body_above_the_cap_is_refused_by_its_length(shared_page):
    """The refusal comes before a byte of the body is sent."""
    for path, most in ((f"{API}?name=x.png", app.MOST_UPLOAD), ("/v1/colorize", app.MOST_UPLOAD)):
        connection = http.client.HTTPConnection("127.0.0.1", shared_page.port, timeout=20)
        with contextlib.closing(connection):
            connection.putrequest("PUT", path)
            connection.putheader("X-Colorjax-Token", TOKEN)
            connection.putheader("Content-Length", str(most + 1))
            connection.endheaders()
            assert connection.getresponse().status == 413


def test_a_body_above_the_cap_is_refused_while_it_streams(monkeypatch, shared_page):
    monkeypatch.setattr(app, "MOST_UPLOAD", 1000)
    before = set(shared_page.studio.settings.private.iterdir())
    connection = http.client.HTTPConnection("127.0.0.1", shared_page.port, timeout=20)
    with contextlib.closing(connection):
        connection.request(
            "PUT",
            f"{API}?name=x.png",
            body=iter([b"x" * 600] * 3),  # in chunks: without a Content-Length
            headers={"X-Colorjax-Token": TOKEN},
            encode_chunked=True,
        )
        assert connection.getresponse().status == 413
    assert set(shared_page.studio.settings.private.iterdir()) == before


def test_json_above_the_cap_is_refused(monkeypatch, shared_page):
    monkeypatch.setattr(app, "MOST_JSON", 1000)
    path = f"{API}/{shared_page.id('0.png')}/session"
    body = {"state": {}, "client": "x" * 2000}
    assert shared_page.call("PUT", path, body)[0] == 413


@pytest.mark.parametrize(
    "id", ["..%2f..%2fetc%2fpasswd", "/etc/passwd", "0.png", "..", "%00", "a" * 5000]
)
def test_photos_are_named_by_ids_never_by_paths(id, shared_page):
    for end in ("thumbnail", "before", "journal", "session"):
        status, _, content = shared_page.call("GET", f"{API}/{id}/{end}")
        assert status in (404, 400), content
        assert b"root:" not in content


@pytest.mark.parametrize(
    "name",
    ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "index.html/../../app.py", "."],
)
def test_static_files_are_a_fixed_list(name, shared_page):
    assert shared_page.call("GET", f"/static/{name}")[0] == 404


def test_the_port_is_open_on_this_machine_only():
    sockets = run.listen(run.Address(port=0))
    try:
        assert {one.getsockname()[0] for one in sockets} <= {"127.0.0.1", "::1"}
        ports = {one.getsockname()[1] for one in sockets}
        assert len(ports) == 1
    finally:
        for one in sockets:
            one.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_another_host_needs_a_word(host, capsys):
    assert cli.run(["serve", "--host", host, "--no-browser"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--host" in error


def test_multipart_is_not_parsed(shared_page):
    form = (
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\nx\r\n--x--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    status, _, _ = shared_page.call("PUT", f"{API}?name=a.png", raw=form, headers=headers)
    assert status == 415


def test_an_error_says_nothing_of_the_program(monkeypatch, shared_page):
    def fail(id):
        raise ValueError("a secret path")

    monkeypatch.setattr(shared_page.studio, "open", fail)
    status, _, content = shared_page.call("POST", f"{API}/{shared_page.id('0.png')}/open", {})
    assert status == 500
    assert b"secret" not in content


def test_connections_that_send_no_request_are_closed(monkeypatch, shared_page):
    monkeypatch.setattr(run, "_REQUEST_SECONDS", 0.3)
    started = [b"", b"GET / HTTP/1.1\r\nHost: "]
    with contextlib.ExitStack() as stack:
        idle = []
        for sent in started * 300:  # more than the server accepts at a time
            one = stack.enter_context(socket.create_connection(("127.0.0.1", shared_page.port), 9))
            one.sendall(sent)
            idle.append(one)
        for one in idle:
            assert one.recv(10) == b""
        assert shared_page.call("GET", API)[0] == 200


def test_a_slow_request_is_not_closed(monkeypatch, shared_page):
    monkeypatch.setattr(run, "_REQUEST_SECONDS", 0.2)
    connection = http.client.HTTPConnection("127.0.0.1", shared_page.port, timeout=20)
    with contextlib.closing(connection):
        connection.putrequest("PUT", "/v1/colorize")
        connection.putheader("X-Colorjax-Token", TOKEN)
        connection.putheader("Content-Length", "6")
        connection.endheaders()
        for part in (b"no", b" a ", b"p"):
            time.sleep(0.3)
            connection.send(part)
        assert connection.getresponse().status == 415


def test_a_body_that_stops_is_given_up(monkeypatch, shared_page):
    monkeypatch.setattr(app, "_IDLE", 0.3)
    connection = http.client.HTTPConnection("127.0.0.1", shared_page.port, timeout=20)
    with contextlib.closing(connection):
        connection.putrequest("PUT", "/v1/colorize")
        connection.putheader("X-Colorjax-Token", TOKEN)
        connection.putheader("Content-Length", "100")
        connection.endheaders(b"half")
        assert connection.getresponse().status == 408
    assert not list(shared_page.studio.settings.private.iterdir())
