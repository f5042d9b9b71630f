"""Agents by both clients (clients/js, clients/python), which are given conversations by the hub, in their sockets: workers are
killed in the middle of what they say, they are closed in the middle of what they begin, and nothing is lost, doubled or left over."""

import json
import os
import random
import socket
import threading

import pytest

from client_python import Backoff, Server
from ringside import PATIENCE, Ringside, wait_for
from test_client_js import Node, calmly, node_of
from test_readme import node_version

SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
CLIENTS = ["python", pytest.param("js", marks=pytest.mark.skipif(node_version() < 20, reason="no Node 20"))]
KILLABLE = ("--worker-restart-limit=64", "--worker-restart-window=1s")


class Script(Node):
    """The JavaScript client's agent."""

    def __init__(self, url, name, words=20, pace=0, accepts=("items",)):
        super().__init__(url, "serves", node={**node_of(name, 1), "accepts": list(accepts)}, words=words, pace=pace)

    def close(self):
        self.do("close")

    def over(self):
        """Of its own accord, and without a fault."""
        assert self.end()[-1] == {"over": True}


class Thread(threading.Thread):
    """The Python client's."""

    def __init__(self, url, name, words=20, pace=0, accepts=("items",)):
        super().__init__(daemon=True)
        self.server, self.words, self.pace, self.said, self.error = Server(url, backoff=Backoff(first=0.01, most=0.1)), words, pace, [], None
        self.agent = self.server.agent(name, machine="127.0.0.1", port=1, accepts=accepts)
        self.start()

    def run(self):
        try:
            for lease in self.agent.conversations():
                with lease:
                    for item in lease.items():
                        self.said.append({"item": item.text or item.type, "epoch": lease.epoch})
                        if item.type != "message":
                            continue
                        with lease.reply(item) as reply:
                            for n in range(self.words):
                                reply.write(f"{n} ")
                                threading.Event().wait(self.pace / 1000)
                        if reply.stopped:
                            self.said.append({"stopped": item.text, "lost": lease.lost})
        except Exception as error:  # noqa: BLE001 - over() shows it
            self.error = error

    def of(self, kind):
        return [line[kind] for line in list(self.said) if kind in line]

    def close(self):
        threading.Thread(target=self.agent.close, daemon=True).start()

    def over(self):
        self.join(PATIENCE)
        assert not self.is_alive() and self.error is None, self.error


def agent_of(client, url, name, **more):
    return {"python": Thread, "js": Script}[client](url, name, **more)


JSON = {"content-type": "application/json"}


def post(r, session, content, **more):
    calmly(r, "POST", f"/v1/sessions/{session}/messages", json.dumps({"content": content, "messageId": content, **more}).encode(), JSON)


def reset(r, session):
    calmly(r, "POST", f"/v1/sessions/{session}/reset", b"{}", JSON)


def answers(r, session):
    """What was said there by agents: {id: [text or type of each piece]}."""
    found = {}
    for event in json.loads(calmly(r, "GET", f"/v1/stream/conversations/{session}/events?offset=-1")):
        if event["type"] == "chunk" and event["value"]["role"] == "assistant":
            chunk = json.loads(event["value"]["chunk"])
            found.setdefault(event["value"]["messageId"], []).append(chunk.get("delta", chunk["type"]))
    return found


def lease_of(r, session):
    return json.loads(calmly(r, "GET", f"/v1/sessions/{session}/lease"))


def settled(r, *sessions):
    wait_for(lambda: all(not (state := lease_of(r, name))["pending"] and "agent" not in state for name in sessions), "all of it dealt with",
             3 * PATIENCE)


def holder(r, name):
    """The worker that has its socket."""
    shown = json.loads(r.ctl("agents", "show", name)[0])
    return r.worker(shown["worker"]) if shown.get("status") == "active" else None


@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_goes_on_when_the_worker_of_its_socket_is_killed(client):
    """Under the same lease: nothing waits for its end, which is far."""
    with Ringside(*KILLABLE, "--conversations-lease=600s", workers=2) as r:
        post(r, "talk", "one", messageId="m1")
        agent = agent_of(client, r.url, "bot", words=60, pace=5)
        wait_for(lambda: len(answers(r, "talk").get("re-m1", ())) > 5, "some of the answer")
        post(r, "talk", "two", messageId="m2")
        r.kill(holder(r, "bot")["pid"])
        settled(r, "talk")
        want = [f"{n} " for n in range(60)] + ["finish"]
        assert answers(r, "talk") == {"re-m1": want, "re-m2": want}
        assert agent.of("item") == ["one", "two"]
        agent.close()
        agent.over()


@pytest.mark.parametrize("client", CLIENTS)
def test_kills_lose_and_double_no_word(client):
    print(f"SEED={SEED}")
    dice, count, kills = random.Random(SEED), 12, 0
    with Ringside(*KILLABLE, "--conversations-lease=5s", workers=2) as r:
        for i in range(3):
            calmly(r, "PUT", f"/v1/sessions/talk-{i}", b"{}", JSON)
        agent = agent_of(client, r.url, "bot", words=30, pace=3)
        for n in range(count):
            post(r, f"talk-{n % 3}", f"say {n}", messageId=f"m{n}")
            kills += r.kill_some_worker(dice, "sse")
            wait_for(lambda: sum("finish" in pieces for i in range(3) for pieces in answers(r, f"talk-{i}").values()) > n - 3, "answers", 3 * PATIENCE)
        settled(r, *(f"talk-{i}" for i in range(3)))
        want = [f"{n} " for n in range(30)] + ["finish"]
        for i in range(3):
            said = answers(r, f"talk-{i}")
            whole = [name for name in said if said[name] == want]
            assert [name.split(".")[0] for name in whole] == [f"re-m{n}" for n in range(i, count, 3)]
            # What was begun and not ended was abandoned, and says so.
            assert all(pieces[-1] == "stop" for name, pieces in said.items() if name not in whole)
        agent.close()
        agent.over()
        print(f"kills={kills}")


