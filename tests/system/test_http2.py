"""HTTP/2 through real sockets: what RFC 9113 and RFC 7541 forbid, floods, windows, drain, and clients of others."""

import os
import re
import shutil
import struct
import subprocess
import threading
import time

import pytest

from http2_frames import *  # pylint: disable=wildcard-import,unused-wildcard-import
from ringside import PATIENCE, Ringside, wait_for
from test_tls import Tls

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT = ("content-type", "text/plain")


@pytest.fixture(scope="module")
def r():
    with Ringside("--http-h2c", "--http-header-timeout=1s", "--http-body-timeout=1s", "--limits-header-bytes=4k",
                  "--limits-url-bytes=1k", "--limits-headers=20", "--limits-body-bytes=128k") as server:
        server.request("PUT", "/v1/stream/h", headers={"content-type": "text/plain"})
        yield server


def metric(r, name):
    return sum(float(n) for n in re.findall(rf"^ringside_{name}{{[^}}]*}} (\S+)$", r.get("/metrics"), re.M))


# ---- requests and answers ----

def test_a_request_is_answered_as_by_http1(r):
    with Connection(r.address()) as c:
        answer = c.ask("GET", "/healthz")
        assert (answer.status, answer.body, answer.whole) == (200, b"ok\n", True)
        _, old, _ = r.request("GET", "/healthz")
        assert {n: v for n, v in answer.headers.items() if n not in (":status", "date")} == \
            {n.lower(): v for n, v in old.items() if n.lower() not in ("connection", "date")}
        assert c.settings == {MAX_STREAMS: 128, MAX_HEADER_LIST: 4096, CONNECT_PROTOCOL: 1, NO_PRIORITIES: 1}


def test_bodies_go_both_ways(r):
    body = os.urandom(100000)
    with Connection(r.address()) as c:
        assert c.ask("PUT", "/v1/stream/both", TEXT).status == 201
        stream = c.begin(c.fields("POST", "/v1/stream/both", TEXT, ("content-length", str(len(body)))), end=False)
        for at in range(0, len(body), 10000):
            last = at + 10000 >= len(body)
            if at >= 60000:  # beyond the window only as it is opened
                c.until(lambda: any(f.kind == WINDOW_UPDATE and f.stream == stream for f in c.frames), "a window")
            c.send(frame(DATA, END_STREAM if last else 0, stream, body[at:at + 10000]))
        assert c.answer(stream).status == 204
        answer = c.ask("GET", "/v1/stream/both?offset=-1")
        assert answer.status == 200 and answer.body == body
        assert answer.headers["content-length"] == str(len(body))
        assert c.ask("HEAD", "/v1/stream/both").body == b""


def test_a_body_without_a_length_ends_with_its_stream(r):
    with Connection(r.address()) as c:
        stream = c.request("POST", "/v1/stream/h", TEXT, body=b"no length")
        assert c.answer(stream).status == 204
        assert b"no length" in c.ask("GET", "/v1/stream/h?offset=-1").body


def test_padding_is_no_part_of_it_and_trailers_are_read_over(r):
    with Connection(r.address()) as c:
        fields = encode(c.fields("POST", "/v1/stream/h", TEXT))
        c.send(frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, 1, b"\x05" + b"\0\0\0\0\x10" + fields + b"\0" * 5))
        c.send(frame(DATA, PADDED, 1, b"\x03" + b"padded!" + b"\0" * 3))
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, encode([("x-trailer", "1")])))
        assert c.answer(1).status == 204
        c.next = 3
        assert b"padded!" in c.ask("GET", "/v1/stream/h?offset=-1").body


def test_a_head_may_come_in_pieces_and_cookies_in_crumbs(r):
    with Connection(r.address()) as c:
        fields = encode(c.fields("GET", "/v1/stream/h?offset=-1", ("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")))
        c.send(frame(HEADERS, END_STREAM, 1, fields[:10]) + frame(CONTINUATION, 0, 1, fields[10:40]) +
               frame(CONTINUATION, END_HEADERS, 1, fields[40:]))
        assert c.answer(1).status == 200


def test_a_stream_that_goes_back_is_not_served(r):
    with Connection(r.address()) as c:
        assert c.answer(c.begin(c.fields("GET", "/healthz"), stream=5)).status == 200
        c.begin(c.fields("GET", "/healthz"), stream=3)
        assert c.ask("GET", "/healthz").status == 200
        assert 3 not in c.answers


def test_each_byte_may_come_alone(r):
    with Connection(r.address(), begin=False) as c:
        data = PREFACE + settings() + frame(HEADERS, END_HEADERS | END_STREAM, 1, encode(c.fields("GET", "/healthz")))
        for byte in data:
            c.send(bytes([byte]))
        assert c.answer(1).status == 200


