"""Proxies in front, by the configurations that are shipped (packaging/proxy): TLS at the proxy, what is live at once, large bodies,
WebSockets, and absolute URLs that lead back through it."""

import base64
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess

import pytest

from ringside import Ringside, wait_for

PROXY = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "packaging/proxy")
TEXT = {"content-type": "text/plain"}
ANYBODY = ssl._create_unverified_context()  # pylint: disable=protected-access


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return str(path)


def changed(name, *changes):
    with open(os.path.join(PROXY, name), encoding="ascii") as file:
        text = file.read()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx(d, port, backend, pair):
    site = changed("nginx.conf", ("127.0.0.1:4437", backend), ("listen 443", f"listen 127.0.0.1:{port}"), ("arena.example;", "localhost;"),
                   ("/etc/ssl/arena.example.pem", pair[0]), ("/etc/ssl/private/arena.example.key", pair[1]))
    temporary = "".join(f"{kind}_temp_path {d}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = write(d / "nginx.conf", f"daemon off; pid {d}/pid; error_log {d}/log; events {{}}\nhttp {{ access_log off; {temporary}\n{site}}}\n")
    return ["nginx", "-c", conf, "-e", f"{d}/log"]


def caddy(d, port, backend, pair):
    site = changed("Caddyfile", ("127.0.0.1:4437", backend), ("arena.example {", f"https://localhost:{port} {{\n\ttls {pair[0]} {pair[1]}"))
    return ["caddy", "run", "--adapter", "caddyfile", "--config",
            write(d / "Caddyfile", "{\n\tadmin off\n\tauto_https off\n}\n" + site)]


def haproxy(d, port, backend, pair):
    both = write(d / "both.pem", "".join(open(path, encoding="ascii").read() for path in pair))
    return ["haproxy", "-db", "-f", write(d / "haproxy.cfg", changed("haproxy.cfg", ("127.0.0.1:4437", backend), (
        "bind :443", f"bind 127.0.0.1:{port}"), ("/etc/haproxy/arena.example.pem", both)))]


@pytest.fixture(scope="module", params=[nginx, caddy, haproxy], ids=lambda proxy: proxy.__name__)
def port(request, tmp_path_factory):
    """Of the proxy, a Ringside behind it."""
    d = tmp_path_factory.mktemp(request.param.__name__)
    pair = (str(d / "cert.pem"), str(d / "key.pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", pair[1], "-out", pair[0]], check=True, capture_output=True)
    with Ringside("--http-trust-forwarded=true", "--limits-body-bytes=4M", "--store-ring-bytes=32M") as r:
        listen = free_port()
        log = d / "output"
        with open(log, "wb") as file:
            process = subprocess.Popen(request.param(d, listen, f"127.0.0.1:{r.address()[1]}", pair), stdout=file, stderr=file,
                                       env={**os.environ, "HOME": str(d)})
        try:
            def serves():
                assert process.poll() is None, log.read_text(errors="replace")
                try:
                    return ask(listen, "GET", "/readyz")[0] == 200
                except OSError:
                    return False
            wait_for(serves, request.param.__name__)
            yield listen
        finally:
            process.kill()  # else Caddy waits for whoever follows
            process.wait()
            shutil.rmtree(d, ignore_errors=True)


def ask(port, method, path, body=None, headers=None):
    connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=ANYBODY)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    got = answer.status, answer.headers, answer.read()
    connection.close()
    return got


def test_absolute_urls_lead_back(port):
    status, headers, _ = ask(port, "PUT", "/v1/stream/made", b"", TEXT)
    assert (status, headers["location"]) == (201, f"https://localhost:{port}/v1/stream/made")


def test_a_large_body_passes(port):
    body = os.urandom(3 << 20)
    headers = {"content-type": "application/octet-stream"}
    assert ask(port, "PUT", "/v1/stream/large", body, headers)[0] == 201
    assert ask(port, "GET", "/v1/stream/large?offset=-1")[2] == body


def test_what_is_live_comes_at_once(port):
    assert ask(port, "PUT", "/v1/stream/live", b"", TEXT)[0] == 201
    reader = http.client.HTTPSConnection("localhost", port, timeout=20, context=ANYBODY)
    reader.request("GET", "/v1/stream/live?offset=-1&live=sse")
    answer = reader.getresponse()
    assert answer.status == 200
    for text in (b"one", b"two", b"three"):
        assert ask(port, "POST", "/v1/stream/live", text, TEXT)[0] == 204
        while text not in answer.fp.readline():  # the answer goes on: only what has come can be read
            pass
    reader.close()


def test_websockets_pass(port):
    key = base64.b64encode(os.urandom(16)).decode()
    with ANYBODY.wrap_socket(socket.create_connection(("localhost", port), 20), server_hostname="localhost") as s:
        s.sendall((f"GET /v1/ws HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: ringside.streams.v1\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += s.recv(4096)
        assert re.match(rb"HTTP/1.1 101 ", head), head
