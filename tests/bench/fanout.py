"""Fan-out: Ringside against nginx with nchan and against the raw floor, in one run.

    fanout.py BUILD [--only A,A2,B,C,C-apart,D,workers,silent,catchup,idle] [--rounds 3] [--seconds S]
              [--kernel IMAGE] [--json FILE] [--markdown FILE] [--svg FILE]

Server on CPU 0, readers and publishers on CPU 1, in a network namespace of its own when that is
possible. Rounds go through all servers in turn; figures are medians. Ringside is durable: an event is on
disk before it is sent. nchan and the floor keep it in memory. Every reader is verified: each message
once and in order; a run with a wrong, missing or refused one fails."""

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import idle_vm

PORT = 9400
IDLE_READERS = 50000
NCHAN = """
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
user root; daemon off; worker_processes 1; worker_rlimit_nofile 200000; pid {dir}/pid;
error_log {dir}/errors warn;
events {{ worker_connections 100000; use epoll; multi_accept on; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 3600;
  client_body_buffer_size 64k; nchan_shared_memory_size 512M;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location ~ ^/pub/(\\d+)$ {{ nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 256;
                               nchan_message_timeout 60s; }}
    location ~ ^/sub/(\\d+)$ {{ nchan_subscriber eventsource; nchan_channel_id $1;
                               nchan_subscriber_first_message newest; }}
  }}
}}
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def pinned(cpu, command):
    return ["taskset", "-c", str(cpu)] + command


def wait_port(port):
    end = time.monotonic() + 15
    while time.monotonic() < end:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


class Server:
    subscribe, publish = "/sub/%u", "/pub/%u"

    def __init__(self, bench, name):
        self.bench, self.name = bench, name
        self.dir = tempfile.mkdtemp(prefix="fanout-", dir=bench.dir)

    def start(self, command, cpu):
        self.log = open(os.path.join(self.dir, "log"), "w")
        self.process = subprocess.Popen(pinned(cpu, command), stdout=self.log, stderr=self.log)
        wait_port(PORT)
        time.sleep(1)

    def pids(self):
        return [self.process.pid]

    def prepare(self, streams):
        pass

    def memory(self):
        """Private bytes of user space."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Private_"))
        return total * 1024

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        subprocess.run(["rm", "-rf", self.dir], check=True)
        time.sleep(0.3)


def children(pid):
    out = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    if int(file.read().rpartition(")")[2].split()[1]) == pid:
                        out.append(int(entry))
            except OSError:
                pass
    return out


class Floor(Server):
    def __init__(self, bench):
        super().__init__(bench, "floor")
        self.start([bench.tool("fanfloor"), str(PORT)], 0)


class Nchan(Server):
    def __init__(self, bench):
        super().__init__(bench, "nchan")
        conf = os.path.join(self.dir, "nginx.conf")
        with open(conf, "w") as file:
            file.write(NCHAN.format(dir=self.dir, port=PORT))
        self.start(["nginx", "-c", conf, "-p", self.dir], 0)

    def pids(self):
        return children(self.process.pid)


class Ringside(Server):
    subscribe, publish = "/v1/events?stream=b%u", "/v1/stream/b%u"

    def __init__(self, bench, workers=1, cpu="0"):
        super().__init__(bench, "ringside")
        self.start([os.path.join(bench.build, "bin", "ringside"), "run", "--dev",
                    f"--listen=127.0.0.1:{PORT}", f"--data-dir={self.dir}/data",
                    f"--run-dir={self.dir}/run", f"--sse-workers={workers}", "--bridge-workers=0"], cpu)
        # The ring is filled with zeros when it is made: let that reach the disk first.
        os.sync()

    def pids(self):
        return [p for p in children(self.process.pid)
                if "sse" in open(f"/proc/{p}/comm").read()]

    def prepare(self, streams):
        for i in range(streams):
            self.request("PUT", f"/v1/stream/b{i}", b"")

    def request(self, method, path, body, content_type="application/json"):
        with socket.create_connection(("127.0.0.1", PORT)) as s:
            s.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
                      f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            answer = b""
            while chunk := s.recv(65536):
                answer += chunk
        if not re.match(rb"HTTP/1.1 20\d", answer):
            raise SystemExit(f"{method} {path}: {answer[:200]}")


