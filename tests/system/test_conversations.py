"""Conversations: the registry of /sessions as its clients know it, what is said in one, and that nothing of it is lost or
doubled: over kill -9, over two workers at the same conversation, over the import of an old registry."""

import http.client
import json
import os
import random
import re
import socket
import threading
import time
import uuid

import pytest

from ringside import Ringside, wait_for

JSON = {"content-type": "application/json"}


def ask(r, method, path, body=None, headers=None):
    """(status, JSON, headers)"""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    status, got, answer = r.request(method, path, data, {**JSON, **(headers or {})})
    return status, json.loads(answer) if answer else None, got


def stream(r, path):
    status, _, body = r.request("GET", f"/v1/stream/{path}?offset=-1")
    assert status == 200, (path, status, body)
    return json.loads(body)


def pieces(events):
    return [(e["key"], json.loads(e["value"]["chunk"])) for e in events if e.get("type") == "chunk"]


@pytest.fixture
def r():
    with Ringside(workers=2) as ringside:
        yield ringside


# ---- the registry ----


def test_registry_has_the_bytes_its_clients_know(r):
    def raw(method, path, body=None):
        status, headers, answer = r.request(method, path, body, JSON)
        return status, headers["content-type"], answer.decode()
    json_type = "application/json"
    for path in ("/sessions", "/sessions/"):
        assert raw("GET", path) == (200, json_type, "[]")
    required = (400, json_type, '{"error":"sessionId and title are required"}')
    invalid = (400, json_type, '{"error":"Invalid JSON body"}')
    for path in ("/sessions", "/sessions/"):
        for body in (b"{}", b'{"sessionId":"a"}', b'{"title":"a"}', b'{"sessionId":"","title":"a"}', b"[]", b"7", b'"x"',
                     b'{"sessionId":"  ","title":"a"}', b'{"sessionId":null,"title":"a"}'):
            assert raw("POST", path, body) == required, body
        for body in (b"", b"{", b"null", b"{]", b"\xff"):
            assert raw("POST", path, body) == invalid, body
        assert raw("POST", path, b"x" * 1000001) == (413, json_type, '{"error":"Payload too large"}')
    status, kind, first = raw("POST", "/sessions", b'{"sessionId":"one","title":"T \xc3\xa4/\\"","createdBy":"me","x":1}')
    assert (status, kind) == (201, json_type)
    assert re.fullmatch(r'{"sessionId":"one","title":"T ä/\\"","createdBy":"me","createdAt":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"}',
                        first), first
    # An id that is there: 201, and the old record as it is.
    assert raw("POST", "/sessions/", b'{"sessionId":"one","title":"other"}') == (201, json_type, first)
    wait_for(lambda: time.time() * 1000 % 1000 != 0, "another millisecond")
    time.sleep(0.002)
    second = raw("POST", "/sessions/", b'{"sessionId":"two","title":"2"}')[2]
    assert "createdBy" not in second
    for path in ("/sessions", "/sessions/"):
        assert raw("GET", path) == (200, json_type, f"[{second},{first}]")
    for path in ("/sessions/one", "/sessions/one/", "/sessions/%6fne"):
        assert raw("GET", path) == (200, json_type, first)
    for path in ("/sessions/none", "/sessions/a%20b", "/sessions/a/b"):
        assert raw("GET", path) == (404, json_type, '{"error":"Session not found"}')
    for path, method in (("/sessions", "PUT"), ("/sessions/", "DELETE"), ("/sessions/one", "POST"), ("/sessions", "BREW")):
        assert raw(method, path) == (405, json_type, '{"error":"Method not allowed"}')
    for method in ("GET", "POST", "PUT", "DELETE", "BREW"):
        assert raw(method, "/health") == (200, json_type, '{"status":"ok"}')


def test_allow_and_cors(r):
    def header(method, path, name):
        return r.request(method, path)[1][name]
    assert header("PUT", "/sessions", "allow") == "GET, HEAD, POST, OPTIONS"
    assert header("PUT", "/sessions/a", "allow") == "GET, HEAD, PATCH, DELETE, OPTIONS"
    assert header("PATCH", "/v1/sessions/a", "allow") == "GET, HEAD, PUT, DELETE, OPTIONS"
    assert header("GET", "/v1/sessions/a/messages", "allow") == "POST, OPTIONS"
    for path in ("/sessions", "/sessions/a", "/health", "/streams/a", "/v1/sessions/a/messages", "/anything"):
        status, headers, body = r.request("OPTIONS", path)
        assert (status, body) == (204, b"")
        allowed = headers["access-control-allow-headers"].lower()
        for name in ("content-type", "producer-id", "authorization", "if-none-match", "last-event-id", "stream-closed",
                     "x-actor-id", "x-session-id"):
            assert name in allowed, name


@pytest.mark.parametrize("body, word", [
    ({"sessionId": 7, "title": "T"}, "strings"), ({"sessionId": "a", "title": 7}, "strings"),
    ({"sessionId": "a b", "title": "T"}, "sessionId"), ({"sessionId": "..", "title": "T"}, "sessionId"),
    ({"sessionId": "a/b", "title": "T"}, "sessionId"), ({"sessionId": "x" * 129, "title": "T"}, "sessionId"),
    ({"sessionId": "a", "title": "x" * 1025}, "title"), ({"sessionId": "a", "title": "T", "createdBy": 1}, "createdBy"),
])
def test_what_cannot_be_registered_is_told_why(r, body, word):
    status, answer, _ = ask(r, "POST", "/sessions", body)
    assert status == 400 and word in answer["error"]
    assert ask(r, "GET", "/sessions")[1] == []


@pytest.mark.parametrize("request_", [
    b"GET /sessions HTTP/1.1\r\nHost: a b\r\n\r\n", b"GET /sessions HTTP/1.1\r\nHost: [\r\n\r\n",
    b"GET // HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /sessions HTTP/1.1\r\n\r\n", b"GET /sessions HTTP/1.0\r\n\r\n",
    b"GET /sessions/%zz HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /v1/sessions//messages HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /v1/sessions/%00/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
])
def test_targets_and_hosts_that_killed_the_original(r, request_):
    pids = r.worker_pids()
    with r.connect() as s:
        s.sendall(request_)
        assert re.match(rb"HTTP/1\.[01] [2-5]\d\d ", s.recv(4096))
    assert ask(r, "GET", "/sessions")[0] == 200
    assert r.worker_pids() == pids


