#!/usr/bin/python3
"""Calls that fail in a whole worker: a running Ringside in whose HTTP worker the n-th open, write, sync, map,
allocation, rename or commit fails, once or until it is ended, or kills it there (tests/crash/disk.h); the same for
ringsidectl's backup and check, and for a worker that is started on a restored backup.

    worker_calls.py BUILD [--seed N] [--seconds N]

While calls fail a client appends, with a producer, creates, forks, closes, deletes and reads. Every answer must be one
that can be true: what was acknowledged is there, what is there can be read or gets 503, nothing takes for ever, and a
request is cut off only where its worker has died. Then the fault ends: appends must be accepted again, and what stands
there must be what was answered. A backup that is said to be made must be one, with all that was acknowledged before.
Exit code 1: it was not so. The seed is printed.
"""

import argparse
import http.client
import mmap
import os
import random
import shutil
import struct
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEXT = {"content-type": "text/plain"}
# Which fail how, and how often each is called in one go of the client, about.
CALLS = {
    "open": ("EIO,EMFILE,ENOSPC,kill", 2), "pwritev": ("EIO,ENOSPC,short,half,done,kill,half-kill,done-kill", 12),
    "fdatasync": ("EIO,ENOSPC,done,kill,done-kill", 12), "pwrite": ("EIO,ENOSPC,short,half,done,kill", 12),
    "fsync": ("EIO,done", 1), "mmap": ("ENOMEM", 2), "ftruncate": ("EIO,ENOSPC", 1), "fallocate": ("EIO,ENOSPC", 2),
    "rename": ("EIO,done", 1), "commit": ("EIO,ENOSPC,ENOMEM,done,kill,done-kill", 4), "malloc": ("ENOMEM", 700),
}
# What one go of ringsidectl, and of a worker's start on a restored backup, has of each.
OPENING = {"open": 12, "pwritev": 6, "fdatasync": 4, "pwrite": 20, "fsync": 4, "mmap": 5, "ftruncate": 3, "fallocate": 2,
           "rename": 2, "commit": 4, "malloc": 400, "write": 6}
SWITCH = struct.Struct("=5I16s32s16s32s")
HANGS_S = 30


class Wrong(Exception):
    pass


