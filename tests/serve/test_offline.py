"""No request leaves the machine: every address of every system call is of this machine."""

import re
import shutil

import pytest
from helpers.page_program import program

STATE = {"strokes": [{"kind": "hint", "x": 10, "y": 10, "color": "#c04030", "region": None}]}
_LOCAL = ("127.0.0.1", "::1", "0.0.0.0")


def session(page):
    """What a user does: open, hint, suggestions, variants, save."""
    id = page.id("a.png")
    page.json("POST", f"/api/photos/{id}/open", {})
    for call in ("preview", "variants", "ask", "uncertainty"):
        page.bytes("POST", f"/api/photos/{id}/{call}", {"state": STATE, "seq": 1})
    page.json("PUT", f"/api/photos/{id}/session", {"state": STATE, "seq": 1})
    page.json("POST", f"/api/photos/{id}/save", {"state": STATE})


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_request_leaves_the_machine(album, semantic_workdir, tmp_path):
    log = tmp_path / "calls"
    calls = "trace=connect,sendto,sendmsg,bind"
    before = ("strace", "-f", "-qq", "-e", calls, "-o", str(log))
    with program(tmp_path, album, "--checkpoint", semantic_workdir, before=before) as (_, page):
        session(page)
    text = log.read_text()
    addresses = re.findall(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"', text)
    assert addresses  # its own port
    assert {one or other for one, other in addresses} <= set(_LOCAL)
    assert (album / "a.color.png").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_it_works_without_any_network(album, semantic_workdir, tmp_path):
    """In a name space whose only network is its own loopback: the client runs there too."""
    import subprocess
    import sys

    from helpers.page_program import ENVIRONMENT
    from helpers.program import ROOT

    args = [str(path) for path in (tmp_path, album, semantic_workdir)]
    code = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from helpers.page_program import program
from serve.test_offline import session
folder, album, weights = {args!r}
with program(folder, album, "--checkpoint", weights) as (_, page):
    session(page)
print("fine")
"""
    up = 'ip link set lo up 2>/dev/null || ifconfig lo up; exec "$@"'
    command = [
        "unshare",
        "--net",
        "--map-root-user",
        "sh",
        "-c",
        up,
        "sh",
        sys.executable,
        "-c",
        code,
    ]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if "unshare" in result.stderr:
        pytest.skip(f"no network name spaces here: {result.stderr.strip()}")
    assert result.stdout == "fine\n", result.stderr
    assert (album / "a.color.png").exists()
