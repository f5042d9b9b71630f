"""A log that nobody reads: the service goes on, loses lines, says how many, and ends when it is told to."""

import fcntl
import os
import re
import signal
import subprocess

import pytest

from ringside import PATIENCE, Ringside, wait_for

JSON = {"content-type": "application/json"}


class Unread(Ringside):
    """Its log goes to a pipe of 4 KiB, self.reader, that is read when the test says so."""

    def log(self):
        with open(self.log_path, "ab") as log:
            try:
                while piece := os.read(self.reader, 65536):
                    log.write(piece)
            except BlockingIOError:
                pass
        return super().log()

    def __exit__(self, *failure):
        super().__exit__(*failure)
        os.close(self.reader)


class Piped(Unread):
    """Standard error is the pipe."""

    def spawn(self):
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=writer, env=self.environment)
        self.writer = writer
        self.log_from = 0
        os.set_blocking(self.reader, False)
        return self

    def log(self):
        """The writing end has been left as it was given."""
        assert fcntl.fcntl(self.writer, fcntl.F_GETFL) & os.O_NONBLOCK == 0
        return super().log()

    def __exit__(self, *failure):
        super().__exit__(*failure)
        os.close(self.writer)


class Stalling(Unread):
    """log.file is a FIFO: a file that takes an open, and hangs in write."""

    def spawn(self):
        path = os.path.join(self.dir, "fifo")
        os.mkfifo(path)
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self.reader, fcntl.F_SETPIPE_SZ, 4096)
        self.flags.append(f"--log-file={path}")
        return super().spawn()


@pytest.mark.parametrize("kind", (Piped, Stalling))
def test_a_log_that_nobody_reads_stops_nothing(kind):
    with kind("--log-level=debug", "--log-buffer-bytes=16k", bridge=1) as r:
        def supervisor_logs():
            r.ctl("log-level", "debug")
            r.ctl("reload")

        def sse_dropped():
            for path in ("/healthz", "/readyz", "/v1/markets"):
                assert r.request("GET", path)[0] == 200
            return re.search(r'ringside_log_dropped_total{worker="sse-0"} [1-9]', r.get("/metrics"))

        for _ in range(30):
            supervisor_logs()
        wait_for(sse_dropped, "lines that are dropped")
        r.kill(r.worker("bridge-0")["pid"])
        r.wait_worker("bridge-0", state="ready", restarts=1)
        assert r.request("PUT", "/v1/stream/a", headers=JSON)[0] == 201
        wait_for(lambda: re.search(r"sse-0 log lines dropped count=[1-9]", r.log()), "their number")
        r.ctl("reload")
        wait_for(lambda: "reloaded" in r.log().rstrip().splitlines()[-1], "the log to flow again")


@pytest.mark.parametrize("kind", (Piped, Stalling))
def test_sigterm_ends_it_beside_a_stalled_log(kind):
    with kind("--log-level=debug", bridge=1) as r:
        for _ in range(60):
            r.request("GET", "/healthz")
        for _ in range(60):
            r.ctl("reload")
        r.signal(signal.SIGTERM)
        assert r.wait_exit(PATIENCE) == 0
