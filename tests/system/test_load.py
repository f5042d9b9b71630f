"""What the HTTP worker does when clients ask for more at once than it can give: nobody stops the loop, and what waits
is bounded."""

import os
import re
import signal

from ringside import Ringside, wait_for


def metric(text, name, worker="sse-0"):
    found = re.search(rf'^ringside_{name}\{{[^}}]*worker="{worker}"[^}}]*\}} (\S+)', text, re.M)
    return float(found.group(1)) if found else 0


def ask(r, target, timeout=60):
    s = r.connect(timeout)
    s.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return s


def answer(s):
    """Status and body of an answer with a Content-Length."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = s.recv(65536)
        assert more, "ended in the head"
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
    while len(body) < length:
        more = s.recv(65536)
        assert more, "ended in the body"
        body += more
    return int(head.split()[1]), body


def fill(r, path, megabytes):
    r.request("PUT", path, headers={"content-type": "application/octet-stream"})
    for _ in range(megabytes):
        status, _, _ = r.request("POST", path, os.urandom(1 << 20), {"content-type": "application/octet-stream"})
        assert status == 204


def test_a_burst_that_asks_for_much_waits_in_line():
    """A herd comes at once (after a restart, say): each gets a slice, and whoever stands behind the herd is heard
    before all of it has got what the kernel would take."""
    herd = 60
    with Ringside("--worker-hang-timeout=10m", "--store-ring-bytes=32M", "--limits-body-bytes=2M") as r:
        fill(r, "/v1/stream/big", 8)
        sent = lambda: metric(r.get("/metrics"), "bytes_out_total")
        before, seen = sent(), []
        with ask(r, "/v1/stream/big?offset=-1"):  # and reads nothing
            wait_for(lambda: seen.append(sent()) or len(seen) > 20 and seen[-1] - seen[-10] < 400000, "a full socket")
        alone = seen[-1] - before
        assert alone > 1 << 20
        pid = r.worker("sse-0")["pid"]
        before = sent()
        os.kill(pid, signal.SIGSTOP)
        try:
            waiting = [ask(r, "/v1/stream/big?offset=-1") for _ in range(herd)]
            last = ask(r, "/metrics")
        finally:
            os.kill(pid, signal.SIGCONT)
        status, body = answer(last)
        assert status == 200
        assert metric(body.decode(), "bytes_out_total") - before < herd * alone / 2
        for s in waiting:
            s.close()
