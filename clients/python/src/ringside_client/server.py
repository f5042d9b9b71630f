"""A Ringside to ask: its address, who asks, and requests that are repeated until they are answered."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Union

from .backoff import Backoff
from .errors import Refused, RingsideError, Unanswered

if TYPE_CHECKING:
    from .agent import Agent, Roster
    from .conversation import Conversation
    from .follow import Follower, PollFollower
    from .source import Source
    from .stream import Stream

# Not now: what these answer may be asked again. 507 is a full disk, which may have room later.
REPEATABLE = frozenset({429, 500, 502, 503, 504, 507})


@dataclass(frozen=True)
class Answer:
    """What came back: HTTP's status, headers by their names in lower case, the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def stream_path(name: str) -> str:
    """The path of a stream by its name (`feeds/arena/frames`) or by its whole path, percent-encoded where it must be.
    Escapes that are there already stay; `*` is left to patterns."""
    path = name if name.startswith("/") else "/v1/stream/" + name
    return urllib.parse.quote(path, safe="/%:@!$&'()*+,;=~-._")


def stream_name(path: str) -> str:
    """The other way round: without `/v1/stream/`, as events name them."""
    return path[len("/v1/stream/"):] if path.startswith("/v1/stream/") else path


class Server:
    """A Ringside at `url`, asked as whoever `token` stands for.

    `url` and `token` may be functions: they are asked before each request, so a server may move and a token be
    another. `timeout` is the seconds of silence after which a connection counts as broken, `patience` the seconds
    for which a request is repeated (None: until it is answered), `context` the TLS of `https`.

    Objects of this class may be used by several threads at once; each thread has a connection of its own.
    """

    def __init__(self, url: Union[str, Callable[[], str]], token: Union[str, Callable[[], str], None] = None, *,
                 timeout: float = 30.0, patience: Optional[float] = 60.0, backoff: Optional[Backoff] = None,
                 context: Optional[ssl.SSLContext] = None) -> None:
        self._url = url
        self._token = token
        self.timeout = timeout
        self.patience = patience
        self.backoff = backoff if backoff is not None else Backoff()
        self.unreachable = 0  # how often a request found nobody listening
        self._context = context
        self._own = threading.local()

    # ---- where and who ----

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        url = self._url if isinstance(self._url, str) else self._url()
        return url.rstrip("/")

    def headers(self) -> dict[str, str]:
        """Those that say who asks."""
        token = self._token if self._token is None or isinstance(self._token, str) else self._token()
        return {"authorization": f"Bearer {token}"} if token else {}

    def connect(self, timeout: Optional[float] = None) -> tuple[http.client.HTTPConnection, str]:
        """A connection of one's own (opened by its first request), and what stands before each path."""
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"no http or https URL: {self.url}")
        seconds = self.timeout if timeout is None else timeout
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds), parts.path
        context = self._context if self._context is not None else ssl.create_default_context()
        return (http.client.HTTPSConnection(parts.hostname, parts.port, timeout=seconds, context=context),
                parts.path)

    # ---- one request ----

    def once(self, method: str, path: str, body: Optional[bytes] = None,
             headers: Optional[Mapping[str, str]] = None, *, timeout: Optional[float] = None) -> Answer:
        """Asks once, on this thread's connection. Raises OSError or http.client.HTTPException where no answer
        came: then nobody knows."""
        url = self.url
        kept = getattr(self._own, "connection", None)
        if kept is None or kept[0] != url:
            self.close()
            kept = (url, *self.connect())
            self._own.connection = kept
        _, connection, root = kept
        connection.timeout = self.timeout if timeout is None else timeout
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        try:
            connection.request(method, root + path, body, {**self.headers(), **(headers or {})})
            answer = connection.getresponse()
            whole = answer.read()
        except BaseException:
            self.close()  # what comes on it next would be the answer to something else
            raise
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, whole)

    def request(self, method: str, path: str, body: Optional[bytes] = None,
                headers: Optional[Mapping[str, str]] = None, *, patience: Optional[float] = None,
                timeout: Optional[float] = None,
                on_repeat: Optional[Callable[[], None]] = None) -> Answer:
        """Asks again and again until it is answered, so it must be something that may be repeated.

        An answer "not now" (429, 503 and their like) is waited out as `Retry-After` says (`Backoff.heeds`). When `patience` is over:
        Refused with the last answer, or Unanswered where an attempt had none.
        """
        seconds = self.patience if patience is None else patience
        end = None if seconds is None else time.monotonic() + seconds
        failures, lost = 0, False
        while True:
            answer: Optional[Answer] = None
            try:
                answer = self.once(method, path, body, headers, timeout=timeout)
            except ConnectionRefusedError:
                self.unreachable += 1  # nobody heard it
            except (OSError, http.client.HTTPException):
                lost = True
            if answer is not None and answer.status not in REPEATABLE:
                return answer
            failures += 1
            pause = self.backoff.delay(failures)
            if answer is not None and self.backoff.heeds:
                pause = max(pause, retry_after(answer.headers))
            if end is not None and time.monotonic() + pause > end:
                if answer is not None and not lost:
                    raise refusal(answer)
                raise Unanswered(f"{method} {path}: no answer within {seconds} s")
            if on_repeat is not None:
                on_repeat()
            time.sleep(pause)

    def ask(self, method: str, path: str, value: Any = None, *, patience: Optional[float] = None,
            headers: Optional[Mapping[str, str]] = None) -> Any:
        """JSON there and back, repeated until it is answered: only for what may be. Raises Refused for any status
        but 2xx; None where the answer has no body."""
        body = None if value is None else json.dumps(value).encode()
        answer = self.request(method, path, body, {**({} if body is None else {"content-type": "application/json"}),
                                                   **(headers or {})}, patience=patience)
        if not 200 <= answer.status < 300:
            raise refusal(answer)
        return answer.json() if answer.body else None

    def close(self) -> None:
        """Closes this thread's connection; the next request opens another."""
        kept = getattr(self._own, "connection", None)
        if kept is not None:
            self._own.connection = None
            kept[1].close()

    # ---- what there is ----

    def stream(self, name: str) -> "Stream":
        """A stream by its name or whole path: to create, append, read, follow."""
        from .stream import Stream
        return Stream(self, name)

    def follow(self, *streams: str, live: str = "sse", **options: Any) -> "Union[Follower, PollFollower]":
        """Follows many streams at once: see `Follower` (`live="sse"`) and `PollFollower` (`live="long-poll"`)."""
        from .follow import Follower, PollFollower
        if live == "sse":
            return Follower(self, streams, **options)
        if live == "long-poll":
            return PollFollower(self, streams, **options)
        raise ValueError(f"live is sse or long-poll, not {live}")

    def source(self, feed: str = "arena", **options: Any) -> "Source":
        """The game's side of a feed: see `Source`."""
        from .source import Source
        return Source(self, feed, **options)

    def conversation(self, name: str, **options: Any) -> "Conversation":
        """A conversation by its id: see `Conversation`."""
        from .conversation import Conversation
        return Conversation(self, name, **options)

    def agent(self, name: str, **options: Any) -> "Agent":
        """An agent of the hub, registered from now on: see `Agent`."""
        from .agent import Agent
        return Agent(self, name, **options)

    def roster(self) -> "Roster":
        """Who there is at the hub: see `Roster`."""
        from .agent import Roster
        return Roster(self)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that `Retry-After` asks for; 0 where it does not, or says a date. An hour at most."""
    text = headers.get("retry-after", "")
    return float(min(int(text), 3600)) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0


def refusal(answer: Answer) -> RingsideError:
    """The answer as what is raised for it."""
    return Refused(answer.status, answer.text().strip()[:2000], answer.headers)
