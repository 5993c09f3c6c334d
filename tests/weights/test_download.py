"""Downloads against a local https server, with every fault that was thought of."""

import hashlib
import io
import os

import numpy as np
import pytest
from helpers import https_server
from helpers.https_server import cut_off, other, redirect, silence, status, trickle

from colorjax.errors import RequestError
from colorjax.weights import download

CONTENT = np.random.default_rng(0).bytes(300_000)
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with https_server.serving(tmp_path_factory.mktemp("https")) as server:
        yield server


@pytest.fixture
def server(running, monkeypatch):
    running.files, running.faults, running.asked = {"/a.pth": CONTENT}, {}, []
    running.resumes = True
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.certificate))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv(download.MIRROR, raising=False)
    monkeypatch.delenv(download.HUB_MIRROR, raising=False)
    return running


@pytest.fixture
def ask(server, tmp_path):
    """Downloads /a.pth, or other paths of the server; returns the lines for the user."""

    def fetch(*paths):
        lines = []
        urls = [path if "://" in path else server.url(path) for path in paths or ("/a.pth",)]
        download.fetch(urls, tmp_path / "a.pth", len(CONTENT), SUM, lines.append)
        return lines

    return fetch


def failure(ask, *paths):
    with pytest.raises(RequestError) as caught:
        ask(*paths)
    assert str(caught.value).isprintable()
    return str(caught.value)


def part(tmp_path):
    return (tmp_path / "a.pth.part").read_bytes()


def names(tmp_path):
    return sorted(os.listdir(tmp_path))


def test_a_file_comes_whole(server, ask, tmp_path):
    assert ask() == []
    assert (tmp_path / "a.pth").read_bytes() == CONTENT
    assert names(tmp_path) == ["a.pth"]
    assert server.asked == [("/a.pth", None)]


def test_a_cut_download_continues(server, ask, tmp_path):
    server.faults["/a.pth"] = [cut_off(100_000)]
    says = failure(ask)
    assert "100000 of 300000 bytes are kept; the same command continues" in says
    assert part(tmp_path) == CONTENT[:100_000]
    assert names(tmp_path) == ["a.pth.part"]
    ask()
    assert (tmp_path / "a.pth").read_bytes() == CONTENT
    assert server.asked == [("/a.pth", None), ("/a.pth", "bytes=100000-")]
    assert names(tmp_path) == ["a.pth"]


def test_a_server_without_resuming_starts_again(server, ask, tmp_path):
    (tmp_path / "a.pth.part").write_bytes(b"other" * 10)
    server.resumes = False
    ask()
    assert (tmp_path / "a.pth").read_bytes() == CONTENT


def test_a_part_of_something_else_is_not_kept(server, ask, tmp_path):
    (tmp_path / "a.pth.part").write_bytes(b"x" * 50)
    says = failure(ask)
    mixed = hashlib.sha256(b"x" * 50 + CONTENT[50:]).hexdigest()
    assert f"the file has the SHA-256 {mixed}, but {SUM} is expected; it was deleted" in says
    assert names(tmp_path) == []
    ask()
    assert (tmp_path / "a.pth").read_bytes() == CONTENT


def test_a_complete_part_needs_no_download(server, ask, tmp_path):
    (tmp_path / "a.pth.part").write_bytes(CONTENT)
    ask()
    assert server.asked == []
    assert names(tmp_path) == ["a.pth"]


def test_a_part_that_is_too_long_is_deleted(server, ask, tmp_path):
    (tmp_path / "a.pth.part").write_bytes(CONTENT + b"x")
    ask()
    assert server.asked == [("/a.pth", None)]
    assert (tmp_path / "a.pth").read_bytes() == CONTENT


def test_a_wrong_sum_deletes_the_file_and_shows_both(server, ask, tmp_path):
    changed = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    server.files["/a.pth"] = changed
    says = failure(ask)
    assert hashlib.sha256(changed).hexdigest() in says
    assert SUM in says
    assert names(tmp_path) == []


@pytest.mark.parametrize("length", [None, ""], ids=["stated", "not stated"])
@pytest.mark.parametrize("change", [b"", CONTENT + b"more"], ids=["empty", "longer"])
def test_a_wrong_length(server, ask, tmp_path, change, length):
    server.faults["/a.pth"] = [other(change, length=length)]
    says = failure(ask)
    if length is None:
        assert f"it offers a file of {len(change)} bytes, not 300000" in says
    elif change:
        assert "the file has more than 300000 bytes" in says
    else:
        assert "it ended after 0 of 300000 bytes" in says
    assert "a.pth" not in names(tmp_path)
    ask()
    assert (tmp_path / "a.pth").read_bytes() == CONTENT


def test_an_endless_answer_is_cut(server, ask, tmp_path):
    server.faults["/a.pth"] = [other(CONTENT + bytes(10**7), length="")]
    failure(ask)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 0


