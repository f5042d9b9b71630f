"""The HTTP worker through real sockets: hostile requests, limits, pipelining, time limits, drain."""

import os
import re
import resource
import socket
import time

import pytest

from ringside import Ringside, wait_for

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
        assert r2.request("PUT", "/v1/stream/x", headers={**put, "authorization": "Bearer sub"})[0] == 403
        assert r2.request("PUT", "/v1/stream/x", headers={**put, "authorization": "Bearer pub"})[0] == 201
        assert r2.request("GET", "/v1/stream/x", headers={"authorization": "Bearer sub"})[0] == 200
        status, headers, _ = r2.request("GET", "/v1/stream/x", headers={"authorization": "Bearer nope"})
        assert status == 401 and headers["www-authenticate"].startswith("Bearer")


def test_who_is_not_known_gets_401_and_who_may_not_403():
    tokens = {"publish_tokens": "pub", "subscribe_tokens": "sub", "source_token": "src", "outputs_token": "out",
              "ledger_token": "led", "session_tokens": "ses", "metrics_token": "met"}
    routes = {("PUT", "/v1/stream/x"): "pub", ("GET", "/v1/stream/x"): "pub sub", ("GET", "/v1/source/arena"): "src",
              ("PUT", "/v1/stream/__ds/subscriptions/s"): "pub", ("GET", "/v1/stream/__ds/subscriptions/s"): "pub sub",
              ("POST", "/stream"): "pub ses", ("GET", "/metrics"): "met", ("GET", "/v1/outputs"): "out",
              ("HEAD", "/v1/events?stream=x"): "pub sub", ("GET", "/v1/markets"): "pub sub",
              ("POST", "/v1/ledger/accounts"): "led", ("POST", "/v1/duels/arena/abort"): "led"}
    with Ringside("--dev=false", "--bet-sync-token=bet", bridge=1, environment={
            f"RINGSIDE_AUTH_{name.upper()}": value for name, value in tokens.items()}) as own:
        wait_for(lambda: own.request("GET", "/v1/source/arena", headers={"authorization": "Bearer src"})[0] == 200, "the feed")
        for (method, path), may in routes.items():
            for token in [None, "", "Basic cHViOg==", "Bearer nobodys"] + ["Bearer " + t for t in tokens.values()]:
                headers = {"content-type": "text/plain", **({} if token is None else {"authorization": token})}
                status, answer, body = own.request(method, path, b"{}" if method in ("POST", "PUT") else None, headers)
                name = (token or "").removeprefix("Bearer ")
                if name in may.split():
                    assert status not in (401, 403), (method, path, token, status, body)
                elif name in tokens.values():
                    assert status == 403, (method, path, token, status, body)
                else:  # the bridge knows no list of tokens: to it, a token that is not the operators' may not
                    assert status == 401 or (status == 403 and may == "led" and name == "nobodys"), (method, path, token, status)
                    if status == 401:
                        assert answer["www-authenticate"].startswith("Bearer realm="), (method, path, token)
        for token in (None, "Bearer pub", "Bearer 1.2.3"):  # a subscription's own token is another thing
            status, answer, _ = own.request("POST", "/v1/stream/__ds/subscriptions/s/ack", b"{}", {
                "content-type": "application/json", **({"authorization": token} if token else {})})
            assert status == 401 and answer["www-authenticate"].startswith("Bearer"), token
        assert 'error="invalid_token"' in own.request("GET", "/v1/stream/x", headers={
            "authorization": "Bearer nobodys"})[1]["www-authenticate"]
        # The official client takes every 403 to a producer for a stale epoch, and repeats without end.
        producer = {"content-type": "text/plain", "producer-id": "p", "producer-epoch": "0", "producer-seq": "0"}
        for path, token in (("x", "sub"), ("feeds/arena/frames", "pub")):
            status, answer, _ = own.request("POST", f"/v1/stream/{path}", b"x", {**producer, "authorization": f"Bearer {token}"})
            assert status == 401 and "www-authenticate" in answer
        assert own.request("POST", "/v1/stream/feeds/arena/frames", b"x", {
            "content-type": "text/plain", "authorization": "Bearer pub"})[0] == 403


def test_a_body_that_is_no_json_is_told_where():
    with Ringside() as own:
        json_type = {"content-type": "application/json"}
        assert own.request("PUT", "/v1/stream/x", headers=json_type)[0] == 201
        for method, path, body, reason in (("POST", "x", b'{"a":1', "unexpected end at byte 7"),
                                           ("POST", "x", b"[1, 2 3]", "comma expected at byte 7"),
                                           ("PUT", "y", b"x", "not a JSON value at byte 1")):
            status, _, answer = own.request(method, f"/v1/stream/{path}", body, json_type)
            assert (status, answer.decode()) == (400, f"the body is no JSON: {reason}\n")
        assert own.request("POST", "/v1/stream/x", b"[]", json_type)[2] == b"an empty array appends nothing\n"


