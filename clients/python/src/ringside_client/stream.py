"""One stream: made, written, read and followed; and the producer whose appends count once."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Optional, Union

from .errors import Closed, Fenced, Refused, Unanswered
from .events import EventSource
from .server import REPEATABLE, Answer, Server, refusal, retry_after, stream_path

START = "-1"
NOW = "now"


@dataclass(frozen=True)
class Piece:
    """What one answer had of a stream. `offset` is behind it: whoever has done with the piece keeps that, and goes on
    from it. `closed`: nothing will ever come behind it."""

    data: bytes
    offset: str
    up_to_date: bool
    closed: bool
    content_type: str

    @property
    def is_json(self) -> bool:
        """Whether it is of a stream of JSON messages."""
        return media_type(self.content_type) == "application/json"

    def messages(self) -> list[Any]:
        """Those of a JSON stream."""
        return list(json.loads(self.data)) if self.data else []

    def text(self) -> str:
        """The bytes as text. A character may be cut at the end of a piece: of text that is appended in parts of
        characters, join the bytes first."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True)
class Head:
    """What is known of a stream without reading it. `offset` is its tail."""

    offset: str
    content_type: str
    closed: bool
    headers: Mapping[str, str]


def media_type(content_type: str) -> str:
    """Without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def to_bytes(data: Union[bytes, str]) -> bytes:
    """Text as UTF-8."""
    return data.encode() if isinstance(data, str) else data


class Stream:
    """A stream of `server`, by its name (`feeds/arena/frames`) or its whole path."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.path = stream_path(name)

    def create(self, content_type: Optional[str] = None, data: Union[bytes, str, None] = None, *,
               ttl: Optional[int] = None, expires_at: Optional[str] = None, closed: bool = False,
               fork_of: Optional[str] = None, fork_offset: Optional[str] = None,
               exist_ok: bool = True) -> Head:
        """Makes it, with `data` as its beginning; `ttl` in seconds, `expires_at` as RFC 3339. One that is there with
        the same configuration is fine, unless `exist_ok` is False; with another: Refused, 409. As a request whose
        answer was lost is repeated, `exist_ok=False` may refuse what this very call has made."""
        headers: dict[str, str] = {}
        for name, value in (("content-type", content_type), ("stream-ttl", ttl), ("stream-expires-at", expires_at),
                            ("stream-closed", "true" if closed else None),
                            ("stream-forked-from", stream_path(fork_of) if fork_of is not None else None),
                            ("stream-fork-offset", fork_offset)):
            if value is not None:
                headers[name] = str(value)
        answer = self.server.request("PUT", self.path, to_bytes(data) if data is not None else None, headers)
        if answer.status not in (200, 201):
            raise refusal(answer)
        if answer.status == 200 and not exist_ok:
            raise Refused(409, "it is there already", answer.headers)
        return _head(answer)

    def head(self) -> Head:
        """Its tail, content type, whether it is closed. Refused where there is none."""
        answer = self.server.request("HEAD", self.path)
        if answer.status != 200:
            raise refusal(answer)
        return _head(answer)

    def delete(self) -> bool:
        """Whether there was something to delete. A repeat of a lost answer finds nothing: False then."""
        answer = self.server.request("DELETE", self.path)
        if answer.status in (404, 410):
            return False
        if not 200 <= answer.status < 300:
            raise refusal(answer)
        return True

    def append(self, data: Union[bytes, str], content_type: str = "application/octet-stream", *,
               close: bool = False) -> str:
        """Appends once, without a number, and gives the offset behind it. Unanswered where no answer came: whoever
        repeats it then may append twice. `producer` is for those who must not."""
        headers = {"content-type": content_type, **({"stream-closed": "true"} if close else {})}
        try:
            answer = self.server.once("POST", self.path, to_bytes(data), headers)
        except ConnectionRefusedError as error:
            raise Refused(503, str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered(f"POST {self.path}: {error!r}") from error
        if answer.status not in (200, 204):
            raise refusal(answer)
        return answer.headers.get("stream-next-offset", "")

    def close(self) -> None:
        """Closes it; again is fine."""
        answer = self.server.request("POST", self.path, None, {"stream-closed": "true"})
        if answer.status not in (200, 204):
            raise refusal(answer)

    def producer(self, producer_id: str, **options: Any) -> "Producer":
        """A writer of it whose appends count exactly once: see `Producer`."""
        return Producer(self, producer_id, **options)

    def read(self, offset: str = START) -> Iterator[Piece]:
        """What is there behind `offset`, page by page, until the tail."""
        while True:
            answer = self.server.request("GET", f"{self.path}?offset={urllib.parse.quote(offset)}")
            if answer.status != 200:
                raise refusal(answer)
            piece = _piece(answer, offset)
            if piece.data or piece.up_to_date:
                yield piece
            if piece.up_to_date:
                return
            offset = piece.offset

    def messages(self, offset: str = START) -> list[Any]:
        """All there are in a JSON stream behind `offset`."""
        return [message for piece in self.read(offset) for message in piece.messages()]

    def follow(self, offset: str = START, *, live: str = "sse", **options: Any) -> "Union[Reader, PollReader]":
        """What is behind `offset` and whatever comes: see `Reader` (`live="sse"`) and `PollReader`
        (`live="long-poll"`)."""
        if live == "sse":
            return Reader(self, offset, **options)
        if live == "long-poll":
            return PollReader(self, offset, **options)
        raise ValueError(f"live is sse or long-poll, not {live}")


def _head(answer: Answer) -> Head:
    return Head(answer.headers.get("stream-next-offset", ""), answer.headers.get("content-type", ""),
                answer.headers.get("stream-closed", "").lower() == "true", answer.headers)


def _piece(answer: Answer, offset: str) -> Piece:
    return Piece(answer.body, answer.headers.get("stream-next-offset", offset),
                 "stream-up-to-date" in answer.headers, "stream-closed" in answer.headers,
                 answer.headers.get("content-type", ""))


class PollReader:
    """Follows a stream by catch-up and long-poll over every disconnect: an iterator of `Piece`, each byte once and in
    order, until the stream is closed and read. An answer counts whole or not at all.

    `offset` is where the next answer will go on: behind the piece that was given last. `poll` is the seconds after which
    a request without answer counts as lost: more than the server's `http.long_poll_timeout`. Raises Refused for
    what is no use to repeat: 404 gone, 410 trimmed, 401, 403.
    """

    def __init__(self, stream: Stream, offset: str = START, *, poll: float = 75.0) -> None:
        self.stream = stream
        self.offset = offset
        self.connects = 0
        self._poll = poll
        self._live = False
        self._over = False
        self._closed = threading.Event()
        self._connection: Optional[http.client.HTTPConnection] = None
        self._root = ""
        self._failures = 0

    def __enter__(self) -> "PollReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> "PollReader":
        return self

    def __next__(self) -> Piece:
        while not self._over and not self._closed.is_set():
            try:
                answer = self._get()
            except (OSError, http.client.HTTPException):
                if not self._closed.is_set():
                    self._drop(0.0)
                continue
            if answer.status in REPEATABLE:
                self._drop(retry_after(answer.headers))
                continue
            if answer.status not in (200, 204):
                self._end()
                raise refusal(answer)
            self._failures = 0
            piece = _piece(answer, self.offset)
            self.offset = piece.offset
            self._live = piece.up_to_date
            self._over = piece.closed
            if (piece.data and not (piece.is_json and piece.data.strip() == b"[]")) or piece.closed:
                return piece
        self._end()
        raise StopIteration

    def _get(self) -> Answer:
        server = self.stream.server
        if self._connection is None:
            self._connection, self._root = server.connect(self._poll)
            self.connects += 1
        live = "&live=long-poll" if self._live or self.offset == NOW else ""
        self._connection.request("GET", f"{self._root}{self.stream.path}?offset={urllib.parse.quote(self.offset)}{live}",
                                 headers=server.headers())
        answer = self._connection.getresponse()
        body = answer.read()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)

    def _drop(self, pause: float) -> None:
        self._end()
        self._failures += 1
        self._closed.wait(max(pause, self.stream.server.backoff.delay(self._failures)))

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def cut(self) -> None:
        """Breaks the connection as a network does it: the next one resumes. Any thread may call it."""
        connection = self._connection
        sock = connection.sock if connection is not None else None
        if sock is not None:
            try:
                sock.shutdown(2)
            except OSError:
                pass

    def close(self) -> None:
        """The end: whoever iterates stops. Any thread may call it."""
        self._closed.set()
        self.cut()