class Bench:
    def __init__(self, build, seconds):
        self.build, self.seconds = build, seconds
        self.dir = tempfile.mkdtemp(prefix="ringside-fanout-")

    def tool(self, name):
        return os.path.join(self.build, "tests", "bench", name)

    def load(self, server, *flags, streams=1, publish=True, cpu=1):
        server.prepare(streams)
        command = pinned(cpu, [self.tool("fanload"), "--port", str(PORT), "--subscribe",
                               server.subscribe, "--streams", str(streams)])
        if publish:
            command += ["--publish", server.publish]
        for pid in server.pids():
            command += ["--server-pid", str(pid)]
        done = subprocess.run(command + [str(f) for f in flags], capture_output=True, text=True,
                              timeout=180)
        if done.returncode != 0:
            raise SystemExit(f"{server.name}: {' '.join(command)} {flags}\n{done.stdout}{done.stderr}")
        out = json.loads(done.stdout)
        out["per_cpu_s"] = out["deliveries"] / max(out["server_cpu_s"], 0.01)
        return out


SERVERS = {"floor": Floor, "nchan": Nchan, "ringside": Ringside}
SCENARIOS = {
    "A": ("1,000 readers of one stream, 200 B, window 16, as fast as possible",
          ["--readers", 1000, "--window", 16], 1),
    "A2": ("the same, 16 posts in flight, window 64",
           ["--readers", 1000, "--window", 64, "--pipeline", 16], 1),
    "C": ("10,000 readers, 5 messages a second", ["--readers", 10000, "--rate", 5], 1),
    "C-apart": ("C with the readers' half of TCP on the readers' CPU, as it is over a network card; on a loopback it is\n"
                "  charged to whoever sends", ["--readers", 10000, "--rate", 5], 1),
    "D": ("100 streams with 100 readers each, window 16",
          ["--readers", 10000, "--window", 16, "--publishers", 10], 100),
}


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def steer_receiving(cpus):
    """Which CPUs do the receiving half of our loopback, as a mask; 0: whichever sends. False: not to be had here."""
    try:
        with open("/sys/class/net/lo/queues/rx-0/rps_cpus", "w") as file:
            file.write(cpus)
        return True
    except OSError:
        return False


def measure_scenario(bench, key, rounds):
    _, flags, streams = SCENARIOS[key]
    runs = {name: [] for name in SERVERS}
    for _ in range(rounds):
        for name, make in SERVERS.items():
            with make(bench) as server:
                runs[name].append(bench.load(server, "--seconds", bench.seconds, *flags, streams=streams))
    return {name: {k: median(some, k) for k in some[0]} for name, some in runs.items()}


def slab_bytes():
    with open("/proc/meminfo") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Slab:")) * 1024


def measure_idle(bench, readers, rounds):
    """Memory of idle readers, and how fast they come."""
    runs = {name: [] for name in SERVERS}
    for _ in range(rounds):
        for name, make in SERVERS.items():
            with make(bench) as server:
                server.prepare(1)
                before, slab = server.memory(), slab_bytes()
                command = pinned(1, [bench.tool("fanload"), "--port", str(PORT), "--subscribe",
                                     server.subscribe, "--readers", str(readers), "--hold", "3"])
                load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                while not any_readers(server, readers):
                    if load.poll() is not None:
                        raise SystemExit(f"{name}: the load generator ended with {load.returncode}")
                    time.sleep(0.05)
                time.sleep(1)
                after, slab_after = server.memory(), slab_bytes()
                out = json.loads(load.communicate(timeout=60)[0])
                out["user_bytes"] = (after - before) / readers
                out["kernel_bytes"] = (slab_after - slab) / readers
                runs[name].append(out)
    return {name: {k: median(some, k) for k in some[0]} for name, some in runs.items()}


def any_readers(server, count):
    fds = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in server.pids())
    return fds >= count


def measure_workers(bench, rounds):
    """The same load on one worker and on two, nobody pinned: what the servers alone spend on a delivery.
    Paced, so that neither saves by sending several messages in one write."""
    runs = {1: [], 2: []}
    for _ in range(rounds):
        for workers in (1, 2):
            with Ringside(bench, workers=workers, cpu="0,1") as server:
                runs[workers].append(bench.load(server, "--readers", 10000, "--rate", 5, "--seconds",
                                                bench.seconds, cpu="0,1"))
    return {str(n): {k: median(some, k) for k in some[0]} for n, some in runs.items()}


