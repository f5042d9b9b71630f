"""Readers, writers and callers for the kill tests: they go on over every disconnect, as the client does that they are
made of."""

import socket
import threading
import time

from client_python import Backoff, Refused, Server


def client(ringside):
    """Of a Ringside that may move, and comes back at once."""
    return Server(lambda: ringside.url, timeout=10, patience=float("inf"), backoff=Backoff(first=0.005, most=0.05))


class Writer(threading.Thread):
    """Appends numbered lines as an idempotent producer, each until it is acknowledged, the last one too: whoever
    leaves without an answer does not know what is stored."""

    def __init__(self, ringside, path, name, pause=0.0):
        super().__init__(daemon=True)
        self.path, self.name_, self.pause = path, name, pause
        self.producer = client(ringside).stream(path).producer(name, epoch=0, content_type="text/plain")
        self.acknowledged = 0
        self.stopping = False
        self.error = None

    @property
    def retries(self):
        return self.producer.repeats

    @property
    def refused(self):
        return self.producer.stream.server.unreachable

    def run(self):
        while not self.stopping:
            try:
                self.producer.append(f"{self.name_}:{self.acknowledged}\n")
            except Refused as refused:
                self.error = str(refused)
                return
            self.acknowledged += 1
            if self.pause:
                time.sleep(self.pause)

    def stop(self):
        self.stopping = True
        self.join(30)
        assert not self.is_alive(), "writer hangs"
        assert self.error is None, self.error


class SseReader(threading.Thread):
    """Follows a stream by SSE; after a disconnect it resumes from the last offset it was given. `data` grows by the text
    of each piece; whatever refuses it for good, it asks again, as streams of tests come and go."""

    LIVE, OPTIONS = "sse", {"silence": 2, "retry": 0.01}

    def __init__(self, ringside, path, offset="-1"):
        super().__init__(daemon=True)
        self.path = path
        self.stream = client(ringside).stream(path)
        self.data = []
        self.past = 0  # connections of readers before this one
        self.stopping = False
        self.reader = self.begin(offset)

    def begin(self, offset):
        return self.stream.follow(offset, live=self.LIVE, **self.OPTIONS)

    @property
    def connects(self):
        return self.past + self.reader.connects

    @property
    def offset(self):
        return self.reader.offset

    def run(self):
        while not self.stopping:
            try:
                for piece in self.reader:
                    self.data.append(piece.text())
            except Refused:
                pass
            if not self.stopping:
                time.sleep(0.01)
                self.past = self.connects
                self.reader = self.begin(self.offset)

    def text(self):
        return "".join(self.data)

    def stop(self):
        self.stopping = True
        self.reader.close()
        self.join(10)


class PollReader(SseReader):
    """The same by catch-up and long-poll. An answer counts whole or not at all."""

    LIVE, OPTIONS = "long-poll", {"poll": 30}


class Caller(threading.Thread):
    """Opens a new connection over and over. One that waits is answered; none is refused."""

    def __init__(self, ringside):
        super().__init__(daemon=True)
        self.ringside = ringside
        self.calls = self.refused = 0
        self.stopping = False

    def run(self):
        while not self.stopping:
            try:
                with socket.create_connection(self.ringside.address(), 10) as s:
                    s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    s.recv(1024)
            except ConnectionRefusedError:
                self.refused += 1
            except OSError:
                pass  # accepted by a worker that was killed
            self.calls += 1
            time.sleep(0.005)

    def stop(self):
        self.stopping = True
        self.join(15)
