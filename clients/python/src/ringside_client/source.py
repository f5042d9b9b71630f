"""The game's side of a feed: facts with numbers, each repeated until it is answered, and so counted exactly once."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, Iterable, Mapping, Optional

from .errors import Refused, RingsideError, Unanswered
from .server import Server, refusal


class Source:
    """What a game posts to `feed` (docs/duels.md has the kinds of facts and their members).

    Each start of a game has an `epoch`, higher than any before (None: the time, Unix ms), and each fact that is
    accepted the next number. A post is repeated as it is until it is answered, for `patience` seconds (None: those of the
    server; `float("inf")`: for ever). One that raised Unanswered keeps its number: the next call settles it first. May be
    used by several threads, whose posts take turns.
    """

    def __init__(self, server: Server, feed: str = "arena", *, epoch: Optional[int] = None,
                 patience: Optional[float] = None) -> None:
        self.server = server
        self.feed = feed
        self.epoch = time.time_ns() // 1_000_000 if epoch is None else epoch
        self.seq = 0  # of the last fact that was accepted
        self.repeats = 0
        self._root = f"/v1/source/{feed}"
        self._patience = patience
        self._pending: Optional[tuple[str, bytes]] = None
        self._lock = threading.RLock()
        self._posted = time.monotonic()

    def post(self, kind: str, **fact: Any) -> Any:
        """Posts one fact, as `post("damage", duelId=..., attackerId=..., amount=3)`, and gives the answer:
        `{"duplicate", "duelId", "phase", "phaseVersion", "seq"}`. Refused where it does not fit: 409 not now (or the
        place of this source is another's), 422, 400; then it has taken no number."""
        with self._lock:
            self._settle()
            body = {"sourceEpoch": self.epoch, "sourceSeq": self.seq + 1, **fact}
            self._pending = (kind, json.dumps(body).encode())
            return self._settle()

    def batch(self, facts: Iterable[Mapping[str, Any]]) -> Any:
        """Up to 64 facts, each with its `type`: all or none."""
        return self.post("batch", facts=[dict(fact) for fact in facts])

    def settle(self) -> None:
        """Sees a post through that had no answer; nothing where there is none."""
        with self._lock:
            self._settle()

    def _settle(self) -> Any:
        if self._pending is None:
            return None
        kind, body = self._pending
        try:
            answer = self.server.request("POST", f"{self._root}/{kind}", body, {"content-type": "application/json"},
                                         patience=self._patience, on_repeat=self._count)
        except Refused:
            self._pending = None
            raise
        self._pending = None
        self._posted = time.monotonic()
        if answer.status != 200:
            raise refusal(answer)
        self.seq += 1
        return answer.json()

    def _count(self) -> None:
        self.repeats += 1

    def state(self) -> Any:
        """Where the feed stands: its `duel` (None: there is none), `mode`, `sourceSeq`, `now` and more."""
        return self.server.ask("GET", self._root, patience=self._patience)

    def wait(self, phase: str, duel_id: Optional[str] = None, *, patience: Optional[float] = None,
             pause: float = 0.1) -> Any:
        """Until a duel (or the one named) is in that phase: the state of then. None where the one named has ended without
        it. Unanswered after `patience` seconds."""
        end = None if patience is None else time.monotonic() + patience
        while True:
            state = self.state()
            duel = state["duel"]
            if duel is not None and duel["phase"] == phase and duel_id in (None, duel["duelId"]):
                return state
            if duel_id is not None and (duel is None or duel["duelId"] != duel_id or duel["outcome"] is not None):
                return None
            if end is not None and time.monotonic() > end:
                raise Unanswered(f"{self.feed}: no {phase} within {patience} s")
            time.sleep(pause)

    def keep_alive(self, every: Optional[float] = None) -> "KeepAlive":
        """Posts `alive` whenever nothing else has been posted for `every` seconds, from a thread of its own until it is
        closed: for a game that thinks long. None: a quarter of what the feed lets pass (`sourceSilenceMs`)."""
        return KeepAlive(self, every)

    def _alive(self, every: float) -> float:
        """Seconds until it is to be looked at again."""
        left = self._posted + every - time.monotonic()
        if left > 0:
            return left
        if not self._lock.acquire(blocking=False):
            return every / 4  # a post is under way: that says as much
        try:
            if self._pending is not None:
                return every / 4  # its answer is for whoever posted it
            self.post("alive")
        finally:
            self._lock.release()
        return every


class KeepAlive:
    """Says that the game lives: `with game.keep_alive(): ...`. `error` is what ended it, None while it goes on."""

    def __init__(self, source: Source, every: Optional[float] = None) -> None:
        if every is None:
            every = source.state()["sourceSilenceMs"] / 4000 or 10.0
        self.error: Optional[RingsideError] = None
        self._source = source
        self._every = every
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause = 0.0
        while not self._closed.wait(pause):
            try:
                pause = self._source._alive(self._every)
            except Unanswered:
                pause = self._every / 4
            except RingsideError as error:
                self.error = error
                return

    def __enter__(self) -> "KeepAlive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it; a post that is under way is seen through."""
        self._closed.set()
        self._thread.join()
