"""Agents and their hub (docs/hub.md): who there is, being one of them, and being talked to through the hub."""

from __future__ import annotations

import json
import os
import queue
import socket
import struct
import threading
import time
from typing import Any, Callable, Iterator, Optional, Sequence, Union

from .conversation import Conversation, Lease
from .errors import Refused, RingsideError, Unanswered
from .handed import Desk, Handed
from .server import Server
from .websocket import WebSocket, WebSocketClosed

OPEN, DATA, CHANNEL_CLOSE, CREDIT = 1, 2, 3, 4
CREDIT_AT_FIRST = 65536
PIECE_MAX = 32768
_TEXT, _BINARY, _CONTINUATION, _FIN = 1, 2, 0, 0x80


class Channel:
    """One dashboard that talks to this agent through the hub. Whole messages, both ways; what is not read is not sent on:
    each side may have so much under way as the other has given credit for."""

    def __init__(self, agent: "Agent", connection: WebSocket, number: int) -> None:
        self._agent = agent
        self._connection = connection
        self._number = number
        self._credit = CREDIT_AT_FIRST
        self._may_send = threading.Condition()
        self._messages: "queue.Queue[tuple[Union[str, bytes, None], int]]" = queue.Queue()
        self._kind, self._parts, self._size = 0, [], 0
        self._over = False

    _parts: list[bytes]

    def __iter__(self) -> "Channel":
        return self

    def __next__(self) -> Union[str, bytes]:
        message = self.receive()
        if message is None:
            raise StopIteration
        return message

    def receive(self) -> Union[str, bytes, None]:
        """The next message of the dashboard; None when it is gone."""
        message, size = self._messages.get()
        if message is None:
            self._messages.put((None, 0))  # for whoever asks again
            return None
        if size > 0:
            self._put(CREDIT, struct.pack(">I", size))
        return message

    def send(self, message: Union[str, bytes]) -> None:
        """A whole message, when there is room for it. WebSocketClosed when the dashboard is gone."""
        data = message.encode() if isinstance(message, str) else message
        opcode = _TEXT if isinstance(message, str) else _BINARY
        for at in range(0, max(len(data), 1), PIECE_MAX):
            piece = data[at:at + PIECE_MAX]
            with self._may_send:
                self._may_send.wait_for(lambda: self._credit > 0 or self._over)
                if self._over:
                    raise WebSocketClosed(1006, "the dashboard is gone")
                self._credit -= len(piece)
            first = (opcode if at == 0 else _CONTINUATION) | (_FIN if at + PIECE_MAX >= len(data) else 0)
            self._put(DATA, bytes([first]) + piece)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Ends it; again is fine."""
        if not self._over:
            self._put(CHANNEL_CLOSE, struct.pack(">H", code) + reason.encode())
        self._end()
        self._agent._forget(self._number)

    def _put(self, kind: int, payload: bytes) -> None:
        if self._over:
            return
        try:
            self._connection.send(struct.pack(">BI", kind, self._number) + payload)
        except OSError:
            self._end()

    def _end(self) -> None:
        with self._may_send:
            self._over = True
            self._may_send.notify_all()
        self._messages.put((None, 0))

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == CREDIT:
            with self._may_send:
                self._credit += struct.unpack(">I", payload[:4])[0]
                self._may_send.notify_all()
        elif kind == DATA and payload:
            if payload[0] & 15 != _CONTINUATION:
                self._kind, self._parts, self._size = payload[0] & 15, [], 0
            self._parts.append(payload[1:])
            self._size += len(payload) - 1
            if payload[0] & _FIN:
                whole = b"".join(self._parts)
                self._messages.put((whole.decode("utf-8", "replace") if self._kind == _TEXT else whole, self._size))
            elif self._size > 0:  # of a message that is larger than all credit, the parts give theirs back
                self._put(CREDIT, struct.pack(">I", len(payload) - 1))
                self._size -= len(payload) - 1


class Agent:
    """Registers an agent at the hub and keeps it registered over every disconnect, from a thread of its own, until it is
    closed: then it is deregistered.

    `serve` is called with each dashboard's `Channel`, in a thread of its own: dashboards come through the registration,
    so nobody need reach this program. Without `serve` they are led to a WebSocket at `machine`:`port`, of the agent's
    own. `error` is what ended it: Refused, or the hub's own words. One that accepts "items" or "sessions" is given
    conversations that wait for an agent: `conversations`.
    """

    def __init__(self, server: Server, agent_id: str, *, machine: Optional[str] = None, port: Optional[int] = None,
                 cwd: Optional[str] = None, serve: Optional[Callable[[Channel], None]] = None,
                 silence: float = 45.0, accepts: Sequence[str] = ()) -> None:
        if port is None and serve is None and not accepts:
            raise ValueError("an agent has a port of its own, serves its dashboards through the hub, or accepts something")
        if isinstance(accepts, str) or not set(accepts) <= {"items", "sessions"}:
            raise ValueError(f"an agent accepts a list of items or sessions, not {accepts!r}")
        self.server = server
        self.id = agent_id
        self.connects = 0
        self.error: Optional[RingsideError] = None
        # The hub lets one agent alone be at a machine and port: an agent without one is at its own name.
        self._node = {"id": agent_id, "machine": machine or (socket.gethostname() if port is not None else f"tunnel.{agent_id}"),
                      "cwd": cwd or os.getcwd(), "port": port if port is not None else 0, "status": "active",
                      "pid": os.getpid(), **({"tunnel": True} if serve is not None else {}), **({"accepts": list(accepts)} if accepts else {})}
        self._serve = serve
        self._accepts = frozenset(accepts)
        self._desk = Desk(agent_id)
        self._asked: dict[str, Handed] = {}  # acknowledgements, by their ids
        self._count = 0
        self._silence = silence
        self._closed = threading.Event()
        self._registered = threading.Event()
        self._connection: Optional[WebSocket] = None
        self._channels: dict[int, Channel] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, patience: Optional[float] = None) -> "Agent":
        """Until it is registered (now, if it was before and is coming back). Raises what ended it, Unanswered where it takes
        longer than `patience` seconds."""
        end = None if patience is None else time.monotonic() + patience
        while not self._registered.wait(0.05):
            if self.error is not None:
                raise self.error
            if end is not None and time.monotonic() > end:
                raise Unanswered(f"{self.id} is not registered within {patience} s")
        return self

    def conversations(self, *, seconds: Optional[float] = None, wait: int = 20) -> "Iterator[Lease]":
        """Conversations that wait for an agent, each with its `Lease`, as long as this one is not closed: for one that accepts
        "items", which it is handed in its socket, or "sessions", which it asks for and reads. `seconds` is how long a lease
        lasts without being renewed. Raises what ended the registration."""
        if not self._accepts:
            raise ValueError("an agent that accepts neither items nor sessions is given no conversations")
        return self._given(seconds) if "items" in self._accepts else self._fetched(seconds, wait)

    def _given(self, seconds: Optional[float]) -> "Iterator[Lease]":
        while not self._closed.is_set():
            if self.error is not None:
                raise self.error
            handed = self._desk.next(0.5)
            if handed is None:
                continue
            granted: Any = handed.granted
            if seconds is not None or time.monotonic() - handed.since > granted["leaseMs"] / 3000:
                try:  # it has lain there, and may be somebody else's
                    body = {"epoch": handed.epoch, **({} if seconds is None else {"leaseMs": round(seconds * 1000)})}
                    granted = self.server.ask("POST", f"/v1/sessions/{handed.session}/lease/renew", body)
                except RingsideError as error:
                    handed.end(True)
                    if isinstance(error, Refused) and error.status not in (404, 409):
                        raise
                    continue
            yield Lease(Conversation(self.server, handed.session, actor=self.id), granted, handed)

    def _fetched(self, seconds: Optional[float], wait: int) -> "Iterator[Lease]":
        body = {"agent": self.id, "wait": wait, **({} if seconds is None else {"leaseMs": round(seconds * 1000)})}
        while not self._closed.is_set():
            try:
                self.wait(1)
                granted = self.server.ask("POST", "/v1/sessions/$next/lease", body, patience=1)
            except Unanswered:
                continue
            except Refused as refused:
                if refused.status not in (409, 429, 503):
                    raise
                self._closed.wait(self.server.backoff.delay(2))  # its registration is under way
                continue
            if granted is not None:
                yield Lease(Conversation(self.server, granted["sessionId"], actor=self.id), granted)

    def close(self) -> None:
        """Deregisters it and ends its channels; again is fine."""
        self._closed.set()
        connection = self._connection
        if connection is not None:
            try:
                self._goodbye(connection)
                self._thread.join(2)
            except OSError:
                pass
            connection.close()
        self._thread.join()

    def _goodbye(self, connection: WebSocket) -> None:
        connection.send(json.dumps({"method": "deregister", "params": {"id": self.id}, "id": "bye"}))

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set() and self.error is None:
            begun = time.monotonic()
            try:
                self._connection = WebSocket(self.server, "/ws", silence=self._silence)
                self.connects += 1
                self._talk(self._connection)
            except Refused as refused:
                if refused.status in (400, 401, 403, 404):
                    self.error = refused
            except (OSError, ValueError, WebSocketClosed):
                pass
            except RingsideError as error:
                self.error = error
            self._leave()
            failures = 1 if time.monotonic() - begun > self._silence else failures + 1
            if self.error is None:
                self._closed.wait(self.server.backoff.delay(failures))

    def _leave(self) -> None:
        self._registered.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        with self._lock:
            channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            channel._end()
        self._asked.clear()
        fresh = self._desk.end()
        if fresh and not self._closed.is_set():
            threading.Thread(target=self._leave_to_others, args=(fresh,), daemon=True).start()

    def _leave_to_others(self, fresh: "list[Handed]") -> None:
        for handed in fresh:
            try:
                self.server.ask("POST", f"/v1/sessions/{handed.session}/lease/release", {"epoch": handed.epoch}, patience=10)
            except RingsideError:
                pass  # its time ends it

    def _acknowledge(self, connection: WebSocket, handed: Handed, seq: int) -> bool:
        with self._lock:
            self._count += 1
            name = f"ack {self._count}"
            self._asked[name] = handed
        try:
            connection.send(json.dumps({"id": name, "method": "ack", "params": {"session": handed.session, "seq": seq}}))
            return True
        except OSError:
            self._asked.pop(name, None)
            return False

    def _talk(self, connection: WebSocket) -> None:
        connection.send(json.dumps({"id": "register", "method": "register", "params": self._node}))
        if self._closed.is_set():  # while this one was made: close() has seen none
            self._goodbye(connection)
        while True:
            message = connection.receive()
            if isinstance(message, bytes):
                self._tunnelled(connection, message)
                continue
            said = json.loads(message)
            if said.get("event") == "session_item":
                self._desk.item(said, lambda handed, seq: self._acknowledge(connection, handed, seq))
            elif said.get("event") == "session_lost":
                self._desk.lost(said["session"])
            if "event" in said:
                continue
            handed = self._asked.pop(str(said.get("id")), None)
            if handed is not None:
                handed.acknowledged(bool(said.get("result", {}).get("pending")))
            if said.get("id") == "register":
                if "error" in said:
                    raise RingsideError(f"{self.id} was not registered: {said['error']}")
                self._registered.set()
            elif said.get("id") == "bye":
                return

    def _tunnelled(self, connection: WebSocket, message: bytes) -> None:
        kind, number = struct.unpack(">BI", message[:5])
        with self._lock:
            if kind == OPEN and self._serve is not None:
                channel = self._channels[number] = Channel(self, connection, number)
                threading.Thread(target=self._one, args=(channel,), daemon=True).start()
                return
            known = self._channels.get(number)
        if known is None:
            return
        if kind == CHANNEL_CLOSE:
            known._end()
            self._forget(number)
        else:
            known._take(kind, message[5:])

    def _one(self, channel: Channel) -> None:
        assert self._serve is not None
        try:
            self._serve(channel)
        except WebSocketClosed:
            pass  # it went while it was spoken to
        finally:
            channel.close()

    def _forget(self, number: int) -> None:
        with self._lock:
            self._channels.pop(number, None)


class Roster:
    """Who there is at the hub: an iterator of its events (`init`, `node_joined`, `node_offline`, `node_removed`) over every
    disconnect, and `nodes`, who there is by the event that was given last, by id. After a disconnect an `init` comes
    again where what was missed is no longer to be had."""

    def __init__(self, server: Server, *, silence: float = 45.0) -> None:
        self.server = server
        self.nodes: dict[str, Any] = {}
        self.seq: Optional[int] = None
        self._silence = silence
        self._closed = threading.Event()
        self._connection: Optional[WebSocket] = None
        self._failures = 0

    def __enter__(self) -> "Roster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> "Roster":
        return self

    def __next__(self) -> Any:
        while not self._closed.is_set():
            try:
                if self._connection is None:
                    resume = "" if self.seq is None else f"={self.seq}"
                    self._connection = WebSocket(self.server, f"/ws?resume{resume}", silence=self._silence)
                message = self._connection.receive()
            except Refused as refused:
                if refused.status < 500 and refused.status != 429:
                    raise
                self._drop()
                continue
            except (OSError, WebSocketClosed):
                self._drop()
                continue
            event = json.loads(message)
            if "event" in event:
                self._failures = 0
                self._take(event)
                return event
        raise StopIteration

    def _take(self, event: Any) -> None:
        self.seq = event.get("seq", self.seq)
        if event["event"] == "init":
            self.nodes = {node["id"]: node for node in event["nodes"]}
        elif event["event"] == "node_joined":
            self.nodes[event["node"]["id"]] = event["node"]
        elif event["event"] == "node_removed":
            self.nodes.pop(event["id"], None)
        elif event["event"] == "node_offline" and event["id"] in self.nodes:
            self.nodes[event["id"]] = {**self.nodes[event["id"]], "status": "offline"}

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._failures += 1
        self._closed.wait(self.server.backoff.delay(self._failures))

    def close(self) -> None:
        """The end: whoever iterates stops. Any thread may call it."""
        self._closed.set()
        connection = self._connection
        if connection is not None:
            connection.close()
