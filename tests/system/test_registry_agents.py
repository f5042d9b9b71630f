"""Agents that are registered in a conversation with an endpoint, as clients of the registry's package do it: they are asked with
what was said, and what they answer is said, piece by piece; once, whatever is killed."""

import http.server
import json
import os
import random
import re
import threading
import time

import pytest

from ringside import Ringside, wait_for
from test_conversations import ask, message, pieces, stream

SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))


class Endpoint:
    """An agent's: answers what `answer(body, write)` does, and keeps what it was asked. One that `hangs` ends no answer."""

    def __init__(self, answer, hangs=False):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked.append((body, dict(self.headers)))
                status = outer.statuses.pop(0) if outer.statuses else 200
                self.send_response(status)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                try:
                    if status == 200:
                        answer(body, self.write)
                    if hangs:  # until whoever asks is gone
                        outer.cut += self.connection.recv(1) == b""
                except OSError:
                    outer.cut += 1

            def write(self, text):
                self.wfile.write(text.encode())
                self.wfile.flush()

            def log_message(self, *_):
                pass

        self.asked, self.statuses, self.cut = [], [], 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/chat?x=1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def chunk(words):
    return "data: " + json.dumps({"type": "text-delta", "delta": words}) + "\n\n"


def echo(body, write):
    write(": hello\n\nid: 1\n")
    for word in body["messages"][-1]["content"].split():
        write(chunk(word)[:7])
        write(chunk(word)[7:])
    write("data: {\"type\":\"finish\"}\r\n\r\ndata: [DONE]\n\n")


def register(r, session, *agents):
    return ask(r, "POST", f"/v1/sessions/{session}/agents", {"agents": list(agents)})[:2]


def answers(r, session, actor):
    """What that agent said: the texts of its messages, one behind the other."""
    said = {}
    for event in stream(r, f"sessions/{session}"):
        if event.get("type") == "chunk" and event["value"]["actorId"] == actor:
            said.setdefault(event["value"]["messageId"], []).append(json.loads(event["value"]["chunk"]))
    return list(said.values())


@pytest.fixture
def r():
    with Ringside(workers=2) as ringside:
        yield ringside


def test_it_is_asked_and_what_it_answers_is_said(r):
    with Endpoint(echo) as endpoint:
        ask(r, "POST", "/v1/sessions/c/messages", message("before anybody was registered", "m0"))
        agent = {"id": "echo", "name": "Echo", "endpoint": endpoint.url, "method": "POST", "triggers": "user-messages",
                 "headers": {"X-Key": "secret"}, "bodyTemplate": {"model": "m", "stream": False}}
        assert register(r, "c", agent) == (200, {"success": True})
        shown = ask(r, "GET", "/v1/sessions/c/agents")[1]
        assert shown == {"agents": [{name: value for name, value in agent.items() if name != "headers"}]}
        event = stream(r, "sessions/c")[-1]
        assert event == {"type": "agent", "key": "echo", "headers": {"operation": "upsert"},
                         "value": {"agentId": "echo", "name": "Echo", "endpoint": endpoint.url, "triggers": "user-messages"}}
        ask(r, "POST", "/v1/sessions/c/messages", message("one two", "m1"))
        wait_for(lambda: answers(r, "c", "echo") and answers(r, "c", "echo")[-1][-1]["type"] == "finish", "the answer")
        ((body, headers),) = endpoint.asked
        assert headers["X-Key"] == "secret" and headers["Content-Type"] == "application/json"
        assert body == {"model": "m", "stream": True, "messages": [
            {"role": "user", "content": "before anybody was registered"}, {"role": "user", "content": "one two"}]}
        assert [c.get("delta") for c in answers(r, "c", "echo")[0]] == ["one", "two", None]
        # It is part of what was said from then on; what an agent says asks nobody.
        ask(r, "POST", "/v1/sessions/c/messages", message("I am one of you", "m2", role="assistant"))
        ask(r, "POST", "/v1/sessions/c/messages", message("three", "m3"))
        wait_for(lambda: len(answers(r, "c", "echo")) == 2 and answers(r, "c", "echo")[-1][-1]["type"] == "finish", "the second")
        assert [m["content"] for m in endpoint.asked[1][0]["messages"]] == \
            ["before anybody was registered", "one two", "onetwo", "I am one of you", "three"]
        assert len(endpoint.asked) == 2
        # Those that are registered are said again after a reset, and are asked no more when they are gone.
        ask(r, "POST", "/v1/sessions/c/reset", {})
        assert stream(r, "sessions/c")[-1] == event
        for _ in range(2):
            assert ask(r, "DELETE", "/v1/sessions/c/agents/echo")[0] == 204
        assert stream(r, "sessions/c")[-1] == {"type": "agent", "key": "echo", "headers": {"operation": "delete"}}
        assert ask(r, "GET", "/v1/sessions/c/agents")[1] == {"agents": []}
        ask(r, "POST", "/v1/sessions/c/messages", message("four", "m4"))
        assert ask(r, "GET", "/v1/sessions/c/lease")[1]["waiting"] is True  # for whoever comes
        assert len(endpoint.asked) == 2


