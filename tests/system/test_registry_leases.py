"""Conversations that wait are given to agents under a lease, one at a time: renewed, lost when its agent is gone, and given to
another; what is said carries the lease's epoch, and nothing is answered twice, whatever is killed."""

import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from client_python import Refused, Server
from ringside import PATIENCE, Ringside, wait_for
from test_conversations import ask, message, pieces, stream
from test_tokens import with_rows

SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture
def r():
    with Ringside(workers=2) as ringside:
        yield ringside


def register(r, name, **more):
    agent = Server(r.url).agent(name, serve=lambda channel: None, **{"accepts": ["sessions"], **more})
    agent.wait(PATIENCE)
    return agent


def next_one(r, agent, **more):
    return ask(r, "POST", "/v1/sessions/$next/lease", {"agent": agent, **more})[:2]


def lease(r, session, verb, **body):
    return ask(r, "POST", f"/v1/sessions/{session}/lease{verb}", body)[:2]


def say(r, session, epoch, seq=0, message_id="g1", **more):
    body = {"messageId": message_id, "actorId": "bot", "role": "assistant", "chunk": {"n": seq}, "seq": seq,
            **({"epoch": epoch} if epoch else {}), **more}
    return ask(r, "POST", f"/v1/sessions/{session}/chunks", body)[:2]


def test_who_waits_longest_is_given_first(r):
    assert next_one(r, "bot")[0] == 409  # it is not at the hub
    with register(r, "bot"):
        assert next_one(r, "bot") == (204, None)
        for name in "abc":
            ask(r, "POST", f"/v1/sessions/{name}/messages", message("hi", f"m-{name}"))
            time.sleep(0.002)  # another millisecond
        assert ask(r, "GET", "/v1/sessions/a/lease")[1]["waiting"] is True
        given = [next_one(r, "bot")[1] for _ in "abc"]
        assert [g["sessionId"] for g in given] == ["a", "b", "c"] and all(g["epoch"] > 0 and g["pending"] for g in given)
        assert next_one(r, "bot") == (204, None)
        (item,) = json.loads(r.request("GET", f"/v1/stream/conversations/a/inbox?offset={given[0]['inbox']}")[2])
        assert item["messageId"] == "m-a" and item["inboxSeq"] > 0
        # What is done is done; what is not is given again, when its agent lets it go.
        assert lease(r, "a", "/renew", epoch=given[0]["epoch"], done=item["inboxSeq"])[1]["pending"] is False
        # Said again, or less: fine, whatever of it is still there.
        for done in (item["inboxSeq"], item["inboxSeq"] - 1, 0):
            assert lease(r, "a", "/renew", epoch=given[0]["epoch"], done=done)[1]["done"] == item["inboxSeq"]
        for mine in given[:2]:
            assert lease(r, mine["sessionId"], "/release", epoch=mine["epoch"]) == (200, {"ok": True})
        status, again = next_one(r, "bot")
        assert (again["sessionId"], again["epoch"]) == ("b", given[1]["epoch"] + 1) and again["inbox"] == given[1]["inbox"]
        assert ask(r, "GET", "/v1/sessions/a/lease")[1]["waiting"] is False


def test_who_goes_while_he_waits_is_told_so(r):
    """At once, and not when the time is over that he wanted to wait."""
    with ThreadPoolExecutor() as pool, register(r, "bot") as agent:
        waits = pool.submit(next_one, r, "bot", wait=55)
        time.sleep(0.5)  # it stands in line; if not yet, it is told so as well
        agent.close()
        status, body = waits.result(PATIENCE)
        assert (status, body["code"]) == (409, "NOT_REGISTERED")


def test_what_is_asked_wrongly_is_told_so(r):
    ask(r, "PUT", "/v1/sessions/c")
    for path, body in (("$next/lease", {}), ("$next/lease", {"agent": ""}), ("$next/lease", {"agent": "a", "wait": 61}),
                       ("$next/lease", {"agent": "a", "wait": "x"}), ("$next/lease", b"{"), ("c/lease", {"agent": 7}),
                       ("c/lease", {"agent": "a", "leaseMs": 5}), ("c/lease/renew", {}), ("c/lease/renew", {"epoch": 0}),
                       ("c/lease/release", {"epoch": "1"})):
        status, answer, _ = ask(r, "POST", f"/v1/sessions/{path}", body)
        assert status == 400 and answer["code"] == "INVALID_BODY", (path, body, answer)
    assert lease(r, "none", "/renew", epoch=1)[0] == 404
    for path in ("$next", "$next/messages", "c/lease/other"):
        assert ask(r, "POST", f"/v1/sessions/{path}", {"content": "x"})[0] in (400, 404, 405), path
    epoch = lease(r, "c", "", agent="a")[1]["epoch"]
    for done in (7, 10 ** 15):
        assert lease(r, "c", "/renew", epoch=epoch, done=done)[0] == 400
    assert say(r, "c", None, done=3)[0] == 400 and say(r, "c", "x")[0] == 400