def test_a_range_of_another_file_is_refused(server, ask, tmp_path):
    (tmp_path / "a.pth.part").write_bytes(CONTENT[:1000])
    server.files["/a.pth"] = CONTENT[:200_000]
    says = failure(ask)
    assert "it offers bytes 1000-199999/200000, not bytes 1000-299999/300000" in says
    server.files["/a.pth"] = CONTENT[:500]
    assert "status 416" in failure(ask)
    server.files["/a.pth"] = CONTENT
    ask()
    assert (tmp_path / "a.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("number", [403, 404, 500, 503])
def test_an_error_page_is_no_file(server, ask, tmp_path, number):
    server.faults["/a.pth"] = [status(number)]
    says = failure(ask)
    assert f"localhost: status {number}" in says
    assert "give another source" in says
    assert names(tmp_path) == []


def test_redirects_within_https(server, ask, tmp_path):
    server.faults["/moved"] = [redirect("/again"), redirect("/again")]
    server.faults["/again"] = [redirect(server.url("/a.pth?secret=1"))]
    ask("/moved")
    assert [path for path, _ in server.asked] == ["/moved", "/again", "/a.pth"]
    assert (tmp_path / "a.pth").read_bytes() == CONTENT


def test_no_redirect_to_http(server, ask, tmp_path):
    with https_server.serving(tmp_path, tls=False) as plain:
        plain.files["/a.pth"] = CONTENT
        server.faults["/a.pth"] = [redirect(f"http://localhost:{plain.port}/a.pth")]
        says = failure(ask)
    assert "it redirects to http: instead of https:" in says
    assert plain.asked == []
    assert not (tmp_path / "a.pth").exists()
    server.faults["/a.pth"] = [redirect("file:///etc/passwd")]
    assert "it redirects to file: instead of https:" in failure(ask)


def test_redirects_in_a_circle(server, ask):
    server.faults["/a.pth"] = [redirect("/a.pth")] * 50
    assert "it redirects more than 10 times" in failure(ask)


def test_a_certificate_that_nobody_vouches_for(server, ask, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    says = failure(ask)
    assert "no trusted https connection" in says
    assert "CERTIFICATE_VERIFY_FAILED" in says
    assert server.asked == []


def test_no_server_and_no_such_host(server, ask):
    assert "127.0.0.1: the connection failed" in failure(ask, "https://127.0.0.1:9/a.pth")
    assert "the connection failed" in failure(ask, "https://nowhere.invalid/a.pth")


def test_silence_ends_the_download_and_keeps_the_part(server, ask, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT", 0.3)
    (tmp_path / "a.pth.part").write_bytes(b"")
    server.faults["/a.pth"] = [silence(1.5)]
    says = failure(ask)
    assert "timed out" in says
    ask()
    assert (tmp_path / "a.pth").read_bytes() == CONTENT


def test_a_trickle_ends_the_download(server, ask, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_PERIOD", 0.3)
    server.faults["/a.pth"] = [trickle(0.05)]
    says = failure(ask)
    assert "too slow: " in says
    got = part(tmp_path)
    assert 0 < len(got) < 50
    assert CONTENT.startswith(got)


def test_a_slow_server_that_is_fast_enough(server, ask, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_PERIOD", 0.1)
    server.faults["/a.pth"] = [trickle(0.02, at_once=20_000)]
    ask()
    assert (tmp_path / "a.pth").read_bytes() == CONTENT


def test_the_next_source_continues(server, ask, tmp_path):
    server.files["/b.pth"] = CONTENT
    server.faults["/a.pth"] = [cut_off(1000)]
    lines = ask("/a.pth", "/b.pth")
    assert len(lines) == 1
    assert lines[0].startswith("localhost: ")
    assert lines[0].endswith("; trying localhost")
    assert server.asked == [("/a.pth", None), ("/b.pth", "bytes=1000-")]
    assert (tmp_path / "a.pth").read_bytes() == CONTENT
    says = failure(ask, "/c.pth", "/d.pth")
    assert says.count("localhost: status 404") == 2


def test_a_mirror_comes_first(server, ask, monkeypatch):
    server.files["/mirror/a.pth"] = CONTENT
    monkeypatch.setenv(download.MIRROR, server.url("/mirror/"))
    ask("https://nowhere.invalid/x/a.pth?dl=1")
    assert server.asked == [("/mirror/a.pth", None)]


def test_a_mirror_of_the_hub(server, ask, tmp_path, monkeypatch):
    server.files["/someone/x/resolve/main/a.pth"] = CONTENT
    monkeypatch.setenv(download.HUB_MIRROR, server.url(""))
    ask("https://huggingface.co/someone/x/resolve/main/a.pth")
    assert (tmp_path / "a.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("name", [download.MIRROR, download.HUB_MIRROR])
def test_a_mirror_without_https_is_refused(server, ask, monkeypatch, name):
    monkeypatch.setenv(name, "http://localhost:1")
    assert f"{name}=http://localhost:1: give an address that starts with https://" in failure(ask)
    assert server.asked == []


def test_a_proxy_of_the_environment_is_used(server, ask, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.delenv("no_proxy", raising=False)
    assert "proxy" in failure(ask)
    assert server.asked == []


def test_no_room_is_said_before_the_download(server, ask, monkeypatch, tmp_path):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage)
    says = failure(ask)
    assert "has 1000 bytes left, and 300000 are needed" in says
    assert "COLORJAX_CACHE" in says
    assert server.asked == []


def test_a_disk_that_fills_keeps_the_part(server, ask, monkeypatch, tmp_path):
    class Full(io.FileIO):
        def write(self, chunk):
            if self.tell() + len(chunk) > 50_000:
                raise OSError(28, "No space left on device")
            return super().write(chunk)

    monkeypatch.setattr(download, "_CHUNK", 20_000)
    monkeypatch.setattr(download, "open", lambda path, mode: Full(path, mode), raising=False)
    says = failure(ask)
    assert "No space left on device" in says
    assert "make room" in says
    assert "bytes are kept, and the same command continues" in says
    monkeypatch.undo()
    assert 0 < len(part(tmp_path)) <= 50_000
    assert CONTENT.startswith(part(tmp_path))


def test_a_folder_without_the_right_to_write(ask, monkeypatch, tmp_path):
    def refuse(path, mode):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(download, "open", refuse, raising=False)
    assert "cannot be written (Permission denied); set COLORJAX_CACHE" in failure(ask)


def test_the_secret_of_a_redirect_is_not_printed(server, ask):
    server.faults["/a.pth"] = [redirect(server.url("/gone?signature=SECRET"))]
    assert "SECRET" not in failure(ask)