def test_expect_is_answered_first(r):
    with Connection(r.address()) as c:
        stream = c.begin(c.fields("POST", "/v1/stream/h", TEXT, ("expect", "100-continue")), end=False)
        c.until(lambda: stream in c.answers and c.answers[stream].status == 100, "100 Continue")
        c.send(frame(DATA, END_STREAM, stream, b"expected"))
        assert c.answer(stream).status == 204


def test_many_streams_are_answered_in_any_order(r):
    with Connection(r.address()) as c:
        poll = c.request("GET", "/v1/stream/h?live=long-poll&offset=now")
        streams = [c.request("GET", "/healthz") for _ in range(100)]
        assert [c.answer(s).status for s in streams] == [200] * 100
        assert not c.answers.get(poll, Answer()).whole
        r.request("POST", "/v1/stream/h", b"wake", {"content-type": "text/plain"})
        assert c.answer(poll).body.endswith(b"wake")


def test_what_is_unknown_is_read_over(r):
    with Connection(r.address(), (0x4242, 7)) as c:
        c.send(frame(0xfe, 0xff, 0, b"what") + frame(0xfe, 0xff, 1, b"ever") + frame(PRIORITY, 0, 5, b"\0\0\0\3\7"))
        assert c.ask("GET", "/healthz").status == 200
        c.send(frame(PING, 0, 0, b"12345678"))
        c.until(lambda: any(f.kind == PING and f.flags & ACK and f.payload == b"12345678" for f in c.frames), "its echo")


# Status, and more fields, or other pseudo-fields in place of the usual ones.
REFUSED = [
    (400, {":path": "/#x"}), (400, {":path": "//x"}), (400, {":authority": "user@x"}), (400, {":authority": "x", "host": "y"}),
    (400, {":scheme": "ftp"}), (414, {":path": "/" + "x" * 1100}), (431, {"x-much": "y" * 5000}),
    (431, {f"x-{i}": "y" for i in range(30)}), (400, {"content-type": "a", "content-type ": "b"}),
    (404, {":path": "/nowhere"}), (405, {":method": "DELETE", ":path": "/healthz"}), (501, {":method": "BREW"}),
    (417, {"expect": "coffee"}), (501, {":method": "CONNECT", ":path": None, ":scheme": None}),
    (400, {":method": "CONNECT", ":protocol": "telnet"}), (400, {":method": "CONNECT", ":protocol": "websocket"}),
]


@pytest.mark.parametrize("status, changes", REFUSED, ids=[f"{s}-{list(c)[0]}-{str(list(c.values())[0])[:9]}" for s, c in REFUSED])
def test_what_http1_refuses_is_refused(r, status, changes):
    with Connection(r.address()) as c:
        fields = {":method": "GET", ":scheme": "http", ":authority": c.authority, ":path": "/healthz", **changes}
        tunnel = ":protocol" in changes
        stream = c.begin([(n.strip(), v) for n, v in fields.items() if v is not None and n.startswith(":")] +
                         [(n.strip(), v) for n, v in fields.items() if v is not None and not n.startswith(":")], end=not tunnel)
        assert c.answer(stream).status == status
        assert c.ask("GET", "/healthz").status == 200


# ---- what RFC 9113 calls an error of the stream ----