class Switch:
    """struct disk_switch."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.write(bytes(mmap.PAGESIZE))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)

    def arm(self, program, op, what, n, for_ever):
        self.map[:SWITCH.size] = SWITCH.pack(0, 0, 0, n, 0 if for_ever else 1, op.encode(), b"", what.encode(),
                                             program.encode())
        self.map[:4] = struct.pack("=I", 1)

    def disarm(self):
        """How many calls have failed."""
        self.map[:4] = bytes(4)
        return struct.unpack("=3I", self.map[:12])[2]


class Trial:
    def __init__(self, r, switch, dice):
        self.r, self.switch, self.dice = r, switch, dice
        self.failed = 0
        self.goes = 0

    def died(self):
        return self.generation() != self.began

    def generation(self):
        worker = self.r.worker("sse-0")
        return worker["generation"] if worker and worker["state"] == "ready" else 0

    def ask(self, method, path, body=None, headers=None, good=()):
        """True: done; None: refused, or nobody knows. Anything else is wrong."""
        begun = time.monotonic()
        while True:
            try:
                status, fields, text = self.r.request(method, path, body, {**TEXT, **(headers or {})}, timeout=HANGS_S)
                break
            except TimeoutError as error:
                raise Wrong(f"{method} {path}: no answer for {HANGS_S} s") from error
            except (OSError, http.client.HTTPException):
                if time.monotonic() > begun + HANGS_S:
                    raise Wrong(f"{method} {path}: cut off for {HANGS_S} s") from None
                self.cuts += 1
                return None, {}, b""
        if status in good:
            return True, fields, text
        if status in (503, 507):
            if not text.strip():
                raise Wrong(f"{method} {path}: {status} without a reason")
            return None, {}, text
        raise Wrong(f"{method} {path} was answered {status}: {text[:200]!r}")

    def go(self, n):
        """What a client does; self.sure[path]: lines that must be there; self.maybe: those that may."""
        self.sure, self.maybe, self.cuts = {}, set(), 0
        self.alive = {}  # path -> True, False, None: nobody knows
        main, fork = f"/v1/stream/calls/{n}", f"/v1/stream/calls/{n}f"
        made, _, _ = self.ask("PUT", main, good=(201,))
        self.alive[main], self.sure[main] = made, []
        for seq in range(4):
            self.append(main, f"{n}.{seq}", {})
        for seq in range(2):
            line = f"{n}.p{seq}"
            self.append(main, line, {"producer-id": f"p{n}", "producer-epoch": "1", "producer-seq": str(seq)})
        self.look(main)
        made, _, _ = self.ask("PUT", fork, headers={"stream-forked-from": main}, good=(201,) if self.alive[main] else
                              (201, 404))
        self.ask("PUT", main, good=(200,) if self.alive[main] else (200, 201))
        self.append(main, f"{n}.x" * self.dice.randrange(1, 4000), {})
        gone = f"/v1/stream/calls/{n}d"
        made, _, _ = self.ask("PUT", gone, good=(201,))
        done, _, _ = self.ask("DELETE", gone, good=(204,) if made else (204, 404))
        self.alive[gone] = False if done else None
        self.look(main)

    def append(self, path, line, headers):
        # A stream that may not be there: 404 is an answer; a producer's gap too.
        unsure = (404, 409) if not self.alive[path] or headers else ()
        self.maybe.add(line)
        done, fields, _ = self.ask("POST", path, line.encode() + b"\n", headers, (200, 204, *unsure))
        if done and "stream-next-offset" in fields:
            self.alive[path] = True
            self.sure[path].append(line)

    def look(self, path):
        done, _, text = self.ask("GET", path, good=(200,) if self.alive[path] else (200, 404))
        if done and self.alive[path]:
            self.compare(path, text)

    def compare(self, path, text):
        lines = text.decode().splitlines()
        at = iter(lines)
        for line in self.sure[path]:
            if line not in at:
                raise Wrong(f"{path}: {line[:20]} was acknowledged and is not there, or not in order: {lines}"[:400])
        for line in lines:
            if line not in self.maybe:
                raise Wrong(f"{path}: a line that nobody sent: {line[:40]}")
        if len(set(lines)) != len(lines):
            raise Wrong(f"{path}: a line is there twice")

    def heal(self):
        until = time.monotonic() + HANGS_S
        healed = f"/v1/stream/calls/healed{self.goes}"
        for path in (healed, healed):
            while True:
                try:
                    if self.r.request("PUT", path, b"", TEXT, timeout=HANGS_S)[0] in (200, 201) and \
                            self.r.request("POST", path, b"again\n", TEXT, timeout=HANGS_S)[0] == 204:
                        break
                except (OSError, http.client.HTTPException):
                    pass
                if time.monotonic() > until:
                    raise Wrong("the fault has ended, and nothing is accepted again")
                time.sleep(0.02)
        while self.r.request("GET", "/readyz")[0] != 200:
            if time.monotonic() > until:
                raise Wrong("the fault has ended, and /readyz stays red")
            time.sleep(0.02)

    def settle(self):
        for path, alive in self.alive.items():
            status, _, text = self.r.request("GET", path, timeout=HANGS_S)
            if alive is False and status != 404:
                raise Wrong(f"{path}: deleted, and answered {status}")
            if alive and status != 200:
                raise Wrong(f"{path}: there, and answered {status}")
            if alive:
                self.compare(path, text)

    def one(self, op, what, n, for_ever):
        self.goes += 1
        self.began = self.generation()
        self.switch.arm("ringside-sse", op, what, n, for_ever)
        try:
            self.go(self.goes)
        finally:
            self.failed += self.switch.disarm()
        self.heal()
        if self.cuts and not self.died():
            raise Wrong(f"{self.cuts} requests were cut off by a worker that lives")
        self.settle()

    # ---- ringsidectl ----

    def ctl(self, op, what, n, for_ever, *words):
        """(code, stdout, stderr) of one whose calls fail."""
        self.switch.arm("ringsidectl", op, what, n, for_ever)
        try:
            done = subprocess.run([self.r.program + "ctl", "--run-dir", self.r.run_dir, *words], capture_output=True,
                                  text=True, timeout=HANGS_S, check=False, env=self.r.environment)
        except subprocess.TimeoutExpired as error:
            raise Wrong(f"ringsidectl {words}: no end") from error
        finally:
            failed = self.switch.disarm()
            self.failed += failed
        told = done.stderr.strip() or done.stdout.strip()
        if done.returncode > 0 and not told:
            raise Wrong(f"ringsidectl {words}: code {done.returncode}, and nothing said")
        if done.returncode < 0 and what.find("kill") < 0 and op != "malloc":
            raise Wrong(f"ringsidectl {words} died of signal {-done.returncode}: {told}")
        if not failed and done.returncode != 0:
            raise Wrong(f"ringsidectl {words}: code {done.returncode} without a fault: {told}")
        return done.returncode, done.stdout, done.stderr

    def check(self, *fault):
        code, out, err = self.ctl(*fault, "store", "check")
        if code == 0 and "the store is sound" not in out:
            raise Wrong(f"store check: code 0, and {out!r}")
        if "violations" in err:
            raise Wrong(f"store check found what is not there: {out} {err}")
        self.heal()

    def back_up(self, restored, *fault):
        """A backup that is said to be made; None: none was."""
        self.goes += 1
        path, lines = f"/v1/stream/calls/b{self.goes}", [f"{self.goes}.{i}" for i in range(3)]
        self.sure, self.maybe, self.alive = {path: lines}, set(lines), {path: True}
        self.r.request("PUT", path, b"", TEXT)
        for line in lines:
            if self.r.request("POST", path, line.encode() + b"\n", TEXT)[0] != 204:
                raise Wrong("an append without a fault was refused")
        shutil.rmtree(restored, ignore_errors=True)
        os.makedirs(restored)
        code, _, _ = self.ctl(*fault, "store", "backup", f"{restored}/data.mdb")
        self.heal()
        return code == 0


def begin(directory, build, switch, data_dir=None, start=True):
    os.environ["BUILD"] = build
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
    from ringside import Ringside  # after BUILD is known
    library = os.path.join(os.path.abspath(build), "tests/crash/libcrash_disk.so")
    data_dir = data_dir or os.path.join(directory, "data")
    r = Ringside("--store-ring-bytes=4M", "--limits-body-bytes=256k", "--store-checkpoint=20ms",
                 "--worker-restart-delay-min=10ms", "--worker-restart-delay-max=300ms", "--worker-restart-limit=6",
                 "--worker-restart-window=5s", "--worker-hang-timeout=10s", workers=1, start=False,
                 environment={"LD_PRELOAD": library, "DISK_DIR": data_dir, "DISK_SWITCH": switch.path})
    r.flags = [flag for flag in r.flags if not flag.startswith("--data-dir")] + [f"--data-dir={data_dir}"]
    r.data_dir = data_dir
    r.may_abort = "memory.c"  # without memory a worker ends so
    return r.start() if start else r


def restore(trial, directory, build, switch, op, what, n, for_ever):
    """A Ringside on a restored backup whose worker's calls fail while it starts: it starts, or says why not."""
    restored = os.path.join(directory, "restored")
    if not trial.back_up(restored, op, what, 1 << 30, False):
        raise Wrong("no backup, without a fault")
    switch.arm("ringside-sse", op, what, n, for_ever)
    with begin(directory, build, switch, restored, start=False) as r:
        r.spawn()
        until, code = time.monotonic() + 1.5, None
        while time.monotonic() < until and " ringside ready" not in r.log():
            code = r.process.poll()
            if code is not None:
                break
            time.sleep(0.02)
        trial.failed += switch.disarm()
        if code is not None:
            if code not in (1, 2) or "cannot-start" not in r.log() and "gave-up" not in r.log():
                raise Wrong(f"it ended with {code}, and did not say why:\n{r.log()}")
            r.spawn()
        try:
            r.wait_ready()
        except AssertionError as error:
            raise Wrong(f"the fault has ended, and it does not start:\n{r.log()[-2000:]}") from error
        there = Trial(r, switch, trial.dice)
        there.sure, there.maybe, there.alive = trial.sure, trial.maybe, trial.alive
        there.heal()
        there.settle()
        r.ctl("store", "check")