def test_each_of_several_answers_once(r):
    with Endpoint(echo) as one, Endpoint(lambda body, write: write('{"type":"text-delta","delta":"all of it"}')) as two:
        register(r, "c", {"id": "one", "endpoint": one.url}, {"id": "two", "endpoint": two.url})
        register(r, "c", {"id": "one", "endpoint": one.url, "name": "again"})  # in place of the former
        for n in range(5):
            ask(r, "POST", "/v1/sessions/c/messages", message(f"w{n}", f"m{n}"))
        wait_for(lambda: len(answers(r, "c", "two")) == 5, "the answers")
        wait_for(lambda: ask(r, "GET", "/v1/sessions/c/lease")[1]["waiting"] is False, "the end")
        assert [[c.get("delta") for c in said] for said in answers(r, "c", "one")] == [[f"w{n}", None] for n in range(5)]
        assert [[c["delta"] for c in said] for said in answers(r, "c", "two")] == [["all of it"]] * 5
        assert len(one.asked) == len(two.asked) == 5


def test_what_fails_is_tried_again_and_then_told(r):
    with Endpoint(echo) as endpoint:
        register(r, "c", {"id": "echo", "endpoint": endpoint.url})
        endpoint.statuses = [503, 200]
        ask(r, "POST", "/v1/sessions/c/messages", message("one", "m1"))
        wait_for(lambda: len(endpoint.asked) == 2 and answers(r, "c", "echo"), "another try")
        endpoint.statuses = [404]
        ask(r, "POST", "/v1/sessions/c/messages", message("two", "m2"))
        wait_for(lambda: len(answers(r, "c", "echo")) == 2, "the failure")
        assert answers(r, "c", "echo")[1] == [{"type": "error", "error": "Agent request failed: 404"}]
        endpoint.statuses = [500, 502, 503]
        ask(r, "POST", "/v1/sessions/c/messages", message("three", "m3"))
        wait_for(lambda: len(answers(r, "c", "echo")) == 3, "the failure", 60)
        assert answers(r, "c", "echo")[2] == [{"type": "error", "error": "Agent request failed: 503"}]
        ask(r, "POST", "/v1/sessions/c/messages", message("four", "m4"))
        wait_for(lambda: len(answers(r, "c", "echo")) == 4, "the next")
        assert len(endpoint.asked) == 7
        wait_for(lambda: "ringside_conversation_invocation_failures_total" in r.get("/metrics"), "the metric")


def test_it_is_asked_with_the_question_however_long_the_answer_before_it_was(r):
    second = threading.Event()

    def long(body, write):
        if len(endpoint.asked) > 1:
            return echo(body, write)
        second.wait(60)
        write("".join(chunk(f"{n:01000}") for n in range(400)))

    with Endpoint(long) as endpoint:
        register(r, "c", {"id": "bot", "endpoint": endpoint.url})
        ask(r, "POST", "/v1/sessions/c/messages", message("one", "m1"))
        wait_for(lambda: endpoint.asked, "the first request")
        ask(r, "POST", "/v1/sessions/c/messages", message("two", "m2"))
        second.set()
        wait_for(lambda: len(endpoint.asked) == 2, "the second")
        said = endpoint.asked[1][0]["messages"]
        assert said[-1] == {"role": "user", "content": "two"}
        assert [m["role"] for m in said] == ["assistant", "user"] and said[0]["content"].endswith(f"{399:01000}")
        assert len(said[0]["content"]) % 1000 == 0 and 100_000 < len(said[0]["content"]) < 256 << 10


def test_pieces_that_come_faster_than_they_are_written_are_bounded_by_their_number(r):
    """The smallest piece takes a hundred times of what its text has."""
    with Endpoint(lambda body, write: write("{}\n" * 300_000)) as endpoint:
        register(r, "c", {"id": "bot", "endpoint": endpoint.url})
        ask(r, "POST", "/v1/sessions/c/messages", message("one", "m1"))
        wait_for(lambda: endpoint.asked and not ask(r, "GET", "/v1/sessions/c/lease")[1]["waiting"] and
                 "agent" not in ask(r, "GET", "/v1/sessions/c/lease")[1], "the end", 60)
        failures = re.findall(r"^ringside_conversation_invocation_failures_total(?:{[^}]*})? (\d+)", r.get("/metrics"), re.M)
        assert sum(map(int, failures)) == 1


