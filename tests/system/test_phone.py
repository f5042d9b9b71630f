"""A phone: a client in a network namespace of its own, whose interface goes down and comes back, whose address changes, whose
process is killed. The first message behind each of these is answered, once, and nothing of the conversation is lost or doubled.

PHONE_SCALE makes it real: 1 is for the suite (a minute of the real thing is 3 s), 20 is as it is (scripts/soak)."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid

import pytest

from chat_client import ChatClient
from ringside import Ringside, wait_for

SCALE = float(os.environ.get("PHONE_SCALE", "1"))
EXPIRY = 3 * SCALE
CLONE_NEWNET = 0x40000000
JSON = {"content-type": "application/json"}
libc = ctypes.CDLL(None, use_errno=True)


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


def can():
    name = f"rs-try-{os.getpid()}"
    if os.geteuid() != 0 or subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode != 0:
        return False
    run("ip", "netns", "del", name)
    return True


pytestmark = pytest.mark.skipif(not can(), reason="needs to make network namespaces")


@contextlib.contextmanager
def inside(namespace):
    """This thread's new sockets are there; those that it has stay where they are."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{namespace}") as there:
        assert libc.setns(there.fileno(), CLONE_NEWNET) == 0
        try:
            yield
        finally:
            assert libc.setns(home.fileno(), CLONE_NEWNET) == 0


class Net:
    """A server and a phone, a cable between them."""

    def __init__(self):
        self.server, self.phone = (f"rs-{name}-{os.getpid()}-{time.monotonic_ns() % 10**6}" for name in ("server", "phone"))
        for name in (self.server, self.phone):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", self.server, "link", "add", "cell", "type", "veth", "peer", "name", "radio", "netns", self.phone)
        run("ip", "-n", self.server, "addr", "add", "10.77.0.1/24", "dev", "cell")
        run("ip", "-n", self.server, "link", "set", "cell", "up")
        self.address = None
        self.up()
        self.move(2)

    def up(self):
        run("ip", "-n", self.phone, "link", "set", "radio", "up")

    def down(self):
        run("ip", "-n", self.phone, "link", "set", "radio", "down")

    def move(self, host):
        """Another address, as from one network to the next: what was open by the old one is dead, and nobody says so."""
        if self.address is not None:
            run("ip", "-n", self.phone, "addr", "del", f"{self.address}/24", "dev", "radio")
        self.address = f"10.77.0.{host}"
        run("ip", "-n", self.phone, "addr", "add", f"{self.address}/24", "dev", "radio")

    def remove(self):
        for name in (self.server, self.phone):
            subprocess.run(["ip", "netns", "del", name], check=False)


class Phone(ChatClient):
    """Its watchdog takes a stream for dead that says nothing for two heartbeats and a half."""

    def __init__(self, r, net, **options):
        self.net = net
        super().__init__(lambda: ("10.77.0.1", r.address()[1]), patience=2.5 * SCALE, **options)

    def connect(self):
        with inside(self.net.phone):
            return super().connect()


class Agent(threading.Thread):
    """Reads what people say to a session, and answers each once: with a message whose id follows from theirs."""

    def __init__(self, r, net, session):
        super().__init__(daemon=True)
        self.r, self.net, self.session, self.stopping = r, net, session, False
        self.answered = set()
        self.start()

    def run(self):
        with inside(self.net.server):
            while not self.stopping:
                try:
                    self.look()
                except OSError:
                    pass
                time.sleep(0.02)

    def inbox(self):
        return json.loads(self.r.get(f"/v1/stream/conversations/{self.session}/inbox?offset=-1"))

    def look(self):
        for item in self.inbox():
            if item["type"] == "message" and item["messageId"] not in self.answered:
                body = {"content": f"to {item['messageId']}", "messageId": f"answer.{item['messageId']}", "role": "assistant"}
                # Its own words come back in its inbox: they are no question.
                self.answered |= {item["messageId"], body["messageId"]}
                self.r.request("POST", f"/v1/sessions/{self.session}/messages", json.dumps(body).encode(), JSON)


@pytest.fixture
def net():
    made = Net()
    yield made
    made.remove()


@contextlib.contextmanager
def served(net):
    flags = [f"--connections-expiry={int(EXPIRY * 1000)}ms", f"--http-sse-keepalive={int(SCALE * 1000)}ms",
             "--http-allowed-origin=*"]
    with inside(net.server), Ringside(*flags, workers=2, listen="10.77.0.1:0",
                                      prefix=("ip", "netns", "exec", net.server), start=False) as r:
        r.flags = ["--config=" + config(r) if flag == "--dev" else flag for flag in r.flags]
        r.start()
        yield r