def test_an_epoch_fences_whoever_comes_late(r):
    ask(r, "PUT", "/v1/sessions/c")
    status, first = lease(r, "c", "", agent="a", leaseMs=60000)
    one = first["epoch"]
    assert status == 200 and one > 0
    status, answer = lease(r, "c", "", agent="b")
    assert status == 409 and (answer["code"], answer["agent"]) == ("LEASED", "a")
    assert say(r, "c", None)[1]["code"] == "LEASED"
    assert say(r, "c", one + 1)[1]["code"] == "LEASE_LOST"
    assert say(r, "c", one) == (200, {"ok": True})
    # The same agent, in another life.
    second = lease(r, "c", "", agent="a")[1]
    assert second["epoch"] == one + 1 and second["generation"] == {"messageId": "g1", "pieces": 1}
    for answer in (say(r, "c", one, 1), lease(r, "c", "/renew", epoch=one), lease(r, "c", "/release", epoch=one),
                   ask(r, "POST", "/v1/sessions/c/generations/finish", {"epoch": one})[:2],
                   ask(r, "POST", "/v1/sessions/c/generations/start", {"epoch": one})[:2]):
        assert (answer[0], answer[1]["code"], answer[1]["epoch"]) == (409, "LEASE_LOST", one + 1)
    # It goes on with what was begun, or begins another: what was begun is over then.
    assert say(r, "c", one + 1, 1) == (200, {"ok": True})
    third = lease(r, "c", "", agent="a")[1]["epoch"]
    assert say(r, "c", third, 0, "g2") == (200, {"ok": True})
    assert pieces(stream(r, "sessions/c")) == [("g1:0", {"n": 0}), ("g1:1", {"n": 1}), ("g1:2", {"type": "stop", "reason": "abandoned"}),
                                               ("g2:0", {"n": 0})]
    assert lease(r, "c", "/release", epoch=third) == (200, {"ok": True})
    assert say(r, "c", third, 1, "g2")[1]["code"] == "LEASE_LOST"
    assert r.get("/metrics").count("ringside_conversation_fenced_total") >= 1


def test_a_lease_of_a_deleted_conversation_is_none_of_the_next(r):
    """Made again by the same name, it has another's lease: what its agent of before says late is not taken."""
    first = lease(r, "c", "", agent="a")[1]["epoch"]
    assert ask(r, "DELETE", "/v1/sessions/c")[0] == 204
    second = lease(r, "c", "", agent="b")[1]["epoch"]
    assert second > first
    for answer in (say(r, "c", first), lease(r, "c", "/renew", epoch=first), lease(r, "c", "/release", epoch=first)):
        assert (answer[0], answer[1]["code"]) == (409, "LEASE_LOST")
    assert say(r, "c", second) == (200, {"ok": True})


def test_an_answer_ends_with_its_last_piece(r):
    """In one transaction with what it deals with; said again it is the same, and nothing else of it is taken."""
    ask(r, "PUT", "/v1/sessions/c")
    one = lease(r, "c", "", agent="a")[1]["epoch"]
    ask(r, "POST", "/v1/sessions/c/messages", message("hi", "m1"))
    (item,) = stream(r, "conversations/c/inbox")
    assert say(r, "c", one)[0] == 200
    for _ in range(2):
        assert say(r, "c", one, 1, finish=True, done=item["inboxSeq"]) == (200, {"ok": True})
    assert say(r, "c", one, 1)[0] == 409 and say(r, "c", one, 2, finish=True)[0] == 409 and say(r, "c", one, 0, finish=True)[0] == 409
    assert ask(r, "GET", "/v1/sessions/c/lease")[1]["done"] == item["inboxSeq"]
    # Said again when the next one is given, it does not end that.
    assert say(r, "c", one, 0, "g2")[0] == 200
    assert say(r, "c", one, 1, finish=True, done=item["inboxSeq"]) == (200, {"ok": True})
    assert lease(r, "c", "/renew", epoch=one)[1]["generation"] == {"messageId": "g2", "pieces": 1}
    # One that people have stopped meanwhile was not finished by it.
    assert ask(r, "POST", "/v1/sessions/c/stop", {})[0] == 204
    assert say(r, "c", one, 1, "g2", finish=True)[1]["code"] == "GENERATION_MISMATCH"
    assert say(r, "c", one, 0, "g3", finish=1)[0] == 400
    assert [key for key, _ in pieces(stream(r, "sessions/c"))] == ["m1:0", "g1:0", "g1:1", "g2:0", "g2:1"]


