"""The hub and those who mean it no good, or mean nothing: dashboards that read nothing or slowly, floods, races for one place
from two workers, and kills while tunnels are open."""

import json
import os
import signal
import socket
import struct
import threading

from hub_client import BINARY, PING, PONG, TEXT, Client, Hub
from ringside import Ringside, wait_for
from test_cannot_start import sanitized
from test_hub import Tunnel, metric, roster

LONG = "/" + "d" * 3000


def register_many(hub, names, first_port=1, cwd=LONG):
    """Over one socket: each but the last is offline then."""
    for i, name in enumerate(names):
        hub.send(TEXT, json.dumps({"id": name, "method": "register", "params": {
            "id": name, "machine": "m", "cwd": cwd, "port": first_port + i, "status": "active"}}))
        if i % 32 == 31 or i == len(names) - 1:
            while hub.message().get("id") != name:
                pass


def memory(r):
    total = 0
    for pid in r.worker_pids():
        with open(f"/proc/{pid}/smaps_rollup") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Private_"))
    return total


def test_a_large_roster_comes_whole_while_it_changes():
    """What is sent in slices is of one instant, and what comes behind it fits to it."""
    with Ringside("--hub-node-ttl=1h", workers=2) as r:
        hub = Hub(r)
        hub.nodes()
        register_many(hub, [f"old-{i:04d}" for i in range(600)])
        dashboards = [Client(r, "/ws" + query, receive=4096) for query in ("", "?resume") * 4]
        churn = Hub(r)
        churn.nodes()
        for turn in range(6):
            register_many(churn, [f"new-{turn}-{i}" for i in range(20)], 1000 + 20 * turn)
            churn.ask("deregister", {"id": f"new-{turn}-19"})
        # Those that were away, too.
        watcher = Hub(r)
        want = {node["id"]: node["status"] for node in watcher.nodes()}
        assert len(want) == 600 + 6 * 19
        # A mark, behind which nothing is to come.
        churn.register("mark", port=9999)
        want["mark"] = "active"
        for dashboard in dashboards:
            there = {}
            while "mark" not in there:
                first, payload = dashboard.data()
                assert first == 128 | TEXT
                event = json.loads(payload)
                if event["event"] == "init":
                    assert not there and event["nodes"] == sorted(event["nodes"], key=lambda node: node["id"].encode())
                    there = {node["id"]: node["status"] for node in event["nodes"]}
                elif event["event"] == "node_joined":
                    there[event["node"]["id"]] = event["node"]["status"]
                elif event["event"] == "node_offline":
                    assert event["id"] in there
                    there[event["id"]] = "offline"
                else:
                    del there[event["id"]]
            assert there == want
        for one in (hub, churn, watcher, *dashboards):
            one.close()


def test_who_reads_nothing_is_sent_away_and_costs_little():
    with Ringside("--http-sse-keepalive=500ms", "--hub-node-ttl=1h") as r:
        hub = Hub(r)
        hub.nodes()
        register_many(hub, [f"n{i}" for i in range(600)])
        hub.close()
        # They take nothing of a roster of 1.8 MB.
        before = memory(r)
        deaf = [Client(r, "/ws", receive=4096) for _ in range(100)]
        assert len(roster(r)) == 600
        assert sanitized() or memory(r) - before < 40_000  # KiB; not 180 MB: they share it
        wait_for(lambda: metric(r, "ringside_websockets") == 0, "them to be sent away")
        for one in deaf:
            one.close()
        # What they ask for and do not take ends with 1008, or a cut.
        flood = Client(r, "/ws", receive=4096)
        flood.socket.settimeout(5)
        try:
            while True:
                flood.send(TEXT, '{"id":1,"method":"list_nodes"}')
        except OSError:
            pass
        flood.close()
        wait_for(lambda: metric(r, "ringside_websockets") == 0, "it to be sent away")
        assert sanitized() or memory(r) - before < 40_000
        assert len(roster(r)) == 600


