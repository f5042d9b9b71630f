"""Whatever state the starter of ringside was in, it stops when asked, replaces its workers and keeps its files."""

import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from ringside import Ringside, wait_for

BLOCKED = "set(range(1, 32)) - {9, 19}"
ALARM = 3  # seconds; a busy machine takes that long from here to the first line of main()
EVERY = {
    "blocked": f"signal.pthread_sigmask(signal.SIG_BLOCK, {BLOCKED})",
    "ignored": "[signal.signal(s, signal.SIG_IGN) for s in (1, 2, 3, 10, 12, 13, 14, 15, 17, 25)]",
    "alarm": f"signal.setitimer(signal.ITIMER_REAL, {ALARM})",
    "blocked alarm": "signal.pthread_sigmask(signal.SIG_BLOCK, {14}); signal.setitimer(signal.ITIMER_REAL, 0.001);"
                     "time.sleep(0.05)",
    "soft limits": "[resource.setrlimit(r, (n, resource.getrlimit(r)[1])) for r, n in"
                   " ((resource.RLIMIT_FSIZE, 1 << 20), (resource.RLIMIT_NOFILE, 64), (resource.RLIMIT_CPU, 1))]",
    "closed descriptors": "[os.close(fd) for fd in (0, 1)]",
}


def started_with(code):
    return (sys.executable, "-c", f"import os, resource, signal, sys, time\n{code}\n"
                                  "os.execv(sys.argv[1], sys.argv[1:])")


def field(pid, name):
    with open(f"/proc/{pid}/status") as status:
        return next(line.split()[1] for line in status if line.startswith(name + ":"))


@pytest.mark.parametrize("state", EVERY)
def test_it_stops_and_replaces(state):
    begun = time.monotonic()
    with Ringside(bridge=1, prefix=started_with(EVERY[state])) as r:
        wait_for(lambda: state != "alarm" or time.monotonic() > begun + ALARM + 1, "the alarm to be over")
        before = r.worker("sse-0")["pid"]
        for pid in [r.process.pid, *r.worker_pids()]:
            assert int(field(pid, "SigBlk"), 16) == 0
        os.kill(before, signal.SIGKILL)
        assert r.wait_worker("sse-0", state="ready", restarts=1)["pid"] != before
        assert r.request("PUT", "/v1/stream/x", b"x", {"content-type": "text/plain"})[0] == 201
        r.signal(signal.SIGTERM)
        assert r.wait_exit() == 0


@pytest.mark.parametrize("mask", ["0o777", "0", "0o077"])
def test_files_are_the_owners_whatever_the_umask(mask):
    with Ringside(bridge=1, prefix=started_with(f"os.umask({mask})")) as r:
        r.request("PUT", "/v1/stream/x", b"x", {"content-type": "text/plain"})
        for directory in (r.run_dir, r.data_dir):
            for name in [".", *os.listdir(directory)]:
                mode = stat.S_IMODE(os.stat(os.path.join(directory, name)).st_mode)
                assert mode & 0o600 == 0o600 and mode & 0o022 == 0, (directory, name, oct(mode))


def test_a_tool_with_closed_descriptors_writes_into_no_file():
    """What is opened next gets the number of a closed one, and then what is printed."""
    with Ringside(bridge=1) as r:
        r.request("PUT", "/v1/stream/x", b"x", {"content-type": "text/plain"})
        tool = os.path.join(os.path.dirname(r.program), "ringsidectl")

        def close_all():
            for fd in range(3):
                os.close(fd)
        follower = subprocess.Popen([tool, "--run-dir", r.run_dir, "streams", "tail", "x", "--follow"],
                                    preexec_fn=close_all)

        def has_the_store():
            descriptors = f"/proc/{follower.pid}/fd"
            files = {fd: os.readlink(f"{descriptors}/{fd}") for fd in os.listdir(descriptors)}
            return files if any(path.endswith("/ring") for path in files.values()) else None
        try:
            files = wait_for(has_the_store, "the store in the tool")
            assert {files.get(fd) for fd in "012"} == {"/dev/null"}, files
        finally:
            follower.kill()
            follower.wait()