@pytest.mark.parametrize("accepts", ["items", "sessions"])
@pytest.mark.parametrize("client", CLIENTS)
def test_what_waits_is_served_in_order_and_what_is_reset_is_not(client, accepts):
    with Ringside("--conversations-lease=600s") as r:
        for n in range(40):
            post(r, "talk", f"{n}")
        post(r, "other", "before")
        reset(r, "other")
        post(r, "other", "after")
        agent = agent_of(client, r.url, "bot", words=1, accepts=[accepts])
        settled(r, "talk", "other")
        assert agent.of("item") == [f"{n}" for n in range(40)] + ["reset", "after"]
        agent.close()
        agent.over()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_reset_in_an_answer_takes_what_waits_behind_it(client):
    with Ringside("--conversations-lease=600s") as r:
        agent = agent_of(client, r.url, "bot", words=2000, pace=5)
        for name in ("one", "two", "three"):
            post(r, "talk", name, messageId=name)
        wait_for(lambda: answers(r, "talk").get("re-one"), "the answer")
        reset(r, "talk")
        wait_for(lambda: "reset" in agent.of("item"), "that it hears so")
        settled(r, "talk")
        assert agent.of("item") == ["one", "reset"] and agent.of("stopped") == ["one"]
        agent.close()
        agent.over()


@pytest.mark.parametrize("client", CLIENTS)
def test_who_loses_its_lease_in_an_answer_goes_on_with_others(client):
    with Ringside("--conversations-lease=600s") as r:
        agent = agent_of(client, r.url, "bot", words=200, pace=5)
        post(r, "talk", "one", messageId="m1")
        wait_for(lambda: answers(r, "talk").get("re-m1"), "the answer")
        calmly(r, "POST", "/v1/sessions/talk/lease", b'{"agent":"bot"}', JSON)  # another life of it
        wait_for(lambda: agent.of("stopped") == ["one"], "that it is over")
        assert agent.of("lost") == [True]
        post(r, "other", "two", messageId="m2")
        settled(r, "other")
        assert "finish" in answers(r, "other")["re-m2"]
        agent.close()
        agent.over()


@pytest.mark.parametrize("client", CLIENTS)
def test_ids_that_begin_alike_have_answers_of_their_own(client):
    """As long as ids may be, and alike but for their ends."""
    with Ringside("--conversations-lease=600s") as r:
        names = ["x" * 127 + end for end in "ab"] + ["y" * 80, "y" * 81, "z" * 128]
        for name in names:
            post(r, "talk", "say", messageId=name)
        agent = agent_of(client, r.url, "bot", words=2)
        settled(r, "talk")
        said = answers(r, "talk")
        assert len(said) == len(names) and all(pieces == ["0 ", "1 ", "finish"] for pieces in said.values())
        assert "re-" + "y" * 80 in said and max(map(len, said)) <= 100
        agent.close()
        agent.over()


class Gate:
    """In front of a Ringside; what clients send waits until it is open."""

    def __init__(self, r):
        self.to, self.open, self.waiting = r.address(), threading.Event(), threading.Event()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(near,), daemon=True).start()

    def serve(self, near):
        head = near.recv(65536)
        self.waiting.set()
        self.open.wait()
        with socket.create_connection(self.to) as far, near:
            far.sendall(head)
            back = threading.Thread(target=self.carry, args=(far, near), daemon=True)
            back.start()
            self.carry(near, far)
            back.join()

    def carry(self, one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


@pytest.mark.parametrize("client", CLIENTS)
def test_one_that_is_closed_while_its_socket_is_made_is_not_there(client):
    with Ringside() as r:
        gate = Gate(r)
        agent = agent_of(client, gate.url, "bot")
        assert gate.waiting.wait(PATIENCE)  # it has asked for its socket, and is not answered
        agent.close()
        if client == "python":
            wait_for(lambda: agent.agent._closed.is_set(), "the beginning of its end")
        else:
            wait_for(lambda: "closed" in agent.of("state"), "its end")
        gate.open.set()
        agent.over()
        wait_for(lambda: json.loads(r.ctl("agents", "ls", "--json")[0]) == [], "nobody at the hub")
        gate.server.close()


@pytest.mark.skipif(node_version() < 20, reason="no Node 20")
def test_one_that_is_closed_before_its_socket_is_made_makes_none():
    with Ringside() as r:
        agent = Node(r.url, "closed", node=node_of("bot"))
        wait_for(lambda: agent.of("state") == ["connecting", "closed"], "its end")
        assert agent.stop() == [{"state": "connecting"}, {"state": "closed"}]
        assert json.loads(r.ctl("agents", "ls", "--json")[0]) == []


def test_what_an_agent_accepts_is_spelled_right():
    """Else it would wait for ever for what it thinks it accepts."""
    server = Server("http://127.0.0.1:1")
    for wrong in ("items", ["item"], ["items", "session"]):
        with pytest.raises(ValueError):
            server.agent("bot", accepts=wrong)
    with server.agent("bot", port=1) as agent, pytest.raises(ValueError):
        agent.conversations()
    if node_version() >= 20:
        for accepts in (None, [], "items", ["item"]):
            assert Node("http://127.0.0.1:1", "serves", node={**node_of("bot"), "accepts": accepts}, words=1).end(code=1) == []
