"""kill -9 of workers and of everything, at random moments, under load: nothing acknowledged is lost,
repeated or out of order, no reader misses or repeats anything, no connection is refused."""

import os
import random
import socket
import time

from ringside import Ringside, wait_for
from sse_reader import Caller, PollReader, SseReader, Writer

SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
SECONDS = float(os.environ.get("KILL_SECONDS", "8"))
WRITERS = 4
POLL = "--http-long-poll-timeout=1s"


def expected(writer):
    return "".join(f"{writer.name_}:{n}\n" for n in range(writer.acknowledged))


def fixed_port():
    """Stays the same over restarts. Not an ephemeral one: clients that try to connect while nobody
    listens there would be given it as their own end, and then it is in use."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def begin(r):
    writers, readers = [], []
    for i in range(WRITERS):
        path = f"/v1/stream/kill/{i}"
        assert r.request("PUT", path, headers={"content-type": "text/plain"})[0] == 201
        writers.append(Writer(r, path, f"w{i}"))
        readers.append((SseReader if i % 2 == 0 else PollReader)(r, path))
    for thread in writers + readers:
        thread.start()
    return writers, readers


def settle(r, writers, readers):
    for writer in writers:
        writer.stop()
    for writer, reader in zip(writers, readers):
        want = expected(writer)
        got = r.request("GET", writer.path, timeout=60)[2].decode()
        assert got == want, f"{writer.path}: {len(got)} bytes, want {len(want)}"
        wait_for(lambda: len(reader.text()) >= len(want), f"reader of {reader.path}", 30)
        reader.stop()
        assert reader.text() == want, f"{reader.path}: a reader missed or repeated something"


def check_store(r):
    out, _ = r.ctl("store", "check")
    assert "finding" not in out.lower() or "0 findings" in out.lower() or "no " in out.lower(), out


def test_kill_workers():
    print(f"SEED={SEED}")
    rng = random.Random(SEED)
    with Ringside("--worker-restart-limit=64", "--worker-restart-window=1s", POLL, workers=2) as r:
        writers, readers = begin(r)
        caller = Caller(r)
        caller.start()
        end, kills = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            time.sleep(rng.uniform(0.2, 0.8))
            kills += r.kill_some_worker(rng)
        caller.stop()
        wait_for(lambda: "200" in str(r.request("GET", "/readyz")[0]), "ready again")
        settle(r, writers, readers)
        total = sum(w.acknowledged for w in writers)
        print(f"kills={kills} appends={total} retries={sum(w.retries for w in writers)} "
              f"reconnects={sum(x.connects for x in readers)}")
        assert kills >= 5 and total > 100
        assert caller.calls > 100
        assert caller.refused + sum(w.refused for w in writers) == 0, "a connection was refused"
        check_store(r)


def test_kill_everything():
    print(f"SEED={SEED}")
    rng = random.Random(SEED + 1)
    with Ringside(POLL, workers=2, listen=f"127.0.0.1:{fixed_port()}") as r:
        writers, readers = begin(r)
        for _ in range(3):
            time.sleep(rng.uniform(0.5, 1.5))
            r.kill_everything()
            os.truncate(r.log_path, 0)
            r.start()
        settle(r, writers, readers)
        assert sum(w.acknowledged for w in writers) > 100
        check_store(r)
