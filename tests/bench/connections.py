#!/usr/bin/python3
"""What a stable connection costs beside a plain reader of /v1/events, in one run: bytes of memory while it is idle and watches five
sessions, and how fast an event of one session reaches all who watch it. Servers on CPU 0, load on CPU 1 when there are two.

    connections.py BUILD [--idle 4000] [--watchers 5000] [--seconds 1] [--rounds 20] [--json FILE]

Idle: so many of a kind come to a worker that had as many before, no faster than its checkpoints follow, so that what is counted is
what one more keeps, and nothing that is needed only while it comes: pages of the store, rows not yet in its tables. Fan-out: so many
of both kinds are on one worker, each kind at a session of its own, and an event comes when all have the one before. The kinds take short
turns, so that what else the machine does falls on both, and each turn is set against the other kind's next to it; the median of that
counts, of deliveries for each second of the worker's CPU, and of deliveries a second. The exit code is 1 where a target is missed."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request

from bench import Bench, pin
from compare import children

SESSIONS = 5
IDLE_BYTES_MAX = 1536
FAN_OUT_MIN = 0.95  # of what /v1/events delivers
BODY_BYTES = 200
WARM_UP_S = 0.3  # of a turn: then the caches are of this kind
READ, WATCHED = "s0", "s1"
READER = f"/v1/events?stream=conversations/{READ}/events"
CHECKPOINT_MS = 50
CONNECT_RATE = 1000


def worker_of(server):
    for pid in children(server.process.pid):
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            if "sse" in file.read():
                return pid
    raise SystemExit("bench: no worker")


def anonymous_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) << 10 for line in file if line.startswith("Anonymous:"))


def post(server, path, body, headers=None):
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", json.dumps(body).encode(), method="POST",
                                     headers={"content-type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def position(server, sessions):
    """The id of a connection that watches these from now on: whoever comes with it watches them, too."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/api/chat/events", timeout=30) as stream:
        cid = None
        last = ""
        watched = set()
        for raw in stream:
            field, _, value = raw.decode().rstrip("\n").partition(": ")
            if field == "id":
                last = value
            elif field == "data":
                event = json.loads(value)
                if cid is None:
                    cid = event["connectionId"]
                    for session in sessions:
                        post(server, "/api/chat/watch", {"sessionId": session}, {"x-connection-id": cid})
                elif event["type"] == "watched":
                    watched.add(event["sessionId"])
            elif len(watched) == len(sessions):
                return last
    raise SystemExit("bench: the stream has ended")


class Case:
    """A server with sessions, and two kinds who follow."""

    def __init__(self, bench):
        self.bench = bench
        self.server = bench.ringside("--worker-restart-limit=1", "--connections-max=1000000", f"--store-checkpoint={CHECKPOINT_MS}ms")

    def __enter__(self):
        self.worker = worker_of(self.server)
        self.sessions = [f"s{i}" for i in range(SESSIONS)]
        for session in self.sessions:
            post(self.server, f"/v1/sessions/{session}/messages", {"content": "x"})
        self.kinds = {"reader": READER, "connection": "/api/chat/events?lastEventId=" + position(self.server, self.sessions),
                      "watcher": "/api/chat/events?lastEventId=" + position(self.server, [WATCHED])}
        return self

    def __exit__(self, *_):
        self.server.__exit__()

    def load(self, kind, *flags):
        return pin(1, [os.path.join(self.bench.build, "tests/bench/fanload"), "--port", str(self.server.port),
                       "--subscribe", self.kinds[kind], *map(str, flags)])


def followers(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=30) as answer:
        return sum(int(line.split()[1]) for line in answer.read().decode().splitlines() if line.startswith("ringside_subscribers{"))


def settle(case):
    """What came is in the tables by then, and memory has none of it: that is looked at when something is written."""
    for _ in range(4):
        time.sleep(4 * CHECKPOINT_MS / 1000)
        post(case.server, f"/v1/sessions/{case.sessions[-1]}/messages", {"content": "x"})


def idle_bytes(bench, kind, count):
    with Case(bench) as case:
        figures, loads = [], []
        try:
            for turn in (1, 2):
                loads.append(subprocess.Popen(case.load(kind, "--readers", count, "--connect-rate", CONNECT_RATE, "--hold", 120), stdout=subprocess.DEVNULL))
                while followers(case.server) < turn * count:
                    if loads[-1].poll() is not None:
                        raise SystemExit(f"bench: the {kind}s have left")
                    time.sleep(0.1)
                settle(case)
                figures.append(anonymous_bytes(case.worker))
        finally:
            for load in loads:
                load.terminate()
                load.wait()
        return (figures[1] - figures[0]) / count


class Load:
    """So many of a kind, on a server, who are told events when asked for."""

    def __init__(self, case, kind, session, count, seconds):
        self.kind = kind
        self.process = subprocess.Popen(
            case.load(kind, "--readers", count, "--seconds", seconds, "--content", "--publish", f"/v1/sessions/{session}/messages",
                      "--body-bytes", BODY_BYTES, "--window", 1, "--server-pid", case.worker, "--warmup", WARM_UP_S, "--turns"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said()

    def said(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"bench: the {self.kind}s have left")
        return json.loads(line)

    def turn(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        out = self.said()
        out["per_cpu_s"] = out["deliveries"] / out["server_cpu_s"]
        return out

    def end(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise SystemExit(f"bench: the {self.kind}s missed something")


def fan_out(bench, count, seconds, rounds):
    runs = {"reader": [], "watcher": []}
    with Case(bench) as case:
        loads = [Load(case, "reader", READ, count, seconds), Load(case, "watcher", WATCHED, count, seconds)]
        for _ in range(rounds):
            for load in loads:
                runs[load.kind].append(load.turn())
            loads.reverse()
        for load in loads:
            load.end()
    return runs


def paired(runs, key):
    """The one kind beside the other, turn by turn."""
    return statistics.median(watcher[key] / reader[key] for watcher, reader in zip(runs["watcher"], runs["reader"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--idle", type=int, default=4000)
    parser.add_argument("--watchers", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json")
    options = parser.parse_args()
    bench = Bench(os.path.abspath(options.build), options.seconds)
    try:
        idle = {kind: idle_bytes(bench, kind, options.idle) for kind in ("reader", "connection")}
        print(f"idle, of {options.idle}: a plain reader {idle['reader']:.0f} B, a connection with {SESSIONS} sessions "
              f"{idle['connection']:.0f} B (at most {IDLE_BYTES_MAX})", flush=True)
        runs = fan_out(bench, options.watchers, options.seconds, options.rounds)
    finally:
        bench.close()
    median = {kind: {key: statistics.median(run[key] for run in some) for key in some[0]} for kind, some in runs.items()}
    by_cpu, by_rate = paired(runs, "per_cpu_s"), paired(runs, "per_second")
    for kind, figures in median.items():
        print(f"an event to {options.watchers} {kind}s: {figures['per_second']:.0f}/s, {figures['per_cpu_s']:.0f} per second "
              f"of CPU, p50 {runs[kind][-1]['p50_ms']:.1f} ms, p99 {runs[kind][-1]['p99_ms']:.1f} ms")
    print(f"watchers beside readers: {by_cpu:.3f} by CPU, {by_rate:.3f} by rate (at least {FAN_OUT_MIN})")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"idle": idle, "fan_out": median, "by_cpu": by_cpu, "by_rate": by_rate}, file, indent=1)
    return 0 if idle["connection"] <= IDLE_BYTES_MAX and min(by_cpu, by_rate) >= FAN_OUT_MIN else 1


if __name__ == "__main__":
    sys.exit(main())
