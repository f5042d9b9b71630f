"""An EventSource as the standard has it (WHATWG HTML 9.2): parses, remembers the last id, reconnects
with it until it is told to stop or the server says so."""

import http.client
import threading
import time


class Event:
    def __init__(self, name, data, last_id):
        self.name, self.data, self.last_id = name, data, last_id

    def __repr__(self):
        return f"Event({self.name!r}, {self.data!r}, {self.last_id!r})"


class EventSource(threading.Thread):
    """events grows; over is set when the server answered with anything but an event stream."""

    def __init__(self, ringside, query, last_id=None, retry=0.02, headers=None, path="/v1/events"):
        super().__init__(daemon=True)
        self.ringside, self.query, self.last_id, self.retry = ringside, query, last_id, retry
        self.headers = headers or {}
        self.path = path
        self.events = []
        self.connects = 0
        self.server_retry = None
        self.over = None
        self.stopping = False
        self.socket = None
        self.start()

    def run(self):
        while not self.stopping and self.over is None:
            try:
                self.follow()
            except (OSError, http.client.HTTPException, ValueError):
                pass
            time.sleep(self.retry)

    def follow(self):
        connection = http.client.HTTPConnection(*self.ringside.address(), timeout=30)
        headers = {"accept": "text/event-stream", **self.headers}
        if self.last_id is not None:
            headers["last-event-id"] = self.last_id
        connection.request("GET", f"{self.path}?{self.query}", headers=headers)
        self.socket = connection.sock
        answer = connection.getresponse()
        if answer.status != 200 or not answer.headers["content-type"].startswith("text/event-stream"):
            if answer.status < 500:
                self.over = (answer.status, answer.read().decode())
            return
        self.connects += 1
        self.parse(answer)
        connection.close()

    def parse(self, answer):
        name, data, last_id = "", [], self.last_id
        while not self.stopping:
            line = answer.readline()
            if not line:
                return
            line = line.rstrip(b"\n").decode()
            if line == "":
                self.last_id = last_id
                if data:
                    self.events.append(Event(name or "message", "\n".join(data), last_id))
                name, data = "", []
                continue
            field, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id":
                last_id = value
            elif field == "retry":
                self.server_retry = int(value)

    def messages(self, *names):
        """Data of the message events, or of those named."""
        return [e.data for e in list(self.events) if e.name in (names or ("message",))]

    def cut(self):
        """As a network does it."""
        if self.socket is not None:
            try:
                self.socket.shutdown(2)
            except OSError:
                pass

    def stop(self):
        self.stopping = True
        self.cut()
        self.join(10)
        return self
