"""How long to wait before something is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Twice as long with each failure, from `first` to `most` seconds, and of that a random part between half
    and all: so the clients of a server that was away do not come back in step.

    `heeds`: a request that is refused for now is repeated no sooner than the server asks for (`Retry-After`, whole
    seconds). False is for a game on the same machine, whose moments are shorter than that."""

    first: float = 0.1
    most: float = 10.0
    heeds: bool = True

    def delay(self, failures: int) -> float:
        """Seconds to wait behind so many failures in a row; 0 behind none."""
        if failures <= 0:
            return 0.0
        whole = min(self.most, self.first * 2.0 ** min(failures - 1, 62))
        return whole * random.uniform(0.5, 1.0)
