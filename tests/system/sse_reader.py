"""Readers, writers and callers for the kill tests: they go on over every disconnect, as real clients
do."""

import http.client
import json
import socket
import threading
import time


class Writer(threading.Thread):
    """Appends numbered lines as an idempotent producer, each until it is acknowledged, the last one too: whoever
    leaves without an answer does not know what is stored."""

    def __init__(self, ringside, path, name, pause=0.0):
        super().__init__(daemon=True)
        self.ringside, self.path, self.name_, self.pause = ringside, path, name, pause
        self.acknowledged = 0
        self.refused = 0
        self.retries = 0
        self.stopping = False
        self.error = None

    def run(self):
        connection = None
        while True:
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(*self.ringside.address(), timeout=10)
                connection.request("POST", self.path, f"{self.name_}:{self.acknowledged}\n", {
                    "content-type": "text/plain", "producer-id": self.name_,
                    "producer-epoch": "0", "producer-seq": str(self.acknowledged)})
                answer = connection.getresponse()
                body = answer.read()
                if answer.status in (200, 204):
                    self.acknowledged += 1
                    if self.stopping:
                        return
                    if self.pause:
                        time.sleep(self.pause)
                    continue
                if answer.status < 500:
                    self.error = f"{answer.status} {body}"
                    return
            except ConnectionRefusedError:
                self.refused += 1
            except (OSError, http.client.HTTPException):
                pass
            self.retries += 1
            if connection is not None:
                connection.close()
            connection = None
            time.sleep(0.005)

    def stop(self):
        self.stopping = True
        self.join(30)
        assert not self.is_alive(), "writer hangs"
        assert self.error is None, self.error


class SseReader(threading.Thread):
    """Follows a stream by SSE; after a disconnect it resumes from the last offset it was given."""

    def __init__(self, ringside, path, offset="-1"):
        super().__init__(daemon=True)
        self.ringside, self.path, self.offset = ringside, path, offset
        self.data = []
        self.connects = 0
        self.stopping = False

    def run(self):
        while not self.stopping:
            try:
                self.follow()
            except (OSError, http.client.HTTPException, ValueError):
                pass
            time.sleep(0.01)

    def follow(self):
        connection = http.client.HTTPConnection(*self.ringside.address(), timeout=2)
        connection.request("GET", f"{self.path}?offset={self.offset}&live=sse")
        answer = connection.getresponse()
        if answer.status != 200:
            raise OSError(answer.status)
        self.connects += 1
        event, lines = None, []
        pending = None
        while not self.stopping:
            try:
                line = answer.readline()
            except (socket.timeout, TimeoutError):
                raise OSError("silent") from None
            if not line:
                return
            line = line.rstrip(b"\n").decode()
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data:"):
                text = line[5:]
                lines.append(text[1:] if text.startswith(" ") else text)
            elif line == "":
                if event == "data":
                    pending = "\n".join(lines)
                elif event == "control":
                    # Data counts only with the offset behind it: both or neither.
                    if pending is not None:
                        self.data.append(pending)
                    pending = None
                    self.offset = json.loads("".join(lines))["streamNextOffset"]
                event, lines = None, []
        connection.close()

    def text(self):
        return "".join(self.data)

    def stop(self):
        self.stopping = True
        self.join(10)


class PollReader(SseReader):
    """The same by catch-up and long-poll. An answer counts whole or not at all."""

    def follow(self):
        connection = http.client.HTTPConnection(*self.ringside.address(), timeout=30)
        self.connects += 1
        try:
            while not self.stopping:
                live = "" if self.offset == "-1" else "&live=long-poll"
                connection.request("GET", f"{self.path}?offset={self.offset}{live}")
                answer = connection.getresponse()
                body = answer.read()
                if answer.status not in (200, 204):
                    raise OSError(answer.status)
                self.data.append(body.decode())
                self.offset = answer.headers["stream-next-offset"]
        finally:
            connection.close()


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
