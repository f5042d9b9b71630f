#!/usr/bin/python3
"""CPU of an append by how many streams there are, over HTTP, in random order.

    streams.py BUILD... [--rounds 5] [--seconds 3] [--streams 100,1000,10000,100000] [--json FILE] [--markdown FILE]

Several builds run in turn within each round. Server on CPU 0, load on CPU 1 when there are two; 16 connections with
four requests in flight each, 100 bytes each. A checkpoint has been made before each measurement and several are made
in it: writing what changed into the tables is part of an append's cost.
"""

import argparse
import json
import os
import statistics
import time

from bench import Bench, machine
from compare import children, cpu_seconds

TARGET = 1.3


def measure(build, tools, streams, seconds):
    """Microseconds of the server's CPU per append, and appends a second."""
    bench, loads = Bench(build, seconds), Bench(tools, seconds)
    try:
        with bench.ringside() as server:
            pids = children(server.process.pid)
            common = ("--port", server.port, "--path", "/v1/stream/many", "--body-bytes", 100, "--streams", streams)
            loads.tool("httpload", "--setup", *common)
            time.sleep(1.5)  # a checkpoint
            load = ("--method", "POST", "--connections", 16, "--depth", 4, "--random", *common)
            loads.tool("httpload", *load, "--seconds", 1)
            before = cpu_seconds(pids)
            out = loads.tool("httpload", *load, "--seconds", seconds)
            return {"us": (cpu_seconds(pids) - before) / out["requests"] * 1e6, "rate": out["per_second"],
                    "p99_us": out["p99_us"]}
    finally:
        bench.close()
        loads.close()


def table(builds, counts, runs):
    lines = ["| streams | " + " | ".join(f"{b}: CPU per append, us | per second | p99 ms | / fewest streams"
                                         for b in builds) + " |",
             "|---|" + "---|---|---|---|" * len(builds)]
    for count in counts:
        cells = []
        for build in builds:
            of = runs[build][count]
            ratio = statistics.median(r["us"] / first["us"] for r, first in zip(of, runs[build][counts[0]]))
            cells.append(f"{statistics.median(r['us'] for r in of):.2f} | "
                         f"{statistics.median(r['rate'] for r in of):,.0f} | "
                         f"{statistics.median(r['p99_us'] for r in of) / 1000:.1f} | {ratio:.2f}")
        lines.append(f"| {count:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", nargs="+", metavar="BUILD")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--streams", default="100,1000,10000,100000")
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    options = parser.parse_args()
    counts = [int(n) for n in options.streams.split(",")]
    builds = [os.path.abspath(build) for build in options.builds]
    runs = {os.path.basename(build): {count: [] for count in counts} for build in builds}
    for number in range(options.rounds):
        for count in counts:
            for build in builds:
                runs[os.path.basename(build)][count].append(measure(build, builds[-1], count, options.seconds))
        print(f"round {number + 1} of {options.rounds}", flush=True)
    text = table([os.path.basename(build) for build in builds], counts, runs)
    print(text)
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(f"# Appends and the number of streams\n\nWritten by `scripts/bench streams --keep`. Machine: {machine()}. "
                       f"CPU of the server (all its threads) for an append of 100 B over HTTP, to one of so many streams at random, 16 "
                       f"connections with 4 requests in flight each. Medians of {options.rounds} rounds of {options.seconds:g} s; a "
                       f"checkpoint's part is in it. Target: 100,000 streams at most {TARGET} times what the fewest cost. Use the "
                       f"ratios, and those of one run.\n\n{text}\n")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine(), "runs": runs}, file, indent=1)


if __name__ == "__main__":
    main()