USUAL = [(":method", "GET"), (":scheme", "http"), (":path", "/healthz"), (":authority", "x")]
POST = [(":method", "POST"), (":scheme", "http"), (":path", "/v1/stream/h"), (":authority", "x"), TEXT]
MALFORMED = {
    "8.2.1 upper case": USUAL + [("X-Y", "1")],
    "8.2.1 blank in a name": USUAL + [("x y", "1")],
    "8.2.1 empty name": USUAL + [("", "1")],
    "8.2.1 NUL in a value": USUAL + [("x", "a\0b")],
    "8.2.1 LF in a value": USUAL + [("x", "a\nb")],
    "8.2.1 CR in a value": USUAL + [("x", "a\rb")],
    "8.2.1 blank before a value": USUAL + [("x", " a")],
    "8.2.1 blank behind a value": USUAL + [("x", "a ")],
    "8.2.2 connection": USUAL + [("connection", "close")],
    "8.2.2 keep-alive": USUAL + [("keep-alive", "1")],
    "8.2.2 proxy-connection": USUAL + [("proxy-connection", "close")],
    "8.2.2 transfer-encoding": USUAL + [("transfer-encoding", "chunked")],
    "8.2.2 upgrade": USUAL + [("upgrade", "websocket")],
    "8.2.2 te": USUAL + [("te", "gzip")],
    "8.3 unknown pseudo-field": USUAL + [(":x", "1")],
    "8.3 pseudo-field of answers": USUAL + [(":status", "200")],
    "8.3 pseudo-field behind others": USUAL[:3] + [("x", "1")] + USUAL[3:],
    "8.3 twice": USUAL + [(":path", "/")],
    "8.3.1 no method": USUAL[1:],
    "8.3.1 no scheme": USUAL[:1] + USUAL[2:],
    "8.3.1 no path": USUAL[:2] + USUAL[3:],
    "8.3.1 empty path": USUAL[:2] + [(":path", "")] + USUAL[3:],
    "8.3.1 nobody asked": USUAL[:3],
    "8.3.1 path without a slash": USUAL[:2] + [(":path", "x")] + USUAL[3:],
    "8.3.1 blank in the path": USUAL[:2] + [(":path", "/a b")] + USUAL[3:],
    "8.3.1 blank in the host": USUAL[:3] + [(":authority", "a b")],
    "8.3.1 two hosts": USUAL + [("host", "x"), ("host", "x")],
    "8.5 CONNECT with a path": [(":method", "CONNECT"), (":path", "/"), (":authority", "x")],
    "8.1.1 two lengths": USUAL + [("content-length", "0"), ("content-length", "0")],
    "8.1.1 a length that is none": USUAL + [("content-length", "-1")],
    "8.1.1 a length and nothing": USUAL + [("content-length", "1")],
    "RFC 8441 4 protocol without CONNECT": USUAL + [(":protocol", "websocket")],
}


@pytest.mark.parametrize("rule", MALFORMED)
def test_a_malformed_request_is_reset(r, rule):
    with Connection(r.address()) as c:
        answer = c.answer(c.begin(MALFORMED[rule]))
        assert answer.reset == PROTOCOL_ERROR and answer.status is None
        assert c.ask("GET", "/healthz").status == 200


STREAM_ERRORS = {
    "5.1 DATA behind the end": (frame(HEADERS, END_HEADERS | END_STREAM, 1, encode(POST)) + frame(DATA, 0, 1, b"x"),
                                {STREAM_CLOSED}),
    "5.1 HEADERS behind the end": (frame(HEADERS, END_HEADERS | END_STREAM, 1, encode(POST)) +
                                   frame(HEADERS, END_HEADERS | END_STREAM, 1, encode(POST)), {STREAM_CLOSED}),
    "5.1 DATA behind a reset": (frame(HEADERS, END_HEADERS, 1, encode(POST)) + rst(1) + frame(DATA, 0, 1, b"x"),
                                {STREAM_CLOSED, None}),
    "5.3.1 depends on itself": (frame(HEADERS, END_HEADERS | END_STREAM | HAS_PRIORITY, 1,
                                      struct.pack(">IB", 1, 3) + encode(USUAL)), {PROTOCOL_ERROR, None}),
    "6.9 window by nothing": (frame(HEADERS, END_HEADERS, 1, encode(POST)) + window_update(1, 0), {PROTOCOL_ERROR}),
    "6.9.1 window too large": (frame(HEADERS, END_HEADERS, 1, encode(POST)) + window_update(1, 0x7fffffff),
                               {FLOW_CONTROL_ERROR}),
    "6.9.1 more than the window": (frame(HEADERS, END_HEADERS, 1, encode(POST)) +
                                   frame(DATA, 0, 1, b"x" * 16384) * 5, {FLOW_CONTROL_ERROR, None}),
    "6.9.2 window too large by SETTINGS": (frame(HEADERS, END_HEADERS, 1, encode(POST)) + window_update(1, 0x7fff0000 - 65535) +
                                           settings((INITIAL_WINDOW, 0x7fffffff)), {FLOW_CONTROL_ERROR}),
    "8.1.1 less than its length": (frame(HEADERS, END_HEADERS, 1, encode(POST + [("content-length", "5")])) +
                                   frame(DATA, END_STREAM, 1, b"1234"), {PROTOCOL_ERROR}),
    "8.1.1 more than its length": (frame(HEADERS, END_HEADERS, 1, encode(POST + [("content-length", "3")])) +
                                   frame(DATA, END_STREAM, 1, b"1234"), {PROTOCOL_ERROR}),
    "8.1 trailers that do not end it": (frame(HEADERS, END_HEADERS, 1, encode(POST)) +
                                        frame(HEADERS, END_HEADERS, 1, encode([("x", "1")])), {PROTOCOL_ERROR}),
    "8.1 pseudo-field in trailers": (frame(HEADERS, END_HEADERS, 1, encode(POST)) +
                                     frame(HEADERS, END_HEADERS | END_STREAM, 1, encode([(":path", "/")])), {PROTOCOL_ERROR}),
    "6.3 PRIORITY of another size": (frame(HEADERS, END_HEADERS, 1, encode(POST)) + frame(PRIORITY, 0, 1, b"1234"),
                                     {FRAME_SIZE_ERROR}),
}