def measure_silent(bench, rounds):
    """Readers that read nothing, beside live ones."""
    flags = ["--readers", 500, "--rate", 100, "--body-bytes", 2000, "--seconds", bench.seconds]
    runs = {0: [], 100: []}
    growth = []
    for _ in range(rounds):
        for silent in runs:
            with Ringside(bench) as server:
                server.prepare(1)
                before = server.memory()
                runs[silent].append(bench.load(server, *flags, "--silent", silent))
                if silent:
                    growth.append(server.memory() - before)
    return {"without": {"p99_ms": median(runs[0], "p99_ms")},
            "with": {"p99_ms": median(runs[100], "p99_ms")}, "growth_bytes": statistics.median(growth)}


def measure_catch_up(bench, rounds):
    """A thousand readers who begin at the start of 100 MB, beside live ones."""
    flags = ["--readers", 200, "--rate", 50, "--seconds", bench.seconds]
    runs = {0: [], 1000: []}
    with Ringside(bench) as server:
        server.request("PUT", "/v1/stream/old", b"")
        piece = json.dumps(["x" * 996] * 1000).encode()
        for _ in range(100):
            server.request("POST", "/v1/stream/old", piece)
        os.sync()
        time.sleep(3)
        for _ in range(rounds):
            for extra in runs:
                # Of lower priority than the live readers, whose CPU it shares: what is to be seen is the
                # server's part.
                other = subprocess.Popen(
                    ["nice", "-n", "19"] + pinned(1, [bench.tool("fanload"), "--port", str(PORT), "--subscribe",
                                                      "/v1/events?stream=old&from=start", "--extra-readers",
                                                      str(extra), "--hold", str(bench.seconds + 30)]),
                    stdout=subprocess.DEVNULL)
                if extra:
                    time.sleep(1)
                runs[extra].append(bench.load(server, *flags))
                other.kill()
                other.wait()
                time.sleep(1)
    return {"alone": {"p99_ms": median(runs[0], "p99_ms")},
            "beside": {"p99_ms": median(runs[1000], "p99_ms")}}


def rows(m):
    """(what, value, target as text, reached or None)"""
    def at_least(what, value, target):
        return what, value, f">= {target}", value >= target

    def at_most(what, value, target):
        return what, value, f"<= {target}", value <= target

    for key, target in (("A", 4), ("A2", 12), ("D", 2.2)):
        if key in m:
            ours, nchan, floor = (m[key][n]["per_cpu_s"] for n in ("ringside", "nchan", "floor"))
            yield at_least(f"{key}: deliveries per server CPU-second / nchan", ours / nchan, target)
            if key == "A":
                yield at_least(f"{key}: deliveries per server CPU-second / floor", ours / floor, 1)
    if "C" in m:
        ours, nchan, floor = (m["C"][n] for n in ("ringside", "nchan", "floor"))
        yield at_most("C: server CPU per delivery / nchan", nchan["per_cpu_s"] / ours["per_cpu_s"], 0.65)
        yield ("C: server CPU per delivery, floor / nchan (for comparison)",
               nchan["per_cpu_s"] / floor["per_cpu_s"], "", None)
        yield ("C: user space's part of our CPU (the rest is the kernel's send path)",
               ours["server_user_s"] / ours["server_cpu_s"], "", None)
        yield at_most("C: p99 / nchan", ours["p99_ms"] / nchan["p99_ms"], 0.75)
        yield at_most("C: p99 / floor", ours["p99_ms"] / floor["p99_ms"], 1.3)
    if "C-apart" in m:
        ours, nchan, floor = (m["C-apart"][n] for n in ("ringside", "nchan", "floor"))
        yield ("C-apart: server CPU per delivery / nchan (for comparison)", nchan["per_cpu_s"] / ours["per_cpu_s"], "", None)
        yield ("C-apart: server CPU per delivery, floor / nchan (for comparison)",
               nchan["per_cpu_s"] / floor["per_cpu_s"], "", None)
    if "B" in m:
        yield at_most("B: user memory per idle reader, KB", m["B"]["ringside"]["user_bytes"] / 1024, 1)
        yield at_least("B: connects per second / nchan",
                       m["B"]["ringside"]["connect_per_s"] / m["B"]["nchan"]["connect_per_s"], 1)
    if "workers" in m:
        one, two = m["workers"]["1"], m["workers"]["2"]
        yield at_least("two workers / one: 2 x deliveries per CPU-second of the servers alone",
                       2 * two["per_cpu_s"] / one["per_cpu_s"], 1.7)
    if "silent" in m:
        yield at_most("100 readers that read nothing: live p99 with / without",
                      m["silent"]["with"]["p99_ms"] / m["silent"]["without"]["p99_ms"], 1.2)
        yield at_most("... and how the process grew, MB", m["silent"]["growth_bytes"] / 2**20, 8)
    if "catchup" in m:
        yield at_most("1,000 readers catching up 100 MB: live p99 beside / alone",
                      m["catchup"]["beside"]["p99_ms"] / m["catchup"]["alone"]["p99_ms"], 2)
    if "idle" in m:
        yield ("50,000 idle readers of one process: user memory each, KB",
               m["idle"]["ringside"]["user_bytes"] / 1024, "<= 1",
               m["idle"]["ringside"]["user_bytes"] <= 1024)
        live = m["idle"]["ringside"]["live"]
        yield at_most("... 10,000 live ones beside them, 5 messages a second: wrong, missing or refused",
                      live["wrong"] + live["missing"] + live["refused"], 0)