def choose(dice, often):
    op = dice.choice(list(often))
    words = CALLS[op][0] if op in CALLS else "EIO,ENOSPC"
    most = often[op][1] if isinstance(often[op], tuple) else often[op]
    return op, dice.choice(words.split(",")), 1 + dice.randrange(most), dice.randrange(3) == 0


def run(seed, seconds, build):
    dice = random.Random(seed)
    directory = os.path.realpath(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    switch = Switch(os.path.join(directory, "switch"))
    until = time.monotonic() + seconds
    counts, fault = {"worker": 0, "backup": 0, "check": 0, "restore": 0}, None
    try:
        with begin(directory, build, switch) as r:
            trial = Trial(r, switch, dice)
            while time.monotonic() < until:
                kind = dice.choices(list(counts), (80, 8, 6, 6))[0]
                fault = kind, *choose(dice, CALLS if kind == "worker" else OPENING)
                counts[kind] += 1
                if kind == "worker":
                    trial.one(*fault[1:])
                elif kind == "check":
                    trial.check(*fault[1:])
                elif kind == "restore":
                    restore(trial, directory, build, switch, *fault[1:])
                elif trial.back_up(os.path.join(directory, "restored"), *fault[1:]):
                    shown = subprocess.run([r.program + "ctl", "--data-dir", os.path.join(directory, "restored"), "store",
                                            "check"], check=False, capture_output=True, text=True)
                    if shown.returncode != 0:
                        raise Wrong(f"a backup that was said to be made: {shown.stdout}{shown.stderr}")
            r.ctl("store", "check")
            print(f"{counts}, {trial.failed} calls failed, the worker ended {r.worker('sse-0')['restarts']} times")
    except Wrong as wrong:
        print(f"FAILED: {fault}, {counts}: {wrong}")
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    return run(options.seed, options.seconds, options.build)


if __name__ == "__main__":
    sys.exit(main())