def test_agents_that_are_registered_anew_in_the_middle_are_all_asked_what_is_said_next(r):
    anew = threading.Event()

    def late(body, write):
        anew.wait(60)
        echo(body, write)

    with Endpoint(late) as one, Endpoint(echo) as two:
        agents = {"id": "one", "endpoint": one.url}, {"id": "two", "endpoint": two.url}
        register(r, "c", *agents)
        ask(r, "POST", "/v1/sessions/c/messages", message("first", "m1"))
        wait_for(lambda: one.asked, "the first request")
        for agent in agents:
            assert ask(r, "DELETE", f"/v1/sessions/c/agents/{agent['id']}")[0] == 204
        register(r, "c", *agents)
        ask(r, "POST", "/v1/sessions/c/messages", message("second", "m2"))
        anew.set()
        wait_for(lambda: not ask(r, "GET", "/v1/sessions/c/lease")[1]["waiting"] and "agent" not in ask(r, "GET", "/v1/sessions/c/lease")[1],
                 "the end")
        for endpoint in (one, two):
            assert endpoint.asked[-1][0]["messages"][-1] == {"role": "user", "content": "second"}


def test_people_stop_an_answer(r):
    more = threading.Event()

    def endless(body, write):
        if len(body["messages"]) > 1:
            return echo(body, write)
        while True:
            write(chunk("x"))
            more.wait(0.02)

    with Endpoint(endless) as endpoint:
        register(r, "c", {"id": "bot", "endpoint": endpoint.url})
        ask(r, "POST", "/v1/sessions/c/messages", message("one", "m1"))
        wait_for(lambda: answers(r, "c", "bot"), "its beginning")
        assert ask(r, "POST", "/v1/sessions/c/stop", {})[0] == 204
        wait_for(lambda: endpoint.cut == 1, "the end of the request")
        ask(r, "POST", "/v1/sessions/c/messages", message("two", "m2"))
        wait_for(lambda: len(answers(r, "c", "bot")) == 2 and answers(r, "c", "bot")[1][-1]["type"] == "finish", "the next answer")
        assert {"type": "stop", "reason": "stopped"} in [chunk for _, chunk in pieces(stream(r, "sessions/c"))]
        assert len(endpoint.asked) == 2


def test_the_request_ends_with_a_stop_also_when_its_endpoint_hangs():
    with Endpoint(lambda body, write: write(chunk("x")), hangs=True) as endpoint, Ringside("--conversations-lease=1s", workers=1) as r:
        register(r, "c", {"id": "bot", "endpoint": endpoint.url})
        for n in range(3):
            ask(r, "POST", "/v1/sessions/c/messages", message(f"w{n}", f"m{n}"))
            wait_for(lambda n=n: len(answers(r, "c", "bot")) == n + 1, "its beginning")
            assert ask(r, "POST", "/v1/sessions/c/stop", {})[0] == 204
            wait_for(lambda n=n: endpoint.cut == n + 1, "the end of the request")
        assert len(endpoint.asked) == 3


def test_a_stop_before_the_first_piece_is_a_stop():
    """While an endpoint thinks; for the item's other agents, too, and not for what is said after it."""
    with Endpoint(lambda body, write: None, hangs=True) as one, Endpoint(echo) as two, Ringside("--conversations-lease=1s", workers=1) as r:
        register(r, "c", {"id": "one", "endpoint": one.url}, {"id": "two", "endpoint": two.url})
        for n in range(2):
            ask(r, "POST", "/v1/sessions/c/messages", message(f"w{n}", f"m{n}"))
            wait_for(lambda n=n: len(one.asked) == n + 1, "the request")
            assert ask(r, "POST", "/v1/sessions/c/stop", {})[0] == 204
            wait_for(lambda n=n: one.cut == n + 1, "the end of the request")
        assert not answers(r, "c", "one") and not two.asked


def test_a_piece_that_comes_behind_a_stop_is_not_said():
    stopped = threading.Event()

    def late(body, write):
        stopped.wait(60)
        echo(body, write)

    with Endpoint(late) as endpoint, Ringside(workers=1) as r:
        register(r, "c", {"id": "bot", "endpoint": endpoint.url})
        ask(r, "POST", "/v1/sessions/c/messages", message("one", "m1"))
        wait_for(lambda: endpoint.asked, "the request")
        assert ask(r, "POST", "/v1/sessions/c/stop", {})[0] == 204
        ask(r, "POST", "/v1/sessions/c/messages", message("two", "m2"))
        stopped.set()
        wait_for(lambda: answers(r, "c", "bot"), "the next answer")
        assert [c.get("delta") for c in answers(r, "c", "bot")[0]][:1] == ["two"] and len(answers(r, "c", "bot")) == 1


