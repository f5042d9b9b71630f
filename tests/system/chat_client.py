"""A client of /api/chat/events as its wire has it: an EventSource that goes on from its last id by itself, requests beside it,
and a cursor in each session that it watches. It notes whatever must not be: an event of a session that it has not stated, one
that was lost before it, one that came twice."""

import collections
import http.client
import json
import socket
import threading
import time
import uuid

JSON = {"content-type": "application/json"}


def new_cid():
    return f"cid-{uuid.uuid4()}"


TRACE_MAX = 400  # of what it did and heard, for whoever looks why something went wrong


class Over(Exception):
    """The server said that this stream is not to come back."""


class ChatClient(threading.Thread):
    """`address` is called for (host, port) at each connect. What is heard is in `heard`, in order; faults in `faults`."""

    def __init__(self, address, cid=None, headers=None, retry=0.02, follow=True, patience=30, was=None):
        super().__init__(daemon=True)
        self.address, self.headers, self.retry, self.patience = address, headers or {}, retry, patience
        self.asked = cid or new_cid()
        self.cid = self.asked
        self.lock = threading.RLock()
        self.cursors = {}  # session: behind the last event that was taken
        self.leaving = set()  # not wanted any more, and may still come until it is said that it is not watched
        self.heard, self.faults, self.welcomes, self.over = [], [], [], None
        self.last_id = None
        if was is not None:  # the same page, as it goes on: what it has, and where it stands
            self.cursors, self.last_id = dict(was.cursors), was.last_id
        self.stopping, self.socket, self.reloads = False, None, False
        self.events = 0
        self.unsettled = False  # the stream may have begun elsewhere than this client stands
        self.differed = 0  # how often it has
        self.generation = None
        self.evidence = None  # the trace of the first fault
        self.trace = collections.deque(maxlen=TRACE_MAX)
        if follow:
            self.start()

    def note(self, *what):
        self.trace.append((round(time.monotonic(), 4), self.generation, *what))

    def fault(self, text):
        self.note("fault", text)
        self.evidence = self.evidence or list(self.trace)
        self.faults.append(text)

    # ---- the stream ----

    def run(self):
        while not self.stopping and self.over is None:
            try:
                self.follow()
            except Over as why:
                self.over = why.args[0]
            except (OSError, http.client.HTTPException, ValueError):
                pass
            if not self.stopping:
                time.sleep(self.retry)

    def connect(self):
        connection = http.client.HTTPConnection(*self.address(), timeout=self.patience)
        connection.connect()
        return connection

    def follow(self):
        connection = self.connect()
        headers = {"accept": "text/event-stream", **self.headers}
        with self.lock:
            if self.reloads:
                self.last_id, self.reloads = None, False
            if self.last_id is not None:
                headers["last-event-id"] = self.last_id
            self.note("GET", connection.sock.getsockname()[1], self.last_id)
        self.socket = connection.sock
        connection.request("GET", f"/api/chat/events?cid={self.asked}", headers=headers)
        answer = connection.getresponse()
        self.note("GET answered", answer.status)
        if answer.status == 503:
            return
        if answer.status != 200:
            raise Over((answer.status, answer.read().decode()))
        try:
            self.parse(answer)
            self.note("end")
        finally:
            connection.close()

    def parse(self, answer):
        name, data, last_id = "", [], self.last_id
        while not self.stopping:
            line = answer.readline()
            if not line:
                return
            line = line.rstrip(b"\n").decode()
            field, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if line == "":
                with self.lock:
                    self.last_id = last_id
                    if data:
                        self.take(name, json.loads("\n".join(data)))
                name, data = "", []
            elif field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id":
                last_id = value

    def take(self, name, event):
        self.heard.append(event)
        self.note("heard", self.last_id, {k: event[k] for k in event if k not in ("value", "headers", "v")})
        kind, session = event["type"], event.get("sessionId")
        if name == "welcome":
            self.cid, self.generation = event["connectionId"], event["generation"]
            for one in event["sessions"]:
                if self.cursors.get(one["sessionId"]) == one["lastSeq"]:
                    self.leaving.discard(one["sessionId"])
            self.welcomes.append(event)
            self.begin({one["sessionId"]: one["lastSeq"] for one in event["sessions"]})
        elif kind == "reconnected":
            self.unsettled = False
        elif kind in ("watched", "unwatched"):
            if (kind == "watched") == (session in self.cursors):
                self.leaving.discard(session)
        elif kind == "session_reset" and "seq" in event and session in self.cursors:
            self.cursors[session] = event["seq"]
        elif "seq" in event and "prevSessionSeq" in event:
            self.take_event(session, event)

    def begin(self, sessions):
        """What the stream has to begin with is not what this client has: it states that, and until that is heard of, what it
        has is not said again, and what lies behind a gap comes once more."""
        self.unsettled = sessions != self.cursors
        if self.unsettled:
            self.differed += 1
            self.state({"x-connection-generation": str(self.generation)})

    def take_event(self, session, event):
        if session in self.leaving:
            return
        if self.unsettled and event["prevSessionSeq"] != self.cursors.get(session):
            return
        if session not in self.cursors:
            self.fault(f"never stated: {event}")
        elif event["prevSessionSeq"] != self.cursors[session]:
            self.fault(f"expected behind {self.cursors[session]}: {event}")
        else:
            self.events += 1
        self.cursors[session] = event["seq"]

    # ---- beside it ----

    def post(self, name, body, headers=None, patience=10):
        """(status, JSON); repeated until it is answered."""
        end = time.monotonic() + patience
        while True:
            try:
                connection = self.connect()
                try:
                    self.note("POST", connection.sock.getsockname()[1], name, body)
                    connection.request("POST", f"/api/chat/{name}", json.dumps(body),
                                       {**JSON, "x-connection-id": self.cid, **self.headers, **(headers or {})})
                    answer = connection.getresponse()
                    text = answer.read()
                finally:
                    connection.close()
                self.note("POST answered", name, answer.status, text.decode())
                if answer.status < 500 or time.monotonic() > end:
                    return answer.status, json.loads(text) if text else None
            except (OSError, http.client.HTTPException):
                if time.monotonic() > end:
                    raise
            time.sleep(0.02)

    def watch(self, session, last=None):
        body = {"sessionId": session, **({} if last is None else {"lastSeq": last})}
        with self.lock:
            status, answer = self.post("watch", body)
            if status == 200:
                self.cursors.setdefault(session, answer["seq"])
        return status, answer

    def unwatch(self, session):
        with self.lock:
            self.leaving.add(session)
            self.cursors.pop(session, None)
            return self.post("unwatch", {"sessionId": session})

    def state(self, headers=None):
        """All that is watched, as a client does behind each welcome that does not say the same."""
        with self.lock:
            sessions = [{"sessionId": s, "lastSeq": n} for s, n in self.cursors.items()]
            return self.post("reconnect", {"sessions": sessions}, headers)

    def send(self, session, prompt, message=None):
        return self.post("send", {"type": "send", "sessionId": session, "prompt": prompt,
                                  "clientMsgId": message or str(uuid.uuid4())})

    def types(self):
        with self.lock:
            return [e["type"] for e in self.heard]

    def of(self, kind):
        with self.lock:
            return [e for e in self.heard if e["type"] == kind]

    def reload(self):
        """A page that is loaded anew: a stream without a position, behind which it states what it had."""
        with self.lock:
            cursors, self.cursors, self.reloads = self.cursors, {}, True
            self.leaving |= set(cursors)
            before = len(self.welcomes)
        self.cut()
        # One that was on its way back by its last id is not the page that is loaded: that begins without.
        while not any(not w["resumed"] for w in self.welcomes[before:]) and self.over is None:
            if self.reloads and len(self.welcomes) > before:
                self.cut()
            time.sleep(0.005)
        with self.lock:
            self.cursors = cursors
            self.leaving -= set(cursors)
            return self.state()

    def cut(self):
        """As a network does it."""
        self.note("cut")
        try:
            if self.socket is not None:
                self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def stop(self):
        self.stopping = True
        self.cut()
        if self.is_alive():
            self.join(10)
        return self