@pytest.mark.parametrize("rule", STREAM_ERRORS)
def test_an_error_of_the_stream(r, rule):
    """Or of the connection, where the RFC leaves the choice: the next connection is served anyway."""
    data, errors = STREAM_ERRORS[rule]
    with Connection(r.address()) as c:
        c.send(data)
        for echo in (b"one more", b"afterall"):  # the first overtakes what comes of it
            c.send(frame(PING, 0, 0, echo))
            c.until(lambda e=echo: c.goaways or any(f.kind == PING and f.payload == e for f in c.frames), "its echo")
        said = {f.error() for f in c.frames if f.kind in (RST_STREAM, GOAWAY)} or {None}
        assert said & errors, c.frames
    with Connection(r.address()) as c:
        assert c.ask("GET", "/healthz").status == 200


# ---- ... and of the connection ----

OPEN = frame(HEADERS, END_HEADERS, 1, encode(POST))
CONNECTION_ERRORS = {
    "4.2 frame too large": (frame(DATA, 0, 1, b"", length=16385), FRAME_SIZE_ERROR),
    "4.3 block that is broken off": (frame(HEADERS, 0, 1, encode(USUAL)) + frame(PING, 0, 0, b"12345678"), PROTOCOL_ERROR),
    "5.1 DATA in an idle stream": (frame(DATA, 0, 5, b"x"), PROTOCOL_ERROR),
    "5.1 RST_STREAM of an idle stream": (rst(5), PROTOCOL_ERROR),
    "5.1 WINDOW_UPDATE of an idle stream": (window_update(5, 1), PROTOCOL_ERROR),
    "5.1.1 even stream": (frame(HEADERS, END_HEADERS | END_STREAM, 2, encode(USUAL)), PROTOCOL_ERROR),
    "6.1 DATA of no stream": (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "6.1 padding that is longer": (OPEN + frame(DATA, PADDED, 1, b"\x09x"), PROTOCOL_ERROR),
    "6.2 HEADERS of no stream": (frame(HEADERS, END_HEADERS, 0, encode(USUAL)), PROTOCOL_ERROR),
    "6.2 padding that is longer": (frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + encode(USUAL)), PROTOCOL_ERROR),
    "6.3 PRIORITY of no stream": (frame(PRIORITY, 0, 0, b"\0\0\0\3\7"), PROTOCOL_ERROR),
    "6.4 RST_STREAM of no stream": (rst(0), PROTOCOL_ERROR),
    "6.4 RST_STREAM of another size": (OPEN + frame(RST_STREAM, 0, 1, b"123"), FRAME_SIZE_ERROR),
    "6.5 SETTINGS of a stream": (frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
    "6.5 SETTINGS of another size": (frame(SETTINGS, 0, 0, b"12345"), FRAME_SIZE_ERROR),
    "6.5 ACK that says something": (frame(SETTINGS, ACK, 0, b"123456"), FRAME_SIZE_ERROR),
    "6.5.2 ENABLE_PUSH": (settings((ENABLE_PUSH, 2)), PROTOCOL_ERROR),
    "6.5.2 INITIAL_WINDOW_SIZE": (settings((INITIAL_WINDOW, 0x80000000)), FLOW_CONTROL_ERROR),
    "6.5.2 MAX_FRAME_SIZE": (settings((MAX_FRAME, 16383)), PROTOCOL_ERROR),
    "6.5.2 MAX_FRAME_SIZE above": (settings((MAX_FRAME, 1 << 24)), PROTOCOL_ERROR),
    "6.6 PUSH_PROMISE of a client": (OPEN + frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + encode(USUAL)), PROTOCOL_ERROR),
    "6.7 PING of a stream": (frame(PING, 0, 1, b"12345678"), PROTOCOL_ERROR),
    "6.7 PING of another size": (frame(PING, 0, 0, b"1234567"), FRAME_SIZE_ERROR),
    "6.8 GOAWAY of a stream": (frame(GOAWAY, 0, 1, b"\0" * 8), PROTOCOL_ERROR),
    "6.9 window by nothing": (window_update(0, 0), PROTOCOL_ERROR),
    "6.9 WINDOW_UPDATE of another size": (frame(WINDOW_UPDATE, 0, 0, b"123"), FRAME_SIZE_ERROR),
    "6.9.1 window too large": (window_update(0, 0x7fffffff), FLOW_CONTROL_ERROR),
    "6.10 CONTINUATION of nothing": (frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL_ERROR),
    "6.10 CONTINUATION of another": (frame(HEADERS, 0, 1, encode(USUAL)) + frame(CONTINUATION, END_HEADERS, 3, b""),
                                     PROTOCOL_ERROR),
    "6.10 CONTINUATION behind the end": (frame(HEADERS, END_HEADERS | END_STREAM, 1, encode(USUAL)) +
                                         frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL_ERROR),
    # RFC 7541
    "HPACK 2.3.3 row nought": (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x80"), COMPRESSION_ERROR),
    "HPACK 2.3.3 row that is not there": (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\x00"), COMPRESSION_ERROR),
    "HPACK 4.2 size behind fields": (frame(HEADERS, END_HEADERS | END_STREAM, 1, encode(USUAL) + b"\x20"), COMPRESSION_ERROR),
    "HPACK 4.2 size too large": (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xff\xff\x7f" + encode(USUAL)),
                                 COMPRESSION_ERROR),
    "HPACK 5.1 number too large": (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff" + b"\xff" * 10 + b"\x0f"),
                                   COMPRESSION_ERROR),
    "HPACK 5.2 text that is cut": (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\0\x05ab"), COMPRESSION_ERROR),
    "HPACK 5.2 EOS in a text": (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\0\x84\xff\xff\xff\xff\x01x"), COMPRESSION_ERROR),
    "HPACK 5.2 padding of a byte": (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\0\x82" + huffman("0")[:1] + b"\xff\x01x"),
                                    COMPRESSION_ERROR),
    "HPACK 5.2 padding of noughts": (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\0\x81\x00\x01x"), COMPRESSION_ERROR),
}


@pytest.mark.parametrize("rule", CONNECTION_ERRORS)
def test_an_error_of_the_connection(r, rule):
    data, error = CONNECTION_ERRORS[rule]
    with Connection(r.address()) as c:
        c.send(data)
        assert c.end() == error, c.frames


@pytest.mark.parametrize("first", [frame(PING, 0, 0, b"12345678"), frame(HEADERS, END_HEADERS | END_STREAM, 1, encode(USUAL))])
def test_what_begins_otherwise_ends(r, first):
    with Connection(r.address(), begin=False) as c:
        c.send(PREFACE + first)
        assert c.end() == PROTOCOL_ERROR


def test_more_streams_than_are_allowed_are_refused():
    with Ringside("--http-h2c", "--http2-streams=3") as r:
        r.request("PUT", "/v1/stream/h", headers={"content-type": "text/plain"})
        with Connection(r.address()) as c:
            c.until(lambda: MAX_STREAMS in c.settings, "SETTINGS")
            for _ in range(4):
                c.request("GET", "/v1/stream/h?live=long-poll&offset=now")
            c.until(lambda: any(f.kind in (RST_STREAM, GOAWAY) for f in c.frames), "a refusal")
            assert {f.error() for f in c.frames if f.kind in (RST_STREAM, GOAWAY)} <= {REFUSED_STREAM, PROTOCOL_ERROR}


def test_without_h2c_it_is_no_protocol_of_ours():
    with Ringside() as r:
        with r.connect() as s:
            s.sendall(PREFACE + settings())
            assert s.recv(65536).startswith(b"HTTP/1.1 505 ")


# ---- floods ----

def flood(r, make, count=4000):
    """Sends make(i) until the server has enough: the error that it says, and its word."""
    with Connection(r.address(), auto=False) as c:
        try:
            for i in range(0, count, 50):
                c.send(b"".join(make(c, j) for j in range(i, i + 50)))
        except OSError:
            pass
        error = c.end()
        return error, c.goaways[-1].payload[8:].decode() if c.goaways else None


def rapid_reset(c, i):
    stream = 2 * i + 1
    return frame(HEADERS, END_HEADERS, stream, encode(POST)) + rst(stream)


def make_you_reset(c, i):
    stream = 2 * i + 1
    return frame(HEADERS, END_HEADERS, stream, encode(MALFORMED["8.2.2 te"]))


def bomb(c, i):
    # One field of 3,000 bytes, remembered; then by its number as often as a frame has room.
    if i > 25:
        return b""  # what is on the way when the server closes would take its word along
    if i == 0:
        return frame(HEADERS, END_HEADERS | END_STREAM, 1, encode(USUAL) + b"\x40" + literal("x") + literal("y" * 3000))
    return frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, encode(USUAL) + b"\xbe" * 16000)


FLOODS = {
    "resets": (rapid_reset, "http2.resets"),
    "resets that we are made to do": (make_you_reset, "http2.resets"),
    "settings": (lambda c, i: settings(), "http2.settings_frames"),
    "pings": (lambda c, i: frame(PING, 0, 0, b"12345678"), "http2.pings"),
    "continuations": (lambda c, i: frame(HEADERS, END_STREAM, 2 * i + 1, encode(USUAL)) + frame(CONTINUATION, 0, 2 * i + 1) * 5 +
                      frame(CONTINUATION, END_HEADERS, 2 * i + 1), "http2.continuations"),
    "continuations of one": (lambda c, i: frame(HEADERS, 0, 1, encode(USUAL)) if i == 0 else
                             frame(CONTINUATION, 0, 1, encode([("x", "y")])), None),
    "empty data": (lambda c, i: OPEN if i == 0 else frame(DATA, 0, 1), "http2.empty_frames"),
    "priorities": (lambda c, i: frame(PRIORITY, 0, 3, b"\0\0\0\1\7"), "http2.empty_frames"),
    "windows": (lambda c, i: window_update(0, 1), "http2.window_updates"),
    "header bombs": (bomb, "http2.header_bombs"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_with_its_name(r, name):
    make, limit = FLOODS[name]
    before = metric(r, "http2_calmed_total")
    error, word = flood(r, make)
    if limit is None:  # nghttp2's own: eight of one block
        assert error in (ENHANCE_YOUR_CALM, PROTOCOL_ERROR, INTERNAL_ERROR), (error, word)
        return
    assert (error, word) == (ENHANCE_YOUR_CALM, limit)
    assert metric(r, "http2_calmed_total") == before + 1
    r.wait_log(rf"limit={limit}")


def test_tiny_windows_end(r):
    body = b"x" * 50000
    r.request("PUT", "/v1/stream/tiny", body, {"content-type": "text/plain"})
    with Connection(r.address(), (INITIAL_WINDOW, 1), auto=False) as c:
        stream = c.request("GET", "/v1/stream/tiny?offset=-1")
        try:
            while True:
                c.send(window_update(stream, 1))
        except OSError:
            pass
        assert c.end() == ENHANCE_YOUR_CALM
        assert c.goaways[-1].payload[8:].decode() in ("http2.tiny_windows", "http2.window_updates")


# ---- windows ----

def test_a_blocked_stream_holds_none_of_its_siblings(r):
    body = b"x" * 100000
    r.request("PUT", "/v1/stream/large", body, {"content-type": "text/plain"})
    with Connection(r.address(), auto=False) as c:
        c.send(frame(SETTINGS, ACK) + window_update(0, 1 << 20))
        blocked = c.request("GET", "/v1/stream/large?offset=-1")
        c.until(lambda: len(c.answers.get(blocked, Answer()).body) == 65535, "its window to be full")
        assert c.ask("GET", "/healthz").status == 200
        c.send(window_update(blocked, 1 << 20))
        assert c.answer(blocked).body == body


def test_a_reader_without_a_window_keeps_its_cursor_and_hears_it_all(r):
    r.request("PUT", "/v1/stream/window", headers={"content-type": "text/plain"})
    with Connection(r.address(), (INITIAL_WINDOW, 0), auto=False) as c:
        c.send(frame(SETTINGS, ACK))
        reader = c.request("GET", "/v1/stream/window?live=sse&offset=now")
        c.until(lambda: c.answers.get(reader, Answer()).status == 200, "the head")
        for i in range(50):
            r.request("POST", "/v1/stream/window", f"event {i};".encode(), {"content-type": "text/plain"})
        assert c.ask("HEAD", "/healthz").status == 200
        assert c.answers[reader].body == b""
        c.send(window_update(reader, 1 << 20))
        c.wait_body(reader, b"event 49;")
        heard = re.findall(rb"event (\d+);", c.answers[reader].body)
        assert heard == [str(i).encode() for i in range(50)]


def test_what_waits_for_windows_has_a_limit():
    with Ringside("--http-h2c", "--http2-queue-bytes=256k", "--http-write-timeout=1s") as r:
        r.request("PUT", "/v1/stream/large", b"x" * 500000, {"content-type": "text/plain"})
        with Connection(r.address(), (INITIAL_WINDOW, 0), auto=False) as c:
            streams = [c.request("GET", "/v1/stream/large?offset=-1") for _ in range(20)]
            c.until(lambda: any(c.answers.get(s, Answer()).status == 503 for s in streams), "a refusal")
            assert metric(r, "http2_queued_bytes") < 1 << 20
            # And who takes nothing is cut: each stream by itself.
            c.until(lambda: all(c.answers.get(s, Answer()).reset == CANCEL for s in streams
                                if c.answers.get(s, Answer()).status == 200), "the resets")
            wait_for(lambda: metric(r, "http2_queued_bytes") == 0, "nothing to wait")
            assert c.ask("HEAD", "/healthz").status == 200


# ---- time ----

def test_a_head_or_a_body_that_does_not_come_ends(r):
    with Connection(r.address(), begin=False, auto=False) as c:
        c.send(PREFACE)
        assert c.end() == SETTINGS_TIMEOUT
    with Connection(r.address(), auto=False) as c:
        c.send(frame(HEADERS, END_STREAM, 1, encode(USUAL)[:-3]))
        assert c.end() == ENHANCE_YOUR_CALM
    with Connection(r.address()) as c:
        stream = c.begin(c.fields("POST", "/v1/stream/h", TEXT), end=False)
        assert c.answer(stream).status == 408
        assert c.ask("GET", "/healthz").status == 200


def test_an_idle_connection_ends_and_one_with_a_reader_does_not():
    with Ringside("--http-h2c", "--http-keepalive-timeout=300ms") as r:
        r.request("PUT", "/v1/stream/h", headers={"content-type": "text/plain"})
        with Connection(r.address()) as reading, Connection(r.address()) as idle:
            reader = reading.request("GET", "/v1/stream/h?live=sse&offset=now")
            assert idle.end() == NO_ERROR
            r.request("POST", "/v1/stream/h", b"still there", {"content-type": "text/plain"})
            reading.wait_body(reader, b"still there")


# ---- drain ----

def test_a_drain_loses_nothing():
    with Ringside("--http-h2c", workers=1) as r:
        r.request("PUT", "/v1/stream/h", headers={"content-type": "text/plain"})
        pid = r.worker("sse-0")["pid"]
        with Connection(r.address()) as c:
            reader = c.request("GET", "/v1/stream/h?live=sse&offset=now")
            c.until(lambda: c.answers.get(reader, Answer()).status == 200, "the head")
            half = c.begin(c.fields("POST", "/v1/stream/h", TEXT), end=False)
            c.send(frame(DATA, 0, half, b"half, "))
            c.auto = False  # its PING is not answered yet
            stop = threading.Thread(target=lambda: r.ctl("restart", "sse-0"))
            stop.start()
            c.until(lambda: c.goaways, "the first GOAWAY")
            assert c.goaways[0].error() == NO_ERROR and c.goaways[0].payload[:4] == b"\x7f\xff\xff\xff"
            late = c.request("GET", "/healthz")  # it was on the way
            assert c.answer(late).status == 200
            c.auto = True
            ping = next(f for f in c.frames if f.kind == PING) if any(f.kind == PING for f in c.frames) else None
            if ping is not None:
                c.send(frame(PING, ACK, payload=ping.payload))
            c.until(lambda: len(c.goaways) == 2, "the last GOAWAY")
            assert struct.unpack(">I", c.goaways[1].payload[:4])[0] == late
            c.send(frame(DATA, END_STREAM, half, b"and half"))
            assert c.answer(half).status == 204
            assert c.answer(reader).whole  # told, not cut
            assert c.end() == NO_ERROR
        stop.join()
        wait_for(lambda: r.worker("sse-0")["pid"] not in (0, pid) and r.worker("sse-0")["state"] == "ready", "the next worker")
        assert r.get("/v1/stream/h?offset=-1") == "half, and half"


# ---- WebSockets ----

def test_a_websocket_by_extended_connect_is_a_stream_of_its_own():
    with Ringside("--http-h2c") as r:
        with Connection(r.address()) as c:
            fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", c.authority)]
            # Nobody is there under this name: the same answer as HTTP/1.1's, and no tunnel.
            stream = c.begin(fields + [(":path", "/v1/signal/nothing"), ("sec-websocket-version", "13")], end=False)
            assert c.answer(stream).status >= 400
            stream = c.begin(fields + [(":path", "/healthz"), ("sec-websocket-version", "13")], end=False)
            assert c.answer(stream).status == 400
            assert c.ask("GET", "/healthz").status == 200


# ---- clients of others ----

@pytest.fixture(scope="module")
def tls():
    with Tls("--http-h2c") as server:
        server.start()
        server.ask("PUT", "/v1/stream/h", b"", {"content-type": "text/plain"})
        yield server


def curl(r, *arguments):
    done = subprocess.run(["curl", "-s", "--cacert", r.made[0][0], "-w", "\n%{http_version} %{http_code}", *arguments],
                          capture_output=True, timeout=PATIENCE, check=False)
    body, _, said = done.stdout.rpartition(b"\n")
    return body, said.decode()


def test_curl_agrees_on_it(tls):
    url = f"https://127.0.0.1:{tls.port()}"
    assert curl(tls, "--http2", url + "/healthz") == (b"ok\n", "2 200")
    assert curl(tls, "--http1.1", url + "/healthz") == (b"ok\n", "1.1 200")
    assert curl(tls, "--http2", "-H", "content-type: text/plain", "-d", "by curl", url + "/v1/stream/h")[1] == "2 204"
    # A body that nobody wants is no reason to lose the answer.
    path = os.path.join(tls.dir, "much")
    with open(path, "wb") as file:
        file.write(b"x" * 300000)
    assert curl(tls, "--http2", "--data-binary", "@" + path, url + "/nowhere")[1] == "2 404"


def test_by_tls_it_is_the_same_server(tls):
    with Connection(("127.0.0.1", tls.port()), context=tls.context()) as c:
        assert c.socket.selected_alpn_protocol() == "h2"
        reader = c.request("GET", "/v1/stream/h?live=sse&offset=now")
        c.until(lambda: c.answers.get(reader, Answer()).status == 200, "the head")
        assert c.ask("POST", "/v1/stream/h", TEXT, body=b"over tls").status == 204
        c.wait_body(reader, b"over tls")


NODE = """
const http2 = require("http2"), fs = require("fs");
const client = http2.connect(process.argv[1], {ca: fs.readFileSync(process.argv[2])});
client.on("error", error => { console.error(error); process.exit(1); });
const ask = (headers, body) => new Promise((resolve, reject) => {
	const stream = client.request(headers), parts = [];
	let status;
	stream.on("response", headers => status = headers[":status"]);
	stream.on("data", part => parts.push(part));
	stream.on("end", () => resolve([status, Buffer.concat(parts)]));
	stream.on("error", reject);
	stream.end(body);
});
(async () => {
	const body = Buffer.alloc(900000, "n");
	console.log((await ask({":method": "PUT", ":path": "/v1/stream/node", "content-type": "text/plain"}))[0]);
	console.log((await ask({":method": "POST", ":path": "/v1/stream/node", "content-type": "text/plain"}, body))[0]);
	const answers = await Promise.all(Array.from({length: 50}, () => ask({":path": "/v1/stream/node?offset=-1"})));
	console.log(answers.every(([status, got]) => status === 200 && got.equals(body)));
	client.close();
})();
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_node_reads_fifty_streams_at_once(tls):
    done = subprocess.run(["node", "-e", NODE, f"https://localhost:{tls.port()}", tls.made[0][0]], capture_output=True,
                          timeout=PATIENCE, check=False)
    assert done.stdout.split() == [b"201", b"204", b"true"], done.stderr.decode()


THIRTY = """new Promise(done => {
	window.heard = Array(30).fill("");
	let open = 0;
	window.sources = window.heard.map((_, i) => {
		const source = new EventSource("/v1/stream/h?live=sse&offset=now&n=" + i);
		source.addEventListener("data", e => window.heard[i] += e.data);
		source.addEventListener("control", () => { if (!source.counted) { source.counted = 1; if (++open == 30) done(open); } });
		return source;
	});
	setTimeout(() => done(open), 20000);
})"""


@pytest.mark.skipif(not os.path.exists("/usr/lib/chromium/chromium-headless-shell"), reason="no Chromium")
def test_thirty_event_sources_of_one_page_are_alive_in_chromium(tls):
    from page_browser import Browser  # pylint: disable=import-outside-toplevel
    with Browser("--ignore-certificate-errors") as b:
        b.open(f"https://localhost:{tls.port()}/healthz", 400, 300)
        assert b.run(THIRTY) == 30
        # The seventh, and the thirty-first: a plain GET beside them.
        assert b.run("fetch('/healthz').then(r => r.text())") == "ok\n"
        assert tls.ask("POST", "/v1/stream/h", b"to all", {"content-type": "text/plain"})[0] == 204
        wait_for(lambda: b.run("window.heard.every(text => text.includes('to all'))"), "all thirty to hear it")
        assert b.run("performance.getEntriesByType('resource').every(e => e.nextHopProtocol == 'h2')")
        assert b.run("window.sources.every(source => source.readyState == 1)")