def test_a_worker_that_stops_waits_for_no_endpoint():
    more = threading.Event()

    def stuck(body, write):
        write(chunk("x"))
        more.wait(60)

    with Endpoint(stuck) as endpoint, Ringside("--conversations-lease=1s", workers=1) as r:
        register(r, "c", {"id": "bot", "endpoint": endpoint.url})
        ask(r, "POST", "/v1/sessions/c/messages", message("one", "m1"))
        wait_for(lambda: answers(r, "c", "bot"), "its beginning")
        begun = time.monotonic()
        r.stop()
        assert time.monotonic() - begun < 20
        r.start()
        wait_for(lambda: len(endpoint.asked) == 2 and len(answers(r, "c", "bot")) == 2, "that it is asked again")
        more.set()


def test_what_cannot_be_registered_is_told_why(r):
    good = {"id": "a", "endpoint": "http://127.0.0.1:1/"}
    for bad in ({**good, "id": "a b"}, {**good, "id": 7}, {"id": "a"}, {**good, "endpoint": "ftp://x/"}, {**good, "endpoint": "http://10.0.0.1/"},
                {**good, "endpoint": "http://169.254.169.254/"}, {**good, "method": "GET"}, {**good, "triggers": "never"}, {**good, "name": 1},
                {**good, "headers": {"a b": "c"}}, {**good, "headers": {"a": "b\r\nc: d"}}, {**good, "headers": ["a"]},
                {**good, "bodyTemplate": []}, {**good, "bodyTemplate": {"x": "y" * 20000}}, 7):
        status, answer = register(r, "c", bad)
        assert status == 400 and answer["code"] == "INVALID_BODY", bad
    assert ask(r, "POST", "/v1/sessions/c/agents", {})[0] == 400 and ask(r, "GET", "/v1/sessions/c/agents")[0] == 404
    assert register(r, "c", *({**good, "id": f"a{n}"} for n in range(17)))[0] == 429
    assert register(r, "c", *[good] * 17)[0] == 429  # so many are looked at no further: not whether they are one and the same
    assert register(r, "c", *({**good, "id": f"a{n}"} for n in range(16)))[0] == 200
    assert ask(r, "DELETE", "/v1/sessions/none/agents/a")[0] == 404
    assert ask(r, "DELETE", "/v1/sessions/c")[0] == 204 and ask(r, "GET", "/v1/sessions/c/agents")[0] == 404
    ask(r, "PUT", "/v1/sessions/c")
    assert ask(r, "GET", "/v1/sessions/c/agents")[1] == {"agents": []}


def test_each_message_has_one_whole_answer_over_kills():
    """Workers are killed in the middle of answers: what they had begun is over, and begun again by another."""
    print(f"SEED={SEED}")
    dice = random.Random(SEED)

    def slow(body, write):
        for word in body["messages"][-1]["content"].split():
            write(chunk(word))
            time.sleep(0.005)
        write("data: {\"type\":\"finish\"}\n\n")

    with Endpoint(slow) as endpoint, Ringside("--worker-restart-limit=64", "--worker-restart-window=1s", "--conversations-lease=1s",
                                              workers=2) as r:
        sessions = [f"c{n}" for n in range(4)]
        for session in sessions:
            register(r, session, {"id": "bot", "endpoint": endpoint.url})
        texts = {session: [] for session in sessions}
        for n in range(24):
            session, text = sessions[n % 4], " ".join(f"w{n}-{i}" for i in range(20))
            assert retry(r, "POST", f"/v1/sessions/{session}/messages", message(text, f"m{n}"))[0] == 202
            texts[session].append(text)
            if n % 4 == 3:
                r.kill_some_worker(dice, "sse")
        wait_for(lambda: not any(retry(r, "GET", f"/v1/sessions/{s}/lease")[1]["pending"] for s in sessions), "all answers", 120)
        for session in sessions:
            said = answers(r, session, "bot")
            whole = [chunks for chunks in said if chunks[-1] == {"type": "finish"}]
            assert [" ".join(c["delta"] for c in chunks[:-1]) for chunks in whole] == texts[session]
            ended = [key for key, c in pieces(stream(r, f"sessions/{session}")) if c == {"type": "stop", "reason": "abandoned"}]
            assert len(ended) == len(said) - len(whole)
        print(f"asked={len(endpoint.asked)} for 24")


def retry(r, *request):
    """Over a worker that is killed while it answers; all of these may be repeated."""
    while True:
        try:
            return ask(r, *request)
        except OSError:
            time.sleep(0.05)
