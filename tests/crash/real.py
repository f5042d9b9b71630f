#!/usr/bin/python3
"""A run by the real programs, to be recorded: crash run --with tests/crash/real.py (crash.c).

    real.py DIR GENERATION PROCESSES CLIENTS OPS RING_BYTES RETENTION_BYTES CHECKPOINT_MS SEED FLAGS

A supervisor, PROCESSES workers for HTTP and a bridge have DIR as their data directory, with the recorder
(DISK_LIBRARY) preloaded. Clients append to shared and own streams, with and without producers, create, fork, close
and delete over HTTP and say what they ask and what they are answered as marks in the trace (trace.h), which is in
one order with what the processes did to their files: a question before it is sent, an answer when it has come. One
that does not come, because a worker was killed, stays a question. ringsidectl makes the backup and looks at the store
while they write. What the store shows is said first, by CRASH. FLAGS as `crash work` has them: b: a backup; k: workers
are killed.
"""

import http.client
import os
import random
import struct
import subprocess
import sys
import threading
import time

BUILD = os.environ.setdefault("BUILD", os.path.dirname(os.path.dirname(os.path.dirname(os.environ["CRASH"]))))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
from ringside import Ringside, wait_for  # noqa: E402

STREAMS = "/v1/stream/t"  # REAL_ROOT of work.h
SHARED = 6
SURPRISED = 40
DEATH_SIGNAL = 16  # DISK_DEATH_SIGNAL
TYPE = {"content-type": "application/octet-stream"}
# trace.h
EVENT = struct.Struct("=4I3Qq2I")
MARK = struct.Struct("=4I40s40s3Q4I")
HEAD = struct.Struct("=4I40s")
WORD = struct.Struct("=Q")
TRACE_MAGIC, TRACE_MARK, BODY_MAGIC = 0x45434154, 12, 0x59444F42
ASKED, ANSWERED, BACKUP_BEGUN, BACKUP_DONE = 1, 2, 8, 9
APPEND, CREATE, DELETE, CLOSE = 1, 2, 3, 6
VERDICT = dict((name, int(n)) for name, n in (pair.split("=") for pair in os.environ["CRASH_VERDICTS"].split()))


