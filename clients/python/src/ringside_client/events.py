"""Server-Sent Events as their standard has them (WHATWG HTML 9.2): the parser, and an EventSource that comes back."""

from __future__ import annotations

import http.client
import socket
import threading
from dataclasses import dataclass
from typing import Callable, Mapping, Optional, Union

from .errors import Refused, RingsideError
from .server import REPEATABLE, Server, retry_after


@dataclass(frozen=True)
class Event:
    """One event: its name (`message` where it has none), its data, and the last id there was by then."""

    name: str
    data: str
    id: Optional[str]


class EventParser:
    """Bytes in, events out. What is not ended by an empty line when a connection breaks is none, and is dropped with
    the parser. `limit` is the most bytes that one event may have: RingsideError beyond it."""

    def __init__(self, last_id: Optional[str] = None, limit: int = 64 << 20) -> None:
        self.last_id = last_id
        self.retry: Optional[float] = None  # seconds, where the server has said so
        self._limit = limit
        self._rest: list[bytes] = []  # a line that has not ended
        self._size = 0  # of the event that has not ended
        self._begun = False
        self._after_cr = False
        self._name = ""
        self._data: list[str] = []
        self._id = last_id  # of the event that has not ended: it counts when that has

    def feed(self, data: bytes) -> list[Event]:
        """The events that end in it, in order. An event without data is none, but its id counts."""
        if self._after_cr and data:
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        # Lines end in CRLF, LF or CR; a CR that ends the data may have its LF in the next.
        if data.endswith(b"\r"):
            self._after_cr = True
        self._size += len(data)
        if self._size > self._limit:
            raise RingsideError(f"an event of more than {self._limit} bytes")
        self._rest.append(data)
        if b"\n" not in data and b"\r" not in data:
            return []
        lines = b"".join(self._rest).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = [lines.pop()]
        events = []
        for line in lines:
            event = self._line(line)
            if event is not None:
                events.append(event)
        return events

    def _line(self, raw: bytes) -> Optional[Event]:
        if not self._begun:
            self._begun = True
            raw = raw[3:] if raw.startswith(b"\xef\xbb\xbf") else raw
        if not raw:
            event = None
            self.last_id = self._id
            if self._data:
                event = Event(self._name or "message", "\n".join(self._data), self.last_id)
            self._name, self._data, self._size = "", [], 0
            return event
        field, _, value = raw.decode("utf-8", "replace").partition(":")
        value = value[1:] if value.startswith(" ") else value
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and value.isascii() and value.isdigit() and len(value) < 10:
            self.retry = int(value) / 1000
        return None


class EventSource:
    """Follows a path of events over every disconnect, with the last id it was given.

    Iterate over it, or call `more` yourself. `target` and `headers` may be functions, asked before each connection.
    `retry` beats what the server says of the pause between connections, `silence` is the seconds without a byte after
    which a connection counts as broken: more than the server's `http.sse_keepalive`. Statuses of `repeat` (None: 429 and
    what servers say that are busy) are waited out; any other but 200 is the end: 204 quietly, the others as Refused. `close` may be called by another thread.
    """

    def __init__(self, server: Server, target: Union[str, Callable[[], str]], *, last_id: Optional[str] = None,
                 headers: Union[Mapping[str, str], Callable[[], Mapping[str, str]], None] = None,
                 retry: Optional[float] = None, silence: float = 45.0,
                 repeat: Optional[frozenset[int]] = None) -> None:
        self.server = server
        self.last_id = last_id
        self.connects = 0
        self.server_retry: Optional[float] = None
        self._target = target
        self._headers = headers
        self._retry = retry
        self._silence = silence
        self._repeat = REPEATABLE if repeat is None else repeat
        self._closed = threading.Event()
        self._over = False
        self._failures = 0
        self._connection: Optional[http.client.HTTPConnection] = None
        self._socket: Optional[socket.socket] = None
        self._answer: Optional[http.client.HTTPResponse] = None
        self._waiting: list[Event] = []
        self._parser = EventParser()

    def __enter__(self) -> "EventSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> "EventSource":
        return self

    def __next__(self) -> Event:
        while not self._waiting:
            events = self.more()
            if events is None:
                raise StopIteration
            self._waiting = events
        return self._waiting.pop(0)

    def more(self) -> Optional[list[Event]]:
        """Waits for what comes next: at least one event, or None when it is over or was closed. What it gives counts as
        received: the next connection goes on behind it."""
        while not self._over and not self._closed.is_set():
            try:
                if self._answer is None and not self._open():
                    continue
                assert self._answer is not None
                data = self._answer.read1(1 << 16)
                if not data:
                    self._drop(failed=False)
                    continue
                events = self._parser.feed(data)
            except (OSError, http.client.HTTPException):
                if not self._closed.is_set():
                    self._drop(failed=True)
                continue
            self.server_retry = self._parser.retry if self._parser.retry is not None else self.server_retry
            self.last_id = self._parser.last_id
            if events:
                self._failures = 0
                return events
        self._end()
        return None

    def _open(self) -> bool:
        """False: there is no answer yet, or there will be none."""
        connection, root = self.server.connect(self._silence)
        target = self._target if isinstance(self._target, str) else self._target()
        more = self._headers() if callable(self._headers) else self._headers
        headers = {"accept": "text/event-stream", **self.server.headers(), **(more or {})}
        if self.last_id is not None:
            headers["last-event-id"] = self.last_id
        self._connection = connection
        connection.request("GET", root + target, headers=headers)
        self._socket = connection.sock
        answer = connection.getresponse()
        if answer.status == 200 and (answer.headers.get("content-type") or "").startswith("text/event-stream"):
            self.connects += 1
            self._answer = answer
            self._parser = EventParser(self.last_id)
            return True
        body = answer.read(4096).decode("utf-8", "replace").strip()
        if answer.status in self._repeat:
            self._drop(failed=True, pause=retry_after({k.lower(): v for k, v in answer.getheaders()}))
            return False
        self._over = True
        self._end()
        if answer.status != 204:
            raise Refused(answer.status, body, {k.lower(): v for k, v in answer.getheaders()})
        return False

    def _drop(self, failed: bool, pause: float = 0.0) -> None:
        """Gives the connection up and waits for as long as is right before the next."""
        self._end()
        self._failures += failed
        if self._retry is not None:
            pause = self._retry
        elif failed:
            pause = max(pause, self.server.backoff.delay(self._failures))
        else:
            pause = self.server_retry if self.server_retry is not None else self.server.backoff.delay(1)
        self._closed.wait(pause)

    def _end(self) -> None:
        connection, self._connection, self._socket, self._answer = self._connection, None, None, None
        if connection is not None:
            connection.close()

    def cut(self) -> None:
        """Breaks the connection as a network does it: the next one resumes. Any thread may call it."""
        sock = self._socket
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        """The end: whoever iterates stops. Any thread may call it."""
        self._closed.set()
        self.cut()