def table(m):
    out = ["| ratio | measured | target | |", "|---|---|---|---|"]
    for what, value, target, reached in rows(m):
        mark = "" if reached is None else "reached" if reached else "MISSED"
        out.append(f"| {what} | {value:.2f} | {target} | {mark} |")
    out += ["", "| absolute | deliveries / server CPU-s | per second | messages per read | p50 ms | p99 ms |",
            "|---|---|---|---|---|---|"]
    for key in SCENARIOS:
        for name, run in m.get(key, {}).items():
            out.append(f"| {key}: {name} | {run['per_cpu_s']:,.0f} | {run['per_second']:,.0f} "
                       f"| {run['messages_per_read']:.1f} | {run['p50_ms']:.1f} | {run['p99_ms']:.1f} |")
    for key in ("B", "idle"):
        for name, run in m.get(key, {}).items():
            out.append(f"| {key}: {name}, {run['readers']:,.0f} idle readers | user {run['user_bytes']:,.0f} B, "
                       f"kernel {run['kernel_bytes']:,.0f} B (both ends) | "
                       + (f"{run['connect_per_s']:,.0f} connects/s" if key == "B" else "") + " | | | |")
    return "\n".join(out) + "\n"


def svg(m):
    """Deliveries per server CPU-second, logarithmic, one group for each scenario."""
    keys = [k for k in ("A", "A2", "C", "C-apart", "D") if k in m]
    colors = {"floor": "#8a8f98", "nchan": "#d08770", "ringside": "#3b82c4"}
    left, width, bar, gap = 150, 520, 18, 16
    height = 60 + sum(3 * bar + gap for _ in keys)
    top = max(m[k][n]["per_cpu_s"] for k in keys for n in SERVERS)
    from math import log10
    low = 4.0
    scale = (width - 20) / (log10(top) + 0.1 - low)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{height}" '
           'font-family="sans-serif" font-size="12">',
           '<style>text{fill:#444}@media(prefers-color-scheme:dark){text{fill:#ccc}}</style>',
           '<text x="10" y="20" font-size="14">Deliveries per server CPU-second (logarithmic; more is better)</text>']
    y = 40
    for key in keys:
        out.append(f'<text x="10" y="{y + 1.5 * bar + 4}">{key}</text>')
        for name in SERVERS:
            value = m[key][name]["per_cpu_s"]
            w = max(2, (log10(max(value, 10 ** low)) - low) * scale)
            out.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{name}</text>'
                       f'<rect x="{left}" y="{y + 2}" width="{w:.0f}" height="{bar - 4}" fill="{colors[name]}"/>'
                       f'<text x="{left + w + 6:.0f}" y="{y + 13}">{value:,.0f}</text>')
            y += bar
        y += gap
    return "\n".join(out + ["</svg>"]) + "\n"


