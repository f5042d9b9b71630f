"""The stream-kit client's way to a picture: a WebSocket beside each session, over which Chromium offers."""

import base64
import contextlib
import hashlib
import json
import os
import signal
import struct
import subprocess

import pytest

from ringside import wait_for
from test_sessions import PATIENCE, create, delete, post, ringside, site, state_of, wait_page  # noqa: F401

HERE = os.path.dirname(os.path.abspath(__file__))
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@pytest.fixture(scope="module")
def r():
    with ringside("--http-sse-keepalive=1s") as r:
        yield r


def order(r, page, **headers):
    status, _, body = post(r, "/stream/session", {"renderUrl": page, "renderOptions": {"resolution": "320x180"}}, **headers)
    assert status == 201, body
    return json.loads(body)


def host_of(r):
    return "%s:%s" % r.address()


def metric(r, name):
    """All workers together."""
    lines = r.request("GET", "/metrics")[2].decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.partition("{")[0].partition(" ")[0] == name)


def path_of(session):
    """"/v1/signal/ID?token=T" of its signalingUrl."""
    return "/" + session["signalingUrl"].split("/", 3)[3]


def handshake(path, **changes):
    headers = {"host": "here", "upgrade": "websocket", "connection": "Upgrade", "sec-websocket-key": KEY,
               "sec-websocket-version": "13"}
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


