"""Conversations, from both sides: whoever speaks to an agent, and the agent that answers piece by piece."""

from __future__ import annotations

import json
import threading
import urllib.parse
import uuid
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Optional

from .errors import Refused, RingsideError
from .handed import Handed
from .server import Server, refusal
from .stream import START

# An item's answer is named by it, so that another life of the agent goes on with it: by all of its id, where that is no longer
# than this.
WHOLE_ID_MAX = 80


@dataclass(frozen=True)
class Item:
    """Something in a conversation: in its inbox (`type` message, tool-result, approval, answer, stop, reset) or of its
    events (`chunk`, `presence`). `value` is all of it. `place` is behind it: keep it once the item has been dealt with."""

    type: str
    value: Mapping[str, Any]
    place: str

    @property
    def text(self) -> str:
        """What a person said, or what a piece of an answer adds; empty where it is neither."""
        if self.type != "chunk":
            return str(self.value.get("content", ""))
        chunk = json.loads(self.value["value"]["chunk"])
        if chunk.get("type") == "whole-message":
            return "".join(part.get("content", "") for part in chunk["message"]["parts"])
        return str(chunk.get("delta", ""))


class Conversation:
    """The conversation with that id on `server` (docs/conversations.md), as `actor` takes part in it."""

    def __init__(self, server: Server, conversation: str, *, actor: str = "someone") -> None:
        self.server = server
        self.id = conversation
        self.actor = actor
        self._root = "/v1/sessions/" + urllib.parse.quote(conversation, safe="")

    def create(self) -> None:
        """Makes it where it is not there."""
        self.server.ask("PUT", self._root)

    def delete(self) -> None:
        """Deletes it with all that was said; again is fine."""
        answer = self.server.request("DELETE", self._root)
        if answer.status not in (204, 404):
            raise refusal(answer)

    # ---- people ----

    def say(self, content: str, *, message_id: Optional[str] = None, **more: Any) -> str:
        """Says something, once however often it must be repeated, and gives the message's id. Other members go to the
        agent as they are."""
        body = {"content": content, "messageId": message_id or str(uuid.uuid4()), "actorId": self.actor, **more}
        return str(self.server.ask("POST", self._root + "/messages", body)["messageId"])

    def stop(self, message_id: Optional[str] = None) -> None:
        """Ends the answer that is being given. Refused, 409, where `message_id` is not it."""
        self.server.ask("POST", self._root + "/stop", {"messageId": message_id} if message_id else {})

    def lease(self, agent: Optional[str] = None, *, seconds: Optional[float] = None) -> "Lease":
        """Has the conversation to itself, as agent `agent` (`actor`): see `Lease`. Refused, 409, while another agent has it; the
        same agent in another life takes it over."""
        body: "dict[str, Any]" = {"agent": agent or self.actor}
        if seconds is not None:
            body["leaseMs"] = round(seconds * 1000)
        return Lease(self, self.server.ask("POST", self._root + "/lease", body))

    # ---- what there is to see ----

    def events(self, place: str = START, *, live: str = "sse") -> "Items":
        """What happens in it, for whoever watches, from `place` on."""
        return Items(self.server, f"conversations/{self.id}/events", place, live)

    def inbox(self, place: str = START, *, live: str = "sse") -> "Items":
        """What people send, for the agent, from `place` on. An agent keeps the place of what it has answered."""
        return Items(self.server, f"conversations/{self.id}/inbox", place, live)

    # ---- the agent ----

    def reply(self, message_id: Optional[str] = None) -> "Reply":
        """An answer to give piece by piece, as `with conversation.reply() as reply: reply.write("...")`. An agent that was
        interrupted gives the id again and goes on: `Reply.seq` says how far it came."""
        return Reply(self, message_id)


class Items:
    """Follows a conversation's events or inbox: an iterator of `Item`, each once and in order. `place` is behind the one
    that was given last: an offset, and how many messages behind it."""

    def __init__(self, server: Server, stream: str, place: str = START, live: str = "sse") -> None:
        offset, _, skip = place.partition("+")
        self.place = place
        self._skip = int(skip or 0)
        self._reader = server.stream(stream).follow(offset, live=live)
        self._before = offset
        self._ready: list[tuple[Any, str]] = []

    def __enter__(self) -> "Items":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> "Items":
        return self

    def __next__(self) -> Item:
        while not self._ready:
            piece = next(self._reader)
            messages = piece.messages()
            for number, message in enumerate(messages, 1):
                if number > self._skip:
                    last = number == len(messages)
                    self._ready.append((message, piece.offset if last else f"{self._before}+{number}"))
            self._skip = max(0, self._skip - len(messages))
            self._before = piece.offset
        message, self.place = self._ready.pop(0)
        kind = message.get("type") or ("reset" if message.get("headers", {}).get("control") == "reset" else "")
        return Item(str(kind), message, self.place)

    def close(self) -> None:
        """The end: whoever iterates stops. Any thread may call it."""
        self._reader.close()


