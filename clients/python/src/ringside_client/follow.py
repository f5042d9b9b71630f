"""Many streams followed as one, with one position to resume from."""

from __future__ import annotations

import base64
import binascii
import json
import queue
import threading
import urllib.parse
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence, Union

from .errors import Refused, RingsideError
from .events import Event, EventSource
from .server import Server, stream_name, stream_path
from .stream import NOW, START, Piece, PollReader, Stream, media_type

# Names of events that are not a stream's, and two for which an event is called `message` instead.
CONTROLS = frozenset({"streams", "reset", "heartbeat", "expired"})


@dataclass(frozen=True)
class Message:
    """One message. `stream` is its stream's name, as `feeds/arena/frames` (None where the server cannot say it), `data` text, or bytes of a
    stream that is neither text nor JSON, `name` the event's. `position` is behind it, in all streams: keep it once the
    message has been dealt with, and go on from it."""

    stream: Optional[str]
    data: Union[str, bytes]
    position: str
    name: str = "message"

    def json(self) -> Any:
        """Of a JSON stream."""
        return json.loads(self.data)


@dataclass(frozen=True)
class Reset:
    """What comes next of a stream does not follow what came before, and why: `trimmed`, `deleted`, `recreated`,
    `rewound`, `unknown`. Drop what was concluded from it."""

    stream: Optional[str]
    reason: str
    position: str


class Follower:
    """Follows streams by `/v1/events`: an iterator of `Message` and `Reset` over every disconnect, nothing missed and
    nothing twice, until every stream named is closed and delivered.

    `streams` are names, paths or patterns (`duels/*`, `a/**`). Without `position` it begins at `start`: `now` or
    `start`. `name="member:NAME"` names each event after that member of its JSON message, instead of after its stream: then
    `stream` is known only where just one is followed. `position` is behind the message that was given last.
    A token that has ended is asked for anew where it is a function (`Server`); else Refused, 401.
    """

    def __init__(self, server: Server, streams: Sequence[str], *, start: str = "now", position: Optional[str] = None,
                 name: str = "stream", retry: Optional[float] = None, silence: float = 45.0) -> None:
        if not streams:
            raise ValueError("follow at least one stream")
        self.position = position
        self._paths = [stream_path(stream) for stream in streams]
        self._named_after_stream = name == "stream"
        query = [("stream", path) for path in self._paths] + [("from", start), ("event", name)]
        self._source = EventSource(server, "/v1/events?" + urllib.parse.urlencode(query), last_id=position,
                                   retry=retry, silence=silence)
        self._base64: dict[str, bool] = {}
        self._ready: list[tuple[Optional[str], Union[Message, Reset, None]]] = []

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connects(self) -> int:
        """How many connections there were."""
        return self._source.connects

    def __iter__(self) -> "Follower":
        return self

    def __next__(self) -> Union[Message, Reset]:
        while True:
            while self._ready:
                position, item = self._ready.pop(0)
                self.position = position
                if item is not None:
                    return item
            events = self._source.more()
            if events is None:
                raise StopIteration
            self._ready = [(event.id, self._item(event)) for event in events]

    def _item(self, event: Event) -> Union[Message, Reset, None]:
        position = event.id or ""
        if event.name == "streams":
            for row in json.loads(event.data):
                self._base64[row["stream"]] = row["encoding"] == "base64"
            return None
        if event.name == "reset":
            reset = json.loads(event.data)
            return Reset(reset.get("stream"), reset["reason"], position)
        if event.name in CONTROLS:
            return None
        stream = self._stream_of(event)
        encoded = stream is not None and self._base64.get(stream, False)
        data: Union[str, bytes] = event.data
        if encoded:
            try:
                data = base64.b64decode("".join(event.data.split()), validate=True)
            except binascii.Error:
                data = event.data
        return Message(stream, data, position, event.name)

    def _stream_of(self, event: Event) -> Optional[str]:
        if self._named_after_stream and event.name in self._base64:
            return event.name
        return next(iter(self._base64)) if len(self._base64) == 1 else None

    def cut(self) -> None:
        """Breaks the connection as a network does it: the next one resumes. Any thread may call it."""
        self._source.cut()

    def close(self) -> None:
        """The end: whoever iterates stops. Any thread may call it."""
        self._source.close()