class Socket:
    """Frames as they are, so that they can be wrong."""

    def __init__(self, r, path, more=b"", **changes):
        self.s = r.connect()
        self.s.settimeout(PATIENCE)
        self.s.sendall(handshake(path, **changes) + more)
        self.stream = self.s.makefile("rb")
        self.status = int(self.stream.readline().split()[1])
        self.headers = dict(line.decode().strip().split(": ", 1)
                            for line in iter(self.stream.readline, b"\r\n"))

    def frame(self, opcode, payload=b"", fin=True, masked=True, length=None):
        length = len(payload) if length is None else length
        head = bytes([opcode | (0x80 if fin else 0)])
        mark = 0x80 if masked else 0
        head += bytes([mark | length]) if length < 126 else bytes([mark | 126]) + struct.pack(">H", length) \
            if length < 65536 else bytes([mark | 127]) + struct.pack(">Q", length)
        if masked:
            head += b"\1\2\3\4"
            payload = bytes(b ^ (1, 2, 3, 4)[i % 4] for i, b in enumerate(payload))
        self.s.sendall(head + payload)

    def say(self, value, **options):
        self.frame(TEXT, value if isinstance(value, bytes) else json.dumps(value).encode(), **options)

    def read(self):
        """(opcode, payload) of the next frame, None at the end."""
        head = self.stream.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 127
        assert head[0] & 0x80 and not head[1] & 0x80, "whole, and not masked"
        if length == 126:
            length = struct.unpack(">H", self.stream.read(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.stream.read(8))[0]
        return head[0] & 15, self.stream.read(length)

    def until(self, opcode):
        """The next frame of this kind. Pings are answered meanwhile: a page may take longer than silence may last."""
        before = []
        while (got := self.read()) is not None:
            before.append(got)
            if got[0] == opcode:
                return got[1]
            if got[0] == PING:
                with contextlib.suppress(OSError):
                    self.frame(PONG, got[1])
        raise AssertionError(f"it ended before; there were {before}")

    def message(self):
        return json.loads(self.until(TEXT))

    def close_code(self):
        code = struct.unpack(">H", self.until(CLOSE)[:2])[0]
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.s.close()


@pytest.fixture
def session(r, site):  # noqa: F811
    session = order(r, f"{site}/session.html")
    yield session
    delete(r, session["sessionId"])


# ---- a picture ----

def test_the_stream_kit_client_gets_a_picture(r, site):  # noqa: F811
    """Ordered, offered, answered, trickled, decoded; and its goodbye ends the viewer."""
    if not os.path.isdir(os.path.join(HERE, "node_modules", "ws")):
        pytest.skip("npm's WebSocket and WebRTC are not installed here")
    done = subprocess.run(["node", os.path.join(HERE, "stream_kit_client.mjs"), r.url, f"{site}/session.html"],
                          capture_output=True, text=True, timeout=90)
    assert done.stdout, done.stderr
    got = json.loads(done.stdout)
    assert got["frames"] >= 30 and (got["width"], got["height"]) == (320, 180) and got["errors"] == [], got
    assert sorted(got["kinds"]) == ["audio", "video"] or not os.path.exists("/usr/bin/pulseaudio"), got
    assert got["candidates"] > 0 and got["signalingState"] == "connected" and got["code"] == 1000, got
    wait_for(lambda: state_of(r, got["session"])["webrtc"]["signalingState"] == "idle", "nobody looks")
    delete(r, got["session"])


def test_offers_by_http(r, session):
    """The same without a WebSocket: a POST with nothing in it is an invitation to offer."""
    path, sdp = f"/stream/{session['sessionId']}/whep", {"content-type": "application/sdp"}
    wait_page(r, session["sessionId"])
    status, headers, offer = r.request("POST", path)
    assert status == 201 and headers["content-type"] == "application/sdp" and b"a=sendonly" in offer
    viewer = headers["location"]
    fragment = {"content-type": "application/trickle-ice-sdpfrag"}
    assert r.request("PATCH", viewer, b"a=mid:0\r\na=candidate:1 1 udp 2 127.0.0.1 9 typ host\r\n", fragment)[0] == 204
    assert r.request("PATCH", viewer, b"no sdp", sdp)[0] == 400
    assert r.request("PATCH", viewer, b"\xff", sdp)[0] == 400
    assert r.request("DELETE", viewer)[0] == 200
    assert r.request("PATCH", viewer, b"v=0", sdp)[0] == 404


# ---- the handshake ----

def test_handshake(r, session):
    with Socket(r, path_of(session)) as s:
        proof = base64.b64encode(hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        assert s.status == 101 and s.headers["sec-websocket-accept"] == proof
        assert s.headers["upgrade"] == "websocket" and s.headers["connection"] == "upgrade"
        assert "connection: close" not in str(s.headers) and "content-length" not in s.headers
        offer = s.message()
        assert offer["type"] == "offer" and offer["sdp"]["type"] == "offer" and "a=candidate:" in offer["sdp"]["sdp"]
        s.frame(CLOSE, struct.pack(">H", 1000))
        assert s.close_code() == 1000
        assert s.read() is None
    wait_for(lambda: metric(r, "ringside_websockets") == 0, "it is gone")


@pytest.mark.parametrize("status, changes", [
    (426, {"upgrade": None}), (426, {"upgrade": "h2c"}), (426, {"connection": "keep-alive"}),
    (426, {"sec_websocket_version": "8"}), (426, {"sec_websocket_version": None}),
    (400, {"sec_websocket_key": None}), (400, {"sec_websocket_key": "c2hvcnQ="}),
    (400, {"sec_websocket_key": "!" * 24}),
    (101, {"connection": "keep-alive, Upgrade", "upgrade": "h2c, WebSocket"}),
])
def test_handshakes_of_all_kinds(r, session, status, changes):
    with Socket(r, path_of(session), **changes) as s:
        assert s.status == status
        if status == 426:
            assert s.headers["sec-websocket-version"] == "13" and s.headers["upgrade"] == "websocket"


def test_whom_it_lets_in(r, session):
    path = path_of(session)
    token = path.partition("token=")[2]
    assert len(token) == 43
    for wrong in (path.partition("?")[0], path[:-1], path + "x", path.replace(token, "A" * 43),
                  path + "&token=" + token):
        with Socket(r, wrong) as s:
            assert s.status == 403, wrong
    with Socket(r, "/v1/signal/00000000-0000-4000-8000-000000000000?token=" + token) as s:
        assert s.status == 404
    assert r.request("POST", path)[0] == 405
    assert r.request("GET", f"/stream/{session['sessionId']}")[2].find(token.encode()) < 0
    delete(r, session["sessionId"])
    with Socket(r, path) as s:
        assert s.status == 410


def test_origins_and_tokens(site):  # noqa: F811
    """The token of the order is not needed again; a page of a foreign origin is kept out where it could not read."""
    with ringside("--auth-session-tokens=alice", "--http-allowed-origin=https://friend.example") as r:
        session = order(r, f"{site}/session.html", authorization="Bearer alice")
        for origin, status in ((None, 101), ("https://friend.example", 101), (f"http://{host_of(r)}", 101),
                               ("https://enemy.example", 403), ("null", 403)):
            with Socket(r, path_of(session), origin=origin, host=host_of(r)) as s:
                assert s.status == status, origin
        with Socket(r, path_of(session), host=host_of(r)) as s:
            assert s.message()["type"] == "offer"


# ---- frames ----

def test_frames_that_are_wrong(r, session):
    for code, send in (
            (1002, lambda s: s.say({}, masked=False)),
            (1002, lambda s: s.frame(0x40 | TEXT, b"x")),          # a reserved bit
            (1002, lambda s: s.frame(3, b"x")),                    # no such opcode
            (1002, lambda s: s.frame(PING, b"x" * 126)),           # a control frame has 125 at most
            (1002, lambda s: s.frame(0, b"x")),                    # goes on with nothing
            (1003, lambda s: s.frame(BINARY, b"x")),
            (1007, lambda s: s.say(b"\xff\xfe")),
            (1009, lambda s: s.frame(TEXT, b"x", length=1 << 20)),
            (1009, lambda s: [s.frame(TEXT, b"x" * 40000, fin=False), s.frame(0, b"x" * 40000)])):
        with Socket(r, path_of(session)) as s:
            assert s.status == 101
            send(s)
            got = s.close_code()
            assert got == code, (got, code)
    assert r.request("GET", "/healthz")[0] == 200


def test_a_client_that_reads_nothing_is_not_read_and_ends_with_1008(r, session):
    """Each ping is answered: whoever sends them and takes no answer would fill the worker's memory."""
    with Socket(r, path_of(session)) as s:
        assert s.status == 101
        before, sent = metric(r, "ringside_timeouts_total"), 0
        pings = (bytes([0x80 | PING, 0x80 | 125, 0, 0, 0, 0]) + b"p" * 125) * 500
        s.s.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while sent < 128 << 20:
                sent += s.s.send(pings[sent % 131:])
        assert sent < 128 << 20
        s.s.settimeout(PATIENCE)
        wait_for(lambda: metric(r, "ringside_timeouts_total") > before, "the end of patience")
        assert s.close_code() == 1008


def test_messages(r, session):
    """In pieces, byte by byte, with the head, with pings between: they are the same messages."""
    with Socket(r, path_of(session)) as s:
        assert s.message()["type"] == "offer"
        text = json.dumps({"type": "answer", "sdp": "no sdp"}).encode()
        s.frame(TEXT, text[:3], fin=False)
        s.frame(PING, b"between")
        s.frame(0, text[3:])
        assert s.until(PONG) == b"between"
        assert s.message() == {"type": "error", "message": "the SDP cannot be taken"}


def test_an_error_is_the_end_and_nothing_else_is_one(r, session):
    """stream-kit-web ends its session at any error: what does not end it is none."""
    with Socket(r, path_of(session)) as s:
        assert s.message()["type"] == "offer"
        for harmless in ({"type": "moon"}, b"[" * 60000, {"type": "ice-candidate", "candidate": None},
                         {"type": "ice-candidate", "candidate": {"candidate": "nonsense", "sdpMid": "0"}}):
            s.say(harmless)
        s.frame(PING, b"still there")
        assert s.until(PONG) == b"still there"
        s.say({"type": "answer", "sdp": "no sdp"})
        assert s.message() == {"type": "error", "message": "the SDP cannot be taken"}
        assert s.close_code() == 1013
    # Broken off without goodbye: what was never answered goes by itself; nobody else is held up.
    with Socket(r, path_of(session)) as s:
        assert s.message()["type"] == "offer"


def test_a_client_does_not_fill_the_log(r, session):
    """What makes no sense is said once a connection, however often it comes."""
    def lines():
        return [line for line in r.log().splitlines() if "a viewer's message is not understood" in line]
    before = len(lines())
    with Socket(r, path_of(session)) as s:
        assert s.message()["type"] == "offer"
        for _ in range(200):
            s.frame(TEXT, b"x")
        s.frame(PING, b"all read")
        assert s.until(PONG) == b"all read"
        wait_for(lambda: len(lines()) > before, "the line")
    assert len(lines()) == before + 1


def test_a_page_that_is_late_is_waited_for(r, site):  # noqa: F811
    """The client connects as soon as it has ordered; its page is not there yet."""
    session = order(r, f"{site}/session.html")
    with Socket(r, path_of(session)) as s:
        assert s.message()["type"] == "offer"
    delete(r, session["sessionId"])


def test_the_cap_is_that_of_whep(site):  # noqa: F811
    with ringside("--sessions-viewers=1") as r:
        session = order(r, f"{site}/session.html")
        with Socket(r, path_of(session)) as first:
            assert first.message()["type"] == "offer"
            with Socket(r, path_of(session)) as second:
                assert "sessions.viewers" in second.message()["message"]
                assert second.close_code() == 1013
            first.frame(CLOSE, struct.pack(">H", 1000))
            first.close_code()
        with contextlib.ExitStack() as stack:
            def offered():
                s = stack.enter_context(Socket(r, path_of(session)))
                return s.message()["type"] == "offer"
            wait_for(offered, "room again")


def test_negotiations_have_a_rate(site):  # noqa: F811
    with ringside("--sessions-negotiations=3") as r:
        session = order(r, f"{site}/session.html")["sessionId"]
        wait_page(r, session)
        answers = [r.request("POST", f"/stream/{session}/whep", b"x", {"content-type": "application/sdp"})
                   for _ in range(8)]
        assert [a[0] for a in answers[:1]] == [400]
        limited = [a for a in answers if a[0] == 429]
        assert limited and all(a[1]["retry-after"] == "1" for a in limited)


# ---- ends ----

def test_silence_is_pinged_and_then_cut(r, session):
    with Socket(r, path_of(session)) as s:
        s.message()
        assert s.until(PING) == b""
        while s.read() is not None:  # we do not answer
            pass


def test_ends_with_the_session(r, site):  # noqa: F811
    session = order(r, f"{site}/session.html")
    with Socket(r, path_of(session)) as s:
        s.message()
        delete(r, session["sessionId"])
        assert s.close_code() == 1001


def test_a_drain_says_goodbye(site):  # noqa: F811
    with ringside() as r:
        session = order(r, f"{site}/session.html")
        with Socket(r, path_of(session)) as s:
            s.message()
            r.process.send_signal(signal.SIGTERM)
            assert s.close_code() == 1001
            s.frame(CLOSE, struct.pack(">H", 1001))
        assert r.process.wait(30) == 0


def test_the_renderer_goes_and_comes(r, session):
    """A killed capture worker takes the negotiation along; who connects afterwards gets an offer of the next one."""
    with Socket(r, path_of(session)) as s:
        s.message()
        os.kill(r.worker("capture-0")["pid"], signal.SIGKILL)
        s.say({"type": "answer", "sdp": "v=0"})
        assert s.message()["type"] == "error"
        assert s.close_code() == 1013
    # Nobody to ask: the reason is said before the end, though both come of one message.
    with Socket(r, path_of(session)) as s:
        assert s.message()["type"] == "offer"
        before = r.worker("capture-0")
        os.kill(before["pid"], signal.SIGKILL)
        r.wait_log(f"worker-exited worker=capture-0 pid={before['pid']} ")
        s.say({"type": "answer", "sdp": "v=0"})
        assert s.message()["type"] == "error"
        assert s.close_code() == 1013
    with Socket(r, path_of(session)) as s:
        assert s.message()["type"] == "offer"
