"""/v1/ws (docs/websocket.md): what EventSource gives, and appends, on one WebSocket; by a client of ours that holds every message
against the published schemas, and by npm's ws."""

import base64
import http.client
import json
import os
import random
import re
import signal
import struct
import subprocess
import threading
import time
import zlib

import pytest
from event_source import EventSource
from hub_client import BINARY, CONTINUATION, PING, TEXT, Refused
from ringside import PATIENCE, Ringside, wait_for
from test_rights import Rows, rfc3339, row, secret
from ws_client import CLIENT, PACKED, Closed, Socket, join

HERE = os.path.dirname(os.path.abspath(__file__))
JSON = {"content-type": "application/json"}
TEXT_TYPE = {"content-type": "text/plain"}
BYTES = {"content-type": "application/octet-stream"}
DEFLATE = "permessage-deflate"


@pytest.fixture(scope="module")
def r():
    with Ringside("--http-h2c", "--ws-compression", "--ws-subscriptions=3", "--ws-message-bytes=64k", "--ws-appends=4") as ringside:
        yield ringside


count = iter(range(10 ** 6))


@pytest.fixture
def name():
    return f"w{next(count)}"


def put(r, path, headers=None, body=None):
    status, _, text = r.request("PUT", "/v1/stream/" + path, body, headers or JSON)
    assert status in (200, 201), text


def post(r, path, body, headers=None):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, _, text = r.request("POST", "/v1/stream/" + path, body, headers or JSON)
    assert status in (200, 204), text


def metric(r, name):
    found = re.findall(rf"^ringside_{name}(?:{{[^}}]*}})? (\d+)", r.get("/metrics"), re.M)
    assert found, name
    return sum(map(int, found))


# ---- one history ----

WAYS = {"plain": {}, "packed": {"deflate": DEFLATE}, "http2": {"http2": True}}


@pytest.mark.parametrize("way", WAYS)
def test_eventsource_and_websocket_give_equal_histories(r, name, way):
    """The same ids, the same data: what came before, what comes, what a pattern takes in later, what is lost."""
    put(r, f"{name}/json")
    put(r, f"{name}/text", TEXT_TYPE)
    put(r, f"{name}/bytes", BYTES)
    for value in ([1, 2.50, {"a": "b\nc"}], ["ä", None]):
        post(r, f"{name}/json", value)
    post(r, f"{name}/json", b'[1e400, 12345678901234567890.10 , "' + b"x" * 5000 + b'"]')
    post(r, f"{name}/text", b'line "1"\\\nline 2\tend', TEXT_TYPE)
    post(r, f"{name}/bytes", bytes(range(256)), BYTES)
    source = EventSource(r, f"stream={name}/json&from=start")
    every = EventSource(r, f"stream={name}/**&from=start&event=stream")
    with Socket(r, **WAYS[way]) as s:
        s.subscribe("one", [f"{name}/json"], "start").subscribe("every", [f"{name}/**"], "start")
        post(r, f"{name}/json", [{"live": True}])
        put(r, f"{name}/later/x", TEXT_TYPE)
        post(r, f"{name}/later/x", b"later", TEXT_TYPE)
        post(r, f"{name}/text", b"last", TEXT_TYPE)
        s.until(lambda: len(s.of("one")) == 9 and len(s.of("every")) == 13)
        wait_for(lambda: len(source.messages()) == 9, "one stream")
        wait_for(lambda: sum(e.name.startswith(name) for e in every.events) == 13, "every stream")
        # Of one stream: every event with its id, from the first on.
        assert [(m["id"], m["data"]) for m in s.of("one")] == \
            [(e.last_id, e.data) for e in source.events if e.name == "message"]
        assert s.of("one", "streams")[0]["id"] == source.events[0].last_id
        # Of several, which come in whatever order: every stream's own, and where they stand in the end.
        for part in ("json", "text", "bytes", "later/x"):
            mine = s.data("every", f"{name}/{part}")
            theirs = [e.data for e in every.events if e.name == f"{name}/{part}"]
            assert [base64.b64encode(d).decode() if part == "bytes" else d for d in mine] == theirs
            assert mine
        assert sorted(s.ids["every"].split("-")) == sorted(every.last_id.split("-"))
        assert [m["streams"] for m in s.of("every", "streams")[1:]] == [[{"stream": f"{name}/later/x", "encoding": "text"}]]
        # What is lost is lost for both.
        assert r.request("DELETE", f"/v1/stream/{name}/text")[0] in (200, 204)
        wait_for(lambda: every.messages("reset"), "a reset")
        s.until(lambda: s.of("every", "reset"))
        assert {k: s.of("every", "reset")[0][k] for k in ("stream", "reason")} == json.loads(every.messages("reset")[0])
        assert getattr(s, "packed", 0) > 0 or way != "packed"
    source.stop()
    every.stop()