def machine():
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*:\s*(.+)", file.read()).group(1)
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"MemTotal:\s*(\d+)", file.read()).group(1)) >> 20
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip()
    return (f"{os.cpu_count()} CPUs ({model}), {memory} GiB, Linux {os.uname().release}, {nginx} with "
            "Debian's nchan")


def enter_namespace():
    """A loopback of our own, where the machine lets us have one."""
    if os.environ.get("FANOUT_NAMESPACE") or os.geteuid() != 0:
        return
    if subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True).returncode == 0:
        os.environ["FANOUT_NAMESPACE"] = "1"
        # sysfs shows the network of the namespace in which it was mounted
        os.execvp("unshare", ["unshare", "-n", "-m", "sh", "-c", 'mount -t sysfs sysfs /sys; exec "$0" "$@"',
                              sys.executable] + sys.argv)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--only", default="A,A2,B,C,C-apart,D,workers,silent,catchup,idle")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--kernel", help="for idle: an image of Linux, for the machine that allows 60,000 descriptors")
    for name in ("json", "markdown", "svg"):
        parser.add_argument("--" + name)
    a = parser.parse_args()
    enter_namespace()
    if os.environ.get("FANOUT_NAMESPACE"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    import resource
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200000, max(most, 200000)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    bench = Bench(os.path.abspath(a.build), a.seconds)
    m = {}
    for key in a.only.split(","):
        say(f"fan-out: {key}" + (f": {SCENARIOS[key][0]}" if key in SCENARIOS else ""))
        if key == "C-apart" and not (os.environ.get("FANOUT_NAMESPACE") and steer_receiving("2")):
            say("fan-out: C-apart left out: receiving cannot be steered here")
        elif key in SCENARIOS:
            m[key] = measure_scenario(bench, key, a.rounds)
            steer_receiving("0")
        elif key == "B":
            m[key] = measure_idle(bench, 10000, a.rounds)
        elif key == "idle":
            if a.kernel is None:
                say("fan-out: idle left out: no --kernel")
                continue
            m[key] = {"ringside": idle_vm.measure(bench.build, a.kernel, IDLE_READERS, 10000)}
        elif key == "workers":
            m[key] = measure_workers(bench, a.rounds)
        elif key == "silent":
            m[key] = measure_silent(bench, a.rounds)
        elif key == "catchup":
            m[key] = measure_catch_up(bench, a.rounds)
        else:
            raise SystemExit(f"no scenario {key}")
    subprocess.run(["rm", "-rf", bench.dir], check=True)
    text = table(m)
    print(text)
    if a.json:
        with open(a.json, "w") as file:
            json.dump(m, file, indent=1)
    plot = a.svg and any(k in m for k in SCENARIOS)
    if plot:
        with open(a.svg, "w") as file:
            file.write(svg(m))
    if a.markdown:
        with open(a.markdown, "w") as file:
            file.write("# Fan-out, measured\n\n" + f"{machine()}.\n\n"
                       "Made by `scripts/bench fanout --keep`. Server on CPU 0, readers and publishers on CPU 1; every\n"
                       "reader verified. Ringside commits each event to disk before it is sent, nchan and the floor (one\n"
                       "`send()` per reader and message, nothing else) keep it in memory. "
                       f"Medians of {a.rounds} rounds of {a.seconds:g} s.\n\n"
                       + ("![deliveries per server CPU-second](bench-fanout.svg)\n\n" if plot else "")
                       + "".join(f"- **{k}**: {v[0]}\n" for k, v in SCENARIOS.items()) +
                       "- **B**: 10,000 idle readers\n"
                       "- **idle**: 50,000 idle readers and 10,000 live ones of one process, in an emulated machine whose\n"
                       "  limits are ours: bytes and correctness, not speed\n\n"
                       "C is bounded by the kernel: each event wakes 10,000 sockets one by one, and one `send()` each, with\n"
                       "nothing around it, costs what the row of the floor says. On a loopback that includes the receiver's\n"
                       "half of TCP; C-apart shows the same without it.\n\n" + text)


main()