def test_lists_and_answers_keep_their_order():
    with Ringside() as r:
        hub = Hub(r)
        hub.send(TEXT, '{"id":0,"method":"list_nodes"}')  # before its roster is here
        hub.nodes()
        assert hub.message() == {"id": 0, "result": []}
        register_many(hub, [f"n{i}" for i in range(100)], cwd="/w")
        # In one write, a ping of the protocol among them.
        hub.socket.sendall(b"".join(hub.pack(TEXT, json.dumps({"id": i, "method": "list_nodes" if i % 3 else "ping"})) +
                                    hub.pack(PING, b"%d" % i) for i in range(30)))
        answered, pongs = [], []
        while len(answered) < 30 or len(pongs) < 30:
            first, payload = hub.frame()
            if first & 15 == PONG:
                pongs.append(payload)
                continue
            message = json.loads(payload)
            if "event" in message:
                continue  # of what was registered before
            answered.append(message["id"])
            assert message["id"] % 3 == 0 or len(message["result"]) == 100
        assert answered == list(range(30))
        hub.close()


def test_races_for_one_place_leave_one():
    with Ringside(workers=2) as r:
        hubs, lock = [], threading.Lock()

        def race(number):
            for turn in range(15):
                hub = Hub(r)
                hub.nodes()
                # One place and one id that all want; and ids of their own at it.
                name = "same" if turn % 2 else f"own-{number}"
                answer = hub.ask("register", {"id": name, "machine": "m", "cwd": "/", "port": 1, "status": "active"})
                assert answer.get("result") == {"status": "registered"}, answer
                with lock:
                    hubs.append(hub)
        racers = [threading.Thread(target=race, args=(n,)) for n in range(8)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert len(hubs) == 8 * 15
        there = roster(r)
        assert len(there) == 1 and list(there.values()) == ["active"]
        # Whoever lost closes, and changes nothing; whoever has it stays, at whichever worker.
        owner = Hub(r)
        owner.nodes()
        owner.register("last", port=1, machine="m")
        assert roster(r) == {"last": "active"}
        for hub in hubs:
            hub.close()
        wait_for(lambda: metric(r, "ringside_websockets") == 1, "them to be gone")
        assert roster(r) == {"last": "active"}
        owner.close()
        wait_for(lambda: roster(r) == {"last": "offline"}, "the last to be offline")


def worker_of(r, name):
    return r.worker(json.loads(r.ctl("agents", "show", name)[0])["worker"])["pid"]


def test_kills_while_tunnels_are_open():
    with Ringside(workers=2) as r:
        for turn in range(3):
            tunnel = Tunnel(r, "phone", port=0, machine="away")
            echoing = threading.Thread(target=tunnel.echo, daemon=True)
            echoing.start()
            views = [Client(r, "/ws/agent/phone") for _ in range(10)]
            for n, view in enumerate(views):
                view.send(BINARY, struct.pack(">I", n) + bytes(100_000))
            for n, view in enumerate(views):
                first, payload = view.data()
                assert payload[:4] == struct.pack(">I", n)
            victim = worker_of(r, "phone") if turn % 2 == 0 else next(
                pid for pid in r.worker_pids() if pid != worker_of(r, "phone"))
            os.kill(victim, signal.SIGKILL)
            gone, left = 0, 0
            if turn % 2 == 0:
                # All of them end: by a Close of the worker that lives, or with the one that was killed.
                for view in views:
                    try:
                        assert view.closed()[0] == 1014
                        left += 1
                    except OSError:
                        gone += 1
                echoing.join()
            else:
                # The agent stays; those at its own worker go on, of the others it hears the end.
                for view in views:
                    try:
                        view.send(TEXT, "still?")
                        while view.data() != (128 | TEXT, b"still?"):
                            pass
                        left += 1
                    except OSError:
                        gone += 1
                wait_for(lambda: len(tunnel.over) == gone, "the agent to hear of those that are gone")
                tunnel.socket.shutdown(socket.SHUT_RDWR)
                echoing.join()
            assert gone + left == 10
            for view in views:
                view.close()
            tunnel.close()
            wait_for(lambda: len(r.worker_pids()) == 2 and r.request("GET", "/readyz")[0] == 200, "both to be there")
            wait_for(lambda: metric(r, "ringside_hub_proxies") == 0, "nobody to be led anywhere")