def test_strict_registration_and_titles(r):
    one = ask(r, "POST", "/sessions?strict", {"sessionId": "a", "title": "T"})
    assert one[0] == 201
    assert ask(r, "POST", "/sessions?strict", {"sessionId": "a", "title": "T"})[:2] == (200, one[1])
    status, answer, _ = ask(r, "POST", "/sessions?strict=1", {"sessionId": "a", "title": "U"})
    assert (status, answer) == (409, {"error": "Session exists with another title"})
    assert ask(r, "POST", "/sessions?strict=0", {"sessionId": "a", "title": "U"})[:2] == (201, one[1])
    # PATCH, with and without a precondition.
    etag = ask(r, "GET", "/sessions/a")[2]["etag"]
    status, answer, headers = ask(r, "PATCH", "/sessions/a", {"title": " U "}, {"if-match": etag})
    assert (status, answer) == (200, {**one[1], "title": "U"}) and headers["etag"] != etag
    assert ask(r, "PATCH", "/sessions/a", {"title": "V"}, {"if-match": etag})[0] == 412
    assert ask(r, "DELETE", "/sessions/a", None, {"if-match": etag})[0] == 412
    for body in ({}, {"title": ""}, {"title": "  "}, {"title": 7}, {"title": "x" * 1025}):
        assert ask(r, "PATCH", "/sessions/a", body)[0] == 400, body
    assert ask(r, "PATCH", "/sessions/none", {"title": "V"})[:2] == (404, {"error": "Session not found"})
    assert ask(r, "GET", "/sessions/a")[1]["title"] == "U"


def test_pages_etags_and_heads(r):
    ids = [f"s{i:03}" for i in range(120)]
    for i in ids:
        assert ask(r, "POST", "/sessions", {"sessionId": i, "title": i})[0] == 201
    status, whole, headers = ask(r, "GET", "/sessions")
    assert sorted(s["sessionId"] for s in whole) == ids
    assert [s["createdAt"] for s in whole] == sorted((s["createdAt"] for s in whole), reverse=True)
    for limit in (1, 7, 120):
        seen, path = [], f"/sessions?limit={limit}"
        while path:
            status, page, got = ask(r, "GET", path)
            assert status == 200 and len(page) <= limit
            seen += page
            link = re.fullmatch(r'<([^>]+)>; rel="next"', got["link"]) if got["link"] else None
            path = link and link.group(1)
        assert seen == whole
    # After a session, and after one that is gone since its page was shown.
    link = ask(r, "GET", "/sessions?limit=5")[2]["link"]
    assert ask(r, "GET", f"/sessions?limit=5&after={whole[4]['sessionId']}")[1] == whole[5:10]
    assert ask(r, "DELETE", f"/sessions/{whole[4]['sessionId']}")[0] == 204
    assert ask(r, "GET", re.match("<([^>]+)>", link).group(1))[1] == whole[5:10]
    for query in ("limit=0", "limit=1001", "limit=x", "after=nobody", "after=a%20b", "after=", "after=:00:x"):
        assert ask(r, "GET", f"/sessions?{query}")[0] == 400, query
    # Entity tags and HEAD, of the list and of one.
    for path in ("/sessions", "/sessions?limit=3", "/sessions/s000"):
        status, headers, body = r.request("GET", path)
        head = r.request("HEAD", path)
        assert head[0] == 200 and head[2] == b"" and head[1]["content-length"] == str(len(body))
        assert head[1]["etag"] == headers["etag"]
        again = r.request("GET", path, None, {"if-none-match": headers["etag"]})
        assert (again[0], again[2]) == (304, b"")
    tag = ask(r, "GET", "/sessions")[2]["etag"]
    ask(r, "PATCH", "/sessions/s000", {"title": "new"})
    assert r.request("GET", "/sessions", None, {"if-none-match": tag})[0] == 200


def test_changes_are_a_stream_that_event_source_follows(r):
    connection = http.client.HTTPConnection(*r.address(), timeout=20)
    connection.request("GET", "/sessions/$events")
    answer = connection.getresponse()
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/event-stream")
    ask(r, "POST", "/sessions", {"sessionId": "a", "title": "T"})
    ask(r, "PATCH", "/sessions/a", {"title": "U"})
    ask(r, "PATCH", "/sessions/a", {"title": "U"})  # changes nothing: says nothing
    ask(r, "DELETE", "/sessions/a")
    seen, last = [], None
    while len(seen) < 3:
        line = answer.readline().decode().rstrip()
        if line.startswith('data:{"type"'):
            seen.append(json.loads(line[5:]))
        if line.startswith("id: ") and last is None:
            last = line[4:]
    connection.close()
    assert [(s["type"], s["session"]["title"]) for s in seen] == [("created", "T"), ("changed", "U"), ("deleted", "U")]
    assert stream(r, "conversations/changes") == seen
    # A reader that comes back gets what it missed; the other spelling is the same.
    connection.request("GET", "/sessions/%24events", headers={"last-event-id": last})
    answer = connection.getresponse()
    lines = [answer.readline() for _ in range(14)]
    assert b'data:{"type":"changed"' in b"".join(lines)
    connection.close()