class PollFollower:
    """The same by long-polls, one connection and one thread for each stream: for networks that let no event stream
    through. Streams by name only, no patterns; of a stream that is not JSON a message is what one answer had.

    `position` is a text of its own: what `Follower` gives is another. A message's position says how many messages behind
    which offset of each stream have been given, so nothing comes twice whatever the answers are cut into.
    """

    def __init__(self, server: Server, streams: Sequence[str], *, start: str = "now",
                 position: Optional[str] = None, poll: float = 75.0) -> None:
        paths = [stream_name(stream_path(stream)) for stream in streams]
        if not paths or any("*" in path for path in paths):
            raise ValueError("streams are followed by long-poll by their names, at least one")
        if start not in ("now", "start"):
            raise ValueError(f"start is now or start, not {start}")
        begin = NOW if start == "now" else START
        places: Mapping[str, Any] = json.loads(position) if position else {}
        self._places: dict[str, tuple[str, int]] = {
            path: (str(places[path][0]), int(places[path][1])) if path in places else (begin, 0) for path in paths}
        self._ready: list[tuple[str, Any, tuple[str, int]]] = []
        self._queue: "queue.Queue[tuple[str, Any]]" = queue.Queue(maxsize=len(paths))
        self._closed = threading.Event()
        self._readers: dict[str, PollReader] = {}
        self._threads: list[threading.Thread] = []
        self._left = len(paths)
        if begin == NOW:
            self._settle_tails(server)
        for path, (offset, skip) in self._places.items():
            reader = PollReader(Stream(server, path), offset, poll=poll)
            self._readers[path] = reader
            thread = threading.Thread(target=self._run, args=(path, reader, skip), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _settle_tails(self, server: Server) -> None:
        """`now` is when this was made, not when the first answer comes."""
        for path, (offset, skip) in self._places.items():
            if offset == NOW:
                self._places[path] = (Stream(server, path).head().offset, skip)

    def __enter__(self) -> "PollFollower":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def position(self) -> str:
        """Behind the message that was given last."""
        return json.dumps({path: list(place) for path, place in self._places.items()}, separators=(",", ":"))

    @property
    def connects(self) -> int:
        """How many connections there were."""
        return sum(reader.connects for reader in self._readers.values())

    def __iter__(self) -> "PollFollower":
        return self

    def __next__(self) -> Union[Message, Reset]:
        while not self._closed.is_set():
            while self._ready:
                path, data, place = self._ready.pop(0)
                self._places[path] = place
                if isinstance(data, tuple):
                    return Reset(path, data[0], self.position)
                if data is not None:
                    return Message(path, data, self.position, path)
            if self._left == 0:
                break
            path, found = self._queue.get()
            if found is None:
                self._left -= 1
            elif isinstance(found, BaseException):
                self.close()
                raise found
            else:
                self._ready = [(path, data, place) for data, place in found]
        raise StopIteration

    def _put(self, path: str, found: Any) -> None:
        while not self._closed.is_set():
            try:
                self._queue.put((path, found), timeout=0.2)
                return
            except queue.Full:
                continue

    def _run(self, path: str, reader: PollReader, skip: int) -> None:
        """A stream's own thread."""
        try:
            while True:
                before = reader.offset
                try:
                    piece = next(reader, None)
                except Refused as refused:
                    reason = {400: "recreated", 404: "deleted", 410: "trimmed"}.get(refused.status)
                    if reason is None or before == START:
                        raise
                    self._put(path, [((reason,), (START, 0))])
                    if reason == "deleted":
                        break
                    reader.offset, skip = START, 0
                    continue
                if piece is None:
                    break
                items, skip = _items(piece, before, skip)
                self._put(path, items)
        except (RingsideError, ValueError) as error:
            self._put(path, error)
            return
        self._put(path, None)

    def close(self) -> None:
        """The end: whoever iterates stops. Any thread may call it."""
        self._closed.set()
        for reader in self._readers.values():
            reader.close()
        try:
            self._queue.put_nowait(("", None))  # whoever waits looks up
        except queue.Full:
            pass


def _texts(array: str) -> list[str]:
    """The elements of a JSON array as they stand there: numbers keep their digits."""
    decode, at = json.JSONDecoder().raw_decode, array.index("[") + 1
    found: list[str] = []
    while True:
        while array[at] in " \t\r\n,":
            at += 1
        if array[at] == "]":
            return found
        _, end = decode(array, at)
        found.append(array[at:end])
        at = end


def _items(piece: Piece, before: str, skip: int) -> tuple[list[tuple[Any, tuple[str, int]]], int]:
    """Each message with the place behind it, and how many are still to be skipped: the last one's place is the
    piece's own."""
    found: list[Any]
    if not piece.data:
        found = []
    elif piece.is_json:
        found = list(_texts(piece.data.decode()))
    else:
        found = [piece.text() if media_type(piece.content_type).startswith("text/") else piece.data]
    if skip >= len(found):
        return [(None, (piece.offset, skip - len(found)))], skip - len(found)
    return [(data, (before, number) if number < len(found) else (piece.offset, 0))
            for number, data in enumerate(found, 1) if number > skip], 0