class Reply:
    """One answer. Its pieces are numbered, so that each counts once however often it must be repeated; one that raised
    Unanswered is settled by the next call. One answer at a time is given in a conversation: Refused, 409, while another is,
    and when this one was stopped (`stopped` is True then). Under a lease a `with` ends there, quietly: its item is dealt with,
    or, where the lease is over, somebody else's."""

    def __init__(self, conversation: Conversation, message_id: Optional[str] = None, *, role: str = "assistant",
                 lease: "Optional[Lease]" = None, item: Optional[Item] = None) -> None:
        self.conversation = conversation
        self._lease, self._item, self._finished = lease, item, False
        self.message_id = message_id or str(uuid.uuid4())
        self.seq = 0  # of the next piece
        self.stopped = False
        self._role = role
        self._pending: Optional[dict[str, Any]] = None
        self._ended: Optional[Refused] = None  # by which it was told so, under a lease
        self._lock = threading.RLock()

    def __enter__(self) -> "Reply":
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException], *_: object) -> bool:
        if kind is None and not self.stopped:
            try:
                self.finish()
            except Refused as refused:
                if refused is not self._ended:
                    raise
        if self._ended is None or error not in (None, self._ended):
            return False
        if self._lease is not None and self._item is not None and not self._lease.lost:
            self._lease._stopped(self._item)  # else it would be given again, and its answer is over
        return True

    def write(self, text: str) -> None:
        """Adds text, durable when it returns."""
        self.piece({"type": "text-delta", "id": self.message_id, "delta": text})

    def piece(self, chunk: Mapping[str, Any]) -> None:
        """Adds a piece of any form, an object: what clients of the conversation understand."""
        with self._lock:
            self._settle()
            self._pending = {"messageId": self.message_id, "actorId": self.conversation.actor, "role": self._role,
                             "chunk": dict(chunk), "seq": self.seq}
            self._settle()

    def finish(self) -> None:
        """The answer is whole. Again is fine. One under a lease says so with a last piece, `{"type": "finish"}`."""
        with self._lock:
            self._settle()
            if self._lease is None:
                self._post("generations/finish", {"messageId": self.message_id})
            elif not self._finished:
                done = {} if self._item is None else {"done": self._item.value["inboxSeq"]}
                self._pending = {"messageId": self.message_id, "actorId": self.conversation.actor, "role": self._role,
                                 "chunk": {"type": "finish"}, "seq": self.seq, "finish": True, **done}
                self._settle()
                self._finished = True

    def said(self) -> str:
        """The text that is there of it already; `seq` is then behind that. For an agent that goes on where it was."""
        pieces = list(self._pieces())
        self.seq = len(pieces)
        return "".join(item.text for item in pieces)

    def _pieces(self) -> Iterator[Item]:
        for value in self.conversation.server.stream(f"conversations/{self.conversation.id}/events").messages():
            if value.get("type") == "chunk" and value["value"]["messageId"] == self.message_id:
                yield Item("chunk", value, "")

    def _settle(self) -> None:
        if self._pending is None:
            return
        try:
            self._post("chunks", self._pending)
        except Refused:
            self._pending = None
            raise
        self._pending = None
        self.seq += 1

    def _post(self, path: str, body: Mapping[str, Any]) -> None:
        conversation = self.conversation
        fence = {} if self._lease is None else {"epoch": self._lease.epoch}
        try:
            conversation.server.ask("POST", f"{conversation._root}/{path}", {**body, **fence})
        except Refused as refused:
            self.stopped = refused.status == 409
            if self._lease is not None and self.stopped:
                self._told(self._lease, refused)
            raise

    def _told(self, lease: "Lease", refused: Refused) -> None:
        if refused.code in ("LEASE_LOST", "GENERATION_MISMATCH"):
            self._ended = refused
        if refused.code == "LEASE_LOST":
            lease._end(True)


