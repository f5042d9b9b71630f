#!/usr/bin/python3
"""Measures Ringside, its store alone, the npm reference server and the floors below all in one run, pinned alike:
servers on CPU 0, load on CPU 1 when there are two; the store alone without pinning. Absolute figures belong to the machine; the ratios
are what counts, and each has its target beside it.

    bench.py BUILD [--seconds 3] [--json FILE] [--markdown FILE]
"""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
RING_BYTES = 64 << 20
CACHED_BYTES = 100 << 20
RETAINED_BYTES = 16 << 20
ROUNDS = 3


def pin(cpu, command):
    if len(os.sched_getaffinity(0)) < 2 or cpu is None:
        return command
    cpus = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cpus[cpu])] + command


class Server:
    """A process that serves; ends with the block."""

    def __init__(self, command, url):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.port = None
        end = time.monotonic() + 60
        while self.port is None:
            if self.process.poll() is not None or time.monotonic() > end:
                self.log.seek(0)
                raise SystemExit(f"bench: {command[-1]} did not start:\n{self.log.read()}")
            time.sleep(0.05)
            self.log.seek(0)
            for line in self.log.read().splitlines():
                if url in line:
                    tail = line.split(url, 1)[1].split()[0]
                    self.port = int(tail.rsplit(":", 1)[-1].rstrip("/"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Bench:
    def __init__(self, build, seconds):
        self.build, self.seconds = build, seconds
        self.dir = tempfile.mkdtemp(prefix="ringside-bench-", dir=build)
        self.streams = 0

    def tool(self, name, *arguments, cpu=1):
        path = os.path.join(self.build, "tests/bench", name)
        done = subprocess.run(pin(cpu, [path, *map(str, arguments)]), capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bench: {name} {arguments}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout) if done.stdout else {}

    def ringside(self, *flags, workers=1, cpu=0):
        state = tempfile.mkdtemp(dir=self.dir)
        self.data = os.path.join(state, "data")
        return Server(pin(cpu, [
            os.path.join(self.build, "bin/ringside"), "run", "--dev", "--listen=127.0.0.1:0",
            f"--data-dir={self.data}", f"--run-dir={state}/run", f"--sse-workers={workers}",
            "--bridge-workers=0", f"--store-ring-bytes={RING_BYTES}", "--limits-body-bytes=8M",
            *flags]), "ready url=http://")

    def reference(self, memory):
        script = os.path.join(HERE, "../conformance/reference-server.mjs")
        command = ["node", script, "--port", "0", "--no-compression"]
        if not memory:
            command += ["--data-dir", tempfile.mkdtemp(dir=self.dir)]
        return Server(pin(0, command), "http://")

    def append(self, server, connections, streams=1, kind=("--body-bytes", 100), extra=(), rounds=ROUNDS, cpu=1):
        """The best round of appends, by rate: the one least disturbed by whatever else runs."""
        runs = []
        for _ in range(rounds):
            self.streams += 1
            path = f"/v1/stream/bench-{self.streams}"
            common = ["--port", server.port, "--path", path, "--streams", streams, *kind]
            self.tool("httpload", "--setup", *common)
            runs.append(self.tool("httpload", "--method", "POST", "--connections", connections,
                                  "--seconds", self.seconds, *common, *extra, cpu=cpu))
        return max(runs, key=lambda r: r["per_second"])

    def fill(self, server, path, piece, count, content_type):
        base = f"http://127.0.0.1:{server.port}{path}"
        send(base, "PUT", b"", content_type)
        for _ in range(count):
            send(base, "POST", piece, content_type)

    def read(self, server, path, connections=1, follow=True):
        runs = [self.tool("httpload", "--port", server.port, "--path", path, "--connections",
                          connections, "--seconds", self.seconds, *(["--follow"] if follow else []))
                for _ in range(ROUNDS)]
        return max(runs, key=mib_per_second)

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def send(url, method, body, content_type):
    request = urllib.request.Request(url, method=method, data=body,
                                     headers={"content-type": content_type})
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def mib_per_second(run):
    return run["bytes"] / run["seconds"] / (1 << 20)


def server_rows(bench, server):
    """What is measured alike on ours and on the reference."""
    rows = {}
    for connections in (1, 16, 64):
        rows[f"append-{connections}"] = bench.append(server, connections)
    rows["append-16-streams"] = bench.append(server, 16, streams=16)
    rows["append-producers"] = bench.append(server, 16, extra=["--producers"])
    rows["append-json"] = bench.append(server, 16, kind=("--json-bytes", 200))
    messages = json.dumps([{"n": n, "text": "x" * 200} for n in range(1000)]).encode()
    bench.fill(server, "/v1/stream/bench-json", messages, 1, "application/json")
    rows["read-json"] = bench.read(server, "/v1/stream/bench-json", 16)
    return rows


def measure_latency(bench, server):
    """One append at a time and one fdatasync at a time, in turn: the disk's mood is the same for both."""
    disk, ours = [], []
    for _ in range(2 * ROUNDS + 1):
        disk.append(bench.tool("disk", os.path.join(bench.dir, "block"), bench.seconds / 2, cpu=0))
        ours.append(bench.append(server, 1, rounds=1))
    return {"fdatasync_us": statistics.median(r["p50_us"] for r in disk),
            "fdatasync_per_second": statistics.median(r["per_second"] for r in disk),
            "append_us": statistics.median(r["p50_us"] for r in ours)}


WORKER_LOADS = ((64, 8), (64, 1), (16, 1))  # connections, in flight on each


def measure_workers(bench):
    """One worker and one stream against two and a hundred, round by round in turn, on one CPU like all
    else. The first load saturates it; with the others the clients wait for the disk most of the time."""
    names = ("1 worker, 1 stream", "2 workers, 100 streams")
    runs = {name: {} for name in names}
    with bench.ringside() as one, bench.ringside(workers=2) as two:
        for connections, depth in WORKER_LOADS:
            rounds = {name: [] for name in names}
            for _ in range(2 * ROUNDS - 1):
                for name, server, streams in zip(names, (one, two), (1, 100)):
                    rounds[name].append(bench.append(server, connections, streams=streams, rounds=1,
                                                     extra=("--depth", depth)))
            for name, some in rounds.items():
                middle = sorted(some, key=lambda run: run["per_second"])[len(some) // 2]
                runs[name][f"{connections} x {depth}"] = middle
    return runs


def measure_catch_up(bench, server):
    piece = os.urandom(1 << 20)
    bench.fill(server, "/v1/stream/bench-big", piece, CACHED_BYTES // len(piece),
               "application/octet-stream")
    time.sleep(3)  # until the checkpoint has it: the map is read, not the ring
    return bench.read(server, "/v1/stream/bench-big")


def measure_sendfile(bench):
    path = os.path.join(bench.dir, "file")
    with open(path, "wb") as file:
        file.write(os.urandom(CACHED_BYTES))
    command = pin(0, [os.path.join(bench.build, "tests/bench/sendfile"), path])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        class Port:
            port = int(process.stdout.readline())
        return bench.read(Port, "/", follow=False)
    finally:
        process.kill()
        process.wait()


def disk_bytes(path):
    return sum(os.stat(os.path.join(path, name)).st_blocks * 512 for name in os.listdir(path))


def measure_retention(bench):
    """Appends to two streams many times what is kept; the files must stay bounded."""
    with bench.ringside(f"--store-retention-bytes={RETAINED_BYTES}", "--store-checkpoint=200ms") as server:
        load = ["--port", server.port, "--path", "/v1/stream/bench-endless", "--streams", 2,
                "--body-bytes", 4096]
        bench.tool("httpload", "--setup", *load)
        sent, peak = 0, 0
        for _ in range(4 * ROUNDS):
            run = bench.tool("httpload", "--method", "POST", "--connections", 16,
                             "--seconds", bench.seconds / 2, *load)
            sent += run["requests"] * 4096
            peak = max(peak, disk_bytes(bench.data))
        return {"appended_bytes": sent, "peak_bytes": peak, "retained_bytes": 2 * RETAINED_BYTES,
                "bound_bytes": 3 * 2 * RETAINED_BYTES + RING_BYTES}


# What a layout's worth shows in: processes, streams, clients of each process, bytes.
STORE_LOADS = ((1, 1, 64, 100), (1, 100, 128, 100), (2, 100, 64, 100), (2, 10000, 256, 100), (2, 100, 64, 1024))


def measure_store(bench):
    """The store alone, without HTTP, and one fdatasync at a time, in turn; neither is pinned."""
    disk, runs = [], {}
    for processes, streams, clients, size in STORE_LOADS:
        rounds = []
        for _ in range(ROUNDS):
            disk.append(bench.tool("disk", os.path.join(bench.dir, "block"), bench.seconds / 2, cpu=None))
            state = tempfile.mkdtemp(dir=bench.dir)
            rounds.append(bench.tool("storeload", "--dir", state, "--processes", processes, "--streams", streams,
                                     "--clients", clients, "--bytes", size, "--seconds", bench.seconds, cpu=None))
            shutil.rmtree(state)
        name = f"{processes} x {clients} clients, {streams} streams, {size} B"
        runs[name] = sorted(rounds, key=lambda run: run["per_second"])[ROUNDS // 2]
    return {"runs": runs, "fdatasync_per_second": statistics.median(r["per_second"] for r in disk)}


def measure(bench):
    out = {}
    say("ringside")
    with bench.ringside() as server:
        out["latency"] = measure_latency(bench, server)
        out["ringside"] = server_rows(bench, server)
        out["ringside"]["append-64x8"] = bench.append(server, 64, extra=["--depth", 8])
        out["ringside"]["catch-up"] = measure_catch_up(bench, server)
    say("one worker, two workers")
    out["workers"] = measure_workers(bench)
    say("the store alone")
    out["store"] = measure_store(bench)
    say("sendfile")
    out["sendfile"] = {"catch-up": measure_sendfile(bench)}
    say("endless append with retention")
    out["retention"] = measure_retention(bench)
    for name, memory in (("reference-file", False), ("reference-memory", True)):
        say(name)
        with bench.reference(memory) as server:
            out[name] = server_rows(bench, server)
    return out


def say(text):
    print(f"==> measuring: {text}", file=sys.stderr, flush=True)


def ratios(m):
    """(what, value, unit, target as text, reached or None)"""
    ours, file, memory = m["ringside"], m["reference-file"], m["reference-memory"]

    def rate(rows, key):
        return rows[key]["per_second"]

    def over(key, rows):
        return rate(ours, key) / rate(rows, key)

    yield ("append 100 B, 16 connections / reference, file", over("append-16", file), ">= 30", 30, 1)
    yield ("append 100 B, 16 connections / reference, memory", over("append-16", memory), "> 1", 1, 1)
    best = max(rate(ours, "append-64"), rate(ours, "append-64x8"))
    yield ("append, 64 connections / one fdatasync per append", best / m["latency"]["fdatasync_per_second"],
           ">= 10 (or 100,000/s)", 10 if best < 100000 else 0, 1)
    one, two = m["workers"].values()
    saturated, *waiting = one
    yield (f"2 workers, 100 streams / 1 worker, 1 stream (saturated: {saturated} in flight)",
           two[saturated]["per_second"] / one[saturated]["per_second"], ">= 1", 1, 1)
    for n in waiting:
        yield (f"2 workers, 100 streams / 1 worker, 1 stream (clients wait: {n} in flight)",
               two[n]["per_second"] / one[n]["per_second"], "", None, 0)
    yield ("one unloaded append p50 / one fdatasync p50",
           m["latency"]["append_us"] / m["latency"]["fdatasync_us"], "<= 2", 2, -1)
    yield ("catch-up read of 100 MiB: sendfile / ours",
           mib_per_second(m["sendfile"]["catch-up"]) / mib_per_second(ours["catch-up"]), "<= 2", 2, -1)
    size = m["retention"]
    yield ("store size / (3 x retained + ring) under endless append",
           size["peak_bytes"] / size["bound_bytes"], "<= 1", 1, -1)
    for name, run in m["store"]["runs"].items():
        yield (f"the store alone (not pinned), {name} / one fdatasync per append",
               run["per_second"] / m["store"]["fdatasync_per_second"], "", None, 0)
    for key, what in (("append-1", "append, 1 connection"), ("append-64", "append, 64 connections"),
                      ("append-16-streams", "append, 16 streams"), ("append-producers", "append, producers"),
                      ("append-json", "append 200 B JSON"), ("read-json", "read 1000 JSON messages")):
        yield (what + " / reference, file", over(key, file), "", None, 0)
        yield (what + " / reference, memory", over(key, memory), "", None, 0)


def table(m):
    lines = ["| ratio | measured | target | |", "|---|---|---|---|"]
    for what, value, text, target, sign in ratios(m):
        mark = "" if target is None else "reached" if (value - target) * sign >= 0 else "MISSED"
        lines.append(f"| {what} | {value:.2f} | {text} | {mark} |")
    lines += ["", "| absolute | per second | p50 us | p99 us |", "|---|---|---|---|"]
    for server in ("ringside", "reference-file", "reference-memory"):
        for key, run in m[server].items():
            rate = (f"{mib_per_second(run):.0f} MiB" if key == "catch-up" else f"{run['per_second']:.0f}")
            lines.append(f"| {server}: {key} | {rate} | {run['p50_us']} | {run['p99_us']} |")
    lines.append(f"| sendfile: catch-up | {mib_per_second(m['sendfile']['catch-up']):.0f} MiB | | |")
    for name, runs in m["workers"].items():
        for n, run in runs.items():
            lines.append(f"| {name}, {n} in flight | {run['per_second']:.0f} "
                         f"| {run['p50_us']} | {run['p99_us']} |")
    for name, run in m["store"]["runs"].items():
        lines.append(f"| the store alone (not pinned): {name} | {run['per_second']:.0f} | {run['p50_us']} | {run['p99_us']} |")
    latency = m["latency"]
    lines.append(f"| fdatasync of 4 KiB, preallocated | {latency['fdatasync_per_second']:.0f} "
                 f"| {latency['fdatasync_us']:.0f} | |")
    lines.append(f"| one append at a time, in turn with it | | {latency['append_us']:.0f} | |")
    size = m["retention"]
    lines += ["", f"Retention: {size['appended_bytes'] >> 20} MiB appended, at most "
                  f"{size['retained_bytes'] >> 20} MiB kept, files never above {size['peak_bytes'] >> 20} MiB "
                  f"(ring {RING_BYTES >> 20} MiB included)."]
    return "\n".join(lines)


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((l.split(":", 1)[1].strip() for l in info if l.startswith("model name")), "?")
    return f"{os.cpu_count()} cores ({model}), Linux {platform.release().split('-')[0]}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    arguments = parser.parse_args()
    bench = Bench(os.path.abspath(arguments.build), arguments.seconds)
    try:
        m = measure(bench)
    finally:
        bench.close()
    m["machine"] = machine()
    text = table(m)
    print(text)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(m, file, indent="\t")
            file.write("\n")
    if arguments.markdown:
        with open(arguments.markdown, "w") as file:
            file.write(f"# Latest measurement\n\nWritten by `scripts/bench --keep`. Machine: {m['machine']}. "
                       f"Each figure is the best of {ROUNDS} rounds (workers: {2 * ROUNDS - 1}, in turn; latencies: the median of {2 * ROUNDS + 1}, in turn) of {arguments.seconds:g} s, all in one "
                       "run: servers on CPU 0, load on CPU 1, unless it says \"not pinned\". `64x8`: 64 connections with 8 requests in "
                       "flight each. Use the ratios.\n\n" + text + "\n")


if __name__ == "__main__":
    main()