def test_an_id_of_either_goes_on_in_the_other(r, name):
    for part in "ab":
        put(r, f"{name}/{part}")
        post(r, f"{name}/{part}", list(range(10)))
    with Socket(r) as s:
        s.subscribe("a", [f"{name}/*"], "start")
        s.until(lambda: len(s.of("a")) == 20)
        for at in (0, 4, 9, 13, 19):
            want = [(m["id"], m["data"]) for m in s.of("a")[at + 1:]]
            source = EventSource(r, f"stream={name}/*", last_id=s.of("a")[at]["id"])
            wait_for(lambda: len(source.messages()) == len(want), "the rest")
            per_stream = {part: [m["data"] for m in s.of("a")[at + 1:] if m["stream"] == f"{name}/{part}"] for part in "ab"}
            assert sorted(source.messages()) == sorted(per_stream["a"] + per_stream["b"])
            source.stop()
    source = EventSource(r, f"stream={name}/a&from=start")
    wait_for(lambda: len(source.messages()) == 10, "ten")
    source.stop()
    ids = [e.last_id for e in source.events if e.name == "message"]
    for at in (0, 5, 9):
        with Socket(r) as s:
            s.subscribe("a", [f"{name}/a"], id=ids[at])
            s.append(f"{name}/a", json=f"behind {at}")
            s.until(lambda: s.data()[-1:] == [f'"behind {at}"'])
            assert s.data()[:9 - at] == [str(n) for n in range(at + 1, 10)]
    with Socket(r) as s:
        s.subscribe("a", [f"{name}/a"], id="not one of ours")
        assert s.next("reset")["reason"] == "unknown"


def test_from_now_and_what_ends_a_subscription(r, name):
    put(r, f"{name}/a")
    post(r, f"{name}/a", [1])
    put(r, f"{name}/b", TEXT_TYPE)
    with Socket(r) as s:
        s.subscribe("now", [f"/v1/stream/{name}/a"]).subscribe("b", [f"{name}/b"], "now")
        s.until(lambda: s.of("now", "streams") and s.of("b", "streams"))
        post(r, f"{name}/a", [2])
        s.until(lambda: s.data("now") == ["2"])
        s.put({"type": "unsubscribe", "subscription": "now"})
        assert s.next("end") == {"type": "end", "subscription": "now", "id": s.of("now")[-1]["id"], "reason": "unsubscribed"}
        post(r, f"{name}/a", [3])
        s.subscribe("now", [f"{name}/a"], id=s.ids["now"])
        s.until(lambda: s.data("now") == ["2", "3"])
        assert s.append(f"{name}/b", text="last", close=True)["closed"] is True
        end = s.of("b", "end") or [s.next("end")]
        assert (end[0]["reason"], s.data("b")) == ("closed", ["last"])
        s.subscribe("closed", [f"{name}/b"])
        assert s.next("end")["reason"] == "closed"
        r.request("DELETE", f"/v1/stream/{name}/a")
        end = s.next("end")
        assert (end["subscription"], end["reason"]) == ("now", "deleted") and s.of("now", "reset")[0]["reason"] == "deleted"
        assert metric(r, "ws_subscriptions") == 0


# ---- appends ----

def test_receipts(r, name):
    put(r, f"{name}/j")
    put(r, f"{name}/t", TEXT_TYPE)
    put(r, f"{name}/b", BYTES)
    with Socket(r) as s:
        receipt = s.append(f"{name}/j", json=[1, {"two": 2.0}])
        assert receipt == {"type": "receipt", "status": 204, "request": "1",
                           "offset": r.request("HEAD", f"/v1/stream/{name}/j")[1]["stream-next-offset"]}
        s.say(TEXT, '{"type":"append","request":"raw","stream":"%s/j","json": 12345678901234567890.10 }' % name)
        assert s.answer("raw")["status"] == 204
        assert r.get(f"/v1/stream/{name}/j?offset=-1") == '[1,{"two": 2.0},12345678901234567890.10]'
        assert s.append(f"{name}/t", text="a\0b\n")["status"] == 204
        assert s.append(f"{name}/t", b"\xff\xfe", contentType="text/plain")["status"] == 204
        assert r.request("GET", f"/v1/stream/{name}/t?offset=-1")[2] == b"a\0b\n\xff\xfe"
        assert s.append(f"{name}/b", bytes(range(256)))["status"] == 204
        assert s.append(f"{name}/b", base64="AAEC")["status"] == 204
        assert r.request("GET", f"/v1/stream/{name}/b?offset=-1")[2] == bytes(range(256)) + b"\0\1\2"
        s.subscribe("t", [f"{name}/t"], "start")
        s.until(lambda: s.data("t") == ["a\0b\n", b"\xff\xfe"])
        assert s.append(f"{name}/b", close=True)["closed"] is True


