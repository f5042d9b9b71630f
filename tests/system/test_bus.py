"""Links between workers: a full one refuses what does not fit, a lost one is said and made again."""

import ctypes
import http.client
import json
import os
import resource
import select
import signal
import socket

import pytest

from ringside import Ringside, wait_for

JSON = {"content-type": "application/json"}
BODY = 250_000  # of a source's post at most 256 KiB


def metric(r, name):
    return sum(float(line.rpartition(" ")[2]) for line in r.get("/metrics").splitlines()
               if line.startswith(f"ringside_{name}{{"))


def post_raw(r, path, size):
    s = r.connect(30)
    s.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
              f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * size)
    return s


def answer(s):
    """Status and headers, in lower case."""
    with s, s.makefile("rb") as file:
        status = int(file.readline().split()[1])
        return status, file.read().split(b"\r\n\r\n")[0].decode().lower()


def test_a_full_link_refuses_that_call_alone():
    """More than the queue holds is posted while the bridge does not read: some get 503 at once, the rest an
    answer, and whoever calls later is served."""
    with Ringside(bridge=1) as r:
        bridge = r.worker("bridge-0")["pid"]
        os.kill(bridge, signal.SIGSTOP)
        try:
            waiting = [post_raw(r, "/v1/source/arena/cycle", BODY) for _ in range(60)]  # 15 MB
            first = wait_for(lambda: select.select(waiting, [], [], 0)[0], "a refusal")[0]
        finally:
            os.kill(bridge, signal.SIGCONT)
        waiting.remove(first)
        status, headers = answer(first)
        assert status == 503 and "retry-after: 1" in headers, headers
        statuses = [answer(s)[0] for s in waiting]
        assert set(statuses) == {400, 503}
        assert statuses.count(400) >= 20
        assert r.request("GET", "/v1/markets")[0] == 200
        assert r.request("POST", "/v1/source/arena/cycle", b"{}", JSON)[0] == 400
        assert r.request("GET", "/readyz")[0] == 200
        assert metric(r, "calls_refused_total") >= 1
        assert metric(r, "links_lost_total") == 0


# ---- lost links ----

libc = ctypes.CDLL(None, use_errno=True)
PIDFD_GETFD = 438


def cut_links(pid):
    """Shuts down every Unix socket of the worker but its bus to the supervisor; how many."""
    pidfd = os.pidfd_open(pid)
    count = 0
    try:
        for number in sorted(map(int, os.listdir(f"/proc/{pid}/fd"))):
            if number <= 4 or not os.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:"):
                continue
            fd = libc.syscall(PIDFD_GETFD, pidfd, number, 0)
            if fd < 0:
                pytest.skip(f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
            with socket.socket(fileno=fd) as s:
                if s.family == socket.AF_UNIX:
                    s.shutdown(socket.SHUT_RDWR)
                    count += 1
    finally:
        os.close(pidfd)
    return count


def test_a_cut_link_is_made_again():
    with Ringside(workers=2, bridge=1) as r:
        assert cut_links(r.worker("sse-1")["pid"]) == 2
        wait_for(lambda: metric(r, "links_lost_total") >= 4, "both ends of both to be missed")
        wait_for(lambda: len([e for e in r.events() if e["event"] == "link-made-again"]) >= 2, "new links")
        wait_for(lambda: r.request("GET", "/readyz")[0] == 200, "ready again")
        for _ in range(20):  # whichever of the two answers
            assert r.request("GET", "/v1/markets")[0] == 200
        events = [(e["a"], e["b"]) for e in r.events() if e["event"] == "link-missing"]
        assert sorted(events) == [("sse-0", "sse-1"), ("sse-1", "bridge-0")]
        assert r.status()["missing_links"] == []


def test_a_restarted_worker_is_no_lost_link():
    """Its links end with it and begin with its successor: nothing was missing."""
    with Ringside("--worker-restart-delay-min=300ms", workers=2, bridge=1) as r:
        r.kill(r.worker("bridge-0")["pid"])
        r.wait_worker("bridge-0", state="ready", restarts=1)
        wait_for(lambda: r.request("GET", "/v1/markets")[0] == 200, "the bridge")
        r.ctl("restart", "all")
        assert r.request("GET", "/readyz")[0] == 200
        assert not [e for e in r.events() if e["event"].startswith("link-")]


def test_sse_workers_ask_each_other_and_never_a_successor():
    """A question that is for one process is not given to the next in its place."""
    with Ringside(dummy=True, workers=2) as r:
        def heard(generation):  # from sse-0; sse-1 has no link to itself
            return {r.get(f"/ask/1/{generation}").strip() for _ in range(20)}

        answered, stale = {"answered sse-1", "absent"}, {"stale", "absent"}
        first = r.worker("sse-1")["generation"]
        wait_for(lambda: heard(0) == answered, "answers of whoever is there")
        assert heard(first) == answered
        r.ctl("restart", "sse-1")
        second = r.worker("sse-1")["generation"]
        assert second > first
        wait_for(lambda: heard(0) == answered, "answers of the next")
        assert heard(first) == stale
        assert heard(second) == answered


