"""What tests of the capture worker share: pages to show, processes to look for, a picture to wait for."""

import datetime
import http.server
import json
import os
import re
import socket
import threading
import time
import unittest
from urllib.parse import parse_qs, urlsplit

import pytest

import ringside
from ringside import PATIENCE, Ringside

PAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pages")
# From a fault to its name: the longest that is promised, with the patience that slower builds get.
NAMED_WITHIN = 5 * max(1, PATIENCE / 20)


def wait_for(condition, what, seconds=3 * PATIENCE):
    """Browsers take their time on a machine that others use."""
    return ringside.wait_for(condition, what, seconds)


def inject(pid, number):
    """Sends the signal; when, by the wall clock that the log goes by."""
    at = time.time()
    os.kill(pid, number)
    return at


def stamped(r, pattern):
    """When each line of the log that has the pattern was written, by the wall clock, and its first group."""
    return [(datetime.datetime.fromisoformat(stamp + "+00:00").timestamp(), group)
            for stamp, group in re.findall(f"^(\\S+)Z .*{pattern}", r.log(), re.MULTILINE)]


def paused(r, since):
    """Seconds since then for which the machine itself stood still, as the supervisor has noticed."""
    return sum(int(ms) / 1000 for at, ms in stamped(r, "the supervisor was paused for_ms=(\\d+)") if at >= since)


class Pages(http.server.SimpleHTTPRequestHandler):
    noted = []  # when pages were about to break

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, directory=PAGES, **named)

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", parse_qs(url.query)["to"][0])
            self.end_headers()
            return
        super().do_GET()

    def do_POST(self):
        self.noted.append(time.time())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Trap:
    """Where nobody may come: notes every connection and every datagram."""

    def __init__(self):
        self.hits = []
        self.tcp = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        for run in (self._accept, self._receive):
            threading.Thread(target=run, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            connection.settimeout(5)
            try:
                line = connection.recv(4096).split(b"\r\n")[0].decode(errors="replace")
            except OSError:
                line = "connect"
            self.hits.append(line)
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except OSError:
                pass

    def _receive(self):
        while True:
            try:
                self.udp.recvfrom(2048)
            except OSError:
                return
            self.hits.append("UDP")

    def close(self):
        self.tcp.close()
        self.udp.close()


def stat_of(pid):
    """(parent, process group) or None."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[1]), int(fields[2])
    except (FileNotFoundError, ProcessLookupError):
        return None


def family(root):
    """root and all that descends from it."""
    parents = {int(p): stat_of(p) for p in os.listdir("/proc") if p.isdigit()}
    found, grew = {root}, True
    while grew:
        more = {p for p, s in parents.items() if s and s[0] in found} - found
        found |= more
        grew = bool(more)
    return found


def program(pid):
    """The name of what it executes; None when it is gone."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return None


def kind(pid):
    """"browser", "renderer", "gpu-process", ... of a browser's process; None for anything else."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read().decode(errors="replace").replace(" --", "\0--").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return None
    if "chrom" not in arguments[0]:
        return None
    # Full Chromium has helpers that are of no type.
    other = "browser" if "--remote-debugging-pipe" in arguments else "helper"
    return next((a[7:] for a in arguments if a.startswith("--type=")), other)


class BrowserTest(unittest.TestCase):
    pytestmark = pytest.mark.browser

    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        cls.server.daemon_threads = True
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.base = f"http://127.0.0.1:{cls.server.server_address[1]}"

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def capture(self, page="arena.html?phase=FIGHTING&duel=d1", *flags, private="127.0.0.1", bridge=0, prefix=()):
        return Ringside("--capture-workers=1", f"--capture-url={self.base}/{page}",
                        f"--capture-allow-private={private}", "--capture-width=640",
                        "--capture-height=360", "--log-level=debug", *flags, bridge=bridge, prefix=prefix)

    def show(self, r):
        return json.loads(r.ctl("capture", "show")[0])

    def healthy(self, r):
        def look():
            s = self.show(r)
            return s if s["state"] == "live" and s["health"]["ready"] else None
        return wait_for(look, "a healthy picture")

    def process(self, r, what):
        return wait_for(lambda: next((p for p in family(self.show(r)["keeper"])
                                      if kind(p) == what), None), what)

    def named(self, r, reason, step=None, since=None):
        """The fault gets its name, and the step that is taken for it; within what is promised of `since`."""
        r.wait_log(f"kind=health reason={reason} ", 3 * PATIENCE)
        if since is not None:
            at = wait_for(lambda: self.first(r, reason, since), f"{reason} after the fault")
            self.assertLess(at - since - paused(r, since), NAMED_WITHIN, reason)
        if step:
            r.wait_log(f"kind=recovery reason={reason} step={step} ", 3 * PATIENCE)

    def first(self, r, reason, since):
        """When the log first gave this reason, not before `since`; None: not yet. It counts milliseconds."""
        return next((at for at, _ in stamped(r, f"kind=health reason={reason} ()") if at >= since - 0.001), None)
