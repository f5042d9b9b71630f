"""A client of render sessions, as one would write it: follows the events, applies the patches with an
RFC 6902 library that is not ours, and comes back over every disconnect."""

import http.client
import json
import random
import threading
import time

import jsonpatch

from ringside import wait_for


class Events:
    """One event stream: an iterator over (id, event, data text)."""

    def __init__(self, ringside, path, last_id=None, method="GET", body=None, headers=None):
        self.connection = http.client.HTTPConnection(*ringside.address(), timeout=30)
        all_headers = {"accept": "text/event-stream", **(headers or {})}
        if last_id is not None:
            all_headers["last-event-id"] = last_id
        self.connection.request(method, path, body, all_headers)
        self.answer = self.connection.getresponse()
        self.status, self.headers = self.answer.status, self.answer.headers
        self.last_id = last_id

    def __iter__(self):
        return self

    def __next__(self):
        event, data = "message", []
        while True:
            line = self.answer.readline()
            if not line:
                raise StopIteration
            line = line.decode().rstrip("\r\n")
            if line == "":
                if data:
                    return self.last_id, event, "\n".join(data)
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "id":
                self.last_id = value
            elif field == "event":
                event = value
            elif field == "data":
                data.append(value)

    def until(self, name):
        """The next event of this name, as JSON."""
        for _, event, data in self:
            if event == name:
                return json.loads(data)
        raise AssertionError(f"ended before {name}")

    def close(self):
        self.connection.close()
        self.answer.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Follower(threading.Thread):
    """Keeps a copy of a session's state by its events. With `restless`, leaves after that many events
    on average and resumes by the last id, sometimes without."""

    def __init__(self, ringside, session, headers=None, restless=0, seed=1):
        super().__init__(daemon=True)
        self.ringside, self.path, self.headers = ringside, f"/stream/{session}/sse", headers
        self.restless, self.random = restless, random.Random(seed)
        self.state, self.rev, self.reason = None, None, None
        self.patches = self.snapshots = self.connects = 0
        self.signals, self.log = [], []
        self.error = self.ended = None
        self.stopping = False
        self.last_id = None
        self.start()

    def apply(self, last_id, event, data):
        value = json.loads(data)
        if event == "state":
            self.state, self.rev = value["state"], value["rev"]
            self.snapshots += 1
        elif event == "state_patch":
            rev = int(last_id.partition("-")[2])
            assert rev == self.rev + 1, f"patch {rev} after {self.rev}"
            self.state = jsonpatch.JsonPatch(value).apply(self.state)
            self.rev = rev
            self.patches += 1
            self.log.append((last_id, data))
        elif event == "custom_signal":
            self.signals.append(value)
        elif event == "end":
            self.reason = value["reason"]
        else:
            assert event == "ping", event
        self.last_id = last_id

    def connect_once(self):
        last_id = self.last_id
        if self.restless and self.random.random() < 0.1:
            last_id = None
        with Events(self.ringside, self.path, last_id, headers=self.headers) as events:
            self.connects += 1
            if events.status != 200:
                self.ended = events.status
                return
            left = self.random.randrange(1, 2 * self.restless) if self.restless else -1
            for last_id, event, data in events:
                self.apply(last_id, event, data)
                left -= 1
                if left == 0 or self.stopping or self.reason:
                    return

    def run(self):
        try:
            while not self.stopping and self.ended is None and self.reason is None:
                try:
                    self.connect_once()
                except (OSError, http.client.HTTPException):
                    time.sleep(0.05)
        except BaseException as error:  # told to the test
            self.error = error
            raise

    def wait(self, condition, what, seconds=None):
        def look():
            assert self.error is None, self.error
            return condition(self)
        return wait_for(look, what, seconds)

    def stop(self):
        self.stopping = True
        assert self.error is None, self.error