class Reader:
    """The same by Server-Sent Events: less delay, one connection that lasts. Data counts only with the offset that
    follows it. Of text CR and CRLF arrive as LF, as that format has it; `PollReader` gives each byte as it is.
    """

    def __init__(self, stream: Stream, offset: str = START, *, silence: float = 45.0,
                 retry: Optional[float] = None) -> None:
        self.stream = stream
        self.offset = offset
        self._received = offset
        self._cursor = ""
        self._type: Optional[str] = None
        self._base64 = False
        self._source = EventSource(stream.server, self._target, retry=retry, silence=silence)
        self._data: Optional[str] = None
        self._ready: list[Piece] = []
        self._over = False

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connects(self) -> int:
        """How many connections there were."""
        return self._source.connects

    def _target(self) -> str:
        if self._type is None:
            head = self.stream.head()
            self._type = head.content_type
            kind = media_type(head.content_type)
            self._base64 = not (kind.startswith("text/") or kind == "application/json")
        self._data = None  # without its offset it does not count
        cursor = f"&cursor={urllib.parse.quote(self._cursor)}" if self._cursor else ""
        return f"{self.stream.path}?offset={urllib.parse.quote(self._received)}&live=sse{cursor}"

    def __iter__(self) -> "Reader":
        return self

    def __next__(self) -> Piece:
        while not self._ready and not self._over:
            events = self._source.more()
            if events is None:
                break
            for event in events:
                if event.name == "data":
                    self._data = event.data if self._data is None else self._data + event.data
                elif event.name == "control":
                    self._control(json.loads(event.data))
        if self._ready:
            piece = self._ready.pop(0)
            self.offset = piece.offset
            return piece
        self._source.close()
        raise StopIteration

    def _control(self, control: Mapping[str, Any]) -> None:
        self._received = control["streamNextOffset"]
        self._cursor = control.get("streamCursor", "")
        closed = bool(control.get("streamClosed"))
        data, self._data = self._data, None
        if data is not None or closed:
            text = data if data is not None else ""
            raw = base64.b64decode("".join(text.split())) if self._base64 else text.encode()
            self._ready.append(Piece(raw, self._received, bool(control.get("upToDate")), closed, self._type or ""))
        else:
            self.offset = self._received if not self._ready else self.offset
        self._over = self._over or closed

    def cut(self) -> None:
        """Breaks the connection as a network does it: the next one resumes. Any thread may call it."""
        self._source.cut()

    def close(self) -> None:
        """The end: whoever iterates stops. Any thread may call it."""
        self._source.close()