class Lease:
    """A conversation that one agent has to itself, until it lets it go or is gone: it is renewed from a thread of its own.
    What is said by `reply` carries its `epoch`; once another agent has the conversation it is Refused, 409, and `lost` is True.

        with lease:
            for item in lease.items():
                if item.type == "message":
                    with lease.reply(item) as reply:     # its end is the item's: nobody is asked to answer it again
                        reply.write("...")
    """

    def __init__(self, conversation: Conversation, granted: Mapping[str, Any], handed: Optional[Handed] = None) -> None:
        self.conversation = conversation
        self._handed = handed  # by the hub: where its items come from; without, they are read
        self.epoch = int(granted["epoch"])
        self.place = str(granted["inbox"])  # behind what was dealt with
        self.lost = False
        self._interrupted = str(granted.get("generation", {}).get("messageId", ""))
        self._done = int(granted["done"])
        self._again = False
        self._over = threading.Event()
        if handed is not None:
            handed.on_lost = lambda: self._end(True)
            if handed.lost:
                self._end(True)
        threading.Thread(target=self._renew, args=(granted["leaseMs"] / 3000,), daemon=True).start()

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def items(self, *, live: bool = False, settle: bool = True) -> Iterator[Item]:
        """What people sent and nobody has dealt with, in its order; with `live` also what they send from now on, until it is
        lost or released. One is dealt with when the next is asked for (not with `settle=False`), or its reply is finished."""
        for item in self._source(live):
            if self.lost or self._over.is_set():
                return
            yield item
            if settle:
                self.done(item)

    def _source(self, live: bool) -> Iterator[Item]:
        if self._handed is not None:
            return self._given(self._handed, live)
        if not live:
            return self._there()
        source = self.conversation.inbox(self.place)
        threading.Thread(target=self._close_when_over, args=(source,), daemon=True).start()
        return source

    def _given(self, handed: Handed, live: bool) -> Iterator[Item]:
        while True:
            message = handed.next(live)
            if message is None:
                return
            yield Item(str(message.get("type", "")), message, "")

    def _close_when_over(self, source: Items) -> None:
        self._over.wait()
        source.close()

    def done(self, item: Item) -> None:
        """It and all before it are dealt with: said when the lease is renewed or released, at once where the hub handed it."""
        self._deal(item, False)

    def _stopped(self, item: Item) -> None:
        self._again = True  # perhaps it was a reset
        self._deal(item, True)

    def _deal(self, item: Item, stopped: bool) -> None:
        seq = int(item.value["inboxSeq"])
        if seq <= self._done:
            return
        self._done = seq
        if self._handed is not None:
            self._handed.done(seq, stopped)

    def reply(self, item: Optional[Item] = None, message_id: Optional[str] = None) -> Reply:
        """An answer; to `item`, where there is one. One that another agent had begun is over when this one begins."""
        if message_id is None and item is not None:
            answered = str(item.value.get("messageId", uuid.uuid4()))
            if len(answered) > WHOLE_ID_MAX:
                answered = f"{answered[:WHOLE_ID_MAX]}~{item.value['inboxSeq']}"
            message_id = "re-" + answered
            if self._interrupted.startswith(message_id):
                message_id += f".{self.epoch}"
        return Reply(self.conversation, message_id, lease=self, item=item)

    def release(self) -> None:
        """Lets it go, with what is dealt with; what is not is for another. Again is fine."""
        if self._over.is_set():
            return
        self._end(False)
        try:
            self._post("release")
        except Refused:
            self.lost = True
        except RingsideError:
            pass  # its time ends it

    def _end(self, lost: bool) -> None:
        self.lost = self.lost or lost
        self._over.set()
        if self._handed is not None:
            self._handed.end(False)

    def _there(self) -> Iterator[Item]:
        stream, seen = self.conversation.server.stream(f"conversations/{self.conversation.id}/inbox"), self._done
        while True:
            piece = next(stream.read(self.place))
            messages = piece.messages()
            # What was said before a reset waits for nobody.
            reset = max((i for i, message in enumerate(messages) if message.get("type") == "reset"), default=0)
            self._again = False
            for message in messages[reset:]:
                if message["inboxSeq"] > seen and not self._again:
                    seen = message["inboxSeq"]
                    yield Item(str(message.get("type", "")), message, "")
            if not self._again:
                self.place = piece.offset
                if not messages:
                    return

    def _post(self, verb: str) -> None:
        path = f"{self.conversation._root}/lease/{verb}"
        self.conversation.server.ask("POST", path, {"epoch": self.epoch, "done": self._done})

    def _renew(self, pause: float) -> None:
        while not self._over.wait(pause):
            try:
                self._post("renew")
            except Refused:
                self._end(True)
            except RingsideError:
                pass  # the next may be answered

