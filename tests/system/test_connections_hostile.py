"""Stable connections and whoever means them ill, or merely goes badly: garbage, ids without number, who reads nothing, and workers
that come, go and are told new settings while connections are taken over."""

import json
import random
import socket

import pytest

from chat_client import ChatClient, new_cid
from ringside import Ringside, wait_for
from test_connections import ask, caught_up, metric, rows, say, torture, welcome

NAMES = ("watch", "unwatch", "switch", "reconnect", "suspend", "probe", "send", "interrupt", "stop", "permission", "mode", "close")


class Deaf:
    """A stream that is opened, and read only when it is told to."""

    def __init__(self, r, cid):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(60)
        self.socket.connect(r.address())
        self.socket.sendall(f"GET /api/chat/events?cid={cid} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        self.text = bytearray()
        while b'"welcome"' not in self.text:
            self.text += self.socket.recv(1024)

    def read(self, until):
        """What it has been told; `until` is in it, or it has ended."""
        at = 0
        while self.text.find(until, at) < 0:
            at = max(0, len(self.text) - len(until))
            piece = self.socket.recv(65536)
            if not piece:
                break
            self.text += piece
        return self.text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def test_garbage_is_refused_and_hurts_nobody():
    dice = random.Random(5)
    words = [None, True, -1, 0, 2**63, 1.5, "", "a", "\0", "x" * 300, "../a", [], {}, [[]], {"sessionId": "a"}, "\ud83e\udd4a"]
    with Ringside(workers=2) as r:
        say(r, "a")
        pids = r.worker_pids()
        client = ChatClient(r.address)
        welcome(client)
        client.watch("a")

        def word(depth=2):
            if depth and dice.random() < 0.3:
                return [word(depth - 1) for _ in range(dice.randrange(4))]
            return dice.choice(words)
        for _ in range(400):
            body = {name: word() for name in ("sessionId", "sessions", "lastSeq", "nonce", "prompt", "clientMsgId", "permId", "decision",
                                              "mode") if dice.random() < 0.7}
            if "sessions" in body and dice.random() < 0.5:
                body["sessions"] = [{"sessionId": word(0), "lastSeq": word(0)} for _ in range(dice.randrange(5))]
            headers = {"x-connection-id": dice.choice([new_cid(), "cid-", "x", new_cid() + "0", new_cid().replace("-", ":")]),
                       "x-connection-generation": dice.choice(["0", "-1", "x", "9" * 30, "1"])}
            status, answer, _ = ask(r, "POST", f"/api/chat/{dice.choice(NAMES)}", body, headers)
            assert status < 300 or (status < 500 and answer["code"]), (body, headers, status, answer)
        for raw in (b"", b"{", b"\xff", b"[" * 5000, b'{"sessions":' + b"[" * 5000, b"{}" * 3, b"null"):
            for name in NAMES:
                status, _, _ = ask(r, "POST", f"/api/chat/{name}", raw, {"x-connection-id": client.cid})
                assert status == 400, (name, raw[:20])
        for name in ("reconnect", "suspend"):
            status, _, _ = ask(r, "POST", f"/api/chat/{name}", b"[" + b" " * (2 << 20), {"x-connection-id": client.cid})
            assert status == 413
        for last in ("superseded2", "1", "1-1.1", "zzzzzzzzzzzzz-1.1", "mx40pghl-1.zzzzzzzzzz-1.1", "-", "1-" + "1.1-" * 3000, "%00"):
            status, got, _ = r.request("HEAD", f"/api/chat/events?cid={new_cid()}&lastEventId={last}")
            assert status in (200, 414, 431), last
            nobody = ChatClient(r.address, follow=False)
            nobody.last_id = last[:4000]
            nobody.start()
            welcome(nobody)
            nobody.stop()
        caught_up(client, "a", say(r, "a", 3))
        assert r.worker_pids() == pids and len(client.welcomes) == 1
        assert client.stop().faults == []


def test_ids_without_number_find_an_end():
    """Whoever opens one after another fills connections.max; those who are there come and go as before, and all is as it was when
    his have expired."""
    with Ringside("--connections-max=300", "--connections-expiry=2s", workers=1) as r:
        say(r, "a")
        client = ChatClient(r.address)
        welcome(client)
        client.watch("a")
        kept = []
        for _ in range(400):
            connection = client.connect()
            connection.request("GET", f"/api/chat/events?cid={new_cid()}")
            answer = connection.getresponse()
            assert answer.status == 200 or (answer.status == 503 and b"connections.max" in answer.read())
            kept.append((connection, answer))
        assert 250 < len([1 for _, answer in kept if answer.status == 200]) < 350  # a count that is as old as the last sweep
        for connection, answer in kept:
            answer.close()
            connection.close()
        client.cut()
        welcome(client, 2)
        caught_up(client, "a", say(r, "a"))
        wait_for(lambda: rows(r) == 1, "theirs to expire")
        again = ChatClient(r.address)
        welcome(again)
        for one in (client, again):
            assert one.stop().faults == []


def test_a_stream_that_nobody_reads_holds_no_more_than_it_may():
    """What is asked beside it is answered, and what it would be told piles up no further than limits.reader_lag_bytes."""
    flags = ("--limits-reader-lag-bytes=384k", "--connections-sessions=100", "--connections-replay-rate=0")
    with Ringside(*flags, workers=1) as r:
        names = [f"session-{i}" for i in range(100)]
        for name in names:
            say(r, name)
        say(r, names[0], 60, text="x" * 100000)
        client = ChatClient(r.address, follow=False)
        with Deaf(r, client.cid) as deaf:
            client.cursors = dict.fromkeys(names, 0)
            assert client.state()[0] == 200
            wait_for(lambda: metric(r, "waiting_bytes") > 0, "it takes no more")
            for _ in range(4000):
                assert client.post("switch", {"sessionId": None})[0] == 200
                assert metric(r, "waiting_bytes") < 1 << 20
                if metric(r, "readers_cut_total"):
                    break
            assert metric(r, "readers_cut_total") == 1
            deaf.read(b"never said")  # to its end
        assert client.post("probe", {"nonce": "1"})[0] == 404


def test_who_reads_slowly_gets_all_of_it_and_costs_no_more_than_a_cursor():
    with Ringside(workers=1) as r:
        names = "abcde"
        for name in names:
            say(r, name)
        client = ChatClient(r.address, follow=False)
        with Deaf(r, client.cid) as deaf:
            client.cursors = dict.fromkeys(names, 0)
            client.state()
            last = {}
            for _ in range(30):
                for name in names:
                    last[name] = say(r, name, text="x" * 30000)
            assert metric(r, "waiting_bytes") < 1 << 20  # of 4.5 MB
            assert client.post("probe", {"nonce": "1"})[0] in (202, 404)
            reader = ChatClient(r.address, follow=False)
            reader.cursors = dict.fromkeys(names, 0)
            for name, seq in last.items():
                deaf.read(f'"seq":{seq},'.encode())
            for line in deaf.text.split(b"\n"):
                if line.startswith(b"data: {") and line.endswith(b"}"):
                    reader.take("message", json.loads(line[6:]))
            assert reader.faults == []


@pytest.mark.parametrize("seed", [3])
def test_takeovers_while_workers_come_and_go(seed):
    """Reloads and another number of workers between them, and kills."""
    events, _ = torture(actions=250, clients=8, sessions=5, kill_every=50, seed=seed, operate_every=30)
    assert events > 50
