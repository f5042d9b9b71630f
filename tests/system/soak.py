"""Everything at once for a long time, while something is killed again and again: two chess engines fight duels, people
bet, consumers follow both wires. At the end: no frame lost or repeated, one terminal frame and one settled market for each
duel, balances that sum to zero, files and memory that have levelled off, and a table of both over time. Run it by
scripts/soak."""

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import time

from bettors import Bets, get, market
from duel_game import check_frames, frames_of
from event_source import EventSource
from ringside import Ringside, wait_for
from test_kill import fixed_port

TOKEN = "soak"
LEVEL_MINUTES = 5  # until frames and odds have what --retention leaves them, and market.keep has passed


def private(pid):
    """Bytes of memory that are a process's own: the log and the tables that all of them map do not count."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Anonymous:"))
    except (OSError, StopIteration):
        return 0


def used(path):
    return sum(os.stat(os.path.join(path, name)).st_blocks * 512 for name in os.listdir(path))


class Soak:
    def __init__(self, options):
        self.options, self.dice = options, random.Random(options.seed)
        flags = ["--feeds-scheduled=arena", f"--bet-sync-token={TOKEN}", "--bet-sync-events-rate=100000",
                 "--worker-restart-limit=64", "--worker-restart-window=1s", "--duel-resolution=500ms",
                 "--duel-pause=100ms", "--duel-countdown=300ms", "--duel-fight=60s", "--store-ring-bytes=16M",
                 "--limits-body-bytes=1M", f"--store-retention-bytes={options.retention}",
                 f"--store-retention-age={options.retention_age}", "--market-keep=2m"]
        if options.capture:
            flags += ["--capture-workers=1", "--capture-allow-private=127.0.0.1"]
        self.r = Ringside(*flags, workers=2, bridge=1, listen=f"127.0.0.1:{fixed_port()}", start=False)
        if options.capture:
            port = self.r.flags[2].rpartition(":")[2]
            self.r.flags.append(f"--capture-url=http://127.0.0.1:{port}/arena/arena")
        self.r.start()
        wait_for(lambda: self.r.request("GET", "/v1/stream/feeds/arena/frames")[0] == 200, "the feed")
        self.duel, self.duel_log = None, open(os.path.join(self.r.dir, "duel-log"), "a+")  # noqa: SIM115
        self.frames = EventSource(self.r, "stream=feeds/arena/frames&from=start")
        # It cannot be asked for the beginning: it begins with what is the newest frame then. The renderer's health
        # may have made a second one by now, but no duel has begun.
        self.v1 = EventSource(self.r, "", path="/api/internal/bet-sync/events", headers={"authorization": f"Bearer {TOKEN}"})
        wait_for(lambda: self.v1.messages("betting"), "version 1")
        self.start_duels()
        wait_for(lambda: self.r.request("GET", "/v1/stream/feeds/arena/audit")[0] == 200, "the first market")
        self.audit = EventSource(self.r, "stream=feeds/arena/audit&from=start")
        self.bets = Bets(self.r, 5, options.seed)
        self.bets.start()
        self.kills, self.table = {}, []

    def start_duels(self):
        program = os.path.join(os.environ["BUILD"], "bin", "ringside-duel")
        environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/games"}
        self.duel = subprocess.Popen([program, f"--url={self.r.url}", "--movetime=15ms", "--pace=40ms", "--clock=6s",
                                      "--announcement=1s"], env=environment, stdin=subprocess.DEVNULL,
                                     stdout=self.duel_log, stderr=self.duel_log, start_new_session=True)

    def kill_one(self):
        what = self.dice.choice(self.options.kill.split(","))
        if what == "game":
            os.killpg(self.duel.pid, signal.SIGKILL)  # with its engines
            self.duel.wait()
            self.start_duels()
        elif what == "all":
            self.r.kill_everything()
            os.truncate(self.r.log_path, 0)
            self.r.start()
        elif not self.r.kill_some_worker(self.dice, what):
            return
        self.kills[what] = self.kills.get(what, 0) + 1
        print(json.dumps({"seconds": round(time.monotonic() - self.began), "killed": what}), flush=True)

    def check_duels_go_on(self):
        """The game stays while Ringside comes and goes, and no two rows show the same number of frames."""
        if self.duel.poll() is not None:
            raise AssertionError(f"ringside-duel ended with {self.duel.returncode}")
        if len(self.table) > 1:
            assert self.table[-1]["frames"] > self.table[-2]["frames"], "no frame since the last row"

    def measure(self, seconds):
        workers = {w["name"]: private(w["pid"]) for w in self.r.status()["workers"] if w["pid"]}
        row = {"seconds": round(seconds), "frames": len(self.frames.messages()),
               "v1": len(self.v1.messages("betting")), "kills": sum(self.kills.values()),
               "store_mb": round(used(self.r.data_dir) / 1e6, 1), "supervisor_mb": round(private(self.r.process.pid) / 1e6, 1),
               **{f"{name}_mb": round(size / 1e6, 1) for name, size in workers.items()}}
        self.table.append(row)
        print(json.dumps(row), flush=True)
        self.check_consumers()

    def run(self):
        self.began = began = time.monotonic()
        next_kill = next_row = 0.0
        while (now := time.monotonic() - began) < self.options.minutes * 60:
            if now >= next_row:
                next_row = now + max(self.options.minutes * 60 / 20, 5)  # not two at once after a slow kill
                self.measure(now)
            self.check_duels_go_on()
            if now >= next_kill + self.options.every:
                next_kill = now
                self.kill_one()
            time.sleep(0.2)
        self.measure(time.monotonic() - began)

    def check_consumers(self):
        """That none was refused, or told that history is gone, while the log still says why."""
        for name, source in (("frames", self.frames), ("version 1", self.v1), ("audit", self.audit)):
            assert source.over is None and source.is_alive(), f"{name} is over: {source.over}"
            assert not (resets := source.messages("reset")), f"{name} was reset: {resets}"

    def check_v1(self, frames):
        """The other wire: the same frames from its first on, in order, each once; else what its consumer saw."""
        def seqs():
            return [json.loads(m)["seq"] for m in self.v1.messages("betting")]
        first = seqs()[0]
        assert not any(f["duelId"] for f in frames if f["seq"] < first), "version 1 began within a duel"
        wanted = [f["seq"] for f in frames if f["seq"] >= first]
        try:
            wait_for(lambda: len(self.v1.messages("betting")) >= len(wanted), "version 1", 60)
            assert seqs() == wanted
        except AssertionError:
            got = seqs()
            breaks = [(a, b) for a, b in zip(got, got[1:]) if b != a + 1]
            raise AssertionError(f"version 1: {len(got)} of {len(wanted)} frames, {got[:1]} to {got[-1:]} of {wanted[-1]}, breaks {breaks[:20]}, "
                                 f"{len(self.v1.messages('reset'))} resets, {len(self.v1.messages('bye'))} byes, "
                                 f"{self.v1.connects} connects, over {self.v1.over}, alive {self.v1.is_alive()}") from None

    def check_settled(self, duels):
        """Each duel's market once, by the audit: the markets themselves are forgotten after market.keep."""
        def ends():
            lines = [json.loads(text) for text in self.audit.messages()]
            return [(m["duelId"], m["event"]) for m in lines if m["event"] in ("resolved", "cancelled")]
        wait_for(lambda: {duel for duel, _ in ends()} >= duels, "every market to settle", 60)
        assert len(ends()) == len(duels), "a market settled twice"
        self.settled = dict(collections.Counter(event for _, event in ends()))
        for duel in duels:
            assert (m := market(self.r, duel)) == 404 or m["state"] in ("resolved", "cancelled"), m

    def check_flat(self):
        """The last third against the middle one, when retention and market.keep have long been at work: on frames and
        odds that by size, on results, attestations and audit, which take hours to grow so large, that by age. Files: a
        twentieth more, for pages that wait for their next use. Memory: a quarter and 4 MB more, for a table that doubles
        and an allocator's arenas; a worker that was killed begins anew, so its largest counts."""
        if self.options.minutes < 3 * LEVEL_MINUTES:
            print(f"not judged whether it is flat: that takes --minutes {3 * LEVEL_MINUTES}", flush=True)
            return
        third = len(self.table) // 3
        middle, last = self.table[third:2 * third], self.table[2 * third:]
        for name in sorted({key for row in self.table for key in row if key.endswith("_mb")}):
            before = max((row[name] for row in middle if name in row), default=None)
            after = max((row[name] for row in last if name in row), default=None)
            if before is None or after is None:
                continue
            limit = before * 1.05 if name == "store_mb" else before * 1.25 + 4
            assert after <= limit, f"{name} grew from {before} to {after}"

    def settle(self):
        os.killpg(self.duel.pid, signal.SIGTERM)
        self.duel.wait(30)
        self.bets.finish()
        state = json.loads(self.r.request("GET", "/v1/source/arena")[2])
        if state["duel"] and not state["duel"]["outcome"]:
            self.r.ctl("duels", "abort", "arena", "soak_over")
        wait_for(lambda: json.loads(self.r.request("GET", "/v1/source/arena")[2])["duel"] is None, "idle", 90)
        kept = frames_of(self.r)
        wait_for(lambda: [json.loads(text) for text in self.frames.messages()[-1:]] == kept[-1:], "the frames", 60)
        frames = [json.loads(text) for text in self.frames.messages()]
        assert frames[-len(kept):] == kept
        duels = {f["duelId"] for f in frames if f["duelId"]}
        assert check_frames(frames) == duels, "a duel without its terminal frame"
        self.check_v1(frames)
        self.check_settled(duels)
        self.check_consumers()
        for source in (self.frames, self.v1, self.audit):
            source.stop()
        sums = get(self.r, "/v1/ledger/sums")
        assert sums["balanced"] and sums["pools"] == 0, sums
        out, _ = self.r.ctl("store", "check")
        print(json.dumps({"duels": len(duels), "markets": self.settled, "frames": len(frames), "kept": len(kept), "bets": len(self.bets.taken),
                          "kills": self.kills, "connects": [self.frames.connects, self.v1.connects], "ledger": sums,
                          "store": out.strip().splitlines()[-1]}))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--every", type=float, default=60, help="seconds between two kills")
    parser.add_argument("--kill", default="sse,bridge,capture,game,all", help="what may be killed")
    parser.add_argument("--retention", default="2M", help="store.retention_bytes")
    parser.add_argument("--retention-age", help="store.retention_age; a sixth of the run if not given")
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 6))
    parser.add_argument("--capture", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    options.retention_age = options.retention_age or f"{max(round(options.minutes * 10), 60)}s"
    print(f"SEED {options.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what it started ends with it
    soak = Soak(options)
    try:
        soak.run()
        soak.settle()
        soak.check_flat()
    except BaseException:
        soak.duel_log.seek(0)
        print(soak.r.log()[-6000:], soak.duel_log.read()[-3000:], sep="\n", file=sys.stderr)
        raise
    finally:
        if soak.duel.poll() is None:
            os.killpg(soak.duel.pid, signal.SIGKILL)
        soak.r.stop()


if __name__ == "__main__":
    main()
