"""An EventSource in a thread of its own: the client's, with everything kept that it gives."""

import threading

import client_python as client

AGAIN = frozenset(range(500, 600))


class Event:
    def __init__(self, name, data, last_id):
        self.name, self.data, self.last_id = name, data, last_id

    def __repr__(self):
        return f"Event({self.name!r}, {self.data!r}, {self.last_id!r})"


class EventSource(threading.Thread):
    """events grows; over is set when the server answered with anything but an event stream."""

    def __init__(self, ringside, query, last_id=None, retry=0.02, headers=None, path="/v1/events"):
        super().__init__(daemon=True)
        self.source = client.EventSource(client.Server(lambda: ringside.url), f"{path}?{query}", last_id=last_id, retry=retry,
                                         headers=headers, silence=30, repeat=AGAIN)
        self.query = query
        self.events = []
        self.over = None
        self.stopping = False
        self.start()

    def run(self):
        try:
            for event in self.source:
                self.events.append(Event(event.name, event.data, event.id))
            if not self.stopping:
                self.over = (204, "")
        except client.Refused as refused:
            self.over = (refused.status, refused.reason)

    @property
    def last_id(self):
        return self.source.last_id

    @property
    def connects(self):
        return self.source.connects

    @property
    def server_retry(self):
        seconds = self.source.server_retry
        return None if seconds is None else round(seconds * 1000)

    def messages(self, *names):
        """Data of the message events, or of those named."""
        return [e.data for e in list(self.events) if e.name in (names or ("message",))]

    def cut(self):
        """As a network does it."""
        self.source.cut()

    def stop(self):
        self.stopping = True
        self.source.close()
        self.join(10)
        return self
