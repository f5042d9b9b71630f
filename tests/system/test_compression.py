"""Catch-up reads with a content coding (RFC 9110 8.4), decoded by the tools of each: for who asks, where it is worth it."""

import gzip
import http.client
import json
import os
import random
import re
import socket
import subprocess

import pytest

from ringside import PATIENCE, Ringside, wait_for

JSON, TEXT = {"content-type": "application/json"}, {"content-type": "text/plain"}
CODINGS = ("zstd", "br", "gzip")


def decode(coding, body):
    tool = {"zstd": ["zstd", "-dc"], "br": ["brotli", "-dc"]}.get(coding)
    return gzip.decompress(body) if tool is None else subprocess.run(tool, input=body, capture_output=True, check=True).stdout


def put(r, name, body, kind):
    assert r.request("PUT", f"/v1/stream/{name}", None, kind)[0] == 201
    for at in range(0, len(body), 700000):
        assert r.request("POST", f"/v1/stream/{name}", body[at:at + 700000], kind)[0] == 204


def read(r, name, accept=None, **more):
    headers = {**({"accept-encoding": accept} if accept else {}), **more}
    return r.request("GET", f"/v1/stream/{name}?offset=-1", headers=headers)


def lines(count, seed=1):
    dice = random.Random(seed)
    return "".join(f"{i} hp={dice.randrange(100)} {dice.choice(('hit', 'miss', 'block'))}\n" for i in range(count)).encode()


@pytest.fixture(scope="module")
def r():
    with Ringside(workers=1) as server:
        put(server, "text", lines(120000), TEXT)
        server.request("PUT", "/v1/stream/json", json.dumps([{"n": i, "hp": i % 97} for i in range(9000)]).encode(), JSON)
        yield server


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("name", ["text", "json"])
def test_each_coding_reads_back(r, name, coding):
    status, plain, body = read(r, name)
    assert status == 200 and "content-encoding" not in plain and int(plain["content-length"]) == len(body)
    status, coded, smaller = read(r, name, coding)
    assert status == 200 and coded["content-encoding"] == coding
    assert decode(coding, smaller) == body and len(smaller) < len(body) / 3
    assert "accept-encoding" in plain["vary"] and "accept-encoding" in coded["vary"]
    for header in ("content-type", "stream-next-offset", "stream-up-to-date", "cache-control"):
        assert coded[header] == plain[header]
    # RFC 9110 8.8.3.3: each variant has a tag of its own, and knows no other's.
    assert coded["etag"] != plain["etag"]
    status, again, body = read(r, name, coding, **{"if-none-match": coded["etag"]})
    assert status == 304 and body == b"" and "accept-encoding" in again["vary"] and "content-encoding" not in again
    assert read(r, name, coding, **{"if-none-match": plain["etag"]})[0] == 200
    assert read(r, name, None, **{"if-none-match": plain["etag"]})[0] == 304


def test_the_client_chooses(r):
    for accept, coding in (("gzip, deflate, br, zstd", "zstd"), ("gzip;q=1, br;q=0.9", "gzip"), ("deflate", None),
                           ("identity", None), ("gzip;q=0", None), ("*", "zstd"), ("gzip;q=broken", None)):
        assert read(r, "text", accept)[1].get("content-encoding") == coding, accept


def test_what_would_not_get_smaller_stays(r):
    put(r, "picture", os.urandom(5000), {"content-type": "image/jpeg"})
    put(r, "bytes", bytes(5000), {"content-type": "application/octet-stream"})
    put(r, "short", b"x" * 900, TEXT)
    for name in ("picture", "bytes", "short"):
        status, headers, body = read(r, name, "gzip, br, zstd")
        assert status == 200 and "content-encoding" not in headers and len(body) == int(headers["content-length"])


def test_a_long_poll_is_a_read_too(r):
    put(r, "polled", b"", TEXT)
    tail = r.request("HEAD", "/v1/stream/polled")[1]["stream-next-offset"]
    connection = http.client.HTTPConnection(*r.address(), timeout=PATIENCE)
    connection.request("GET", f"/v1/stream/polled?offset={tail}&live=long-poll", headers={"accept-encoding": "gzip"})
    wait_for(lambda: re.search(r"^ringside_subscribers\{[^}]*\} 1$", r.get("/metrics"), re.M), "it waits")
    assert r.request("POST", "/v1/stream/polled", lines(1000), TEXT)[0] == 204
    answer = connection.getresponse()
    assert answer.status == 200 and answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.read()) == lines(1000)
    connection.close()


def test_beyond_their_number_and_when_they_are_off_reads_are_plain():
    with Ringside("--http-compressions=2", config="log: {level: info}\n") as r:
        noise = random.Random(3)
        put(r, "large", bytes(noise.choice(b"0123456789abcdef") for _ in range(8000000)), TEXT)

        def stalled():
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.settimeout(PATIENCE)
            raw.connect(r.address())
            raw.sendall(b"GET /v1/stream/large?offset=-1 HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\n\r\n")
            head = b""
            while b"\r\n\r\n" not in head:
                head += raw.recv(1000)
            return raw, b"content-encoding: gzip" in head
        held = [stalled() for _ in range(3)]
        assert [coded for _, coded in held] == [True, True, False]
        held[0][0].close()  # in the middle: its place is free

        def place():
            raw, coded = stalled()
            raw.close()
            return coded
        wait_for(place, "a place")
        for raw, _ in held[1:]:
            raw.close()
        with open(r.config, "w", encoding="utf-8") as file:
            file.write("http: {compression: 'off'}\n")
        r.ctl("reload")
        wait_for(lambda: "content-encoding" not in read(r, "large", "gzip")[1], "it is off")


def test_what_is_no_coding_is_refused():
    with Ringside(start=False) as r:
        got = subprocess.run([r.program, "check-config", *r.flags, "--http-compression=zstd,deflate"], capture_output=True,
                             check=False)
        assert got.returncode == 2 and b"must be off, or a list of zstd, br and gzip" in got.stderr