class Run:
    def __init__(self, words):
        self.dir, self.flags = words[0], words[9]
        self.generation, self.processes, self.clients, self.ops, self.ring, self.retention, self.checkpoint, self.seed = \
            map(int, words[1:9])
        self.trace = os.open(os.environ["DISK_TRACE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.ringside = None
        self.lock = threading.Lock()
        self.count = 0
        self.kills = 0
        self.surprises = []
        self.going = True

    def say(self, kind, op=0, ask=0, verdict=0, name="", source="", tail=0, seq=0, epoch=0, body=0):
        mark = MARK.pack(kind, op, ask, verdict, name.encode(), source.encode(), tail, 0, seq, epoch, body, 0, 0)
        event = EVENT.pack(TRACE_MAGIC, TRACE_MARK, os.getpid(), threading.get_native_id(), 0, 0, 0, 0, 0, len(mark))
        os.write(self.trace, event + mark)

    def next_op(self):
        with self.lock:
            self.count += 1
            return self.generation << 24 | self.count

    def surprise(self, text):
        if not self.surprises:
            print(f"    {text}")
        self.surprises.append(text)

    def preload(self):
        return {"LD_PRELOAD": os.environ["DISK_LIBRARY"]}

    def look(self):
        """What the store shows, said by a process of its own."""
        done = subprocess.run([os.environ["CRASH"], "work", self.dir, str(self.generation), "0", "0", "0",
                               str(self.ring), "0", "1000", "1", "-or"], env={**os.environ, **self.preload()},
                              check=False, timeout=60)
        if done.returncode != 0:
            self.surprise(f"what the store shows: status {done.returncode}")


def body_of(op, size, name):
    """As body_fill() of trace.c."""
    head = HEAD.pack(BODY_MAGIC, op, size, 0, name.encode())
    words = [WORD.pack(op << 32 | op ^ chunk) * 64 for chunk in range(size // 512 + 1)]
    return (head + b"".join(words)[HEAD.size:])[:size]


class Client(threading.Thread):
    """One after the other, on a connection that is made anew when it breaks."""

    def __init__(self, run, index):
        super().__init__()
        self.run_, self.index = run, index
        self.dice = random.Random(run.seed * 977 + index * 131 + run.generation)
        self.connection = None
        self.seq = 0
        self.own = None
        self.forked = False
        self.doing = (self.share, self.produce, self.live, self.live, self.fill, self.produce)[index % 6]

    def size(self):
        kind = self.dice.randrange(100)
        return HEAD.size + (self.dice.randrange(150) if kind < 70 else 300 + self.dice.randrange(2500) if kind < 92
                            else 4000 + self.dice.randrange(12000) if kind < 98 else 20000 + self.dice.randrange(20000))

    def send(self, method, path, body, headers):
        """(status, headers), or None: it was not answered."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(*self.run_.ringside.address(), timeout=20)
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            answer.read()
            return answer.status, answer.headers
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            if not self.run_.kills:
                self.run_.surprise(f"{method} {path} was not answered")
            time.sleep(0.02)
            return None

    def ask(self, kind, op, method, path, good, body=b"", headers=None, **mark):
        """The status; 0: no answer. `good`: status to verdict."""
        self.run_.say(ASKED, op, kind, name=path, body=len(body), **mark)
        answer = self.send(method, path, body, {**TYPE, **(headers or {})})
        if answer is None:
            return 0
        status, fields = answer
        if status in good:
            verdict = VERDICT[good[status]]
        elif status in (503, 507):
            verdict = VERDICT["io-error" if status == 503 else "no-space"]
            time.sleep(0.01)
        else:
            verdict = VERDICT["gone"]
        if status >= 500 and not self.run_.kills:
            self.run_.surprise(f"op {op:x}: {method} {path} was answered {status}")
        tail = int(fields.get("stream-next-offset", "0").rpartition("_")[2])
        self.run_.say(ANSWERED, op, kind, verdict, path, tail=tail, body=len(body), **mark)
        return status

    def append(self, path, size=None, **producer):
        op = self.run_.next_op()
        body, headers, mark = body_of(op, size or self.size(), path), {}, {}
        good = {200: "ok", 204: "ok"}
        if producer:
            headers = {"producer-id": producer["name"], "producer-epoch": str(producer["epoch"]),
                       "producer-seq": str(producer["seq"])}
            mark = {"seq": producer["seq"], "epoch": producer["epoch"]}
            good = {200: "ok", 204: "duplicate"}
        return self.ask(APPEND, op, "POST", path, good, body, headers, **mark)

    def create(self, path, source=None):
        op = self.run_.next_op()
        body = body_of(op, self.size(), path) if source is None and self.dice.randrange(3) == 0 else b""
        headers = {"stream-forked-from": source} if source else {}
        return self.ask(CREATE, op, "PUT", path, {200: "exists", 201: "created"}, body, headers, source=source or "")

    def until_made(self, path):
        while self.create(path) not in (200, 201) and self.run_.going:
            time.sleep(0.02)

    # ---- habits ----

    def share(self):
        self.append(f"{STREAMS}/s/{self.dice.randrange(SHARED)}")

    def produce(self):
        path = f"{STREAMS}/p/0.{self.index}"
        if self.own is None:
            self.own = path
            self.until_made(path)
        status = self.append(path, name=f"w0.{self.index}", epoch=self.run_.generation, seq=self.seq)
        if status in (200, 204):
            self.seq += 1

    def fill(self):
        """So that the ring wraps."""
        path = f"{STREAMS}/s/{self.dice.randrange(SHARED)}"
        self.append(path, 60000 + self.dice.randrange(100000) if self.dice.randrange(2) else None)

    def live(self):
        if self.own is None:
            self.own = f"{STREAMS}/c/{self.run_.next_op():x}"
            source = f"{STREAMS}/s/{self.dice.randrange(SHARED)}" if self.index % 6 == 3 else None
            self.forked = False
            if self.create(self.own, source) not in (200, 201):
                self.own = None
            return
        what = self.dice.randrange(8)
        if self.forked or what < 2:  # the source goes, the fork stays
            path, self.own = self.own, None
            self.ask(DELETE, self.run_.next_op(), "DELETE", path, {200: "ok", 204: "ok"})
        elif what == 2:
            path, self.own = self.own, None
            self.ask(CLOSE, self.run_.next_op(), "POST", path, {200: "ok", 204: "ok"},
                     headers={"stream-closed": "true"})
        elif what == 3:
            self.forked = True
            self.create(f"{STREAMS}/f/{self.run_.next_op():x}", self.own)
        else:
            self.append(self.own)

    def run(self):
        for _ in range(self.run_.ops):
            if not self.run_.going:
                break
            self.doing()


def start(run):
    r = Ringside(f"--store-ring-bytes={run.ring}", "--limits-body-bytes=256k", f"--store-checkpoint={run.checkpoint}ms",
                 f"--store-retention-bytes={run.retention}", "--store-commit-timeout=30s", "--worker-restart-delay-min=10ms",
                 "--worker-restart-limit=64", "--worker-restart-window=1s", workers=run.processes,
                 bridge=run.seed % 2, environment=run.preload(), start=False)
    r.flags = [flag for flag in r.flags if not flag.startswith("--data-dir")] + [f"--data-dir={run.dir}"]
    r.data_dir = run.dir
    run.ringside = r
    r.start()
    return r


def back_up(run):
    run.say(BACKUP_BEGUN)
    done = subprocess.run([run.ringside.program + "ctl", "--run-dir", run.ringside.run_dir, "store", "backup",
                           f"{run.dir}/backup"], env=run.ringside.environment, capture_output=True, text=True,
                          check=False, timeout=60)
    run.say(BACKUP_DONE, verdict=done.returncode)
    if done.returncode != 0:
        run.surprise(f"no backup: {done.stderr}")


def kill_one(run, dice):
    pids = [worker["pid"] for worker in run.ringside.status()["workers"] if worker["pid"]]
    if pids:
        run.kills += 1
        os.kill(dice.choice(pids), DEATH_SIGNAL)


def main():
    run = Run(sys.argv[1:])
    dice = random.Random(run.seed)
    run.kills = int("k" in run.flags)
    with start(run) as r:
        run.look()
        clients = [Client(run, index) for index in range(run.clients)]
        for index in range(SHARED):
            clients[index % len(clients)].until_made(f"{STREAMS}/s/{index}")
        for client in clients:
            client.start()
        half = run.clients * run.ops // 2
        while any(client.is_alive() for client in clients):
            time.sleep(0.02)
            if "b" in run.flags and run.count > half:
                run.flags = run.flags.replace("b", "")
                back_up(run)
            if "k" in run.flags and dice.randrange(6) == 0:
                kill_one(run, dice)
        if run.kills:
            wait_for(lambda: r.request("GET", "/readyz")[0] == 200, "all workers")
        r.ctl("store", "check")
    sys.stdout.flush()
    return SURPRISED if run.surprises else 0


if __name__ == "__main__":
    sys.exit(main())
