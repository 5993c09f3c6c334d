"""10,000 hostile requests, and an honest user beside them."""

import collections
import contextlib
import http.client
import json
import random
import socket
import threading
import time
from pathlib import Path

import pytest
from helpers.page_program import program

NUM_REQUESTS, NUM_ATTACKERS = 10_000, 8
MOST_GROWTH = 200 * 2**20


def resident(pid):
    """Returns the resident memory of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no such process")


def request_of(rng, port, id):
    """Returns (method, path, headers, body) without a valid token, host or origin."""
    own = f"127.0.0.1:{port}"
    hosts = [own, "evil.example", f"evil.example:{port}", "[::1", "", f"{own}.evil.example"]
    tokens = [None, "", "x", "A" * 43, "\xff" * 40, "A" * 20000]
    origins = [None, "http://evil.example", "null", f"http://{own}"]
    paths = [
        "/api/photos", f"/api/photos/{id}/before", f"/api/photos/{id}/preview",
        f"/api/photos/{id}/session", f"/api/photos/{id}/save", "/api/batch", "/v1/colorize",
        "/api/photos/../../../../etc/passwd", "/api/photos/%2e%2e%2f%2e%2e%2fetc%2fpasswd/before",
        "/api/references", f"/api/photos?name={'x' * 3000}", "//api/photos", "/API/photos",
        f"http://evil.example/api/photos/{id}/before", "/api/%70hotos", "*",
    ]  # fmt: skip
    headers = {"Host": rng.choice(hosts)}
    for name, values in (("X-Colorjax-Token", tokens), ("Origin", origins)):
        if (value := rng.choice(values)) is not None:
            headers[name] = value
    if rng.random() < 0.3:
        headers["Sec-Fetch-Site"] = rng.choice(["cross-site", "same-site", "none"])
    method = rng.choice(["GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "X" * 100])
    body = rng.choice([None, b"{}", b"x" * 100_000, b"[" * 5000, b"\x89PNG\r\n\x1a\n" + b"\0" * 99])
    return method, rng.choice(paths), headers, body


def attack(rng, port, id, number, statuses, leaks):
    for _ in range(number):
        if rng.random() < 0.1:
            statuses[junk(rng, port, leaks)] += 1
            continue
        method, path, headers, body = request_of(rng, port, id)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            try:
                connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
                for name, value in headers.items():
                    connection.putheader(name, value.encode("latin-1"))
                connection.putheader("Content-Length", str(len(body or b"")))
                connection.endheaders(body)
                answer = connection.getresponse()
                note(answer.status, answer.read(), statuses, leaks)
            except (OSError, http.client.HTTPException, ValueError):
                statuses["closed"] += 1


def junk(rng, port, leaks):
    """Sends bytes that are no HTTP, or half a request; returns the status."""
    half = (
        f"PUT /v1/colorize HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 99999999\r\n\r\nx"
    )
    sent = rng.choice([rng.randbytes(500), half.encode(), b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 999])
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.settimeout(0.2)
        with contextlib.suppress(OSError):
            connection.sendall(sent)
            if secret(connection.recv(65536)):
                leaks.append(sent)
    return "junk"


def note(status, content, statuses, leaks):
    statuses[status] += 1
    if status < 400 or secret(content):
        leaks.append((status, content[:200]))


def secret(content):
    """Returns whether an answer has data: a picture, a name, a session."""
    return any(part in content for part in (b"a.png", b"\xff\xd8\xff", b"PNG", b"root:", b"state"))


@pytest.mark.slow
def test_ten_thousand_hostile_requests(album, semantic_workdir, tmp_path):
    statuses, leaks = collections.Counter(), []
    with program(tmp_path, album, "--checkpoint", semantic_workdir) as (process, page):
        id = page.id("a.png")
        page.json("POST", f"/api/photos/{id}/open", {})
        honest = f"/api/photos/{id}/preview"
        wanted = page.bytes("POST", honest, {"state": {}, "seq": 1})
        before = resident(process.pid)
        share = NUM_REQUESTS // NUM_ATTACKERS
        attackers = [
            threading.Thread(
                target=attack, args=(random.Random(n), page.port, id, share, statuses, leaks)
            )
            for n in range(NUM_ATTACKERS)
        ]
        for one in attackers:
            one.start()
        times, most = [], before
        while any(one.is_alive() for one in attackers):
            start = time.perf_counter()
            assert page.bytes("POST", honest, {"state": {}, "seq": 1}) == wanted
            times.append(time.perf_counter() - start)
            most = max(most, resident(process.pid))
            time.sleep(0.05)
        growth = max(most, resident(process.pid)) - before
        times.sort()
        print(
            f"{sum(statuses.values())} requests {dict(statuses)}; memory {growth / 2**20:+.0f} MB; "
            f"honest previews: {len(times)}, median {1000 * times[len(times) // 2]:.0f} ms, "
            f"slowest {1000 * times[-1]:.0f} ms"
        )
        assert not leaks
        assert sum(statuses.values()) == NUM_REQUESTS
        assert growth < MOST_GROWTH
        assert len(times) > 10
        assert json.loads(page.bytes("GET", "/api/photos"))["photos"][0]["saved"] is False