def test_what_was_sent_before_a_reset_waits_for_nobody(r):
    for held in (False, True):
        name = f"reset-{held}"
        ask(r, "POST", f"/v1/sessions/{name}/messages", message("one", "before"))
        lease = ask(r, "POST", f"/v1/sessions/{name}/lease", {"agent": "bot", "leaseMs": 600000})[1] if held else None
        assert ask(r, "POST", f"/v1/sessions/{name}/reset", {})[0] == 200
        ask(r, "POST", f"/v1/sessions/{name}/messages", message("two", "after"))
        if held:
            epoch = {"epoch": lease["epoch"], "done": json.loads(r.get(f"/v1/stream/conversations/{name}/inbox?offset=-1"))[0]["inboxSeq"]}
            assert ask(r, "POST", f"/v1/sessions/{name}/lease/renew", epoch)[0] == 200  # what it knew of is fine
        lease = ask(r, "POST", f"/v1/sessions/{name}/lease", {"agent": "bot", "leaseMs": 600000})[1]
        assert lease["pending"] is True
        assert [item["type"] for item in json.loads(r.get(f"/v1/stream/conversations/{name}/inbox?offset={lease['inbox']}"))] == ["reset", "message"]


def test_whoever_answers_without_leases_is_left_alone(r):
    with register(r, "bot"):
        ask(r, "POST", "/v1/sessions/c/messages", message("hi", "m1"))
        assert say(r, "c", None) == (200, {"ok": True})
        ask(r, "POST", "/v1/sessions/c/generations/finish", {})
        ask(r, "POST", "/v1/sessions/c/messages", message("and?", "m2"))
        assert next_one(r, "bot") == (204, None) and ask(r, "GET", "/v1/sessions/c/lease")[1]["served"] is True
        # Until somebody asks for it by name: from then on it is his, and waits when he is gone.
        mine = lease(r, "c", "", agent="other")[1]
        assert mine["pending"] is False
        ask(r, "POST", "/v1/sessions/c/messages", message("so?", "m3"))
        lease(r, "c", "/release", epoch=mine["epoch"])
        given = next_one(r, "bot")[1]
        assert given["epoch"] == mine["epoch"] + 1
        (item,) = json.loads(r.request("GET", f"/v1/stream/conversations/c/inbox?offset={given['inbox']}")[2])
        assert item["messageId"] == "m3"


def test_a_lease_ends_with_its_agent_and_is_given_to_who_waits(r):
    with register(r, "one"), register(r, "two"):
        got = []
        waiting = threading.Thread(target=lambda: got.append(next_one(r, "two", wait=60)))
        waiting.start()
        ask(r, "POST", "/v1/sessions/c/messages", message("hi", "m1"))
        waiting.join()  # it was told at once
        assert got[0][0] == 200
        one = got[0][1]["epoch"]
        assert lease(r, "c", "/renew", epoch=one, leaseMs=1000)[1]["leaseMs"] == 1000
        status, given = next_one(r, "one", wait=60)  # when that time is over
        assert (status, given["sessionId"], given["epoch"]) == (200, "c", one + 1)
        assert say(r, "c", one)[1]["code"] == "LEASE_LOST"


