"""Conversations that the hub hands to an agent in its socket (docs/hub.md)."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Mapping, Optional

# What comes next may have no room while other conversations lie there: then this one is let go, and they come first.
MORE = 1.0


class Handed:
    """What was handed of one conversation, under one lease."""

    def __init__(self, agent: str, event: Mapping[str, Any], acknowledge: "Callable[[Handed, int], bool]") -> None:
        self.session = str(event["session"])
        self.epoch = int(event["epoch"])
        self.granted = {"sessionId": self.session, "agent": agent, "epoch": self.epoch, "leaseMs": event["leaseMs"], "inbox": "",
                        "done": 0, "generation": event.get("generation", {})}
        self.since = time.monotonic()
        self.over = False  # nothing more comes: its socket is gone, or the lease is over
        self.lost = False
        self.on_lost: Callable[[], None] = lambda: None
        self._acknowledge = acknowledge
        self._items: list[Mapping[str, Any]] = []
        self._asked = 0  # acknowledgements that have no answer yet
        self._more = False
        self._asks = False
        self._changed = threading.Condition()

    def push(self, item: Mapping[str, Any]) -> None:
        with self._changed:
            if item.get("type") == "reset":
                self._items.clear()  # what was said before it waits for nobody
            self._items.append(item)
            self._changed.notify_all()

    def next(self, live: bool) -> Optional[Mapping[str, Any]]:
        """The next one; None when there is no more for now, with `live` only when there will be none."""
        end: Optional[float] = None
        with self._changed:
            while not self.over:
                if self._items and not self._asks:
                    return self._items.pop(0)
                if live or self._asked > 0:
                    self._changed.wait()
                elif not self._more:
                    return None
                else:
                    end = end or time.monotonic() + MORE
                    self._more = self._changed.wait(max(0.0, end - time.monotonic()))
        return None

    def done(self, seq: int, stopped: bool) -> None:
        """It is dealt with, and all before it. `stopped`: perhaps there was a reset, and what has come already waits for nobody:
        the hub is heard first."""
        with self._changed:
            if self.over:
                return
            self._asked += 1
            self._asks = self._asks or stopped
        if not self._acknowledge(self, seq):
            self.acknowledged(False)

    def acknowledged(self, more: bool) -> None:
        """So it was, or will not be; `more` is there behind it."""
        with self._changed:
            self._asked -= 1
            self._asks = self._asks and self._asked > 0
            self._more = more
            self._changed.notify_all()

    def end(self, lost: bool) -> None:
        with self._changed:
            if self.over:
                return
            self.over, self.lost = True, lost
            self._items.clear()
            self._changed.notify_all()
        if lost:
            self.on_lost()


class Desk:
    """All that an agent was handed."""

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._all: dict[str, Handed] = {}
        self._fresh: list[Handed] = []
        self._changed = threading.Condition()

    def item(self, event: Mapping[str, Any], acknowledge: Callable[[Handed, int], bool]) -> None:
        session = str(event["session"])
        known = self._all.get(session)
        if known is None or known.epoch != event["epoch"]:
            self.lost(session)
            known = Handed(self._agent, event, acknowledge)
            with self._changed:
                self._all[session] = known
                self._fresh.append(known)
                self._changed.notify_all()
        known.push({**event["item"], "inboxSeq": event["seq"]})

    def lost(self, session: str) -> None:
        with self._changed:
            known = self._all.pop(session, None)
            if known in self._fresh:
                self._fresh.remove(known)
        if known is not None:
            known.end(True)

    def end(self) -> list[Handed]:
        """Its socket is gone. Gives those that nobody had asked for."""
        with self._changed:
            every, fresh = list(self._all.values()), self._fresh
            self._all, self._fresh = {}, []
        for handed in every:
            handed.end(False)
        return fresh

    def next(self, seconds: float) -> Optional[Handed]:
        """The next one that nobody has asked for; None when there is none for so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._fresh, seconds)
            return self._fresh.pop(0) if self._fresh else None