def test_a_method_that_does_not_fit_names_those_that_do():
    with Ringside(bridge=1) as own:
        wait_for(lambda: own.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        for method, path, fits in (
                ("POST", "/v1/source/arena", "GET"), ("GET", "/v1/source/arena/cycle", "POST"),
                ("POST", "/v1/duels/arena", "GET"), ("GET", "/v1/duels/arena/abort", "POST"),
                ("PATCH", "/v1/markets/x", "GET"), ("DELETE", "/v1/ledger/accounts", "POST"), ("PUT", "/v1/events", "GET"),
                ("POST", "/v1/stream/__ds/subscriptions/s", "PUT"), ("GET", "/v1/stream/__ds/subscriptions/s/claim", "POST"),
                ("PUT", "/v1/stream/__ds/subscriptions/s/streams", "POST"), ("DELETE", "/metrics", "GET")):
            status, answer, _ = own.request(method, path, None, {"content-type": "application/json"})
            allowed = [m.strip() for m in answer.get("allow", "").split(",")]
            assert status == 405 and fits in allowed and method not in allowed, (method, path, status, allowed)


def test_what_nobody_may_names_the_setting():
    """A game without its token is refused for ever: its answers say why, and the log does, once."""
    with Ringside("--dev=false", "--auth-publish-tokens=pub", bridge=1) as own:
        for path, setting in (("/v1/source/arena", "auth.source_token"), ("/v1/outputs", "auth.outputs_token"),
                              ("/api/internal/bet-sync/state", "bet_sync.token"),
                              ("/v1/ledger/sums", "auth.ledger_token")):
            for _ in range(3):
                status, answer, body = own.request("GET", path, headers={"authorization": "Bearer pub"})
                assert status == 503 and setting.encode() in body and int(answer["retry-after"]) > 0, (path, body)
        for method, path in (("POST", "/v1/ledger/accounts"), ("POST", "/v1/duels/arena/abort"),
                             ("POST", "/v1/duels/a-feed-that-is-not/abort")):
            status, answer, body = own.request(method, path, b"{}", {"content-type": "application/json"})
            assert status == 503 and b"auth.ledger_token" in body and int(answer["retry-after"]) > 0, (path, body)
        for setting in ("auth.source_token", "auth.outputs_token", "bet_sync.token", "auth.ledger_token"):
            lines = [line for line in own.log().splitlines() if " warn " in line and setting in line]
            assert len(lines) == 1, lines


# ---- faults that were ----

TEXT = b"Host: x\r\nContent-Type: text/plain\r\n"
LENGTHS = re.compile(rb"content-length: (\d+)\r\n(?:[^\r]+\r\n)*\r\n(.*)", re.S)


def whole(r, data, half_close=False, timeout=5):
    """What the server sends until it closes; fails when it does not."""
    with r.connect(timeout) as s:
        s.sendall(data)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        out = b""
        while got := s.recv(65536):
            out += got
        return out


def generation(r):
    return r.worker("sse-0")["generation"]


def test_closing_in_the_turn_of_an_answer_does_not_crash(r):
    before = generation(r)
    for _ in range(20):
        answer = whole(r, b"OPTIONS / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ")
        assert statuses(answer) == [204]
        with r.connect() as s:  # reset in the same turn
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    assert r.get("/healthz") == "ok\n"
    assert generation(r) == before


def test_half_closed_appends_are_answered_and_ended(r):
    post = b"POST /v1/stream/h HTTP/1.1\r\n" + TEXT + b"Content-Length: 1\r\n\r\na"
    assert statuses(whole(r, post, half_close=True)) == [204]
    assert statuses(whole(r, post * 30, half_close=True)) == [204] * 30
    assert statuses(whole(r, post[:-1], half_close=True)) == []  # the body never comes


def test_a_body_that_never_begins_times_out(r):
    answer = whole(r, b"POST /v1/stream/h HTTP/1.1\r\n" + TEXT + b"Content-Length: 9\r\n\r\n")
    assert statuses(answer) == [408]


def test_a_promised_body_reserves_no_memory():
    with Ringside("--limits-body-bytes=1M", "--limits-body-bytes-total=1M") as own:
        own.request("PUT", "/v1/stream/p", headers={"content-type": "text/plain"})
        head = b"POST /v1/stream/p HTTP/1.1\r\n" + TEXT + b"Content-Length: 1000000\r\n\r\n"
        waiting = [own.connect() for _ in range(8)]
        for s in waiting:
            s.sendall(head)
        time.sleep(0.2)
        assert own.request("POST", "/v1/stream/p", b"x" * 100000, {"content-type": "text/plain"})[0] == 204
        for s in waiting:
            s.close()


def test_too_many_bodies_at_once_get_503():
    with Ringside("--limits-body-bytes=1M", "--limits-body-bytes-total=1M") as own:
        own.request("PUT", "/v1/stream/p", headers={"content-type": "text/plain"})
        head = b"POST /v1/stream/p HTTP/1.1\r\n" + TEXT + b"Content-Length: 1000000\r\n\r\n"
        with own.connect() as first:
            first.sendall(head + b"a" * 900000)
            time.sleep(0.3)
            answer = exchange(own, head + b"b" * 900000)
            assert statuses(answer) == [503] and b"retry-after: 1" in answer
            first.sendall(b"a" * 100000)
            assert first.recv(4096).startswith(b"HTTP/1.1 204")


def test_one_connection_too_many_is_told_so():
    with Ringside("--limits-connections=2") as own:
        with own.connect() as a, own.connect() as b:
            for s in (a, b):
                s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert s.recv(4096).startswith(b"HTTP/1.1 200")
            answer = whole(own, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            length, body = LENGTHS.search(answer).groups()
            assert statuses(answer) == [503] and int(length) == len(body)
            for header in (b"retry-after: 1", b"nosniff", b"cache-control: no-store", b"connection: close"):
                assert header in answer
    with Ringside("--limits-connections-per-address=1") as own:
        with own.connect() as a:
            a.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert a.recv(4096).startswith(b"HTTP/1.1 200")
            assert statuses(whole(own, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")) == [429]


def test_a_slow_reader_that_reads_is_not_cut():
    size = 6 << 20
    with Ringside("--http-write-timeout=1s", "--store-ring-bytes=64M", "--limits-body-bytes=8M") as own:
        own.request("PUT", "/v1/stream/big", b"x" * size, {"content-type": "text/plain"})
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            s.settimeout(10)
            s.connect(own.address())
            s.sendall(b"GET /v1/stream/big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got, begin = 0, time.monotonic()
            while time.monotonic() - begin < 5:  # several limits long, a little at a time
                got += len(s.recv(32768))
                time.sleep(0.05)
            while data := s.recv(1 << 20):
                got += len(data)
            assert got > size


def test_a_reader_that_reads_nothing_is_cut():
    size = 6 << 20
    with Ringside("--http-write-timeout=1s", "--store-ring-bytes=64M", "--limits-body-bytes=8M") as own:
        own.request("PUT", "/v1/stream/big", b"x" * size, {"content-type": "text/plain"})
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            s.settimeout(10)
            s.connect(own.address())
            s.sendall(b"GET /v1/stream/big HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(4)
            got = 0
            try:
                while data := s.recv(1 << 20):
                    got += len(data)
            except ConnectionResetError:
                pass
            assert got < size


def test_long_pipelines_finish(r):
    get = b"GET /v1/stream/h HTTP/1.1\r\nHost: x\r\n\r\n"
    post = b"POST /v1/stream/h HTTP/1.1\r\n" + TEXT + b"Content-Length: 1\r\n\r\na"
    with r.connect() as s:
        s.sendall((get + post) * 300)
        out = b""
        while len(statuses(out)) < 600:
            got = s.recv(1 << 20)
            assert got
            out += got
        assert statuses(out) == [200, 204] * 300
    assert statuses(whole(r, post * 1000, half_close=True)) == [204] * 1000


def test_answers_carry_the_date(r):
    answer = exchange(r, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert re.search(rb"\r\ndate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", answer)


def test_a_body_by_drops_is_not_waited_for():
    """Never silent for long, and never done."""
    with Ringside("--http-body-timeout=300ms", "--http-body-rate-min=1k") as own:
        own.request("PUT", "/v1/stream/slow", headers={"content-type": "text/plain"})
        with own.connect() as s:
            s.sendall(b"POST /v1/stream/slow HTTP/1.1\r\n" + TEXT + b"Content-Length: 100000\r\n\r\n")
            s.settimeout(0.05)
            answer = b""

            def answered():
                nonlocal answer
                try:
                    s.sendall(b"x")
                    answer += s.recv(4096)
                except TimeoutError:
                    pass
                return b"\r\n\r\n" in answer
            wait_for(answered, "the answer")
            assert statuses(answer) == [408]
        # One that keeps up may take longer than that.
        with own.connect() as s:
            s.sendall(b"POST /v1/stream/slow HTTP/1.1\r\n" + TEXT + b"Content-Length: 20000\r\n\r\n")
            for _ in range(10):
                s.sendall(b"y" * 2000)
                time.sleep(0.1)
            assert s.recv(4096).startswith(b"HTTP/1.1 204")


def test_no_descriptor_left():
    """Whoever comes then is let go, and counted; those who are there go on; later all is well again."""
    with Ringside() as own:
        pid = own.status()["workers"][0]["pid"]
        dropped = re.compile(r"^ringside_connections_dropped_total\{worker=\"sse-0\"\} (\d+)$", re.M)
        with own.connect() as old:
            old.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert old.recv(4096).startswith(b"HTTP/1.1 200")
            had = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            highest = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, had[1]))
            gone, there = 0, []
            for _ in range(highest + 20):
                there.append(own.connect())
                try:
                    there[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                    gone += not there[-1].recv(4096)
                except (ConnectionResetError, BrokenPipeError):
                    gone += 1
            assert gone >= 20
            old.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = b""
            while more := old.recv(65536):
                text += more
            assert int(dropped.search(text.decode()).group(1)) == gone
            resource.prlimit(pid, resource.RLIMIT_NOFILE, had)
            for s in there:
                s.close()
        assert own.request("GET", "/healthz")[0] == 200
        own.wait_log("no descriptor for a connection")
