#!/usr/bin/python3
"""Two builds in turn: what an append, a read, a delivery and an idle reader cost each, in CPU of the server.

    compare.py BEFORE AFTER [--pairs 7] [--seconds 2] [--only NAME,NAME] [--json FILE]

Each pair runs BEFORE, AFTER and BEFORE again, on the same machine within seconds. The third run says how much two runs
of one build differ here: a change costs something where the median of AFTER/BEFORE lies outside of what BEFORE/BEFORE
shows. The load is made by AFTER's tools in all of them. Servers on CPU 0, load on CPU 1 when there are two.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

from bench import Bench, pin, send


def cpu_seconds(pids):
    """Of all threads, in nanoseconds' resolution where the kernel has it."""
    total = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    return total / 1e9


def children(pid):
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in done.stdout.split()]


def private_bytes(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += sum(int(line.split()[1]) << 10 for line in file if line.startswith("Private_"))
    return total


class Trial:
    """One server of one build, all scenarios; the tools are those of `tools`."""

    def __init__(self, build, tools, seconds, scenarios):
        self.bench, self.tools, self.seconds = Bench(build, seconds), Bench(tools, seconds), seconds
        self.scenarios, self.results = scenarios, {}

    def run(self):
        try:
            with self.bench.ringside("--http-long-poll-timeout=1s") as server:
                self.server, self.pids = server, children(server.process.pid)
                for name in self.scenarios:
                    self.results[name] = getattr(self, name)()
        finally:
            self.bench.close()
            self.tools.close()
        return self.results

    def per_request(self, *arguments):
        before = cpu_seconds(self.pids)
        out = self.tools.tool("httpload", "--port", self.server.port, "--seconds", self.seconds, *arguments)
        return (cpu_seconds(self.pids) - before) / out["requests"] * 1e6

    def appends(self, path, *arguments):
        common = ("--path", path, *arguments)
        self.tools.tool("httpload", "--setup", "--port", self.server.port, *common)
        return self.per_request("--method", "POST", "--connections", 16, "--depth", 4, *common)

    def append(self):
        return self.appends("/v1/stream/one", "--body-bytes", 100)

    def append_many_streams(self):
        return self.appends("/v1/stream/many", "--body-bytes", 100, "--streams", 100)

    def append_json(self):
        return self.appends("/v1/stream/json", "--json-bytes", 1000)

    def catch_up(self):
        path = "/v1/stream/filled"
        self.bench.fill(self.server, path, b"x" * 100000, 100, "text/plain")
        time.sleep(1.5)  # a checkpoint: it is read from the tables
        return self.per_request("--path", path, "--connections", 4, "--follow")

    def fan_out(self):
        send(f"http://127.0.0.1:{self.server.port}/v1/stream/live0", "PUT", b"", "application/json")
        before = cpu_seconds(self.pids)
        out = self.tools.tool("fanload", "--port", self.server.port, "--subscribe", "/v1/events?stream=live%u",
                              "--publish", "/v1/stream/live%u", "--readers", 200, "--seconds", self.seconds)
        return (cpu_seconds(self.pids) - before) / out["deliveries"] * 1e6

    def idle_reader(self):
        readers = 4000
        before = private_bytes(self.pids)
        command = pin(1, [os.path.join(self.tools.build, "tests/bench/fanload"), "--port", str(self.server.port),
                          "--subscribe", "/v1/events?stream=live%u", "--readers", str(readers), "--hold", "4"])
        with subprocess.Popen(command, stdout=subprocess.PIPE) as load:
            time.sleep(3)
            used = private_bytes(self.pids) - before
            load.communicate(timeout=60)
        return used / readers


SCENARIOS = ("append", "append_many_streams", "append_json", "catch_up", "fan_out", "idle_reader")
UNITS = {"idle_reader": "B", "catch_up": "us/page", "fan_out": "us/delivery"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", default=",".join(SCENARIOS), help=", ".join(SCENARIOS))
    parser.add_argument("--json")
    options = parser.parse_args()
    scenarios = options.only.split(",")
    if set(scenarios) - set(SCENARIOS):
        parser.error("--only takes " + ", ".join(SCENARIOS))
    before, after = os.path.abspath(options.before), os.path.abspath(options.after)
    rows = []
    for pair in range(options.pairs):
        rows.append([Trial(build, after, options.seconds, scenarios).run() for build in (before, after, before)])
        print(f"pair {pair + 1} of {options.pairs}", flush=True)
    print(f"{'CPU of the server':22}{'before':>10}{'after':>10}{'after/before: median, min, max':>34}"
          f"{'before/before: median, min, max':>34}")
    for name in rows[0][0]:
        ratios = [row[1][name] / ((row[0][name] + row[2][name]) / 2) for row in rows]
        noise = [row[2][name] / row[0][name] for row in rows]

        def three(values):
            return f"{statistics.median(values):14.3f} {min(values):9.3f} {max(values):9.3f}"
        print(f"{name + ' (' + UNITS.get(name, 'us') + ')':22}{statistics.median(r[0][name] for r in rows):10.2f}"
              f"{statistics.median(r[1][name] for r in rows):10.2f}{three(ratios)}{three(noise)}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
