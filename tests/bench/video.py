#!/usr/bin/python3
"""Measures what the capture worker itself costs at 720p30: a page that draws all the time, in the real browser,
to one and to two real ffmpegs. CPU is what the kernel counted for the processes over the same seconds, so the
worker stands beside its browser and its ffmpeg in one run.

    video.py BUILD [--seconds 10] [--json FILE] [--markdown FILE]
"""

import argparse
import functools
import http.server
import json
import os
import platform
import shutil
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM = os.path.join(HERE, "../system")
WORKER_PERCENT_MAX = 3.0
# One picture costs ffmpeg about a fifth of a core, on any machine about this many times what we may spend.
WORKER_SHARE_OF_FFMPEG_MAX = 0.15
TICKS = os.sysconf("SC_CLK_TCK")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def processes():
    """pid: (parent, name, CPU seconds), of all there are."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                head, _, tail = file.read().rpartition(")")
        except OSError:
            continue
        fields = tail.split()
        found[int(name)] = (int(fields[1]), head.partition("(")[2], (int(fields[11]) + int(fields[12])) / TICKS)
    return found


def below(root, found):
    """All that descend from root."""
    ours, grew = {root}, True
    while grew:
        more = {p for p, (parent, *_) in found.items() if parent in ours} - ours
        ours |= more
        grew = bool(more)
    return ours - {root}


def spent(before, after, pids):
    return sum(after[p][2] - before.get(p, (0, "", after[p][2]))[2] for p in pids if p in after)


def measure(r, seconds, outputs):
    """Percent of one core, and pictures a second, over `seconds` with so many outputs live."""
    from ringside import wait_for

    def live():
        all_of_them = json.loads(r.ctl("capture", "outputs", "--json")[0])["outputs"]
        return len(all_of_them) == outputs and all(o["state"] == "live" for o in all_of_them) and all_of_them
    first = wait_for(live, "the outputs", 60)
    worker = r.worker("capture-0")["pid"]
    before, begun = processes(), time.monotonic()
    time.sleep(seconds)
    after, passed = processes(), time.monotonic() - begun
    last = live() or []
    family = below(worker, after)
    ffmpegs = {p for p in family if after[p][1] == "ffmpeg"}
    fresh = [(b["given"] - b["repeated"]) - (a["given"] - a["repeated"]) for a, b in zip(first, last)]
    given = [b["given"] - a["given"] for a, b in zip(first, last)]
    return {"outputs": outputs, "worker_percent": 100 * spent(before, after, {worker}) / passed,
            "ffmpeg_percent": 100 * spent(before, after, ffmpegs) / passed,
            "browser_percent": 100 * spent(before, after, family - ffmpegs) / passed,
            "given_per_second": min(given, default=0) / passed, "fresh_per_second": min(fresh, default=0) / passed}


def run(build, seconds):
    os.environ["BUILD"] = build
    sys.path.insert(0, SYSTEM)
    from ringside import Ringside
    pages = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=os.path.join(SYSTEM, "pages")))
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    where = tempfile.mkdtemp(prefix="ringside-bench-")
    results = []
    try:
        with Ringside("--capture-workers=1", "--capture-allow-private=127.0.0.1", "--capture-width=1280",
                      "--capture-height=720", "--capture-fps=30", f"--capture-outputs=one=file:{where}/one.mkv",
                      f"--capture-url=http://127.0.0.1:{pages.server_port}/arena.html?phase=FIGHTING&full") as r:
            results.append(measure(r, seconds, 1))
            r.ctl("capture", "outputs", "add", f"two=file:{where}/two.mkv")
            results.append(measure(r, seconds, 2))
    finally:
        pages.shutdown()
        shutil.rmtree(where)
    return results


def table(results):
    lines = ["| 720p30 | measured | limit | |", "|---|---|---|---|"]

    def row(what, value, limit):
        lines.append(f"| {what} | {value:.2f} | <= {limit} | {'kept' if value <= limit else 'MISSED'} |")
    one = results[0]
    row("worker, percent of one core, one output", one["worker_percent"], WORKER_PERCENT_MAX)
    row("worker / its ffmpeg, the same seconds", one["worker_percent"] / one["ffmpeg_percent"],
        WORKER_SHARE_OF_FFMPEG_MAX)
    lines += ["", "| outputs | worker % | ffmpeg % | browser % | pictures/s given | of them new |",
              "|---|---|---|---|---|---|"]
    for m in results:
        lines.append(f"| {m['outputs']} | {m['worker_percent']:.2f} | {m['ffmpeg_percent']:.1f} | "
                     f"{m['browser_percent']:.1f} | {m['given_per_second']:.1f} | {m['fresh_per_second']:.1f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    a = parser.parse_args()
    results = run(os.path.abspath(a.build), a.seconds)
    text = table(results)
    print(text)
    if a.json:
        with open(a.json, "w") as file:
            json.dump(results, file, indent=1)
    if a.markdown:
        with open(a.markdown, "w") as file:
            file.write(f"# Video, measured\n\nMade by `scripts/bench video --keep`. {os.cpu_count()} cores, Linux "
                       f"{platform.release()}; {a.seconds:.0f} s each, a 2D page that draws all the time, no GPU. "
                       f"Percent of one core; use the ratio.\n\n{text}\n")


if __name__ == "__main__":
    main()