def config(r):
    """Everybody may: dev would be for this machine's own names alone."""
    path = os.path.join(r.dir, "phone.yaml")
    with open(path, "w") as file:
        file.write("auth:\n  public: 'read=/** append=/** create=/** delete=/** metrics=/**'\n")
    return path


def texts(phone):
    with phone.lock:
        return [json.loads(e["value"]["chunk"])["message"]["parts"][0]["content"] for e in phone.of("chunk")
                if "whole-message" in e["value"]["chunk"]]


def answered_once(phone, agent, session, text):
    message = str(uuid.uuid4())
    status, receipt = phone.post("send", {"sessionId": session, "prompt": text, "clientMsgId": message},
                                 patience=60 * SCALE)
    assert status == 202, receipt
    wait_for(lambda: f"to {message}" in texts(phone), f"the answer to {text}", 60 * SCALE)
    heard = texts(phone)
    assert (heard.count(text), heard.count(f"to {message}")) == (1, 1)
    assert [i["messageId"] for i in agent.inbox()].count(message) == 1


def state_at_each_welcome(phone):
    """As a client does whose EventSource is a new one each time; a browser's has no need."""
    seen = len(phone.welcomes)
    while not phone.stopping:
        if len(phone.welcomes) > seen:
            seen = len(phone.welcomes)
            phone.state()
        time.sleep(0.02)


@pytest.mark.parametrize("what", ["down for short", "down for long", "another address", "another address while down"])
def test_whatever_befalls_its_network(net, what):
    with served(net) as r:
        r.request("POST", "/sessions", json.dumps({"sessionId": "talk", "title": "T"}).encode(), JSON)
        agent = Agent(r, net, "talk")
        phone = Phone(r, net)
        wait_for(lambda: phone.welcomes, "the welcome", 60 * SCALE)
        assert phone.watch("talk")[0] == 200
        threading.Thread(target=state_at_each_welcome, args=(phone,), daemon=True).start()
        answered_once(phone, agent, "talk", "before")
        for turn in range(3):
            if what.startswith("down") or what.endswith("down"):
                net.down()
            if what.startswith("another"):
                net.move(10 + turn)
            gap = {"down for short": EXPIRY / 3, "down for long": EXPIRY * 2}.get(what, EXPIRY / 6)
            r.request("POST", "/v1/sessions/talk/messages", json.dumps({"content": f"missed {turn}"}).encode(), JSON)
            time.sleep(gap)  # the case itself
            net.up()
            answered_once(phone, agent, "talk", f"behind {turn}")
            wait_for(lambda: f"missed {turn}" in texts(phone), "what was said meanwhile", 60 * SCALE)  # noqa: B023
        assert [texts(phone).count(f"missed {turn}") for turn in range(3)] == [1, 1, 1]
        phone.stop()
        agent.stopping = True
        agent.join()
        assert phone.faults == []


@pytest.mark.parametrize("gap", [0, EXPIRY / 3, EXPIRY * 2])
def test_its_process_is_killed(net, gap):
    """It kept what it wanted to say: said again by its next life, it counts once."""
    with served(net) as r:
        r.request("POST", "/sessions", json.dumps({"sessionId": "talk", "title": "T"}).encode(), JSON)
        agent = Agent(r, net, "talk")
        state = os.path.join(r.dir, "phone.json")
        host = f"10.77.0.1:{r.address()[1]}"

        def begin(*prompts):
            return subprocess.Popen(["ip", "netns", "exec", net.phone, sys.executable,
                                     os.path.join(os.path.dirname(__file__), "chat_phone.py"), host, state, "talk", *prompts],
                                    stdout=subprocess.PIPE, text=True)
        for turn in range(3):
            phone = begin(f"first {turn}", f"second {turn}")
            assert phone.stdout.readline() == "sent\n"  # the first is on its way, its answer maybe not
            phone.send_signal(signal.SIGKILL)
            phone.wait()
            time.sleep(gap)  # the case itself
            phone = begin()
            assert phone.stdout.read() == "answered\n"
            assert phone.wait() == 0
        with open(state) as file:
            kept = json.load(file)
        assert kept["outbox"] == [] and kept["faults"] == []
        sent = [i["content"] for i in agent.inbox() if i.get("role") != "assistant"]
        assert sorted(sent) == sorted(f"{which} {turn}" for turn in range(3) for which in ("first", "second"))
        assert all(kept["heard"].count(text) == 1 for text in sent)
        agent.stopping = True
        agent.join()