def test_a_producer_counts_once(r, name):
    put(r, name)
    producer = {"id": "p", "epoch": 0, "seq": 0}
    with Socket(r) as s:
        first = s.append(name, json="a", producer=producer)
        assert (first["status"], first["producer"]) == (200, {"epoch": 0, "seq": 0})
    with Socket(r) as s:
        again = s.append(name, json="a", producer=producer)
        assert (again["status"], again["duplicate"], again["offset"]) == (204, True, first["offset"])
        gap = s.append(name, json="c", producer={**producer, "seq": 2})
        assert (gap["status"], gap["code"], gap["expectedSeq"], gap["receivedSeq"]) == (409, "producer-gap", 1, 2)
        assert s.append(name, json="b", producer={**producer, "seq": 1})["producer"]["seq"] == 1
        assert s.append(name, json="d", producer={**producer, "epoch": 1})["status"] == 200
        stale = s.append(name, json="e", producer={**producer, "seq": 2})
        assert (stale["status"], stale["code"], stale["producer"]) == (403, "producer-stale", {"epoch": 1})
    assert json.loads(r.get(f"/v1/stream/{name}?offset=-1")) == ["a", "b", "d"]


FAULTS = {
    "no stream": ({"json": 1}, "none", {}),
    "no stream, bad body": ({"text": "{", "contentType": "application/json"}, "none", {}),
    "bad body": ({"text": "{", "contentType": "application/json"}, "j", {}),
    "empty array": ({"json": []}, "j", {}),
    "content type": ({"text": "a"}, "j", {}),
    "closed": ({"json": 1}, "closed", {}),
    "closed, producer": ({"json": 1, "producer": {"id": "p", "epoch": 0, "seq": 0}}, "closed", {}),
    "new epoch": ({"json": 1, "producer": {"id": "p", "epoch": 3, "seq": 1}}, "j", {}),
    "gap": ({"json": 1, "producer": {"id": "q", "epoch": 0, "seq": 7}}, "j", {}),
    "stream seq": ({"json": 1, "streamSeq": "a"}, "j", {}),
    "long stream seq": ({"json": 1, "streamSeq": "a" * 300}, "j", {}),
    "long producer": ({"json": 1, "producer": {"id": "p" * 300, "epoch": 0, "seq": 0}}, "j", {}),
    "owned": ({"json": 1}, "/v1/stream/hub/roster", {}),
    "long path": ({"json": 1}, "x" * 3000, {}),
    "empty": ({"text": ""}, "j", {}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_refused_append_is_refused_as_over_http(r, name, fault):
    put(r, f"{name}/j")
    put(r, f"{name}/closed", {**JSON, "stream-closed": "true"})
    post(r, f"{name}/j", [0], {**JSON, "stream-seq": "b"})
    more, path, _ = FAULTS[fault]
    path = path if path.startswith("/") else f"{name}/{path}"
    headers = {"content-type": more.get("contentType", "application/json" if "json" in more else "text/plain")}
    if "producer" in more:
        headers |= {f"producer-{k}": str(v) for k, v in more["producer"].items()}
    if "streamSeq" in more:
        headers["stream-seq"] = more["streamSeq"]
    body = json.dumps(more["json"]).encode() if "json" in more else more["text"].encode()
    http = r.request("POST", path if path.startswith("/") else "/v1/stream/" + path, body, headers)
    with Socket(r) as s:
        error = s.append(path, **more)
        assert error["type"] == "error"
        assert (error["status"], error["reason"]) == (http[0], http[2].decode().strip())
        for mine, theirs in (("expectedSeq", "producer-expected-seq"), ("receivedSeq", "producer-received-seq"),
                             ("offset", "stream-next-offset")):
            assert str(error.get(mine)) == str(http[1].get(theirs))
        assert s.append(f"{name}/j", json=1)["status"] == 204, "an error ends nothing"


@pytest.mark.parametrize("way", ["plain", "http2"])
def test_many_appends_are_answered_in_their_order_and_hold_the_client_up(r, name, way):
    """Four may be in flight: nothing more is read then, whatever is sent."""
    put(r, name)
    holds = metric(r, "ws_holds_total")
    with Socket(r, **WAYS[way]) as s:
        s.subscribe("a", [name], "start")
        frames = b"".join(s.pack(TEXT, json.dumps({"type": "append", "request": str(n), "stream": name, "json": [n] * (1 + n % 3)}))
                          for n in range(500))
        assert len(frames) < 65535, "which a window of HTTP/2 takes"
        thread = threading.Thread(target=s.socket.sendall, args=(frames,))
        thread.start()
        s.until(lambda: len([m for m in s.messages if m["type"] == "receipt"]) == 500)
        thread.join()
        receipts = [m for m in s.messages if m["type"] == "receipt"]
        assert [m["request"] for m in receipts] == [str(n) for n in range(500)]
        assert [m["offset"] for m in receipts] == sorted(m["offset"] for m in receipts)
        want = [str(n) for n in range(500) for _ in range(1 + n % 3)]
        s.until(lambda: len(s.data()) == len(want))
        assert s.data() == want
    assert metric(r, "ws_holds_total") > holds
    wait_for(lambda: metric(r, "ws_appends") == metric(r, "ws_append_bytes") == 0, "nothing in flight")


def test_large_appends_keep_their_place(name):
    with Ringside("--ws-message-bytes=2M") as r:
        put(r, name)
        with Socket(r) as s:
            asked = [s.send_append(name, json=["x" * 10] * 40000 if n % 2 == 0 else n) for n in range(6)]
            receipts = [s.answer(request) for request in asked]
            assert [m["status"] for m in receipts] == [204] * 6
            assert [m["offset"] for m in receipts] == sorted(m["offset"] for m in receipts)
        body = json.loads(r.get(f"/v1/stream/{name}?offset=-1"))
        assert body == [v for n in range(6) for v in (["x" * 10] * 40000 if n % 2 == 0 else [n])]


# ---- who may ----

def test_rights_are_those_of_http(tmp_path):
    rows = [row("root", "read=** append=** create=**"), row("reads", "read=open/*"), row("writes", "append=open/*"), row("none", "bet=accounts")]
    with Rows(tmp_path, rows) as rights:
        r = rights.ringside
        for path in ("open/a", "shut/a"):
            assert rights.ask(secret("root"), "PUT", f"/v1/stream/{path}", None, JSON)[0] == 201
        for token, status in ((None, 401), ("nobody", 401), (secret("none"), 403)):
            with pytest.raises(Refused) as refused:
                Socket(r, token=token)
            assert refused.value.status == status
        with Socket(r, token=secret("reads")) as s:
            s.subscribe("p", ["**"]).subscribe("shut", ["shut/a"]).subscribe("gone", ["open/none"])
            s.until(lambda: len(s.messages) >= 3)
            assert [x["stream"] for x in s.of("p", "streams")[0]["streams"]] == ["open/a"]
            assert [(m["status"], m["code"]) for m in s.of("shut", "error")] == [(403, "forbidden")]
            assert [(m["status"], m["code"]) for m in s.of("gone", "error")] == [(404, "not-found")]
            assert s.append("open/a", json=1)["code"] == "forbidden"
            with Socket(r, token=secret("writes")) as w:
                assert w.append("open/a", json=2)["status"] == 204
                assert w.append("shut/a", json=3)["status"] == 403
                w.subscribe("a", ["open/a"])
                assert w.next("error")["status"] == 403
            s.until(lambda: s.data("p") == ["2"])
            # Streams that come later, and may not be read, do not come.
            for path in ("shut/b", "open/b"):
                rights.ask(secret("root"), "PUT", f"/v1/stream/{path}", b"[1]", JSON)
            s.until(lambda: s.data("p") == ["2", "1"])
            assert {m["stream"] for m in s.of("p")} == {"open/a", "open/b"}
            # Judged again: other rights, and none.
            with Socket(r, token=secret("writes")) as w:
                rights.reload([*rows[:1], row("reads", "read=other/*"), *rows[3:]])
                assert s.goodbye()[0] == 1012
                assert w.goodbye()[0] == 4401


def test_a_credential_that_ends_takes_its_socket_with_it(tmp_path):
    with Rows(tmp_path, [row("root", "create=**")]) as rights:
        rights.ask(secret("root"), "PUT", "/v1/stream/a", None, JSON)
        rights.reload([row("root", "create=**"), row("short", "read=**", expires=rfc3339(time.time() + 5))])
        with Socket(rights.ringside, token=secret("short")) as s:
            s.subscribe("a", ["a"])
            end = s.next("end")
            assert end["reason"] == "expired" and s.goodbye()[0] == 4401


def test_pages_of_other_origins_may_not():
    with Ringside("--http-allowed-origin=https://page.example") as r:
        for origin in ("https://evil.example", "null"):
            with pytest.raises(Refused) as refused:
                Socket(r, headers={"origin": origin})
            assert refused.value.status == 403
        Socket(r, headers={"origin": "https://page.example"}).close()


def at_worker(r, name, make):
    """One that this worker serves, by trying."""
    for _ in range(60):
        before = r.worker(name)["counters"]["connections_total"]
        one = make()
        if r.worker(name)["counters"]["connections_total"] > before:
            return one
        one.close()
    raise AssertionError("all at another worker")


def test_what_another_worker_has_acknowledged_is_there(name):
    """A worker that has not heard of it yet looks when it is asked."""
    with Ringside(workers=2) as r:
        def speak():
            connection = http.client.HTTPConnection(*r.address(), timeout=PATIENCE)
            ask(connection, "GET", "/healthz")
            return connection

        def ask(connection, method, path, body=None):
            connection.request(method, path, body, JSON)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        with at_worker(r, "sse-0", lambda: Socket(r)) as s:
            other = at_worker(r, "sse-1", speak)
            pid = r.worker("sse-0")["pid"]
            os.kill(pid, signal.SIGSTOP)
            try:
                assert ask(other, "PUT", f"/v1/stream/{name}") == 201
                assert ask(other, "POST", f"/v1/stream/{name}", b"[1]") == 204
                s.subscribe("a", [name], "now")
            finally:
                os.kill(pid, signal.SIGCONT)
            s.until(lambda: s.messages)
            assert s.messages[0]["type"] == "streams", s.messages
            assert ask(other, "POST", f"/v1/stream/{name}", b"[2]") == 204
            s.until(s.data)
            assert s.data() == ["2"]
            other.close()


# ---- limits, and who is hostile ----

def test_who_comes_by_a_proxy_is_counted_by_his_own_address(name):
    with Ringside("--http-trust-forwarded=true", "--limits-appends=1") as r:
        put(r, name)
        with Socket(r, headers={"x-forwarded-for": "192.0.2.1"}) as one, Socket(r, headers={"x-forwarded-for": "192.0.2.2"}) as other:
            asked = [one.send_append(name, json=n) for n in range(50)]
            assert [one.answer(request)["status"] for request in asked].count(429) > 0
            assert other.append(name, json="other")["status"] == 204


def test_subscriptions_have_a_limit_and_names(r, name):
    put(r, name)
    with Socket(r) as s:
        for which in "abcd":
            s.subscribe(which, [name])
        s.subscribe("a", [name])
        s.until(lambda: len([m for m in s.messages if m["type"] == "error"]) == 2)
        assert [(m["status"], m["code"]) for m in s.of("d", "error") + s.of("a", "error")] == [(429, "limit"), (409, "exists")]
        s.put({"type": "unsubscribe", "subscription": "e"})
        assert s.next("error")["code"] == "not-found"
        assert metric(r, "ws_subscriptions") == 3
        s.put({"type": "unsubscribe", "subscription": "a"})
        s.next("end")
        s.subscribe("d", [name])
        assert s.next("streams")["subscription"] == "d"


WRONG = {
    "no JSON": ("{", "malformed"), "no object": ("[]", "malformed"), "nothing": ("", "malformed"), "no type": ("{}", "malformed"),
    "unknown type": ('{"type":"publish","request":"r"}', "unknown-type"),
    "unknown member": ('{"type":"append","stream":"a","json":1,"more":1}', "invalid"),
    "member twice": ('{"type":"append","stream":"a","json":1,"json":1}', "invalid"),
    "missing member": ('{"type":"subscribe","subscription":"a"}', "invalid"),
    "bad pattern": ('{"type":"subscribe","subscription":"a","streams":["/a"]}', "invalid"),
    "long path": ('{"type":"subscribe","subscription":"a","streams":["%s"]}' % ("x" * 3000), "too-long"),
    "deep": ('{"type":"append","stream":"a","json":%s1%s}' % ("[" * 5000, "]" * 5000), "malformed"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_message_is_an_error_and_ends_nothing(r, name, what):
    text, code = WRONG[what]
    with Socket(r) as s:
        s.say(TEXT, text)
        error = s.next("error")
        assert error["code"] == code and error["reason"]
        try:
            valid = CLIENT.is_valid(json.loads(text)) and what != "member twice"
        except (ValueError, RecursionError):
            valid = False
        assert not valid or code == "too-long" or what == "bad pattern", "and the schema says so, too"
        put(r, name)
        assert s.append(name, json=1)["status"] == 204


@pytest.mark.parametrize("data", [b"", b"\0\0", b"\0\0\0\x10{}", b"\xff\xff\xff\xff{}", b"\0\0\0\2{}rest",
                                  join({"type": "subscribe", "subscription": "a", "streams": ["a"]}, b""),
                                  join({"type": "append", "stream": "a", "json": 1}, b"and bytes")])
def test_a_binary_message_that_is_none(r, data):
    with Socket(r) as s:
        s.say(BINARY, data)
        assert s.next("error")["status"] == 400


def raw(s, *data):
    s.socket.sendall(b"".join(bytes(d) for d in data))
    return s.goodbye()[0]


def packed_frame(s, payload, opcode=TEXT, fin=True, first=PACKED):
    frame = bytearray(s.pack(opcode, payload, fin))
    frame[0] |= first
    return bytes(frame)


def test_frames_that_are_wrong_end_it(r, name):
    put(r, name)
    assert raw(s := Socket(r), s.pack(TEXT, b'{"type":"\xff"}')) == 1007
    assert raw(s := Socket(r), s.pack(TEXT, b'{"a":"\xe2\x82', fin=False), s.pack(CONTINUATION, b'"}')) == 1007
    assert raw(s := Socket(r), s.pack(CONTINUATION, b"{}")) == 1002
    assert raw(s := Socket(r), s.pack(TEXT, b"{", fin=False), s.pack(TEXT, b"{}")) == 1002
    assert raw(s := Socket(r), s.pack(3, b"{}")) == 1002
    assert raw(s := Socket(r), s.pack(PING, b"x" * 126)) == 1002
    assert raw(s := Socket(r), packed_frame(s, b"{}")) == 1002, "packed, and it was not agreed to"
    unmasked = b"\x81\x02{}"
    assert raw(Socket(r), unmasked) == 1002
    # Longer than may be: said so at once, and in pieces.
    assert raw(s := Socket(r), b"\x81\xff" + struct.pack(">Q", 1 << 40) + b"mask!") == 1009
    pieces = [s.pack(TEXT if n == 0 else CONTINUATION, b" " * 16384, fin=False) for n in range(5)]
    assert raw(Socket(r), *pieces) == 1009
    with Socket(r) as s:  # fragments are nothing special, and a ping may stand between them
        text = json.dumps({"type": "append", "request": "f", "stream": name, "json": "ä"}, ensure_ascii=False).encode()
        parts = [text[at:at + 7] for at in range(0, len(text), 7)]
        for n, part in enumerate(parts):
            s.send(CONTINUATION if n else TEXT, part, n == len(parts) - 1)
            s.send(PING, b"")
        assert s.answer("f")["status"] == 204


def test_packed_frames_that_are_wrong_end_it(r):
    def socket():
        s = Socket(r, deflate=DEFLATE)
        assert s.extension
        return s

    def pack(data):
        z = zlib.compressobj(9, zlib.DEFLATED, -15)
        return z.compress(data) + z.flush(zlib.Z_SYNC_FLUSH)
    bomb = pack(b'{"type":"append","stream":"a","text":"' + b"0" * (64 << 20) + b'"}')[:-4]
    assert len(bomb) < 70000
    before = memory(r)
    assert raw(s := socket(), packed_frame(s, bomb[:50000])) == 1009
    assert raw(s := socket(), packed_frame(s, bomb)) == 1009
    assert memory(r) - before < 32 << 20
    assert raw(s := socket(), packed_frame(s, b"\xff\xff\xff")) == 1007
    assert raw(s := socket(), packed_frame(s, pack(b'{"type":"\xff"}')[:-4])) == 1007
    assert raw(s := socket(), packed_frame(s, b"", first=0x20)) == 1002
    assert raw(s := socket(), packed_frame(s, b"{", fin=False), packed_frame(s, b"}", CONTINUATION)) == 1002
    assert raw(s := socket(), packed_frame(s, b"", PING)) == 1002


def memory(r):
    pid = next(w["pid"] for w in r.status()["workers"] if w["name"].startswith("sse"))
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)) << 10


def test_the_handshake(r):
    with pytest.raises(Refused) as refused:
        Socket(r, protocol="other, chat")
    assert refused.value.status == 400
    with Socket(r, protocol=None) as s:
        s.put({"type": "unsubscribe", "subscription": "a"})
        assert s.next("error")["status"] == 404
    assert r.request("GET", "/v1/ws")[0] == 426 and r.request("POST", "/v1/ws", b"")[0] == 405
    for offer, answer in ((DEFLATE, None), ("permessage-deflate; server_max_window_bits=9; client_max_window_bits", 9),
                          ("permessage-deflate; server_max_window_bits=8", "none"), ("permessage-deflate; x", "none"),
                          ("x-other; a=1, permessage-deflate; client_no_context_takeover", None)):
        with Socket(r, deflate=offer) as s:
            want = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            assert s.extension == (None if answer == "none" else want + (f"; server_max_window_bits={answer}" if answer else ""))
    with Ringside() as plain, Socket(plain, deflate=DEFLATE) as s:
        assert s.extension is None, "off by default"


@pytest.mark.parametrize("offer", [DEFLATE, "permessage-deflate; server_max_window_bits=9"])
def test_packed_both_ways(r, name, offer):
    put(r, name, BYTES)
    before = metric(r, "websocket_deflated_in_bytes_total"), metric(r, "websocket_deflated_out_bytes_total")
    with Socket(r, deflate=offer) as s, Socket(r) as plain:
        s.pack_all = True
        s.subscribe("a", [name], "start")
        plain.subscribe("a", [name], "start")
        data = [bytes([n % 7]) * n for n in (0, 1, 100, 1000, 30000)] + [os.urandom(5000)]
        for piece in data[1:]:
            assert s.append(name, piece)["status"] == 204
        s.until(lambda: len(s.data()) == 5)
        plain.until(lambda: len(plain.data()) == 5)
        assert s.data() == plain.data() == data[1:] and s.packed == 3
    assert metric(r, "websocket_deflated_in_bytes_total") - before[0] >= 31000
    assert metric(r, "websocket_deflated_out_bytes_total") - before[1] < 1000


def test_npms_ws(r, name):
    put(r, f"{name}/json")
    put(r, f"{name}/bytes", BYTES)
    with Ringside("--ws-compression") as other:
        put(other, f"{name}/json")
        put(other, f"{name}/bytes", BYTES)
        done = subprocess.run(["node", os.path.join(HERE, "ws_client.mjs"), "%s:%d" % other.address(), name],
                              capture_output=True, text=True, timeout=PATIENCE)
        assert done.stdout == "ok\n", done.stdout + done.stderr


# ---- slow readers ----

def test_one_that_does_not_read_holds_nobody_up_and_resumes(name):
    """It keeps a cursor, not a queue; beyond the lag it is cut, and goes on by the id that it has."""
    with Ringside("--limits-reader-lag-bytes=256k", "--http-sse-keepalive=60s") as r:
        put(r, name)
        with Socket(r, receive=4096) as slow, Socket(r) as quick:
            slow.subscribe("a", [name])
            quick.subscribe("a", [name])
            slow.until(lambda: slow.of("a", "streams"))
            quick.until(lambda: quick.of("a", "streams"))
            total = 300
            for n in range(total):
                post(r, name, [[n, "x" * 30000]])
                quick.until(lambda: len(quick.data()) == n + 1)
            assert slow.goodbye()[0] == 1013
            assert slow.of("a", "end")[0]["reason"] == "lag" and len(slow.data()) < total
            have = slow.data()
            while len(have) < total:
                with Socket(r) as again:
                    again.subscribe("a", [name], id=slow.ids["a"])
                    again.until(lambda: len(have) + len(again.data()) == total)
                    have += again.data()
            assert have == quick.data()


def test_one_that_catches_up_slowly_is_not_cut(name):
    """What was there before is handed out as it is taken, over three subscriptions and many beats."""
    with Ringside("--http-sse-keepalive=500ms") as r:
        for part in "abc":
            put(r, f"{name}/{part}", BYTES)
            for n in range(10):
                post(r, f"{name}/{part}", bytes([n]) * 50000, BYTES)
        with Socket(r, receive=4096) as s:
            for part in "abc":
                s.subscribe(part, [f"{name}/{part}"], "start")
            while any(len(s.of(part)) < 10 for part in "abc"):
                s.read()
                time.sleep(0.05)
            for part in "abc":
                assert s.data(part) == [bytes([n]) * 50000 for n in range(10)]


# ---- workers that go ----

def test_a_worker_that_drains_says_where_to_go_on(name):
    with Ringside("--worker-restart-delay-max=100ms", workers=1) as r:
        put(r, name)
        with Socket(r) as s:
            s.subscribe("a", [name], "start").subscribe("none", [f"{name}/*"])
            asked = [s.send_append(name, json=n) for n in range(20)]
            s.until(lambda: len(s.data()) == 20 and s.of("none", "streams"))
            restart = threading.Thread(target=r.ctl, args=("restart", "all"))
            restart.start()
            code, _ = s.goodbye()
            restart.join()
            assert code == 1012
            assert {m["subscription"]: m["reason"] for m in s.messages if m["type"] == "end"} == {"a": "drain", "none": "drain"}
            assert s.of("a", "end")[0]["id"] == s.of("a")[-1]["id"]
            assert len([m for m in s.messages if m.get("request") in asked]) == 20
        with Socket(r) as again:
            again.subscribe("a", [name], id=s.ids["a"])
            again.append(name, json="behind")
            again.until(lambda: again.data() == ['"behind"'])


def follow(r, query, stop, kept, resets):
    """Comes again until it is told to stop."""
    last = None
    while not stop.is_set():
        try:
            with Socket(r) as s:
                s.subscribe("k", query, None if last else "start", last)
                while not stop.is_set():
                    message = s.read()
                    last = s.ids.get("k", last)
                    if message["type"] == "message":
                        kept.append((message["stream"], json.loads(message["data"])))
                    resets += [message] if message["type"] in ("reset", "error") else []
                    if message["type"] == "end":
                        break
        except (Closed, Refused, OSError):
            continue


def write(r, path, stop, sent):
    """A producer: what has no receipt is sent again, on the next socket."""
    while not stop.is_set():
        try:
            with Socket(r) as s:
                while not stop.is_set():
                    answer = s.append(path, json=sent[path], producer={"id": "w", "epoch": 0, "seq": sent[path]})
                    if answer["type"] != "receipt":
                        break
                    sent[path] += 1
        except (Closed, Refused, OSError):
            continue


def test_no_gap_and_no_repeat_over_kills():
    seed = int(os.environ.get("SEED", random.randrange(10 ** 6)))
    print("SEED", seed)
    dice = random.Random(seed)
    with Ringside("--worker-restart-limit=64", "--worker-restart-delay-max=100ms", workers=2) as r:
        sent, over, done = {f"k/{i}": 0 for i in range(2)}, threading.Event(), threading.Event()
        for path in sent:
            put(r, path)
        one, every, resets = [], [], []
        readers = [threading.Thread(target=follow, args=(r, ["k/0"], over, one, resets)),
                   threading.Thread(target=follow, args=(r, ["k/*"], over, every, resets))]
        writers = [threading.Thread(target=write, args=(r, path, done, sent)) for path in sent]
        for thread in readers + writers:
            thread.start()
        for _ in range(6):
            time.sleep(dice.uniform(0.1, 0.4))
            r.kill_some_worker(dice, "sse")
        enough = {path: sent[path] + 5 for path in sent}
        wait_for(lambda: all(sent[p] >= enough[p] for p in sent), "writers go on")
        done.set()
        for thread in writers:
            thread.join()
        wait_for(lambda: len(one) >= sent["k/0"] and len(every) >= sum(sent.values()), "readers have all")
        over.set()
        put(r, "k/last")  # wakes them
        post(r, "k/0", ["last"])
        for thread in readers:
            thread.join()
        assert not resets
        assert [v for _, v in one if v != "last"] == list(range(sent["k/0"]))
        for path in sent:
            assert [v for p, v in every if p == path and v != "last"] == list(range(sent[path]))
