"""Clients that close their side behind the request: who still reads gets his answer, who has left is counted out."""

import re
import socket

import pytest

from ringside import PATIENCE, Ringside, wait_for

TEXT = {"content-type": "text/plain"}


@pytest.fixture(scope="module")
def r():
    # Nothing but what is shown here may end an answer, or tell that its client has gone.
    with Ringside("--http-long-poll-timeout=5m", "--http-sse-keepalive=10m", "--http-sse-lifetime=30m",
                  "--feeds-scheduled=", "--feeds-source-driven=arena", bridge=1) as ringside:
        wait_for(lambda: ringside.request("GET", "/v1/source/arena")[0] == 200, "the feed")
        yield ringside


def stream(r, name):
    """Where its first message will be."""
    status, headers, _ = r.request("PUT", f"/v1/stream/{name}", headers=TEXT)
    assert status == 201
    return headers["stream-next-offset"]


def post(r, name, text):
    assert r.request("POST", f"/v1/stream/{name}", text.encode(), TEXT)[0] == 204


def head(target, version="1.1"):
    return f"GET {target} HTTP/{version}\r\nHost: x\r\n\r\n".encode()


def subscribers(r):
    return int(float(re.search(r"^ringside_subscribers\{[^}]*\} (\S+)", r.get("/metrics"), re.M).group(1)))


def read_until(s, mark):
    got = b""
    while mark not in got:
        more = s.recv(65536)
        assert more, got
        got += more
    return got


def read_whole(s):
    got = b""
    while more := s.recv(65536):
        got += more
    return got


def ask_and_close_our_side(r, bytes_):
    s = r.connect(PATIENCE)
    s.sendall(bytes_)
    s.shutdown(socket.SHUT_WR)
    return s


def statuses(answer):
    """Of final answers: interim ones are for nobody."""
    return [status for status in map(int, re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)) if status >= 200]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_half_closed_long_poll_gets_its_message(r, version):
    name = f"poll-{version}"
    offset = stream(r, name)
    with ask_and_close_our_side(r, head(f"/v1/stream/{name}?live=long-poll&offset={offset}", version)) as s:
        wait_for(lambda: subscribers(r) == 1, "the reader")
        post(r, name, "late")
        answer = read_whole(s)
    assert statuses(answer) == [200] and answer.endswith(b"late")
    wait_for(lambda: subscribers(r) == 0, "its end")


def test_what_was_pipelined_behind_a_half_closed_long_poll_is_answered_too(r):
    offset = stream(r, "row")
    with ask_and_close_our_side(r, head("/v1/stream/row?offset=-1") +
                                head(f"/v1/stream/row?live=long-poll&offset={offset}") * 2 + head("/healthz")) as s:
        wait_for(lambda: subscribers(r) == 1, "the reader")
        post(r, "row", "late")
        answer = read_whole(s)
    assert statuses(answer) == [200] * 4 and answer.count(b"late") == 2 and answer.endswith(b"ok\n")


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("target", ["/v1/events?stream={}", "/v1/events?stream={}&stream=none-such/*",
                                    "/v1/stream/{}?live=sse&offset=now"])
def test_a_half_closed_reader_gets_the_events_of_later(r, target, version):
    name = f"live-{abs(hash((target, version)))}"
    stream(r, name)
    with ask_and_close_our_side(r, head(target.format(name), version)) as s:
        wait_for(lambda: subscribers(r) == 1, "the reader")
        for text in ("one-event", "another-one"):
            post(r, name, text)
            read_until(s, text.encode())
    wait_for(lambda: subscribers(r) == 0, "its end")


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_half_closed_client_gets_what_another_worker_answers(r, version):
    with ask_and_close_our_side(r, head("/v1/source/arena", version)) as s:
        assert statuses(read_whole(s)) == [200]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("target", ["/v1/events?stream={}", "/v1/stream/{}?live=sse&offset=now",
                                    "/v1/stream/{}?live=long-poll&offset=now"])
def test_a_reader_who_has_left_is_counted_out_soon(r, target, half):
    name = f"left-{abs(hash((target, half)))}"
    stream(r, name)
    with r.connect(PATIENCE) as s:
        s.sendall(head(target.format(name)))
        wait_for(lambda: subscribers(r) == 1, "the reader")
        if "long-poll" not in target:
            read_until(s, b"\n\n")
        if half:
            s.shutdown(socket.SHUT_WR)
    wait_for(lambda: subscribers(r) == 0, "its end")
