#!/usr/bin/python3
"""Measures what people and agents cost the hub, in one run on one machine: what an idle dashboard takes, beside an idle SSE
reader; how long the roster of 10,000 agents takes to a dashboard that comes, and what everybody else feels of it; 200
dashboards on one busy agent, one of them not reading; one event to 5,000 dashboards. Ratios are what counts; each has its
target beside it. Servers are on CPU 0, load on CPU 1 when there are two.

    people.py BUILD [--seconds 5] [--agents 10000] [--watchers 5000] [--dashboards 200] [--json FILE] [--markdown FILE]
"""

import argparse
import json
import os
import platform
import random
import resource
import selectors
import socket
import statistics
import struct
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../system")]
IDLE = 2000
PROBE_PAUSE = 0.002
ONE_OFTEN = 20  # rounds of an event to all


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_"))


class Probe:
    """Small requests, one after another on one connection, by a process of its own: what everybody else feels."""

    def __init__(self, r):
        self.out, told = os.pipe()
        self.over, over = os.pipe()
        address = r.address()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.set_blocking(self.over, False)
                os.write(told, struct.pack(">d", percentile(self.run(address), 0.99)))
            finally:
                os._exit(0)
        os.close(told)
        self.over_write = over

    def run(self, address):
        connection = socket.create_connection(address, timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        times = []
        while True:
            try:
                os.read(self.over, 1)
                return times
            except BlockingIOError:
                pass
            begun = time.perf_counter()
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if not connection.recv(65536):
                return times
            times.append(time.perf_counter() - begun)
            time.sleep(PROBE_PAUSE)

    def end(self):
        os.write(self.over_write, b"!")
        p99, = struct.unpack(">d", os.read(self.out, 8))
        os.waitpid(self.pid, 0)
        for fd in (self.over_write, self.over, self.out):
            os.close(fd)
        return p99


def alone(r, seconds):
    probe = Probe(r)
    time.sleep(seconds)
    return probe.end()


def fill(r, count):
    """Registers so many agents over a few sockets; each but the last of a socket is offline, as after a night."""
    from hub_client import Hub, TEXT
    each = 50
    hubs = []
    for first in range(0, count, each):
        hub = Hub(r)
        hub.nodes()
        for i in range(first, min(first + each, count)):
            hub.send(TEXT, json.dumps({"id": f"{i}", "method": "register", "params": {
                "id": f"agent-{i:06d}-0000-4000-8000-000000000000", "machine": f"host-{i:06d}", "cwd": f"/home/people/desk/{i}",
                "port": 8080, "status": "active", "pid": 1000 + i}}))
        waiting = min(each, count - first)
        while waiting:
            message = hub.message()
            waiting -= "id" in message and "result" in message
        hubs.append(hub)
        if len(hubs) > 1:
            hubs.pop(0).close()
    return hubs


def idle(r, worker):
    """Bytes of private memory of an idle dashboard, and of an idle SSE reader, in that worker."""
    from hub_client import Hub
    figures = {}
    probe = socket.create_connection(r.address())
    probe.sendall(b"PUT /v1/stream/bench HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n")
    probe.recv(65536)
    probe.close()

    def dashboard():
        hub = Hub(r)
        hub.nodes()
        return hub.socket

    def reader():
        s = socket.create_connection(r.address(), timeout=60)
        s.sendall(b"GET /v1/stream/bench?offset=-1&live=sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
        s.recv(65536)
        return s
    for name, make in (("reader", reader), ("dashboard", dashboard)):
        warm = [make() for _ in range(IDLE // 4)]
        before = private_kib(worker)
        there = [make() for _ in range(IDLE)]
        time.sleep(0.5)
        figures[name] = (private_kib(worker) - before) * 1024 / IDLE
        for s in warm + there:
            s.close()
        time.sleep(0.5)
    return figures


def inits(r, seconds, agents):
    from hub_client import Client
    took = []
    size, pairs = 0, []
    for _ in range(3):  # in turn, for the machine has moods
        before = alone(r, seconds)
        probe = Probe(r)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.perf_counter()
            client = Client(r, "/ws")
            size = swallow(client)
            took.append((time.perf_counter() - begun) * 1000)
            client.close()
            time.sleep(0.05)
        pairs.append((before, probe.end()))
    before, beside = sorted(pairs, key=lambda pair: pair[1] / pair[0])[1]
    return {"agents": agents, "bytes": size, "init_ms_p50": statistics.median(took), "init_ms_p99": percentile(took, 0.99),
            "inits": len(took), "p99_alone_ms": before * 1000, "p99_beside_ms": beside * 1000, "ratio": beside / before}


def swallow(client):
    """Bytes of the next message, read as they come and not looked at."""
    first, second = client.take(2)
    length = second & 127
    if length == 126:
        length, = struct.unpack(">H", client.take(2))
    elif length == 127:
        length, = struct.unpack(">Q", client.take(8))
    left = length - len(client.buffer)
    room = bytearray(1 << 20)
    while left > 0:
        got = client.socket.recv_into(room)
        if got == 0:
            raise SystemExit("bench: a dashboard was hung up on")
        left -= got
    return length


class Dashboards(threading.Thread):
    """Reads what comes on many sockets, and notes how old each message of the agent was."""

    def __init__(self, sockets):
        super().__init__(daemon=True)
        self.selector, self.buffers, self.ages = selectors.DefaultSelector(), {}, []
        for s in sockets:
            s.setblocking(False)
            self.selector.register(s, selectors.EVENT_READ)
            self.buffers[s] = bytearray()
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            for key, _ in self.selector.select(0.2):
                s = key.fileobj
                try:
                    data = s.recv(262144)
                except BlockingIOError:
                    continue
                if not data:
                    raise SystemExit("bench: a dashboard was hung up on")
                buffer = self.buffers[s]
                buffer += data
                self.frames(buffer, time.perf_counter())

    def frames(self, buffer, now):
        at = 0
        while len(buffer) - at >= 2:
            length, head = buffer[at + 1] & 127, 2
            if length == 126:
                if len(buffer) - at < 4:
                    break
                length, head = struct.unpack_from(">H", buffer, at + 2)[0], 4
            if len(buffer) - at < head + length:
                break
            if buffer[at] == 0x82:
                self.ages.append(now - struct.unpack_from(">d", buffer, at + head)[0])
            at += head + length
        del buffer[:at]


class BusyAgent:
    """Talks to each of its dashboards at a pace, without waiting for any of them, in one thread."""

    def __init__(self, r, pace, size):
        from hub_client import proof
        self.proof, self.pace, self.size = proof, pace, size
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.sides, self.flood, self.over = [], [], threading.Event()
        self.accepting = threading.Thread(target=self.accept, daemon=True)
        self.accepting.start()

    def accept(self):
        while True:
            try:
                side, _ = self.listener.accept()
            except OSError:
                return
            head = b""
            while b"\r\n\r\n" not in head:
                head += side.recv(65536)
            key = [line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")]
            side.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Accept: " + self.proof(key[0]).encode() + b"\r\n\r\n")
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            side.setblocking(False)
            self.sides.append(side)

    def talk(self, seconds):
        end, filler = time.perf_counter() + seconds, bytes(self.size - 8)
        stuck = set()
        while (now := time.perf_counter()) < end:
            for side in self.sides:
                if side in stuck:
                    continue
                frame = bytes([0x82, 126]) + struct.pack(">H", self.size) + struct.pack(">d", time.perf_counter()) + filler
                try:
                    if side.send(frame) < len(frame):
                        stuck.add(side)  # half a frame: nothing more may be said to it
                except BlockingIOError:
                    stuck.add(side)
            rest = self.pace - (time.perf_counter() - now)
            if rest > 0:
                time.sleep(rest)
        return len(stuck)

    def close(self):
        self.listener.close()
        for side in self.sides:
            side.close()


def busy(r, worker, seconds, count):
    """The age at which messages of one busy agent come to its dashboards, all reading, and with one that does not."""
    from hub_client import Client, Hub
    runs = []
    for silent in (0, 1, 0, 1, 0, 1):  # in turn, for the machine has moods
        agent = BusyAgent(r, 0.05, 1024)
        hub = Hub(r).register("busy", port=agent.port, machine="127.0.0.1")
        clients = [Client(r, "/ws/agent/busy") for _ in range(count - silent)]
        if silent:
            deaf = Client(r, "/ws/agent/busy", receive=4096)
        while len(agent.sides) < count:
            time.sleep(0.01)
        memory = private_kib(worker)
        if silent:  # what it does not read fills all that there is to fill before anything is measured
            last, bulk = agent.sides[-1], bytes([0x82, 126]) + struct.pack(">H", 65000) + bytes(65000)
            still = time.monotonic() + 1
            pending = b""
            while time.monotonic() < still:
                pending = pending or bulk
                try:
                    pending = pending[last.send(pending):]
                    still = time.monotonic() + 1
                except BlockingIOError:
                    time.sleep(0.01)
            agent.sides.remove(last)
        reading = Dashboards([c.socket for c in clients])
        reading.start()
        talking = os.fork()
        if talking == 0:
            try:
                agent.talk(seconds)
            finally:
                os._exit(0)
        os.waitpid(talking, 0)
        time.sleep(0.3)
        reading.over.set()
        reading.join()
        runs.append({"messages": len(reading.ages), "p50_ms": percentile(reading.ages, 0.5) * 1000,
                         "p99_ms": percentile(reading.ages, 0.99) * 1000, "grew_kib": private_kib(worker) - memory})
        for c in clients:
            c.close()
        if silent:
            deaf.close()
            last.close()
        agent.close()
        hub.close()
        time.sleep(0.3)
    pairs = sorted(zip(runs[0::2], runs[1::2]), key=lambda pair: pair[1]["p99_ms"] / pair[0]["p99_ms"])
    all_read, one_does_not = pairs[1]
    return {"all_read": all_read, "one_does_not": one_does_not, "ratio": one_does_not["p99_ms"] / all_read["p99_ms"],
            "grew_kib": max(run["grew_kib"] for run in runs[1::2])}


def heard(sockets, mark, tell):
    """Milliseconds from tell() until each of them has got the mark, often."""
    selector, took = selectors.DefaultSelector(), []
    for s in sockets:
        s.setblocking(False)
        selector.register(s, selectors.EVENT_READ)
    for _ in range(ONE_OFTEN):
        while ready := selector.select(0.05):  # what is still to come of before
            for key, _ in ready:
                key.fileobj.recv(65536)
        begun, there = time.perf_counter(), 0
        tell()
        while there < len(sockets):
            for key, _ in selector.select(30):
                there += key.fileobj.recv(65536).count(mark)
        took.append((time.perf_counter() - begun) * 1000)
    for s in sockets:
        s.close()
    selector.close()
    return took


def watched(r, count):
    """One event to so many dashboards, and to as many SSE readers of a stream: the same client reads both."""
    from hub_client import Hub
    seq = Hub(r, "?resume").event()["seq"]
    agent = Hub(r)
    agent.nodes()
    writer = socket.create_connection(r.address())
    event = b"node_joined" + bytes(200).replace(b"\0", b"x")

    def append():
        writer.sendall(b"POST /v1/stream/bench HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
                       % (len(event), event))
        writer.recv(65536)

    def register():
        agent.register(f"event-{random.random()}", port=random.randrange(1, 65536))
    readers = []
    for _ in range(count):
        s = socket.create_connection(r.address(), timeout=60)
        s.sendall(b"GET /v1/stream/bench?offset=now&live=sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
        s.recv(65536)
        readers.append(s)
    by_sse = heard(readers, b"node_joined", append)
    by_hub = heard([Hub(r, f"?resume={seq}").socket for _ in range(count)], b"node_joined", register)
    agent.close()
    writer.close()
    return {"watchers": count, "p50_ms": statistics.median(by_hub), "max_ms": max(by_hub), "sse_p50_ms": statistics.median(by_sse),
            "ratio": statistics.median(by_hub) / statistics.median(by_sse)}


def rows(m):
    """(what, figure, target, met)"""
    init, talk = m["init"], m["busy"]
    return [
        ("idle dashboard, bytes of a worker's memory", f"{m['idle']['dashboard']:.0f}", "1536", m["idle"]["dashboard"] <= 1536),
        ("idle SSE reader, the same", f"{m['idle']['reader']:.0f}", "", True),
        (f"init of {init['agents']} agents ({init['bytes'] / 1e6:.2f} MB), ms p50", f"{init['init_ms_p50']:.1f}", "50",
         init["init_ms_p50"] <= 50),
        ("p99 of other requests beside inits / alone", f"{init['ratio']:.2f} ({init['p99_beside_ms']:.2f} / {init['p99_alone_ms']:.2f} ms)",
         "1.5", init["ratio"] <= 1.5),
        ("p99 of an agent's messages, one dashboard not reading / all reading",
         f"{talk['ratio']:.2f} ({talk['one_does_not']['p99_ms']:.2f} / {talk['all_read']['p99_ms']:.2f} ms)", "1.5", talk["ratio"] <= 1.5),
        ("the worker's memory grew by, with one not reading, KiB", f"{talk['grew_kib']}", "8192", talk["grew_kib"] <= 8192),
        (f"one event to {m['watched']['watchers']} dashboards / to as many SSE readers",
         f"{m['watched']['ratio']:.2f} ({m['watched']['p50_ms']:.0f} / {m['watched']['sse_p50_ms']:.0f} ms)", "1.5",
         m["watched"]["ratio"] <= 1.5),
    ]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("build")
    arguments.add_argument("--seconds", type=float, default=5)
    arguments.add_argument("--agents", type=int, default=10000)
    arguments.add_argument("--watchers", type=int, default=5000)
    arguments.add_argument("--dashboards", type=int, default=200)
    arguments.add_argument("--json")
    arguments.add_argument("--markdown")
    options = arguments.parse_args()
    os.environ["BUILD"] = os.path.abspath(options.build)
    os.environ.setdefault("PATIENCE", "60")
    cpus = sorted(os.sched_getaffinity(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    from ringside import Ringside
    m = {"machine": platform.processor() or platform.machine(), "cpus": len(cpus), "load": os.getloadavg()[0]}
    prefix = ("taskset", "-c", str(cpus[0])) if len(cpus) > 1 else ()
    with Ringside("--hub-agents-max=20000", "--hub-node-ttl=1h", "--store-ring-bytes=64M", "--limits-body-bytes=1M", prefix=prefix) as r:
        if len(cpus) > 1:
            os.sched_setaffinity(0, cpus[1:2])
        worker = r.worker("sse-0")["pid"]
        m["idle"] = idle(r, worker)
        m["busy"] = busy(r, worker, options.seconds, options.dashboards)
        kept = fill(r, options.agents)
        m["init"] = inits(r, options.seconds, options.agents)
        m["watched"] = watched(r, options.watchers)
        for hub in kept:
            hub.close()
    table = rows(m)
    lines = ["| people and agents | here | target | |", "|---|---|---|---|"]
    lines += [f"| {what} | {figure} | {target} | {'' if not target else 'met' if met else 'missed'} |" for what, figure, target, met in table]
    print("\n".join(lines))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(m, file, indent=1)
    if options.markdown:
        with open(options.markdown, "w") as file:
            file.write("# People and agents, measured\n\n`scripts/bench people`, one run; servers and load on a CPU each"
                       f" ({m['machine']}, {m['cpus']} CPUs).\nThe machine's load before it began: {m['load']:.1f}.\n\n"
                       + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
