"""The HTTP worker through real sockets: hostile requests, limits, pipelining, time limits, drain."""

import re
import socket
import time

import pytest

from ringside import Ringside

HOST = b"Host: x\r\n"


@pytest.fixture(scope="module")
def r():
    with Ringside("--http-header-timeout=1s", "--http-body-timeout=1s", "--limits-header-bytes=4k",
                  "--limits-url-bytes=1k", "--limits-headers=20", "--limits-body-bytes=64k") as ringside:
        ringside.request("PUT", "/v1/stream/h", headers={"content-type": "text/plain"})
        yield ringside


def exchange(r, data, pause=0.0, timeout=5, half_close=False):
    """Sends bytes, returns everything that comes until the server closes or goes quiet."""
    with r.connect(timeout) as s:
        for part in data if isinstance(data, list) else [data]:
            s.sendall(part)
            if pause:
                time.sleep(pause)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        out = b""
        s.settimeout(timeout)
        try:
            while True:
                got = s.recv(65536)
                if not got:
                    return out
                out += got
                s.settimeout(0.3)
        except (socket.timeout, TimeoutError):
            return out
        except ConnectionResetError:
            return out


def statuses(answer):
    return [int(s) for s in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


HOSTILE = [
    (b"GET // HTTP/1.1\r\n" + HOST, 400),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n", 400),
    (b"GET / HTTP/1.1\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400),
    (b"GET  / HTTP/1.1\r\n" + HOST, 400),
    (b"GET /\x00 HTTP/1.1\r\n" + HOST, 400),
    (b"GET /#x HTTP/1.1\r\n" + HOST, 400),
    (b"GET x HTTP/1.1\r\n" + HOST, 400),
    (b"GET * HTTP/1.1\r\n" + HOST, 400),
    (b"G\x01T / HTTP/1.1\r\n" + HOST, 400),
    (b"GET / HTTP/1.1\n" + HOST, 400),
    (b"GET / HTTP/2.0\r\n" + HOST, 505),
    (b"GET / HTTX/1.1\r\n" + HOST, 400),
    (b"GET /\r\n" + HOST, 400),
    (b"GET / HTTP/1.1\r\nHost : x\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b" folded: x\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n c\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"nocolon\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\x00c\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\rc\r\n", 400),
    (b"POST /v1/stream/h HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n", 400),
    (b"POST /v1/stream/h HTTP/1.1\r\n" + HOST + b"Content-Length: 3, 3\r\n", 400),
    (b"POST /v1/stream/h HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n", 400),
    (b"POST /v1/stream/h HTTP/1.1\r\n" + HOST + b"Content-Length: 0x3\r\n", 400),
    (b"POST /v1/stream/h HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
    (b"POST /v1/stream/h HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n", 400),
    (b"POST /v1/stream/h HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, gzip\r\n", 400),
    (b"POST /v1/stream/h HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n", 501),
    (b"POST /v1/stream/h HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
    (b"POST /v1/stream/h HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", 400),
    (b"POST /v1/stream/h HTTP/1.1\r\n" + HOST + b"Producer-Id: a\r\nProducer-Id: b\r\n", 400),
    (b"POST /v1/stream/h HTTP/1.1\r\n" + HOST + b"Expect: tea\r\n", 417),
    (b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\n" + HOST, 414),
    (b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"b" * 5000 + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 30, 431),
    (b"PATCH /v1/stream/h HTTP/1.1\r\n" + HOST, 405),
    (b"BREW /v1/stream/h HTTP/1.1\r\n" + HOST, 501),
    (b"GET /nothing HTTP/1.1\r\n" + HOST, 404),
]


@pytest.mark.parametrize("head,status", HOSTILE, ids=[str(i) for i in range(len(HOSTILE))])
def test_hostile_head(r, head, status):
    answer = exchange(r, head + b"\r\n")
    assert statuses(answer) == [status], answer
    assert b"x-content-type-options: nosniff" in answer


def test_split_at_every_byte(r):
    request = (b"POST /v1/stream/h HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
               b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n")
    before = r.request("GET", "/v1/stream/h")[2]
    for cut in range(1, len(request)):
        with r.connect() as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall(request[:cut])
            s.sendall(request[cut:])
            assert s.recv(4096).startswith(b"HTTP/1.1 204"), cut
    after = r.request("GET", "/v1/stream/h")[2]
    assert after == before + b"abcde" * (len(request) - 1)


def test_pipelined_answers_come_in_order(r):
    post = b"POST /v1/stream/h HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n"
    bad = b"POST /v1/stream/nowhere HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n"
    head = b"HEAD /v1/stream/h HTTP/1.1\r\nHost: x\r\n\r\n"
    data = (post + b"a" + bad + b"b" + post + b"c" + head) * 50
    assert statuses(exchange(r, data)) == [204, 404, 204, 200] * 50


def test_body_too_large_is_refused_before_it_is_read(r):
    head = b"POST /v1/stream/h HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 70000\r\n"
    assert statuses(exchange(r, head + b"\r\n")) == [413]
    assert statuses(exchange(r, head + b"Expect: 100-continue\r\n\r\n")) == [413]
    chunked = (b"POST /v1/stream/h HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
               b"Transfer-Encoding: chunked\r\n\r\n" + (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 5 + b"0\r\n\r\n")
    assert statuses(exchange(r, chunked)) == [413]


def test_continue_is_answered(r):
    head = (b"POST /v1/stream/h HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n"
            b"Expect: 100-continue\r\n\r\n")
    assert statuses(exchange(r, [head, b"ok"], pause=0.2)) == [100, 204]


def test_malformed_chunks(r):
    head = b"POST /v1/stream/h HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    for body in (b"g\r\n", b"\r\n", b"-1\r\n", b"1\nx\r\n0\r\n\r\n", b"1\r\nxy\r\n", b"f" * 17 + b"\r\n",
                 b"1" + b";" * 300 + b"\r\n", b"0\r\nbad trailer\x01\r\n\r\n"):
        assert statuses(exchange(r, head + body)) == [400], body


def test_slow_head_and_slow_body_time_out(r):
    assert statuses(exchange(r, b"GET / HT", timeout=4)) == [408]
    assert statuses(exchange(r, b"POST /v1/stream/h HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
                                b"Content-Length: 9\r\n\r\nabc", timeout=4)) == [408]


def test_half_closed_client_gets_its_answer(r):
    assert statuses(exchange(r, b"GET /v1/stream/h HTTP/1.1\r\nHost: x\r\n\r\n", half_close=True)) == [200]


def test_http_1_0(r):
    answer = exchange(r, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert statuses(answer) == [200] and b"connection: close" in answer
    answer = exchange(r, b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
    assert statuses(answer) == [200, 200]


def test_errors_name_the_method(r):
    answer = exchange(r, b"DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert statuses(answer) == [405] and b"allow: GET, HEAD" in answer


def test_metrics_and_readiness(r):
    assert "ringside_requests_total" in r.get("/metrics")
    assert '"ready":true' in r.get("/readyz")


def test_drain_finishes_what_runs(r):
    with Ringside(workers=1) as own:
        own.request("PUT", "/v1/stream/d", headers={"content-type": "text/plain"})
        with own.connect() as s:
            s.sendall(b"GET /v1/stream/d?offset=now&live=sse HTTP/1.1\r\nHost: x\r\n\r\n")
            while b"upToDate" not in s.recv(4096):
                pass
            own.signal(15)
            out = b""
            while True:
                got = s.recv(4096)
                if not got:
                    break
                out += got
            assert out.endswith(b"0\r\n\r\n")  # ended, not cut
        assert own.wait_exit() == 0


def test_closed_without_tokens():
    with Ringside("--dev=false") as closed:
        assert closed.request("GET", "/v1/stream/x")[0] == 503
        assert closed.request("GET", "/healthz")[0] == 200
    with Ringside("--dev=false", "--auth-publish-tokens=pub", "--auth-subscribe-tokens=sub") as r2:
        put = {"content-type": "text/plain"}
        assert r2.request("PUT", "/v1/stream/x", headers=put)[0] == 401
        assert r2.request("PUT", "/v1/stream/x", headers={**put, "authorization": "Bearer sub"})[0] == 401
        assert r2.request("PUT", "/v1/stream/x", headers={**put, "authorization": "Bearer pub"})[0] == 201
        assert r2.request("GET", "/v1/stream/x", headers={"authorization": "Bearer sub"})[0] == 200
        status, headers, _ = r2.request("GET", "/v1/stream/x", headers={"authorization": "Bearer nope"})
        assert status == 401 and headers["www-authenticate"].startswith("Bearer")
