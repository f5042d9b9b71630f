"""What is a request, and how many of them? Asked of Ringside and of Node's HTTP server with the same bytes. Two that
disagree, one behind the other, are what requests are smuggled through; where we differ on purpose the row says why."""

import os
import re
import shutil
import socket
import subprocess

import pytest

from ringside import Ringside

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no Node to compare with")
HERE = os.path.dirname(os.path.abspath(__file__))
HOST = b"Host: h\r\n"
END = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"  # a second request: is it seen as one?
STRICTER, LOOSER = "we are stricter", "we are looser"


def get(*lines, version=b"1.1", target=b"/healthz", method=b"GET"):
    return method + b" " + target + b" HTTP/" + version + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(*lines, body=b""):
    return get(b"Host: h", b"Content-Type: text/plain", *lines, method=b"POST", target=b"/v1/stream/peer") + body


WHOLE = b"3\r\nabc\r\n0\r\n\r\n"
# name, bytes, None or (in which direction we differ, why)
ROWS = [
    ("plain", get(b"Host: h") + END, None),
    ("two at once", get(b"Host: h") * 2 + END, None),
    ("empty lines before", b"\r\n\r\n" + get(b"Host: h") + END, None),
    ("no host", get() + END, None),
    ("two hosts", get(b"Host: a", b"Host: b") + END, (STRICTER, "RFC 9112 3.2: 400 for more than one Host")),
    ("host with a space", get(b"Host: a b") + END, (STRICTER, "RFC 9112 3.2: 400 for an invalid Host")),
    ("empty host", get(b"Host:") + END, (STRICTER, "RFC 9110 4.2.1: an http URI names a host")),
    ("bare LF", b"GET /healthz HTTP/1.1\nHost: h\n\n" + END, None),
    ("bare CR in a value", get(b"Host: h", b"A: b\rc") + END, None),
    ("NUL in a value", get(b"Host: h", b"A: b\0c") + END, None),
    ("control in a value", get(b"Host: h", b"A: b\x01c") + END, None),
    ("tab in a value", get(b"Host: h", b"A: b\tc") + END, None),
    ("bytes above 127 in a value", get(b"Host: h", b"A: \xff\xfe") + END, None),
    ("folded line", get(b"Host: h", b"A: b", b" c") + END, None),
    ("space before the colon", get(b"Host: h", b"A : b") + END, None),
    ("space before the name", get(b" Host: h") + END, None),
    ("no name", get(b"Host: h", b": b") + END, None),
    ("no colon", get(b"Host: h", b"nonsense") + END, None),
    ("name with a paren", get(b"Host: h", b"A(b): c") + END, None),
    ("name above 127", get(b"Host: h", b"\xc3\xa4: c") + END, None),
    ("version 1.0", get(b"Host: h", b"Connection: keep-alive", version=b"1.0") + END,
     (LOOSER, "keep-alive of 1.0 is kept; Node closes")),
    ("version 2.0", get(b"Host: h", version=b"2.0") + END, None),
    ("version 1.2", get(b"Host: h", version=b"1.2") + END, (LOOSER, "RFC 9110 2.5: a higher minor version is a 1.1")),
    ("version 0.9", get(b"Host: h", version=b"0.9") + END, None),
    ("version x", get(b"Host: h", version=b"x") + END, None),
    ("no version", b"GET /healthz\r\n\r\n", (STRICTER, "HTTP/0.9 is not spoken")),
    ("lower case http", b"GET /healthz http/1.1\r\nHost: h\r\n\r\n" + END, None),
    ("two spaces in the line", b"GET  /healthz HTTP/1.1\r\nHost: h\r\n\r\n" + END,
     (STRICTER, "RFC 9112 3: single spaces")),
    ("a space in the target", b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n" + END, None),
    ("a tab in the target", b"GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n" + END, None),
    ("a control in the target", b"GET /a\x01b HTTP/1.1\r\nHost: h\r\n\r\n" + END, None),
    ("double slash", get(b"Host: h", target=b"//") + END, (STRICTER, "a target without an authority is refused")),
    ("absolute target", get(b"Host: h", target=b"http://h/healthz") + END, None),
    ("length", post(b"Content-Length: 3", body=b"abc") + END, None),
    ("two lengths, one value", post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc") + END, None),
    ("two lengths, two values", post(b"Content-Length: 3", b"Content-Length: 4", body=b"abc") + END, None),
    ("a list of lengths", post(b"Content-Length: 3, 3", body=b"abc") + END, None),
    ("length with a sign", post(b"Content-Length: +3", body=b"abc") + END, None),
    ("length below zero", post(b"Content-Length: -3", body=b"abc") + END, None),
    ("length in hexadecimal", post(b"Content-Length: 0x3", body=b"abc") + END, None),
    ("length with a space in it", post(b"Content-Length: 1 1", body=b"abc") + END, None),
    ("length beyond 64 bits", post(b"Content-Length: 99999999999999999999999", body=b"abc") + END, None),
    ("no length", post(b"Content-Length:", body=b"") + END, None),
    ("length and chunked", post(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=WHOLE) + END, None),
    ("chunked", post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n") + END, None),
    ("Chunked", post(b"Transfer-Encoding: CHUNKED", body=WHOLE) + END, None),
    ("chunked twice", post(b"Transfer-Encoding: chunked, chunked", body=WHOLE) + END, None),
    ("chunked, two fields", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=WHOLE) + END, None),
    ("chunked not last", post(b"Transfer-Encoding: chunked, gzip", body=WHOLE) + END, None),
    ("gzip, chunked", post(b"Transfer-Encoding: gzip, chunked", body=WHOLE) + END,
     (STRICTER, "RFC 9112 6.1: 501 for a coding that is not understood")),
    ("identity", post(b"Transfer-Encoding: identity", body=b"") + END, None),
    ("chunked with a tail", post(b"Transfer-Encoding: xchunked", body=WHOLE) + END, None),
    ("chunked behind a tab", post(b"Transfer-Encoding:\tchunked", body=WHOLE) + END, None),
    ("chunk of bad size", post(b"Transfer-Encoding: chunked", body=b"g\r\nabc\r\n0\r\n\r\n") + END, None),
    ("chunk size with 0x", post(b"Transfer-Encoding: chunked", body=b"0x3\r\nabc\r\n0\r\n\r\n") + END, None),
    ("chunk size with a space", post(b"Transfer-Encoding: chunked", body=b"3 \r\nabc\r\n0\r\n\r\n") + END, None),
    ("chunk size too large", post(b"Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\nabc") + END, None),
    ("chunk without CRLF behind it", post(b"Transfer-Encoding: chunked", body=b"3\r\nabcX\r\n0\r\n\r\n") + END, None),
    ("chunk ends in LF", post(b"Transfer-Encoding: chunked", body=b"3\nabc\n0\n\n") + END, None),
    ("chunk extension", post(b"Transfer-Encoding: chunked", body=b"3;a=b\r\nabc\r\n0\r\n\r\n") + END, None),
    ("LF in a chunk extension", post(b"Transfer-Encoding: chunked", body=b"3;a\nb\r\nabc\r\n0\r\n\r\n") + END, None),
    ("trailer", post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\nA: b\r\n\r\n") + END, None),
    ("body that looks like a request", post(b"Content-Length: %d" % len(END), body=END) + END, None),
    ("method in lower case", get(b"Host: h", method=b"get") + END, (LOOSER, "a method like any other: 501, and the next is read")),
    ("method of a separator", get(b"Host: h", method=b"G(T") + END, None),
    ("method unknown", get(b"Host: h", method=b"BREW") + END, (LOOSER, "a method like any other: 501, and the next is read")),
]


@pytest.fixture(scope="module")
def peers():
    node = subprocess.Popen(["node", os.path.join(HERE, "node_http.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True)
    port = int(node.stdout.readline())
    with Ringside(workers=1) as r:
        assert r.request("PUT", "/v1/stream/peer", headers={"content-type": "text/plain"})[0] == 201
        yield r.address(), ("127.0.0.1", port)
    node.stdin.close()
    node.wait(10)


def requests_seen(address, data):
    """(how many of these bytes' requests were taken for such, what was answered)."""
    with socket.create_connection(address, 10) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := s.recv(65536):
            answer += chunk
    statuses = [int(n) for n in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]
    # 501 is our answer to an unknown method, which is a request, and to an unknown transfer coding, which ends all.
    none = (400, 408, 413, 414, 431, 505) + ((501,) if statuses[-1:] == [501] else ())
    return len([n for n in statuses if n not in none]), statuses


@pytest.mark.parametrize("name, data, difference", ROWS, ids=[row[0] for row in ROWS])
def test_the_same_bytes_are_the_same_requests(peers, name, data, difference):
    ours, our_statuses = requests_seen(peers[0], data)
    theirs, their_statuses = requests_seen(peers[1], data)
    said = (name, our_statuses, their_statuses)
    if difference is None:
        assert ours == theirs, said
    elif difference[0] == STRICTER:
        assert ours < theirs, said
    else:
        assert ours > theirs, said