def test_waiting_ends_with_its_time_with_the_client_and_with_the_worker(r):
    with register(r, "bot") as agent:
        assert next_one(r, "bot", wait=1) == (204, None)
        gone = r.connect()
        body = b'{"agent":"bot","wait":60}'
        gone.sendall(b"POST /v1/sessions/$next/lease HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        gone.close()
        got = []
        waiting = [threading.Thread(target=lambda: got.append(next_one(r, "bot", wait=60))) for _ in range(4)]
        for thread in waiting:
            thread.start()
        wait_for(lambda: ask(r, "GET", "/sessions")[0] == 200, "the worker")
        ask(r, "POST", "/v1/sessions/c/messages", message("hi", "m1"))
        wait_for(lambda: [g[0] for g in got] == [200], "that one of them is given it")
        agent.close()  # who is not at the hub any more is given nothing
        ask(r, "POST", "/v1/sessions/d/messages", message("hi", "m1"))
        for thread in waiting:
            thread.join()
        assert sorted(g[0] for g in got) == [200, 409, 409, 409]
    with register(r, "bot"):
        lease(r, "d", "", agent="by-name")
        got = []
        waiting = threading.Thread(target=lambda: got.append(next_one(r, "bot", wait=60)))
        waiting.start()
        wait_for(lambda: waiting.is_alive(), "the request")
        r.stop()  # what waits is answered, or its connection is closed: nobody hangs
        r.start()


def test_rights_say_what_an_agent_is_given():
    ann, house = {"authorization": "Bearer ann"}, {"authorization": "Bearer house"}
    rows = ("house token:house append=conversations/** create=conversations/** read=conversations/**\n"
            "ann token:ann create=hub/agents/ann append=conversations/a-*/events read=hub/roster\n")
    with with_rows(rows, workers=1) as r:
        for name in ("b-1", "a-1"):
            assert ask(r, "POST", f"/v1/sessions/{name}/messages", message("hi"), house)[0] == 202
        agent = Server(r.url, "ann").agent("ann", accepts=["sessions"])
        agent.wait()
        body = {"agent": "ann"}
        assert ask(r, "POST", "/v1/sessions/$next/lease", body)[0] == 401
        assert ask(r, "POST", "/v1/sessions/$next/lease", body, house)[1]["code"] == "NOT_REGISTERED"  # it is ann's
        assert ask(r, "POST", "/v1/sessions/$next/lease", body, ann)[1]["sessionId"] == "a-1"
        assert ask(r, "POST", "/v1/sessions/$next/lease", body, ann)[0] == 204
        assert ask(r, "POST", "/v1/sessions/b-1/lease", body, ann)[0] == 403
        agent.close()


def test_many_that_an_agent_may_not_serve_do_not_hide_one_that_it_may():
    """However many stand before it: now, within its time, and beside others that look for theirs."""
    ann, house = {"authorization": "Bearer ann"}, {"authorization": "Bearer house"}
    rows = ("house token:house append=conversations/** create=conversations/** read=conversations/**\n"
            "ann token:ann create=hub/agents/ann append=conversations/a-*/events read=hub/roster\n")
    with with_rows(rows, workers=1) as r:
        def tell(names):
            for name in names:
                assert ask(r, "POST", f"/v1/sessions/{name}/messages", message("hi"), house)[0] == 202
        agent = Server(r.url, "ann").agent("ann", accepts=["sessions"])
        agent.wait()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: tell([f"b-{n}"]), range(1100)))
            tell(["a-1", "a-2"])
            body = {"agent": "ann"}
            assert ask(r, "POST", "/v1/sessions/$next/lease", body, ann)[1]["sessionId"] == "a-1"
            got = [pool.submit(ask, r, "POST", "/v1/sessions/$next/lease", {**body, "wait": 60}, ann) for _ in range(4)]
            wait_for(lambda: any(one.done() for one in got), "the first")
            tell(["a-3", "a-4", "a-5"])
            assert sorted(one.result()[1]["sessionId"] for one in got) == ["a-2", "a-3", "a-4", "a-5"]
        assert ask(r, "POST", "/v1/sessions/$next/lease", body, ann)[0] == 204
        agent.close()


JAVASCRIPT = """
const { Agent, Api, conversations } = await import(process.argv[1]);
const api = new Api({ base: process.argv[2] });
new Agent(api, { node: { id: "js", machine: "here", cwd: "/", port: 0, accepts: ["sessions"] } }).start();
for await (const lease of conversations(api, { agent: "js", wait: 5 })) {
	for await (const item of lease.items()) {
		if (item.type !== "message") continue;
		const answer = lease.answer(item);
		await answer.write({ type: "text-delta", delta: "You said: " + item.content });
		await answer.finish();
	}
	await lease.release();
}
"""


