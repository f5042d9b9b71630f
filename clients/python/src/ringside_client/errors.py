"""What can go wrong, by what is known afterwards."""

from __future__ import annotations

import json
from typing import Mapping, Optional


class RingsideError(Exception):
    """All that this package raises on its own."""


class Refused(RingsideError):
    """The server has answered, and it was no. What was asked has not happened.

    `status` is HTTP's, `reason` the server's words, `headers` those of the answer, names in lower case.
    """

    def __init__(self, status: int, reason: str, headers: Optional[Mapping[str, str]] = None) -> None:
        super().__init__(f"{status} {reason}".strip())
        self.status = status
        self.reason = reason
        self.headers: Mapping[str, str] = headers if headers is not None else {}

    @property
    def code(self) -> str:
        """Of what is told as JSON: its code; empty where there is none."""
        try:
            told = json.loads(self.reason)
        except ValueError:
            return ""
        return str(told.get("code", "")) if isinstance(told, dict) else ""


class Fenced(Refused):
    """Another writer goes by the same producer id, with a higher epoch: this one's time is over."""


class Closed(Refused):
    """The stream was closed by somebody else, and takes nothing more."""


class Unanswered(RingsideError):
    """No answer came within the time that was given: whether it has happened is not known.

    What has a number (`Producer`, `Source`, `Answer`) keeps it and settles it before what is asked next.
    """
