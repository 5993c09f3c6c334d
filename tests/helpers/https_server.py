"""A local https server with a certificate of its own, and the faults that downloads meet.

with serving(folder) as server: server.url("/file")
"""

import contextlib
import datetime
import ipaddress
import re
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def write_certificate(folder):
    """Writes a self-signed certificate for localhost; returns the files of it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


class Server:
    """The files that are served, the faults, and what was asked.

    Attributes:
        files: path -> content.
        faults: path -> list of faults, one for each answer: a function of the handler that returns
            whether it answered. Without one left the answer is as it should be.
        asked: (path, Range header) of each request.
        resumes: whether it answers to Range.
    """

    def __init__(self, certificate):
        self.certificate = certificate
        self.files, self.faults, self.asked = {}, {}, []
        self.resumes = True
        self.port = 0

    def url(self, path):
        return f"https://localhost:{self.port}{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: Server

    def do_GET(self):
        state, path = self.server_state, self.path.partition("?")[0]
        state.asked.append((path, self.headers.get("Range")))
        self.close_connection = True
        faults = state.faults.get(path, [])
        with contextlib.suppress(OSError):  # clients hang up as they like
            if faults and faults.pop(0)(self):
                return
            content = state.files.get(path)
            if content is None:
                self.answer(404, b"no such file")
                return
            self.content(content)

    def content(self, content):
        """Answers with a file, or the part of it that is asked for."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not (asked and self.server_state.resumes):
            self.answer(200, content)
            return
        first, total = int(asked[1]), len(content)
        if first >= total:
            self.answer(416, b"")
            return
        given = {"Content-Range": f"bytes {first}-{total - 1}/{total}"}
        self.answer(206, content[first:], given)

    def answer(self, status, content, headers=None, *, length=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if length != "":
            self.send_header("Content-Length", str(len(content) if length is None else length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


def cut_off(after):
    """The connection ends in the middle."""

    def fault(handler):
        content = handler.server_state.files[handler.path]
        handler.answer(200, content[:after], length=len(content))
        return True

    return fault


def status(number):
    def fault(handler):
        handler.answer(number, b"an error page")
        return True

    return fault


def redirect(target):
    def fault(handler):
        handler.answer(302, b"", {"Location": target})
        return True

    return fault


def other(content, *, length=None):
    """Another content; with `length=""` without Content-Length."""

    def fault(handler):
        handler.answer(200, content, length=length)
        return True

    return fault


def trickle(pause, at_once=1):
    """A few bytes at a time."""

    def fault(handler):
        content = handler.server_state.files[handler.path]
        handler.answer(200, b"", length=len(content))
        for start in range(0, len(content), at_once):
            handler.wfile.write(content[start : start + at_once])
            handler.wfile.flush()
            time.sleep(pause)
        return True

    return fault


def silence(seconds):
    """Nothing for some time, after the headers."""

    def fault(handler):
        handler.answer(200, b"", length=len(handler.server_state.files[handler.path]))
        time.sleep(seconds)
        return True

    return fault


@contextlib.contextmanager
def serving(folder, *, tls=True):
    """Serves until left; the certificate is written to the folder."""
    files = write_certificate(folder)
    state = Server(files[0])
    handler = type("Handler", (_Handler,), {"server_state": state})
    server = ThreadingHTTPServer(("localhost", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    state.port = server.server_port
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    ).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