def test_an_agent_in_javascript(r):
    module = os.path.join(os.path.dirname(os.path.dirname(HERE)), "clients/js/src/agent.js")
    agent = subprocess.Popen(["node", "--input-type=module", "-e", JAVASCRIPT, module, r.url])
    try:
        for n in range(3):
            ask(r, "POST", "/v1/sessions/c/messages", message(f"hi {n}", f"m{n}"))
        wait_for(lambda: [p for p in pieces(stream(r, "sessions/c")) if p[0] == "re-m2:1"], "the answers")
        assert [c["delta"] for key, c in pieces(stream(r, "sessions/c")) if key.startswith("re-") and key.endswith(":0")] == [f"You said: hi {n}" for n in range(3)]
        wait_for(lambda: not {"agent", True} & {*(state := ask(r, "GET", "/v1/sessions/c/lease")[1]), state["waiting"]}, "its end")
        assert agent.poll() is None
    finally:
        agent.kill()
        agent.wait()


STOPPED = """
const { Agent, Api, conversations } = await import(process.argv[1]);
const api = new Api({ base: process.argv[2] });
const agent = new Agent(api, { node: { id: "js", machine: "here", cwd: "/", port: 0, accepts: ["sessions"] } }).start();
try {
	for await (const lease of conversations(api, { agent: "js", wait: 5, leaseMs: 600000 })) {
		for await (const item of lease.items()) {
			if (item.content === "fail") throw new Error("failed");
			if (item.type !== "message") continue;
			const answer = lease.answer(item);
			try {
				while (item.content === "long") await answer.write({ type: "text-delta", delta: "more" });
				await answer.finish();
			} catch (error) {
				if (!answer.stopped) throw error;
			}
		}
		await lease.release();
	}
} catch (error) {
	if (error.message !== "failed") throw error;
	process.stdout.write("left"); /* and what it had is nobody's: it still runs */
}
"""


def test_an_agent_in_javascript_that_is_stopped_goes_on_and_one_that_fails_lets_go(r):
    module = os.path.join(os.path.dirname(os.path.dirname(HERE)), "clients/js/src/agent.js")
    agent = subprocess.Popen(["node", "--input-type=module", "-e", STOPPED, module, r.url], stdout=subprocess.PIPE)
    try:
        ask(r, "POST", "/v1/sessions/c/messages", message("long", "m1"))
        wait_for(lambda: [key for key, _ in pieces(stream(r, "sessions/c")) if key == "re-m1:0"], "the answer")
        assert ask(r, "POST", "/v1/sessions/c/stop", {})[0] == 204
        ask(r, "POST", "/v1/sessions/c/messages", message("short", "m2"))
        wait_for(lambda: [p for p in pieces(stream(r, "sessions/c")) if p == ("re-m2:0", {"type": "finish"})], "the next answer")
        wait_for(lambda: not {"agent", True} & {*(state := ask(r, "GET", "/v1/sessions/c/lease")[1]), state["pending"]}, "its end")
        ask(r, "POST", "/v1/sessions/d/messages", message("fail", "m3"))
        assert agent.stdout.read(4) == b"left" and agent.poll() is None
        state = ask(r, "GET", "/v1/sessions/d/lease")[1]
        assert "agent" not in state and state["waiting"]
    finally:
        agent.kill()
        agent.wait()
        agent.stdout.close()


def test_an_agent_in_python_that_is_stopped_goes_on(r):
    """Its loop is that of the documents; people stop one answer in its middle, and another before its end."""
    server, got, more, stopped = Server(r.url), [], threading.Event(), threading.Event()
    for name in ("one", "two", "three"):
        ask(r, "POST", "/v1/sessions/c/messages", message(name, name))

    def serve():
        with server.conversation("c", actor="bot").lease(seconds=600) as lease:
            for item in lease.items():
                if item.type == "message":
                    with lease.reply(item) as reply:
                        reply.write(item.text)
                        if item.text != "three":
                            more.set()
                            stopped.wait(PATIENCE)
                            stopped.clear()
                        if item.text == "one":
                            reply.write("not wanted")
                    got.append((item.text, reply.stopped))

    agent = threading.Thread(target=serve)
    agent.start()
    for _ in range(2):
        assert more.wait(PATIENCE)
        more.clear()
        assert ask(r, "POST", "/v1/sessions/c/stop", {})[0] == 204
        stopped.set()
    agent.join()
    assert got == [("one", True), ("two", True), ("three", False)]
    state = ask(r, "GET", "/v1/sessions/c/lease")[1]
    assert not state["pending"] and "agent" not in state
    # One that has lost it is told so, and ends there as quietly; what it was asked is not its own any more.
    ask(r, "POST", "/v1/sessions/c/messages", message("four", "four"))
    lease = server.conversation("c", actor="bot").lease(seconds=600)
    (item,) = [item for item in lease.items(settle=False) if item.type == "message"]
    with lease.reply(item) as reply:
        reply.write("a")
        assert ask(r, "POST", "/v1/sessions/c/stop", {})[0] == 204
        reply.write("b")
    other = server.conversation("c", actor="bot").lease(seconds=600)
    assert other.epoch > lease.epoch and not lease.lost
    with lease.reply(item, "late") as reply:
        reply.write("late")
        raise AssertionError("it was taken")
    assert lease.lost and reply.stopped and list(lease.items()) == []
    lease.release()
    other.release()