def test_streams_by_their_other_names(r):
    status, headers, _ = r.request("PUT", "/streams/chat%201", None, JSON)
    assert status == 201
    assert r.request("POST", "/streams/chat%201", b'[{"n":1},{"n":2}]', JSON)[0] == 204
    assert stream(r, "streams/chat%201") == [{"n": 1}, {"n": 2}]
    status, got, body = r.request("GET", "/streams/chat%201?offset=-1")
    assert (status, json.loads(body)) == (200, [{"n": 1}, {"n": 2}])
    assert r.request("HEAD", "/streams/chat%201")[1]["stream-next-offset"] == got["stream-next-offset"]
    with r.connect() as s:
        s.sendall(b"GET /streams/chat%201?offset=now&live=sse HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: b"event: control" in s.recv(4096), "the control event")
        r.request("POST", "/streams/chat%201", b'{"n":3}', JSON)
        assert b'{"n":3}' in s.recv(4096)
    assert r.request("DELETE", "/streams/chat%201")[0] == 204
    assert r.request("GET", "/streams/chat%201?offset=-1")[0] == 404
    # A conversation's events are nobody's to write.
    ask(r, "PUT", "/v1/sessions/a")
    for path in ("/v1/stream/sessions/a", "/v1/stream/conversations/a/events", "/v1/stream/conversations/a/inbox",
                 "/v1/stream/%63onversations/a/inbox"):
        assert r.request("POST", path, b"1", JSON)[0] == 403, path
        assert r.request("DELETE", path)[0] == 403, path
        assert r.request("GET", path + "?offset=-1")[0] == 200, path
    assert r.request("GET", "/v1/stream/sessions/none?offset=-1")[0] == 404


def test_health_looks_at_the_store_and_the_workers(r):
    assert ask(r, "GET", "/health/live")[:2] == (200, {"status": "ok"})
    wait_for(lambda: ask(r, "GET", "/health/ready")[:2] == (200, {"status": "ok"}), "ready")
    r.flags.append("--store-free-bytes-min=16T")
    r.stop()
    r.start()
    wait_for(lambda: ask(r, "GET", "/health/ready")[:2] == (503, {"status": "unavailable"}), "no room")
    assert ask(r, "GET", "/health")[:2] == (200, {"status": "ok"})
    assert ask(r, "POST", "/sessions", {"sessionId": "a", "title": "T"})[0] == 507


# ---- what is said ----


def message(content, id_=None, **more):
    return {"content": content, **({"messageId": id_} if id_ else {}), **more}


def test_a_client_of_the_package_goes_through_everything(r):
    for _ in range(2):
        assert ask(r, "PUT", "/v1/sessions/c")[:2] == (200, {"sessionId": "c", "streamUrl": "/v1/stream/sessions/c"})
    assert ask(r, "GET", "/v1/sessions/c")[1]["streamUrl"] == "/v1/stream/sessions/c"
    assert ask(r, "GET", "/v1/sessions/d")[:2] == (404, {"error": "Session not found", "code": "SESSION_NOT_FOUND",
                                                         "sessionId": "d"})
    assert stream(r, "sessions/c") == []
    txid = str(uuid.uuid4())
    status, answer, _ = ask(r, "POST", "/v1/sessions/c/messages",
                            message("hi", "m1", role="user", actorId="ann", actorType="user", txid=txid))
    assert status == 202 and answer["accepted"] and answer["messageId"] == answer["clientMsgId"] == "m1"
    (event,) = stream(r, "sessions/c")
    assert event["type"] == "chunk" and event["key"] == "m1:0" and event["headers"] == {"operation": "insert", "txid": txid}
    value = event["value"]
    assert (value["messageId"], value["actorId"], value["role"], value["seq"]) == ("m1", "ann", "user", 0)
    whole = json.loads(value["chunk"])
    assert whole["type"] == "whole-message" and whole["message"]["parts"] == [{"type": "text", "content": "hi"}]
    # seq is the position behind the message.
    offset = r.request("HEAD", "/v1/stream/sessions/c")[1]["stream-next-offset"]
    assert int(offset.split("_")[1]) == answer["seq"]
    (item,) = stream(r, "conversations/c/inbox")
    assert (item["type"], item["messageId"], item["content"], item["actorId"], item["seq"]) == \
        ("message", "m1", "hi", "ann", answer["seq"])
    # An answer in pieces, one and several at a time.
    piece = {"messageId": "g1", "actorId": "bot", "role": "assistant"}
    assert ask(r, "POST", "/v1/sessions/c/chunks", {**piece, "chunk": {"n": 0}})[:2] == (200, {"ok": True})
    assert ask(r, "POST", "/v1/sessions/c/chunks/batch", {"chunks": [{**piece, "chunk": {"n": n}} for n in (1, 2)]})[:2] == \
        (200, {"ok": True, "count": 2})
    assert ask(r, "POST", "/v1/sessions/c/generations/finish", {"messageId": "g1"})[:2] == (200, {"ok": True})
    assert pieces(stream(r, "sessions/c"))[1:] == [(f"g1:{n}", {"n": n}) for n in range(3)]
    # What goes to the agent.
    for path, body in (("tool-results", {"toolCallId": "t1", "output": {"a": [1]}, "error": None, "messageId": "r1"}),
                       ("approvals/p%2F1", {"approved": False}),
                       ("answers/q1", {"answers": {"which": "this"}, "originalInput": {"x": 1}})):
        assert ask(r, "POST", f"/v1/sessions/c/{path}", body, {"x-actor-id": "bob"})[:2] == (204, None), path
    items = stream(r, "conversations/c/inbox")[1:]
    assert [i["type"] for i in items] == ["tool-result", "approval", "answer"]
    assert all(i["actorId"] == "bob" for i in items)
    assert items[1]["approvalId"] == "p/1" and items[2]["toolCallId"] == "q1" and items[2]["answers"] == {"which": "this"}
    assert [p[1]["type"] for p in pieces(stream(r, "sessions/c"))[4:]] == ["tool-result", "approval-response"]
    # It stands in the registry, too.
    assert [s["sessionId"] for s in ask(r, "GET", "/sessions")[1]] == ["c"]


def test_a_member_that_is_null_is_none(r):
    """Of every route, and every member that may be left out, but the number of a piece, which a client may have lost."""
    piece = {"messageId": "m", "actorId": "a", "role": "assistant", "chunk": {"n": 0}}
    for path, body, null in (("messages", {"content": "x"}, ("messageId", "role", "actorId", "txid")),
                             ("tool-results", {"toolCallId": "t", "output": 1}, ("error", "messageId", "actorId", "txid")),
                             ("approvals/p", {"approved": True}, ("actorId", "txid")),
                             ("answers/q", {"answers": {"a": "b"}}, ("originalInput", "actorId")),
                             ("login", {"actorId": "a", "deviceId": "d"}, ("name", "actorType")),
                             ("logout", {"actorId": "a", "deviceId": "d"}, ("allDevices",)),
                             ("chunks", piece, ("txid", "finish", "epoch", "done")), ("generations/finish", {}, ("messageId", "epoch", "done")),
                             ("stop", {}, ("messageId",)), ("reset", {}, ("clearPresence",)), ("fork", {}, ("atMessageId", "newSessionId"))):
        status, answer = ask(r, "POST", "/v1/sessions/null/" + path, {**body, **dict.fromkeys(null)})[:2]
        assert 200 <= status < 300, (path, answer)


def test_what_is_asked_wrongly_is_told_so(r):
    ask(r, "PUT", "/v1/sessions/c")
    for path, body in (("messages", {}), ("messages", {"content": 7}), ("messages", {"content": "x", "role": "king"}),
                       ("messages", message("x", "a b")), ("messages", message("x", txid=7)), ("messages", b"{"),
                       ("messages", b"[]"), ("messages", message("x", actorId="y" * 257)),
                       ("chunks", {}), ("chunks", {"messageId": "m", "actorId": "a", "role": "assistant", "chunk": 7}),
                       ("chunks/batch", {"chunks": []}), ("chunks/batch", {"chunks": [7]}), ("tool-results", {}),
                       ("approvals/x", {"approved": "yes"}), ("answers/x", {"answers": {"a": 1}}), ("login", {"actorId": "a"}),
                       ("logout", {"actorId": "a"}), ("logout", {"deviceId": "a"}), ("stop", {"messageId": 7}),
                       ("fork", {"newSessionId": "a b"})):
        status, answer, _ = ask(r, "POST", f"/v1/sessions/c/{path}", body)
        assert status == 400 and answer["code"] == "INVALID_BODY" and answer["sessionId"] == "c", (path, body, answer)
    for path in ("chunks", "generations/start", "stop", "reset", "fork"):
        body = {"messageId": "m", "actorId": "a", "role": "assistant", "chunk": {}} if path == "chunks" else {}
        assert ask(r, "POST", f"/v1/sessions/none/{path}", body)[0] == 404, path
    for path in ("nothing", "messages/x", "chunks/none", "approvals", "generations"):
        assert ask(r, "POST", f"/v1/sessions/c/{path}", {})[0] == 404, path
    assert ask(r, "PUT", "/v1/sessions/a%20b")[0] == 400
    assert stream(r, "sessions/c") == [] and stream(r, "conversations/c/inbox") == []


def test_the_same_message_again_is_the_same_receipt(r):
    first = ask(r, "POST", "/v1/sessions/c/messages", message("hi", "m1", txid="t1"))
    ask(r, "POST", "/v1/sessions/c/messages", message("more", "m2"))
    # Its id and what it says count, not the id of its transport, nor the order of members.
    again = ask(r, "POST", "/v1/sessions/c/messages", {"txid": "t2", "clientMsgId": "m1", "content": "hi"})
    assert again[:2] == first[:2]
    status, answer, _ = ask(r, "POST", "/v1/sessions/c/messages", message("ho", "m1"))
    assert (status, answer["code"]) == (409, "fingerprint_conflict")
    status, answer, _ = ask(r, "POST", "/v1/sessions/c/chunks",
                            {"messageId": "m1", "actorId": "bot", "role": "assistant", "chunk": {}})
    assert (status, answer["code"]) == (409, "fingerprint_conflict")
    assert [k for k, _ in pieces(stream(r, "sessions/c"))] == ["m1:0", "m2:0"]
    for _ in range(2):
        assert ask(r, "POST", "/v1/sessions/c/tool-results", {"toolCallId": "t", "output": 1, "messageId": "r"})[0] == 204
    assert ask(r, "POST", "/v1/sessions/c/tool-results", {"toolCallId": "t", "output": 2, "messageId": "r"})[0] == 409
    assert len(stream(r, "conversations/c/inbox")) == 3
    assert r.get("/metrics").count("ringside_conversation_repeats_total") >= 1


def test_receipts_are_forgotten_in_their_order():
    with Ringside("--conversations-receipts=16", workers=1) as r:
        receipts = [ask(r, "POST", "/v1/sessions/c/messages", message(str(n), f"m{n}"))[1] for n in range(20)]
        for n in range(4, 20):
            assert ask(r, "POST", "/v1/sessions/c/messages", message(str(n), f"m{n}"))[1] == receipts[n]
        assert len(stream(r, "sessions/c")) == 20
        assert ask(r, "POST", "/v1/sessions/c/messages", message("0", "m0"))[1] != receipts[0]  # it is a new one by now


def test_two_workers_race_for_one_message(r):
    """Sixteen clients send the same, over both workers: one event, one item, one receipt for all."""
    for n in range(10):
        answers, gate = [], threading.Barrier(16)

        def send():
            gate.wait()
            answers.append(ask(r, "POST", "/v1/sessions/race/messages", message("same", f"m{n}"))[:2])
        threads = [threading.Thread(target=send) for _ in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(answers) == 16 and all(a == answers[0] for a in answers) and answers[0][0] == 202, answers
    assert [k for k, _ in pieces(stream(r, "sessions/race"))] == [f"m{n}:0" for n in range(10)]
    assert [i["messageId"] for i in stream(r, "conversations/race/inbox")] == [f"m{n}" for n in range(10)]
    assert [c["type"] for c in stream(r, "conversations/changes")] == ["created"]


def test_receipts_say_where_while_another_worker_writes(r):
    """A piece changes nothing that a message needs, and still moves the end of the events."""
    ask(r, "PUT", "/v1/sessions/c")
    receipts, over = {}, threading.Event()

    def answer():
        n = 0
        while not over.is_set():
            assert ask(r, "POST", "/v1/sessions/c/chunks", {"messageId": "g", "actorId": "b", "role": "assistant", "chunk": {"n": n}})[0] == 200
            n += 1
    agents = [threading.Thread(target=answer) for _ in range(3)]
    for agent in agents:
        agent.start()
    for n in range(60):
        receipts[f"m{n}"] = ask(r, "POST", "/v1/sessions/c/messages", message("x", f"m{n}"))[1]["seq"]
    over.set()
    for agent in agents:
        agent.join()
    end, ends = 0, {}
    for event in r.request("GET", "/v1/stream/sessions/c?offset=-1")[2][1:-1].replace(b'},{"type":"chunk"', b'},\n{"type":"chunk"').split(b"\n"):
        end += len(event.rstrip(b",")) + 1
        ends[json.loads(event.rstrip(b","))["value"]["messageId"]] = end
    assert {name: ends[name] for name in receipts} == receipts


def test_one_answer_at_a_time(r):
    ask(r, "PUT", "/v1/sessions/c")
    piece = {"actorId": "bot", "role": "assistant", "chunk": {}}
    answers, gate = [], threading.Barrier(12)

    def speak(n):
        gate.wait()
        for _ in range(5):
            answers.append((n % 3, ask(r, "POST", "/v1/sessions/c/chunks", {**piece, "messageId": f"g{n % 3}"})))
    threads = [threading.Thread(target=speak, args=(n,)) for n in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    winners = {n for n, (status, *_) in answers if status == 200}
    assert len(winners) == 1
    winner = winners.pop()
    for n, (status, answer, _) in answers:
        assert status == (200 if n == winner else 409)
        if n != winner:
            assert (answer["code"], answer["activeMessageId"]) == ("GENERATION_MISMATCH", f"g{winner}")
    assert [k for k, _ in pieces(stream(r, "sessions/c"))] == [f"g{winner}:{n}" for n in range(20)]
    other = f"g{(winner + 1) % 3}"
    assert ask(r, "POST", "/v1/sessions/c/generations/finish", {"messageId": other})[0] == 409
    assert ask(r, "POST", "/v1/sessions/c/generations/start", {"messageId": other})[0] == 409
    assert ask(r, "POST", "/v1/sessions/c/generations/finish")[0] == 200
    # Finished is finished; the next may begin; a batch is all or nothing.
    status, answer, _ = ask(r, "POST", "/v1/sessions/c/chunks", {**piece, "messageId": f"g{winner}"})
    assert (status, answer["activeMessageId"]) == (409, None)
    assert ask(r, "POST", "/v1/sessions/c/chunks/batch",
               {"chunks": [{**piece, "messageId": other}, {**piece, "messageId": "g9"}]})[0] == 409
    assert len(stream(r, "sessions/c")) == 20
    begun = ask(r, "POST", "/v1/sessions/c/generations/start")[1]["messageId"]
    assert ask(r, "POST", "/v1/sessions/c/chunks", {**piece, "messageId": begun})[0] == 200
    assert pieces(stream(r, "sessions/c"))[-1][0] == f"{begun}:0"


def test_words_are_looked_for(r):
    for n in range(30):
        ask(r, "POST", "/sessions", {"sessionId": f"s-{n}", "title": f"{'Chess' if n % 3 else 'Go'} été & more {n}", "createdBy": "ann"})
    def ids(query):
        status, answer, headers = ask(r, "GET", f"/sessions?{query}")
        assert status == 200, answer
        return [s["sessionId"] for s in answer], headers
    every = [s["sessionId"] for s in ask(r, "GET", "/sessions")[1]]  # newest first, as far as milliseconds tell
    assert sorted(every) == sorted(f"s-{n}" for n in range(30))
    assert ids("q=")[0] == ids("q=ANN")[0] == every
    assert ids("q=go+s-1")[0] == [s for s in every if int(s[2:]) % 3 == 0 and s.startswith("s-1")]
    assert ids("q=%C3%A9t%C3%A9+%26")[0] == every and ids("q=nobody")[0] == []
    got, path = [], "limit=4&q=chess+%C3%A9t%C3%A9"
    while path:
        page, headers = ids(path)
        got += page
        assert len(page) <= 4
        path = re.search(r"</sessions\?(.*)>", headers["link"]).group(1) if headers["link"] else None
    assert got == [s for s in every if int(s[2:]) % 3]
    # What is behind a page and matches nothing is no page.
    page, headers = ids("limit=1&q=more+29")
    assert page == ["s-29"] and not headers["link"]
    page, headers = ids("limit=10&q=go")
    assert len(page) == 10 and not headers["link"]
    page, headers = ids("limit=9&q=go")
    assert len(page) == 9 and ids(re.search(r"</sessions\?(.*)>", headers["link"]).group(1))[0] == [s for s in every if int(s[2:]) % 3 == 0][9:]
    assert ask(r, "GET", "/sessions?q=" + "x" * 257)[0] == 400
    assert ask(r, "GET", "/sessions?q=%zz")[0] == 400


def test_pieces_that_say_their_number_count_once(r):
    ask(r, "PUT", "/v1/sessions/c")
    piece = {"messageId": "g", "actorId": "bot", "role": "assistant"}

    def post(*numbers):
        return ask(r, "POST", "/v1/sessions/c/chunks/batch", {"chunks": [{**piece, "chunk": {"n": n}, "seq": n} for n in numbers]})

    assert post(0)[:2] == (200, {"ok": True, "count": 1})
    assert post(0)[:2] == (200, {"ok": True, "count": 0})
    assert post(0, 1, 2)[:2] == (200, {"ok": True, "count": 2})
    status, answer, _ = post(1, 2, 4)
    assert (status, answer["code"], answer["expectedSeq"]) == (409, "PIECE_MISSING", 3)
    assert post(3, 5)[0] == 409  # all or none
    assert pieces(stream(r, "sessions/c")) == [(f"g:{n}", {"n": n}) for n in range(3)]
    for bad in (-1, 1.5, "1", None):
        assert ask(r, "POST", "/v1/sessions/c/chunks", {**piece, "chunk": {}, "seq": bad})[0] == 400
    ask(r, "POST", "/v1/sessions/c/generations/finish")
    assert post(2)[0] == 409


def test_stop_ends_an_answer_for_all(r):
    ask(r, "PUT", "/v1/sessions/c")
    piece = {"messageId": "g1", "actorId": "bot", "role": "assistant", "chunk": {"n": 0}}
    assert ask(r, "POST", "/v1/sessions/c/stop", {"messageId": None})[0] == 204  # before it has begun: the agent hears of it
    ask(r, "POST", "/v1/sessions/c/chunks", piece)
    assert ask(r, "POST", "/v1/sessions/c/stop", {"messageId": "g2"})[0] == 409
    assert ask(r, "POST", "/v1/sessions/c/stop", {"messageId": "g1"}, {"x-actor-id": "ann"})[0] == 204
    status, answer, _ = ask(r, "POST", "/v1/sessions/c/chunks", piece)
    assert (status, answer["code"], answer["activeMessageId"]) == (409, "GENERATION_MISMATCH", None)
    assert pieces(stream(r, "sessions/c")) == [("g1:0", {"n": 0}), ("g1:1", {"type": "stop", "reason": "stopped"})]
    assert [(i["type"], i.get("messageId")) for i in stream(r, "conversations/c/inbox")] == [("stop", None), ("stop", "g1")]
    assert ask(r, "POST", "/v1/sessions/c/chunks", {**piece, "messageId": "g2"})[0] == 200


def test_an_agent_that_went_away_gives_way():
    with Ringside("--conversations-generation-timeout=200ms", workers=1) as r:
        ask(r, "PUT", "/v1/sessions/c")
        piece = {"actorId": "bot", "role": "assistant", "chunk": {}}
        assert ask(r, "POST", "/v1/sessions/c/chunks", {**piece, "messageId": "g1"})[0] == 200
        wait_for(lambda: ask(r, "POST", "/v1/sessions/c/chunks", {**piece, "messageId": "g2"})[0] == 200, "its turn")
        assert [(k, c.get("reason")) for k, c in pieces(stream(r, "sessions/c"))] == \
            [("g1:0", None), ("g1:1", "abandoned"), ("g2:0", None)]
        assert ask(r, "POST", "/v1/sessions/c/chunks", {**piece, "messageId": "g1"})[0] == 409


def test_presence_and_reset(r):
    def presence():
        rows = {}
        for e in stream(r, "sessions/c"):
            if e["headers"].get("control") == "reset":
                rows = {}
            elif e["type"] == "presence":
                rows[e["key"]] = e["value"]["status"]
        return rows
    assert ask(r, "POST", "/v1/sessions/c/login", {"actorId": "ann", "deviceId": "d1", "name": "Ann"})[:2] == \
        (200, {"success": True, "actorId": "ann", "deviceId": "d1", "status": "online"})
    ask(r, "POST", "/v1/sessions/c/login", {"actorId": "ann", "deviceId": "d2"})
    ask(r, "POST", "/v1/sessions/c/login", {"actorId": "bob", "deviceId": "d1"})
    ask(r, "POST", "/v1/sessions/c/messages", message("hi", "m1"))
    ask(r, "POST", "/v1/sessions/c/chunks", {"messageId": "g1", "actorId": "b", "role": "assistant", "chunk": {}})
    assert ask(r, "POST", "/v1/sessions/c/reset", {})[1]["success"] is True
    assert presence() == {"ann:d1": "online", "ann:d2": "online", "bob:d1": "online"}
    # What belongs to the time before comes late: it is told so.
    assert ask(r, "POST", "/v1/sessions/c/chunks",
               {"messageId": "g1", "actorId": "b", "role": "assistant", "chunk": {}})[0] == 409
    assert ask(r, "POST", "/v1/sessions/c/logout", {"actorId": "ann", "allDevices": True})[1] == \
        {"success": True, "actorId": "ann", "devicesLoggedOut": 2, "status": "offline"}
    assert presence() == {"ann:d1": "offline", "ann:d2": "offline", "bob:d1": "online"}
    assert ask(r, "POST", "/v1/sessions/c/logout", {"actorId": "bob", "deviceId": "d1"})[1]["status"] == "offline"
    ask(r, "POST", "/v1/sessions/c/login", {"actorId": "bob", "deviceId": "d1"})
    assert ask(r, "POST", "/v1/sessions/c/reset", {"clearPresence": True})[0] == 200
    assert presence() == {}
    assert ask(r, "POST", "/v1/sessions/c/logout", {"actorId": "bob", "allDevices": True})[1]["devicesLoggedOut"] == 0


def test_a_fork_has_all_up_to_there_and_goes_its_own_way(r):
    for n in range(4):
        ask(r, "POST", "/v1/sessions/c/messages", message(str(n), f"m{n}"))
    ask(r, "POST", "/v1/sessions/c/chunks", {"messageId": "g1", "actorId": "b", "role": "assistant", "chunk": {}})
    whole = stream(r, "sessions/c")
    status, answer, _ = ask(r, "POST", "/v1/sessions/c/fork", {"atMessageId": "m1", "newSessionId": "f"})
    assert status == 201 and answer["sessionId"] == "f"
    assert stream(r, "sessions/f") == whole[:2] and stream(r, "conversations/f/inbox") == []
    assert int(answer["offset"].split("_")[1]) == ask(r, "POST", "/v1/sessions/c/messages", message("1", "m1"))[1]["seq"]
    # What was said before is known there, too; what came behind is not.
    ask(r, "POST", "/v1/sessions/f/messages", message("1", "m1"))
    assert stream(r, "sessions/f") == whole[:2]
    ask(r, "POST", "/v1/sessions/f/messages", message("else", "m2"))
    assert [k for k, _ in pieces(stream(r, "sessions/f"))] == ["m0:0", "m1:0", "m2:0"]
    assert stream(r, "sessions/c") == whole
    # All of it, under a name of ours; its answer that is under way is over in the fork.
    other = ask(r, "POST", "/v1/sessions/c/fork", {"atMessageId": None, "newSessionId": None})[1]["sessionId"]
    there = stream(r, f"sessions/{other}")
    assert uuid.UUID(other) and there[:-1] == whole
    assert pieces(there)[-1] == ("g1:1", {"type": "stop", "reason": "abandoned"})
    piece = {"actorId": "b", "role": "assistant", "chunk": {}}
    assert ask(r, "POST", f"/v1/sessions/{other}/chunks", {**piece, "messageId": "g1"})[0] == 409
    assert ask(r, "POST", f"/v1/sessions/{other}/chunks", {**piece, "messageId": "g2"})[0] == 200
    assert stream(r, "sessions/c") == whole and ask(r, "POST", "/v1/sessions/c/chunks", {**piece, "messageId": "g1"})[0] == 200
    assert ask(r, "POST", "/v1/sessions/c/fork", {"atMessageId": "none"})[1]["code"] == "MESSAGE_NOT_FOUND"
    assert ask(r, "POST", "/v1/sessions/c/fork", {"newSessionId": "f"})[1]["code"] == "SESSION_EXISTS"
    # The source goes; the fork keeps what it has.
    assert ask(r, "DELETE", "/v1/sessions/c")[0] == 204
    assert [k for k, _ in pieces(stream(r, "sessions/f"))] == ["m0:0", "m1:0", "m2:0"]
    assert {s["sessionId"] for s in ask(r, "GET", "/sessions")[1]} == {"f", other}


def test_what_is_deleted_is_gone_with_all_it_had(r):
    r.request("PUT", "/streams/c", None, JSON)
    for n in range(300):
        if n < 5 or n % 50 == 0:
            ask(r, "POST", "/v1/sessions/c/messages", message(str(n), f"m{n}"))
    ask(r, "POST", "/v1/sessions/c/login", {"actorId": "ann", "deviceId": "d"})
    with r.connect() as s:
        s.sendall(b"GET /v1/stream/sessions/c?offset=now&live=sse HTTP/1.1\r\nHost: a\r\n\r\n")
        s.recv(4096)
        assert ask(r, "DELETE", "/sessions/c")[:2] == (204, None)
        wait_for(lambda: s.recv(4096).endswith(b"0\r\n\r\n"), "the reader's end")
    for path in ("/sessions/c", "/v1/sessions/c", "/v1/stream/sessions/c?offset=-1", "/v1/stream/conversations/c/inbox?offset=-1"):
        assert r.request("GET", path)[0] == 404, path
    assert r.request("GET", "/streams/c?offset=-1")[0] == 200
    # A new one of the same name knows nothing of it.
    ask(r, "PUT", "/v1/sessions/c")
    assert stream(r, "sessions/c") == []
    ask(r, "POST", "/v1/sessions/c/messages", message("other", "m1"))
    assert [k for k, _ in pieces(stream(r, "sessions/c"))] == ["m1:0"]
    assert ask(r, "POST", "/v1/sessions/c/logout", {"actorId": "ann", "allDevices": True})[1]["devicesLoggedOut"] == 0
    assert ask(r, "DELETE", "/sessions/c?cascade")[0] == 204
    assert r.request("GET", "/streams/c?offset=-1")[0] == 404
    assert ask(r, "DELETE", "/sessions/c")[0] == 404 and ask(r, "DELETE", "/v1/sessions/c")[0] == 204
    assert [c["type"] for c in stream(r, "conversations/changes")] == ["created", "deleted"] * 2


def test_limits_have_names():
    with Ringside("--conversations-max=2", "--conversations-message-bytes=2k", "--conversations-devices=1", workers=1) as r:
        for n in range(2):
            assert ask(r, "POST", "/sessions", {"sessionId": f"s{n}", "title": "T"})[0] == 201
        for method, path, body in (("POST", "/sessions", {"sessionId": "s2", "title": "T"}), ("PUT", "/v1/sessions/s2", None),
                                   ("POST", "/v1/sessions/s2/messages", message("x")), ("POST", "/v1/sessions/s2/login",
                                                                                        {"actorId": "a", "deviceId": "d"})):
            status, answer, _ = ask(r, method, path, body)
            assert status == 507 and "conversations.max" in answer["error"], (path, answer)
        assert ask(r, "POST", "/v1/sessions/s0/messages", message("x" * 3000))[:2] == (413, {"error": "Payload too large"})
        assert ask(r, "POST", "/v1/sessions/s0/login", {"actorId": "a", "deviceId": "d"})[0] == 200
        status, answer, headers = ask(r, "POST", "/v1/sessions/s0/login", {"actorId": "b", "deviceId": "d"})
        assert status == 429 and "conversations.devices" in answer["error"] and headers["retry-after"]
        assert "ringside_conversations{worker=\"sse-0\"} 2" in r.get("/metrics")
        ask(r, "DELETE", "/sessions/s0")
        assert ask(r, "PUT", "/v1/sessions/s2")[0] == 200
        assert "ringside_conversations{worker=\"sse-0\"} 2" in r.get("/metrics")


def test_who_may():
    with Ringside("--auth-subscribe-tokens=reader", "--auth-publish-tokens=writer", workers=1) as r:
        r.stop()
        r.flags.remove("--dev")
        r.start()

        def status(method, path, token=None, body=None):
            return ask(r, method, path, body, {"authorization": f"Bearer {token}"} if token else {})[:2]
        one = {"sessionId": "a", "title": "T"}
        assert status("POST", "/sessions", None, one)[0] == 401
        assert status("POST", "/sessions", "reader", one)[0] == 403
        assert status("POST", "/sessions", "writer", one)[0] == 201
        assert status("GET", "/sessions")[0] == 401 and status("GET", "/sessions", "reader")[0] == 200
        assert status("PUT", "/v1/sessions/a") == (401, {"error": "Unauthorized"})
        assert status("PUT", "/v1/sessions/a", "writer")[0] == 200
        assert r.request("GET", "/v1/stream/sessions/a?offset=-1")[0] == 401
        assert status("GET", "/v1/stream/sessions/a?offset=-1", "reader")[0] == 200
        assert r.request("GET", "/streams/a?offset=-1")[0] == 401
        assert r.request("PUT", "/streams/a", None, {"authorization": "Bearer reader"})[0] == 403
        for path in ("/health", "/health/live", "/health/ready"):
            assert status("GET", path)[0] in (200, 503)


def test_rights_are_about_streams_and_owners_may_more():
    rows = ("ann token:ann-secret-0123456789abcdef create=conversations/ann-*/**\n"
            "bob token:bob-secret-0123456789abcdef append=conversations/*/inbox read=conversations/shared/events\n"
            "bot token:bot-secret-0123456789abcdef append=conversations/*/events read=conversations/*/inbox\n")
    with Ringside(workers=1, start=False) as r:
        path = os.path.join(r.dir, "tokens")
        with open(path, "w") as file:
            file.write(rows)
        os.chmod(path, 0o600)
        r.flags.remove("--dev")
        r.flags.append(f"--auth-tokens={path}")
        r.start()

        def who(name, method, path, body=None):
            status, _, answer = r.request(method, path, json.dumps(body).encode() if body is not None else None,
                                          {**JSON, "authorization": f"Bearer {name}-secret-0123456789abcdef"})
            return status, answer
        one = {"title": "T", "sessionId": "ann-1"}
        assert who("bob", "POST", "/sessions", one)[0] == 403
        assert who("ann", "POST", "/sessions", {**one, "sessionId": "other"})[0] == 403
        assert who("ann", "POST", "/sessions", one)[0] == 201
        # Hers: she may all with it, though no right of hers is about its streams.
        for method, path, body, want in (
                ("GET", "/sessions/ann-1", None, 200), ("GET", "/v1/sessions/ann-1", None, 200),
                ("POST", "/v1/sessions/ann-1/messages", message("hi", "m1"), 202),
                ("GET", "/v1/stream/sessions/ann-1?offset=-1", None, 200), ("PATCH", "/sessions/ann-1", {"title": "U"}, 200),
                ("POST", "/v1/sessions/ann-1/fork", {"newSessionId": "ann-2"}, 201),
                ("POST", "/v1/sessions/ann-1/fork", {"newSessionId": "bob-2"}, 403)):
            assert who("ann", method, path, body)[0] == want, (method, path)
        # The others what they have a right to.
        for name, method, path, body, want in (
                ("bob", "GET", "/sessions/ann-1", None, 403), ("bob", "GET", "/v1/stream/sessions/ann-1?offset=-1", None, 403),
                ("bob", "POST", "/v1/sessions/ann-1/messages", message("ho", "m2"), 202),
                ("bob", "POST", "/v1/sessions/new/messages", message("ho"), 403),
                ("bob", "POST", "/v1/sessions/ann-1/chunks", {"messageId": "g", "actorId": "b", "role": "assistant", "chunk": {}}, 403),
                ("bot", "POST", "/v1/sessions/ann-1/chunks", {"messageId": "g", "actorId": "b", "role": "assistant", "chunk": {}}, 200),
                ("bot", "POST", "/v1/sessions/ann-1/messages", message("x"), 403),
                ("bot", "GET", "/v1/stream/conversations/ann-1/inbox?offset=-1", None, 200),
                ("bot", "DELETE", "/sessions/ann-1", None, 403), ("bob", "PATCH", "/sessions/ann-1", {"title": "V"}, 403),
                ("bob", "GET", "/sessions/$events", None, 403)):
            assert who(name, method, path, body)[0] == want, (name, method, path)
        assert [s["sessionId"] for s in json.loads(who("ann", "GET", "/sessions")[1])] == ["ann-2", "ann-1"]
        assert json.loads(who("bob", "GET", "/sessions")[1]) == []
        assert who("ann", "DELETE", "/sessions/ann-1")[0] == 204


# ---- nothing is lost ----


class Talker(threading.Thread):
    """Registers, or says, one thing after the other, each until it is acknowledged."""

    def __init__(self, r, make):
        super().__init__(daemon=True)
        self.r, self.make, self.stopping = r, make, False
        self.acknowledged, self.error = [], None

    def run(self):
        n = 0
        while not self.stopping:
            path, body, name = self.make(n)
            while True:
                try:
                    status, answer, _ = ask(self.r, "POST", path, body)
                except (OSError, http.client.HTTPException):
                    time.sleep(0.01)
                    continue
                if status in (200, 201, 202):
                    break
                if status not in (503,):
                    self.error = (status, answer)
                    return
                time.sleep(0.01)
            self.acknowledged.append(name)
            n += 1

    def stop(self):
        self.stopping = True
        self.join(60)
        assert not self.is_alive() and self.error is None, self.error


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_loses_and_doubles_nothing(seed):
    dice = random.Random(seed)
    with Ringside("--worker-restart-delay-min=10ms", "--worker-restart-delay-max=100ms", "--worker-restart-limit=64",
                  workers=2) as r:
        registrars = [Talker(r, lambda n, t=t: ("/sessions", {"sessionId": f"s{t}-{n}", "title": f"{n}"}, f"s{t}-{n}"))
                      for t in range(2)]
        talkers = [Talker(r, lambda n, t=t: (f"/v1/sessions/talk{t % 2}/messages", message(f"{n}", f"m{t}-{n}"), f"m{t}-{n}"))
                   for t in range(4)]
        everybody = registrars + talkers
        for t in everybody:
            t.start()
        for _ in range(8):
            wanted = sum(len(t.acknowledged) for t in everybody) + 40
            wait_for(lambda: sum(len(t.acknowledged) for t in everybody) > wanted or any(t.error for t in everybody), "traffic")
            r.kill_some_worker(dice, "sse")
        for t in everybody:
            t.stop()
        r.kill_everything()
        r.start()
        names = [s["sessionId"] for s in ask(r, "GET", "/sessions")[1]]
        acknowledged = [n for t in registrars for n in t.acknowledged]
        assert sorted(names) == sorted(acknowledged + ["talk0", "talk1"])
        changes = [c["session"]["sessionId"] for c in stream(r, "conversations/changes")]
        assert sorted(changes) == sorted(names)
        for k in range(2):
            events = [e["value"]["messageId"] for e in stream(r, f"sessions/talk{k}")]
            items = [i["messageId"] for i in stream(r, f"conversations/talk{k}/inbox")]
            assert events == items and len(set(events)) == len(events)
            for t in (talkers[k], talkers[k + 2]):
                mine = [e for e in events if e.rpartition("-")[0] == t.acknowledged[0].rpartition("-")[0]]
                assert mine == t.acknowledged  # each once, in its order


# ---- an old registry ----


def old_registry(r, entries):
    os.makedirs(r.data_dir, exist_ok=True)
    with open(os.path.join(r.data_dir, "sessions.json"), "w") as file:
        file.write(entries if isinstance(entries, str) else json.dumps(entries, indent=2))


def old_session(i, **more):
    return {"sessionId": f"old-{i}", "title": f"T{i}", "createdAt": f"2026-01-01T00:{i // 60 % 60:02}:{i % 60:02}.{i % 1000:03}Z", **more}


def test_an_old_registry_is_taken_over_once():
    with Ringside(workers=2, start=False) as r:
        old_registry(r, [old_session(1, createdBy="me"), {**old_session(2), "title": "first"}, old_session(2),
                         {"sessionId": 7, "title": "seven", "createdAt": "2026-01-01T00:00:00.000Z"},
                         {"sessionId": "a b", "title": "left"}, {"title": "left, too"}])
        r.start()
        assert ask(r, "GET", "/sessions")[1] == [old_session(2), {**old_session(1), "createdBy": "me"},
                                                 {"sessionId": "7", "title": "seven", "createdAt": "2026-01-01T00:00:00.000Z"}]
        assert ask(r, "GET", "/sessions/7")[0] == 200
        assert not os.path.exists(os.path.join(r.data_dir, "sessions.json"))
        # Nothing is lost: what does not fit is named, and still there.
        assert json.load(open(os.path.join(r.data_dir, "sessions.json.partly-imported")))[4]["sessionId"] == "a b"
        assert re.search(r"left in its file.*entry=4", r.log()) and re.search(r"left in its file.*entry=5", r.log())
        # They are conversations like any other.
        ask(r, "POST", "/v1/sessions/old-1/messages", message("hi", "m1"))
        assert len(stream(r, "sessions/old-1")) == 1
        ask(r, "PUT", "/v1/sessions/old-2")
        assert stream(r, "sessions/old-2") == []
        ask(r, "DELETE", "/sessions/7")
        r.stop()
        r.start()
        assert [s["sessionId"] for s in ask(r, "GET", "/sessions")[1]] == ["old-2", "old-1"]
        # Another one later: what is there already stays as it is.
        r.stop()
        old_registry(r, [{**old_session(1), "title": "older"}, old_session(3)])
        r.start()
        assert ask(r, "GET", "/sessions/old-1")[1]["title"] == "T1"
        assert ask(r, "GET", "/sessions/old-3")[0] == 200
        assert os.path.exists(os.path.join(r.data_dir, "sessions.json.imported"))
        assert len(stream(r, "conversations/changes")) == 5


@pytest.mark.parametrize("text", ["", "{", '[{"sessionId":"a","title":"T"},', '{"sessionId":"a"}', "\0\0\0\0"])
def test_one_that_cannot_be_read_is_never_lost(text):
    with Ringside(workers=1, start=False) as r:
        old_registry(r, text)
        r.spawn()
        assert r.wait_exit() != 0
        assert "sessions.json" in r.log() and "Nothing was changed" in r.log()
        path = os.path.join(r.data_dir, "sessions.json")
        assert open(path).read() == text
        os.rename(path, path + ".away")
        r.start()
        assert ask(r, "GET", "/sessions")[1] == []


def test_kill_9_in_the_middle_of_taking_over():
    """Until everything is in the store the file stays; begun again it doubles nothing."""
    count, dice = 6000, random.Random(3)
    with Ringside("--store-ring-bytes=16M", "--limits-body-bytes=1M", workers=2, start=False) as r:
        old_registry(r, [old_session(i) for i in range(count)])
        path = os.path.join(r.data_dir, "sessions.json")
        for _ in range(3):
            r.spawn()
            time.sleep(dice.uniform(0.05, 0.4))
            r.process.kill()  # the workers follow
            r.process.wait()
        r.start()
        assert not os.path.exists(path) and os.path.exists(path + ".imported")
        names = [s["sessionId"] for s in ask(r, "GET", "/sessions")[1]]
        assert len(names) == count and len(set(names)) == count
        offset, seen = "-1", []
        while True:
            status, headers, body = r.request("GET", f"/v1/stream/conversations/changes?offset={offset}")
            seen += json.loads(body)
            offset = headers["stream-next-offset"]
            if headers["stream-up-to-date"]:
                break
        assert sorted(c["session"]["sessionId"] for c in seen) == sorted(names)