class Producer:
    """Writes a stream so that every append counts exactly once: each has the next number, and is repeated as it is until
    it is answered, over any disconnect and restart.

    A producer id belongs to one writer at a time. Without `epoch` it is the time, or the next where a higher one has
    written: whoever wrote by this id before is fenced off, and its next append raises Fenced. With a given epoch the
    first number is `seq`.

    An append that raised Unanswered (or was interrupted) is not forgotten: the next call settles it before its own. May be
    used by several threads, whose appends take turns.
    """

    def __init__(self, stream: Stream, producer_id: str, *, epoch: Optional[int] = None, seq: int = 0,
                 content_type: Optional[str] = None, patience: Optional[float] = None) -> None:
        self.stream = stream
        self.id = producer_id
        self.epoch = time.time_ns() // 1_000_000 if epoch is None else epoch
        self.seq = seq  # of the next append
        self.repeats = 0
        self._claims = epoch is None
        self._content_type = content_type
        self._patience = patience
        self._pending: Optional[tuple[Optional[bytes], dict[str, str]]] = None
        self._lock = threading.RLock()

    def append(self, data: Union[bytes, str], *, close: bool = False) -> str:
        """Durable when it returns: the offset behind it (behind all there is, where it had been stored before)."""
        with self._lock:
            self._settle()
            if self._content_type is None:
                self._content_type = self.stream.head().content_type
            self._pending = (to_bytes(data), {"content-type": self._content_type,
                                              **({"stream-closed": "true"} if close else {})})
            return self._settle()

    def append_json(self, *values: Any) -> str:
        """Each value a message of its own, all of them at once."""
        return self.append(json.dumps(list(values)))

    def close(self) -> None:
        """Closes the stream behind what was appended."""
        with self._lock:
            self._settle()
            self._pending = (None, {"stream-closed": "true"})
            self._settle()

    def settle(self) -> None:
        """Sees an append through that had no answer; nothing where there is none."""
        with self._lock:
            self._settle()

    def _settle(self) -> str:
        while self._pending is not None:
            body, headers = self._pending
            try:
                answer = self.stream.server.request("POST", self.stream.path, body, {
                    **headers, "producer-id": self.id, "producer-epoch": str(self.epoch),
                    "producer-seq": str(self.seq)}, patience=self._patience, on_repeat=self._count)
            except Refused:
                self._pending = None
                raise
            if answer.status == 403 and "producer-epoch" in answer.headers:
                present = int(answer.headers["producer-epoch"])
                if self._claims:
                    self.epoch, self.seq = present + 1, 0
                    continue
                self._pending = None
                raise Fenced(403, f"epoch {self.epoch} is over: {self.id} writes with {present}", answer.headers)
            self._pending = None
            if answer.status not in (200, 204):
                if answer.status == 409 and "stream-closed" in answer.headers:
                    raise Closed(409, answer.text().strip() or "the stream is closed", answer.headers)
                raise refusal(answer)
            self._claims = False
            self.seq += 1
            return answer.headers.get("stream-next-offset", "")
        return ""

    def _count(self) -> None:
        self.repeats += 1