AGENT = """import sys, time
sys.path.insert(0, sys.argv[1])
from client_python import Refused, Server, Unanswered, Backoff
url, name = sys.argv[2:4]
server = Server(url, patience=float("inf"), backoff=Backoff(first=0.02, most=0.2))
agent = server.agent(name, accepts=["sessions"])
for lease in agent.conversations(seconds=1, wait=2):
    try:
        with lease:
            for item in lease.items():
                if item.type != "message":
                    continue
                with lease.reply(item) as reply:
                    for word in item.text.split():
                        reply.write(word + " ")
                        time.sleep(0.005)
    except Refused as refused:
        print(name, refused, file=sys.stderr, flush=True)
"""


def test_nothing_is_answered_twice_or_left_out_over_kills():
    """Three agents, twelve conversations; agents and workers are killed all the time. In the end every message has exactly one
    whole answer, and its words each once."""
    print(f"SEED={SEED}")
    dice = random.Random(SEED)
    agents = {}

    def start(r, name):
        agents[name] = subprocess.Popen([sys.executable, "-c", AGENT, HERE, r.url, name], stderr=subprocess.DEVNULL)

    with Ringside("--worker-restart-limit=64", "--worker-restart-window=1s", "--conversations-receipts=1024", workers=2) as r:
        server = Server(lambda: r.url, patience=60)
        try:
            for n in range(3):
                start(r, f"bot{n}")
            asked = {}
            for n in range(60):
                session = f"c{dice.randrange(12)}"
                text = " ".join(f"w{n}-{i}" for i in range(12))
                asked[server.conversation(session, actor="ann").say(text, message_id=f"m{n}")] = (session, text)
                if n % 10 == 9:
                    r.kill_some_worker(dice, "sse")

            def open_ones():
                """Conversations that wait, or that an agent has."""
                states = [ask(r, "GET", f"/v1/sessions/{session}/lease")[1] for session in {where for where, _ in asked.values()}]
                return [state for state in states if state["waiting"] or "agent" in state]

            kills, end = 0, time.monotonic() + 6 * PATIENCE
            while open_ones():
                assert time.monotonic() < end
                if kills < 12:  # somebody is in the middle of an answer
                    kills += 1
                    name = dice.choice(list(agents))
                    agents[name].kill()
                    agents[name].wait()
                    start(r, name)
                    if kills % 3 == 0:
                        r.kill_some_worker(dice, "sse")
                time.sleep(0.2)
        finally:
            for agent in agents.values():
                agent.kill()
                agent.wait()
        abandoned = 0
        for session in {session for session, _ in asked.values()}:
            answers, count = {}, 0
            texts = [text for where, text in asked.values() if where == session]
            for key, chunk in pieces(stream(r, f"sessions/{session}")):
                answers.setdefault(key.rsplit(":", 1)[0], []).append(chunk)
            for message_id, (where, text) in asked.items():
                if where != session:
                    continue
                mine = [chunks for key, chunks in answers.items() if re.fullmatch(rf"re-{message_id}(\.\d+)?", key)]
                whole = [chunks for chunks in mine if chunks[-1] == {"type": "finish"}]
                assert len(whole) == 1, mine  # the others were begun by an agent that was killed, and are over
                assert all(chunks[-1] == {"type": "stop", "reason": "abandoned"} for chunks in mine if chunks not in whole)
                assert [chunk["delta"] for chunk in whole[0][:-1]] == [word + " " for word in text.split()]
                count += len(mine)
            abandoned += count - len(texts)
            assert count == sum(key.startswith("re-") for key in answers)
        print(f"kills={kills} answers that were begun and abandoned={abandoned}")
