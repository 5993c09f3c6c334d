"""`colorjax serve` as a program: token file, ports, signals, messages."""

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys

import pytest
from helpers.page_program import ENVIRONMENT, program

from colorjax.cli import main as cli
from colorjax.serve import run


def refused(capsys, *args):
    assert cli.run(["serve", "--no-browser", *map(str, args)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("colorjax: ")
    assert error.count("\n") == 1
    return error


def test_wrong_requests_are_one_line(album, tmp_path, capsys):
    assert "does not exist" in refused(capsys, tmp_path / "nothing")
    assert "--port" in refused(capsys, "--port", "99999")
    assert "--max-pixels" in refused(capsys, "--max-pixels", "0")
    assert "standard input" in refused(capsys, "-")
    assert "names a picture" in refused(capsys, "--output", tmp_path / "x.jpg")
    assert "not found" in refused(capsys, "--checkpoint", tmp_path / "none")
    assert "--i-know" in refused(capsys, "--host", "192.0.2.1")
    assert "not an address" in refused(capsys, "--host", "192.0.2.1", "--i-know")
    assert "--i-know" in refused(capsys, "--host", "0.0.0.0")
    assert "is empty" in refused(capsys, "--host", "", "--i-know")
    error = refused(capsys, "--token-file", tmp_path / "no folder" / "token")
    assert "--token-file" in error


def test_a_port_in_use_is_named(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} is in use" in refused(capsys, "--port", port)


def test_the_missing_extra_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'colorjax[page]'" in refused(capsys)


def test_private_folders_of_killed_servers_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(run.tempfile, "gettempdir", lambda: str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (
        f"colorjax-page-{dead.pid}-x",
        f"colorjax-page-{os.getppid()}-y",
        "colorjax-page-z",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.upload").write_bytes(b"x")
    run.remove_left_over()
    assert sorted(os.listdir(tmp_path)) == [f"colorjax-page-{os.getppid()}-y", "colorjax-page-z"]


@pytest.mark.slow
def test_token_file_second_server_and_ctrl_c(album, semantic_workdir, tmp_path):
    file = tmp_path / "token"
    args = (album, "--checkpoint", semantic_workdir)
    with program(tmp_path, *args, "--token-file", file) as (process, page):
        assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
        assert file.read_text() == f"{page.token}\n"
        with program(tmp_path, *args) as (_, other):  # another port, another token
            assert other.port != page.port
            assert other.token != page.token
        content = page.bytes("PUT", "/v1/colorize", raw=(album / "b.jpg").read_bytes())
        assert content[:3] == b"\xff\xd8\xff"
        private = [p for p in os.listdir("/tmp") if p.startswith("colorjax-page-")]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        error = process.stderr.read().decode()
        assert "stopped; sessions are saved" in error
        assert "Traceback" not in error
        assert not file.exists()
    left = [p for p in private if os.path.exists(f"/tmp/{p}/")]
    assert len(left) < len(private)


@pytest.mark.slow
def test_ctrl_c_during_a_folder_leaves_whole_files(album, semantic_workdir, tmp_path):
    with program(tmp_path, album, "--checkpoint", semantic_workdir) as (process, page):
        page.json("POST", "/api/batch", {"state": {}}, status=202)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    from PIL import Image

    for path in album.iterdir():
        assert not path.name.endswith(".partial")
        Image.open(path).load()


@pytest.mark.slow
def test_help_loads_no_jax(tmp_path):
    code = (
        "import sys\nfrom colorjax.cli import main\nmain.run(['serve', '--help'])\n"
        "assert not {'jax', 'starlette', 'uvicorn'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "--token-file" in result.stdout


def test_a_container_listens_everywhere_and_answers_for_this_machine_only(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "colorjax", "serve", "--no-browser", "--host", "0.0.0.0"]
    with subprocess.Popen(
        [*command, "--i-know", "--port", str(port)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            first, _, third = (program.stdout.readline() for _ in range(3))
            assert first.startswith(f"colorjax: open http://127.0.0.1:{port}/#")
            assert "listens on 0.0.0.0" in third
            for host, status in ((f"127.0.0.1:{port}", 200), ("0.0.0.0", 403), ("192.0.2.1", 403)):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("GET", "/", headers={"Host": host})
                assert connection.getresponse().status == status, host
                connection.close()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/v1/photos", headers={"Host": f"127.0.0.1:{port}"})
            assert connection.getresponse().status == 403  # no token
            connection.close()
        finally:
            program.terminate()
